//! A small ledger for the tests of this crate: one validator, three members.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use crate::{
    chain::{self, Block, Certificate},
    membership::{
        Genesis, KeyId, Member, MemberId, Membership, Origin, RecordKey, Role, Validator,
        cosigner_name,
    },
    record::{self, Envelope, Record},
    store::{Appended, Options, Store, StoreError},
    transparency::{Checkpoint, Cosigner, LogSigner, SignedCheckpoint},
};

/// The time of the first block, 2026-01-01T00:00:00Z, in milliseconds.
pub const START_MS: u64 = 1_767_225_600_000;

/// Small files, so that tests have several of them.
pub const OPTIONS: Options =
    Options { cache_bytes: 8 << 20, segment_bytes_max: 64 * 1024, inspect: false };

/// A ledger's members and every key of theirs.
pub struct Ledger {
    /// What its genesis says.
    pub membership: Membership,
    /// The validator's keys come from this seed on.
    pub seed: u8,
    pub log: LogSigner,
    pub cosigner: Cosigner,
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

impl Ledger {
    pub fn new(origin: &str) -> Self {
        Self::with_validator_seed(origin, 101)
    }

    /// A ledger of that name whose validator's keys come from `seed` on.
    pub fn with_validator_seed(origin: &str, seed: u8) -> Self {
        let origin: Origin = name(origin);
        let insurer: MemberId = name("insurer");
        let log = LogSigner::new(&origin, key(seed + 1)).unwrap();
        let cosigner = Cosigner::new(cosigner_name(&origin, &insurer), key(seed + 2)).unwrap();
        let member = |id: &str, role, record_seed, validator| Member {
            id: name(id),
            name: id.to_owned(),
            role,
            time_zone: None,
            keys: vec![RecordKey {
                id: name::<KeyId>("1"),
                public: key(record_seed).verifying_key().into(),
            }],
            validator,
            observer: None,
        };
        let validator = Validator {
            member: insurer,
            consensus: key(seed).verifying_key(),
            log: log.verifier_key().clone(),
            cosigner: cosigner.verifier_key().clone(),
            peer: None,
            engine_address: None,
            gossip_address: None,
        };
        let members = vec![
            member("insurer", Role::Insurer, 1, Some(validator)),
            member("broker", Role::Broker, 2, None),
            member("provider", Role::Provider, 3, None),
        ];
        let genesis = Genesis::from_members(origin, members).unwrap();
        Self { membership: Membership::from_genesis(&genesis), seed, log, cosigner }
    }

    /// The same ledger, whose validator works with keys from `seed` on.
    pub fn with_keys_from(&self, seed: u8) -> Self {
        let other = Self::with_validator_seed(self.membership.origin().as_str(), seed);
        Self { membership: self.membership.clone(), ..other }
    }

    /// A record of `signer` under any of its keys, verified by nobody.
    pub fn sign_as(&self, signer: &str, key_id: &str, seed: u8, payload: Value) -> Envelope {
        let Value::Object(payload) = payload else { panic!("a payload is an object") };
        let origin = self.membership.origin();
        record::sign(payload, origin, &name(signer), &name(key_id), &key(seed)).unwrap()
    }

    /// A record of `signer` (insurer, broker or provider).
    pub fn sign(&self, signer: &str, payload: Value) -> Record {
        let seed = match signer {
            "insurer" => 1,
            "broker" => 2,
            _ => 3,
        };
        let Value::Object(payload) = payload else { panic!("a payload is an object") };
        record::sign(payload, self.membership.origin(), &name(signer), &name("1"), &key(seed))
            .and_then(|envelope| envelope.verify(&self.membership))
            .unwrap()
    }

    /// The `number`th of a series of records, each about its own contract.
    pub fn quote(&self, number: u64) -> Record {
        let salt = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            u128::from(number).to_be_bytes(),
        );
        self.sign(
            "broker",
            json!({
                "type": "contract.quoted",
                "salt": salt,
                "occurred_at": "2026-01-01T00:00:00Z",
                "contract": format!("insurer/C-{}", number % 10),
                "data": { "quote": format!("Q-{number}") },
            }),
        )
    }

    pub fn open(&self, folder: &Path) -> Result<Store, StoreError> {
        Store::open(folder, self.membership.clone(), OPTIONS)
    }

    pub fn signed(&self, checkpoint: &Checkpoint) -> SignedCheckpoint {
        SignedCheckpoint::assemble(
            checkpoint.clone(),
            (self.log.verifier_key(), self.log.sign(checkpoint)),
            &[(
                self.cosigner.verifier_key(),
                START_MS / 1000,
                self.cosigner.cosign(checkpoint, START_MS / 1000),
            )],
        )
        .unwrap()
    }

    pub fn block(&self, store: &Store, records: Vec<Record>) -> Block {
        let built = chain::build(
            &store.decided(),
            store,
            key(self.seed).verifying_key().to_bytes(),
            START_MS,
            records,
            |id| store.contains(id),
        );
        built.unwrap().block.expect("some record is new")
    }

    /// Appends a block that the validator decided on.
    pub fn append(&self, store: &Store, block: Block) -> Appended {
        let certificate = Certificate::of_one(&block.header, &key(self.seed));
        store.append(block, &certificate).unwrap()
    }

    /// Commits one block of these records.
    pub fn commit(&self, store: &Store, records: Vec<Record>) {
        let appended = self.append(store, self.block(store, records));
        let checkpoint = self.signed(appended.checkpoint());
        store.commit(appended, Some(&checkpoint)).unwrap();
    }

    /// Commits one block of these records, whatever the rules between records say.
    pub fn commit_without_rules(&self, store: &Store, records: Vec<Record>) {
        let proposer = key(self.seed).verifying_key().to_bytes();
        let is_known = |id: &_| store.contains(id);
        let built =
            chain::build_without_rules(&store.decided(), proposer, START_MS, records, is_known)
                .unwrap();
        let block = built.block.expect("some record is new");
        let certificate = Certificate::of_one(&block.header, &key(self.seed));
        let appended = store.append_applied(block, built.applied, &certificate).unwrap();
        let checkpoint = self.signed(appended.checkpoint());
        store.commit(appended, Some(&checkpoint)).unwrap();
    }

    /// Commits `blocks` blocks of `size` quotes each, numbered from `first` on.
    pub fn fill(&self, store: &Store, first: u64, blocks: u64, size: u64) {
        for block in 0..blocks {
            let from = first + block * size;
            self.commit(store, (from..from + size).map(|number| self.quote(number)).collect());
        }
    }
}
