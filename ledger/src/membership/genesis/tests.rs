#![allow(clippy::unwrap_used)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{SigningKey, VerifyingKey};

use super::*;
use crate::transparency::VerifierKey;

fn key(seed: u8) -> VerifyingKey {
    SigningKey::from_bytes(&[seed; 32]).verifying_key()
}

fn entry(id: &str, seed: u8) -> String {
    format!(
        "[[member]]\nid = \"{id}\"\nname = \"Name of {id}\"\nrole = \"insurer\"\n\
         keys = [{{ id = \"1\", alg = \"Ed25519\", public = \"{}\" }}]\n",
        STANDARD.encode(key(seed))
    )
}

fn validator(origin: &str, member: &str, seed: u8) -> String {
    let log = VerifierKey::new(origin, KeyKind::Log, key(seed)).unwrap();
    let name = format!("{origin}/{member}");
    let cosigner = VerifierKey::new(name, KeyKind::Cosigner, key(seed + 1)).unwrap();
    format!(
        "[member.validator]\nconsensus = \"{}\"\nlog = \"{log}\"\ncosigner = \"{cosigner}\"\n",
        STANDARD.encode(key(seed + 2))
    )
}

/// A member that signs with the key of RFC 7515, appendix A.3.
fn es256_entry(id: &str) -> String {
    format!(
        "[[member]]\nid = \"{id}\"\nname = \"Name of {id}\"\nrole = \"insurer\"\n\
         keys = [{{ id = \"1\", alg = \"ES256\", \
         public = \"A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF\" }}]\n"
    )
}

#[test]
fn a_key_of_es256_reads_back_and_stands_in_the_canonical_form() {
    let genesis = Genesis::from_toml(&format!("{LEDGER}{}", es256_entry("a"))).unwrap();
    let again = Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap();
    assert_eq!(again, genesis);
    assert!(genesis.canonical().contains(
        r#""keys":[{"alg":"ES256","id":"1","public":"A3/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRF"}]"#
    ));
}

const LEDGER: &str = "[ledger]\norigin = \"l.example/q\"\n";

#[test]
fn what_is_written_reads_back_the_same() {
    let toml = format!(
        "{LEDGER}backdating = \"1h\"\n[rules]\ndossier_red = \"flag\"\n{}{}{}",
        entry("b", 1),
        validator("l.example/q", "b", 10),
        entry("a", 2)
    ) + "[member.observer]\npeer = \"12D3KooW\"\ngossip_address = \"/ip4/127.0.0.1/tcp/1\"\n";
    let genesis = Genesis::from_toml(&toml).unwrap();
    assert_eq!(genesis.backdating, Backdating::Limited { age_ms_max: 3_600_000 });
    assert_eq!(genesis.rules.dossier_red, Disposition::Flag);
    let again = Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap();
    assert_eq!(again, genesis);
    assert_eq!(again.ledger_id(), genesis.ledger_id());
}

#[test]
fn the_order_of_members_and_their_addresses_do_not_make_another_ledger() {
    let one = format!("{LEDGER}{}{}", entry("a", 1), entry("b", 2));
    let two = format!("{LEDGER}{}{}", entry("b", 2), entry("a", 1));
    let id = |toml: &str| Genesis::from_toml(toml).unwrap().ledger_id();
    assert_eq!(id(&one), id(&two));
    let plain = format!("{LEDGER}{}{}", entry("a", 1), validator("l.example/q", "a", 10));
    let moved = format!("{plain}engine_address = \"/ip4/127.0.0.1/tcp/1\"\n");
    assert_eq!(id(&plain), id(&moved));
    assert_ne!(id(&one), id(&plain));
    let observed = format!("{one}[member.observer]\npeer = \"12D3KooW\"\n");
    assert_eq!(id(&one), id(&observed));
    let both = format!("{plain}[member.observer]\npeer = \"12D3KooW\"\n");
    assert!(Genesis::from_toml(&both).is_err());
}

#[test]
fn canonical_form_is_rfc_8785() {
    let genesis = Genesis::from_toml(&format!("{LEDGER}{}", entry("a", 1))).unwrap();
    let canonical = genesis.canonical();
    let value: serde_json::Value = serde_json::from_str(&canonical).unwrap();
    assert!(canonical.starts_with(r#"{"format":"quittance-genesis@v1","ledger":{"#));
    assert!(!canonical.contains('\n') && !canonical.contains(": "));
    assert_eq!(value["members"][0]["id"], "a");
}

#[test]
fn a_key_used_twice_is_refused_wherever_it_stands() {
    let twice = format!("{LEDGER}{}{}", entry("a", 1), entry("b", 1));
    assert!(Genesis::from_toml(&twice).unwrap_err().to_string().contains("used elsewhere"));
    let log_is_record = format!("{LEDGER}{}{}", entry("a", 10), validator("l.example/q", "a", 10));
    assert!(Genesis::from_toml(&log_is_record).is_err());
}

#[test]
fn a_genesis_that_could_not_run_is_refused_with_the_member_named() {
    for (toml, says) in [
        (LEDGER.to_owned(), "1 to"),
        (format!("{LEDGER}{}{}", entry("a", 1), entry("a", 2)), "member a: stands twice"),
        (format!("{LEDGER}typo = 1\n{}", entry("a", 1)), "typo"),
        (format!("{LEDGER}backdating = \"soon\"\n{}", entry("a", 1)), "soon"),
        (
            format!("{LEDGER}{}{}", entry("a", 1), validator("other.example/q", "a", 10)),
            "member a: validator.log",
        ),
        (format!("{LEDGER}{}", entry("a", 1).replace("Ed25519", "RS256")), "member a: key 1: alg"),
        (
            format!("{LEDGER}{}", entry("a", 1).replace("Ed25519", "ES256")),
            "member a: key 1: alg is ES256, but the public key is one of Ed25519",
        ),
        (
            format!("{LEDGER}{}", es256_entry("a").replace("ES256", "Ed25519")),
            "member a: key 1: alg is Ed25519, but the public key is one of ES256",
        ),
        (
            format!("{LEDGER}{}{}", es256_entry("a"), es256_entry("b")),
            "member b: record key 1 is used elsewhere",
        ),
        (format!("{LEDGER}[rules]\nversion_gap = \"flag\"\n{}", entry("a", 1)), "version_gap"),
    ] {
        let error = Genesis::from_toml(&toml).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn member_files_are_named_for_the_ledger_they_join() {
    let toml = format!("{}{}", entry("a", 1), validator("a", "a", 10));
    let file = MemberFile::from_toml(&toml).unwrap();
    let origin: Origin = "l.example/q".parse().unwrap();
    let member = file.member[0].clone().named_for(&origin).unwrap().into_member().unwrap();
    let genesis = Genesis::from_members(origin, vec![member]).unwrap();
    assert_eq!(genesis.members[0].validator.as_ref().unwrap().log.name(), "l.example/q");
}
