//! The published vectors, which another implementation made.

use std::fs;

use super::*;
use crate::{
    digest::{Digest, RecordId},
    vault::disclosure::digest_text,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../docs/vectors/disclosure.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn digests_and_presentation_are_those_of_the_vectors() {
    let vectors = vectors();
    for digest in vectors["digests"].as_array().unwrap() {
        let read = Disclosure::parse(digest["disclosure"].as_str().unwrap()).unwrap();
        assert_eq!(digest_text(&read.digest()), digest["digest"], "{digest}");
    }
    let expected = &vectors["presentation"];
    let text = expected["text"].as_str().unwrap();
    let presentation = Presentation::parse(text).unwrap();
    assert_eq!(presentation.to_string(), text);
    assert_eq!(presentation.record().id().to_string(), expected["id"]);
    assert_eq!(
        presentation.record().payload_json(),
        expected["payload"].as_str().unwrap().as_bytes()
    );
    let fields: Vec<_> = presentation
        .fields()
        .iter()
        .map(|field| {
            let (name, value) = (field.disclosure.name(), field.disclosure.value());
            // Ours makes the same text of the same salt, name and value.
            let made = Disclosure::new(field.disclosure.salt(), name, value).unwrap();
            assert_eq!(made, field.disclosure);
            json!({"place": field.place, "name": name, "value": value})
        })
        .collect();
    assert_eq!(Value::from(fields), expected["fields"]);
}

#[test]
fn a_vault_that_another_implementation_wrote_opens_and_is_erased_to_the_byte() {
    let vectors = vectors();
    let expected = &vectors["vault"];
    let id: RecordId = vectors["presentation"]["id"].as_str().unwrap().parse().unwrap();
    let key = || VaultKey::from_bytes(bytes(&expected["key"]).try_into().unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sealed")).unwrap();
    fs::write(folder.path().join("slots"), bytes(&expected["slots"])).unwrap();
    let sealed = folder.path().join("sealed").join(id.to_string());
    fs::write(&sealed, bytes(&expected["sealed"])).unwrap();
    let vault = Vault::open(folder.path(), key(), 10).unwrap();
    let text = vectors["presentation"]["text"].as_str().unwrap();
    let disclosures = Presentation::parse(text).unwrap().into_disclosures();
    assert_eq!(vault.get(&id).unwrap(), Held::Disclosures(disclosures));
    drop(vault);
    // A tombstone is read as one, whatever it replaced; that of an earlier version, too.
    for (name, is_found) in [("slots_erased", true), ("slots_erased_before_1", false)] {
        let slots = bytes(&expected[name]);
        fs::write(folder.path().join("slots"), &slots).unwrap();
        let vault = Vault::open(folder.path(), key(), 10).unwrap();
        let Held::Erased(by) = vault.get(&id).unwrap() else { panic!("erased") };
        assert_eq!(by.to_string(), expected["erased_by"]);
        assert!(!sealed.exists(), "what no slot opens is destroyed");
        assert_eq!(fs::read(folder.path().join("slots")).unwrap(), slots);
        let presentation = Presentation::parse(text).unwrap();
        let salt = &presentation.record().payload().salt;
        assert_eq!(vault.erased_with_salt(salt), if is_found { vec![(id, by)] } else { vec![] });
    }
}

#[test]
fn an_erasure_writes_the_tombstone_of_the_format() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = super::keeping::open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let said = erased(&ledger, &record);
    vault.put(&record, disclosures).unwrap();
    vault.erase(&record.id(), &said).unwrap();
    let slots = fs::read(folder.path().join("slots")).unwrap();
    let mut tombstone = vec![4, 0, 0, 0];
    tombstone.extend_from_slice(record.id().as_bytes());
    let salt = Digest::of(record.payload().salt.as_bytes());
    tombstone.extend_from_slice(&salt.as_bytes()[..16]);
    tombstone.extend_from_slice(said.id().as_bytes());
    tombstone.resize(128, 0);
    assert_eq!(slots[128..], tombstone);
}
