//! Tests of records. Whatever needs a [`Membership`] builds it here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ambiguous_json;
mod es256;
mod malformed;
mod properties;
mod samples;
mod signatures;
mod types;
mod vectors;

use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};

use super::{Envelope, Record, SignRecord, encoding, sign};
use crate::{
    membership::{Genesis, KeyId, Member, MemberId, Membership, Origin, RecordKey, Role},
    refusal::{Code, Refusal},
};

pub(super) const ORIGIN: &str = "ledger.example/quittance";

/// The eleven organisations of the sample dossiers, and a regulator.
pub(super) const MEMBERS: [(&str, Role); 12] = [
    ("petexpert", Role::Insurer),
    ("santevet", Role::Insurer),
    ("rs-de", Role::Insurer),
    ("comp-it", Role::Insurer),
    ("auto-fr", Role::Insurer),
    ("heca", Role::Broker),
    ("netvox", Role::Broker),
    ("makler-1", Role::Broker),
    ("vet-1", Role::Provider),
    ("vet-2", Role::Provider),
    ("otp-it", Role::TrustService),
    ("ivass", Role::Regulator),
];

pub(super) fn origin() -> Origin {
    ORIGIN.parse().unwrap()
}

/// A member's key, which follows from its name.
pub(super) fn key_of(member: &str) -> SigningKey {
    SigningKey::from_bytes(crate::digest::Digest::of(member.as_bytes()).as_bytes())
}

pub(super) fn membership() -> Membership {
    let members = MEMBERS.into_iter().map(|(id, role)| Member {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        role,
        time_zone: None,
        keys: vec![RecordKey {
            id: "1".parse().unwrap(),
            public: key_of(id).verifying_key().into(),
        }],
        validator: None,
        observer: None,
    });
    Membership::from_genesis(&Genesis::from_members(origin(), members.collect()).unwrap())
}

/// Signs whatever it is given, without any check.
pub(super) fn jws_of(header: &str, payload: &[u8], key: &impl SignRecord) -> Vec<u8> {
    let mut jws = String::new();
    encoding::encode_into(header.as_bytes(), &mut jws);
    jws.push('.');
    encoding::encode_into(payload, &mut jws);
    let signature = key.signature_of(jws.as_bytes());
    jws.push('.');
    encoding::encode_into(&signature, &mut jws);
    jws.into_bytes()
}

pub(super) fn header_of(member: &str) -> String {
    format!(r#"{{"alg":"Ed25519","kid":"{member}#1","typ":"quittance-record"}}"#)
}

/// Signs a payload as `member`, filling in ledger and salt.
pub(super) fn signed(member: &str, payload: Value) -> Result<Envelope, Refusal> {
    let Value::Object(payload) = payload else { panic!("a payload is an object") };
    let (member_id, key_id): (MemberId, KeyId) = (member.parse().unwrap(), "1".parse().unwrap());
    sign(payload, &origin(), &member_id, &key_id, &key_of(member))
}

pub(super) fn opened(jws: impl Into<Vec<u8>>) -> Result<Record, Refusal> {
    Record::open(jws.into(), &membership())
}

/// An accepted record of 500 to 600 bytes.
pub(super) fn claim_opened() -> Map<String, Value> {
    let payload = json!({
        "type": "claim.opened",
        "salt": "AAECAwQFBgcICQoLDA0ODw",
        "occurred_at": "2025-05-06T17:10:00+02:00",
        "contract": "petexpert/PX-1001",
        "claim": "petexpert/PX-C1",
        "data": {
            "channel": "vet_system", "preauthorisation": "PA-1", "attached": ["invoice"],
            "claimed": 24000, "currency": "EUR",
        },
    });
    let Value::Object(payload) = payload else { panic!("an object") };
    payload
}

#[track_caller]
pub(super) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Refusal>,
    code: Code,
    field: Option<&str>,
) {
    let refusal = result.expect_err("must be refused");
    assert_eq!((refusal.code, refusal.field.as_deref()), (code, field), "{refusal}");
    assert_reads_well(&refusal);
}

/// A refusal is for brokers: it names its field, and no word of a programmer's stands in it.
#[track_caller]
pub(super) fn assert_reads_well(refusal: &Refusal) {
    let detail = &refusal.detail;
    if [Code::Malformed, Code::UnknownField, Code::AmountNegative].contains(&refusal.code) {
        assert!(detail.contains(refusal.field.as_deref().unwrap()), "{refusal}");
    }
    for jargon in ["u64", "i64", "struct", "enum", "variant", "invalid type", "expected", "visitor"]
    {
        assert!(!detail.contains(jargon), "{refusal}");
    }
}

#[test]
fn a_signed_record_opens_as_what_was_signed() {
    let record = signed("vet-1", Value::Object(claim_opened())).unwrap();
    let again = opened(record.jws().to_vec()).unwrap();
    assert_eq!(again.id(), record.id());
    assert_eq!(again.payload(), record.payload());
    assert_eq!((again.signer().as_str(), again.key_id().as_str()), ("vet-1", "1"));
    assert_eq!(again.payload().contract.as_ref().unwrap().number(), "PX-1001");
    let text = std::str::from_utf8(again.payload_json()).unwrap();
    assert!(text.starts_with(concat!(
        r#"{"ledger":"ledger.example/quittance","type":"claim.opened","#,
        r#""salt":"AAECAwQFBgcICQoLDA0ODw","occurred_at":"2025-05-06T17:10:00+02:00","#,
    )));
}

#[test]
fn the_same_payload_and_salt_give_the_same_id_and_a_fresh_salt_another() {
    let payload = claim_opened();
    let record = signed("vet-1", payload.clone().into()).unwrap();
    assert_eq!(signed("vet-1", payload.clone().into()).unwrap().id(), record.id());
    let mut unsalted = payload;
    unsalted.remove("salt");
    let first = signed("vet-1", unsalted.clone().into()).unwrap();
    let second = signed("vet-1", unsalted.into()).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(first.payload().salt.as_bytes().len(), 16);
}

#[test]
fn signing_for_another_ledger_is_refused() {
    let mut payload = claim_opened();
    payload.insert("ledger".to_owned(), "other.example/ledger".into());
    assert_refused(signed("vet-1", payload.clone().into()), Code::WrongLedger, Some("ledger"));
    payload.insert("ledger".to_owned(), ORIGIN.into());
    assert!(signed("vet-1", payload.clone().into()).is_ok());
    payload.insert("ledger".to_owned(), 7.into());
    assert_refused(signed("vet-1", payload.into()), Code::Malformed, Some("ledger"));
}

#[test]
fn a_record_is_trusted_or_opened_with_the_same_result() {
    let record = signed("vet-1", claim_opened().into()).unwrap();
    let trusted = Record::trusted(record.jws().clone()).unwrap();
    assert_eq!(trusted.id(), record.id());
    assert_eq!(Envelope::parse(record.jws().clone()).unwrap().id(), record.id());
}
