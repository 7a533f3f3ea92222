//! The rules between records, each at its edge.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod claim;
mod contract;
mod corrections;
mod corrections_of_claims;
mod documents;
mod histories;
mod ladder;
mod late_holds;
mod moments;
mod payment;
mod preauthorisation;
mod samples;
mod settlement;
mod signature;
mod statement;
mod vectors;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{BlockState, Effects};
use crate::{
    insurance::state::{self, MemoryState, StateReader, entities, keys},
    membership::{
        Disposition, Genesis, KeyId, Member, MemberId, Membership, MembershipState, Origin,
        RecordKey, Role, RuleDispositions,
    },
    record::{self, Record},
    refusal::{Code, Refusal},
    testing::key,
};

/// 2040-01-01T00:00:00Z, after everything the tests tell of, in milliseconds.
pub(in crate::insurance) const BLOCK_MS: u64 = 2_208_988_800_000;

const MEMBERS: [(&str, Role); 18] = [
    ("petexpert", Role::Insurer),
    ("comp-it", Role::Insurer),
    ("auto-fr", Role::Insurer),
    ("santevet", Role::Insurer),
    ("rs-de", Role::Insurer),
    ("heca", Role::Broker),
    ("netvox", Role::Broker),
    ("makler-1", Role::Broker),
    ("vet-1", Role::Provider),
    ("vet-2", Role::Provider),
    ("otp-it", Role::TrustService),
    // Those of the tests that are not samples.
    ("ins", Role::Insurer),
    ("other", Role::Insurer),
    ("broker", Role::Broker),
    ("vet", Role::Provider),
    ("garage", Role::Provider),
    ("otp", Role::TrustService),
    ("rival", Role::Broker),
];

/// A ledger of one-record blocks.
#[derive(Clone)]
pub(in crate::insurance) struct World {
    pub(super) members: MembershipState,
    pub(in crate::insurance) state: MemoryState,
    pub(super) records: Vec<Record>,
    /// The effects of each block.
    pub(super) effects: Vec<crate::digest::Digest>,
    salt: u64,
}

impl World {
    pub(in crate::insurance) fn new() -> Self {
        Self::with_rules(RuleDispositions::default())
    }

    /// Every rule that can be softened only flags.
    pub(in crate::insurance) fn flagging() -> Self {
        Self::with_rules(RuleDispositions {
            change_only_at_period_end: Disposition::Flag,
            dossier_red: Disposition::Flag,
            notice_too_late: Disposition::Flag,
        })
    }

    fn with_rules(rules: RuleDispositions) -> Self {
        let origin: Origin = "test.example/rules".parse().unwrap();
        let members = (1..).zip(MEMBERS).map(|(seed, (id, role))| Member {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            role,
            time_zone: None,
            keys: vec![RecordKey {
                id: "1".parse().unwrap(),
                public: key(seed).verifying_key().into(),
            }],
            validator: None,
            observer: None,
        });
        let genesis = Genesis::from_members(origin, members.collect()).unwrap();
        let genesis = Genesis { rules, ..genesis };
        Self {
            members: MembershipState::from_genesis(&genesis),
            state: MemoryState::default(),
            records: Vec::new(),
            effects: Vec::new(),
            salt: 0,
        }
    }

    pub(super) fn membership(&self) -> &Membership {
        self.members.membership()
    }

    /// Signs a record; each has another salt, so that none is another's double.
    pub(in crate::insurance) fn sign(&mut self, signer: &str, record: Value) -> Record {
        self.salt += 1;
        sign(self.membership(), self.salt, signer, record)
    }

    /// Takes a record in a block of its own. A refused one leaves no trace.
    pub(in crate::insurance) fn append(&mut self, record: &Record) -> Result<(), Refusal> {
        let index = self.records.len() as u64;
        let mut block = BlockState::new(index + 1, BLOCK_MS, index, &self.members, &self.state);
        match block.apply(record) {
            Ok(()) => {
                self.effects.push(block.effects_digest());
                let changes = block.into_parts().1;
                self.state.apply(changes, std::slice::from_ref(record));
                self.records.push(record.clone());
                Ok(())
            }
            Err(state::ApplyError::Refused(refusal)) => {
                assert_eq!(block.effects_digest(), Effects::default().digest(), "{refusal}");
                assert!(block.into_parts().1.is_empty(), "{refusal}");
                Err(refusal)
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(in crate::insurance) fn try_take(
        &mut self,
        signer: &str,
        record: Value,
    ) -> Result<Record, Refusal> {
        let record = self.sign(signer, record);
        self.append(&record).map(|()| record)
    }

    #[track_caller]
    pub(in crate::insurance) fn take(&mut self, signer: &str, record: Value) -> Record {
        match self.try_take(signer, record.clone()) {
            Ok(record) => record,
            Err(refusal) => panic!("{refusal}\n{record}"),
        }
    }

    #[track_caller]
    pub(super) fn refuse(&mut self, code: Code, signer: &str, record: Value) -> Refusal {
        match self.try_take(signer, record.clone()) {
            Ok(_) => panic!("taken, though {code}\n{record}"),
            Err(refusal) => {
                assert_eq!(refusal.code, code, "{refusal}\n{record}");
                refusal
            }
        }
    }

    pub(super) fn period(&self, contract: &str, number: u32) -> entities::Period {
        let key = keys::period(&contract.parse().unwrap(), number);
        state::read(&self.state, &key).unwrap().unwrap()
    }

    pub(super) fn claim(&self, claim: &str) -> entities::Claim {
        state::read(&self.state, &keys::claim(&claim.parse().unwrap())).unwrap().unwrap()
    }

    pub(super) fn flags(&self, index: u64) -> Vec<String> {
        let flags = state::read(&self.state, &keys::flags(index)).unwrap();
        flags.map(|flags| flags.codes).unwrap_or_default()
    }

    /// The flags of the newest record.
    pub(super) fn last_flags(&self) -> Vec<String> {
        self.flags(self.records.len() as u64 - 1)
    }
}

pub(super) fn sign(membership: &Membership, salt: u64, signer: &str, record: Value) -> Record {
    let Value::Object(mut record) = record else { panic!("a record is an object") };
    if !record.contains_key("salt") {
        let salt = u128::from(salt).to_be_bytes();
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        record.insert("salt".to_owned(), base64::Engine::encode(&engine, salt).into());
    }
    let seed = 1 + MEMBERS.iter().position(|(id, _)| *id == signer).unwrap();
    let (member, key_id): (MemberId, KeyId) = (signer.parse().unwrap(), "1".parse().unwrap());
    let key = key(u8::try_from(seed).unwrap());
    record::sign(record, membership.origin(), &member, &key_id, &key)
        .and_then(|envelope| envelope.verify(membership))
        .unwrap()
}

/// A record of that type about a contract of the tests, `ins/C`.
pub(super) fn record(record_type: &str, at: &str, data: Value) -> Value {
    json!({"type": record_type, "occurred_at": at, "contract": "ins/C", "data": data})
}

/// A record of that type about a claim on `ins/C`.
pub(super) fn of_claim(record_type: &str, at: &str, claim: &str, data: Value) -> Value {
    with(record(record_type, at, data), json!({"claim": format!("ins/{claim}")}))
}

/// `object` with the members of `more` in place of its own; deeply.
pub(super) fn with(mut object: Value, more: Value) -> Value {
    fn merge(into: &mut Map<String, Value>, more: Map<String, Value>) {
        for (name, value) in more {
            match (into.get_mut(&name), value) {
                (Some(Value::Object(into)), Value::Object(more)) => merge(into, more),
                (_, Value::Null) => {
                    into.remove(&name);
                }
                (_, value) => {
                    into.insert(name, value);
                }
            }
        }
    }
    let (Value::Object(into), Value::Object(more)) = (&mut object, more) else { panic!("objects") };
    merge(into, more);
    object
}

/// The contract `ins/C` from 2025-03-01 to 2026-02-28, with a ceiling of 1,500.00 EUR.
pub(super) fn issued() -> Value {
    record(
        "contract.issued",
        "2025-02-27T09:00:00+01:00",
        json!({
            "version": 1, "line_of_business": "pet_health", "annual_ceiling": 150_000,
            "period": {"from": "2025-03-01", "to": "2026-02-28"}, "signature_required": false,
            "currency": "EUR",
        }),
    )
}

/// A world with the contract `ins/C`.
pub(super) fn world() -> World {
    let mut world = World::new();
    world.take("ins", issued());
    world
}

pub(super) fn opened(at: &str, claim: &str, claimed: u64) -> Value {
    let data = json!({"channel": "crm", "attached": [], "claimed": claimed, "currency": "EUR"});
    of_claim("claim.opened", at, claim, data)
}

pub(super) fn decided(at: &str, claim: &str, approved: u64, refused: u64) -> Value {
    let outcome = match (approved, refused) {
        (0, _) => "refused",
        (_, 0) => "approved",
        _ => "partly",
    };
    let data =
        json!({"outcome": outcome, "approved": approved, "refused": refused, "currency": "EUR"});
    of_claim("claim.decided", at, claim, data)
}

pub(super) fn paid(at: &str, claim: &str, amount: u64) -> Value {
    let data =
        json!({"amount": amount, "currency": "EUR", "status": "executed", "payee": "policyholder"});
    of_claim("payment.recorded", at, claim, data)
}

pub(super) fn requested(at: &str, number: &str, amount: u64) -> Value {
    let lines = json!([{"code": "x", "amount": amount}]);
    let data = json!({"preauthorisation": number, "lines": lines, "currency": "EUR"});
    record("preauthorisation.requested", at, data)
}

/// The answer to a request, with a hold of 24 hours.
pub(super) fn answered(at: &str, number: &str, guaranteed: u64, share: u64) -> Value {
    let until = seconds_after(at, 86_400);
    let data = json!({
        "preauthorisation": number, "guaranteed": guaranteed, "customer_share": share,
        "hold_until": until, "currency": "EUR",
    });
    record("preauthorisation.answered", at, data)
}

pub(super) fn claimed(at: &str, claim: &str, number: &str, amount: u64) -> Value {
    with(opened(at, claim, amount), json!({"data": {"preauthorisation": number}}))
}

pub(super) fn ceiling_asked(at: &str, amount: u64) -> Value {
    let data = json!({"change": "ceiling", "to": amount, "wanted_on": "2026-03-01",
        "currency": "EUR"});
    record("contract.change_requested", at, data)
}

/// The second version, of the year after.
pub(super) fn renewed_with(ceiling: u64) -> Value {
    let period = json!({"from": "2026-03-01", "to": "2027-02-28"});
    let data = json!({"version": 2, "period": period, "annual_ceiling": ceiling,
        "currency": "EUR"});
    record("contract.renewed", "2026-03-01T00:00:00+01:00", data)
}

pub(super) fn seconds_after(at: &str, seconds: i64) -> String {
    let at: Timestamp = at.parse().unwrap();
    (at + jiff::SignedDuration::from_secs(seconds)).to_string()
}
