//! Why a record is not taken: a stable code, the field, and a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a refusal. Programs may rely on the text of each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The code as it stands in answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Not a record at all, or a field of the wrong shape.
    Malformed = "malformed",
    /// A field that the type does not have.
    UnknownField = "unknown_field",
    /// Larger than [`crate::limits::RECORD_BYTES_MAX`].
    TooLarge = "too_large",
    /// Written for another ledger.
    WrongLedger = "wrong_ledger",
    /// Signed by someone who is not a member.
    UnknownMember = "unknown_member",
    /// Signed with a key the member never had.
    UnknownKey = "unknown_key",
    /// Signed with a key that was not in force.
    KeyNotValidThen = "key_not_valid_then",
    /// The signature does not verify.
    BadSignature = "bad_signature",
    /// The signer's role may not sign that type.
    RoleNotAllowed = "role_not_allowed",
    /// The signer is not a party of the contract.
    NotAParty = "not_a_party",
    /// An amount below zero.
    AmountNegative = "amount_negative",
    /// Said to have happened later than the block allows.
    OccurredInFuture = "occurred_in_future",
    /// Said to have happened longer ago than the ledger's `backdating` allows.
    Backdated = "backdated",
    /// No block may include it any more: its `expires_at` has passed.
    Expired = "expired",
    /// Refers to something that the ledger does not hold.
    UnknownReference = "unknown_reference",
    /// The contract's number is taken.
    ContractExists = "contract_exists",
    /// Not the version that follows, or no longer the one that stands.
    VersionGap = "version_gap",
    /// A deductible model without the modules it needs.
    ModuleCombination = "module_combination",
    /// A ceiling change asked for later than six weeks before the period ends.
    NoticeTooLate = "notice_too_late",
    /// A ceiling changed inside its period.
    ChangeOnlyAtPeriodEnd = "change_only_at_period_end",
    /// The contract is not in force at that time.
    PolicyNotInForce = "policy_not_in_force",
    /// A period that does not begin the day after the last.
    PeriodGap = "period_gap",
    /// Another ceiling than before, which nobody asked for.
    NoChangeRequest = "no_change_request",
    /// No document is missing.
    DossierGreen = "dossier_green",
    /// Requested documents are missing.
    DossierRed = "dossier_red",
    /// The day for the documents has not passed.
    DeadlineNotPassed = "deadline_not_passed",
    /// The signature's number is taken.
    SignatureExists = "signature_exists",
    /// The signature is not at that stage.
    SignatureState = "signature_state",
    /// The time to sign has passed.
    SignatureExpired = "signature_expired",
    /// Accepted without a completed signature on that very offer.
    SignatureIncomplete = "signature_incomplete",
    /// The pre-authorisation's number is taken.
    PreauthorisationExists = "preauthorisation_exists",
    /// The pre-authorisation was answered before.
    AlreadyAnswered = "already_answered",
    /// Parts that do not add up to the whole.
    SplitMismatch = "split_mismatch",
    /// A hold that does not last 24 hours.
    HoldNot24h = "hold_not_24h",
    /// More than the period's ceiling.
    CeilingExceeded = "ceiling_exceeded",
    /// Another currency than the contract, request or claim has.
    CurrencyMismatch = "currency_mismatch",
    /// There is no live hold.
    NotHeld = "not_held",
    /// The hold is over.
    HoldExpired = "hold_expired",
    /// Claimed more than was guaranteed.
    ClaimExceedsGuarantee = "claim_exceeds_guarantee",
    /// A claim came in by a way that is not open.
    ChannelNotAccepted = "channel_not_accepted",
    /// A claim without the documents it must come with.
    MandatoryDocumentMissing = "mandatory_document_missing",
    /// The claim's number is taken.
    ClaimExists = "claim_exists",
    /// The insurer gave that number to another claim.
    ClaimNumberTaken = "claim_number_taken",
    /// The claim is not at that stage.
    ClaimState = "claim_state",
    /// Not the deductible that the ladder says.
    DeductibleWrong = "deductible_wrong",
    /// Not the step that the service asks for.
    LadderEffectWrong = "ladder_effect_wrong",
    /// Not one legal step of the ladder.
    LadderStep = "ladder_step",
    /// Not the round that follows, or not the open one.
    RoundGap = "round_gap",
    /// The offer has not reached whom it is for.
    NotNotified = "not_notified",
    /// Nothing was decided or accepted.
    NotDecided = "not_decided",
    /// More is paid than was approved or accepted.
    PaidExceedsApproved = "paid_exceeds_approved",
    /// Not the sum of the payments.
    TotalMismatch = "total_mismatch",
    /// Figures that the ledger does not hold.
    StatementMismatch = "statement_mismatch",
    /// The record was corrected before, by another one.
    AlreadyCorrected = "already_corrected",
    /// The member approved that proposal before.
    AlreadyApproved = "already_approved",
    /// The proposal came in force before.
    ProposalSettled = "proposal_settled",
    /// The proposal lapsed, or another change came first.
    ProposalVoid = "proposal_void",
    /// The change does not fit the membership there is.
    ChangeImpossible = "change_impossible",
    /// Too many proposals are open.
    TooManyProposals = "too_many_proposals",
}

impl Code {
    /// Whether a later record, or the passing of time, could make the same
    /// record acceptable. Where not, the refusal is final.
    #[must_use]
    pub const fn can_pass_later(self) -> bool {
        matches!(
            self,
            Self::UnknownMember
                | Self::UnknownKey
                | Self::KeyNotValidThen
                | Self::OccurredInFuture
                | Self::UnknownReference
                | Self::ChangeImpossible
                | Self::TooManyProposals
                | Self::VersionGap
                | Self::PolicyNotInForce
                | Self::PeriodGap
                | Self::NoChangeRequest
                | Self::DossierGreen
                | Self::DossierRed
                | Self::SignatureState
                | Self::SignatureIncomplete
                | Self::CeilingExceeded
                | Self::NotHeld
                | Self::ClaimState
                | Self::DeductibleWrong
                | Self::LadderEffectWrong
                | Self::LadderStep
                | Self::RoundGap
                | Self::NotNotified
                | Self::NotDecided
                | Self::PaidExceedsApproved
                | Self::TotalMismatch
                | Self::StatementMismatch
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record is not taken. It changes nothing on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}: {detail}", .field.as_ref().map(|field| format!(" ({field})")).unwrap_or_default())]
pub struct Refusal {
    /// What programs act on.
    pub code: Code,
    /// The field it is about, as a path such as `data.lines[0].amount`.
    pub field: Option<String>,
    /// A sentence that a broker understands.
    pub detail: String,
}

impl Refusal {
    /// A refusal that is about no single field.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, field: None, detail: detail.into() }
    }

    /// A refusal about one field.
    pub fn of_field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, field: Some(field.into()), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_unless_something_later_could_lift_it() {
        let lifted = Code::ALL.iter().copied().filter(|code| code.can_pass_later());
        let lifted: Vec<_> = lifted.map(Code::as_str).collect();
        assert_eq!(
            lifted,
            [
                "unknown_member",
                "unknown_key",
                "key_not_valid_then",
                "occurred_in_future",
                "unknown_reference",
                "version_gap",
                "policy_not_in_force",
                "period_gap",
                "no_change_request",
                "dossier_green",
                "dossier_red",
                "signature_state",
                "signature_incomplete",
                "ceiling_exceeded",
                "not_held",
                "claim_state",
                "deductible_wrong",
                "ladder_effect_wrong",
                "ladder_step",
                "round_gap",
                "not_notified",
                "not_decided",
                "paid_exceeds_approved",
                "total_mismatch",
                "statement_mismatch",
                "change_impossible",
                "too_many_proposals",
            ]
        );
    }
}
