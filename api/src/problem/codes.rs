//! The codes of problems: those of the ledger's refusals and the API's own.

use axum::http::StatusCode;
use quittance_ledger::refusal;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// Problems of the API itself. Programs may rely on the text of each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

kinds! {
    /// The request cannot be read.
    BadRequest = "bad_request", BAD_REQUEST, "The request cannot be read",
        "The detail says what is wrong with it.";
    /// A parameter of the query or path cannot be read.
    BadQuery = "bad_query", BAD_REQUEST, "A parameter cannot be read",
        "The field names the parameter; the reference at /docs says what it may be.";
    /// Nothing was shown that says who asks.
    TokenRequired = "token_required", UNAUTHORIZED, "A token is needed here",
        "Send Authorization: Bearer and a token, or let your browser ask for it and give it as the password, with any name. The node's operator makes tokens with quittance token create.";
    /// The token is none of this node's, or no longer good.
    InvalidToken = "invalid_token", UNAUTHORIZED, "The token is not good",
        "The detail says why. Ask the node's operator for another one.";
    /// The token is good for other things.
    InsufficientScope = "insufficient_scope", FORBIDDEN, "The token is not good for this",
        "The detail names the scope that is needed; the node's operator makes tokens that have it.";
    /// Unsigned JSON where it is not taken.
    UnsignedNotAllowed = "unsigned_not_allowed", FORBIDDEN, "Only signed records are taken",
        "Sign the record (quittance sign) and send it as application/jose. Unsigned JSON is taken only from programs on the node's own machine, or with a token whose scope is append: and the member.";
    /// The node holds no key of the member.
    KeyNotHeld = "key_not_held", FORBIDDEN, "The node cannot sign for this member",
        "Name a member whose record key this node holds, or sign the record yourself.";
    /// What was private of the record is erased.
    Erased = "erased", GONE, "What was private is erased",
        "Nothing is left of it here. The detail names the record that says so.";
    /// The vault takes no more records.
    VaultFull = "vault_full", INSUFFICIENT_STORAGE, "The vault is full",
        "Tell the node's operator: [vault] records_max bounds it.";
    /// There is no such thing.
    NotFound = "not_found", NOT_FOUND, "There is nothing here",
        "Check the address; a record that was never accepted is not on the ledger.";
    /// The record is not final yet, so there is no receipt.
    NotFinalYet = "not_final_yet", NOT_FOUND, "The record is not final yet",
        "The record is durable and waits for its block. Ask again in a moment.";
    /// The method is not one of the resource's.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This address does not take that method",
        "The Allow header lists the methods.";
    /// The body did not come in time.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The request did not come in time",
        "Send it again; sending the same record twice is harmless.";
    /// The path and query are too long.
    UriTooLong = "uri_too_long", URI_TOO_LONG, "The address is too long",
        "Ask for less at once.";
    /// The head of the request is too long.
    HeadTooLong = "head_too_long", REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too long",
        "Send fewer or shorter headers.";
    /// The request names a host that is not this machine.
    Misdirected = "misdirected", MISDIRECTED_REQUEST, "This host is not served here",
        "The node listens on this machine only; use the name localhost or the address 127.0.0.1.";
    /// A view would be made of too many records.
    TooMany = "too_many", UNPROCESSABLE_ENTITY, "That is made of too many records",
        "Ask for less: a claim, a contract, or a shorter period.";
    /// The body is of a type that the resource does not take.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "This content type is not taken here",
        "Set Content-Type to what the detail names.";
    /// Too many records wait.
    Busy = "busy", TOO_MANY_REQUESTS, "Too many records wait for a block",
        "Send it again after the time in Retry-After; nothing of the request was stored.";
    /// The node failed.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The node failed",
        "Tell the node's operator; its log says why.";
    /// Too many requests at once.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The node has too much to do",
        "Try again after the time in Retry-After.";
    /// The node is shutting down.
    Stopping = "stopping", SERVICE_UNAVAILABLE, "The node is shutting down",
        "Try again after the time in Retry-After, or ask another node.";
    /// The node took too long.
    Timeout = "timeout", SERVICE_UNAVAILABLE, "The node took too long",
        "Send it again; sending the same record twice is harmless.";
    /// The other members' nodes do not talk to this one.
    NotListed = "not_listed", SERVICE_UNAVAILABLE, "The node is not on the ledger",
        "Send it to a member's node that is; nothing of the request was stored.";
    /// The node cannot work now.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The node is not ready",
        "The detail says what it waits for.";
}

/// The code of a problem: the ledger's or the API's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Why the ledger does not take a record.
    Refusal(refusal::Code),
    /// A problem of the API.
    Api(Kind),
}

impl From<refusal::Code> for Code {
    fn from(code: refusal::Code) -> Self {
        Self::Refusal(code)
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        Self::Api(kind)
    }
}

impl Code {
    /// Every code, those of refusals first.
    pub fn all() -> impl Iterator<Item = Self> {
        let refusals = refusal::Code::ALL.iter().copied().map(Self::Refusal);
        refusals.chain(Kind::ALL.iter().copied().map(Self::Api))
    }

    /// The code as it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refusal(code) => code.as_str(),
            Self::Api(kind) => kind.as_str(),
        }
    }

    /// The HTTP status that goes with it: 400 for what cannot be read, 413 for
    /// what is too large, 401 and 403 for who may not, and 422 for every rule.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        use refusal::Code;
        match self {
            Self::Api(kind) => kind.status(),
            Self::Refusal(Code::Malformed | Code::UnknownField) => StatusCode::BAD_REQUEST,
            Self::Refusal(Code::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refusal(
                Code::UnknownMember | Code::UnknownKey | Code::KeyNotValidThen | Code::BadSignature,
            ) => StatusCode::UNAUTHORIZED,
            Self::Refusal(Code::RoleNotAllowed | Code::NotAParty) => StatusCode::FORBIDDEN,
            Self::Refusal(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// What kind of problem it is, always the same for one code.
    #[must_use]
    pub const fn title(self) -> &'static str {
        use refusal::Code;
        match self {
            Self::Api(kind) => kind.title(),
            Self::Refusal(code) => match code {
                Code::Malformed => "The record is not well-formed",
                Code::UnknownField => "The record has a field that its type does not have",
                Code::TooLarge => "The request is too large",
                Code::WrongLedger => "The record is for another ledger",
                Code::UnknownMember => "The signer is not a member of this ledger",
                Code::UnknownKey => "The signer has no such key",
                Code::KeyNotValidThen => "The key was not valid then",
                Code::BadSignature => "The signature does not verify",
                Code::RoleNotAllowed => "The signer's role may not sign this",
                Code::NotAParty => "The signer is not a party to this",
                Code::AmountNegative => "An amount is negative",
                Code::OccurredInFuture => "The record is from the future",
                Code::Backdated => "The record is too old",
                Code::Expired => "The record has expired",
                Code::UnknownReference => "The record refers to what the ledger does not hold",
                Code::ContractExists => "The contract's number is taken",
                Code::VersionGap => "The contract's version is not the next one",
                Code::ModuleCombination => "The modules do not allow that deductible",
                Code::NoticeTooLate => "The notice came too late",
                Code::ChangeOnlyAtPeriodEnd => "The ceiling changes only at the end of a period",
                Code::PolicyNotInForce => "The contract is not in force at that time",
                Code::PeriodGap => "The period does not follow the last one",
                Code::NoChangeRequest => "Nobody asked for that ceiling",
                Code::DossierGreen => "No document is missing",
                Code::DossierRed => "Requested documents are missing",
                Code::DeadlineNotPassed => "The documents are not due yet",
                Code::SignatureExists => "The signature's number is taken",
                Code::SignatureState => "The signature is not at that stage",
                Code::SignatureExpired => "The time to sign has passed",
                Code::SignatureIncomplete => "The offer is not signed",
                Code::PreauthorisationExists => "The pre-authorisation's number is taken",
                Code::AlreadyAnswered => "The pre-authorisation was answered before",
                Code::SplitMismatch => "The parts do not add up",
                Code::HoldNot24h => "A hold lasts 24 hours",
                Code::CeilingExceeded => "The annual ceiling would be exceeded",
                Code::CurrencyMismatch => "The currency is another one",
                Code::NotHeld => "There is no live hold",
                Code::HoldExpired => "The hold is over",
                Code::ClaimExceedsGuarantee => "More is claimed than was guaranteed",
                Code::ChannelNotAccepted => "Claims do not come in that way",
                Code::MandatoryDocumentMissing => "A document that must be attached is missing",
                Code::ClaimExists => "The claim's number is taken",
                Code::ClaimNumberTaken => "The insurer gave that number to another claim",
                Code::ClaimState => "The claim is not at that stage",
                Code::DeductibleWrong => "The deductible is not what the ladder says",
                Code::LadderEffectWrong => "The claim moves the deductible otherwise",
                Code::LadderStep => "That is no step of the ladder",
                Code::RoundGap => "The offer's round is not the open or the next one",
                Code::NotNotified => "The offer has not reached whom it is for",
                Code::NotDecided => "Nothing is decided",
                Code::PaidExceedsApproved => "More would be paid than was approved",
                Code::TotalMismatch => "The total is not that of the payments",
                Code::StatementMismatch => "The statement's figures are not the ledger's",
                Code::AlreadyCorrected => "The record was corrected before",
                Code::AlreadyApproved => "The proposal was approved by this member already",
                Code::ProposalSettled => "The proposal is in force already",
                Code::ProposalVoid => "The proposal is void",
                Code::ChangeImpossible => "The change does not fit the membership",
                Code::TooManyProposals => "Too many proposals are open",
                _ => "A rule of the ledger refuses the record",
            },
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        use refusal::Code;
        match self {
            Self::Api(kind) => kind.advice(),
            Self::Refusal(code) => match code {
                Code::Malformed => "The field names what to put right. Nothing was stored.",
                Code::UnknownField => "Check the spelling of the field against the record type.",
                Code::TooLarge => {
                    "A record may have 64 KiB; send large batches in parts. Keep files off the ledger and commit to them in documents."
                }
                Code::WrongLedger => "Sign the record for the origin that /v1/status names.",
                Code::UnknownMember | Code::UnknownKey => {
                    "The kid must be <member>#<key> as /v1/members lists them."
                }
                Code::KeyNotValidThen => "Sign with a key that was in force at that time.",
                Code::BadSignature => {
                    "The bytes were changed, or signed with another key than kid names. Sign again."
                }
                Code::RoleNotAllowed => "Let a member sign it whose role may.",
                Code::NotAParty => {
                    "Let the insurer or broker of that contract sign it; a proposal is approved by members that validate."
                }
                Code::AmountNegative => "Amounts are whole numbers of minor units from 0.",
                Code::OccurredInFuture => "Check the signer's clock and the offset of occurred_at.",
                Code::Backdated => "This ledger takes no records as old as this one.",
                Code::Expired => "Sign the record again with a later expires_at.",
                Code::ContractExists => {
                    "Check the number: a contract is issued once and then amended or renewed."
                }
                Code::VersionGap => {
                    "Look the contract up and number the change from its current version."
                }
                Code::ModuleCombination => {
                    "Private, employment and traffic, or company, traffic and property, are needed."
                }
                Code::NoticeTooLate => "Ask at least 42 days before the period's last day.",
                Code::ChangeOnlyAtPeriodEnd => {
                    "Make the change effective the day after the period's last day."
                }
                Code::PolicyNotInForce => {
                    "Check the contract's period, its signature and whether it was terminated."
                }
                Code::PeriodGap => "Let the new period begin the day after the last one ends.",
                Code::NoChangeRequest => {
                    "Record the change request first, or name no ceiling in the renewal."
                }
                Code::DossierGreen => "A contract is not ended for documents that it has.",
                Code::DossierRed => "Look up which ones; it turns green once each is accepted.",
                Code::DeadlineNotPassed => "Wait until the day after the due day.",
                Code::SignatureExists => {
                    "Give each signing ceremony of a contract a number of its own."
                }
                Code::SignatureState => {
                    "It is requested, challenged and then completed, in this order."
                }
                Code::SignatureExpired => "Request a new signature.",
                Code::SignatureIncomplete => {
                    "Name a completed signature on that very claim and round."
                }
                Code::PreauthorisationExists => {
                    "Give each request of a contract a number of its own."
                }
                Code::AlreadyAnswered => "Request another one.",
                Code::SplitMismatch => "The detail names the parts and the sum.",
                Code::HoldNot24h => "Set hold_until exactly 24 hours after occurred_at.",
                Code::CeilingExceeded => {
                    "The detail names what is spent and held; guarantee, claim or approve what is left."
                }
                Code::CurrencyMismatch => {
                    "Use the currency of the contract, the request or the claim."
                }
                Code::NotHeld => "Look the pre-authorisation up; it may be unanswered or over.",
                Code::HoldExpired => "Request a new pre-authorisation.",
                Code::ClaimExceedsGuarantee => {
                    "Claim at most what the pre-authorisation guarantees."
                }
                Code::ChannelNotAccepted => "Use portal, vet_system, crm or insurer.",
                Code::MandatoryDocumentMissing => {
                    "On the portal a claim comes with its care_sheet and invoice."
                }
                Code::ClaimExists => "Look the claim up; another record opened it.",
                Code::ClaimNumberTaken => "Register the claim under another number.",
                Code::ClaimState => "Look the claim up; the detail names its stage.",
                Code::DeductibleWrong => "The detail names the deductible that applies.",
                Code::LadderEffectWrong => "The detail names the step that this service asks for.",
                Code::LadderStep => {
                    "The detail names where the ladder stands and why it does not move so."
                }
                Code::RoundGap => {
                    "Look the claim up and use its open round, or the next for a new offer."
                }
                Code::NotNotified => "Record the notification first.",
                Code::NotDecided => "Record a decision or an accepted offer before the payment.",
                Code::PaidExceedsApproved => {
                    "The detail names what was approved and paid; the payment may be recorded already."
                }
                Code::TotalMismatch => "The detail names what the ledger holds.",
                Code::StatementMismatch => {
                    "The detail names the figure; GET /v1/statements gives what the ledger holds."
                }
                Code::AlreadyCorrected => "Correct the newest record instead.",
                Code::AlreadyApproved => "Nothing is left to do; others have to approve.",
                Code::ProposalSettled => "Nothing is left to do.",
                Code::ProposalVoid => "Propose the change again, if it is still wanted.",
                Code::ChangeImpossible => "Compare the change with what /v1/members lists.",
                Code::TooManyProposals => {
                    "Wait until open ones are approved, void or lapsed; /v1/members lists them."
                }
                _ => "The detail names the rule and what the ledger holds.",
            },
        }
    }
}
