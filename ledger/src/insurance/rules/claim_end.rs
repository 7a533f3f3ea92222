//! When a claim ends, refused, paid in full or closed, and is open again.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::{
    case::{Case, Verdict, refuse},
    figures::shown,
    payment::check_payments_carried,
};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, Data, Day, Moment,
        state::entities::{Claim, ClaimStep, ClaimStepKind, Stood},
    },
    limits::CLAIM_STEPS_MAX,
    refusal::Code,
};

impl Stood {
    /// Whether it is neither closed nor all paid that is due; one that was refused
    /// has nothing due, unless an offer was accepted.
    fn is_open(&self) -> bool {
        !self.closed && self.accepted.or(self.approved).is_none_or(|due| self.paid() < due)
    }

    /// What has left less what came back.
    pub(super) fn paid(&self) -> Amount {
        self.executed.checked_sub(self.returned).unwrap_or_default()
    }

    /// Takes a step in. Whether the claim ends by it, or is open again.
    fn turn(&mut self, step: &ClaimStep) -> bool {
        let was_open = self.is_open();
        self.take(step);
        self.is_open() != was_open
    }

    fn take(&mut self, step: &ClaimStep) {
        let sum = |amount: Amount| amount.checked_add(step.amount).unwrap_or(amount);
        match step.kind {
            ClaimStepKind::Approved => self.approved = Some(step.amount),
            ClaimStepKind::Accepted => self.accepted = Some(step.amount),
            ClaimStepKind::Objected | ClaimStepKind::Ordered => {}
            ClaimStepKind::Executed => self.executed = sum(self.executed),
            ClaimStepKind::Returned => self.returned = sum(self.returned),
            ClaimStepKind::Closed => self.closed = true,
        }
    }
}

impl Claim {
    /// Where it stands after every step.
    pub(crate) fn stands(&self) -> Stood {
        let mut stood = self.stood.clone();
        self.steps.iter().for_each(|step| stood.take(step));
        stood
    }

    /// What has left less what came back.
    pub(super) fn paid(&self) -> Amount {
        self.stands().paid()
    }

    /// Whether something was paid or came back after that record.
    pub(super) fn is_paid_since(&self, record: RecordId) -> bool {
        let mut after = self.steps.iter().skip_while(|step| step.record != record);
        after.any(|step| matches!(step.kind, ClaimStepKind::Executed | ClaimStepKind::Returned))
    }

    /// Its steps as they happened, whenever they were told; of one moment, in the order of
    /// the ledger.
    pub(super) fn steps_in_time(&self) -> Vec<&ClaimStep> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// The moments at which it ended, was open again, ended again, and so on.
    fn turns(&self) -> Vec<Moment> {
        let (mut stood, steps) = (self.stood.clone(), self.steps_in_time());
        steps.into_iter().filter(|step| stood.turn(step)).map(|step| step.at).collect()
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.stands().is_open()
    }
}

impl Case<'_, '_> {
    /// Notes what the record at hand says of the claim, in the place of what it
    /// corrects, and counts the claim where it ends so or is open again.
    pub(super) fn step(
        &mut self,
        claim: &mut Claim,
        kind: ClaimStepKind,
        amount: Amount,
    ) -> Verdict {
        let payee = match &self.record.payload().data {
            Data::PaymentRecorded(data) => Some(data.payee.clone()),
            _ => None,
        };
        let step = ClaimStep { record: self.record.id(), at: self.at(), kind, amount, payee };
        let Some(corrected) = self.corrected.as_ref().map(|corrected| corrected.id()) else {
            return self.put_step(claim, None, step);
        };
        let before = claim.clone();
        self.put_step(claim, Some(corrected), step)?;
        check_payments_carried(&before, claim)
    }

    /// Takes a step in, in the place of that record's if one is given.
    pub(super) fn put_step(
        &mut self,
        claim: &mut Claim,
        corrected: Option<RecordId>,
        step: ClaimStep,
    ) -> Verdict {
        if let Some(since) = claim.stood.at.filter(|since| step.at < *since) {
            let detail = format!(
                "{CLAIM_STEPS_MAX} decisions, answers and payments of the claim came later, since \
                 {}; the ledger does not know any more how it stood before",
                shown(since, &TimeZone::UTC)
            );
            return refuse(Code::ClaimState, "occurred_at", detail);
        }
        let before = self.counts(claim);
        match corrected {
            None => claim.steps.push(step),
            Some(id) => match claim.steps.iter_mut().find(|step| step.record == id) {
                Some(corrected) => *corrected = step,
                None => {
                    let detail = format!(
                        "{CLAIM_STEPS_MAX} decisions, answers and payments followed what it \
                         corrects, too many to look back"
                    );
                    return refuse(Code::ClaimState, "corrects", detail);
                }
            },
        }
        let mut change = self.counts(claim);
        for (day, count) in before {
            *change.entry(day).or_default() -= count;
        }
        for (day, count) in change.into_iter().filter(|(_, count)| *count != 0) {
            self.tally_open(claim, day, count)?;
        }
        // What happened first is told apart no more, so that every other came after it.
        if claim.steps.len() > CLAIM_STEPS_MAX
            && let Some(first) =
                (0..claim.steps.len()).min_by_key(|at| claim.steps.get(*at).map(|it| it.at))
        {
            let first = claim.steps.remove(first);
            // What had been spent before it is no longer told by the steps.
            claim.unsure_before = claim.unsure_before.max(Some(first.at));
            claim.stood.take(&first);
            claim.stood.at = Some(first.at);
        }
        Ok(())
    }

    /// What the steps add to the claims that are open, by day of the insurer.
    fn counts(&self, claim: &Claim) -> BTreeMap<Day, i64> {
        let mut counts = BTreeMap::new();
        let mut count = if claim.stood.is_open() { -1 } else { 1 };
        for at in claim.turns() {
            let day = self.day_of_insurer(claim.contract.insurer(), at);
            *counts.entry(day).or_default() += count;
            count = -count;
        }
        counts
    }
}
