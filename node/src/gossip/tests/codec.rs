//! Nothing that comes over the wire can make a node panic, and nothing has two encodings.

use bytes::Bytes;
use proptest::prelude::*;

use super::harness::{attestation, batch};
use crate::gossip::{
    PublishError, RecordBatch,
    limits::{
        ANSWER_BYTES_MAX, ANSWER_CHECKPOINTS_MAX, BATCH_BYTES_MAX, BATCH_RECORDS_MAX,
        MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX,
    },
    wire::{self, Answer, Request},
};

fn records() -> impl Strategy<Value = Vec<Bytes>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..40)
        .prop_map(|records| records.into_iter().map(Bytes::from).collect())
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = wire::decode_batch(&bytes);
        let _ = wire::decode_attestation(&bytes);
        let _ = wire::decode_request(&bytes);
        let _ = wire::decode_answer(&bytes);
    }

    #[test]
    fn changed_bytes_never_panic_and_never_decode_to_the_same(
        epoch: u64, first in 0..u64::MAX - 100, records in records(), at: usize, change in 1..=255_u8,
    ) {
        let batch = RecordBatch { epoch, first, records };
        let mut bytes = wire::encode_batch(&batch).unwrap();
        prop_assert_eq!(&wire::decode_batch(&bytes).unwrap(), &batch);
        let at = at % bytes.len();
        bytes[at] ^= change;
        if let Ok(changed) = wire::decode_batch(&bytes) {
            prop_assert_ne!(&changed, &batch);
            prop_assert_eq!(wire::encode_batch(&changed).unwrap(), bytes);
        }
    }

    #[test]
    fn answers_are_read_as_they_were_written(epoch: u64, first in 0..u64::MAX - 100, records in records()) {
        let notes = records.iter().map(|record| record.to_vec()).collect();
        let batch = RecordBatch { epoch, first, records };
        for answer in [Answer::Busy, Answer::Records(batch), Answer::Checkpoints(notes)] {
            let bytes = wire::encode_answer(&answer).unwrap();
            prop_assert_eq!(wire::decode_answer(&bytes).unwrap(), answer);
        }
    }

    #[test]
    fn whatever_an_inbox_answers_is_cut_to_what_can_be_sent(
        lengths in proptest::collection::vec(1..40_000_usize, 0..300),
    ) {
        let notes: Vec<Vec<u8>> = lengths.iter().map(|length| vec![1; (*length).min(32_000)]).collect();
        let records = lengths.iter().map(|length| Bytes::from(vec![1; *length])).collect();
        let batch = RecordBatch { epoch: 1, first: 0, records };
        for answer in [Answer::Records(batch), Answer::Checkpoints(notes)] {
            let bytes = wire::encode_answer(&wire::shorten(answer)).unwrap();
            prop_assert!(bytes.len() <= ANSWER_BYTES_MAX);
            prop_assert!(wire::decode_answer(&bytes).is_ok());
        }
    }
}

#[test]
fn a_list_that_claims_to_be_long_reserves_no_memory() {
    let mut bytes = vec![0; 16];
    bytes.extend(u64::MAX.to_be_bytes());
    assert!(wire::decode_batch(&bytes).is_err());
    let mut bytes = vec![0; 16];
    bytes.extend((1_u64 << 40).to_be_bytes());
    assert!(wire::decode_batch(&bytes).is_err());
}

#[test]
fn the_largest_batch_passes_and_a_larger_one_does_not() {
    let largest = |records: usize| {
        let each = BATCH_BYTES_MAX / records - 8;
        RecordBatch { epoch: 1, first: 2, records: vec![Bytes::from(vec![7; each]); records] }
    };
    for records in [4 + 1, 64, BATCH_RECORDS_MAX] {
        let bytes = wire::encode_batch(&largest(records)).unwrap();
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(wire::decode_batch(&bytes).unwrap(), largest(records));
    }
    let refused = |batch: &RecordBatch| {
        assert!(matches!(wire::encode_batch(batch), Err(PublishError::Bounds(_))));
    };
    let mut more = largest(64);
    more.records.push(Bytes::from_static(b"x"));
    refused(&more);
    refused(&batch(1, 2, &[]));
    refused(&batch(1, 2, &[b""]));
    refused(&batch(1, u64::MAX, &[b"x"]));
    refused(&batch(1, 2, &[b"x".as_slice(); BATCH_RECORDS_MAX + 1]));
    refused(&batch(1, 2, &[&vec![b'x'; 65_537]]));
}

#[test]
fn the_answer_with_the_most_and_the_one_with_the_longest_items_pass() {
    for answer in [
        Answer::Records(batch(1, 0, &[b"x".as_slice(); BATCH_RECORDS_MAX])),
        Answer::Records(batch(1, 0, &[vec![7; 65_528].as_slice(); 16])),
        Answer::Checkpoints(vec![vec![7; 4_088]; ANSWER_CHECKPOINTS_MAX]),
    ] {
        let bytes = wire::encode_answer(&answer).unwrap();
        assert_eq!(wire::decode_answer(&bytes).unwrap(), answer);
    }
}

/// The bytes in docs/FORMATS.md, "Gossip".
#[test]
fn the_encodings_are_those_that_are_documented() {
    assert_eq!(
        hex::encode(wire::encode_batch(&batch(1, 2, &[b"ab", b"c"])).unwrap()),
        "0000000000000001000000000000000200000000000000020000000000000002616200000000000000\
         0163"
            .replace(' ', "")
    );
    let bytes = wire::encode_attestation(&attestation(5)).unwrap();
    assert_eq!(bytes.len(), 8 + 32 + 32 + 64 + 8 + 64);
    assert_eq!(wire::decode_attestation(&bytes).unwrap(), attestation(5));
    let request = Request::Records { epoch: 1, first: 2 };
    let bytes = wire::encode_request(&request).unwrap();
    assert_eq!(hex::encode(&bytes), "0000000000000000000000010000000000000002");
    assert!(bytes.len() <= REQUEST_BYTES_MAX);
    let request = Request::Checkpoints { after: 3 };
    assert_eq!(hex::encode(wire::encode_request(&request).unwrap()), "000000010000000000000003");
    assert_eq!(hex::encode(wire::encode_answer(&Answer::Busy).unwrap()), "00000000");
    assert_eq!(
        hex::encode(wire::encode_answer(&Answer::Checkpoints(vec![b"n".to_vec()])).unwrap()),
        "0000000200000000000000010000000000000001\
         6e"
    );
}
