//! Who is on a ledger: its members, their roles and keys, and who validates.
//!
//! A [`Genesis`] is the file the members agreed on; its digest names the
//! ledger. A [`Membership`] is who belongs at one height, which is the genesis
//! until records change it; how they do is for [`MembershipState`].

mod change;
mod genesis;
mod history;
mod names;
mod record_key;
mod state;
#[cfg(test)]
mod tests;
mod validators;

use std::{collections::BTreeMap, sync::Arc};

pub use change::Change;
pub(crate) use genesis::public_key;
pub use genesis::{
    Backdating, Disposition, Genesis, GenesisError, KeyEntry, MemberEntry, MemberFile,
    ObserverEntry, RuleDispositions, ValidatorEntry, cosigner_name,
};
pub use history::{MemberHistory, Tenure};
pub use names::{KeyId, MemberId, NameError, Origin, Role};
pub use record_key::{Algorithm, RecordKey, RecordPublicKey, RecordPublicKeyError};
pub(crate) use state::{At, Step};
pub use state::{MembershipState, Proposal};
pub use validators::{Observer, Validator, ValidatorSet};

use crate::{
    digest::LedgerId,
    refusal::{Code, Refusal},
    transparency::Policy,
};

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
    /// The node it follows the ledger with, where it does not validate.
    pub observer: Option<Observer>,
}

impl Member {
    /// The record key with this id.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&RecordKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

/// Who is on the ledger at one height, and who was before. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    genesis: Arc<Genesis>,
    ledger_id: LedgerId,
    /// The first block it is in force for.
    from_height: u64,
    /// The members for that block. Versions share those that did not change.
    members: BTreeMap<MemberId, Arc<Member>>,
    validators: ValidatorSet,
    /// Everybody who is or was a member.
    history: BTreeMap<MemberId, Arc<MemberHistory>>,
}

impl Membership {
    /// The membership that a ledger starts with.
    #[must_use]
    pub fn from_genesis(genesis: &Genesis) -> Self {
        let history = genesis
            .members
            .iter()
            .map(|member| {
                let history = MemberHistory::of_member(member.clone(), 1);
                (member.id.clone(), Arc::new(history))
            })
            .collect();
        Self::of(Arc::new(genesis.clone()), genesis.ledger_id(), history, 1)
    }

    /// The membership in force for block `height`, by what is known of each member.
    fn of(
        genesis: Arc<Genesis>,
        ledger_id: LedgerId,
        history: BTreeMap<MemberId, Arc<MemberHistory>>,
        height: u64,
    ) -> Self {
        let members = history
            .iter()
            .filter_map(|(id, member)| Some((id.clone(), Arc::new(member.at(height)?))))
            .collect();
        Self::with(genesis, ledger_id, history, height, members)
    }

    fn with(
        genesis: Arc<Genesis>,
        ledger_id: LedgerId,
        history: BTreeMap<MemberId, Arc<MemberHistory>>,
        from_height: u64,
        members: BTreeMap<MemberId, Arc<Member>>,
    ) -> Self {
        let validators = members.values().filter_map(|member| member.validator.clone()).collect();
        let validators = ValidatorSet::new(validators);
        let inner = Inner { genesis, ledger_id, from_height, members, validators, history };
        Self { inner: Arc::new(inner) }
    }

    /// The membership after a change that was checked, in force from `from_height` on.
    fn changed(&self, change: &Change, from_height: u64) -> Self {
        let Inner { genesis, ledger_id, history, members, .. } = &*self.inner;
        let id = change.member();
        let Some(after) = change.made(history.get(id).map(Arc::as_ref), from_height) else {
            return self.clone();
        };
        let mut members = members.clone();
        match after.at(from_height) {
            Some(member) => members.insert(id.clone(), Arc::new(member)),
            None => members.remove(id),
        };
        let mut history = history.clone();
        history.insert(id.clone(), Arc::new(after));
        Self::with(genesis.clone(), *ledger_id, history, from_height, members)
    }

    /// The membership in force for block `height`. For a height before the last
    /// change it is made anew, which looks at every member; for a later one it
    /// is this one, since nothing is known of changes to come.
    #[must_use]
    pub fn at(&self, height: u64) -> Self {
        let Inner { genesis, ledger_id, from_height, history, .. } = &*self.inner;
        if height >= *from_height {
            return self.clone();
        }
        Self::of(genesis.clone(), *ledger_id, history.clone(), height)
    }

    /// The first block it is in force for.
    #[must_use]
    pub fn from_height(&self) -> u64 {
        self.inner.from_height
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

    /// The member of that id, if it is one now.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.inner.members.get(id).map(Arc::as_ref)
    }

    /// All members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.inner.members.values().map(Arc::as_ref)
    }

    /// What is known of whoever is or was a member under that id.
    #[must_use]
    pub fn past(&self, id: &MemberId) -> Option<&MemberHistory> {
        self.inner.history.get(id).map(Arc::as_ref)
    }

    /// Everybody who is or was a member, by id.
    pub fn history(&self) -> impl Iterator<Item = &MemberHistory> {
        self.inner.history.values().map(Arc::as_ref)
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

    /// The key of that name, if it is in force.
    ///
    /// # Errors
    /// `unknown_member`, `unknown_key`, or `key_not_valid_then` for one that is
    /// not in force.
    pub fn signing_key(&self, signer: &MemberId, key_id: &KeyId) -> Result<&RecordKey, Refusal> {
        if let Some(key) = self.member(signer).and_then(|member| member.key(key_id)) {
            return Ok(key);
        }
        let known = self.known_key(signer, key_id)?;
        let detail = match known.to_height {
            Some(last) => {
                format!("key {key_id} of {signer} was in force up to block {last} and is no more")
            }
            None => {
                format!("key {key_id} of {signer} is in force from block {}", known.from_height)
            }
        };
        Err(Refusal::of_field(Code::KeyNotValidThen, "header.kid", detail))
    }

    /// The key of that name, in force or not.
    ///
    /// # Errors
    /// `unknown_member` or `unknown_key`.
    pub(crate) fn known_key(
        &self,
        signer: &MemberId,
        key_id: &KeyId,
    ) -> Result<&Tenure<RecordKey>, Refusal> {
        let member = self.past(signer).ok_or_else(|| {
            let detail = format!("{signer} is not a member of this ledger");
            Refusal::of_field(Code::UnknownMember, "header.kid", detail)
        })?;
        member.key(key_id).ok_or_else(|| {
            let detail = format!("{signer} has no key named {key_id}");
            Refusal::of_field(Code::UnknownKey, "header.kid", detail)
        })
    }
}
