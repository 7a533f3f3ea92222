//! The five real dossiers: every record of theirs is well-formed, but the one
//! that claims a negative amount.

use serde_json::Value;

use super::{assert_refused, opened, signed};
use crate::refusal::Code;

const SAMPLES: [&str; 5] = [
    include_str!("../../../../tests/samples/heca.jsonl"),
    include_str!("../../../../tests/samples/legal-de.jsonl"),
    include_str!("../../../../tests/samples/netvox.jsonl"),
    include_str!("../../../../tests/samples/petexpert.jsonl"),
    include_str!("../../../../tests/samples/santevet.jsonl"),
];

#[test]
fn every_sample_is_well_formed_and_signed_by_a_role_that_may() {
    let (mut accepted, mut negative) = (0, 0);
    for line in SAMPLES.iter().flat_map(|sample| sample.lines()) {
        let sample: Value = serde_json::from_str(line).unwrap();
        let signer = sample["signer"].as_str().unwrap();
        let record = signed(signer, sample["record"].clone());
        if sample["expect"] == "refused:amount_negative" {
            assert_refused(record, Code::AmountNegative, Some("data.claimed"));
            negative += 1;
        } else {
            let record = record.unwrap_or_else(|refusal| panic!("{refusal}\n{line}"));
            opened(record.jws().to_vec()).unwrap_or_else(|refusal| panic!("{refusal}\n{line}"));
            assert_eq!(record.payload().data.record_type(), record.payload().record_type);
            accepted += 1;
        }
    }
    assert_eq!((accepted, negative), (113, 1));
}
