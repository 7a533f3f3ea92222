//! What had been asked for and accepted by every moment, however late that is told.

use crate::{
    insurance::{
        Day, Moment,
        contract::Verdict as Finding,
        state::entities::{Item, ItemBefore, ItemChange},
    },
    limits::ITEM_CHANGES_MAX,
};

/// How a document stood at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stood {
    /// It had not been asked for, or was accepted.
    Fine,
    /// It had been asked for by that day, and was not accepted.
    Missing(Day),
    /// That is not remembered.
    Forgotten,
}

impl Item {
    pub(super) fn is_missing(&self) -> bool {
        self.verdict != Some(Finding::Accepted)
    }

    /// How it stood by what had been told of up to a moment.
    pub(super) fn stood(&self, at: Moment) -> Stood {
        if self.before.as_ref().is_some_and(|before| at < before.since) {
            return Stood::Forgotten;
        }
        let by_then = || self.changes.iter().rev().filter(|change| change.at <= at);
        let before = self.before.as_ref();
        let due = by_then().find_map(|change| change.due);
        let accepted = by_then().next().map(|change| change.accepted);
        match due.or(before.and_then(|before| before.due)) {
            Some(due) if !accepted.or(before.map(|it| it.accepted)).unwrap_or(false) => {
                Stood::Missing(due)
            }
            _ => Stood::Fine,
        }
    }

    /// Whether something happened to it at another moment than that.
    pub(super) fn is_known_beside(&self, at: Moment) -> bool {
        self.before.is_some() || self.changes.iter().any(|change| change.at != at)
    }

    /// Takes in that it was asked for, or that somebody looked at it. A change lasts up
    /// to the next one, whichever was told first.
    pub(super) fn change(&mut self, change: ItemChange) {
        if self.before.as_ref().is_some_and(|before| change.at < before.since) {
            self.forget();
            return;
        }
        let place = self.changes.partition_point(|before| before.at <= change.at);
        self.changes.insert(place, change);
    }

    /// Takes in that whoever asked for it has corrected that: another day may be due
    /// from then on, and what was found stays.
    pub(super) fn change_due(&mut self, change: ItemChange) {
        let accepted = self.stood(change.at) == Stood::Fine;
        let asked_by = self.changes.iter().rev().find(|it| it.due.is_some());
        if self.newest <= change.at {
            self.change(ItemChange { accepted, ..change });
        } else if asked_by.is_none_or(|asked| change.at < asked.at) {
            self.forget();
        } else {
            self.change(ItemChange { accepted, ..change });
        }
    }

    /// Takes in that a word on it was corrected. Where it can no longer be told what
    /// follows of that for the time between, that is forgotten.
    pub(super) fn change_word(&mut self, old: crate::digest::RecordId, word: ItemChange) {
        let Some(place) = self.changes.iter().position(|change| change.record == old) else {
            self.forget();
            return;
        };
        let (earlier, later) = self.changes.split_at(place);
        let is_last = later.len() == 1;
        let follows = earlier.last().is_none_or(|before| before.at <= word.at);
        let asked_since = later.iter().any(|change| change.due.is_some());
        let Some(corrected) = self.changes.get_mut(place) else { return };
        if corrected.at == word.at && !asked_since || is_last && follows && word.at < corrected.at {
            *corrected = word;
        } else if is_last && word.at > corrected.at {
            self.changes.push(word);
        } else {
            self.forget();
        }
    }

    /// Forgets how it came to stand as it does: that is known from the newest moment on.
    pub(super) fn forget(&mut self) {
        self.changes.clear();
        let (due, accepted) = (Some(self.due), !self.is_missing());
        self.before = Some(ItemBefore { since: self.newest, due, accepted });
    }

    /// Keeps of its changes no more than there is room for, and none where they do not
    /// lead to how it stands. What is not remembered is not taken for anything.
    pub(super) fn settle(&mut self, at: Moment) {
        self.newest = self.newest.max(at);
        let stands = match self.is_missing() {
            true => Stood::Missing(self.due),
            false => Stood::Fine,
        };
        let is_forgotten = self.changes.is_empty() && self.before.is_some();
        if is_forgotten || self.stood(self.newest) != stands {
            self.forget();
        }
        while self.changes.len() > ITEM_CHANGES_MAX {
            let oldest = self.changes.remove(0);
            let due = oldest.due.or(self.before.as_ref().and_then(|before| before.due));
            let since = self.changes.first().map_or(self.newest, |next| next.at);
            self.before = Some(ItemBefore { since, due, accepted: oldest.accepted });
        }
    }
}
