//! Rules of documents: asked for, come in, judged, handed out.

use super::{
    case::{Case, Verdict, refuse},
    time::day_of,
};
use crate::{
    insurance::{
        ClaimRef, Code as Name, ContractRef, Day, Moment,
        contract::{DocumentIssued, DocumentRequested, Verdict as Finding},
        state::{
            decode,
            entities::{Contract, Dossier, Item, Mark},
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

impl Item {
    pub(super) fn is_missing(&self) -> bool {
        self.verdict != Some(Finding::Accepted)
    }

    /// Whether it had been asked for at a moment, and no good one had come in.
    fn is_missing_at(&self, at: Moment) -> bool {
        let accepted = self.assessed.as_ref().filter(|_| !self.is_missing());
        self.requested_at <= at && accepted.is_none_or(|accepted| accepted.at > at)
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
        let none = Dossier { requested: 0, missing: 0, newest: self.at() };
        Ok(self.state.read(&about.dossier())?.unwrap_or(none))
    }

    /// Writes an item and counts it.
    pub(super) fn put_item(
        &mut self,
        about: About<'_>,
        name: &Name,
        before: Option<&Item>,
        after: Option<&Item>,
    ) -> Verdict {
        let mut dossier = self.dossier(about)?;
        let counts = |item: Option<&Item>| {
            (u32::from(item.is_some()), u32::from(item.is_some_and(Item::is_missing)))
        };
        let ((requested, missing), (requested_now, missing_now)) = (counts(before), counts(after));
        dossier.requested = (dossier.requested + requested_now).saturating_sub(requested);
        dossier.missing = (dossier.missing + missing_now).saturating_sub(missing);
        dossier.newest = dossier.newest.max(self.at());
        if dossier.requested as usize > DOSSIER_ITEMS_MAX {
            let detail =
                format!("at most {DOSSIER_ITEMS_MAX} different documents can be asked for");
            return refuse(Code::TooLarge, "data.items", detail);
        }
        match after {
            Some(item) => self.state.write(about.item(name), item)?,
            None => self.state.remove(about.item(name)),
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
            if corrected.is_some() && kept.is_none() && before.is_some() {
                // It was asked for once more since, or by somebody else.
                continue;
            }
            let first_requested = self.first_requested(name, before.as_ref())?;
            if let Some(item) = &before
                && kept.is_none()
                && item.requested_at > self.at()
            {
                // Told late: another one was asked for since.
                let after = Item { first_requested, ..item.clone() };
                self.put_item(about, name, Some(item), Some(&after))?;
                continue;
            }
            // What came in after that, it was asked for.
            let since = before.as_ref().filter(|item| {
                item.assessed.as_ref().is_some_and(|assessed| assessed.at > self.at())
            });
            let kept = kept.or(since);
            let item = Item {
                requested_by: self.record.id(),
                requested_at: self.at(),
                first_requested,
                due: data.due,
                verdict: kept.and_then(|item| item.verdict),
                assessed: kept.and_then(|item| item.assessed.clone()),
            };
            self.put_item(about, name, before.as_ref(), Some(&item))?;
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
        if !self.corrects() && before.requested_at.max(last) > self.at() {
            // Told late: somebody has asked or looked again since.
            return Ok(());
        }
        let assessed = found.map(|_| Mark { record: self.record.id(), at: self.at() });
        let after = Item { verdict: found, assessed, ..before.clone() };
        self.put_item(about, name, Some(&before), Some(&after))
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
        let missing: Vec<_> = self
            .missing_items(named)?
            .into_iter()
            .map(|(name, item)| format!("{name} (record {})", item.requested_by))
            .take(5)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.refuse_or_flag(Code::DossierRed, field, || {
            format!(
                "{what} is for contracts without a missing document; not accepted then: {}",
                missing.join(", ")
            )
        })
    }

    /// The documents that had been asked for and not accepted at the moment of the record.
    fn missing_items(&mut self, named: &ContractRef) -> Verdict<Vec<(String, Item)>> {
        let (at, dossier) = (self.at(), self.dossier(About::Contract(named))?);
        if dossier.missing == 0 && dossier.newest <= at {
            return Ok(Vec::new());
        }
        let (from, to) = keys::items(named);
        let mut missing = Vec::new();
        for (key, value) in self.state.range(&from, &to, DOSSIER_ITEMS_MAX)? {
            let item: Item = decode(&value)?;
            if item.is_missing_at(at) {
                let name = key.get(from.len()..key.len().saturating_sub(1)).unwrap_or_default();
                missing.push((String::from_utf8_lossy(name).into_owned(), item));
            }
        }
        Ok(missing)
    }

    /// The day by which the first of the documents that are missing is due.
    pub(super) fn first_due(&mut self, named: &ContractRef) -> Verdict<Day> {
        match self.missing_items(named)?.iter().map(|(_, item)| item.due).min() {
            Some(due) => Ok(due),
            None => {
                let detail = "no document is missing, so the contract cannot end for that";
                refuse(Code::DossierGreen, "data.reason", detail)
            }
        }
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
