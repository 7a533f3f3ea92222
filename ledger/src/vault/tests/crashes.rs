//! The machine stops before, and in the middle of, every effect on the disk.

use std::{fs, path::Path, sync::Arc};

use super::{
    keeping::{files_below, is_anywhere, open},
    *,
};
use crate::vault::files::fuse;

/// Does `work` as often as it has effects, and stops the machine one effect
/// later each time; `check` sees what is there after a restart.
fn at_every_step(
    prepare: impl Fn(&Path),
    work: impl Fn(&Arc<Vault>) -> Result<(), VaultError>,
    check: impl Fn(&Path, &Vault, bool),
) -> usize {
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let vault = open(folder.path()).unwrap();
        fuse::set(Some(steps));
        let result = work(&vault);
        fuse::set(None);
        let done = result.is_ok();
        drop(vault);
        // The machine may stop while it starts, too.
        for later in 0.. {
            fuse::set(Some(later));
            let opened = open(folder.path());
            fuse::set(None);
            if opened.is_ok() {
                break;
            }
        }
        let vault = open(folder.path()).unwrap();
        assert_eq!(vault.damaged(), 0, "step {steps}");
        check(folder.path(), &vault, done);
        if done {
            return steps;
        }
    }
    unreachable!()
}

#[test]
fn a_put_that_is_cut_off_is_there_whole_or_not_at_all() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    let steps = at_every_step(
        |_| {},
        |vault| vault.put(&record, disclosures.clone()).map(|_| ()),
        |folder, vault, done| {
            match vault.get(&record.id()).unwrap() {
                Held::Disclosures(held) => assert_eq!(held, disclosures),
                Held::Nothing => {
                    assert!(!done, "what was acknowledged is there");
                    assert!(files_below(&folder.join("sealed")).is_empty());
                }
                Held::Erased(_) => panic!("nothing was erased"),
            }
            // Trying again is harmless.
            vault.put(&record, disclosures.clone()).unwrap();
            assert_eq!(vault.get(&record.id()).unwrap(), Held::Disclosures(disclosures.clone()));
        },
    );
    assert!(steps > 6, "{steps}");
}

#[test]
fn adding_to_what_is_held_is_done_or_not_done() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    at_every_step(
        |folder| {
            open(folder).unwrap().put(&record, vec![disclosures[0].clone()]).unwrap();
        },
        |vault| vault.put(&record, disclosures.clone()).map(|_| ()),
        |_, vault, done| {
            let Held::Disclosures(held) = vault.get(&record.id()).unwrap() else { panic!("held") };
            assert!(held == disclosures || (!done && held == disclosures[..1]));
        },
    );
}

#[test]
fn an_erasure_that_is_cut_off_did_not_begin_or_is_finished_and_never_goes_unsaid() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    let said = erased(&ledger, &record);
    let sealed = std::cell::RefCell::new(Vec::new());
    let wrapped = std::cell::RefCell::new(Vec::new());
    let steps = at_every_step(
        |folder| {
            open(folder).unwrap().put(&record, disclosures.clone()).unwrap();
            let path = folder.join("sealed").join(record.id().to_string());
            sealed.replace(fs::read(path).unwrap());
            wrapped.replace(fs::read(folder.join("slots")).unwrap()[128 + 52 + 24..].to_vec());
        },
        |vault| vault.erase(&record.id(), &said),
        |folder, vault, done| match vault.get(&record.id()).unwrap() {
            Held::Disclosures(held) => {
                assert!(!done && held == disclosures);
                assert!(vault.erasures().is_empty(), "nothing is said of what is still there");
            }
            Held::Erased(by) => {
                assert_eq!(by, said.id());
                let found = vault.erased_with_salt(&record.payload().salt);
                assert_eq!(found, [(record.id(), by)], "a retry is known for what it is");
                assert_eq!(vault.erasures().len(), 1, "it is yet to be recorded");
                assert!(files_below(&folder.join("sealed")).is_empty());
                assert!(!is_anywhere(folder, &sealed.borrow()[25..]));
                assert!(!is_anywhere(folder, &wrapped.borrow()[..48]));
            }
            Held::Nothing => panic!("it is held or erased"),
        },
    );
    assert!(steps > 8, "{steps}");
}

#[test]
fn an_erasure_that_was_recorded_is_said_until_that_is_known() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    let said = erased(&ledger, &record);
    at_every_step(
        |folder| {
            let vault = open(folder).unwrap();
            vault.put(&record, disclosures.clone()).unwrap();
            vault.erase(&record.id(), &said).unwrap();
        },
        |vault| vault.erasure_recorded(&record.id()),
        |_, vault, done| {
            assert_eq!(vault.get(&record.id()).unwrap(), Held::Erased(said.id()));
            assert!(!done || vault.erasures().is_empty());
        },
    );
}

#[test]
fn discarding_is_done_or_not_done() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    at_every_step(
        |folder| {
            let vault = open(folder).unwrap();
            drop(vault.stage(&record, disclosures.clone()).unwrap());
        },
        |vault| vault.discard(&record.id()),
        |folder, vault, done| match vault.get(&record.id()).unwrap() {
            Held::Disclosures(held) => assert!(!done && held == disclosures),
            _ => assert!(files_below(&folder.join("sealed")).is_empty()),
        },
    );
}

#[test]
fn a_vault_whose_making_was_cut_off_is_made_again() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    for steps in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        fuse::set(Some(steps));
        let first = open(folder.path());
        fuse::set(None);
        drop(first);
        let vault = open(folder.path()).unwrap();
        vault.put(&record, disclosures.clone()).unwrap();
    }
}

#[test]
fn a_file_of_slots_that_is_cut_anywhere_never_gives_anything_but_the_truth() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<_> = (1..=3).map(|number| private(&ledger, number)).collect();
    let vault = open(folder.path()).unwrap();
    for (record, disclosures) in &records {
        vault.put(record, disclosures.clone()).unwrap();
    }
    drop(vault);
    let path = folder.path().join("slots");
    let whole = fs::read(&path).unwrap();
    let sealed = files_below(&folder.path().join("sealed"));
    for length in (0..whole.len()).rev() {
        fs::write(&path, &whole[..length]).unwrap();
        for (path, bytes) in &sealed {
            fs::write(path, bytes).unwrap();
        }
        if length < 128 {
            assert!(matches!(open(folder.path()), Err(VaultError::Damaged { .. })), "{length}");
            assert_eq!(files_below(&folder.path().join("sealed")), sealed);
            continue;
        }
        let vault = open(folder.path()).unwrap();
        for (number, (record, disclosures)) in records.iter().enumerate() {
            // Of a slot, the last four bytes are not used.
            let is_whole = length >= 128 * (number + 2) - 4;
            let held = vault.get(&record.id()).unwrap();
            let expected =
                if is_whole { Held::Disclosures(disclosures.clone()) } else { Held::Nothing };
            assert_eq!(held, expected, "{length} bytes, record {number}");
        }
    }
}
