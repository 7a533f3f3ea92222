//! What a consensus engine asks of the ledger: propose a block, commit what was
//! decided. The sequencer of a single validator asks the same.

use std::sync::Arc;

use quittance_ledger::{
    chain::{self, Block, Built, Certificate},
    record::Record,
    store::StoreError,
    transparency::{Checkpoint, SignedCheckpoint},
};

use super::{Fatal, Shared, now_ms};

/// The ledger as an engine sees it.
pub struct Application {
    shared: Arc<Shared>,
}

impl Application {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Checks that the ledger goes on from what this node cosigned last, commits
    /// a block that an earlier run wrote but could not acknowledge, and
    /// publishes the checkpoint of the empty ledger.
    pub fn recover(&self) -> Result<(), Fatal> {
        let store = &self.shared.store;
        self.shared.signers.cosigned.check(store)?;
        if store.latest_checkpoint()?.is_none()
            && let Some(empty) = store.checkpoint_at(0)?
        {
            // Not kept as the last one: a first block may be under way.
            store.put_first_checkpoint(&self.shared.signers.sign(&empty)?)?;
        }
        if let Some((block, certificate)) = store.unfinished() {
            tracing::info!(height = block.header.height, "committing the block that was under way");
            let tip = store.tip();
            chain::check(&tip, store.membership(), block, |id| store.contains(id))?;
            self.commit(block.clone(), certificate)?;
        }
        Ok(())
    }

    /// Builds the next block from records that wait.
    pub fn propose(&self, waiting: Vec<Record>) -> Result<Built, StoreError> {
        let store = &self.shared.store;
        chain::build(
            &store.tip(),
            store.membership(),
            self.shared.signers.consensus.verifying_key().to_bytes(),
            now_ms(),
            waiting,
            // The queue holds no record that the store shows: ingress looked,
            // and nobody else makes blocks.
            |_| Ok(false),
        )
    }

    /// Decides on a block as the only validator there is.
    pub fn decide(&self, block: &Block) -> Certificate {
        Certificate::of_one(&block.header, &self.shared.signers.consensus)
    }

    /// Makes a decided block durable, signs its checkpoint and acknowledges it.
    pub fn commit(&self, block: Block, certificate: &Certificate) -> Result<Block, Fatal> {
        let appended = self.shared.store.append(block, certificate)?;
        let checkpoint = self.sign(appended.checkpoint())?;
        let block = self.shared.store.commit(appended, Some(&checkpoint))?;
        self.shared.heights.send_replace(block.header.height);
        Ok(block)
    }

    /// Signs as the log and cosigns as its only validator, and keeps that on
    /// disk before anybody sees it.
    fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedCheckpoint, Fatal> {
        let signers = &self.shared.signers;
        let signed = signers.sign(checkpoint)?;
        signers.cosigned.keep(&signed)?;
        Ok(signed)
    }
}
