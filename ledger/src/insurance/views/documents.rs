//! Documents: asked for, come in, judged, handed out; red and green.

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    Line, shown,
    time::{day_of, days_between},
};
use crate::{
    digest::RecordId,
    insurance::{
        ClaimRef, Code, Data,
        contract::{DocumentRequested, Verdict},
    },
};

shown! {
    /// Whether something is missing.
    enum Colour {
        /// No document that was asked for is missing.
        Green = "green",
        /// A document that was asked for is missing.
        Red = "red",
    }
}

shown! {
    /// Where a document stands.
    enum ItemState {
        /// Nothing came in.
        Missing = "missing",
        /// Something came in, and nobody has looked at it.
        Received = "received",
        /// It is good.
        Accepted = "accepted",
        /// It cannot be read.
        Unreadable = "unreadable",
        /// It was read, and is not good.
        Rejected = "rejected",
    }
}

shown! {
    /// A document that was asked for, or that came with a claim and was looked at.
    Item {
        /// What it is.
        item: String,
        /// How it stands.
        state: ItemState,
        /// Red as long as it is not accepted.
        colour: Colour,
        /// The last day for it, in the contract's time zone; null where it was never asked for.
        due: Option<Date>,
        /// Days until `due`; negative where it is over. Null where it is accepted or has no day.
        days_left: Option<i64>,
        /// What the customer is shown.
        label: Option<String>,
        /// What the customer is to do.
        action: Option<String>,
        /// The record that asked for it last.
        requested_by: Option<RecordId>,
        /// The record that tells how it stands: the newest about it.
        record: RecordId,
        /// When that happened.
        occurred_at: Timestamp,
    }

    /// A paper that was handed out.
    IssuedPaper {
        /// What it is.
        kind: String,
        /// The paper it replaces.
        reissue_of: Option<String>,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// Who handed it out.
        by: String,
    }

    /// The documents of a contract.
    Documents {
        /// Red while an item that was asked for is not accepted.
        colour: Colour,
        /// How many items are not accepted.
        missing: u64,
        /// Days until the first of them is due; negative where it is over.
        days_left: Option<i64>,
        /// The items, in the order they were asked for.
        items: Vec<Item>,
        /// The papers handed out, the newest last.
        issued: Vec<IssuedPaper>,
    }
}

/// The documents of a contract and of its claims while records are taken in, all
/// of them and in the order of the ledger: a correction acts where it stands
/// itself, as for the rules.
#[derive(Default)]
pub(super) struct DocumentsFold<'a> {
    /// Those that were asked for about the contract.
    pub(super) contract: Items,
    claims: BTreeMap<&'a ClaimRef, Items>,
    /// The kinds of document that came with each claim.
    attached: BTreeMap<&'a ClaimRef, &'a [Code]>,
    /// The records about documents so far, for those that correct one of them.
    records: HashMap<RecordId, &'a Line>,
}

impl<'a> DocumentsFold<'a> {
    /// Takes in the next record.
    pub(super) fn take(&mut self, line: &'a Line) {
        let payload = line.record.payload();
        let claim = payload.claim.as_ref();
        let corrected = payload.corrects.and_then(|id| self.records.get(&id).copied());
        match &payload.data {
            Data::DocumentRequested(data) => {
                let items = match claim {
                    Some(claim) => self.claims.entry(claim).or_default(),
                    None => &mut self.contract,
                };
                let came_with_it = claim.and_then(|claim| self.attached.get(claim).copied());
                items.requested(line, data, corrected, came_with_it.unwrap_or_default());
            }
            Data::DocumentReceived(data) => self.found(claim, &data.item).assessed(line, corrected),
            Data::DocumentAssessed(data) => self.found(claim, &data.item).assessed(line, corrected),
            Data::ClaimOpened(data) => {
                if let Some(claim) = claim {
                    self.attached.insert(claim, &data.attached);
                }
                return;
            }
            _ => return,
        }
        self.records.insert(line.record.id(), line);
    }

    /// Where a document counts that came in: where it was asked for, about the
    /// claim that the record names, else about the contract. One that only came
    /// with the claim is shown there, and makes the contract neither red nor green.
    fn found(&mut self, claim: Option<&'a ClaimRef>, item: &Code) -> &mut Items {
        let Some(claim) = claim else { return &mut self.contract };
        let came_with_it = self.attached.get(claim).is_some_and(|kinds| kinds.contains(item));
        let asked_of_contract = self.contract.holds(item);
        let of_claim = self.claims.entry(claim).or_default();
        if of_claim.was_asked_for(item) || came_with_it || !asked_of_contract {
            of_claim
        } else {
            &mut self.contract
        }
    }

    /// Those that were asked for about a claim, or came with it.
    pub(super) fn of_claim(&mut self, claim: &ClaimRef) -> Items {
        self.claims.remove(claim).unwrap_or_default()
    }
}

/// Items while records are taken in: those of a contract, or of a claim.
#[derive(Default)]
pub(super) struct Items {
    items: Vec<Known>,
}

/// An item, and what the rules know of it besides.
struct Known {
    shown: Item,
    /// When it was asked for.
    requested_at: Option<Timestamp>,
    /// The record whose verdict it has, and its moment.
    assessed: Option<(RecordId, Timestamp)>,
}

impl Known {
    fn new(name: &Code, state: ItemState, line: &Line) -> Self {
        let shown = Item {
            item: name.to_string(),
            state,
            colour: Colour::Red,
            due: None,
            days_left: None,
            label: None,
            action: None,
            requested_by: None,
            record: line.record.id(),
            occurred_at: line.record.payload().occurred_at,
        };
        Self { shown, requested_at: None, assessed: None }
    }
}

impl Items {
    fn was_asked_for(&self, name: &Code) -> bool {
        let mut items = self.items.iter();
        items.any(|item| item.shown.item == name.as_str() && item.requested_at.is_some())
    }

    fn holds(&self, name: &Code) -> bool {
        self.items.iter().any(|item| item.shown.item == name.as_str())
    }

    fn of(&mut self, name: &Code) -> Option<&mut Known> {
        self.items.iter_mut().find(|item| item.shown.item == name.as_str())
    }

    /// Takes in that items are asked for; of those that came with the claim a word counts
    /// only once they are.
    fn requested(
        &mut self,
        line: &Line,
        data: &DocumentRequested,
        corrected: Option<&Line>,
        came_with_it: &[Code],
    ) {
        let (id, at) = (line.record.id(), line.record.payload().occurred_at);
        let before = corrected.map(|corrected| corrected.record.id());
        if let Some(corrected) = corrected
            && let Data::DocumentRequested(old) = &corrected.record.payload().data
        {
            // What is asked for no longer is gone, unless it came in and is good,
            // or somebody asked again.
            self.items.retain(|item| {
                let names = |asked: &[Code]| asked.iter().any(|it| it.as_str() == item.shown.item);
                !names(&old.items)
                    || names(&data.items)
                    || item.shown.requested_by != before
                    || item.shown.state == ItemState::Accepted
            });
        }
        for name in &data.items {
            // Whoever asks again wants another one; whoever corrects the request
            // does not, nor where it was asked for by another record since.
            if let Some(kept) = self.of(name)
                && let Some(before) = before
                && let Some(requested_by) = kept.shown.requested_by
            {
                if requested_by != before {
                    continue;
                }
                kept.shown.due = Some(data.due.date());
                kept.shown.requested_by = Some(id);
                kept.requested_at = Some(at);
                if kept.shown.state == ItemState::Missing {
                    kept.shown.record = id;
                    kept.shown.occurred_at = line.record.payload().occurred_at;
                }
                continue;
            }
            if let Some(item) = self.of(name) {
                if item.requested_at.is_some_and(|requested_at| requested_at > at) {
                    // Told late: another one was asked for since.
                    continue;
                }
                if (item.requested_at.is_some() || !came_with_it.contains(name))
                    && item.assessed.is_some_and(|(_, assessed_at)| assessed_at > at)
                {
                    // What came in after that, it was asked for.
                    item.shown.due = Some(data.due.date());
                    item.shown.requested_by = Some(id);
                    item.requested_at = Some(at);
                    continue;
                }
            }
            let mut fresh = Known::new(name, ItemState::Missing, line);
            fresh.shown.due = Some(data.due.date());
            fresh.shown.requested_by = Some(id);
            fresh.requested_at = Some(at);
            match self.of(name) {
                Some(item) => *item = fresh,
                None => self.items.push(fresh),
            }
        }
    }

    /// Takes in that somebody has an item, or has looked at it.
    fn assessed(&mut self, line: &Line, corrected: Option<&Line>) {
        let payload = line.record.payload();
        let (name, verdict, label, action) = match &payload.data {
            Data::DocumentReceived(data) => {
                (&data.item, data.verdict, data.label.as_ref(), data.action.as_ref())
            }
            Data::DocumentAssessed(data) => {
                (&data.item, Some(data.verdict), data.label.as_ref(), data.action.as_ref())
            }
            _ => return,
        };
        if !self.holds(name) {
            self.items.push(Known::new(name, ItemState::Received, line));
        }
        let Some(item) = self.of(name) else { return };
        let since = |at: Timestamp| at > payload.occurred_at;
        let passed_over = match (corrected, item.assessed) {
            // It is not the newest word any more, and neither is its correction.
            (Some(corrected), Some((by, _))) => by != corrected.record.id(),
            // Told late: somebody has asked or looked again since.
            (_, looked) => {
                looked.is_some_and(|(_, at)| since(at)) || item.requested_at.is_some_and(since)
            }
        };
        if passed_over {
            return;
        }
        match verdict {
            Some(verdict) => {
                item.assessed = Some((line.record.id(), payload.occurred_at));
                item.shown.state = match verdict {
                    Verdict::Accepted => ItemState::Accepted,
                    Verdict::Unreadable => ItemState::Unreadable,
                    Verdict::Rejected => ItemState::Rejected,
                };
            }
            // The verdict was a mistake.
            None if corrected.is_some() => {
                (item.shown.state, item.assessed) = (ItemState::Received, None);
            }
            // What was found before stands until somebody looks again.
            None if item.shown.state == ItemState::Missing => {
                item.shown.state = ItemState::Received;
            }
            None => {}
        }
        item.shown.colour = match item.shown.state {
            ItemState::Accepted => Colour::Green,
            _ => Colour::Red,
        };
        item.shown.label = label.map(ToString::to_string);
        item.shown.action = action.map(ToString::to_string);
        item.shown.record = line.record.id();
        item.shown.occurred_at = payload.occurred_at;
    }

    pub(super) fn finish(self, time: Timestamp, zone: &TimeZone) -> Vec<Item> {
        let today = day_of(time, zone);
        let items = self.items.into_iter().map(|mut item| {
            let due = item.shown.due.filter(|_| item.shown.colour == Colour::Red);
            item.shown.days_left = due.map(|due| days_between(today, due));
            item.shown
        });
        items.collect()
    }
}

impl Documents {
    pub(super) fn new(items: Vec<Item>, issued: Vec<IssuedPaper>) -> Self {
        // What only came with a claim was never asked for and makes nothing red.
        let missing = |item: &&Item| item.colour == Colour::Red && item.requested_by.is_some();
        let count = items.iter().filter(missing).count() as u64;
        Self {
            colour: if count == 0 { Colour::Green } else { Colour::Red },
            missing: count,
            days_left: items.iter().filter(missing).filter_map(|item| item.days_left).min(),
            items,
            issued,
        }
    }
}
