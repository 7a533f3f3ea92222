//! Blocks that a peer sent to a node that catches up, as they arrive.
//!
//! The engine gives the host one such block after the other, each after the one
//! before it was committed. Whoever reads them here can verify their records
//! meanwhile. Nothing depends on it: what finds no room is left out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use arc_malachitebft_app::{
    consensus::LivenessMsg,
    engine::util::streaming::StreamMessage,
    types::{
        SignedConsensusMsg,
        codec::{Codec, HasEncodedLen},
        core::ValidatorProof,
        sync::{Request, Response, Status},
    },
};
use bytes::Bytes;
use quittance_ledger::wire::WireError;

use super::{
    codec::EngineCodec,
    context::{Context, Part},
    limits::{ARRIVALS_BYTES_MAX, ARRIVALS_MAX},
};

/// Blocks that arrived, in the order of their arrival.
#[derive(Debug)]
pub struct Arrivals {
    blocks: Receiver<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Arrivals {
    /// The next block, if one arrives within `timeout`.
    ///
    /// # Errors
    /// None came, or none will come any more.
    pub fn next(&self, timeout: Duration) -> Result<Bytes, RecvTimeoutError> {
        let block = self.blocks.recv_timeout(timeout)?;
        self.waiting_bytes.fetch_sub(block.len(), Ordering::SeqCst);
        Ok(block)
    }
}

/// Reads and writes all that is between engines, like [`EngineCodec`], and shows
/// the blocks that arrive for a node that catches up.
#[derive(Debug)]
pub struct ShowingCodec {
    blocks: SyncSender<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// A codec, and what it shows.
pub fn showing() -> (ShowingCodec, Arrivals) {
    let (sender, receiver) = sync_channel(ARRIVALS_MAX);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let codec = ShowingCodec { blocks: sender, waiting_bytes: waiting_bytes.clone() };
    (codec, Arrivals { blocks: receiver, waiting_bytes })
}

impl ShowingCodec {
    fn show(&self, block: &Bytes) {
        let waiting = self.waiting_bytes.fetch_add(block.len(), Ordering::SeqCst);
        if waiting + block.len() > ARRIVALS_BYTES_MAX
            || self.blocks.try_send(block.clone()).is_err()
        {
            self.waiting_bytes.fetch_sub(block.len(), Ordering::SeqCst);
        }
    }
}

impl Codec<Response<Context>> for ShowingCodec {
    type Error = WireError;

    fn decode(&self, bytes: Bytes) -> Result<Response<Context>, WireError> {
        let response: Response<Context> = EngineCodec.decode(bytes)?;
        let Response::ValueResponse(values) = &response;
        values.values.iter().for_each(|value| self.show(&value.value_bytes));
        Ok(response)
    }

    fn encode(&self, response: &Response<Context>) -> Result<Bytes, WireError> {
        EngineCodec.encode(response)
    }
}

impl HasEncodedLen<Response<Context>> for ShowingCodec {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        EngineCodec.encoded_len(response)
    }
}

macro_rules! passed_on {
    ($($value:ty),* $(,)?) => {$(
        impl Codec<$value> for ShowingCodec {
            type Error = WireError;

            fn decode(&self, bytes: Bytes) -> Result<$value, WireError> {
                EngineCodec.decode(bytes)
            }

            fn encode(&self, value: &$value) -> Result<Bytes, WireError> {
                EngineCodec.encode(value)
            }
        }
    )*};
}

passed_on!(
    Part,
    SignedConsensusMsg<Context>,
    LivenessMsg<Context>,
    StreamMessage<Part>,
    ValidatorProof<Context>,
    Status<Context>,
    Request<Context>,
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arc_malachitebft_app::types::{
        core::{ExtendedCommitCertificate, Round},
        sync::RawDecidedValue,
    };
    use arc_malachitebft_sync::ValueResponse;
    use quittance_ledger::digest::Digest;

    use super::*;
    use crate::engine::context::{BlockHash, Height};

    fn response(blocks: &[usize]) -> Bytes {
        let values = blocks
            .iter()
            .zip(1..)
            .map(|(bytes, height)| {
                let certificate = ExtendedCommitCertificate {
                    height: Height(height),
                    round: Round::new(0),
                    value_id: BlockHash(Digest::from_bytes([1; 32])),
                    commit_signatures: Vec::new(),
                };
                RawDecidedValue::new(vec![7; *bytes].into(), certificate)
            })
            .collect();
        let response = Response::ValueResponse(ValueResponse::new(Height(1), values));
        EngineCodec.encode(&response).unwrap()
    }

    fn shown(arrivals: &Arrivals) -> Vec<usize> {
        std::iter::from_fn(|| arrivals.next(Duration::ZERO).ok()).map(|block| block.len()).collect()
    }

    #[test]
    fn blocks_are_shown_in_their_order() {
        let (codec, arrivals) = showing();
        let read: Response<Context> = codec.decode(response(&[3, 5])).unwrap();
        let Response::ValueResponse(values) = read;
        assert_eq!(values.values.len(), 2);
        assert_eq!(shown(&arrivals), [3, 5]);
    }

    #[test]
    fn blocks_that_nobody_reads_take_bounded_memory_and_are_still_handed_to_the_engine() {
        let (codec, arrivals) = showing();
        let large = 2 * 1024 * 1024;
        for _ in 0..ARRIVALS_BYTES_MAX / large + 3 {
            let read: Response<Context> = codec.decode(response(&[large])).unwrap();
            let Response::ValueResponse(values) = read;
            assert_eq!(values.values[0].value_bytes.len(), large);
        }
        assert_eq!(shown(&arrivals).len(), ARRIVALS_BYTES_MAX / large);
        for _ in 0..ARRIVALS_MAX + 3 {
            let _: Response<Context> = codec.decode(response(&[1])).unwrap();
        }
        assert_eq!(shown(&arrivals).len(), ARRIVALS_MAX);
        // What was read makes room again.
        let _: Response<Context> = codec.decode(response(&[large])).unwrap();
        assert_eq!(shown(&arrivals), [large]);
    }
}
