//! Decided blocks: from peers while this node catches up, and for peers that do.

use std::sync::Arc;

use arc_malachitebft_app::{
    engine::host::SyncedValueOutcome,
    types::{
        core::{Round, Validity},
        sync::RawDecidedValue,
    },
};
use bytes::Bytes;
use quittance_ledger::chain;

use super::{Host, Proposed, proposals::value_of};
use crate::{
    engine::{
        certificate,
        context::{Address, Context, Height, Init},
        limits::SYNC_RESPONSE_BYTES_MAX,
    },
    pipeline::Fatal,
};

impl Host {
    /// A block that a peer says was decided. The engine verifies its certificate.
    pub(super) fn synced(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        bytes: &Bytes,
    ) -> Result<SyncedValueOutcome<Context>, Fatal> {
        if height != self.next() {
            return Ok(SyncedValueOutcome::LocalTransientError);
        }
        let Ok((header, records)) = chain::decode_block(bytes) else {
            return Ok(SyncedValueOutcome::PeerFault);
        };
        let hash = header.hash();
        let block = match self.known.get(&hash) {
            Some(block) => block.clone(),
            None => match self.application.check(header, records)? {
                Ok(block) => Arc::new(block),
                Err(reason) => {
                    tracing::warn!(%height, %reason, "a block from a peer is refused");
                    return Ok(SyncedValueOutcome::PeerFault);
                }
            },
        };
        let init = Init { height, round, valid_round: Round::Nil, proposer };
        self.keep(None, init, hash, &block, bytes)?;
        let proposed = Proposed {
            sender: None,
            round,
            valid_round: Round::Nil,
            proposer,
            hash,
            validity: Validity::Valid,
        };
        Ok(SyncedValueOutcome::Verdict(value_of(height, &proposed)))
    }

    /// Decided blocks for a peer that catches up, as many as one answer holds.
    pub(super) fn decided_values(
        &self,
        first: u64,
        last: u64,
    ) -> Result<Vec<RawDecidedValue<Context>>, Fatal> {
        let mut values = Vec::new();
        let mut bytes = 0;
        for height in first..=last {
            let Some(raw) = self.shared.store.decided_block(height)? else { break };
            let block = chain::encode_block(&raw.header, raw.records)?;
            bytes += block.len() + raw.certificate.signatures.len() * 112 + 256;
            if bytes > SYNC_RESPONSE_BYTES_MAX && !values.is_empty() {
                break;
            }
            let certificate = certificate::for_peers(height, raw.header.hash(), &raw.certificate);
            values.push(RawDecidedValue::new(block.into(), certificate));
        }
        Ok(values)
    }
}
