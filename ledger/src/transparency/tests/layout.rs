use proptest::prelude::*;

use super::{ids, merkle, nodes};
use crate::transparency::layout::{
    self, PathError, TILE_WIDTH, TileError, TilePath, bundles, entries_bytes, parse_entries,
    tile_bytes, tiles,
};

fn hashes(level: u8, index: u64, width: u16) -> TilePath {
    TilePath::Hashes { level, index, width }
}

fn entries(index: u64, width: u16) -> TilePath {
    TilePath::Entries { index, width }
}

#[test]
fn paths_are_spelled_as_in_the_specification() {
    let known = [
        ("tile/0/x001/x234/067", hashes(0, 1_234_067, 256)),
        ("tile/0/x001/x234/067.p/12", hashes(0, 1_234_067, 12)),
        ("tile/entries/x001/x234/067.p/255", entries(1_234_067, 255)),
        ("tile/0/000", hashes(0, 0, 256)),
        ("tile/63/999.p/1", hashes(63, 999, 1)),
        ("tile/1/x001/000", hashes(1, 1000, 256)),
        ("tile/entries/272", entries(272, 256)),
        ("tile/0/x018/x446/x744/x073/x709/x551/615", hashes(0, u64::MAX, 256)),
    ];
    for (text, path) in known {
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
    }
}

#[test]
fn a_second_spelling_of_a_path_is_refused() {
    let bad = [
        ("", PathError::Shape),
        ("tile", PathError::Shape),
        ("tile/", PathError::Shape),
        ("tile/0", PathError::Shape),
        ("/tile/0/000", PathError::Shape),
        ("Tile/0/000", PathError::Shape),
        ("tile/00/000", PathError::Level),
        ("tile/64/000", PathError::Level),
        ("tile/-1/000", PathError::Level),
        ("tile/+1/000", PathError::Level),
        ("tile//000", PathError::Level),
        ("tile/data/000", PathError::Level),
        ("tile/8/0/x001/000", PathError::Index),
        ("tile/0/", PathError::Index),
        ("tile/0/0", PathError::Index),
        ("tile/0/0000", PathError::Index),
        ("tile/0/x000", PathError::Index),
        ("tile/0/x000/001", PathError::Index),
        ("tile/0/001/002", PathError::Index),
        ("tile/0/x001/x002", PathError::Index),
        ("tile/0/x01/002", PathError::Index),
        ("tile/0/x001//002", PathError::Index),
        ("tile/0/x001/002/", PathError::Index),
        ("tile/0/../000", PathError::Index),
        ("tile/0/%30%30%30", PathError::Index),
        ("tile/0/٠٠٠", PathError::Index),
        ("tile/0/x018/x446/x744/x073/x709/x551/616", PathError::Index),
        ("tile/0/000.p", PathError::Index),
        ("tile/0/000.p/", PathError::Width),
        ("tile/0/000.p/0", PathError::Width),
        ("tile/0/000.p/01", PathError::Width),
        ("tile/0/000.p/256", PathError::Width),
        ("tile/0/000.p/+5", PathError::Width),
        ("tile/0/000.p/5/", PathError::Width),
        ("tile/0/000.p/5.p/5", PathError::Width),
        ("tile/entries", PathError::Shape),
        ("tile/entries/000.p/300", PathError::Width),
    ];
    for (text, error) in bad {
        assert_eq!(text.parse::<TilePath>(), Err(error), "{text:?}");
    }
    assert_eq!(
        format!("tile/0/{}000", "x001/".repeat(100)).parse::<TilePath>(),
        Err(PathError::Shape)
    );
}

/// C2SP tlog-tiles, "Partial Tiles".
#[test]
fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
    let all: Vec<_> = tiles(70_000).collect();
    let of = |level: u8, full: bool| {
        all.iter()
            .filter(|tile| tile.level() == level && (tile.width() == TILE_WIDTH) == full)
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(of(0, true).len(), 273);
    assert_eq!(of(0, false), [hashes(0, 273, 112)]);
    assert_eq!(of(1, true), [hashes(1, 0, 256)]);
    assert_eq!(of(1, false), [hashes(1, 1, 17)]);
    assert_eq!(of(2, true), []);
    assert_eq!(of(2, false), [hashes(2, 0, 1)]);
    assert_eq!(all.len(), 277);
    assert_eq!(bundles(70_000).count(), 274);
    assert_eq!(tiles(256).collect::<Vec<_>>(), [hashes(0, 0, 256), hashes(1, 0, 1)]);
    assert_eq!(tiles(0).count(), 0);
    assert_eq!(bundles(0).count(), 0);
}

#[test]
fn a_tile_exists_once_the_tree_has_its_last_hash() {
    assert!(!hashes(0, 0, 1).exists_in(0));
    assert!(hashes(0, 0, 1).exists_in(1));
    assert!(!hashes(0, 0, 2).exists_in(1));
    assert!(hashes(0, 0, 255).exists_in(300), "a published checkpoint may point to it");
    assert!(hashes(0, 0, 256).exists_in(256));
    assert!(!hashes(0, 0, 256).exists_in(255));
    assert!(hashes(1, 0, 1).exists_in(256));
    assert!(!hashes(1, 0, 1).exists_in(255));
    assert!(entries(273, 112).exists_in(70_000));
    assert!(!entries(273, 113).exists_in(70_000));
    assert!(!entries(274, 1).exists_in(70_000));
    assert!(hashes(7, 0, 255).exists_in(u64::MAX));
    assert!(!hashes(8, 0, 1).exists_in(u64::MAX));
    assert!(!hashes(63, u64::MAX, 256).exists_in(u64::MAX));
    assert!(!hashes(0, 0, 0).exists_in(5));
    assert!(!hashes(0, 0, 257).exists_in(u64::MAX));
}

#[test]
fn tiles_hold_the_hashes_of_the_definition() {
    let size = 66_000;
    let ids = ids(size);
    let nodes = nodes(&ids);
    for tile in tiles(size).chain([hashes(0, 3, 7), hashes(1, 0, 200)]) {
        assert!(tile.exists_in(size));
        let bytes = tile_bytes(&tile, &nodes).unwrap();
        assert_eq!(bytes.len(), tile.bytes_len());
        // A hash of level l is the root over 256^l leaves.
        let span = 256_u64.pow(tile.level().into());
        let first = tile.index() * 256 * span;
        let mut frontier = merkle::Frontier::new();
        for id in &ids[usize::try_from(first).unwrap()..usize::try_from(first + span).unwrap()] {
            frontier.push(merkle::leaf_hash(id)).unwrap();
        }
        assert_eq!(bytes[..32], *frontier.root().as_bytes());
    }
    assert!(matches!(tile_bytes(&hashes(0, 258, 1), &nodes), Err(TileError::Tree(_))));
}

#[test]
fn a_tile_that_no_tree_has_is_an_error_and_no_panic() {
    let nodes = merkle::MemoryNodes::default();
    for tile in [hashes(63, 0, 1), hashes(0, u64::MAX, 256), hashes(7, 1 << 50, 3), hashes(0, 0, 0)]
    {
        assert!(matches!(tile_bytes(&tile, &nodes), Err(TileError::Beyond)), "{tile:?}");
    }
    assert!(matches!(tile_bytes(&entries(0, 1), &nodes), Err(TileError::NotHashes)));
    assert_eq!(entries(u64::MAX, 256).entry_range(), None);
    assert_eq!(entries(2, 3).entry_range(), Some(512..515));
    assert_eq!(hashes(0, 2, 3).entry_range(), None);
}

#[test]
fn a_bundle_holds_each_id_behind_its_length() {
    let ids = ids(3);
    let bytes = entries_bytes(&ids);
    assert_eq!(bytes.len(), entries(0, 3).bytes_len());
    assert_eq!(bytes[..2], [0, 32]);
    assert_eq!(bytes[2..34], *ids[0].as_bytes());
    assert_eq!(parse_entries(&bytes).unwrap(), ids);
    assert_eq!(parse_entries(&[]).unwrap(), []);
    for bad in [&bytes[..101], &bytes[1..], &[&bytes[..], &[0]].concat()] {
        assert!(matches!(parse_entries(bad), Err(TileError::Entries)));
    }
    assert!(layout::TILE_CACHE_CONTROL.contains("immutable"));
}

fn any_path() -> impl Strategy<Value = TilePath> {
    let index = prop_oneof![any::<u64>(), 0_u64..2_000_000];
    (any::<bool>(), 0_u8..=63, index, 1_u16..=256).prop_map(|(entry, level, index, width)| {
        if entry { entries(index, width) } else { hashes(level, index, width) }
    })
}

proptest! {
    #[test]
    fn a_path_reads_back(path in any_path()) {
        let text = path.to_string();
        prop_assert_eq!(text.parse(), Ok(path));
        // The crate's paths carry the height of tiles, and name bundles otherwise.
        let theirs = tlog_tiles::Tile::new(8, path.level(), path.index(), path.width().into(), matches!(path, TilePath::Entries { .. }));
        prop_assert_eq!(theirs.path().replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1), text.clone());
        if let TilePath::Hashes { level, index, width } = path {
            let theirs = metamorphic_log::tile::Tile::new(level, index, width).unwrap();
            prop_assert_eq!(theirs.path(), text);
        }
    }

    #[test]
    fn what_is_read_as_a_path_is_spelled_that_way(text in "tile/(entries|[0-9]{1,3})/(x?[0-9]{1,4}/){0,4}[0-9]{2,4}(\\.p/[0-9]{1,4})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        let _ = text.parse::<TilePath>();
    }

    #[test]
    fn the_tiles_of_a_tree_are_those_that_exist(size in 0_u64..200_000, path in any_path()) {
        let theirs: Vec<_> = metamorphic_log::tile::tiles_for_size(size).iter().map(|tile| tile.path()).collect();
        let ours: Vec<_> = tiles(size).map(|tile| tile.to_string()).collect();
        prop_assert_eq!(ours, theirs);
        for tile in tiles(size).chain(bundles(size)) {
            prop_assert!(tile.exists_in(size));
            prop_assert!(!tile.exists_in(0));
        }
        if path.exists_in(size) {
            prop_assert!(path.exists_in(size + 1));
        }
    }
}
