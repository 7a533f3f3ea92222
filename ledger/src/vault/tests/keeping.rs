//! What a vault takes, gives and erases.

use std::{fs, path::Path, sync::Arc};

use super::*;
use crate::{digest::RecordId, limits::VAULT_RECORDS_MAX};

pub(super) fn key() -> VaultKey {
    VaultKey::from_bytes([9; 32])
}

pub(super) fn open(folder: &Path) -> Result<Arc<Vault>, VaultError> {
    Vault::open(folder, key(), VAULT_RECORDS_MAX).map(Arc::new)
}

fn sorted(mut disclosures: Vec<Disclosure>) -> Vec<Disclosure> {
    disclosures.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    disclosures
}

#[track_caller]
fn assert_held(vault: &Vault, record: &Record, expected: &[Disclosure]) {
    let Held::Disclosures(held) = vault.get(&record.id()).unwrap() else { panic!("held") };
    assert_eq!(sorted(held), sorted(expected.to_vec()));
}

/// Every file below `folder`, with its bytes.
pub(super) fn files_below(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

pub(super) fn is_anywhere(folder: &Path, needle: &[u8]) -> bool {
    files_below(folder)
        .iter()
        .any(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn what_is_put_is_given_back_also_after_a_restart_and_never_lies_there_readable() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    assert_eq!(vault.get(&record.id()).unwrap(), Held::Nothing);
    assert_eq!(vault.put(&record, disclosures.clone()).unwrap(), Put::Stored);
    assert_eq!(vault.put(&record, disclosures.clone()).unwrap(), Put::Unchanged);
    assert_held(&vault, &record, &disclosures);
    drop(vault);
    let vault = open(folder.path()).unwrap();
    assert_held(&vault, &record, &disclosures);
    assert_eq!(vault.ids(), [record.id()]);
    for disclosure in &disclosures {
        let value = disclosure.value().as_str().unwrap();
        for needle in [value, disclosure.as_str()] {
            assert!(!is_anywhere(folder.path(), needle.as_bytes()), "{needle}");
        }
    }
}

#[test]
fn disclosures_of_one_record_may_come_one_by_one() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    assert_eq!(vault.put(&record, vec![disclosures[1].clone()]).unwrap(), Put::Stored);
    assert_eq!(vault.put(&record, vec![disclosures[0].clone()]).unwrap(), Put::Stored);
    assert_held(&vault, &record, &disclosures);
    assert_eq!(vault.put(&record, vec![disclosures[1].clone()]).unwrap(), Put::Unchanged);
}

#[test]
fn what_is_not_the_records_is_refused_and_changes_nothing() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let (_, others) = private(&ledger, 2);
    // The same name and value with another salt is another disclosure.
    for wrong in [vec![disclosures[0].clone(), others[0].clone()], others.clone(), vec![]] {
        assert!(matches!(vault.put(&record, wrong), Err(VaultError::Refused(_))));
        assert_eq!(vault.get(&record.id()).unwrap(), Held::Nothing);
    }
    vault.put(&record, disclosures.clone()).unwrap();
    assert!(matches!(vault.put(&record, others), Err(VaultError::Refused(_))));
    assert_held(&vault, &record, &disclosures);
}

#[test]
fn an_erasure_leaves_nothing_and_is_not_undone_by_putting_again() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let (kept, kept_disclosures) = private(&ledger, 2);
    let said = erased(&ledger, &record);
    assert!(matches!(vault.erase(&record.id(), &said), Err(VaultError::NotHeld(_))));
    vault.put(&record, disclosures.clone()).unwrap();
    vault.put(&kept, kept_disclosures.clone()).unwrap();
    // What the slot held of it: the wrapped key.
    let slots = fs::read(folder.path().join("slots")).unwrap();
    let wrapped = slots[128 + 52..128 + 52 + 72].to_vec();
    assert!(wrapped.iter().any(|byte| *byte != 0));
    let sealed = fs::read(folder.path().join("sealed").join(record.id().to_string())).unwrap();

    vault.erase(&record.id(), &said).unwrap();
    let [erasure] = &vault.erasures()[..] else { panic!("one") };
    assert_eq!((erasure.record, erasure.signed.id()), (record.id(), said.id()));
    for _ in 0..2 {
        assert_eq!(vault.get(&record.id()).unwrap(), Held::Erased(said.id()));
        let again = vault.put(&record, disclosures.clone());
        assert!(matches!(again, Err(VaultError::Erased { by, .. }) if by == said.id()));
        let again = vault.erase(&record.id(), &said);
        assert!(matches!(again, Err(VaultError::Erased { by, .. }) if by == said.id()));
        assert!(!is_anywhere(folder.path(), &wrapped[24..]));
        assert!(!is_anywhere(folder.path(), &sealed[25..]));
        vault.erasure_recorded(&record.id()).unwrap();
        assert!(vault.erasures().is_empty());
    }
    drop(vault);
    let vault = open(folder.path()).unwrap();
    assert_eq!(vault.get(&record.id()).unwrap(), Held::Erased(said.id()));
    assert_eq!(vault.ids(), [kept.id()]);
    assert_held(&vault, &kept, &kept_disclosures);
}

#[test]
fn what_was_erased_is_found_by_its_salt_also_after_a_restart() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let (other, others) = private(&ledger, 2);
    let (salt, said) = (&record.payload().salt, erased(&ledger, &record));
    vault.put(&record, disclosures).unwrap();
    vault.put(&other, others).unwrap();
    assert_eq!(vault.erased_with_salt(salt), []);
    vault.erase(&record.id(), &said).unwrap();
    let found = [(record.id(), said.id())];
    assert_eq!(vault.erased_with_salt(salt), found);
    assert_eq!(vault.held_with_salt(salt, |_| true).unwrap(), []);
    drop(vault);
    let vault = open(folder.path()).unwrap();
    assert_eq!(vault.erased_with_salt(salt), found);
    assert_eq!(vault.erased_with_salt(&other.payload().salt), []);
    // Another record of the erasure is another tombstone, found as before.
    let again = erased(&ledger, &record);
    vault.sign_erasure_again(&record.id(), &again).unwrap();
    drop(vault);
    let found = [(record.id(), again.id())];
    assert_eq!(open(folder.path()).unwrap().erased_with_salt(salt), found);
}

#[test]
fn an_erasure_that_the_ledger_refused_is_said_again() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let (first, second) = (erased(&ledger, &record), erased(&ledger, &record));
    assert_ne!(first.id(), second.id());
    vault.put(&record, disclosures).unwrap();
    assert!(matches!(vault.sign_erasure_again(&record.id(), &second), Err(VaultError::NotHeld(_))));
    vault.erase(&record.id(), &first).unwrap();
    vault.sign_erasure_again(&record.id(), &second).unwrap();
    vault.erasure_recorded(&record.id()).unwrap();
    drop(vault);
    let vault = open(folder.path()).unwrap();
    assert_eq!(vault.get(&record.id()).unwrap(), Held::Erased(second.id()));
}

#[test]
fn an_erasure_is_said_of_that_very_record() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (record, disclosures) = private(&ledger, 1);
    let (other, _) = private(&ledger, 2);
    vault.put(&record, disclosures.clone()).unwrap();
    let quote = Envelope::parse(ledger.quote(1).jws().to_vec()).unwrap();
    for wrong in [erased(&ledger, &other), quote] {
        assert!(matches!(vault.erase(&record.id(), &wrong), Err(VaultError::Refused(_))));
    }
    assert_held(&vault, &record, &disclosures);
}

#[test]
fn another_key_is_noticed_and_changes_nothing() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let (record, disclosures) = private(&ledger, 1);
    open(folder.path()).unwrap().put(&record, disclosures.clone()).unwrap();
    let before = files_below(folder.path());
    let other = Vault::open(folder.path(), VaultKey::generate().unwrap(), 10);
    assert!(matches!(other, Err(VaultError::WrongKey(_))));
    assert_eq!(files_below(folder.path()), before);
    assert_held(&open(folder.path()).unwrap(), &record, &disclosures);
}

#[test]
fn one_process_at_a_time_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(VaultError::InUse(_))));
    drop(vault);
    open(folder.path()).unwrap();
}

#[test]
fn files_that_change_places_do_not_open() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (one, of_one) = private(&ledger, 1);
    let (other, of_other) = private(&ledger, 2);
    vault.put(&one, of_one).unwrap();
    vault.put(&other, of_other).unwrap();
    let sealed = folder.path().join("sealed");
    let [one_file, other_file] = [&one, &other].map(|record| sealed.join(record.id().to_string()));
    let bytes = fs::read(&one_file).unwrap();
    fs::copy(&other_file, &one_file).unwrap();
    fs::write(&other_file, bytes).unwrap();
    for record in [&one, &other] {
        assert!(matches!(vault.get(&record.id()), Err(VaultError::Damaged { .. })));
    }
    // A slot that says another record does not open either.
    drop(vault);
    let path = folder.path().join("slots");
    let mut slots = fs::read(&path).unwrap();
    slots[128 + 4] ^= 1;
    fs::write(&path, slots).unwrap();
    assert_eq!(open(folder.path()).unwrap().damaged(), 1);
}

#[test]
fn a_damaged_file_is_named_and_the_others_are_given() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (damaged, of_damaged) = private(&ledger, 1);
    let (whole, of_whole) = private(&ledger, 2);
    vault.put(&damaged, of_damaged).unwrap();
    vault.put(&whole, of_whole.clone()).unwrap();
    let path = folder.path().join("sealed").join(damaged.id().to_string());
    let bytes = fs::read(&path).unwrap();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        fs::write(&path, changed).unwrap();
        let error = vault.get(&damaged.id()).unwrap_err().to_string();
        assert!(error.contains(&damaged.id().to_string()), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(vault.get(&damaged.id()), Err(VaultError::Damaged { .. })));
    assert_held(&vault, &whole, &of_whole);
}

#[test]
fn a_vault_holds_as_many_records_as_it_may_the_erased_ones_among_them() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = Vault::open(folder.path(), key(), 2).unwrap();
    let (first, of_first) = private(&ledger, 1);
    vault.put(&first, of_first).unwrap();
    vault.erase(&first.id(), &erased(&ledger, &first)).unwrap();
    let (second, of_second) = private(&ledger, 2);
    vault.put(&second, of_second).unwrap();
    let (third, of_third) = private(&ledger, 3);
    let full = vault.put(&third, of_third);
    assert!(matches!(full, Err(VaultError::Full { records_max: 2 })));
    assert_eq!(vault.ids(), [second.id()]);
}

#[test]
fn what_is_staged_is_kept_or_discarded_but_not_while_it_is_on_its_way() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let (kept, of_kept) = private(&ledger, 1);
    let (refused, of_refused) = private(&ledger, 2);
    let on_their_way = [
        vault.stage(&kept, of_kept.clone()).unwrap(),
        vault.stage(&refused, of_refused.clone()).unwrap(),
    ];
    // A second try of the same, which ends first.
    drop(vault.stage(&refused, of_refused.clone()).unwrap());
    assert!(vault.staged().is_empty(), "both are on their way");
    vault.discard(&refused.id()).unwrap();
    assert_held(&vault, &refused, &of_refused);
    drop(on_their_way);
    assert_eq!(vault.staged().len(), 2);
    vault.keep(&kept.id()).unwrap();
    assert_eq!(vault.staged(), [refused.id()]);
    vault.discard(&kept.id()).unwrap();
    vault.discard(&refused.id()).unwrap();
    assert_held(&vault, &kept, &of_kept);
    assert_eq!(vault.get(&refused.id()).unwrap(), Held::Nothing);
    drop(vault);
    // Its slot is used again, for it is as if it had never been.
    let vault = open(folder.path()).unwrap();
    assert!(vault.staged().is_empty());
    vault.put(&refused, of_refused.clone()).unwrap();
    assert_eq!(fs::metadata(folder.path().join("slots")).unwrap().len(), 3 * 128);
    assert_held(&vault, &refused, &of_refused);
    // Staging what is kept does not make it uncertain again.
    drop(vault.stage(&kept, of_kept).unwrap());
    let (_, others) = private(&ledger, 3);
    assert!(vault.stage(&kept, others).is_err());
    assert!(vault.staged().is_empty());
}

#[test]
fn records_are_found_by_their_salt_until_they_are_erased_and_read_only_where_wanted() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let make = |payload: Map<String, Value>| {
        let concealed = conceal(payload, &[], |_, _, _| random_salt()).unwrap();
        (ledger.sign("broker", concealed.payload.into()), concealed.disclosures)
    };
    let (first, of_first) = make(payload(1));
    let mut changed = payload(1);
    changed["data"]["address"] = json!("elsewhere");
    let (second, of_second) = make(changed);
    let (other, of_other) = make(payload(2));
    drop(vault.stage(&first, of_first.clone()).unwrap());
    vault.put(&second, of_second).unwrap();
    vault.put(&other, of_other).unwrap();
    let salt = &first.payload().salt;
    let found = |vault: &Vault, may_be: &dyn Fn(&RecordId) -> bool| {
        let held = vault.held_with_salt(salt, may_be).unwrap();
        let mut ids: Vec<_> = held.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    };
    let mut both = [first.id(), second.id()];
    both.sort_unstable();
    assert_eq!(found(&vault, &|_| true), both);
    // What may not be read is not: not even that it is damaged is seen.
    fs::write(folder.path().join("sealed").join(second.id().to_string()), b"damaged").unwrap();
    let not_second = |id: &RecordId| *id != second.id();
    assert_eq!(found(&vault, &not_second), [first.id()]);
    assert!(vault.held_with_salt(salt, |_| true).is_err());
    let held = vault.held_with_salt(salt, not_second).unwrap();
    let held = held[0].1.iter().map(|field| field.disclosure.clone()).collect();
    assert_eq!(sorted(held), sorted(of_first));
    vault.erase(&first.id(), &erased(&ledger, &first)).unwrap();
    assert!(found(&vault, &not_second).is_empty());
}

#[test]
fn what_is_sealed_is_not_destroyed_where_the_slots_of_many_records_are_missing() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let kept: Vec<_> = (1..=20).map(|number| private(&ledger, number)).collect();
    for (record, disclosures) in &kept {
        vault.put(record, disclosures.clone()).unwrap();
    }
    let (erased, of_erased) = private(&ledger, 30);
    vault.put(&erased, of_erased).unwrap();
    drop(vault);
    let path = folder.path().join("slots");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..128 * 5]).unwrap();
    let vault = open(folder.path()).unwrap();
    assert_eq!((vault.orphans(), vault.damaged()), (17, 0));
    drop(vault);
    fs::write(&path, &whole).unwrap();
    let vault = open(folder.path()).unwrap();
    assert_eq!(vault.orphans(), 0);
    for (record, disclosures) in &kept {
        assert_held(&vault, record, disclosures);
    }
    // What a crash leaves is destroyed as ever.
    drop(vault);
    fs::write(&path, &whole[..128 * 21]).unwrap();
    let vault = open(folder.path()).unwrap();
    assert_eq!(vault.orphans(), 0);
    assert!(!folder.path().join("sealed").join(erased.id().to_string()).exists());
}

#[test]
fn what_cannot_be_read_any_more_is_erased_all_the_same() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    for (number, damage) in [(1, false), (2, true)] {
        let (record, disclosures) = private(&ledger, number);
        vault.put(&record, disclosures).unwrap();
        let path = folder.path().join("sealed").join(record.id().to_string());
        if damage {
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 1;
            fs::write(&path, bytes).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert!(matches!(vault.get(&record.id()), Err(VaultError::Damaged { .. })));
        assert_eq!(vault.standing(&record.id()), Standing::Held);
        let signed = erased(&ledger, &record);
        vault.erase(&record.id(), &signed).unwrap();
        assert_eq!(vault.standing(&record.id()), Standing::Erased(signed.id()));
        assert!(!path.exists());
    }
}

#[test]
fn records_that_share_a_salt_cost_no_more_than_a_few() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), ledger());
    let vault = open(folder.path()).unwrap();
    let asked = std::cell::Cell::new(0);
    let mut salt = None;
    for number in 0..70 {
        let mut same_salt = payload(1);
        same_salt["contract"] = format!("insurer/C-{number}").into();
        let concealed = conceal(same_salt, &[], |_, _, _| random_salt()).unwrap();
        let record = ledger.sign("broker", concealed.payload.into());
        vault.put(&record, concealed.disclosures).unwrap();
        salt = Some(record.payload().salt.clone());
    }
    let salt = salt.unwrap();
    let held = vault.held_with_salt(&salt, |_| {
        asked.set(asked.get() + 1);
        true
    });
    assert_eq!((held.unwrap().len(), asked.get()), (64, 64));
}
