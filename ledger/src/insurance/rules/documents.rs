//! Rules of documents: asked for, come in, judged, handed out.

use super::{
    case::{Case, Verdict, refuse},
    item::Stood,
    time::day_of,
};
use crate::{
    digest::RecordId,
    insurance::{
        ClaimRef, Code as Name, ContractRef, Day,
        contract::{DocumentIssued, DocumentRequested, Verdict as Finding},
        state::{
            decode,
            entities::{Contract, Dossier, Item, ItemChange, Mark},
            keys::{self, Key},
        },
    },
    limits::DOSSIER_ITEMS_MAX,
    refusal::Code,
};

/// Papers that show the cover; none is handed out while documents are missing.
const PAPERS_OF_COVER: [&str; 3] = ["green_card", "certificate", "vehicle_memo"];

/// What documents were asked for about.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// The contract: they make its dossier red or green.
    Contract(&'a ContractRef),
    /// One claim.
    Claim(&'a ClaimRef),
}

impl About<'_> {
    fn dossier(self) -> Key<Dossier> {
        match self {
            Self::Contract(contract) => keys::dossier(contract),
            Self::Claim(claim) => keys::claim_dossier(claim),
        }
    }

    pub(super) fn item(self, item: &Name) -> Key<Item> {
        match self {
            Self::Contract(contract) => keys::item(contract, item),
            Self::Claim(claim) => keys::claim_item(claim, item),
        }
    }
}

impl<'r> Case<'r, '_> {
    /// What the documents of the record are about.
    pub(super) fn about(&self) -> Verdict<About<'r>> {
        Ok(match &self.record.payload().claim {
            Some(claim) => About::Claim(claim),
            None => About::Contract(self.contract_ref()?),
        })
    }

    fn dossier(&mut self, about: About<'_>) -> Verdict<Dossier> {
        let none = Dossier { requested: 0, missing: 0, newest: self.at(), unsure_before: None };
        Ok(self.state.read(&about.dossier())?.unwrap_or(none))
    }

    /// Writes an item and counts it.
    pub(super) fn put_item(
        &mut self,
        about: About<'_>,
        name: &Name,
        before: Option<&Item>,
        mut after: Option<Item>,
    ) -> Verdict {
        let mut dossier = self.dossier(about)?;
        let counts = |item: Option<&Item>| {
            (u32::from(item.is_some()), u32::from(item.is_some_and(Item::is_missing)))
        };
        let ((requested, missing), (requested_now, missing_now)) =
            (counts(before), counts(after.as_ref()));
        dossier.requested = (dossier.requested + requested_now).saturating_sub(requested);
        dossier.missing = (dossier.missing + missing_now).saturating_sub(missing);
        dossier.newest = dossier.newest.max(self.at());
        if dossier.requested as usize > DOSSIER_ITEMS_MAX {
            let detail =
                format!("at most {DOSSIER_ITEMS_MAX} different documents can be asked for");
            return refuse(Code::TooLarge, "data.items", detail);
        }
        match &mut after {
            Some(item) => {
                let since = dossier.unsure_before.filter(|_| before.is_none());
                if let Some(since) = since.filter(|since| *since > self.at()) {
                    // It may have been asked for before, which is not remembered.
                    item.newest = since;
                    item.forget();
                }
                item.settle(self.at());
                self.state.write(about.item(name), item)?;
            }
            None => {
                // Up to there it was asked for, and maybe missing.
                if let Some(item) = before.filter(|item| item.is_known_beside(self.at())) {
                    let until = item.newest.max(self.at());
                    dossier.unsure_before = dossier.unsure_before.max(Some(until));
                }
                self.state.remove(about.item(name));
            }
        }
        self.state.write(about.dossier(), &dossier)
    }

    pub(super) fn document_requested(&mut self, data: &DocumentRequested) -> Verdict {
        let about = self.about()?;
        let day = day_of(self.at(), &self.contract()?.zone());
        if data.due < day {
            let detail = format!("asked for on {day}, documents cannot be due on {}", data.due);
            return refuse(Code::Malformed, "data.due", detail);
        }
        let corrected = self.corrected.as_ref().map(|corrected| corrected.id());
        for name in &data.items {
            let before = self.state.read(&about.item(name))?;
            // Whoever asks again wants another one; whoever corrects the request does not.
            let kept = before.as_ref().filter(|item| Some(item.requested_by) == corrected);
            let (record, at) = (self.record.id(), self.at());
            let asked = ItemChange { record, at, due: Some(data.due), accepted: false };
            if let Some(item) = before.as_ref().filter(|_| corrected.is_some() && kept.is_none()) {
                // It was asked for once more since, or by somebody else.
                let mut after = item.clone();
                if item.newest > at {
                    after.forget();
                }
                self.put_item(about, name, Some(item), Some(after))?;
                continue;
            }
            let first_requested = self.first_requested(name, before.as_ref())?;
            if let Some(item) =
                before.as_ref().filter(|item| kept.is_none() && item.requested_at > at)
            {
                // Told late: another one was asked for since.
                let mut after = Item { first_requested, ..item.clone() };
                after.change(asked);
                self.put_item(about, name, Some(item), Some(after))?;
                continue;
            }
            // What came in after that, it was asked for.
            let since = before.as_ref().filter(|item| {
                item.assessed.as_ref().is_some_and(|assessed| assessed.at > self.at())
            });
            let is_corrected = kept.is_some();
            let kept = kept.or(since);
            let known = before.as_ref();
            let mut item = Item {
                requested_by: self.record.id(),
                requested_at: self.at(),
                first_requested,
                due: data.due,
                verdict: kept.and_then(|item| item.verdict),
                assessed: kept.and_then(|item| item.assessed.clone()),
                newest: known.map_or(at, |known| known.newest),
                changes: known.map(|known| known.changes.clone()).unwrap_or_default(),
                before: known.and_then(|known| known.before.clone()),
            };
            if is_corrected {
                item.change_due(asked);
            } else {
                item.change(asked);
            }
            self.put_item(about, name, before.as_ref(), Some(item))?;
        }
        Ok(())
    }

    /// What asked for a document first, with the record at hand. A correction of the only
    /// request leaves none of what was found since to the time before it.
    fn first_requested(&self, name: &Name, before: Option<&Item>) -> Verdict<Mark> {
        let mark = Mark { record: self.record.id(), at: self.at() };
        let Some(item) = before else { return Ok(mark) };
        let first = &item.first_requested;
        let corrected = self.corrected.as_ref().map(|corrected| corrected.id());
        if corrected != Some(first.record) || item.requested_by != first.record {
            return Ok(if mark.at < first.at { mark } else { first.clone() });
        }
        if let Some(word) = item.assessed.as_ref().filter(|word| word.at < mark.at) {
            let what = format!("{name} was judged before it was asked for");
            let detail = format!("{what}, at {} by record {}", word.at, word.record);
            return refuse(Code::UnknownReference, "occurred_at", detail);
        }
        Ok(mark)
    }

    /// Where a document that came in was asked for; nowhere where it only came
    /// with the claim.
    pub(super) fn find_item(&mut self, name: &Name) -> Verdict<Option<(About<'r>, Item)>> {
        let contract = About::Contract(self.contract_ref()?);
        if let Some(claim) = &self.record.payload().claim {
            let about = About::Claim(claim);
            let item = self.state.read(&about.item(name))?;
            let attached = self.state.read(&keys::attached(claim))?;
            let came_with_it = attached.is_some_and(|attached| attached.kinds.contains(name));
            match item {
                Some(item) if !came_with_it => return self.asked_by_then(name, about, item),
                Some(item) => return Ok(Some((about, item))),
                None if came_with_it => return Ok(None),
                None => {}
            }
        }
        match self.state.read(&contract.item(name))? {
            Some(item) => self.asked_by_then(name, contract, item),
            None => {
                let detail = format!("{name} was never asked for, and did not come with the claim");
                refuse(Code::UnknownReference, "data.item", detail)
            }
        }
    }

    /// The item, which was asked for by the moment of the record.
    fn asked_by_then(
        &self,
        name: &Name,
        about: About<'r>,
        item: Item,
    ) -> Verdict<Option<(About<'r>, Item)>> {
        let what = format!("{name} was asked for");
        self.check_not_before(Code::UnknownReference, &what, &item.first_requested)?;
        Ok(Some((about, item)))
    }

    pub(super) fn document_assessed(&mut self, name: &Name, found: Option<Finding>) -> Verdict {
        let Some((about, before)) = self.find_item(name)? else { return Ok(()) };
        if found.is_none() && !self.corrects() {
            return Ok(());
        }
        let last = before.assessed.as_ref().map_or(before.requested_at, |last| last.at);
        let mut after = before.clone();
        if !self.corrects() {
            after.change(self.word(found));
            if before.requested_at.max(last) > self.at() {
                // Told late: somebody has asked or looked again since.
                return self.put_item(about, name, Some(&before), Some(after));
            }
        }
        let assessed = found.map(|_| Mark { record: self.record.id(), at: self.at() });
        after = Item { verdict: found, assessed, ..after };
        self.put_item(about, name, Some(&before), Some(after))
    }

    /// What the record at hand says of a document.
    fn word(&self, found: Option<Finding>) -> ItemChange {
        let accepted = found == Some(Finding::Accepted);
        ItemChange { record: self.record.id(), at: self.at(), due: None, accepted }
    }

    /// Takes in for the time between that a word on a document was corrected. Whether it
    /// is the newest one, so that it is another from now on. Where there is none on the
    /// one that was asked for last, one that is told of before that is none either.
    pub(super) fn correct_word(
        &mut self,
        old: RecordId,
        name: &Name,
        found: Option<Finding>,
    ) -> Verdict<bool> {
        let Some((about, before)) = self.find_item(name)? else { return Ok(false) };
        let is_newest = match &before.assessed {
            Some(newest) => newest.record == old,
            None => before.requested_at <= self.at(),
        };
        let mut after = before.clone();
        if found.is_some() {
            after.change_word(old, self.word(found));
        } else {
            after.forget();
        }
        if is_newest {
            // How it stands is still to be taken in; it is settled then.
            self.state.write(about.item(name), &after)?;
        } else {
            self.put_item(about, name, Some(&before), Some(after))?;
        }
        Ok(is_newest)
    }

    pub(super) fn document_issued(&mut self, data: &DocumentIssued) -> Verdict {
        if PAPERS_OF_COVER.contains(&data.kind.as_str()) {
            self.check_green("data.kind", &format!("a {}", data.kind))?;
        }
        Ok(())
    }

    /// That no document was missing at the moment of the record.
    pub(super) fn check_green(&mut self, field: &str, what: &str) -> Verdict {
        let named = self.contract_ref()?;
        let dossier = self.dossier(About::Contract(named))?;
        let forgotten = dossier.unsure_before.is_some_and(|since| self.at() < since);
        let mut missing = self.items_then(named, &dossier)?;
        missing.retain(|(.., stood)| *stood != Stood::Fine);
        if missing.is_empty() && !forgotten {
            return Ok(());
        }
        let names = missing.iter().map(|(name, item, stood)| {
            let not_known = if *stood == Stood::Forgotten { "not known any more: " } else { "" };
            format!("{not_known}{name} (record {})", item.requested_by)
        });
        let mut names: Vec<_> = names.take(5).collect();
        if forgotten {
            names.push("not known any more: what a correction no longer asks for".to_owned());
        }
        self.refuse_or_flag(Code::DossierRed, field, || {
            format!(
                "{what} is for contracts without a missing document; not accepted then: {}",
                names.join(", ")
            )
        })
    }

    /// The documents that were asked for, and how each stood at the moment of the
    /// record; none where nothing was missing and nothing is told late.
    fn items_then(
        &mut self,
        named: &ContractRef,
        dossier: &Dossier,
    ) -> Verdict<Vec<(String, Item, Stood)>> {
        let at = self.at();
        if dossier.missing == 0 && dossier.newest <= at {
            return Ok(Vec::new());
        }
        let (from, to) = keys::items(named);
        let mut items = Vec::new();
        for (key, value) in self.state.range(&from, &to, DOSSIER_ITEMS_MAX)? {
            let item: Item = decode(&value)?;
            let name = key.get(from.len()..key.len().saturating_sub(1)).unwrap_or_default();
            let stood = item.stood(at);
            items.push((String::from_utf8_lossy(name).into_owned(), item, stood));
        }
        Ok(items)
    }

    /// The day by which the first of the documents that are missing is due.
    pub(super) fn first_due(&mut self, named: &ContractRef) -> Verdict<Day> {
        let dossier = self.dossier(About::Contract(named))?;
        let items = self.items_then(named, &dossier)?;
        let due = items.iter().filter_map(|(.., stood)| match stood {
            Stood::Missing(due) => Some(*due),
            _ => None,
        });
        if let Some(due) = due.min() {
            return Ok(due);
        }
        let forgotten = items.iter().find(|(.., stood)| *stood == Stood::Forgotten);
        let detail = match forgotten {
            Some((name, item, _)) => format!(
                "no document is known to have been missing then; of {name} (record {}) that is \
                 not remembered, so the contract cannot end for it",
                item.requested_by
            ),
            None => "no document is missing, so the contract cannot end for that".to_owned(),
        };
        refuse(Code::DossierGreen, "data.reason", detail)
    }

    /// That the day by which documents are due has passed, and that the contract
    /// is in force on it still.
    pub(super) fn check_deadline_passed(
        &self,
        due: Day,
        effective: Option<Day>,
        contract: &Contract,
    ) -> Verdict {
        let day = day_of(self.at(), &contract.zone());
        if day <= due {
            let detail = format!("it is {day}; documents may come in up to and on {due}");
            return refuse(Code::DeadlineNotPassed, "occurred_at", detail);
        }
        if let Some(effective) = effective.filter(|effective| *effective < due) {
            let detail = format!(
                "documents may come in up to and on {due}; the contract cannot end on \
                 {effective} for them"
            );
            return refuse(Code::DeadlineNotPassed, "data.effective", detail);
        }
        Ok(())
    }
}
