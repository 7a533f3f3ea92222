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
