//! What the engine writes to its log and sends to its peers, in bincode with a
//! limit for each kind of message (docs/FORMATS.md, "Between engines").
//!
//! The engine's own types derive no encoding, so each has a mirror here.

mod consensus;
mod parts;
mod sync;
#[cfg(test)]
mod tests;

use arc_malachitebft_app::{
    consensus::LivenessMsg,
    engine::util::streaming::StreamMessage,
    types::{
        ProposedValue, SignedConsensusMsg,
        codec::{Codec, HasEncodedLen},
        core::{PolkaCertificate, Round, ValidatorProof},
        sync::{Request, Response, Status},
    },
};
use bincode::{Decode, Encode};
use bytes::Bytes;
use quittance_ledger::{
    digest::Digest,
    wire::{self, WireError},
};

use super::{
    context::{BlockHash, Context, Part},
    limits::{CONSENSUS_BYTES_MAX, PART_BYTES_MAX, SYNC_MESSAGE_BYTES_MAX},
};

/// Encodes and decodes everything between engine, log and network.
#[derive(Debug, Clone, Copy)]
pub struct EngineCodec;

/// A value that has a mirror with an encoding.
trait Mirror: Sized {
    type Wire: Encode + Decode<()>;
    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Result<Self, WireError>;
}

fn encode<const BYTES_MAX: usize, T: Mirror>(value: &T) -> Result<Bytes, WireError> {
    wire::encode::<BYTES_MAX, _>(&value.to_wire()).map(Bytes::from)
}

fn decode<const BYTES_MAX: usize, T: Mirror>(bytes: &[u8]) -> Result<T, WireError> {
    T::from_wire(wire::decode::<BYTES_MAX, T::Wire>(bytes)?)
}

macro_rules! codec {
    ($($value:ty => $bytes_max:expr),* $(,)?) => {$(
        impl Codec<$value> for EngineCodec {
            type Error = WireError;

            fn decode(&self, bytes: Bytes) -> Result<$value, WireError> {
                decode::<{ $bytes_max }, $value>(&bytes)
            }

            fn encode(&self, value: &$value) -> Result<Bytes, WireError> {
                encode::<{ $bytes_max }, $value>(value)
            }
        }
    )*};
}

codec! {
    SignedConsensusMsg<Context> => CONSENSUS_BYTES_MAX,
    ProposedValue<Context> => CONSENSUS_BYTES_MAX,
    PolkaCertificate<Context> => CONSENSUS_BYTES_MAX,
    LivenessMsg<Context> => CONSENSUS_BYTES_MAX,
    ValidatorProof<Context> => CONSENSUS_BYTES_MAX,
    Part => PART_BYTES_MAX,
    StreamMessage<Part> => PART_BYTES_MAX,
    Status<Context> => CONSENSUS_BYTES_MAX,
    Request<Context> => CONSENSUS_BYTES_MAX,
    Response<Context> => SYNC_MESSAGE_BYTES_MAX,
}

impl HasEncodedLen<Response<Context>> for EngineCodec {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        self.encode(response).map(|bytes| bytes.len())
    }
}

fn malformed(what: &str) -> WireError {
    WireError::Malformed(what.to_owned())
}

/// A round; none for the engine's "no round".
type WireRound = Option<u32>;

fn round_to_wire(round: Round) -> WireRound {
    round.as_u32()
}

fn round_from_wire(round: WireRound) -> Round {
    round.map_or(Round::Nil, Round::new)
}

const fn hash_of(hash: [u8; 32]) -> BlockHash {
    BlockHash(Digest::from_bytes(hash))
}

#[derive(Debug, Encode, Decode)]
struct WireSigned {
    validator: [u8; 32],
    signature: [u8; 64],
}
