//! Documents: asked for, come in, judged, handed out; red and green.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    Standing, shown,
    time::{day_of, days_between},
};
use crate::{
    digest::RecordId,
    insurance::{
        Data,
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

/// Items while records are taken in: those of a contract, or of a claim.
#[derive(Default)]
pub(super) struct Items {
    items: Vec<Item>,
}

impl Items {
    pub(super) fn holds(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.item == name)
    }

    pub(super) fn requested(&mut self, standing: &Standing<'_>, data: &DocumentRequested) {
        for name in &data.items {
            // Whoever asks again wants another one.
            let fresh = Item {
                item: name.to_string(),
                state: ItemState::Missing,
                colour: Colour::Red,
                due: Some(data.due.date()),
                days_left: None,
                label: None,
                action: None,
                requested_by: Some(standing.id()),
                record: standing.id(),
                occurred_at: standing.at,
            };
            match self.items.iter_mut().find(|item| item.item == fresh.item) {
                Some(item) => *item = fresh,
                None => self.items.push(fresh),
            }
        }
    }

    /// Takes in that somebody has an item, or has looked at it.
    pub(super) fn assessed(&mut self, standing: &Standing<'_>) {
        let (name, verdict, label, action) = match standing.data() {
            Data::DocumentReceived(data) => {
                (&data.item, data.verdict, data.label.as_ref(), data.action.as_ref())
            }
            Data::DocumentAssessed(data) => {
                (&data.item, Some(data.verdict), data.label.as_ref(), data.action.as_ref())
            }
            _ => return,
        };
        let place = self.items.iter().position(|item| item.item == name.as_str());
        let item = match place.and_then(|place| self.items.get_mut(place)) {
            Some(item) => item,
            None => {
                self.items.push(Item {
                    item: name.to_string(),
                    state: ItemState::Received,
                    colour: Colour::Red,
                    due: None,
                    days_left: None,
                    label: None,
                    action: None,
                    requested_by: None,
                    record: standing.id(),
                    occurred_at: standing.at,
                });
                let Some(item) = self.items.last_mut() else { return };
                item
            }
        };
        match verdict {
            Some(verdict) => {
                item.state = match verdict {
                    Verdict::Accepted => ItemState::Accepted,
                    Verdict::Unreadable => ItemState::Unreadable,
                    Verdict::Rejected => ItemState::Rejected,
                };
            }
            // What was found before stands until somebody looks again.
            None if item.state == ItemState::Missing => item.state = ItemState::Received,
            None => {}
        }
        if item.state == ItemState::Accepted {
            item.colour = Colour::Green;
        } else {
            item.colour = Colour::Red;
        }
        item.label = label.map(ToString::to_string);
        item.action = action.map(ToString::to_string);
        item.record = standing.id();
        item.occurred_at = standing.at;
    }

    pub(super) fn finish(mut self, time: Timestamp, zone: &TimeZone) -> Vec<Item> {
        let today = day_of(time, zone);
        for item in &mut self.items {
            let due = item.due.filter(|_| item.colour == Colour::Red);
            item.days_left = due.map(|due| days_between(today, due));
        }
        self.items
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
