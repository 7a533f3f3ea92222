//! Which records count, and which stands where one was corrected.

use std::collections::HashMap;

use jiff::Timestamp;

use super::AsOf;
use crate::{
    digest::RecordId,
    insurance::{ClaimRef, Data, rules},
    record::{Payload, Record},
    refusal::Code,
};

/// A record with its place on the ledger.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its place among all records, from 0.
    pub index: u64,
    /// The block it stands in.
    pub height: u64,
    /// The time of that block, in milliseconds since the Unix epoch.
    pub block_time_ms: u64,
    /// The record.
    pub record: Record,
    /// The rules that it breaks and was accepted with.
    pub flags: Vec<Code>,
}

impl Line {
    /// The codes it is marked with in every view: the rules it breaks, then
    /// `late` where it was recorded more than an hour after it happened.
    #[must_use]
    pub fn marks(&self) -> Vec<String> {
        let flags = self.flags.iter().map(|code| code.as_str().to_owned());
        flags.chain(self.is_late().then(|| "late".to_owned())).collect()
    }

    /// Whether it was recorded more than an hour after it happened.
    #[must_use]
    pub fn is_late(&self) -> bool {
        rules::is_late(&self.record, self.block_time_ms)
    }
}

/// A record that counts, with what it stands in the place of.
#[derive(Debug, Clone)]
pub(super) struct Standing<'a> {
    pub(super) line: &'a Line,
    /// What it corrects, what that corrected, and so on; the first of all comes first.
    corrected: Vec<&'a Line>,
    /// When it happened.
    pub(super) at: Timestamp,
}

impl<'a> Standing<'a> {
    /// The first of the records that correct each other; itself, where nothing is
    /// corrected.
    pub(super) fn first(&self) -> &'a Line {
        self.corrected.first().copied().unwrap_or(self.line)
    }

    /// The first of those that correct each other and tell of the same as this one,
    /// all of them up to this one.
    pub(super) fn since(&self, same: impl Fn(&Line) -> bool) -> &'a Line {
        let alike = self.corrected.iter().rev().take_while(|line| same(line));
        alike.last().copied().unwrap_or(self.line)
    }

    /// When it happened by each of the records that correct each other, up to this
    /// one, with their places on the ledger.
    pub(super) fn moments(&self) -> Vec<(u64, Timestamp)> {
        let chain = self.corrected.iter().chain([&self.line]);
        chain.map(|line| (line.index, line.record.payload().occurred_at)).collect()
    }

    pub(super) fn id(&self) -> RecordId {
        self.line.record.id()
    }

    pub(super) fn payload(&self) -> &'a Payload {
        self.line.record.payload()
    }

    pub(super) fn data(&self) -> &'a Data {
        &self.line.record.payload().data
    }

    pub(super) fn claim(&self) -> Option<&'a ClaimRef> {
        self.line.record.payload().claim.as_ref()
    }

    pub(super) fn signer(&self) -> String {
        self.line.record.signer().to_string()
    }
}

/// A record that had been recorded, whether it counts or was corrected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded<'a> {
    pub(super) line: &'a Line,
    /// The record that stands in its place.
    pub(super) corrected_by: Option<RecordId>,
}

/// What a view is made of.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// Every record of that moment, in the order of the ledger.
    pub(super) recorded: Vec<Recorded<'a>>,
    /// Those that count. A correction stands where the corrected one stood.
    pub(super) standing: Vec<Standing<'a>>,
}

/// Selects what counts as of a moment from lines in the order of the ledger.
pub(super) fn select<'a>(lines: impl IntoIterator<Item = &'a Line>, as_of: AsOf) -> Selection<'a> {
    let lines: Vec<&Line> = lines.into_iter().collect();
    let mut places: HashMap<RecordId, usize> = HashMap::with_capacity(lines.len());
    // For each line the first of its chain of corrections, and for each such
    // first one the chain up to the newest that counts.
    let mut first: Vec<usize> = Vec::with_capacity(lines.len());
    let mut chains: Vec<Vec<&Line>> = vec![Vec::new(); lines.len()];
    let mut counts: Vec<bool> = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        let payload = line.record.payload();
        let corrected = payload.corrects.and_then(|id| places.get(&id).copied());
        let root = corrected.and_then(|place| first.get(place).copied()).unwrap_or(place);
        let passes = as_of.lets_pass(line.height, payload.occurred_at);
        places.insert(line.record.id(), place);
        first.push(root);
        counts.push(passes);
        if let Some(chain) = chains.get_mut(root) {
            chain.push(line);
        }
    }
    for chain in &mut chains {
        let passes = |line: &&Line| as_of.lets_pass(line.height, line.record.payload().occurred_at);
        let newest = chain.iter().rposition(passes);
        chain.truncate(newest.map_or(0, |newest| newest + 1));
    }
    let newest: Vec<Option<RecordId>> =
        chains.iter().map(|chain| Some(chain.last()?.record.id())).collect();
    let standing = chains
        .into_iter()
        .filter_map(|mut corrected| {
            let line = corrected.pop()?;
            Some(Standing { line, corrected, at: line.record.payload().occurred_at })
        })
        .collect();
    let recorded = lines
        .iter()
        .enumerate()
        .zip(first.iter().zip(&counts))
        .filter(|(_, (_, counts))| **counts)
        .map(|((_, line), (root, _))| Recorded {
            line,
            corrected_by: newest
                .get(*root)
                .copied()
                .flatten()
                .filter(|newest| *newest != line.record.id()),
        })
        .collect();
    Selection { recorded, standing }
}
