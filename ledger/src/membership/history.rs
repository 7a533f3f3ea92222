//! Members, their keys and what they validate with, over time.

use super::{
    KeyId, Member, MemberId, Observer, RecordKey, Role, Validator, record_key::KeyIdentity,
};

/// Something that is in force for some blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure<T> {
    /// What is in force.
    pub of: T,
    /// The first block it is in force for.
    pub from_height: u64,
    /// The last block it is in force for; none while no end is known.
    pub to_height: Option<u64>,
}

impl<T> Tenure<T> {
    pub(super) const fn from(of: T, from_height: u64) -> Self {
        Self { of, from_height, to_height: None }
    }

    /// Whether it is in force for the block of that height.
    #[must_use]
    pub fn is_in_force(&self, height: u64) -> bool {
        self.from_height <= height && self.to_height.is_none_or(|last| height <= last)
    }

    fn end(&mut self, last_height: u64) {
        self.to_height.get_or_insert(last_height);
    }
}

/// An organisation that is or was on the ledger. Nothing in it is ever
/// forgotten, so that what it signed can be verified for as long as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHistory {
    /// The name it signs under. Never given to anybody else, even after it left.
    pub id: MemberId,
    /// What people call it.
    pub name: String,
    /// What it may sign.
    pub role: Role,
    /// The IANA time zone in which its contracts count days, where it names one.
    pub time_zone: Option<String>,
    /// The first block it is a member for.
    pub from_height: u64,
    /// The last block it is a member for; none while no end is known.
    pub to_height: Option<u64>,
    /// Every record key it had or has, the oldest first. An id is never used again.
    pub keys: Vec<Tenure<RecordKey>>,
    /// What it validated and validates with, the oldest first; at most the last is in force.
    pub validators: Vec<Tenure<Validator>>,
    /// The node it follows the ledger with, where it does not validate, as known last.
    pub observer: Option<Observer>,
}

impl MemberHistory {
    pub(super) fn of_member(member: Member, from_height: u64) -> Self {
        let Member { id, name, role, time_zone, keys, validator, observer } = member;
        Self {
            id,
            name,
            role,
            time_zone,
            from_height,
            to_height: None,
            keys: keys.into_iter().map(|key| Tenure::from(key, from_height)).collect(),
            validators: validator
                .into_iter()
                .map(|validator| Tenure::from(validator, from_height))
                .collect(),
            observer,
        }
    }

    /// The member as it is for the block of that height; none when it is not on
    /// the ledger then.
    #[must_use]
    pub fn at(&self, height: u64) -> Option<Member> {
        if height < self.from_height || self.to_height.is_some_and(|last| height > last) {
            return None;
        }
        let in_force = |key: &&Tenure<RecordKey>| key.is_in_force(height);
        let mut keys: Vec<_> =
            self.keys.iter().filter(in_force).map(|key| key.of.clone()).collect();
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        let validator = self.validators.iter().find(|validator| validator.is_in_force(height));
        Some(Member {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            time_zone: self.time_zone.clone(),
            keys,
            validator: validator.map(|validator| validator.of.clone()),
            observer: self.observer.clone(),
        })
    }

    /// The record key with this id, in force or not.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&Tenure<RecordKey>> {
        self.keys.iter().find(|key| key.of.id == *id)
    }

    /// Every public key it had or has, for whatever purpose.
    pub(super) fn public_keys(&self) -> impl Iterator<Item = KeyIdentity> {
        let records = self.keys.iter().map(|key| KeyIdentity::from(&key.of.public));
        let validators = self.validators.iter().flat_map(|validator| {
            let Validator { consensus, log, cosigner, .. } = &validator.of;
            [consensus, log.public(), cosigner.public()].map(KeyIdentity::from)
        });
        records.chain(validators)
    }

    /// The key is in force for no block after `last_height`.
    pub(super) fn end_key(&mut self, id: &KeyId, last_height: u64) {
        if let Some(key) = self.keys.iter_mut().find(|key| key.of.id == *id) {
            key.end(last_height);
        }
    }

    /// The member validates for no block after `last_height`. Its node may go on
    /// as an observer.
    pub(super) fn end_validator(&mut self, last_height: u64) {
        let Some(last) = self.validators.last_mut().filter(|last| last.to_height.is_none()) else {
            return;
        };
        last.end(last_height);
        let Validator { peer, engine_address, gossip_address, .. } = &last.of;
        self.observer = peer.as_ref().map(|peer| Observer {
            peer: peer.clone(),
            engine_address: engine_address.clone(),
            gossip_address: gossip_address.clone(),
        });
    }

    /// The member validates from `from_height` on, with these keys.
    pub(super) fn begin_validator(&mut self, validator: Validator, from_height: u64) {
        self.end_validator(from_height.saturating_sub(1));
        self.observer = None;
        self.validators.push(Tenure::from(validator, from_height));
    }

    /// The organisation is no member for any block after `last_height`.
    pub(super) fn end(&mut self, last_height: u64) {
        self.end_validator(last_height);
        self.observer = None;
        for key in &mut self.keys {
            key.end(last_height);
        }
        self.to_height.get_or_insert(last_height);
    }
}
