//! A validator that lies about blocks: pieces of blocks are not signed, so that
//! it may send anything under anybody's name.

use arc_malachitebft_app::types::core::Round;
use bytes::Bytes;
use quittance_ledger::chain::{self, BlockError};
use quittance_node::engine::context::{Address, Height, Init};

use crate::{
    network::Message,
    node::{Action, Works},
};

/// Blocks that it floods the others with at a time.
const FLOOD: u64 = 40;

impl Works {
    /// Sends a copy of somebody's block that has the same header, and so the same
    /// hash, and other records.
    pub fn falsify(&mut self, init: Init, block: &Bytes) {
        let (header, mut records) = chain::decode_block(block).unwrap();
        if let Some(first) = records.first().cloned() {
            if records.len() > 1 {
                records.reverse();
            } else {
                records.push(first);
            }
            let block = Bytes::from(chain::encode_block(&header, records).unwrap());
            self.act(Action::Broadcast(Message::Block { init, block }));
        }
    }

    /// Sends many good blocks that nobody asked for, under the names of others.
    pub fn flood(&mut self) {
        let validators: Vec<_> =
            self.disk.membership().validators().iter().map(|of| of.consensus.to_bytes()).collect();
        for number in 0..FLOOD {
            let proposer = validators[usize::try_from(number).unwrap() % validators.len()];
            let built = chain::build::<BlockError>(
                &self.disk.tip,
                &self.disk.state,
                proposer,
                self.now_ms() + number,
                self.host.waiting.iter().cloned(),
                |id| Ok(self.disk.decided.contains(id)),
            );
            let Some(block) = built.ok().and_then(|built| built.block) else { return };
            let init = Init {
                height: Height(self.disk.next()),
                round: Round::new(u32::try_from(number % 8).unwrap()),
                valid_round: Round::Nil,
                proposer: Address(proposer),
            };
            let block = Bytes::from(block.to_wire().unwrap());
            self.act(Action::Broadcast(Message::Block { init, block }));
        }
    }
}
