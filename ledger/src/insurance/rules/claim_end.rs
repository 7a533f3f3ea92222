//! When a claim ends, refused, paid in full or closed, and is open again.

use std::collections::BTreeMap;

use super::{
    case::{Case, Verdict, refuse},
    payment::check_payments_carried,
};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, Day, Moment,
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

    /// Takes a step in. The moment at which the claim turns by it, if it does:
    /// where the step is told late, no earlier than the turn before.
    fn turn(&mut self, step: &ClaimStep) -> Option<Moment> {
        let was_open = self.is_open();
        self.take(step);
        if self.is_open() == was_open {
            return None;
        }
        self.turned_at = self.turned_at.max(Some(step.at));
        self.turned_at
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

    /// The moments at which it ended, was open again, ended again, and so on.
    fn turns(&self) -> Vec<Moment> {
        let mut stood = self.stood.clone();
        self.steps.iter().filter_map(|step| stood.turn(step)).collect()
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
        let step = ClaimStep { record: self.record.id(), at: self.at(), kind, amount };
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
        if claim.steps.len() > CLAIM_STEPS_MAX {
            let oldest = claim.steps.remove(0);
            // What had been spent before it is no longer told by the steps.
            claim.unsure_before = claim.unsure_before.max(Some(oldest.at));
            claim.stood.turn(&oldest);
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
