//! Catching up. The engine's own sync measures real time to score its peers, so
//! a small one stands in for it here: it asks whoever says to be further.

use std::{collections::BTreeMap, time::Duration};

use arc_malachitebft_app::types::core::ValueResponse;
use bytes::Bytes;
use quittance_ledger::chain::{self, Certificate};
use quittance_node::engine::{certificate, context::Context};

use crate::{
    clock::Moment,
    network::{Machine, Message, peer_id},
    node::{Action, Phase, ToEngine, Works},
};

/// Blocks in one answer.
const BATCH: usize = 4;

/// After how long another machine is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is under way.
#[derive(Debug, Default)]
pub struct Sync {
    /// The height that the engine decides on; 0 before it has started.
    height: u64,
    asked: Option<(Machine, Moment)>,
    /// How often somebody was asked: they take turns.
    turn: usize,
    received: BTreeMap<u64, (Machine, Bytes, Certificate)>,
}

impl Sync {
    pub fn disconnect(&mut self, peer: Machine) {
        if self.asked.is_some_and(|(asked, _)| asked == peer) {
            self.asked = None;
        }
    }
}

impl Works {
    /// The engine has started a height.
    pub fn started(&mut self, height: u64) {
        self.sync.height = height;
        self.hand_over();
        self.look_for_blocks();
    }

    /// What a machine says of itself.
    pub fn status(&mut self, from: Machine, tip: u64) {
        if let Some(peer) = self.host.peers.get_mut(&from) {
            peer.tip = tip;
        }
        self.look_for_blocks();
    }

    /// Asks for the next blocks, where somebody has them.
    pub fn look_for_blocks(&mut self) {
        let first = self.sync.height.max(self.disk.next());
        let is_asking = self.sync.asked.is_some_and(|(_, at)| at + PATIENCE > self.now);
        if self.phase != Phase::Running || is_asking || self.sync.received.contains_key(&first) {
            return;
        }
        let further: Vec<_> = self
            .host
            .peers
            .iter()
            .filter(|(_, peer)| peer.tip >= first)
            .map(|(machine, _)| *machine)
            .collect();
        if further.is_empty() {
            return;
        }
        self.sync.turn += 1;
        let machine = further[self.sync.turn % further.len()];
        self.sync.asked = Some((machine, self.now));
        self.act(Action::Send(machine, Message::AskBlocks { first }));
    }

    /// Answers whoever asks for decided blocks.
    pub fn serve_blocks(&mut self, to: Machine, first: u64) {
        let start = usize::try_from(first - 1).unwrap();
        let blocks = self
            .disk
            .blocks
            .iter()
            .skip(start)
            .take(BATCH)
            .map(|block| {
                let bytes = chain::encode_block(&block.header, block.records.clone()).unwrap();
                (bytes.into(), block.certificate.clone())
            })
            .collect();
        self.act(Action::Send(to, Message::Blocks { first, blocks }));
    }

    /// Blocks that a machine says were decided.
    pub fn receive_blocks(&mut self, from: Machine, first: u64, blocks: Vec<(Bytes, Certificate)>) {
        if self.sync.asked.is_some_and(|(asked, _)| asked == from) {
            self.sync.asked = None;
        }
        for (height, (block, certificate)) in (first..).zip(blocks) {
            if height >= self.disk.next() {
                self.sync.received.insert(height, (from, block, certificate));
            }
        }
        self.hand_over();
    }

    /// Gives the engine the block of its height, if it is here.
    fn hand_over(&mut self) {
        let height = self.sync.height;
        self.sync.received.retain(|received, _| *received >= height);
        if let Some((from, block, certificate)) = self.sync.received.remove(&height) {
            let response = response(from, height, block, &certificate);
            self.act(Action::Engine(ToEngine::Synced(response)));
        }
    }
}

fn response(
    from: Machine,
    height: u64,
    block: Bytes,
    certificate: &Certificate,
) -> ValueResponse<Context> {
    let (header, _) = chain::decode_block(&block).unwrap();
    let certificate = certificate::for_peers(height, header.hash(), certificate);
    ValueResponse { peer: peer_id(from), value_bytes: block, certificate }
}
