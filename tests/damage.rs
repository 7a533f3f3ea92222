//! Damage to the store's files is never passed over in silence: the node does
//! not start, the audit fails, and both name the file. What can be made again
//! from the blocks may heal, but only into exactly what was there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use quittance_tests::{Consortium, Ended, Node, Settings, copy_folder, load_records, quittance};
use serde_json::Value;

/// A ledger that was stopped in order, with everything it served.
struct Original {
    consortium: Consortium,
    served: Served,
    /// The store's files, relative to the data folder.
    files: Vec<PathBuf>,
}

/// What a node serves of its ledger.
#[derive(Debug, PartialEq)]
struct Served {
    status: Value,
    records: Vec<Value>,
    blocks: Value,
    checkpoints: Value,
    by_contract: Vec<Vec<Value>>,
    receipts: BTreeMap<String, Vec<u8>>,
    tiles: Vec<Vec<u8>>,
}

impl Served {
    fn by(node: &Node) -> Self {
        let records = node.all_records("");
        let receipts = records
            .iter()
            .step_by(7)
            .map(|record| record["id"].as_str().unwrap())
            .map(|id| (id.to_owned(), node.receipt(id)))
            .collect();
        let status = node.json("/v1/status");
        let size = status["head"]["tree_size"].as_u64().unwrap();
        let tiles = [
            "/checkpoint".to_owned(),
            format!("/tile/0/000.p/{size}"),
            format!("/tile/entries/000.p/{size}"),
        ];
        Self {
            status: serde_json::json!({ "head": status["head"], "ledger": status["ledger"] }),
            records,
            blocks: node.json("/v1/blocks?after=0&limit=1000"),
            checkpoints: node.json("/v1/checkpoints?limit=1000"),
            by_contract: (0..5)
                .map(|number| node.all_records(&format!("&contract=comp-it%2FL-{number}")))
                .collect(),
            receipts,
            tiles: tiles.iter().map(|path| node.get(path).body).collect(),
        }
    }
}

/// Made once; each test works on copies.
fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let consortium = Consortium::new();
        let mut node = consortium.start();
        for part in load_records(&consortium, 120).chunks(10) {
            node.append_all(part);
        }
        let served = Served::by(&node);
        node.stop();
        let mut files = Vec::new();
        list(&consortium.data().join("ledger"), &mut files);
        files.push(consortium.data().join("cosigned"));
        let files: Vec<_> = files
            .into_iter()
            .map(|file| file.strip_prefix(consortium.data()).unwrap().to_owned())
            .collect();
        Original { consortium, served, files }
    })
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

/// What stands in a message about a file: its own name or the part of the store
/// that it belongs to.
fn names_of(file: &Path) -> Vec<&'static str> {
    let text = file.to_str().unwrap();
    if text.contains("/blocks/") {
        vec!["blocks"]
    } else if text.contains("/pending/") {
        vec!["pending"]
    } else if text.contains("/index/") {
        vec!["sled", "index"]
    } else if text.contains("nodes") {
        vec!["nodes.flat"]
    } else if text.contains("positions") {
        vec!["positions.flat"]
    } else if text == "cosigned" {
        vec!["cosigned"]
    } else if text.contains("heights") {
        vec!["heights.flat"]
    } else {
        vec!["clean"]
    }
}

/// How a damage ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Run and audit refuse, and name the file.
    Named,
    /// The node runs and the audit passes on exactly what was there.
    Same,
}

/// Damages a copy and tells how that ends, or panics: a damage that is passed
/// over, or not named, has no end that is right.
fn end_of(what: &str, file: &Path, damage: impl Fn(&Path)) -> End {
    let original = original();
    let refuses = |what: &str, ended: &Ended| {
        assert!(
            ended.code.is_some_and(|code| code != 0),
            "{what} on {}: ended with {:?} (none is a crash)\n{}",
            file.display(),
            ended.code,
            ended.stderr
        );
        assert!(
            !ended.stderr.contains("panicked at"),
            "{what} on {}:\n{}",
            file.display(),
            ended.stderr
        );
        let named = names_of(file).iter().any(|name| ended.stderr.contains(name));
        assert!(named, "{what} on {} does not name it:\n{}", file.display(), ended.stderr);
    };
    let folder = tempfile::tempdir().unwrap();
    let damaged = |name: &str| {
        let data = folder.path().join(name);
        copy_folder(&original.consortium.data(), &data);
        damage(&data.join(file));
        data
    };
    let audited = damaged("audited");
    let audit = quittance(["audit", audited.to_str().unwrap()]);
    match Node::try_start(&damaged("run"), &Settings::default()) {
        Err(ended) => {
            refuses(&format!("{what}: run"), &ended);
            refuses(&format!("{what}: audit"), &audit);
            End::Named
        }
        Ok(mut node) => {
            let served = Served::by(&node);
            assert!(
                served == original.served,
                "{what} on {}: the node runs and serves something else",
                file.display()
            );
            node.stop();
            assert_eq!(
                audit.code,
                Some(0),
                "{what} on {}: run heals it, audit does not\n{}",
                file.display(),
                audit.stderr
            );
            End::Same
        }
    }
}

/// Places all over a file of `length` bytes: its first and last bytes, and
/// `count` between them.
fn places(length: usize, count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).map(|number| number * length / count).collect();
    places.extend([1, length / 2 + 1, length.saturating_sub(5), length - 1]);
    places.retain(|place| *place < length);
    places.sort_unstable();
    places.dedup();
    places
}

fn flip(place: usize, bit: u8) -> impl Fn(&Path) {
    move |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[place] ^= bit;
        fs::write(path, bytes).unwrap();
    }
}

/// The files of a part of the store that hold something.
fn files_in(part: &str) -> Vec<(PathBuf, usize)> {
    let original = original();
    let files: Vec<_> = original
        .files
        .iter()
        .filter(|file| file.to_str().unwrap().contains(part))
        .map(|file| {
            let length = fs::metadata(original.consortium.data().join(file)).unwrap().len();
            (file.clone(), usize::try_from(length).unwrap())
        })
        .filter(|(_, length)| *length > 0)
        .collect();
    assert!(!files.is_empty(), "no file of {part}: {:?}", original.files);
    files
}

fn every_flip_is_named(part: &str, count: usize) {
    for (file, length) in files_in(part) {
        for (number, place) in places(length, count).into_iter().enumerate() {
            let bit = 1 << (number % 8);
            let end = end_of(&format!("byte {place} of {length} ^ {bit}"), &file, flip(place, bit));
            assert_eq!(end, End::Named, "byte {place} of {} goes unnoticed", file.display());
        }
    }
}

#[test]
fn an_undamaged_copy_is_the_same() {
    assert_eq!(end_of("nothing", Path::new("ledger/nodes.flat"), |_| {}), End::Same);
}

#[test]
fn a_flipped_byte_in_the_blocks_is_named() {
    every_flip_is_named("/blocks/", 24);
}

#[test]
fn a_flipped_byte_in_the_tree_nodes_is_named() {
    every_flip_is_named("nodes.flat", 10);
}

#[test]
fn a_flipped_byte_in_the_positions_is_named() {
    every_flip_is_named("positions.flat", 8);
}

#[test]
fn a_flipped_byte_in_the_heights_is_named() {
    every_flip_is_named("heights.flat", 8);
}

#[test]
fn a_flipped_byte_in_what_waits_is_named() {
    every_flip_is_named("/pending/", 10);
}

#[test]
fn a_flipped_byte_in_the_note_of_an_orderly_stop_is_named() {
    every_flip_is_named("ledger/clean", 4);
}

#[test]
fn a_flipped_byte_in_what_was_cosigned_last_is_named() {
    every_flip_is_named("cosigned", 40);
}

#[test]
fn a_flipped_byte_in_the_index_is_named_or_changes_nothing() {
    let mut named = 0;
    for (file, length) in files_in("/index/") {
        for (number, place) in places(length, 12).into_iter().enumerate() {
            let what = format!("byte {place} of {length}");
            named += u32::from(end_of(&what, &file, flip(place, 1 << (number % 8))) == End::Named);
        }
    }
    // Much of sled's file is unused space, where a flip changes nothing.
    assert!(named > 0, "no flip in the index was noticed");
}

#[test]
fn a_file_that_is_cut_off_is_named_or_made_again() {
    for (file, length) in files_in("ledger/") {
        let text = file.to_str().unwrap();
        for left in [0, length / 2, length - 1] {
            let what = format!("cut to {left} of {length}");
            let end = end_of(&what, &file, |path| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(left as u64)
                    .unwrap();
            });
            if text.contains("/blocks/") {
                assert_eq!(end, End::Named, "{what} of {text}");
            }
        }
    }
}

#[test]
fn a_file_that_is_missing_is_named_or_made_again() {
    for (file, _) in files_in("ledger/") {
        let text = file.to_str().unwrap();
        let end = end_of("removed", &file, |path| fs::remove_file(path).unwrap());
        if text.contains("/blocks/") {
            assert_eq!(end, End::Named, "{text}");
        }
    }
}

#[test]
fn bytes_behind_the_end_of_a_file_are_named_or_change_nothing() {
    for (file, _) in files_in("ledger/") {
        end_of("16 bytes more", &file, |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.extend_from_slice(&[0x5a; 16]);
            fs::write(path, bytes).unwrap();
        });
    }
}

#[test]
fn reindex_heals_what_is_derived_and_never_what_is_true() {
    let original = original();
    for (file, _) in files_in("ledger/") {
        let text = file.to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy_folder(&original.consortium.data(), &data);
        let path = data.join(&file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let reindexed = quittance(["reindex", "--data", data.to_str().unwrap()]);
        if text.contains("/blocks/") {
            assert_ne!(reindexed.code, Some(0), "{text}");
            assert!(reindexed.stderr.contains("blocks"), "{}", reindexed.stderr);
        } else if !text.contains("/pending/") {
            let _ = reindexed.success();
            let node = Node::start(&data);
            let served = Served::by(&node);
            if text.contains("/index/") {
                // Checkpoints that could not be read were signed again, later.
                assert_eq!(served.status, original.served.status, "{text}");
                assert_eq!(served.records, original.served.records, "{text}");
                assert_eq!(served.tiles[1..], original.served.tiles[1..], "{text}");
            } else {
                assert!(served == original.served, "{text}");
            }
        }
    }
}

#[test]
fn a_ledger_with_another_genesis_is_not_taken_for_its_own() {
    let original = original();
    let other = Consortium::new();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy_folder(&other.data(), &data);
    copy_folder(&original.consortium.data().join("ledger"), &data.join("ledger"));
    let ended = Node::try_start(&data, &Settings::default()).unwrap_err();
    assert!(ended.code.is_some_and(|code| code != 0));
    assert!(ended.stderr.contains("holds ledger"), "{}", ended.stderr);
    assert_ne!(quittance(["audit", data.to_str().unwrap()]).code, Some(0));
}
