//! Which records count, and which stands where one was corrected.

use std::collections::HashMap;

use jiff::Timestamp;

use super::AsOf;
use crate::{
    digest::RecordId,
    insurance::{ClaimRef, Data, RecordType, rules},
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) line: &'a Line,
    /// The first of the records that correct each other; itself, where nothing is
    /// corrected.
    first: &'a Line,
    /// When it happened, as it says itself; as the first says, where the rules go
    /// by that.
    pub(super) at: Timestamp,
}

impl<'a> Standing<'a> {
    /// When it happened, as it says itself.
    pub(super) fn said_at(&self) -> Timestamp {
        self.line.record.payload().occurred_at
    }

    /// The first of the records that correct each other.
    pub(super) const fn first(&self) -> &'a Line {
        self.first
    }

    /// What the first of the records says that correct each other.
    pub(super) fn first_data(&self) -> &'a Data {
        &self.first.record.payload().data
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

/// Whether the rules go on with what the first record of that type did, whatever
/// corrects it: the newer one is there for readers (`rules::corrections`).
const fn first_counts(record_type: RecordType) -> bool {
    matches!(
        record_type,
        RecordType::SignatureRequested
            | RecordType::SignatureChallenged
            | RecordType::SignatureFailed
            | RecordType::SignatureCompleted
            | RecordType::PreauthorisationReleased
            | RecordType::ClaimRegistered
            | RecordType::ClaimState
            | RecordType::ClaimDisputed
    )
}

/// Selects what counts as of a moment from lines in the order of the ledger.
pub(super) fn select<'a>(lines: impl IntoIterator<Item = &'a Line>, as_of: AsOf) -> Selection<'a> {
    let lines: Vec<&Line> = lines.into_iter().collect();
    let mut places: HashMap<RecordId, usize> = HashMap::with_capacity(lines.len());
    // For each line the first of its chain of corrections, and for each such
    // first one the newest of the chain that counts.
    let mut first: Vec<usize> = Vec::with_capacity(lines.len());
    let mut newest: Vec<Option<usize>> = vec![None; lines.len()];
    let mut counts: Vec<bool> = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        let payload = line.record.payload();
        let corrected = payload.corrects.and_then(|id| places.get(&id).copied());
        let root = corrected.and_then(|place| first.get(place).copied()).unwrap_or(place);
        let passes = as_of.lets_pass(line.height, payload.occurred_at);
        places.insert(line.record.id(), place);
        first.push(root);
        counts.push(passes);
        if passes && let Some(newest) = newest.get_mut(root) {
            *newest = Some(place);
        }
    }
    let standing = newest
        .iter()
        .enumerate()
        .filter_map(|(root, newest)| {
            let (first, line) = (*lines.get(root)?, *lines.get((*newest)?)?);
            if !first_counts(line.record.payload().record_type) {
                return Some(Standing { line, first, at: line.record.payload().occurred_at });
            }
            let at = first.record.payload().occurred_at;
            let had_happened = counts.get(root).copied().unwrap_or(false);
            had_happened.then_some(Standing { line, first, at })
        })
        .collect();
    let recorded = lines
        .iter()
        .enumerate()
        .zip(first.iter().zip(&counts))
        .filter(|(_, (_, counts))| **counts)
        .map(|((place, line), (root, _))| Recorded {
            line,
            corrected_by: newest
                .get(*root)
                .copied()
                .flatten()
                .filter(|newest| *newest != place)
                .and_then(|newest| lines.get(newest).map(|line| line.record.id())),
        })
        .collect();
    Selection { recorded, standing }
}
