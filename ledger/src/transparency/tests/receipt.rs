use proptest::prelude::*;

use super::{Consortium, TIME_S, checkpoint, ids, receipt, record};
use crate::{
    digest::Digest,
    limits::{RECEIPT_BYTES_MAX, RECORD_BYTES_MAX},
    transparency::{
        Cosigner, FormatReason, Policy, Receipt, SignedCheckpoint, Verification, verify_bytes,
    },
};

const CHECKS: [&str; 5] = ["format", "record", "inclusion", "log_signature", "cosignatures"];

fn failed(verification: &Verification) -> Vec<&str> {
    verification.checks.iter().filter(|check| !check.ok).map(|check| &*check.name).collect()
}

fn single() -> (Policy, Receipt) {
    let consortium = Consortium::new(&["petexpert"]);
    (consortium.policy(), receipt(&consortium, 5, 3, &[0]))
}

#[test]
fn a_receipt_verifies_and_says_what_it_proves() {
    let (policy, receipt) = single();
    let text = receipt.to_text();
    assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt.clone()));
    let verification = verify_bytes(text.as_bytes(), &policy);
    assert!(verification.is_valid(), "{verification:?}");
    let names: Vec<_> = verification.checks.iter().map(|check| &*check.name).collect();
    assert_eq!(names, CHECKS);
    assert!(verification.check("record").unwrap().detail.contains(&receipt.id().to_string()));
    assert_eq!(
        verification.check("cosignatures").unwrap().detail,
        "1 where 1 are needed: petexpert at 2026-01-01T00:00:00Z"
    );
    let json = serde_json::to_value(&verification).unwrap();
    assert_eq!(json["valid"], true);
    assert_eq!(json["checks"][2]["name"], "inclusion");
    assert_eq!(json["checks"][2]["ok"], true);
    assert!(json["checks"][2]["detail"].is_string());
}

/// The promise of a receipt: nothing in it can change.
#[test]
fn any_flipped_bit_makes_a_receipt_invalid() {
    let (policy, receipt) = single();
    let good = receipt.to_text().into_bytes();
    assert!(verify_bytes(&good, &policy).is_valid());
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(!verify_bytes(&bytes, &policy).is_valid(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    assert_eq!(bytes, good);
}

#[test]
fn a_byte_more_or_less_makes_a_receipt_invalid() {
    let (policy, receipt) = single();
    let good = receipt.to_text().into_bytes();
    for at in 0..good.len() {
        assert!(!verify_bytes(&good[..at], &policy).is_valid(), "cut at {at}");
        let mut without = good.clone();
        without.remove(at);
        assert!(!verify_bytes(&without, &policy).is_valid(), "without byte {at}");
        for byte in *b"\n A=." {
            let mut with = good.clone();
            with.insert(at, byte);
            // Beside an equal byte it is the same receipt with one more of them,
            // which is just as wrong.
            assert!(!verify_bytes(&with, &policy).is_valid(), "{byte} at {at}");
        }
    }
    for end in [&b"\n"[..], b" ", b"\0", b"x"] {
        assert!(!verify_bytes(&[&good, end].concat(), &policy).is_valid());
    }
}

#[test]
fn every_defect_is_named_by_its_check() {
    let consortium = Consortium::new(&["a", "b", "c", "d"]);
    let policy = consortium.policy();
    let good = receipt(&consortium, 9, 4, &[0, 1, 2]);
    assert_eq!(failed(&good.verify(&policy)), [""; 0]);

    let mut other_record = good.clone();
    other_record.record = record(5);
    assert_eq!(failed(&other_record.verify(&policy)), ["inclusion"]);

    let mut no_record = good.clone();
    no_record.record = b"not.a-record".to_vec().into();
    assert_eq!(failed(&no_record.verify(&policy)), ["record", "inclusion"]);

    let mut other_index = good.clone();
    other_index.index = 5;
    assert_eq!(failed(&other_index.verify(&policy)), ["inclusion"]);
    other_index.index = 9;
    assert_eq!(failed(&other_index.verify(&policy)), ["inclusion"]);

    let mut other_proof = good.clone();
    other_proof.proof[2] = Digest::ZERO;
    assert_eq!(failed(&other_proof.verify(&policy)), ["inclusion"]);
    other_proof.proof.pop();
    assert_eq!(failed(&other_proof.verify(&policy)), ["inclusion"]);

    let mut few = good.clone();
    few.checkpoint = consortium.sign(good.checkpoint.checkpoint(), &[1, 2]);
    let verification = few.verify(&policy);
    assert_eq!(failed(&verification), ["cosignatures"]);
    assert_eq!(
        verification.check("cosignatures").unwrap().detail,
        "quorum validators: 2 of 3 needed"
    );

    let strangers = Consortium::new(&["a"]);
    let mut unknown = good.clone();
    unknown.checkpoint = {
        let checkpoint = good.checkpoint.checkpoint();
        let log = crate::transparency::LogSigner::new(&checkpoint.origin, super::key(99)).unwrap();
        let mut signed = SignedCheckpoint::assemble(
            checkpoint.clone(),
            (log.verifier_key(), log.sign(checkpoint)),
            &[],
        )
        .unwrap();
        for cosigner in &consortium.cosigners {
            let signature = cosigner.cosign(checkpoint, TIME_S);
            signed.add_cosignature(cosigner.verifier_key(), TIME_S, &signature).unwrap();
        }
        signed
    };
    assert_eq!(failed(&unknown.verify(&policy)), ["log_signature"]);
    assert_eq!(failed(&good.verify(&strangers.policy())), [""; 0], "the same first member");

    // A forged cosignature is named, whatever else is there.
    let mut forged = good.clone();
    let cosigner = consortium.cosigners[3].verifier_key();
    forged.checkpoint.add_cosignature(cosigner, TIME_S, &[1; 64]).unwrap();
    let verification = forged.verify(&policy);
    assert_eq!(failed(&verification), ["cosignatures"]);
    assert!(verification.check("cosignatures").unwrap().detail.contains("/d+"));

    // Cosigned at another time than the line says.
    let checkpoint = good.checkpoint.checkpoint();
    let mut backdated = good.clone();
    let log = &consortium.logs[0];
    backdated.checkpoint = SignedCheckpoint::assemble(
        checkpoint.clone(),
        (log.verifier_key(), log.sign(checkpoint)),
        &[(cosigner, TIME_S - 1, consortium.cosigners[3].cosign(checkpoint, TIME_S))],
    )
    .unwrap();
    assert_eq!(failed(&backdated.verify(&policy)), ["cosignatures"]);

    // Too large to be written and read again.
    let mut large = good.clone();
    large.proof = vec![Digest::ZERO; 65];
    assert_eq!(failed(&large.verify(&policy)), ["format", "inclusion"]);
}

#[test]
fn only_compact_jws_pass_as_records() {
    let (policy, good) = single();
    for bad in [
        "", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c=", "a.b+.c", "a.b.c\n",
        "a.b.ü",
    ] {
        let mut receipt = good.clone();
        receipt.record = bad.as_bytes().into();
        assert!(failed(&receipt.verify(&policy)).contains(&"record"), "{bad:?}");
    }
}

#[test]
fn every_format_error_names_its_line() {
    let (policy, receipt) = single();
    let good = receipt.to_text();
    let lines: Vec<_> = good.split_inclusive('\n').collect();
    // 1 header, 2 extra, 3 index, 4-6 proof, 7 empty, 8-10 checkpoint, 11 empty, 12-13 signatures
    assert_eq!(lines.len(), 13);
    let with = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = text;
        lines.concat()
    };
    let bad = [
        (String::new(), 1, FormatReason::Missing("the first line and a newline")),
        (
            with(1, "c2sp.org/tlog-proof@v2\n"),
            1,
            FormatReason::Expected("the line c2sp.org/tlog-proof@v1"),
        ),
        (with(1, ""), 1, FormatReason::Expected("the line c2sp.org/tlog-proof@v1")),
        (with(2, ""), 2, FormatReason::Expected("extra and the base64 of the record")),
        (with(2, "extra \n"), 2, FormatReason::Expected("extra and the base64 of the record")),
        (with(2, "extra  YS5iLmM=\n"), 2, FormatReason::Base64),
        (with(2, "extra YS5iLmM\n"), 2, FormatReason::Base64),
        (with(2, "extra YS5iLmN=\n"), 2, FormatReason::Base64),
        (with(3, ""), 3, FormatReason::Expected("index and a number")),
        (with(3, "index 03\n"), 3, FormatReason::Decimal),
        (with(3, "index  3\n"), 3, FormatReason::Decimal),
        (with(3, "index 3 \n"), 3, FormatReason::Decimal),
        (with(3, "index -3\n"), 3, FormatReason::Decimal),
        (with(3, "index 3\r\n"), 3, FormatReason::ControlCharacter(13)),
        (with(4, "abcd\n"), 4, FormatReason::Hash),
        (with(7, ""), 7, FormatReason::Hash),
        (with(7, "\n\n"), 8, FormatReason::Origin),
        (with(9, "05\n"), 9, FormatReason::Decimal),
        (with(10, "AAAA\n"), 10, FormatReason::Hash),
        (with(10, &format!("{}extension\n", lines[9])), 11, FormatReason::Extension),
        (with(12, "nonsense\n"), 12, FormatReason::Signature),
        (
            with(13, &format!("{}\n", lines[12])),
            15,
            FormatReason::Missing("a blank line and at least one signature line"),
        ),
        (lines[..3].concat(), 4, FormatReason::Missing("a hash or an empty line")),
        (lines[..6].concat(), 7, FormatReason::Missing("a hash or an empty line")),
        (with(4, &lines[3].repeat(63)), 68, FormatReason::TooManyHashes(64)),
    ];
    for (text, line, reason) in bad {
        let error = Receipt::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.reason), (line, reason), "{text}");
        let verification = verify_bytes(text.as_bytes(), &policy);
        assert_eq!(failed(&verification), CHECKS);
        assert!(verification.checks[0].detail.starts_with(&format!("line {line}: ")));
        assert!(verification.checks[1..].iter().all(|check| check.detail == "not checked"));
    }
}

#[test]
fn a_receipt_without_bound_is_not_read() {
    let (_, good) = single();
    let mut large = good.clone();
    large.record = vec![b'a'; RECORD_BYTES_MAX].into();
    assert!(Receipt::parse(large.to_text().as_bytes()).is_ok(), "the largest record fits");
    large.record = vec![b'a'; RECORD_BYTES_MAX + 1].into();
    let error = Receipt::parse(large.to_text().as_bytes()).unwrap_err();
    assert_eq!(error.line, 2);
    assert!(matches!(error.reason, FormatReason::TooLarge { .. }));
    let error = Receipt::parse(&vec![b'a'; RECEIPT_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error.reason, FormatReason::TooLarge { .. }));
}

/// The largest record, proof and checkpoint there can be.
#[test]
fn the_largest_receipt_fits_its_bound() {
    let (_, mut receipt) = single();
    receipt.record = vec![b'a'; RECORD_BYTES_MAX].into();
    receipt.proof = vec![Digest::ZERO; 64];
    receipt.index = u64::MAX;
    let checkpoint = receipt.checkpoint.checkpoint().clone();
    for number in 0..98 {
        let cosigner = Cosigner::new(format!("{number:-<150}"), super::key(7)).unwrap();
        let signature = cosigner.cosign(&checkpoint, TIME_S);
        let _ = receipt.checkpoint.add_cosignature(cosigner.verifier_key(), TIME_S, &signature);
    }
    assert!(receipt.to_text().len() <= RECEIPT_BYTES_MAX);
    assert_eq!(Receipt::parse(receipt.to_text().as_bytes()), Ok(receipt));
}

#[test]
fn a_receipt_for_the_only_record_has_an_empty_proof() {
    let consortium = Consortium::new(&["a"]);
    let receipt = receipt(&consortium, 1, 0, &[0]);
    assert_eq!(receipt.proof, []);
    assert!(verify_bytes(receipt.to_text().as_bytes(), &consortium.policy()).is_valid());
}

#[test]
fn nothing_checked_is_not_valid() {
    assert!(!Verification { checks: Vec::new() }.is_valid());
}

#[test]
fn a_policy_without_quorum_says_so() {
    let consortium = Consortium::new(&["a"]);
    let log = consortium.logs[0].verifier_key();
    let policy = Policy::parse(format!("log {log}\nquorum none\n").as_bytes()).unwrap();
    let mut receipt = receipt(&consortium, 3, 0, &[]);
    receipt.checkpoint = consortium.sign(&checkpoint(&ids(3)), &[]);
    let verification = receipt.verify(&policy);
    assert!(verification.is_valid());
    assert_eq!(verification.check("cosignatures").unwrap().detail, "the policy needs none");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_receipt_of_a_ledger_verifies(size in 1_u64..200, index in any::<prop::sample::Index>()) {
        let consortium = Consortium::new(&["a", "b"]);
        let receipt = receipt(&consortium, size, index.index(usize::try_from(size).unwrap()) as u64, &[0, 1]);
        let text = receipt.to_text();
        prop_assert!(verify_bytes(text.as_bytes(), &consortium.policy()).is_valid());
        prop_assert_eq!(Receipt::parse(text.as_bytes()).unwrap().to_text(), text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0_usize..900) {
        let (policy, receipt) = single();
        let good = receipt.to_text();
        let keep = keep.min(good.len());
        let mixed = [&good.as_bytes()[..keep], &bytes].concat();
        prop_assume!(mixed != good.as_bytes());
        prop_assert!(!verify_bytes(&mixed, &policy).is_valid());
    }
}
