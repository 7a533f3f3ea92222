//! What a consensus engine asks of the ledger: propose a block, check one that
//! somebody else proposes, commit what was decided.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quittance_api::submit::Outcome;
use quittance_ledger::{
    chain::{self, Applied, Block, Built, Certificate, Header, Tip},
    digest::{Digest, RecordId},
    insurance::{
        rules::Judge,
        state::{ApplyError, StateError},
    },
    membership::Membership,
    record::Record,
    refusal::{Code, Refusal},
    store::{Location, StoreError},
    transparency::{Checkpoint, SignedCheckpoint},
};
use rayon::prelude::*;

use super::{Decided, Fatal, Shared, may_pass_soon, now_ms};
use crate::engine::limits::CLOCK_AHEAD_MS_MAX;

/// How long a record that names another one waits for it before it is refused.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(10);

/// How long a record waits for others that would make it acceptable, such as one
/// that is on its way from another node, before it is refused.
const RULE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a record that was refused so may wait for what would let it in; for
/// ever where only the clock is missing.
fn patience(code: Code) -> Duration {
    match code {
        Code::OccurredInFuture => Duration::MAX,
        Code::UnknownReference => PREDECESSOR_PATIENCE,
        code if may_pass_soon(code) => RULE_PATIENCE,
        _ => Duration::ZERO,
    }
}

/// How long another node's record is kept that gets into no block. That node
/// keeps it.
const FOREIGN_AGE_MAX: Duration = Duration::from_secs(600);

/// What blocks do that were built or checked here, the last few.
const APPLIED_MAX: usize = 8;

/// The ledger as an engine sees it.
pub struct Application {
    shared: Arc<Shared>,
    /// What proposed blocks of the next height do, by the hashes of their headers, so that it
    /// is not worked out again for the one that is decided.
    applied: Mutex<VecDeque<(Digest, Applied)>>,
}

impl Application {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, applied: Mutex::default() }
    }

    /// Checks that the ledger goes on from what this node cosigned last, commits
    /// a block that an earlier run wrote but could not acknowledge, and
    /// publishes the checkpoint of the empty ledger.
    pub fn recover(&self) -> Result<(), Fatal> {
        let store = &self.shared.store;
        if let Some(validator) = &self.shared.signers.validator {
            validator.cosigned.check(store)?;
            if store.latest_checkpoint()?.is_none()
                && self.decides_alone()
                && let Some(empty) = store.checkpoint_at(0)?
            {
                // Not kept as the last one: a first block may be under way.
                store.put_first_checkpoint(&validator.sign(&empty)?)?;
            }
        }
        if let Some((block, certificate)) = store.unfinished() {
            tracing::info!(height = block.header.height, "committing the block that was under way");
            let tip = store.decided();
            chain::check(&tip, &**store, block, |id| store.is_decided(id))?;
            self.commit(block.clone(), certificate)?;
        }
        Ok(())
    }

    /// Whether this node's cosignature alone makes a checkpoint final.
    fn decides_alone(&self) -> bool {
        self.shared.membership().validators().quorum() == 1 && self.shared.own_validator().is_some()
    }

    /// Builds the next block, of no more bytes, from records that wait; none when
    /// there is nothing to put into it. Records that can no longer be taken are
    /// settled.
    pub fn propose(&self, bytes_max: usize) -> Result<Option<Block>, Fatal> {
        let store = &self.shared.store;
        let Some(validator) = &self.shared.signers.validator else { return Ok(None) };
        let waiting = self.shared.queue.first(bytes_max);
        if waiting.is_empty() {
            return Ok(None);
        }
        let tip = store.decided();
        let Built { block, refused, known, applied } = chain::build::<StoreError>(
            &tip,
            &**store,
            validator.consensus.verifying_key().to_bytes(),
            now_ms(),
            waiting,
            |id| store.is_decided(id),
        )?;
        for (id, refusal) in refused {
            self.refuse(&tip, id, refusal)?;
        }
        for id in known {
            self.shared.settle_known(&id)?;
        }
        if let Some(block) = &block {
            self.remember(block.header.hash(), applied);
        }
        Ok(block)
    }

    /// A record that may not stand in the block that was just built. Only what
    /// no later block may hold either is refused for good.
    fn refuse(&self, tip: &Tip, id: RecordId, refusal: Refusal) -> Result<(), Fatal> {
        let queue = &self.shared.queue;
        let Some(record) = queue.get(&id) else { return Ok(()) };
        let Some(since) = queue.set_aside(&id) else { return Ok(()) };
        let refusal = if self.decides_alone() {
            if refusal.code == Code::OccurredInFuture {
                queue.settle([(id, Outcome::Refused(refusal))]);
                return Ok(());
            }
            Some(refusal)
        } else {
            // Another validator's clock may be behind ours; the time of the last
            // block holds for all. And the block that was just built may never be.
            self.refusal(tip, chain::next_time_ms(tip, 0), &record)?
        };
        if let Some(refusal) = refusal.filter(|refusal| since.elapsed() >= patience(refusal.code)) {
            queue.settle([(id, Outcome::Refused(refusal))]);
        }
        Ok(())
    }

    /// Why a record may not stand first in a block of that time after `tip`, the
    /// decided one.
    fn refusal(&self, tip: &Tip, time_ms: u64, record: &Record) -> Result<Option<Refusal>, Fatal> {
        let (height, first) = (tip.height.saturating_add(1), tip.frontier.size());
        let store = &*self.shared.store;
        match Judge::new(height, time_ms, first, &tip.members, store).apply(record) {
            Ok(()) => Ok(None),
            Err(ApplyError::Refused(refusal)) => Ok(Some(refusal)),
            Err(ApplyError::State(error)) => Err(StoreError::from(error).into()),
        }
    }

    /// Lets go of other nodes' records that got into no block for long.
    pub fn tidy_up(&self) {
        self.shared.queue.expire_foreign(FOREIGN_AGE_MAX);
    }

    /// Looks again at what was set aside for long: no block may come that would
    /// make the queue do so. What waited for a record that it names is refused;
    /// what came before its time may have reached it.
    pub fn look_again(&self) -> Result<(), Fatal> {
        let queue = &self.shared.queue;
        let tip = self.shared.store.decided();
        for (record, since) in queue.aside_for(RULE_PATIENCE) {
            match self.refusal(&tip, chain::next_time_ms(&tip, now_ms()), &record)? {
                None => queue.ready(&record.id()),
                Some(refusal) if since.elapsed() >= patience(refusal.code) => {
                    queue.settle([(record.id(), Outcome::Refused(refusal))]);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Verifies a block that somebody proposes after the decided tip: envelope
    /// and structure of its records, order, time, rules and tree root. A record
    /// that this node has verified already is not verified again.
    ///
    /// `Ok(Err(reason))` is a block that must not be voted for.
    pub fn check(
        &self,
        header: Header,
        records: Vec<Vec<u8>>,
    ) -> Result<Result<Block, String>, Fatal> {
        let store = &self.shared.store;
        let tip = store.decided();
        let verified = match self.shared.ahead.take(&tip, &records) {
            Some(records) => Ok(records),
            None => self.verify(records, tip.membership()),
        };
        let block = match verified {
            Ok(records) => Block { header, records },
            Err(reason) => return Ok(Err(reason)),
        };
        let is_known = |id: &RecordId| store.is_decided(id).map_err(CheckError::Store);
        match chain::check(&tip, &**store, &block, is_known) {
            Ok(checked) => {
                self.remember(block.header.hash(), checked.into_applied());
                Ok(Ok(block))
            }
            Err(CheckError::Block(error)) => Ok(Err(error.to_string())),
            Err(CheckError::Store(error)) => Err(error.into()),
        }
    }

    fn verify(
        &self,
        records: Vec<Vec<u8>>,
        membership: &Membership,
    ) -> Result<Vec<Record>, String> {
        records
            .into_par_iter()
            .enumerate()
            .map(|(place, jws)| {
                let id = RecordId::of(&jws);
                match self.shared.queue.get(&id) {
                    Some(record) => Ok(record),
                    None => Record::open(jws, membership)
                        .map_err(|refusal| format!("record {place} ({id}): {refusal}")),
                }
            })
            .collect()
    }

    // No thread leaves it half changed, so a poisoned lock is still whole.
    fn applied(&self) -> MutexGuard<'_, VecDeque<(Digest, Applied)>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, block: Digest, what: Applied) {
        let mut applied = self.applied();
        if applied.len() == APPLIED_MAX {
            applied.pop_front();
        }
        applied.push_back((block, what));
    }

    /// What a block does, if it is known. Whatever is known of others of its
    /// height is of no more use.
    fn take_applied(&self, block: &Digest) -> Option<Applied> {
        let known = std::mem::take(&mut *self.applied());
        known.into_iter().find(|(hash, _)| hash == block).map(|(_, applied)| applied)
    }

    /// Whether a block's time is too far ahead of this node's clock to vote for.
    pub fn is_too_early(header: &Header) -> bool {
        header.time_ms > now_ms().saturating_add(CLOCK_AHEAD_MS_MAX)
    }

    /// Makes a decided block durable and attests its checkpoint.
    pub fn commit(&self, block: Block, certificate: &Certificate) -> Result<(), Fatal> {
        let store = &self.shared.store;
        let before = store.decided().frontier.size();
        let height = block.header.height;
        let appended = match self.take_applied(&block.header.hash()) {
            Some(applied) => store.append_applied(block, applied, certificate)?,
            None => store.append(block, certificate)?,
        };
        let checkpoint = appended.checkpoint().clone();
        let mut published = None;
        if let (Some(validator), Some(_)) =
            (&self.shared.signers.validator, self.shared.own_validator())
        {
            if self.decides_alone() {
                let signed = validator.sign(&checkpoint)?;
                validator.cosigned.keep(&signed)?;
                published = Some(signed);
            } else if !self.shared.is_behind(height) {
                self.attest(&checkpoint)?;
            }
        }
        let block = store.commit(appended, published.as_ref())?;
        let ids: Vec<_> = block.records.iter().map(Record::id).collect();
        self.shared.remember_decided(block.header.height, before, &ids);
        if published.is_some() {
            self.shared.became_final()?;
        }
        Ok(())
    }

    /// Cosigns the checkpoint of a block that is durable, and tells the others.
    /// Nothing is cosigned that does not go on from what was cosigned last.
    fn attest(&self, checkpoint: &Checkpoint) -> Result<(), Fatal> {
        let Some(validator) = &self.shared.signers.validator else { return Ok(()) };
        if !validator.cosigned.may_sign(checkpoint, &self.shared.store)? {
            return Ok(());
        }
        let (attestation, signed) = validator.attest(checkpoint)?;
        validator.cosigned.keep(&signed)?;
        self.shared.add_own_attestation(attestation);
        Ok(())
    }

    /// Cosigns the checkpoint of the last decided block, for whoever missed it.
    pub fn attest_again(&self) -> Result<(), Fatal> {
        let store = &self.shared.store;
        let size = store.decided().frontier.size();
        match store.decided_checkpoint(size)? {
            Some(checkpoint) if self.shared.own_validator().is_some() => self.attest(&checkpoint),
            _ => Ok(()),
        }
    }

    /// Publishes every checkpoint that is final by now, so that each block that
    /// can have one of its own does.
    pub fn publish_final(&self) -> Result<(), Fatal> {
        while let Some(signed) = self.shared.assemble_final()? {
            if !self.publish(&signed)? {
                break;
            }
        }
        Ok(())
    }

    /// Publishes a checkpoint that is known to be final.
    pub fn publish(&self, signed: &SignedCheckpoint) -> Result<bool, Fatal> {
        let moved = self.shared.store.publish(signed)?;
        if moved {
            self.shared.became_final()?;
        }
        Ok(moved)
    }

    /// Takes a checkpoint from a peer, where it is final and this ledger's.
    pub fn adopt(&self, signed: SignedCheckpoint) -> Result<bool, Fatal> {
        let store = &self.shared.store;
        let checkpoint = signed.checkpoint();
        // The signatures last: a node that catches up is told of many checkpoints
        // that it has not reached yet, again and again.
        if checkpoint.size <= store.tip().frontier.size()
            || store.decided_checkpoint(checkpoint.size)?.as_ref() != Some(checkpoint)
            || !store.membership_of_size(checkpoint.size)?.policy().check(&signed).holds()
        {
            return Ok(false);
        }
        let signed = match &self.shared.signers.validator {
            Some(validator) if self.shared.own_validator().is_some() => {
                validator.sign_as_log(signed)?
            }
            _ => signed,
        };
        self.publish(&signed)
    }
}

/// Tells a block that may not follow from a store that fails.
enum CheckError {
    Block(chain::BlockError),
    Store(StoreError),
}

impl From<StateError> for CheckError {
    fn from(error: StateError) -> Self {
        Self::Store(error.into())
    }
}

impl From<chain::BlockError> for CheckError {
    fn from(error: chain::BlockError) -> Self {
        Self::Block(error)
    }
}

impl Shared {
    /// Notes which of the records that wait stand in the block of this height,
    /// whose first record is `first`.
    pub fn remember_decided(&self, height: u64, first: u64, ids: &[RecordId]) {
        let waiting: HashSet<_> = self.queue.decided(ids).into_iter().collect();
        let decided = (first..).zip(ids).filter(|(_, id)| waiting.contains(id));
        self.decided().extend(
            decided.map(|(index, id)| Decided { id: *id, location: Location { index, height } }),
        );
    }

    /// A record that waits, though it stands in a decided block already.
    pub fn settle_known(&self, id: &RecordId) -> Result<(), Fatal> {
        let Some(location) = self.store.find_decided(id)? else { return Ok(()) };
        self.queue.decided(&[*id]);
        if location.index < self.store.tip().frontier.size() {
            self.queue.settle([(*id, Outcome::Final(location))]);
            return Ok(());
        }
        let mut decided = self.decided();
        if !decided.iter().any(|decided| decided.id == *id) {
            let place = decided.partition_point(|other| other.location.index < location.index);
            decided.insert(place, Decided { id: *id, location });
        }
        Ok(())
    }

    fn take_decided_through(&self, height: u64) -> Vec<Decided> {
        let mut decided = self.decided();
        let count = decided.partition_point(|decided| decided.location.height <= height);
        decided.drain(..count).collect()
    }

    /// Tells whoever waits for the records of blocks that have become final.
    pub fn became_final(&self) -> Result<(), Fatal> {
        let tip = self.store.tip();
        let mut outcomes = Vec::new();
        for decided in self.take_decided_through(tip.height) {
            outcomes.push((decided.id, Outcome::Final(decided.location)));
        }
        self.forget_attestations(tip.frontier.size());
        // Readers see the block from here on, so whoever is told finds it.
        self.queue.settle(outcomes);
        self.heights.send_replace(tip.height);
        Ok(())
    }
}
