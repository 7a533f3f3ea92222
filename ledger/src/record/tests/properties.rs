//! What holds for records nobody thought of.

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::{assert_reads_well, claim_opened, header_of, jws_of, key_of, membership, signed};
use crate::record::{Envelope, Record};

/// JSON that looks like a payload, down to its names.
fn json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "(ledger|type|salt|occurred_at|contract|claim|data|documents|_sd|_sd_alg|corrects)",
        "(version|period|from|to|amount|currency|lines|code|target|claimed|attached|channel)",
        ".{0,8}",
    ];
    let text = prop_oneof![
        "(claim.opened|contract.issued|signature.requested|preauthorisation.requested|EUR)",
        "(ledger.example/quittance|petexpert/PX-1|2025-01-01|2025-05-06T17:10:00\\+02:00)",
        "AAECAwQFBgcICQoLDA0ODw",
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((name.clone(), inner), 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A good payload in which some members were replaced by anything.
fn bent_payload() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("type"),
        Just("salt"),
        Just("occurred_at"),
        Just("contract"),
        Just("claim"),
        Just("data"),
        Just("documents"),
        Just("declared_by"),
        Just("expires_at"),
        Just("_sd"),
    ];
    vec((names, json()), 0..3).prop_map(|bent| {
        let mut payload = claim_opened();
        payload.insert("ledger".to_owned(), super::ORIGIN.into());
        payload.extend(bent.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(payload)
    })
}

fn parse_payload(payload: &[u8]) {
    if let Err(refusal) = Envelope::parse(jws_of(&header_of("vet-1"), payload, &key_of("vet-1"))) {
        assert_reads_well(&refusal);
    }
}

proptest! {
    #[test]
    fn a_record_with_one_byte_changed_never_opens(place in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut jws = signed("vet-1", claim_opened().into()).unwrap().jws().to_vec();
        let place = place.index(jws.len());
        jws[place] ^= flip;
        prop_assert!(Record::open(jws, &membership()).is_err());
    }

    #[test]
    fn random_bytes_are_no_record_and_no_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(Envelope::parse(bytes).is_err());
    }

    #[test]
    fn random_bytes_as_payload_are_no_panic(bytes in vec(any::<u8>(), 0..400)) {
        parse_payload(&bytes);
    }

    #[test]
    fn random_json_is_no_panic_and_its_refusal_reads_well(payload in json()) {
        parse_payload(payload.to_string().as_bytes());
    }

    #[test]
    fn a_bent_payload_is_no_panic_and_its_refusal_reads_well(payload in bent_payload()) {
        parse_payload(payload.to_string().as_bytes());
    }

    #[test]
    fn a_payload_with_bytes_changed_is_no_panic(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut payload = signed("vet-1", claim_opened().into()).unwrap().payload_json().to_vec();
        for (place, byte) in changes {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        parse_payload(&payload);
    }

    #[test]
    fn whatever_is_signed_opens_with_the_same_contents(
        number in "[!-~¡-ÿ]{1,64}",
        claimed in 0_u64..1 << 53,
        attached in vec("[a-z_]{1,16}", 0..8),
        seconds in -2_000_000_000_i64..4_000_000_000,
    ) {
        let contract = format!("petexpert/{number}");
        let attached: Vec<_> = attached.into_iter().filter(|item| !item.is_empty()).collect();
        // U+00AD is a soft hyphen, which cannot be seen.
        prop_assume!(!number.contains('\u{ad}'));
        let occurred_at = jiff::Timestamp::from_second(seconds).unwrap();
        let mut payload = claim_opened();
        payload.remove("salt");
        payload.insert("contract".to_owned(), contract.clone().into());
        payload.insert("occurred_at".to_owned(), occurred_at.to_string().into());
        payload["data"]["claimed"] = claimed.into();
        payload["data"]["attached"] = attached.clone().into();
        let record = signed("vet-1", payload.into()).unwrap();
        let again = Record::open(record.jws().clone(), &membership()).unwrap();
        prop_assert_eq!(again.id(), record.id());
        prop_assert_eq!(again.payload(), record.payload());
        prop_assert_eq!(again.payload().contract.as_ref().unwrap().as_str(), contract);
        prop_assert_eq!(again.payload().occurred_at, occurred_at);
        let crate::insurance::Data::ClaimOpened(data) = &again.payload().data else {
            panic!("a claim was opened")
        };
        prop_assert_eq!(data.claimed.unwrap().minor_units(), claimed);
        let found: Vec<_> = data.attached.iter().map(|item| item.as_str().to_owned()).collect();
        prop_assert_eq!(found, attached);
    }
}

/// Every byte with every single bit turned: quicker than it looks, because
/// few of them get as far as the signature.
#[test]
fn a_record_with_any_one_bit_turned_never_opens() {
    let membership = membership();
    let jws = signed("vet-1", claim_opened().into()).unwrap().jws().to_vec();
    assert!(Record::open(jws.clone(), &membership).is_ok());
    for place in 0..jws.len() {
        for bit in 0..8 {
            let mut bad = jws.clone();
            bad[place] ^= 1 << bit;
            assert!(Record::open(bad, &membership).is_err(), "byte {place}, bit {bit}");
        }
    }
}
