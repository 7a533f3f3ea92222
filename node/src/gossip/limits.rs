//! Every bound of the record gossip, in one place. Sizes are in bytes.
//!
//! The constants belong to the protocol: all nodes of a ledger must agree about
//! them. [`GossipLimits`] is one node's own affair.

use std::{num::NonZeroU32, time::Duration};

use quittance_ledger::limits::{CHECKPOINT_BYTES_MAX, RECORD_BYTES_MAX};

/// Records of one [`RecordBatch`](super::RecordBatch).
pub const BATCH_RECORDS_MAX: usize = 1_024;

/// The bytes of one gossiped batch, each record with
/// [`BATCH_RECORD_OVERHEAD_BYTES`] for its frame. Small enough that a batch
/// does not hold up what is sent behind it, and that many fit a queue.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// What a record costs in a batch besides its own bytes: its length.
pub const BATCH_RECORD_OVERHEAD_BYTES: usize = 8;

/// A batch's bytes besides its records: epoch, number of the first, count.
const BATCH_HEAD_BYTES: usize = 24;

/// What the decoder reserves for a list of records besides their bytes: a
/// pointer, a capacity and a length each.
const DECODER_BYTES: usize = BATCH_RECORDS_MAX * 24;

/// The content of a gossiped message.
pub const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX + BATCH_HEAD_BYTES + DECODER_BYTES;

/// A gossiped frame: the message, its author, signature, number and topic. A
/// longer one is refused by its announced length, before its bytes are read.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 4 * 1024;

/// A request.
pub const REQUEST_BYTES_MAX: usize = 64;

/// The records of an answer, each with [`BATCH_RECORD_OVERHEAD_BYTES`].
pub const ANSWER_RECORDS_BYTES_MAX: usize = 1024 * 1024;

/// Checkpoints of an answer.
pub const ANSWER_CHECKPOINTS_MAX: usize = 256;

/// The checkpoints of an answer, each with [`BATCH_RECORD_OVERHEAD_BYTES`].
pub const ANSWER_CHECKPOINTS_BYTES_MAX: usize = 1024 * 1024;

/// An answer.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024 + BATCH_HEAD_BYTES + 8 + DECODER_BYTES;

/// Nodes that one node knows as members'.
pub const PEERS_MAX: usize = 256;

/// Addresses of one peer; more are not used.
pub const ADDRESSES_MAX: usize = 8;

/// Subscriptions of one peer: to each topic there is.
pub const TOPICS_MAX: usize = 2;

const _: () = assert!(RECORD_BYTES_MAX + BATCH_RECORD_OVERHEAD_BYTES <= BATCH_BYTES_MAX);
const _: () = assert!(CHECKPOINT_BYTES_MAX + 8 <= ANSWER_CHECKPOINTS_BYTES_MAX);
const _: () = assert!(ANSWER_CHECKPOINTS_MAX <= BATCH_RECORDS_MAX);

/// How much of something may come in a second, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Messages a second.
    pub messages_per_second: NonZeroU32,
    /// Messages at once.
    pub messages_burst: NonZeroU32,
    /// Bytes a second.
    pub bytes_per_second: NonZeroU32,
    /// Bytes at once; at least four times [`MESSAGE_BYTES_MAX`].
    pub bytes_burst: NonZeroU32,
}

const fn number(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// What one node spends on gossip.
///
/// Memory, at worst: `validations_bytes_max` of messages under validation;
/// what was accepted in `history_heartbeats` heartbeats, which `node_rate`
/// bounds; for each peer `send_queue_messages` messages that it does not take;
/// `answers_max` answers and `requests_max` answers to own requests.
#[derive(Debug, Clone)]
pub struct GossipLimits {
    /// What one member may publish. What is above it is ignored and scores the
    /// member down. A node publishes at most three quarters of the rate, and a
    /// quarter of the burst, itself: what a stalled link delivers at once, after four
    /// seconds even, is then within it when the burst is four seconds' worth.
    pub origin_rate: Rate,
    /// What one connected node may bring, its own messages and those that it
    /// forwards. What is above it is ignored and scores the node down.
    pub carrier_rate: Rate,
    /// What this node takes from all together; what is above it is ignored.
    pub node_rate: Rate,
    /// Frames of gossip a second that are processed of a connected node, those
    /// without anything new included: duplicates, announcements. What is above it is
    /// dropped and scores the node down.
    pub frames_per_second: u32,
    /// Bytes a second that are read from one connection, of whatever kind, and
    /// at once. What is above it waits at the sender's.
    pub connection_bytes_per_second: u64,
    /// Requests a second that a peer may make; others are answered as busy and
    /// score it down. A node makes at most three quarters of them itself.
    pub requests_per_second: NonZeroU32,
    /// Messages in validation at once; others are ignored.
    pub validations_max: usize,
    /// Their bytes.
    pub validations_bytes_max: usize,
    /// Of these, of one author; the others' have room whatever it sends.
    pub validations_per_origin_max: usize,
    /// Their bytes.
    pub validations_bytes_per_origin_max: usize,
    /// How long a validation may take; then the message is ignored.
    pub validation_timeout: Duration,
    /// Messages that wait for being published; `Full` is answered to others.
    pub publish_queue_messages: usize,
    /// Their bytes.
    pub publish_queue_bytes: usize,
    /// Messages that wait for one peer to take them, half of them own ones and
    /// half forwarded ones; others are not sent to it.
    pub send_queue_messages: usize,
    /// How long a message waits for a peer to take it.
    pub send_timeout: Duration,
    /// Time between two heartbeats of gossipsub.
    pub heartbeat_interval: Duration,
    /// For how many heartbeats a message is kept for peers that ask for it.
    pub history_heartbeats: usize,
    /// For how long the ids of messages are kept, so that no message comes twice.
    pub duplicate_time: Duration,
    /// Own requests at once.
    pub requests_max: usize,
    /// Requests of others that are being answered at once; others are answered as busy.
    pub answers_max: usize,
    /// Of these, of one peer.
    pub answers_per_peer_max: usize,
    /// How long a request may take, own or others'.
    pub request_timeout: Duration,
    /// Connections whose other side has not proved who it is yet.
    pub pending_incoming_max: u32,
    /// Of these, from one address.
    pub pending_incoming_per_address_max: usize,
    /// Attempts to connect at once.
    pub pending_outgoing_max: u32,
    /// Connections to one peer: two arise when both sides dial at once, and
    /// one may be left over from before the other side's machine failed.
    pub connections_per_peer_max: u32,
    /// Connections to all.
    pub connections_max: u32,
    /// How long the other side has to prove who it is.
    pub handshake_timeout: Duration,
    /// Time between two pings of a connection.
    pub ping_interval: Duration,
    /// How long an answer to a ping may take. A connection is given up after
    /// two pings without an answer.
    pub ping_timeout: Duration,
    /// How long a connection may take to be closed in order.
    pub closing_timeout: Duration,
    /// The shortest pause before a peer is dialled again; it doubles with each failure.
    pub redial_min: Duration,
    /// The longest.
    pub redial_max: Duration,
    /// For how long a peer that misbehaves on and on is shut out.
    pub shut_out_time: Duration,
}

impl Default for GossipLimits {
    fn default() -> Self {
        Self {
            origin_rate: Rate {
                messages_per_second: number(500),
                messages_burst: number(2_000),
                bytes_per_second: number(8 * 1024 * 1024),
                bytes_burst: number(32 * 1024 * 1024),
            },
            carrier_rate: Rate {
                messages_per_second: number(2_000),
                messages_burst: number(8_000),
                bytes_per_second: number(16 * 1024 * 1024),
                bytes_burst: number(64 * 1024 * 1024),
            },
            node_rate: Rate {
                messages_per_second: number(4_000),
                messages_burst: number(16_000),
                bytes_per_second: number(16 * 1024 * 1024),
                bytes_burst: number(64 * 1024 * 1024),
            },
            frames_per_second: 10_000,
            connection_bytes_per_second: 32 * 1024 * 1024,
            requests_per_second: number(50),
            validations_max: 256,
            validations_bytes_max: 32 * 1024 * 1024,
            validations_per_origin_max: 64,
            validations_bytes_per_origin_max: 8 * 1024 * 1024,
            validation_timeout: Duration::from_secs(4),
            publish_queue_messages: 256,
            publish_queue_bytes: 16 * 1024 * 1024,
            send_queue_messages: 128,
            send_timeout: Duration::from_secs(4),
            heartbeat_interval: Duration::from_secs(1),
            history_heartbeats: 6,
            duplicate_time: Duration::from_secs(60),
            requests_max: 16,
            answers_max: 16,
            answers_per_peer_max: 4,
            request_timeout: Duration::from_secs(10),
            pending_incoming_max: 256,
            pending_incoming_per_address_max: 32,
            pending_outgoing_max: 64,
            connections_per_peer_max: 3,
            connections_max: 512,
            handshake_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(5),
            closing_timeout: Duration::from_secs(1),
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(10),
            shut_out_time: Duration::from_secs(30),
        }
    }
}

impl GossipLimits {
    /// What does not fit together in these limits.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let burst_fits = |rate: &Rate| rate.bytes_burst.get() as usize / 4 >= MESSAGE_BYTES_MAX;
        if ![self.origin_rate, self.carrier_rate, self.node_rate].iter().all(burst_fits) {
            return Some("a quarter of each rate's burst must hold the largest message");
        }
        if self.publish_queue_bytes < MESSAGE_BYTES_MAX
            || self.validations_bytes_max < MESSAGE_BYTES_MAX
            || self.validations_bytes_per_origin_max < MESSAGE_BYTES_MAX
        {
            return Some("the largest message must fit the queues");
        }
        let kept = u32::try_from(self.history_heartbeats).ok().and_then(|heartbeats| {
            self.heartbeat_interval.checked_mul(heartbeats.saturating_sub(1))
        });
        if kept.is_none_or(|kept| kept < self.validation_timeout) {
            return Some("a message must be kept for as long as its validation may take");
        }
        if self.frames_per_second == 0 || self.connection_bytes_per_second == 0 {
            return Some("a node must be allowed to send something");
        }
        let counts = [
            self.validations_max,
            self.validations_per_origin_max,
            self.publish_queue_messages,
            self.send_queue_messages / 2,
            self.requests_max,
            self.answers_max,
            self.answers_per_peer_max,
            self.pending_incoming_per_address_max,
        ];
        if counts.contains(&0) {
            return Some("a queue must hold something");
        }
        if self.redial_min.is_zero() || self.redial_min > self.redial_max {
            return Some("the pauses between two dials must be longer than nothing and in order");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_fit_together() {
        assert_eq!(GossipLimits::default().contradiction(), None);
    }

    #[test]
    fn a_message_that_is_dropped_before_its_validation_ends_is_noticed() {
        let limits =
            GossipLimits { validation_timeout: Duration::from_secs(6), ..GossipLimits::default() };
        assert!(limits.contradiction().is_some());
    }
}
