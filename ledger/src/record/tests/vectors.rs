//! The test vectors of docs/FORMATS.md, which other implementations read too.

use ed25519_dalek::SigningKey;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::jws_of;
use crate::{
    membership::{Genesis, Member, Membership, RecordKey},
    record::{Envelope, Record, sign},
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/vectors/record.json")).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

fn key(vectors: &Value) -> SigningKey {
    let mut seed = [0; 32];
    hex::decode_to_slice(text(&vectors["key"], "seed_hex"), &mut seed).unwrap();
    SigningKey::from_bytes(&seed)
}

fn membership(vectors: &Value) -> Membership {
    let key_data = &vectors["key"];
    let member = Member {
        id: text(key_data, "member").parse().unwrap(),
        name: "Test".to_owned(),
        role: text(key_data, "role").parse().unwrap(),
        time_zone: None,
        keys: vec![RecordKey {
            id: text(key_data, "key_id").parse().unwrap(),
            public: key(vectors).verifying_key().into(),
        }],
        validator: None,
        observer: None,
    };
    let genesis = Genesis::from_members(text(vectors, "origin").parse().unwrap(), vec![member]);
    Membership::from_genesis(&genesis.unwrap())
}

#[test]
fn accepted_vectors_are_made_and_read_byte_by_byte() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let vectors = vectors();
    let (key, membership) = (key(&vectors), membership(&vectors));
    let public = STANDARD.encode(key.verifying_key().as_bytes());
    assert_eq!(public, text(&vectors["key"], "public_base64"));
    for vector in vectors["accepted"].as_array().unwrap() {
        let (header, payload, jws) =
            (text(vector, "header"), text(vector, "payload"), text(vector, "jws"));
        assert_eq!(jws_of(header, payload.as_bytes(), &key), jws.as_bytes());
        assert_eq!(jws.rsplit_once('.').unwrap().0, text(vector, "signing_input"));
        let record = Record::open(jws.as_bytes(), &membership).unwrap();
        assert_eq!(record.id().to_string(), text(vector, "id"));
        assert_eq!(record.payload_json(), payload.as_bytes());
        let leaf = Sha256::new().chain_update([0]).chain_update(record.id().as_bytes()).finalize();
        assert_eq!(hex::encode(leaf), text(vector, "leaf_hash"));
    }
}

#[test]
fn signing_the_first_vectors_payload_gives_its_bytes() {
    let vectors = vectors();
    let vector = &vectors["accepted"][0];
    let payload = serde_json::from_str(text(vector, "payload")).unwrap();
    let record = sign(
        payload,
        &text(&vectors, "origin").parse().unwrap(),
        &text(&vectors["key"], "member").parse().unwrap(),
        &text(&vectors["key"], "key_id").parse().unwrap(),
        &key(&vectors),
    );
    assert_eq!(&**record.unwrap().jws(), text(vector, "jws").as_bytes());
}

#[test]
fn refused_vectors_are_refused_for_their_reason() {
    let vectors = vectors();
    let membership = membership(&vectors);
    for vector in vectors["refused"].as_array().unwrap() {
        let why = text(vector, "why");
        let refusal = Envelope::parse(text(vector, "jws").as_bytes())
            .and_then(|envelope| envelope.verify(&membership))
            .expect_err(why);
        assert_eq!(refusal.code.as_str(), text(vector, "code"), "{why}: {refusal}");
        assert_eq!(refusal.field.as_deref(), vector["field"].as_str(), "{why}: {refusal}");
    }
}
