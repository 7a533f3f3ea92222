//! Changes of a membership, and whether one fits the membership there is.

use std::collections::HashSet;

use super::{
    KeyId, Member, MemberHistory, MemberId, Membership, RecordKey, Tenure, Validator,
    genesis::check_member, record_key::KeyIdentity,
};
use crate::{
    limits::{MEMBER_KEYS_MAX, MEMBERS_MAX, VALIDATORS_MAX},
    refusal::{Code, Refusal},
};

/// One change of who is on the ledger and with which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An organisation joins.
    Add(Box<Member>),
    /// A member leaves; its keys are in force no more.
    Remove(MemberId),
    /// A member gets one more record key.
    KeyAdded {
        /// The member.
        member: MemberId,
        /// The key.
        key: RecordKey,
    },
    /// A member's record key is in force no more.
    KeyRevoked {
        /// The member.
        member: MemberId,
        /// The key's id.
        key_id: KeyId,
    },
    /// A member validates, or validates with these keys instead of those before.
    ValidatorIn(Box<Validator>),
    /// A member validates no more.
    ValidatorOut(MemberId),
}

impl Change {
    /// The member it is about.
    #[must_use]
    pub fn member(&self) -> &MemberId {
        match self {
            Self::Add(member) => &member.id,
            Self::ValidatorIn(validator) => &validator.member,
            Self::KeyAdded { member, .. } | Self::KeyRevoked { member, .. } => member,
            Self::Remove(member) | Self::ValidatorOut(member) => member,
        }
    }

    /// The kind of change, as `data.change` of a `member.proposed` names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::Remove(_) => "remove",
            Self::KeyAdded { .. } => "key_added",
            Self::KeyRevoked { .. } => "key_revoked",
            Self::ValidatorIn(_) => "validator_in",
            Self::ValidatorOut(_) => "validator_out",
        }
    }

    /// Checks that the change can be made to `membership`. `used` holds every
    /// public key that anybody ever had, since a key serves one purpose of one
    /// member for ever.
    pub(super) fn check(
        &self,
        membership: &Membership,
        used: &HashSet<KeyIdentity>,
    ) -> Result<(), Refusal> {
        let id = self.member();
        let present = || {
            membership.member(id).ok_or_else(|| {
                impossible(match membership.past(id) {
                    Some(_) => format!("{id} is no member any more"),
                    None => format!("{id} is no member of this ledger"),
                })
            })
        };
        match self {
            Self::Add(member) => {
                if membership.past(id).is_some() {
                    return Err(impossible(format!(
                        "{id} is or was a member; an id is given once and for ever"
                    )));
                }
                check_count("members", membership.members().count(), MEMBERS_MAX)?;
                if member.keys.len() > MEMBER_KEYS_MAX {
                    return Err(too_many_keys());
                }
                if let Some(validator) = &member.validator {
                    check_validator(member, validator, membership)?;
                }
                check_entry(member, membership, used)
            }
            Self::Remove(_) => {
                let member = present()?;
                check_not_last(member, membership)
            }
            Self::KeyAdded { key, .. } => {
                let member = present()?;
                if membership.past(id).is_some_and(|history| history.key(&key.id).is_some()) {
                    return Err(impossible(format!(
                        "{id} has or had a key {}; an id is given once and for ever",
                        key.id
                    )));
                }
                if member.keys.len() >= MEMBER_KEYS_MAX {
                    return Err(too_many_keys());
                }
                let new = Member { keys: vec![key.clone()], validator: None, ..member.clone() };
                check_entry(&new, membership, used)
            }
            Self::KeyRevoked { key_id, .. } => {
                let member = present()?;
                if member.key(key_id).is_none() {
                    return Err(impossible(format!("{id} has no key {key_id} in force")));
                }
                if member.validator.is_some() && member.keys.len() == 1 {
                    return Err(impossible(format!(
                        "it is the last key of {id}, which validates and could approve nothing \
                         without one; add another key first"
                    )));
                }
                Ok(())
            }
            Self::ValidatorIn(validator) => {
                let member = present()?;
                check_validator(member, validator, membership)?;
                let validator = Some(Validator::clone(validator));
                let new = Member { keys: Vec::new(), validator, observer: None, ..member.clone() };
                check_entry(&new, membership, used)
            }
            Self::ValidatorOut(_) => {
                let member = present()?;
                if member.validator.is_none() {
                    return Err(impossible(format!("{id} does not validate")));
                }
                check_not_last(member, membership)
            }
        }
    }

    /// Makes the change, in force from `from_height` on, to the history of the
    /// member it is about; `before` is none for a member that joins.
    pub(super) fn made(
        &self,
        before: Option<&MemberHistory>,
        from_height: u64,
    ) -> Option<MemberHistory> {
        let last_height = from_height.saturating_sub(1);
        if let Self::Add(member) = self {
            return Some(MemberHistory::of_member(Member::clone(member), from_height));
        }
        let mut history = before?.clone();
        match self {
            Self::Add(_) => {}
            Self::Remove(_) => history.end(last_height),
            Self::KeyAdded { key, .. } => {
                history.keys.push(Tenure::from(key.clone(), from_height));
            }
            Self::KeyRevoked { key_id, .. } => history.end_key(key_id, last_height),
            Self::ValidatorIn(validator) => {
                history.begin_validator(Validator::clone(validator), from_height);
            }
            Self::ValidatorOut(_) => history.end_validator(last_height),
        }
        Some(history)
    }
}

/// What every entry of a genesis must hold, too.
fn check_entry(
    member: &Member,
    membership: &Membership,
    used: &HashSet<KeyIdentity>,
) -> Result<(), Refusal> {
    let mut new = HashSet::new();
    check_member(member, membership.origin(), |key| !used.contains(&key) && new.insert(key))
        .map_err(|error| impossible(error.to_string()))
}

fn check_validator(
    member: &Member,
    validator: &Validator,
    membership: &Membership,
) -> Result<(), Refusal> {
    if member.keys.is_empty() {
        return Err(impossible(format!(
            "{} has no record key, without which a validator could approve nothing",
            member.id
        )));
    }
    if membership.validators().of_member(&validator.member).is_none() {
        check_count("validators", membership.validators().len(), VALIDATORS_MAX)?;
    }
    Ok(())
}

fn check_not_last(member: &Member, membership: &Membership) -> Result<(), Refusal> {
    if member.validator.is_some() && membership.validators().len() == 1 {
        return Err(impossible(format!(
            "{} is the last validator; without one nobody would decide on blocks",
            member.id
        )));
    }
    Ok(())
}

fn check_count(what: &str, count: usize, count_max: usize) -> Result<(), Refusal> {
    if count >= count_max {
        return Err(impossible(format!("a ledger has at most {count_max} {what}")));
    }
    Ok(())
}

fn too_many_keys() -> Refusal {
    impossible(format!("a member has at most {MEMBER_KEYS_MAX} record keys in force"))
}

fn impossible(detail: String) -> Refusal {
    Refusal::new(Code::ChangeImpossible, detail)
}
