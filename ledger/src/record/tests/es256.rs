//! ES256: known answers of the RFCs, and what is stricter here than there.

use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{assert_refused, claim_opened, jws_of, key_of, origin};
use crate::{
    membership::{Algorithm, Genesis, Member, Membership, RecordKey, RecordPublicKey, Role},
    record::{
        Envelope, Record, RecordSecretKey, SignRecord as _, encoding, sign,
        signature::verify_signature,
    },
    refusal::{Code, Refusal},
};

/// The order n of the group of P-256 (FIPS 186-5 and SP 800-186, section 3.2.1.3).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn scalar(hex: &str) -> SigningKey {
    SigningKey::from_slice(&hex::decode(hex).unwrap()).unwrap()
}

fn verify(key: &SigningKey, signed: &[u8], signature: &[u8; 64]) -> Result<(), Refusal> {
    let public = RecordPublicKey::from(*key.verifying_key());
    verify_signature(&public, Algorithm::Es256, signed, signature)
}

/// (r, n − s), which satisfies the equation as (r, s) does.
fn mirrored(signature: &[u8; 64]) -> [u8; 64] {
    let mut order = [0; 32];
    hex::decode_to_slice(ORDER, &mut order).unwrap();
    let mut mirrored = *signature;
    let mut borrow = 0;
    for place in (0..32).rev() {
        let difference = i16::from(order[place]) - i16::from(signature[32 + place]) - borrow;
        mirrored[32 + place] = difference.rem_euclid(256).to_le_bytes()[0];
        borrow = i16::from(difference < 0);
    }
    mirrored
}

/// RFC 7515, appendix A.3. The signature printed there has its s in the upper half.
#[test]
fn known_answer_of_rfc_7515_once_s_is_in_the_lower_half() {
    let key = scalar("8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2");
    let jws = "eyJhbGciOiJFUzI1NiJ9.\
               eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
               DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let (signed, printed) = jws.rsplit_once('.').unwrap();
    let printed: [u8; 64] = encoding::decode_exactly(printed.as_bytes()).unwrap();
    let refusal = verify(&key, signed.as_bytes(), &printed).unwrap_err();
    assert_eq!(refusal.code, Code::BadSignature);
    assert!(refusal.detail.contains("replace s by n − s"), "{refusal}");
    let lower = mirrored(&printed);
    assert_eq!(verify(&key, signed.as_bytes(), &lower), Ok(()));
    assert_eq!(mirrored(&lower), printed);
    let changed = signed.replacen("eyJpc3Mi", "eyJpc3Mj", 1);
    assert!(verify(&key, changed.as_bytes(), &lower).is_err());
}

/// RFC 6979, appendix A.2.5: P-256 with SHA-256. Of "sample" s is in the upper half.
#[test]
fn nonces_are_those_of_rfc_6979() {
    let key = scalar("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let of = |r: &str, s: &str| -> [u8; 64] {
        hex::decode(format!("{r}{s}")).unwrap().try_into().unwrap()
    };
    let sample = of(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    );
    assert_eq!(key.signature_of(b"sample"), mirrored(&sample));
    let test = of(
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
        "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    );
    assert_eq!(key.signature_of(b"test"), test);
}

#[test]
fn the_lower_half_ends_with_half_the_order() {
    let key = key();
    let mut signature = key.signature_of(b"signed");
    let half = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a";
    for (last, upper) in [("8", false), ("9", true)] {
        hex::decode_to_slice(format!("{half}{last}"), &mut signature[32..]).unwrap();
        let refusal = verify(&key, b"signed", &signature).unwrap_err();
        assert_eq!(refusal.detail.contains("replace s"), upper, "{last}: {refusal}");
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/vectors/record_es256.json")).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The key of the vectors for ES256.
fn key() -> SigningKey {
    scalar(text(&vectors()["keys"][1], "secret_hex"))
}

/// The member of the vectors, with a key of either algorithm.
fn membership() -> Membership {
    let vectors = vectors();
    let keys = vectors["keys"].as_array().unwrap().iter().map(|key| RecordKey {
        id: text(key, "key_id").parse().unwrap(),
        public: text(key, "public_base64").parse().unwrap(),
    });
    let member = Member {
        id: text(&vectors, "member").parse().unwrap(),
        name: "Test".to_owned(),
        role: text(&vectors, "role").parse().unwrap(),
        time_zone: None,
        keys: keys.collect(),
        validator: None,
        observer: None,
    };
    let genesis = Genesis::from_members(text(&vectors, "origin").parse().unwrap(), vec![member]);
    Membership::from_genesis(&genesis.unwrap())
}

#[test]
fn accepted_vectors_are_made_and_read_byte_by_byte() {
    let (vectors, key, membership) = (vectors(), key(), membership());
    let public = RecordSecretKey::from(key.clone()).public();
    assert_eq!(public.to_string(), text(&vectors["keys"][1], "public_base64"));
    for vector in vectors["accepted"].as_array().unwrap() {
        let (header, payload, jws) =
            (text(vector, "header"), text(vector, "payload"), text(vector, "jws"));
        assert_eq!(jws_of(header, payload.as_bytes(), &key), jws.as_bytes());
        assert_eq!(jws.rsplit_once('.').unwrap().0, text(vector, "signing_input"));
        let record = Record::open(jws.as_bytes(), &membership).unwrap();
        assert_eq!(record.algorithm(), Algorithm::Es256);
        assert_eq!(record.id().to_string(), text(vector, "id"));
        let leaf = Sha256::new().chain_update([0]).chain_update(record.id().as_bytes()).finalize();
        assert_eq!(hex::encode(leaf), text(vector, "leaf_hash"));
    }
}

#[test]
fn signing_the_first_vectors_payload_gives_its_bytes() {
    let vectors = vectors();
    let vector = &vectors["accepted"][0];
    let record = sign(
        serde_json::from_str(text(vector, "payload")).unwrap(),
        &text(&vectors, "origin").parse().unwrap(),
        &text(&vectors, "member").parse().unwrap(),
        &"2".parse().unwrap(),
        &RecordSecretKey::from(key()),
    );
    assert_eq!(&**record.unwrap().jws(), text(vector, "jws").as_bytes());
}

#[test]
fn refused_vectors_are_refused_for_their_reason() {
    let membership = membership();
    let vectors = vectors();
    let refused = vectors["refused"].as_array().unwrap();
    assert!(refused.len() >= 25, "{}", refused.len());
    for vector in refused {
        let why = text(vector, "why");
        let refusal = Record::open(text(vector, "jws").as_bytes(), &membership).expect_err(why);
        assert_eq!(refusal.code.as_str(), text(vector, "code"), "{why}: {refusal}");
        assert_eq!(refusal.field.as_deref(), vector["field"].as_str(), "{why}: {refusal}");
        let upper = why.contains("the upper half");
        assert_eq!(refusal.detail.contains("replace s by n − s"), upper, "{why}: {refusal}");
    }
}

#[test]
fn a_signature_of_the_other_algorithm_is_refused_before_it_is_looked_at() {
    let (ed25519, es256) = (key_of("vet-1"), key());
    let publics = [
        RecordPublicKey::from(ed25519.verifying_key()),
        RecordPublicKey::from(*es256.verifying_key()),
    ];
    let signatures = [ed25519.signature_of(b"signed"), es256.signature_of(b"signed")];
    for (key, public) in publics.iter().enumerate() {
        for (said, algorithm) in Algorithm::ALL.into_iter().enumerate() {
            for (by, signature) in signatures.iter().enumerate() {
                let verified = verify_signature(public, algorithm, b"signed", signature);
                if key == said && key == by {
                    assert_eq!(verified, Ok(()));
                    continue;
                }
                let field = if key == said { "signature" } else { "header.alg" };
                assert_refused(verified, Code::BadSignature, Some(field));
            }
        }
    }
}

#[test]
fn a_member_with_one_key_of_es256_signs_what_its_role_may() {
    let member = |role| Member {
        id: "hsm".parse().unwrap(),
        name: "A hardware module".to_owned(),
        role,
        time_zone: None,
        keys: vec![RecordKey { id: "1".parse().unwrap(), public: (*key().verifying_key()).into() }],
        validator: None,
        observer: None,
    };
    let record = |role| {
        let genesis = Genesis::from_members(origin(), vec![member(role)]).unwrap();
        let ids = ("hsm".parse().unwrap(), "1".parse().unwrap());
        sign(claim_opened(), &origin(), &ids.0, &ids.1, &key())
            .and_then(|envelope| envelope.verify(&Membership::from_genesis(&genesis)))
    };
    assert_eq!(record(Role::Provider).unwrap().signer().as_str(), "hsm");
    assert_refused(record(Role::TrustService), Code::RoleNotAllowed, Some("type"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn of_every_record_one_signature_is_taken_and_no_respelling_of_it(
        seed in prop::array::uniform32(1_u8..),
        signed in prop::collection::vec(any::<u8>(), 0..200),
        bit in 0_usize..512,
    ) {
        // Below n, since its first bytes are not all ones or its next not zero.
        let Ok(key) = SigningKey::from_slice(&seed) else { return Ok(()) };
        let signature = key.signature_of(&signed);
        prop_assert_eq!(verify(&key, &signed, &signature), Ok(()));
        prop_assert_eq!(key.signature_of(&signed), signature);
        let other = mirrored(&signature);
        let lax = Signature::from_slice(&other)
            .and_then(|other| p256::ecdsa::signature::Verifier::verify(
                key.verifying_key(), &signed, &other,
            ));
        prop_assert!(lax.is_ok(), "else the check of s holds nothing off");
        let refusal = verify(&key, &signed, &other).unwrap_err();
        prop_assert!(refusal.detail.contains("n − s"), "{}", refusal);
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify(&key, &signed, &flipped).is_err());
    }
}

#[test]
fn der_is_no_signature_of_a_record() {
    let payload = serde_json::to_vec(&serde_json::Value::Object(claim_opened())).unwrap();
    let header = r#"{"alg":"ES256","kid":"petexpert#2","typ":"quittance-record"}"#;
    let jws = String::from_utf8(jws_of(header, &payload, &key())).unwrap();
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = encoding::decode(signature.as_bytes()).unwrap();
    let der = Signature::from_slice(&signature).unwrap().to_der();
    let mut respelt = format!("{signed}.");
    encoding::encode_into(der.as_bytes(), &mut respelt);
    let refused = Envelope::parse(respelt.into_bytes());
    assert!(refused.as_ref().unwrap_err().detail.contains("not DER"));
    assert_refused(refused, Code::Malformed, Some("signature"));
}

#[test]
fn a_proposed_key_must_be_of_the_algorithm_that_stands_beside_it() {
    let ed25519 = RecordPublicKey::from(key_of("vet-1").verifying_key()).to_string();
    let es256 = RecordPublicKey::from(*key().verifying_key()).to_string();
    let proposed = |data: Value| {
        let payload = serde_json::json!({
            "type": "member.proposed", "occurred_at": "2025-05-06T17:10:00+02:00", "data": data,
        });
        super::signed("vet-1", payload)
    };
    let added = |alg: &str, public: &str| {
        proposed(serde_json::json!({"change": "key_added", "member": "vet-1",
            "key": {"id": "2", "alg": alg, "public": public}}))
    };
    assert!(added("ES256", &es256).is_ok() && added("Ed25519", &ed25519).is_ok());
    assert_refused(added("ES256", &ed25519), Code::Malformed, Some("data.key"));
    assert_refused(added("Ed25519", &es256), Code::Malformed, Some("data.key"));
    assert_refused(added("ES384", &es256), Code::Malformed, Some("data.key.alg"));
    assert_refused(added("ES256", &es256[1..]), Code::Malformed, Some("data.key.public"));
    let joins = |alg: &str| {
        proposed(serde_json::json!({"change": "add", "member": "hsm", "name": "HSM",
            "role": "broker", "keys": [{"id": "1", "alg": alg, "public": es256}]}))
    };
    assert!(joins("ES256").is_ok());
    assert_refused(joins("Ed25519"), Code::Malformed, Some("data.keys"));
}
