//! A block in pieces: cutting it up for the engine's gossip, and putting what
//! comes together again. Pieces are not signed, so what is kept of them is
//! bounded for each peer; whose block it is tells the hash in the signed proposal.

use std::collections::{BTreeMap, VecDeque};

use arc_malachitebft_app::{
    engine::util::streaming::{StreamContent, StreamId, StreamMessage},
    types::PeerId,
};
use bytes::Bytes;
use quittance_ledger::chain::BLOCK_WIRE_BYTES_MAX;

use super::{
    context::{Init, Part},
    limits::{PART_DATA_BYTES, STREAM_PEERS_MAX, STREAMS_PER_PEER_MAX},
};

/// The most messages of one stream: first, pieces and end.
const MESSAGES_MAX: u64 = 2 + BLOCK_WIRE_BYTES_MAX.div_ceil(PART_DATA_BYTES) as u64;

/// A whole proposed block: nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Of what proposal it is.
    pub init: Init,
    /// The block's bytes.
    pub block: Bytes,
}

/// The messages that carry a block; `stream` tells this stream from others.
pub fn cut(init: Init, block: &Bytes, stream: &[u8]) -> Vec<StreamMessage<Part>> {
    let name = StreamId::new(Bytes::copy_from_slice(stream));
    let pieces = (0..block.len())
        .step_by(PART_DATA_BYTES)
        .map(|start| Part::Data(block.slice(start..(start + PART_DATA_BYTES).min(block.len()))));
    let contents = std::iter::once(StreamContent::Data(Part::Init(init)))
        .chain(pieces.map(StreamContent::Data))
        .chain(std::iter::once(StreamContent::Fin));
    (0..)
        .zip(contents)
        .map(|(sequence, content)| StreamMessage::new(name.clone(), sequence, content))
        .collect()
}

#[derive(Debug, Default)]
struct Stream {
    init: Option<Init>,
    pieces: BTreeMap<u64, Bytes>,
    bytes: usize,
    /// The sequence number of the message that ends it.
    end: Option<u64>,
}

impl Stream {
    /// Takes a message; false where it cannot be one of this stream.
    fn take(&mut self, sequence: u64, content: StreamContent<Part>) -> bool {
        if sequence >= MESSAGES_MAX || self.end.is_some_and(|end| sequence > end) {
            return false;
        }
        match content {
            StreamContent::Data(Part::Init(init)) => {
                sequence == 0 && self.init.replace(init).is_none_or(|before| before == init)
            }
            StreamContent::Data(Part::Data(data)) => {
                if sequence == 0 || self.pieces.contains_key(&sequence) {
                    return sequence != 0;
                }
                self.bytes += data.len();
                self.pieces.insert(sequence, data);
                self.bytes <= BLOCK_WIRE_BYTES_MAX
            }
            StreamContent::Fin => {
                let last = self.pieces.last_key_value().map_or(0, |(last, _)| *last);
                self.end.replace(sequence).is_none_or(|before| before == sequence)
                    && last < sequence
            }
        }
    }

    fn whole(&self) -> Option<Assembled> {
        let (init, end) = (self.init?, self.end?);
        // Pieces stand at 1..end, each once.
        if self.pieces.len() as u64 != end.checked_sub(1)? {
            return None;
        }
        let mut block = Vec::with_capacity(self.bytes);
        self.pieces.values().for_each(|piece| block.extend_from_slice(piece));
        Some(Assembled { init, block: block.into() })
    }
}

/// The streams that are under way.
#[derive(Debug, Default)]
pub struct Streams {
    peers: VecDeque<(PeerId, VecDeque<(StreamId, Stream)>)>,
}

impl Streams {
    /// Takes a message from a peer. Gives the block once it is whole.
    pub fn take(&mut self, peer: PeerId, message: StreamMessage<Part>) -> Option<Assembled> {
        let place = self.peers.iter().position(|(known, _)| *known == peer).unwrap_or_else(|| {
            if self.peers.len() == STREAM_PEERS_MAX {
                self.peers.pop_front();
            }
            self.peers.push_back((peer, VecDeque::new()));
            self.peers.len() - 1
        });
        let (_, streams) = self.peers.get_mut(place)?;
        let place =
            streams.iter().position(|(name, _)| *name == message.stream_id).unwrap_or_else(|| {
                if streams.len() == STREAMS_PER_PEER_MAX {
                    streams.pop_front();
                }
                streams.push_back((message.stream_id.clone(), Stream::default()));
                streams.len() - 1
            });
        let (_, stream) = streams.get_mut(place)?;
        if !stream.take(message.sequence, message.content) {
            streams.remove(place);
            return None;
        }
        let whole = stream.whole()?;
        streams.remove(place);
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arc_malachitebft_app::types::core::Round;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::context::{Address, Height};

    fn peer() -> PeerId {
        PeerId::from_bytes(&libp2p::PeerId::random().to_bytes()).unwrap()
    }

    fn init() -> Init {
        Init {
            height: Height(3),
            round: Round::new(1),
            valid_round: Round::Nil,
            proposer: Address([7; 32]),
        }
    }

    proptest! {
        #[test]
        fn a_block_comes_together_in_any_order(
            length in 1..3 * PART_DATA_BYTES, order in any::<prop::sample::Index>(),
        ) {
            let block = Bytes::from((0..length).map(|at| at as u8).collect::<Vec<_>>());
            let mut messages = cut(init(), &block, b"one");
            let rotate = order.index(messages.len());
            messages.rotate_left(rotate);
            let mut streams = Streams::default();
            let peer = peer();
            let last = messages.pop().unwrap();
            for message in messages {
                prop_assert_eq!(streams.take(peer, message), None);
            }
            let whole = streams.take(peer, last).unwrap();
            prop_assert_eq!(whole, Assembled { init: init(), block });
        }
    }

    #[test]
    fn a_flood_of_streams_and_pieces_keeps_no_more_than_the_bounds() {
        let mut streams = Streams::default();
        let piece = Part::Data(Bytes::from(vec![0; PART_DATA_BYTES]));
        for _ in 0..2 * STREAM_PEERS_MAX {
            let peer = peer();
            for stream in 0..10_u8 {
                let name = StreamId::new(Bytes::copy_from_slice(&[stream]));
                for sequence in 1..2 * MESSAGES_MAX {
                    let content = StreamContent::Data(piece.clone());
                    let message = StreamMessage::new(name.clone(), sequence, content);
                    assert_eq!(streams.take(peer, message), None);
                }
            }
        }
        assert!(streams.peers.len() <= STREAM_PEERS_MAX);
        for (_, kept) in &streams.peers {
            assert!(kept.len() <= STREAMS_PER_PEER_MAX);
            assert!(kept.iter().all(|(_, stream)| stream.bytes <= BLOCK_WIRE_BYTES_MAX));
        }
    }
}
