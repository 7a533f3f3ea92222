//! The ledger of a simulation: who validates, with which keys, and the records
//! that are submitted.

use ed25519_dalek::SigningKey;
use quittance_ledger::{
    digest::LedgerId,
    membership::{
        Genesis, Member, MemberEntry, MemberId, Membership, Origin, RecordKey, Role, Validator,
        cosigner_name,
    },
    record::{self, Record},
    transparency::{Cosigner, LogSigner},
};
use serde_json::{Value, json};

use crate::network::peer_id;

/// Wall-clock time when the simulation begins, 2026-01-01T00:00:00Z, in
/// milliseconds since the Unix epoch.
pub const START_MS: u64 = 1_767_225_600_000;

/// A key that depends on nothing but its purpose and number.
fn key(purpose: u8, number: usize) -> SigningKey {
    let mut seed = [purpose; 32];
    seed[0] = u8::try_from(number).expect("few members");
    SigningKey::from_bytes(&seed)
}

/// Members, validators and their keys.
pub struct Ledger {
    membership: Membership,
}

impl Ledger {
    /// A ledger of so many validators, and of one member more that does not
    /// validate yet. Each of them signs records.
    pub fn new(validators: usize) -> Self {
        let origin: Origin = "simulation.quittance.example/ledger".parse().unwrap();
        let mut members: Vec<_> = (0..=validators).map(|number| member(&origin, number)).collect();
        members[validators].validator = None;
        let genesis = Genesis::from_members(origin, members).unwrap();
        Self { membership: Membership::from_genesis(&genesis) }
    }

    /// What it starts from.
    pub fn genesis(&self) -> &Genesis {
        self.membership.genesis()
    }

    pub fn id(&self) -> LedgerId {
        self.membership.ledger_id()
    }

    /// The consensus key of a validator.
    pub fn consensus_key(number: usize) -> SigningKey {
        key(b'c', number)
    }

    /// The `number`th record of a submitter, signed by the member `member`.
    pub fn record(&self, member: usize, submitter: usize, number: usize) -> Record {
        self.sign(
            member,
            (submitter, number),
            json!({
                "type": "contract.quoted",
                "contract": format!("member-{member}/C-{}", number % 5),
                "data": { "quote": format!("Q-{submitter}-{number}") },
            }),
        )
    }

    /// The first member proposes that another begins or ceases to validate, and
    /// as many validators' members approve as are needed. Of no other change.
    pub fn change(&self, submitter: usize, number: usize, joins: bool) -> (Record, Vec<Record>) {
        let id = member_id(number);
        let data = if joins {
            let member = member(self.membership.origin(), number);
            let entry = MemberEntry::of_member(&member).validator;
            json!({ "change": "validator_in", "member": id, "validator": entry })
        } else {
            json!({ "change": "validator_out", "member": id })
        };
        let payload = json!({ "type": "member.proposed", "data": data });
        let proposal = self.sign(0, (submitter, 0), payload);
        let validators = self.membership.validators().len() + usize::from(!joins);
        let approvals = (0..=validators * 2 / 3).map(|member| {
            let data = json!({ "proposal": proposal.id() });
            let payload = json!({ "type": "member.approved", "data": data });
            self.sign(member, (submitter, 1), payload)
        });
        let approvals = approvals.collect();
        (proposal, approvals)
    }

    fn sign(
        &self,
        member: usize,
        (submitter, number): (usize, usize),
        mut payload: Value,
    ) -> Record {
        let mut salt = [0; 16];
        salt[0] = u8::try_from(submitter).unwrap();
        salt[8..].copy_from_slice(&(number as u64).to_be_bytes());
        let salt = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, salt);
        payload["salt"] = salt.into();
        payload["occurred_at"] = "2026-01-01T00:00:00Z".into();
        let Value::Object(payload) = payload else { unreachable!() };
        let (signer, id) = (member_id(member), "1".parse().unwrap());
        record::sign(payload, self.membership.origin(), &signer, &id, &key(b'r', member))
            .and_then(|envelope| envelope.verify(&self.membership))
            .unwrap()
    }
}

fn member_id(number: usize) -> MemberId {
    format!("member-{number}").parse().unwrap()
}

fn member(origin: &Origin, number: usize) -> Member {
    let id = member_id(number);
    let cosigner = Cosigner::new(cosigner_name(origin, &id), key(b's', number)).unwrap();
    let validator = Validator {
        member: id.clone(),
        consensus: Ledger::consensus_key(number).verifying_key(),
        log: LogSigner::new(origin, key(b'l', number)).unwrap().verifier_key().clone(),
        cosigner: cosigner.verifier_key().clone(),
        peer: Some(peer_id(number).to_string()),
        engine_address: None,
        gossip_address: None,
    };
    let public = key(b'r', number).verifying_key().into();
    Member {
        name: id.to_string(),
        id,
        role: Role::Insurer,
        time_zone: None,
        keys: vec![RecordKey { id: "1".parse().unwrap(), public }],
        validator: Some(validator),
        observer: None,
    }
}
