//! Who is on a ledger: its members, their roles and keys, and who validates.
//!
//! A [`Genesis`] is the file the members agreed on; its digest names the
//! ledger. A [`Membership`] is who belongs at one height, which is the genesis
//! until records change it.

mod genesis;
mod names;
mod validators;

use std::{collections::BTreeMap, sync::Arc};

use ed25519_dalek::VerifyingKey;

pub use genesis::{
    Backdating, Disposition, Genesis, GenesisError, KeyEntry, MemberEntry, MemberFile,
    RuleDispositions, ValidatorEntry, cosigner_name,
};
pub use names::{KeyId, MemberId, NameError, Origin, Role};
pub use validators::{Validator, ValidatorSet};

use crate::{digest::LedgerId, transparency::Policy};

/// A key that a member signs records with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// Its name among the member's keys: the part of `kid` after `#`.
    pub id: KeyId,
    /// The Ed25519 public key.
    pub public: VerifyingKey,
}

/// One organisation on the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name it signs under, unique on the ledger.
    pub id: MemberId,
    /// What people call it.
    pub name: String,
    /// What it may sign.
    pub role: Role,
    /// The IANA time zone in which its contracts count days, where it names one.
    pub time_zone: Option<String>,
    /// Its record keys.
    pub keys: Vec<RecordKey>,
    /// What it validates with, where it validates.
    pub validator: Option<Validator>,
}

impl Member {
    /// The record key with this id.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&RecordKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

/// Who is on the ledger at one height. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Membership {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    genesis: Genesis,
    ledger_id: LedgerId,
    members: BTreeMap<MemberId, Member>,
    validators: ValidatorSet,
}

impl Membership {
    /// The membership that a ledger starts with.
    #[must_use]
    pub fn from_genesis(genesis: &Genesis) -> Self {
        let members: BTreeMap<_, _> =
            genesis.members.iter().map(|member| (member.id.clone(), member.clone())).collect();
        let validators = ValidatorSet::new(
            members.values().filter_map(|member| member.validator.clone()).collect(),
        );
        Self {
            inner: Arc::new(Inner {
                ledger_id: genesis.ledger_id(),
                genesis: genesis.clone(),
                members,
                validators,
            }),
        }
    }

    /// The ledger's name: the origin of its checkpoints, and what records are addressed to.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.inner.genesis.origin
    }

    /// The digest that names the ledger.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        self.inner.ledger_id
    }

    /// The genesis the ledger started from.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.inner.genesis
    }

    /// The member of that id.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.inner.members.get(id)
    }

    /// All members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.inner.members.values()
    }

    /// The members that validate.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        &self.inner.validators
    }

    /// What a checkpoint of this ledger must carry to be final: C2SP tlog-policy
    /// with every validator's log and cosigner key, and more than two thirds of
    /// the validators as quorum.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::for_validators(self.inner.validators.iter())
    }
}
