//! The table of record types. A new type is one entry here and one data struct.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use super::{Currency, contract::*, disclosure::*, member::*, settlement::*, signature::*};
use crate::membership::Role;

/// What a record is about; the first question of whoever looks through a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Contracts, their documents, parties and consents.
    Contract,
    /// Signing ceremonies.
    Signature,
    /// From pre-authorisation to payment and statement.
    Settlement,
    /// Changes of the membership of the ledger.
    Member,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Contract, Self::Signature, Self::Settlement, Self::Member];

    /// The family as it stands in queries and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Signature => "signature",
            Self::Settlement => "settlement",
            Self::Member => "member",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Family {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|family| family.as_str() == text).ok_or(UnknownName::Family)
    }
}

/// No record type or family has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownName {
    /// Of a family.
    #[error(
        "no family of records has this name; there are contract (with document, party and \
         consent), signature, settlement (with claim, payment and the others), and member"
    )]
    Family,
    /// Of a record type.
    #[error("no type of records has this name")]
    Type,
}

/// Which of `contract` and `claim` a record of a type must name beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum References {
    /// Neither; it may name them.
    Optional,
    /// The contract; it may name a claim.
    Contract,
    /// The contract and the claim.
    ContractAndClaim,
}

impl References {
    /// Whether a record must name its contract.
    #[must_use]
    pub const fn needs_contract(self) -> bool {
        !matches!(self, Self::Optional)
    }

    /// Whether a record must name its claim.
    #[must_use]
    pub const fn needs_claim(self) -> bool {
        matches!(self, Self::ContractAndClaim)
    }
}

/// A field of `data` that contradicts its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataDefect {
    /// The field's name inside `data`.
    pub(crate) member: &'static str,
    /// The end of a sentence that begins with the field.
    pub(crate) predicate: &'static str,
}

impl DataDefect {
    /// An amount without a currency says nothing.
    pub(super) const fn of_currency(any_amount: bool, currency: Option<Currency>) -> Option<Self> {
        if any_amount && currency.is_none() {
            Some(Self { member: "currency", predicate: "is missing beside an amount" })
        } else {
            None
        }
    }
}

/// What no single field of a type's data can show.
pub(super) trait Checked {
    fn defect(&self) -> Option<DataDefect> {
        None
    }
}

macro_rules! record_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $family:ident, $references:ident, [$($role:ident)+];)*) => {
        /// What a record says. Its text is the `type` of the payload.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum RecordType {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl RecordType {
            /// Every type, in the order of the domain's tables.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The type as it stands in a payload.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What the type belongs to.
            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$name => Family::$family,)*
                }
            }

            /// The roles that may sign it.
            #[must_use]
            pub const fn roles(self) -> &'static [Role] {
                match self {
                    $(Self::$name => &[$(Role::$role,)+],)*
                }
            }

            /// The fields of its data, each with what it is read as.
            pub(crate) const fn fields(self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Self::$name => $name::FIELDS,)*
                }
            }

            /// What it must name beside its data.
            #[must_use]
            pub const fn references(self) -> References {
                match self {
                    $(Self::$name => References::$references,)*
                }
            }
        }

        impl FromStr for RecordType {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($text => Ok(Self::$name),)*
                    _ => Err(UnknownName::Type),
                }
            }
        }

        /// What a record of each type says, in its `data`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Data {
            $($(#[$doc])* $name(Box<$name>),)*
        }

        impl Data {
            /// The type that has this data.
            #[must_use]
            pub const fn record_type(&self) -> RecordType {
                match self {
                    $(Self::$name(_) => RecordType::$name,)*
                }
            }

            /// Reads the data of a record of that type.
            pub(crate) fn read<'de, D: Deserializer<'de>>(
                record_type: RecordType,
                deserializer: D,
            ) -> Result<Self, D::Error> {
                match record_type {
                    $(RecordType::$name => {
                        $name::deserialize(deserializer).map(|data| Self::$name(Box::new(data)))
                    })*
                }
            }

            /// What no single field shows to be wrong.
            pub(crate) fn defect(&self) -> Option<DataDefect> {
                match self {
                    $(Self::$name(data) => data.defect(),)*
                }
            }
        }
    };
}

record_types! {
    /// A quote was made (devis, Vorschlag, preventivo).
    ContractQuoted = "contract.quoted": Contract, Optional, [Broker Insurer];
    /// A contract was applied for (demande, Antrag, proposta).
    ContractApplied = "contract.applied": Contract, Optional, [Broker];
    /// A contract was issued (émission, Policierung, emissione).
    ContractIssued = "contract.issued": Contract, Contract, [Insurer];
    /// A change was asked for (demande de modification, Änderungsantrag, richiesta di variazione).
    ContractChangeRequested = "contract.change_requested": Contract, Contract, [Broker Insurer];
    /// A contract was changed (avenant, Nachtrag, appendice).
    ContractAmended = "contract.amended": Contract, Contract, [Insurer];
    /// A contract was renewed (renouvellement, Verlängerung, rinnovo).
    ContractRenewed = "contract.renewed": Contract, Contract, [Insurer];
    /// A contract was ended (résiliation, Kündigung, disdetta).
    ContractTerminated = "contract.terminated": Contract, Contract, [Insurer];
    /// A premium fell due, was paid, or was not (quittance, Beitragsrechnung, quietanza di premio).
    ContractPremium = "contract.premium": Contract, Contract, [Insurer Broker];
    /// Documents were asked for (pièces demandées).
    DocumentRequested = "document.requested": Contract, Contract, [Broker Insurer];
    /// A document came in.
    DocumentReceived = "document.received": Contract, Contract, [Broker Insurer];
    /// A document was judged.
    DocumentAssessed = "document.assessed": Contract, Contract, [Broker Insurer];
    /// A document was handed out (carte verte, attestation, Versicherungsschein, certificato).
    DocumentIssued = "document.issued": Contract, Contract, [Broker Insurer];
    /// Details of a party changed (coordonnées, Adress- und Bankdaten, anagrafica).
    PartyUpdated = "party.updated": Contract, Optional, [Broker Insurer];
    /// A consent was given or withdrawn.
    ConsentRecorded = "consent.recorded": Contract, Optional, [Insurer Broker Provider TrustService];
    /// Private fields of a record were erased where they were kept, which may be at
    /// any member's node.
    DisclosureErased = "disclosure.erased": Contract, Optional, [Insurer Broker Provider TrustService Regulator];

    /// A signature was asked for (firma digitale, elektronische Unterschrift).
    SignatureRequested = "signature.requested": Signature, Contract, [Broker Insurer];
    /// The signer was sent a one-time code.
    SignatureChallenged = "signature.challenged": Signature, Contract, [TrustService];
    /// An attempt to sign failed.
    SignatureFailed = "signature.failed": Signature, Contract, [TrustService];
    /// The signer signed.
    SignatureCompleted = "signature.completed": Signature, Contract, [TrustService];

    /// A provider asked what the insurer will pay, before treating or repairing.
    PreauthorisationRequested = "preauthorisation.requested": Settlement, Contract, [Provider];
    /// The insurer answered, and holds what it guaranteed.
    PreauthorisationAnswered = "preauthorisation.answered": Settlement, Contract, [Insurer];
    /// A hold was given back.
    PreauthorisationReleased = "preauthorisation.released": Settlement, Contract, [Provider Insurer];
    /// A claim was notified (déclaration, Schadenmeldung, apertura sinistro).
    ClaimOpened = "claim.opened": Settlement, ContractAndClaim, [Broker Provider Insurer];
    /// The insurer gave the claim its number (numéro de sinistre, Schadennummer, numero univoco).
    ClaimRegistered = "claim.registered": Settlement, ContractAndClaim, [Insurer];
    /// The claim moved on, or waits.
    ClaimState = "claim.state": Settlement, ContractAndClaim, [Insurer];
    /// The insurer decided.
    ClaimDecided = "claim.decided": Settlement, ContractAndClaim, [Insurer];
    /// A party disagrees with the decision.
    ClaimDisputed = "claim.disputed": Settlement, ContractAndClaim, [Insurer Broker Provider];
    /// The claim is over.
    ClaimClosed = "claim.closed": Settlement, ContractAndClaim, [Insurer];
    /// The deductible of a contract changed (franchise, Selbstbeteiligung, franchigia).
    DeductibleSet = "deductible.set": Settlement, Contract, [Insurer];
    /// The insurer offered a settlement (quittance d'indemnité, Abfindungserklärung, quietanza).
    SettlementOffered = "settlement.offered": Settlement, ContractAndClaim, [Insurer];
    /// The offer reached whom it is for.
    SettlementNotified = "settlement.notified": Settlement, ContractAndClaim, [Broker Insurer];
    /// The offer was accepted or objected to.
    SettlementAnswered = "settlement.answered": Settlement, ContractAndClaim, [Broker Insurer];
    /// Money moved for a claim.
    PaymentRecorded = "payment.recorded": Settlement, ContractAndClaim, [Insurer];
    /// What was paid to somebody in a period (aperçu, Abrechnung, estratto).
    StatementIssued = "statement.issued": Settlement, Optional, [Insurer];
    /// The insurer noticed something that people should look at.
    AlertRaised = "alert.raised": Settlement, Optional, [Insurer];
    /// A referral was rewarded.
    RewardRecorded = "reward.recorded": Settlement, Optional, [Insurer];

    /// A member proposed to change the membership.
    MemberProposed = "member.proposed": Member, Optional, [Insurer Broker Provider TrustService Regulator];
    /// A member that validates approved such a proposal.
    MemberApproved = "member.approved": Member, Optional, [Insurer Broker Provider TrustService Regulator];
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares words that a field may hold, each with its text.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            #[derive(serde::Serialize, serde::Deserialize, bincode::Encode, bincode::Decode)]
            pub enum $name {
                $($(#[$word_doc])* #[serde(rename = $text)] $word,)+
            }

            impl $name {
                /// Every word, for documentation.
                #[cfg(test)]
                pub(super) const WORDS: &'static [&'static str] = &[$($text,)+];

                /// The word as it stands in a record.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$word => $text,)+
                    }
                }
            }
        )*
    };
}
pub(super) use words;

/// Declares the data of record types: closed structures whose optional fields
/// are options.
macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)+ })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $kind,)+
            }

            impl $name {
                /// Its fields, each with what it is read as.
                #[allow(dead_code, reason = "of parts of data nobody asks")]
                pub(super) const FIELDS: &'static [(&'static str, &'static str)] =
                    &[$((stringify!($field), stringify!($kind)),)+];
            }
        )*
    };
}
pub(super) use data;
