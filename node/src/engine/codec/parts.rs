//! The parts of a proposed block, and the streams that they come in.

use arc_malachitebft_app::engine::util::streaming::{StreamContent, StreamId, StreamMessage};
use bincode::{Decode, Encode};
use quittance_ledger::wire::WireError;

use super::{
    super::{
        context::{Address, Height, Init, Part},
        limits::STREAM_ID_BYTES_MAX,
    },
    Mirror, WireRound, malformed, round_from_wire, round_to_wire,
};

#[derive(Debug, Encode, Decode)]
pub(super) enum WirePart {
    Init { height: u64, round: WireRound, valid_round: WireRound, proposer: [u8; 32] },
    Data(Vec<u8>),
}

impl Mirror for Part {
    type Wire = WirePart;

    fn to_wire(&self) -> WirePart {
        match self {
            Self::Init(init) => WirePart::Init {
                height: init.height.0,
                round: round_to_wire(init.round),
                valid_round: round_to_wire(init.valid_round),
                proposer: init.proposer.0,
            },
            Self::Data(data) => WirePart::Data(data.to_vec()),
        }
    }

    fn from_wire(wire: WirePart) -> Result<Self, WireError> {
        Ok(match wire {
            WirePart::Init { height, round, valid_round, proposer } => Self::Init(Init {
                height: Height(height),
                round: round_from_wire(round),
                valid_round: round_from_wire(valid_round),
                proposer: Address(proposer),
            }),
            WirePart::Data(data) => Self::Data(data.into()),
        })
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WireStream {
    stream: Vec<u8>,
    sequence: u64,
    /// None ends the stream.
    part: Option<WirePart>,
}

impl Mirror for StreamMessage<Part> {
    type Wire = WireStream;

    fn to_wire(&self) -> WireStream {
        WireStream {
            stream: self.stream_id.to_bytes().to_vec(),
            sequence: self.sequence,
            part: match &self.content {
                StreamContent::Data(part) => Some(part.to_wire()),
                StreamContent::Fin => None,
            },
        }
    }

    fn from_wire(wire: WireStream) -> Result<Self, WireError> {
        if wire.stream.len() > STREAM_ID_BYTES_MAX {
            return Err(malformed("a stream's name is too long"));
        }
        let content = match wire.part {
            Some(part) => StreamContent::Data(Mirror::from_wire(part)?),
            None => StreamContent::Fin,
        };
        Ok(Self::new(StreamId::new(wire.stream.into()), wire.sequence, content))
    }
}
