//! A whole ledger in this process: one validator, five members, and what a node
//! does to commit a block.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use quittance_ledger::{
    chain::{self, Certificate},
    digest::Digest,
    membership::{
        Genesis, GenesisError, KeyId, Member, MemberId, Membership, NameError, Origin, RecordKey,
        Role, Validator, cosigner_name,
    },
    record::Record,
    refusal::Refusal,
    store::{Options, Store, StoreError},
    transparency::{
        AssembleError, Checkpoint, Cosigner, LogSigner, SignedCheckpoint, VerifierKeyError,
    },
};
use rayon::prelude::*;

use crate::records::{RecordSigner, RecordsError, Series};

/// The time of the first block, 2026-01-01T00:00:00Z, in milliseconds.
const START_MS: u64 = 1_767_225_600_000;

/// The time that records bear.
const OCCURRED_AT: &str = "2026-01-01T00:00:00Z";

const ORIGIN: &str = "bench.example";

const MEMBERS: [(&str, Role); 5] = [
    ("insurer", Role::Insurer),
    ("broker-1", Role::Broker),
    ("broker-2", Role::Broker),
    ("provider", Role::Provider),
    ("trust", Role::TrustService),
];

/// The fixture cannot be made, or the ledger refuses what it should take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// A record.
    #[error(transparent)]
    Record(#[from] Refusal),
    /// The series of records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] AssembleError),
    /// No block came of these records.
    #[error("no block can be made: {0}")]
    NoBlock(String),
}

/// Whether a block is built by the rules between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// As on a node.
    On,
    /// Without them, to measure what they cost.
    Off,
}

/// A ledger's members with all their keys.
pub struct Ledger {
    /// Who is on it.
    pub membership: Membership,
    /// The members that sign records.
    pub signers: Vec<RecordSigner>,
    /// By which rules its blocks are built.
    pub rules: Rules,
    log: LogSigner,
    cosigner: Cosigner,
    consensus: SigningKey,
}

/// How long each stage of committing took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Building the block.
    pub build: Duration,
    /// Making it durable and reading it back.
    pub append: Duration,
    /// Signing its checkpoint.
    pub sign: Duration,
    /// Acknowledging it.
    pub commit: Duration,
}

impl std::ops::AddAssign for Stages {
    fn add_assign(&mut self, other: Self) {
        self.build += other.build;
        self.append += other.append;
        self.sign += other.sign;
        self.commit += other.commit;
    }
}

impl Stages {
    /// All stages together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.build + self.append + self.sign + self.commit
    }
}

/// The key for that purpose; always the same one.
fn key(purpose: &str) -> SigningKey {
    SigningKey::from_bytes(Digest::of(purpose.as_bytes()).as_bytes())
}

impl Ledger {
    /// The ledger, always the same one.
    ///
    /// # Errors
    /// Never, unless the ledger's own rules for names and keys change.
    pub fn new() -> Result<Self, FixtureError> {
        let origin: Origin = ORIGIN.parse()?;
        let key_id: KeyId = "1".parse()?;
        let consensus = key("consensus");
        let log = LogSigner::new(&origin, key("log"))?;
        let first: MemberId = MEMBERS[0].0.parse()?;
        let cosigner = Cosigner::new(cosigner_name(&origin, &first), key("cosigner"))?;
        let mut members = Vec::new();
        let mut signers = Vec::new();
        for (id, role) in MEMBERS {
            let member: MemberId = id.parse()?;
            let validator = (member == first).then(|| Validator {
                member: first.clone(),
                consensus: consensus.verifying_key(),
                log: log.verifier_key().clone(),
                cosigner: cosigner.verifier_key().clone(),
                peer: None,
                engine_address: None,
                gossip_address: None,
            });
            members.push(Member {
                id: member.clone(),
                name: id.to_owned(),
                role,
                time_zone: None,
                keys: vec![RecordKey {
                    id: key_id.clone(),
                    public: key(id).verifying_key().into(),
                }],
                validator,
                observer: None,
            });
            signers.push(RecordSigner {
                member,
                role,
                key_id: key_id.clone(),
                key: key(id).into(),
            });
        }
        let genesis = Genesis::from_members(origin, members)?;
        Ok(Self {
            membership: Membership::from_genesis(&genesis),
            signers,
            rules: Rules::On,
            log,
            cosigner,
            consensus,
        })
    }

    /// A series of records about `contracts` contracts.
    ///
    /// # Errors
    /// `contracts` is zero.
    pub fn series(&self, contracts: u64, seed: &[u8]) -> Result<Series, FixtureError> {
        let signers = self.signers.clone();
        Ok(Series::new(self.membership.origin(), signers, contracts, OCCURRED_AT, seed)?)
    }

    /// The first `count` records of a series, verified.
    ///
    /// # Errors
    /// See [`Ledger::series`].
    pub fn records(&self, contracts: u64, count: u64) -> Result<Vec<Record>, FixtureError> {
        let envelopes = self.series(contracts, b"fixture")?.records(0..count, |_| ())?;
        envelopes.into_par_iter().map(|envelope| Ok(envelope.verify(&self.membership)?)).collect()
    }

    /// Opens the store of this ledger in `folder`, with a node's options.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(&self, folder: &Path) -> Result<Store, FixtureError> {
        Ok(Store::open(folder, self.membership.clone(), Options::default())?)
    }

    /// Signs a checkpoint as a node that is its ledger's only validator does.
    ///
    /// # Errors
    /// Never, unless names or times of this fixture are out of bounds.
    pub fn sign(
        &self,
        checkpoint: &Checkpoint,
        time_ms: u64,
    ) -> Result<SignedCheckpoint, FixtureError> {
        let time_s = time_ms / 1000;
        Ok(SignedCheckpoint::assemble(
            checkpoint.clone(),
            (self.log.verifier_key(), self.log.sign(checkpoint)),
            &[(self.cosigner.verifier_key(), time_s, self.cosigner.cosign(checkpoint, time_s))],
        )?)
    }

    /// Commits one block of these records, and gives how long each stage took
    /// and the records that no longer fitted.
    ///
    /// # Errors
    /// The store fails, or no record could be taken.
    pub fn commit<'a>(
        &self,
        store: &Store,
        records: &'a [Record],
    ) -> Result<(Stages, &'a [Record]), FixtureError> {
        let tip = store.tip();
        let now_ms = START_MS.max(tip.time_ms + 1);
        let clock = Instant::now();
        // As a node does: whoever queues records looked for them in the store before.
        let is_known = |_: &_| Ok::<_, StoreError>(false);
        let waiting = records.iter().cloned();
        let proposer = self.consensus.verifying_key().to_bytes();
        let built = match self.rules {
            Rules::On => chain::build(&tip, store, proposer, now_ms, waiting, is_known)?,
            Rules::Off => chain::build_without_rules(&tip, proposer, now_ms, waiting, is_known)?,
        };
        let Some(block) = built.block else {
            let first = built.refused.first().map(|(id, refusal)| format!("{id}: {refusal}"));
            return Err(FixtureError::NoBlock(first.unwrap_or_else(|| "no records".to_owned())));
        };
        let taken = block.records.len() + built.refused.len() + built.known.len();
        let build = clock.elapsed();
        let certificate = Certificate::of_one(&block.header, &self.consensus);
        let appended = store.append_applied(block, built.applied, &certificate)?;
        let append = clock.elapsed();
        let checkpoint = self.sign(appended.checkpoint(), now_ms)?;
        let sign = clock.elapsed();
        store.commit(appended, Some(&checkpoint))?;
        let commit = clock.elapsed();
        let stages = Stages {
            build,
            append: append.saturating_sub(build),
            sign: sign.saturating_sub(append),
            commit: commit.saturating_sub(sign),
        };
        Ok((stages, records.get(taken..).unwrap_or_default()))
    }

    /// Commits all of these records in blocks of at most `block` each.
    ///
    /// # Errors
    /// See [`Ledger::commit`].
    pub fn commit_all(
        &self,
        store: &Store,
        records: &[Record],
        block: usize,
    ) -> Result<Stages, FixtureError> {
        let mut stages = Stages::default();
        for chunk in records.chunks(block.max(1)) {
            let mut left = chunk;
            while !left.is_empty() {
                let (took, rest) = self.commit(store, left)?;
                stages += took;
                left = rest;
            }
        }
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn records_have_about_512_bytes_and_4000_of_them_fit_a_block() {
        let ledger = Ledger::new().unwrap();
        let records = ledger.records(100, 4000).unwrap();
        let bytes: usize = records.iter().map(|record| record.jws().len()).sum();
        let mean = bytes as f64 / records.len() as f64;
        assert!((480.0..=516.0).contains(&mean), "{mean} bytes on average");
        let folder = tempfile::tempdir().unwrap();
        let store = ledger.open(folder.path()).unwrap();
        let (_, left) = ledger.commit(&store, &records).unwrap();
        assert!(left.is_empty());
        assert_eq!(store.tip().height, 1);
    }

    #[test]
    fn no_two_records_of_a_series_are_the_same_and_the_series_is_always_the_same() {
        let ledger = Ledger::new().unwrap();
        let ids = || -> Vec<_> {
            let series = ledger.series(7, b"a").unwrap();
            series.records(0..500, |_| ()).unwrap().iter().map(|record| record.id()).collect()
        };
        let (first, again) = (ids(), ids());
        assert_eq!(first, again);
        let distinct: std::collections::HashSet<_> = first.into_iter().collect();
        assert_eq!(distinct.len(), 500);
    }

    #[test]
    fn a_block_that_overflows_leaves_the_rest_for_the_next() {
        let ledger = Ledger::new().unwrap();
        let records = ledger.records(10, 5000).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = ledger.open(folder.path()).unwrap();
        let (_, left) = ledger.commit(&store, &records).unwrap();
        assert!(!left.is_empty() && left.len() < 1500);
        ledger.commit_all(&store, left, usize::MAX).unwrap();
        assert_eq!(store.tip().frontier.size(), 5000);
    }
}
