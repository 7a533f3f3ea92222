//! What the deductible of a claim is: the one reading of a ladder, by which rules
//! judge and the dossier shows.
//!
//! A ladder has an amount of its own, which starts, claim-free years lower and, with
//! `variable`, claims raise. A cost commitment leaves it as it is: it makes the next
//! claim within a year bear more, and whether that claim comes or not, the ladder's
//! own amount applies again after it.

use jiff::{ToSpan as _, tz::TimeZone};

use super::time::day_of;
use crate::{
    digest::RecordId,
    insurance::{
        Amount, ClaimRef, Moment,
        contract::DeductibleModel,
        settlement::DeductibleSet,
        state::entities::{Commitment, Ladder, LadderStand},
    },
    limits::LADDER_STEPS_MAX,
};

/// One step of a ladder, in cents.
const STEP: u64 = 10_000;

/// As far as claims raise a variable deductible, in cents; where one with a bonus starts.
pub(super) const TOP: u64 = 30_000;

/// What the next claim after a cost commitment bears, in cents.
const AFTER_COST_COMMITMENT: u64 = 50_000;

pub(super) const START: &str = "start";
pub(super) const COST_COMMITMENT: &str = "cost_commitment";
pub(crate) const CLAIM_FREE: &str = "claim_free:";

/// Where a ladder starts.
pub(super) fn start_of(model: DeductibleModel) -> Amount {
    cents(match model {
        DeductibleModel::Variable => 0,
        DeductibleModel::Bonus => TOP,
    })
}

fn cents(cents: u64) -> Amount {
    Amount::new(cents).unwrap_or_default()
}

/// One step less, to nothing.
fn lower(amount: Amount) -> Amount {
    cents(amount.minor_units().saturating_sub(STEP))
}

/// What a ladder makes of a cause.
pub(super) struct Made {
    /// Its own amount from then on.
    pub(super) own: Amount,
    /// What the record says, one of these.
    pub(super) told: Vec<Amount>,
}

impl Made {
    /// By a step of a ladder of that model that stands there, or nowhere yet.
    pub(super) fn by(cause: &str, model: DeductibleModel, before: Option<&LadderStand>) -> Self {
        let Some(before) = before else {
            let own = start_of(model);
            return Self { own, told: vec![own] };
        };
        let current = before.own.minor_units();
        if cause == COST_COMMITMENT {
            return Self { own: before.own, told: vec![cents(AFTER_COST_COMMITMENT)] };
        }
        if cause.starts_with(CLAIM_FREE) {
            // After a cost commitment a record may also count on from what that said.
            let own = lower(before.own);
            return Self { own, told: vec![own, lower(before.told)] };
        }
        // One that is above the top already does not come down for a claim.
        let own = cents((current + STEP).min(TOP.max(current)));
        Self { own, told: vec![own] }
    }
}

impl LadderStand {
    /// Where a record brings a ladder that stands there, or nowhere yet.
    pub(crate) fn by(
        record: RecordId,
        at: Moment,
        data: &DeductibleSet,
        before: Option<&Self>,
        zone: &TimeZone,
    ) -> Self {
        let cause = data.cause.as_str();
        let year = day_of(at, zone).date().year();
        Self {
            record,
            told: data.amount,
            own: Made::by(cause, data.model, before).own,
            at,
            year: before.and_then(|before| before.year),
            claim: None,
            commitment: (cause == COST_COMMITMENT).then_some(Commitment { year, claim: None }),
        }
    }
}

impl Ladder {
    /// Takes in its newest step.
    pub(crate) fn put(&mut self, step: LadderStand) {
        self.steps.push(step);
        if self.steps.len() > LADDER_STEPS_MAX {
            self.steps.remove(0);
            self.forgotten = true;
        }
    }

    /// The newest step.
    pub(crate) fn last(&self) -> Option<&LadderStand> {
        self.steps.last()
    }

    /// The moment by which the deductible of a claim goes.
    pub(super) fn moment_of_claim(&self, opened_at: Moment, decided_at: Moment) -> Moment {
        match self.model {
            DeductibleModel::Variable => decided_at,
            DeductibleModel::Bonus => opened_at,
        }
    }

    /// The step by which a claim bears that much.
    pub(super) fn step_of(
        &self,
        opened_at: Moment,
        decided_at: Moment,
        bears: u64,
    ) -> Option<&LadderStand> {
        let at = self.moment_of_claim(opened_at, decided_at);
        let mut held = self.steps.iter().rev().filter(|step| step.at <= at);
        held.find(|step| bears <= TOP || step.commitment.is_some())
    }

    /// What a claim bears: with `variable` what holds when it is decided, with `bonus`
    /// what holds when it is opened. None where the steps of that time are forgotten.
    pub(crate) fn for_claim(
        &self,
        claim: Option<&ClaimRef>,
        opened_at: Moment,
        decided_at: Moment,
        zone: &TimeZone,
    ) -> Option<Amount> {
        if self.model == DeductibleModel::Variable {
            return self.own_at(decided_at);
        }
        let own = self.own_at(opened_at)?;
        let raised = cents(AFTER_COST_COMMITMENT);
        if claim.is_some_and(|claim| self.commitments().any(|(_, it)| it.is_for(claim))) {
            return Some(raised);
        }
        match self.commitments().rfind(|(at, _)| *at <= opened_at) {
            Some((at, commitment)) if commitment.claim.is_none() => {
                Some(if is_within_a_year(opened_at, at, zone) { raised } else { own })
            }
            Some(_) => Some(own),
            // One that is forgotten might reach so far.
            None => {
                let first = self.steps.first().filter(|_| self.forgotten);
                let reaches = first.is_some_and(|it| is_within_a_year(opened_at, it.at, zone));
                (!reaches).then_some(own)
            }
        }
    }

    /// Its own amount at a moment; none where that is forgotten.
    fn own_at(&self, at: Moment) -> Option<Amount> {
        let step = self.steps.iter().rfind(|step| step.at <= at).map(|step| step.own);
        step.or_else(|| (!self.forgotten).then(|| start_of(self.model)))
    }

    fn commitments(&self) -> impl DoubleEndedIterator<Item = (Moment, &Commitment)> {
        self.steps.iter().filter_map(|step| Some((step.at, step.commitment.as_ref()?)))
    }

    /// Notes for which claim a cost commitment was, by the deductible that a decision
    /// on it applies: the first that is decided of those opened since, and that one
    /// only; none where it is decided anew and bears no more than others. Whether
    /// anything changes.
    pub(crate) fn use_commitment(
        &mut self,
        claim: &ClaimRef,
        opened_at: Moment,
        applied: Amount,
    ) -> bool {
        let is_its = self.commitments().any(|(_, commitment)| commitment.is_for(claim));
        let is_raised = applied.minor_units() > TOP;
        let mut commitments = self.steps.iter_mut().rev();
        if is_raised && !is_its {
            let newest = commitments.find(|it| it.at <= opened_at && it.commitment.is_some());
            let newest = newest.and_then(|step| step.commitment.as_mut());
            if let Some(commitment) = newest.filter(|commitment| commitment.claim.is_none()) {
                commitment.claim = Some(claim.clone());
                return true;
            }
        }
        if is_its && !is_raised {
            for commitment in commitments.filter_map(|step| step.commitment.as_mut()) {
                commitment.claim.take_if(|of| of == claim);
            }
            return true;
        }
        false
    }
}

impl Commitment {
    fn is_for(&self, claim: &ClaimRef) -> bool {
        self.claim.as_ref() == Some(claim)
    }
}

/// Whether a claim that is opened then is one within a year of a cost commitment.
pub(super) fn is_within_a_year(opened_at: Moment, committed_at: Moment, zone: &TimeZone) -> bool {
    let day = day_of(committed_at, zone).date();
    let last = day.checked_add(1.year()).unwrap_or(day);
    opened_at >= committed_at && day_of(opened_at, zone).date() <= last
}
