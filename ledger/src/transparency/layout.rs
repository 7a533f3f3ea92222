//! Which tiles a tree has, what is in them, and how their paths are spelled
//! (C2SP tlog-tiles). No other module spells such a path.
//!
//! A tile holds up to 256 hashes of one level of the tree; level 0 are the
//! leaves, and each hash of level `l` covers `256^l` of them. An entry bundle
//! holds the up to 256 entries under the level 0 tile of the same index; an
//! entry is a record's 32-byte id. Neither ever changes once it is served, so
//! everything but the checkpoint may be cached for ever.

use std::{fmt, str::FromStr};

use super::tree::{self, HashReader, TREE_SIZE_MAX, TreeError, stored_hash_index};
use crate::digest::RecordId;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Levels a path may name, from 0.
pub const LEVEL_MAX: u8 = 63;

/// Bytes of one entry in a bundle: two of its length, then the id.
pub const ENTRY_BYTES: usize = 34;

/// `Content-Type` of the checkpoint.
pub const CHECKPOINT_CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// `Cache-Control` of the checkpoint, which changes with every block.
pub const CHECKPOINT_CACHE_CONTROL: &str = "no-store";

/// `Content-Type` of tiles and entry bundles.
pub const TILE_CONTENT_TYPE: &str = "application/octet-stream";

/// `Cache-Control` of tiles and entry bundles, which never change.
pub const TILE_CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// No path of this length or more names a tile.
const PATH_BYTES_MAX: usize = 64;

/// A text is not the path of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Does not begin with `tile/` and a level or `entries`.
    #[error("expected tile/<level>/<index> or tile/entries/<index>")]
    Shape,
    /// The level is no number from 0 to 63 without leading zeros.
    #[error("the level is a number from 0 to 63 without leading zeros")]
    Level,
    /// The index is not in groups of three digits, all but the last behind an `x`.
    #[error("the index is written in groups of three digits, all but the last behind an x")]
    Index,
    /// The width is no number from 1 to 255 without leading zeros.
    #[error("the width is a number from 1 to 255 without leading zeros")]
    Width,
}

/// A tile of hashes, or a bundle of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<level>/<index>[.p/<width>]`
    Hashes {
        /// 0 for leaves, then one for every eight levels of the tree; up to 63.
        level: u8,
        /// Which tile of the level, from 0.
        index: u64,
        /// How many hashes, from 1; 256 in a full tile.
        width: u16,
    },
    /// `tile/entries/<index>[.p/<width>]`
    Entries {
        /// Which bundle, from 0.
        index: u64,
        /// How many entries, from 1; 256 in a full bundle.
        width: u16,
    },
}

impl TilePath {
    /// Which tile of its level, from 0.
    #[must_use]
    pub const fn index(&self) -> u64 {
        match self {
            Self::Hashes { index, .. } | Self::Entries { index, .. } => *index,
        }
    }

    /// How many hashes or entries it holds.
    #[must_use]
    pub const fn width(&self) -> u16 {
        match self {
            Self::Hashes { width, .. } | Self::Entries { width, .. } => *width,
        }
    }

    /// Its level; bundles stand beside level 0.
    #[must_use]
    pub const fn level(&self) -> u8 {
        match self {
            Self::Hashes { level, .. } => *level,
            Self::Entries { .. } => 0,
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        usize::from(self.width())
            * if matches!(self, Self::Hashes { .. }) { 32 } else { ENTRY_BYTES }
    }

    /// Whether a tree of `size` records has it. A partial tile goes on existing
    /// when the tree outgrows it: some published checkpoint may point to it.
    #[must_use]
    pub fn exists_in(&self, size: u64) -> bool {
        (1..=TILE_WIDTH).contains(&self.width())
            && self.width() <= available(self.level(), self.index(), size)
    }

    /// The records `[start, end)` of a bundle; `None` for tiles of hashes and
    /// beyond what a tree can hold.
    #[must_use]
    pub fn entry_range(&self) -> Option<std::ops::Range<u64>> {
        match self {
            Self::Entries { index, width } => {
                let start = index.checked_mul(u64::from(TILE_WIDTH))?;
                Some(start..start.checked_add(u64::from(*width))?)
            }
            Self::Hashes { .. } => None,
        }
    }
}

/// How many hashes of that tile a tree of `size` has.
fn available(level: u8, index: u64, size: u64) -> u16 {
    let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
    let left = index
        .checked_mul(u64::from(TILE_WIDTH))
        .and_then(|start| hashes.checked_sub(start))
        .unwrap_or(0);
    u16::try_from(left).unwrap_or(TILE_WIDTH).min(TILE_WIDTH)
}

/// The tiles of hashes that stand for a tree of `size`: level by level, full
/// ones first, then the partial one where there is one.
pub fn tiles(size: u64) -> impl Iterator<Item = TilePath> {
    (0..=LEVEL_MAX).flat_map(move |level| {
        row(level, size).map(move |(index, width)| TilePath::Hashes { level, index, width })
    })
}

/// The entry bundles that stand for a tree of `size`.
pub fn bundles(size: u64) -> impl Iterator<Item = TilePath> {
    row(0, size).map(|(index, width)| TilePath::Entries { index, width })
}

fn row(level: u8, size: u64) -> impl Iterator<Item = (u64, u16)> {
    let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
    (0..hashes.div_ceil(u64::from(TILE_WIDTH)))
        .map(move |index| (index, available(level, index, size)))
}

/// The bytes of a tile of hashes: each hash in turn, read where the store keeps
/// it. Ask only for what [`TilePath::exists_in`] the tree.
///
/// # Errors
/// The path is a bundle's or lies beyond what a tree can hold, or the reader failed.
pub fn tile_bytes<R: HashReader>(tile: &TilePath, reader: &R) -> Result<Vec<u8>, TileError> {
    let TilePath::Hashes { level, index, width } = *tile else {
        return Err(TileError::NotHashes);
    };
    if !tile.exists_in(TREE_SIZE_MAX) {
        return Err(TileError::Beyond);
    }
    let height = level.saturating_mul(8);
    let start = index.saturating_mul(u64::from(TILE_WIDTH));
    let positions: Vec<u64> = (start..start.saturating_add(u64::from(width)))
        .map(|hash| stored_hash_index(height, hash))
        .collect();
    let hashes = tree::read(reader, &positions)?;
    Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
}

/// The bytes of an entry bundle: for each record, the length of its id as two
/// bytes, big-endian, and the id.
#[must_use]
pub fn entries_bytes<'a>(ids: impl IntoIterator<Item = &'a RecordId>) -> Vec<u8> {
    let ids = ids.into_iter();
    let mut bytes = Vec::with_capacity(ids.size_hint().0.saturating_mul(ENTRY_BYTES));
    for id in ids {
        bytes.extend_from_slice(&[0, 32]);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

/// The ids in an entry bundle of this ledger.
///
/// # Errors
/// The bytes are not a sequence of whole entries of 32 bytes each.
pub fn parse_entries(bytes: &[u8]) -> Result<Vec<RecordId>, TileError> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let entry = |entry: &[u8; ENTRY_BYTES]| {
        let id: &[u8; 32] = entry.strip_prefix(&[0, 32])?.try_into().ok()?;
        Some(RecordId::from_digest(crate::digest::Digest::from_bytes(*id)))
    };
    let ids: Option<Vec<_>> = entries.iter().map(entry).collect();
    ids.filter(|_| rest.is_empty()).ok_or(TileError::Entries)
}

/// A tile cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// An entry bundle where a tile of hashes belongs.
    #[error("an entry bundle is not a tile of hashes")]
    NotHashes,
    /// A tile that no tree can have.
    #[error("no tree has such a tile")]
    Beyond,
    /// Not a bundle of 32-byte entries.
    #[error("not a bundle of 32-byte entries")]
    Entries,
    /// The stored nodes cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes { level, .. } => write!(f, "tile/{level}/")?,
            Self::Entries { .. } => f.write_str("tile/entries/")?,
        }
        let mut groups = Vec::new();
        let mut rest = self.index();
        while rest >= 1000 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        groups.push(rest);
        while let Some(group) = groups.pop() {
            if groups.is_empty() {
                write!(f, "{group:03}")?;
            } else {
                write!(f, "x{group:03}/")?;
            }
        }
        if self.width() < TILE_WIDTH { write!(f, ".p/{}", self.width()) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = PathError;

    /// Reads the part of a URL behind the leading slash. One tile has one path.
    fn from_str(path: &str) -> Result<Self, PathError> {
        if path.len() >= PATH_BYTES_MAX {
            return Err(PathError::Shape);
        }
        let path = path.strip_prefix("tile/").ok_or(PathError::Shape)?;
        let (kind, path) = path.split_once('/').ok_or(PathError::Shape)?;
        let (index, width) = match path.split_once(".p/") {
            Some((index, width)) => {
                let width = number(width, u64::from(TILE_WIDTH) - 1).filter(|width| *width > 0);
                (index, width.ok_or(PathError::Width)?)
            }
            None => (path, u64::from(TILE_WIDTH)),
        };
        let width = u16::try_from(width).map_err(|_| PathError::Width)?;
        let level = match kind {
            "entries" => None,
            level => {
                let level = number(level, u64::from(LEVEL_MAX)).ok_or(PathError::Level)?;
                Some(u8::try_from(level).map_err(|_| PathError::Level)?)
            }
        };
        let index = tile_index(index).ok_or(PathError::Index)?;
        Ok(match level {
            Some(level) => Self::Hashes { level, index, width },
            None => Self::Entries { index, width },
        })
    }
}

/// A decimal number up to `max`, without leading zeros.
fn number(text: &str, max: u64) -> Option<u64> {
    super::format::decimal(text).filter(|number| *number <= max)
}

/// `x001/x234/067`
fn tile_index(text: &str) -> Option<u64> {
    let (higher, last) = match text.rsplit_once('/') {
        Some((higher, last)) => (Some(higher), last),
        None => (None, text),
    };
    let mut index: u64 = 0;
    for group in higher.into_iter().flat_map(|higher| higher.split('/')) {
        let group = three_digits(group.strip_prefix('x')?)?;
        index = index.checked_mul(1000)?.checked_add(group)?;
        // A leading group of zeros would give one tile two paths.
        if index == 0 {
            return None;
        }
    }
    index.checked_mul(1000)?.checked_add(three_digits(last)?)
}

fn three_digits(text: &str) -> Option<u64> {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}
