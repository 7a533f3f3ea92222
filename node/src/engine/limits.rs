//! The engine's bounds, in one place. Sizes are in bytes.

use quittance_ledger::limits::VALIDATORS_MAX;

/// A vote, proposal, certificate, status, request or proof: a certificate of
/// every validator fits.
pub const CONSENSUS_BYTES_MAX: usize = 1024 + VALIDATORS_MAX * 160;

/// The bytes of a block that one part carries.
pub const PART_DATA_BYTES: usize = 128 * 1024;

/// A part with what surrounds it.
pub const PART_BYTES_MAX: usize = PART_DATA_BYTES + 256;

/// A message of the engine's gossip.
pub const GOSSIP_BYTES_MAX: usize = PART_BYTES_MAX + 64 * 1024;

/// The blocks of one answer to a node that catches up; at least one fits.
pub const SYNC_RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An answer to a node that catches up, with certificates.
pub const SYNC_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Blocks that arrived while the node catches up and are still to be verified
/// ahead; more of them are verified only when it is their turn.
pub const ARRIVALS_MAX: usize = 256;

/// Their bytes.
pub const ARRIVALS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The name of a stream of parts.
pub const STREAM_ID_BYTES_MAX: usize = 64;

/// Streams of parts that are unfinished at once from one peer; a new one takes
/// the place of the oldest.
pub const STREAMS_PER_PEER_MAX: usize = 3;

/// Peers whose streams are kept.
pub const STREAM_PEERS_MAX: usize = VALIDATORS_MAX;

/// Whole proposals of one validator that wait until the block before them is
/// decided here; a new one takes the place of its oldest.
pub const EARLY_PROPOSALS_MAX: usize = 2;

/// Proposals of one height that are kept of what one validator has sent,
/// until the height is decided. They are not signed, so that whoever sends them
/// may name anybody: only its own share is taken up by a flood.
pub const PROPOSALS_MAX: usize = 16;

/// Messages from the engine that wait for the host.
pub const HOST_QUEUE: usize = 256;

/// How far a block's time may be ahead of a validator's clock that votes for
/// it, in milliseconds.
pub const CLOCK_AHEAD_MS_MAX: u64 = 10_000;
