//! What records of the family `member` say: how the membership of the ledger changes.
//!
//! A `member.proposed` names a change, a `member.approved` agrees to one. When
//! a change comes in force is for [`crate::membership::MembershipState`] to say.

use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer};

use super::{
    Code, Text, ValueError,
    types::{Checked, DataDefect, data, words},
    values::read_as_text,
};
use crate::{
    digest::RecordId,
    membership::{self, Change, KeyId, Member, MemberId, Observer, Role, Validator},
    transparency,
};

words! {
    /// What is to change.
    MembershipChange {
        /// An organisation joins.
        Add = "add",
        /// A member leaves.
        Remove = "remove",
        /// A member gets one more record key.
        KeyAdded = "key_added",
        /// A member's record key is in force no more.
        KeyRevoked = "key_revoked",
        /// A member validates, or validates with other keys than before.
        ValidatorIn = "validator_in",
        /// A member validates no more.
        ValidatorOut = "validator_out",
    }
}

/// An Ed25519 public key: 32 bytes in base64 (RFC 4648, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        membership::public_key(text)
            .map(Self)
            .map_err(|_| ValueError("must be the 32 bytes of an Ed25519 public key in base64"))
    }
}

/// A named key with its purpose (C2SP vkey).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey(transparency::VerifierKey);

impl VerifierKey {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &transparency::VerifierKey {
        &self.0
    }
}

impl FromStr for VerifierKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError("must be a vkey: <name>+<8 hexadecimal digits>+<base64>"))
    }
}

/// The id of the record that proposes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalRef(RecordId);

impl ProposalRef {
    /// The record's id.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.0
    }
}

impl FromStr for ProposalRef {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError("must be a record id, 64 hexadecimal digits in lower case"))
    }
}

/// What a record key signs with: `Ed25519` or `ES256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm(membership::Algorithm);

impl FromStr for Algorithm {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Self)
            .map_err(|_| ValueError("must be Ed25519 or ES256; no other algorithm is accepted"))
    }
}

/// The public half of a record key, in base64 (RFC 4648, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPublicKey(membership::RecordPublicKey);

impl FromStr for RecordPublicKey {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| {
            ValueError(
                "must be a public key in base64: the 32 bytes of an Ed25519 key, or for ES256 \
                 the 33 bytes of a compressed point of P-256",
            )
        })
    }
}

read_as_text! { PublicKey VerifierKey ProposalRef Algorithm RecordPublicKey }

data! {
    /// A record key of a member.
    RecordKey {
        /// Its name among the member's keys.
        id: KeyId,
        /// `Ed25519` or `ES256`.
        alg: Algorithm,
        /// The public key, of that algorithm.
        public: RecordPublicKey,
    }

    /// What a member validates with.
    ValidatorKeys {
        /// Signs consensus votes.
        consensus: PublicKey,
        /// Signs checkpoints; named as the ledger.
        log: VerifierKey,
        /// Cosigns checkpoints; named `<origin>/<member>`.
        cosigner: VerifierKey,
        /// libp2p peer id of its node.
        peer: Code,
        /// Multiaddress of its consensus engine.
        engine_address: Option<Code>,
        /// Multiaddress of its record gossip.
        gossip_address: Option<Code>,
    }

    /// The node with which a member that does not validate follows the ledger.
    ObserverNode {
        /// libp2p peer id of its node.
        peer: Code,
        /// Multiaddress of its consensus engine.
        engine_address: Option<Code>,
        /// Multiaddress of its record gossip.
        gossip_address: Option<Code>,
    }

    /// `member.proposed`: a member proposes to change the membership. Which
    /// fields it has follows from `change`.
    MemberProposed {
        /// What is to change.
        change: MembershipChange,
        /// The member it is about.
        member: MemberId,
        /// For `add`: what people call it.
        name: Option<Text>,
        /// For `add`: what it may sign.
        role: Option<Role>,
        /// For `add`: the IANA time zone in which its contracts count days.
        time_zone: Option<Code>,
        /// For `add`: its record keys.
        keys: Option<Vec<RecordKey>>,
        /// For `add` and `validator_in`: what it validates with.
        validator: Option<ValidatorKeys>,
        /// For `add`: the node it follows the ledger with.
        observer: Option<ObserverNode>,
        /// For `key_added`: the key.
        key: Option<RecordKey>,
        /// For `key_revoked`: the key's id.
        key_id: Option<KeyId>,
    }

    /// `member.approved`: a member that validates approves a proposal.
    MemberApproved {
        /// The record that proposes the change.
        proposal: ProposalRef,
    }
}

impl Checked for MemberProposed {
    fn defect(&self) -> Option<DataDefect> {
        use MembershipChange::{Add, KeyAdded, KeyRevoked, ValidatorIn};

        let change = self.change;
        let adds = change == Add;
        // Each field with whether it stands there, must and may.
        let fields = [
            ("name", self.name.is_some(), adds, adds),
            ("role", self.role.is_some(), adds, adds),
            ("time_zone", self.time_zone.is_some(), false, adds),
            ("keys", self.keys.is_some(), adds, adds),
            ("validator", self.validator.is_some(), change == ValidatorIn, adds),
            ("observer", self.observer.is_some(), false, adds),
            ("key", self.key.is_some(), change == KeyAdded, false),
            ("key_id", self.key_id.is_some(), change == KeyRevoked, false),
        ];
        let contradicts = |key: &RecordKey| key.public.0.algorithm() != key.alg.0;
        let keys = [
            ("keys", self.keys.iter().flatten().any(contradicts)),
            ("key", self.key.as_ref().is_some_and(contradicts)),
        ];
        if let Some((member, _)) = keys.into_iter().find(|(_, contradicts)| *contradicts) {
            return Some(DataDefect {
                member,
                predicate: "has an alg that its public key is not of",
            });
        }
        fields.into_iter().find_map(|(member, stands, must, may)| match (stands, must, may) {
            (false, true, _) => {
                Some(DataDefect { member, predicate: "is missing; this change must have it" })
            }
            (true, false, false) => {
                Some(DataDefect { member, predicate: "is no field of this change" })
            }
            _ => None,
        })
    }
}

impl Checked for MemberApproved {}

impl RecordKey {
    fn key(&self) -> membership::RecordKey {
        membership::RecordKey { id: self.id.clone(), public: self.public.0 }
    }
}

fn text(code: &Code) -> String {
    code.as_str().to_owned()
}

impl ValidatorKeys {
    fn of(&self, member: &MemberId) -> Validator {
        Validator {
            member: member.clone(),
            consensus: self.consensus.0,
            log: self.log.0.clone(),
            cosigner: self.cosigner.0.clone(),
            peer: Some(text(&self.peer)),
            engine_address: self.engine_address.as_ref().map(text),
            gossip_address: self.gossip_address.as_ref().map(text),
        }
    }
}

impl MemberProposed {
    /// The change; none where a field is missing that it must have, which no
    /// record that was read lacks.
    pub(crate) fn change(&self) -> Option<Change> {
        let member = self.member.clone();
        let validator = self.validator.as_ref().map(|keys| keys.of(&member));
        Some(match self.change {
            MembershipChange::Add => {
                let mut keys: Vec<_> = self.keys.as_ref()?.iter().map(RecordKey::key).collect();
                keys.sort_by(|a, b| a.id.cmp(&b.id));
                Change::Add(Box::new(Member {
                    id: member,
                    name: self.name.as_ref()?.as_str().to_owned(),
                    role: self.role?,
                    time_zone: self.time_zone.as_ref().map(text),
                    keys,
                    validator,
                    observer: self.observer.as_ref().map(|observer| Observer {
                        peer: text(&observer.peer),
                        engine_address: observer.engine_address.as_ref().map(text),
                        gossip_address: observer.gossip_address.as_ref().map(text),
                    }),
                }))
            }
            MembershipChange::Remove => Change::Remove(member),
            MembershipChange::KeyAdded => {
                Change::KeyAdded { member, key: self.key.as_ref()?.key() }
            }
            MembershipChange::KeyRevoked => {
                Change::KeyRevoked { member, key_id: self.key_id.clone()? }
            }
            MembershipChange::ValidatorIn => Change::ValidatorIn(Box::new(validator?)),
            MembershipChange::ValidatorOut => Change::ValidatorOut(member),
        })
    }
}
