//! The envelope: what a header may say, how bytes are spelt, whose signature counts.

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::{ORIGIN, assert_refused, claim_opened, header_of, jws_of, key_of, opened, signed};
use crate::{
    limits::RECORD_BYTES_MAX,
    membership::Algorithm,
    record::{Envelope, encoding, signature},
    refusal::{Code, Refusal},
};

fn verify_signature(
    key: &VerifyingKey,
    signed: &[u8],
    signature: &[u8; 64],
) -> Result<(), Refusal> {
    signature::verify_signature(&(*key).into(), Algorithm::Ed25519, signed, signature)
}

fn payload() -> Vec<u8> {
    signed("vet-1", claim_opened().into()).unwrap().payload_json().to_vec()
}

fn with_header(header: &str) -> Result<super::Record, Refusal> {
    opened(jws_of(header, &payload(), &key_of("vet-1")))
}

#[test]
fn a_header_says_exactly_three_things() {
    assert!(with_header(&header_of("vet-1")).is_ok());
    assert!(
        with_header(r#"{"typ":"quittance-record","kid":"vet-1#1","alg":"EdDSA"}"#).is_ok(),
        "EdDSA of RFC 8037, and any order"
    );
    let good = r#""alg":"Ed25519","kid":"vet-1#1","typ":"quittance-record""#;
    for (header, field) in [
        (r#"{"alg":"none","kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (r#"{"alg":"ES384","kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (r#"{"alg":"Ed448","kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (r#"{"alg":"ed25519","kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (
            r#"{"alg":["Ed25519"],"kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(),
            "header.alg",
        ),
        (r#"{"alg":null,"kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (r#"{"kid":"vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.alg"),
        (r#"{"alg":"Ed25519","typ":"quittance-record"}"#.to_owned(), "header.kid"),
        (r#"{"alg":"Ed25519","kid":"vet-1#1"}"#.to_owned(), "header.typ"),
        (r#"{"alg":"Ed25519","kid":"vet-1#1","typ":"JWT"}"#.to_owned(), "header.typ"),
        (r#"{"alg":"Ed25519","kid":"vet-1#1","typ":"Quittance-Record"}"#.to_owned(), "header.typ"),
        (r#"{"alg":"Ed25519","kid":"vet-1","typ":"quittance-record"}"#.to_owned(), "header.kid"),
        (r##"{"alg":"Ed25519","kid":"#1","typ":"quittance-record"}"##.to_owned(), "header.kid"),
        (r#"{"alg":"Ed25519","kid":"vet-1#","typ":"quittance-record"}"#.to_owned(), "header.kid"),
        (
            r#"{"alg":"Ed25519","kid":"vet-1#1#1","typ":"quittance-record"}"#.to_owned(),
            "header.kid",
        ),
        (r#"{"alg":"Ed25519","kid":"Vet-1#1","typ":"quittance-record"}"#.to_owned(), "header.kid"),
        (r#"{"alg":"Ed25519","kid":7,"typ":"quittance-record"}"#.to_owned(), "header.kid"),
        (format!(r#"{{{good},"crit":["b64"]}}"#), "header.crit"),
        (format!(r#"{{{good},"b64":false}}"#), "header.b64"),
        (format!(r#"{{{good},"jku":"https://evil.example/keys"}}"#), "header.jku"),
        (format!(r#"{{{good},"x5u":"https://evil.example/keys"}}"#), "header.x5u"),
        (format!(r#"{{{good},"jwk":{{"kty":"OKP"}}}}"#), "header.jwk"),
        (format!(r#"{{{good},"cty":"json"}}"#), "header.cty"),
        (format!(r#"{{{good},"alg":"Ed25519"}}"#), "header.alg"),
        (format!(r#"{{{good},"al\u0067":"none"}}"#), "header.alg"),
        (format!(r#"{{{good}}} "#), "header"),
        (format!(r#"[{{{good}}}]"#), "header"),
        (format!(r#"{{{good}}}{{}}"#), "header"),
        (format!(r#"{{{good},}}"#), "header"),
        ("{}".to_owned(), "header.alg"),
        (String::new(), "header"),
    ] {
        let refusal = with_header(&header).expect_err(&header);
        assert_eq!(refusal.field.as_deref(), Some(field), "{header}: {refusal}");
        assert_eq!(refusal.code, Code::Malformed, "{header}: {refusal}");
    }
}

#[test]
fn a_compact_serialization_has_three_canonical_parts_and_nothing_else() {
    let good =
        String::from_utf8(jws_of(&header_of("vet-1"), &payload(), &key_of("vet-1"))).unwrap();
    assert!(opened(good.as_bytes()).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    for (bad, field) in [
        (String::new(), "record"),
        (header.to_owned(), "record"),
        (format!("{header}.{payload}"), "record"),
        (format!("{good}."), "record"),
        (format!("{good}.{signature}"), "record"),
        (format!(".{payload}.{signature}"), "header"),
        (format!("{header}..{signature}"), "payload"),
        (format!("{header}.{payload}."), "signature"),
        (format!("{good}="), "signature"),
        (format!("{good}=="), "signature"),
        (format!("{good}\n"), "signature"),
        (format!(" {good}"), "header"),
        (format!("{header}=.{payload}.{signature}"), "header"),
        (format!("{header}.{payload}\n.{signature}"), "payload"),
        (format!("{header}.{payload}+.{signature}"), "payload"),
        (format!("{header}.{payload}.{}", &signature[..84]), "signature"),
        (format!("{header}.{payload}.{signature}AA"), "signature"),
        (format!("{header}.{payload}.+{}", &signature[1..]), "signature"),
        (format!("{header}.{payload}./{}", &signature[1..]), "signature"),
        (format!("{header}.{payload}.é{}", &signature[2..]), "signature"),
    ] {
        assert_refused(opened(bad.as_bytes()), Code::Malformed, Some(field));
    }
}

#[test]
fn bits_behind_the_last_byte_cannot_respell_a_record() {
    let good = jws_of(&header_of("vet-1"), &payload(), &key_of("vet-1"));
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.iter().position(|byte| Some(byte) == good.last()).unwrap();
    for bits in 1..16 {
        let mut bad = good.clone();
        *bad.last_mut().unwrap() = alphabet[last ^ bits];
        assert_refused(opened(bad), Code::Malformed, Some("signature"));
    }
}

#[test]
fn a_record_of_more_than_64_kib_is_too_large_before_anything_else() {
    assert_refused(opened(vec![b'x'; RECORD_BYTES_MAX + 1]), Code::TooLarge, None);
    assert_refused(opened(vec![b'x'; RECORD_BYTES_MAX]), Code::Malformed, Some("record"));
}

#[test]
fn refusals_come_in_their_order() {
    let signed_as = |header: &str, payload: &Value, key: &SigningKey| {
        opened(jws_of(header, payload.to_string().as_bytes(), key))
    };
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let other_key = r#"{"alg":"Ed25519","kid":"vet-1#2","typ":"quittance-record"}"#;
    let mut payload = json!({
        "ledger": "other.example/ledger", "type": "contract.issued",
        "salt": "AAECAwQFBgcICQoLDA0ODw", "occurred_at": "2025-05-06T17:10:00+02:00",
        "contract": "petexpert/PX-1", "data": {
            "version": 1, "line_of_business": "motor", "signature_required": false,
            "period": {"from": "2025-01-01", "to": "2025-12-31"}, "colour": "red",
        },
    });
    let everything_wrong = signed_as(&header_of("nobody"), &payload, &stranger);
    assert_refused(everything_wrong, Code::UnknownField, Some("data.colour"));
    payload["data"].as_object_mut().unwrap().remove("colour");
    let elsewhere = signed_as(&header_of("nobody"), &payload, &stranger);
    assert_refused(elsewhere, Code::WrongLedger, Some("ledger"));
    payload["ledger"] = ORIGIN.into();
    let nobody = signed_as(&header_of("nobody"), &payload, &stranger);
    assert_eq!(nobody.unwrap_err().code, Code::UnknownMember);
    let unknown_key = signed_as(other_key, &payload, &stranger);
    assert_eq!(unknown_key.unwrap_err().code, Code::UnknownKey);
    let forged = signed_as(&header_of("vet-1"), &payload, &stranger);
    assert_refused(forged, Code::BadSignature, Some("signature"));
    let borrowed = signed_as(&header_of("vet-1"), &payload, &key_of("vet-2"));
    assert_refused(borrowed, Code::BadSignature, Some("signature"));
    let provider = signed_as(&header_of("vet-1"), &payload, &key_of("vet-1"));
    assert_refused(provider, Code::RoleNotAllowed, Some("type"));
    let regulator = signed_as(&header_of("ivass"), &payload, &key_of("ivass"));
    assert_refused(regulator, Code::RoleNotAllowed, Some("type"));
    let other_insurer = signed_as(&header_of("santevet"), &payload, &key_of("santevet"));
    assert_refused(other_insurer, Code::NotAParty, Some("contract"));
    assert!(signed_as(&header_of("petexpert"), &payload, &key_of("petexpert")).is_ok());
}

#[test]
fn an_insurer_speaks_of_its_own_claims_only() {
    let consent = json!({
        "type": "consent.recorded", "occurred_at": "2025-05-06T17:10:00+02:00",
        "claim": "petexpert/C-1",
        "data": {"consent": "CN-1", "purpose": "referral_contact", "state": "given"},
    });
    let of = |member: &str| opened(signed(member, consent.clone()).unwrap().jws().to_vec());
    assert_refused(of("santevet"), Code::NotAParty, Some("claim"));
    assert!(of("petexpert").is_ok());
    assert!(of("heca").is_ok(), "whether a broker is the contract's is a rule");
}

/// RFC 8037, appendices A.1, A.2 and A.4.
#[test]
fn known_answer_of_rfc_8037() {
    let seed = encoding::decode_exactly(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = SigningKey::from_bytes(&seed);
    let public = encoding::decode_exactly(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    assert_eq!(key.verifying_key().to_bytes(), public);
    let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
               hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(jws_of(r#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing", &key), jws.as_bytes());
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = encoding::decode_exactly(signature.as_bytes()).unwrap();
    assert!(verify_signature(&key.verifying_key(), signed.as_bytes(), &signature).is_ok());
    // It is a good signature and no record.
    assert_refused(Envelope::parse(jws.as_bytes()), Code::Malformed, Some("header.kid"));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // With the neutral element as key, R neutral and S zero satisfy the
    // equation for every message (section 8.4 of RFC 8032 leaves it open).
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = VerifyingKey::from_bytes(&neutral).unwrap();
    let mut signature = [0; 64];
    signature[0] = 1;
    let lax = ed25519_dalek::Verifier::verify(
        &key,
        b"anything",
        &ed25519_dalek::Signature::from_bytes(&signature),
    );
    assert!(lax.is_ok(), "else this vector holds nothing off");
    assert!(verify_signature(&key, b"anything", &signature).is_err());
}

#[test]
fn a_scalar_that_is_not_reduced_is_no_second_spelling_of_a_signature() {
    // The order of the group, little-endian (RFC 8032 section 5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = key_of("vet-1");
    let mut signature = ed25519_dalek::Signer::sign(&key, b"signed").to_bytes();
    assert!(verify_signature(&key.verifying_key(), b"signed", &signature).is_ok());
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(verify_signature(&key.verifying_key(), b"signed", &signature).is_err());
}
