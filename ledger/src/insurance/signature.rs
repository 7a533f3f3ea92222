//! What records of the family `signature` say: how somebody came to sign.

use serde::Deserialize;

use super::{
    Channel, ClaimRef, Code, ContractRef, Moment, Ordinal, ValueError,
    types::{Checked, data, words},
};

words! {
    /// Why an attempt to sign failed.
    SignatureFailure {
        /// The one-time code was wrong.
        WrongCode = "wrong_code",
        /// The link or the code was too old.
        Expired = "expired",
        /// The signer would not sign.
        Declined = "declined",
    }
}

/// What is to be signed: one version of a contract, or one round of a settlement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AnyTarget")]
pub enum SignatureTarget {
    /// A version of a contract.
    Contract {
        /// The contract.
        contract: ContractRef,
        /// Its version.
        version: Ordinal,
    },
    /// An offer for a claim.
    Settlement {
        /// The claim.
        settlement: ClaimRef,
        /// The round of the offer.
        round: Ordinal,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyTarget {
    contract: Option<ContractRef>,
    version: Option<Ordinal>,
    settlement: Option<ClaimRef>,
    round: Option<Ordinal>,
}

impl TryFrom<AnyTarget> for SignatureTarget {
    type Error = ValueError;

    fn try_from(target: AnyTarget) -> Result<Self, ValueError> {
        match target {
            AnyTarget {
                contract: Some(contract),
                version: Some(version),
                settlement: None,
                round: None,
            } => Ok(Self::Contract { contract, version }),
            AnyTarget {
                contract: None,
                version: None,
                settlement: Some(settlement),
                round: Some(round),
            } => Ok(Self::Settlement { settlement, round }),
            _ => Err(ValueError(
                "must name either a contract and its version, or a settlement and its round",
            )),
        }
    }
}

data! {
    /// `signature.requested` (firma digitale, elektronische Unterschrift): a link went out.
    SignatureRequested {
        /// The number of this signature.
        signature: Code,
        /// What is to be signed.
        target: SignatureTarget,
        /// Who is to sign, such as `policyholder`; never a person's name.
        signer: Code,
        /// How, such as `sms_otp`.
        method: Code,
        /// The way the link travelled, such as `email`; never the address.
        link_sent_to: Option<Code>,
        /// The last moment to sign.
        expires: Moment,
    }

    /// `signature.challenged`: the signer was sent a one-time code.
    SignatureChallenged {
        /// The signature.
        signature: Code,
        /// The way the code travelled; never the code.
        channel: Channel,
    }

    /// `signature.failed`: an attempt did not succeed.
    SignatureFailed {
        /// The signature.
        signature: Code,
        /// Why.
        reason: SignatureFailure,
        /// Which attempt it was.
        attempt: Ordinal,
    }

    /// `signature.completed`: the signer signed.
    SignatureCompleted {
        /// The signature.
        signature: Code,
        /// The level that the trust service claims; the ledger asserts nothing about it.
        level: Code,
    }
}

impl Checked for SignatureRequested {}
impl Checked for SignatureChallenged {}
impl Checked for SignatureFailed {}
impl Checked for SignatureCompleted {}
