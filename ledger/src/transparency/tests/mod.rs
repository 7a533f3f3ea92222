#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod layout;
mod notes;
mod others;
mod policy;
mod receipt;
mod tree;
mod vectors;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;

use super::{Checkpoint, Cosigner, LogSigner, Policy, Receipt, SignedCheckpoint, tree as merkle};
use crate::{
    digest::{Digest, RecordId},
    membership::{Origin, Validator},
};

/// When the tests' cosigners cosign, in POSIX seconds.
const TIME_S: u64 = 1_767_225_600;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn origin() -> Origin {
    "ledger.example/quittance".parse().unwrap()
}

/// Validators with keys from fixed seeds.
struct Consortium {
    logs: Vec<LogSigner>,
    cosigners: Vec<Cosigner>,
    validators: Vec<Validator>,
}

impl Consortium {
    fn new(members: &[&str]) -> Self {
        let mut consortium =
            Self { logs: Vec::new(), cosigners: Vec::new(), validators: Vec::new() };
        for (seed, member) in (0_u8..).step_by(3).zip(members) {
            let log = LogSigner::new(&origin(), key(seed + 1)).unwrap();
            let cosigner = Cosigner::new(format!("{}/{member}", origin()), key(seed + 2)).unwrap();
            consortium.validators.push(Validator {
                member: member.parse().unwrap(),
                consensus: key(seed + 3).verifying_key(),
                log: log.verifier_key().clone(),
                cosigner: cosigner.verifier_key().clone(),
                peer: None,
                engine_address: None,
                gossip_address: None,
            });
            consortium.logs.push(log);
            consortium.cosigners.push(cosigner);
        }
        consortium
    }

    fn policy(&self) -> Policy {
        Policy::for_validators(self.validators.iter())
    }

    /// The checkpoint as the first member serves it, cosigned by these members.
    fn sign(&self, checkpoint: &Checkpoint, members: &[usize]) -> SignedCheckpoint {
        let log = &self.logs[0];
        let cosignatures: Vec<_> = members
            .iter()
            .map(|member| {
                let cosigner = &self.cosigners[*member];
                (cosigner.verifier_key(), TIME_S, cosigner.cosign(checkpoint, TIME_S))
            })
            .collect();
        let log = (log.verifier_key(), log.sign(checkpoint));
        SignedCheckpoint::assemble(checkpoint.clone(), log, &cosignatures).unwrap()
    }
}

/// A text that has the shape of a record.
fn record(number: u64) -> Arc<[u8]> {
    let payload = format!(r#"{{"ledger":"{}","number":{number}}}"#, origin());
    [
        URL_SAFE_NO_PAD.encode(r#"{"alg":"Ed25519","kid":"petexpert#1","typ":"quittance-record"}"#),
        URL_SAFE_NO_PAD.encode(payload),
        URL_SAFE_NO_PAD.encode([0x5A; 64]),
    ]
    .join(".")
    .into_bytes()
    .into()
}

fn ids(count: u64) -> Vec<RecordId> {
    (0..count).map(|number| RecordId::of(&record(number))).collect()
}

fn nodes(ids: &[RecordId]) -> merkle::MemoryNodes {
    merkle::append(0, ids, &merkle::MemoryNodes::default()).unwrap().into()
}

fn checkpoint(ids: &[RecordId]) -> Checkpoint {
    let size = ids.len() as u64;
    Checkpoint { origin: origin(), size, root: merkle::root(size, &nodes(ids)).unwrap() }
}

fn receipt(consortium: &Consortium, size: u64, index: u64, members: &[usize]) -> Receipt {
    let ids = ids(size);
    Receipt {
        record: record(index),
        index,
        proof: merkle::inclusion(index, size, &nodes(&ids)).unwrap(),
        checkpoint: consortium.sign(&checkpoint(&ids), members),
    }
}

fn digest(text: &str) -> Digest {
    text.parse().unwrap()
}
