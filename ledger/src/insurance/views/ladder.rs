//! The deductible of a contract and the steps that led there.

use jiff::{Timestamp, tz::TimeZone};

use super::{Standing, format_amount, shown};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, ClaimRef, Moment, rules::CLAIM_FREE, settlement::DeductibleSet, state::entities,
    },
};

shown! {
    /// One step of the deductible.
    Step {
        /// What the record says it is from here on, in minor units.
        amount: u64,
        /// What the record before it said; null for the first.
        before: Option<u64>,
        /// Of the amounts.
        currency: String,
        /// Why: `start`, `claim_free:2024`, a claim's number…
        cause: String,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// The deductible of a contract.
    Ladder {
        /// `variable` or `bonus`.
        model: String,
        /// What a claim bears that is opened and decided at that moment, in minor units.
        current: u64,
        /// What the ladder comes to by itself, in minor units: without what a cost
        /// commitment adds for one claim.
        ladder: u64,
        /// Of `current` and `ladder`.
        currency: String,
        /// The record that set it.
        record: RecordId,
        /// The years that lowered it because they were free of claims.
        claim_free_years: Vec<String>,
        /// Every step, the newest last.
        steps: Vec<Step>,
    }
}

impl Ladder {
    /// What a claim bears now, for people: with what the newest step said, where that
    /// is another figure (after a cost commitment).
    #[must_use]
    pub fn in_words(&self) -> String {
        let amount = |minor_units: u64| format_amount(minor_units.into(), &self.currency);
        let (current, model) = (amount(self.current), &self.model);
        match self.steps.last() {
            Some(step) if step.amount != self.current => {
                format!("{current} ({model}; the newest step says {})", amount(step.amount))
            }
            _ => format!("{current} ({model})"),
        }
    }
}

/// The deductible while records are taken in: beside what is shown, what the rules
/// hold of it.
#[derive(Default)]
pub(super) struct LadderFold {
    shown: Option<(Ladder, entities::Ladder)>,
}

impl LadderFold {
    /// Takes in a step.
    pub(super) fn step(&mut self, standing: &Standing<'_>, data: &DeductibleSet, zone: &TimeZone) {
        let (record, amount) = (standing.id(), data.amount.minor_units());
        let currency = data.currency.code().to_owned();
        let (ladder, held) = self.shown.get_or_insert_with(|| {
            let ladder = Ladder {
                model: data.model.as_str().to_owned(),
                current: 0,
                ladder: 0,
                currency: currency.clone(),
                record,
                claim_free_years: Vec::new(),
                steps: Vec::new(),
            };
            let (model, currency) = (data.model, data.currency);
            (ladder, entities::Ladder { model, currency, steps: Vec::new(), forgotten: false })
        });
        let before = held.last();
        let step = entities::LadderStand::by(record, standing.at.into(), data, before, zone);
        held.put(step);
        ladder.record = record;
        ladder.currency.clone_from(&currency);
        if let Some(year) = data.cause.as_str().strip_prefix(CLAIM_FREE) {
            ladder.claim_free_years.push(year.to_owned());
        }
        let before = ladder.steps.last().map(|step| step.amount);
        let (cause, occurred_at) = (data.cause.to_string(), standing.at);
        ladder.steps.push(Step { amount, before, currency, cause, record, occurred_at });
    }

    /// Takes in what a decision on a claim applies.
    pub(super) fn decided(
        &mut self,
        claim: &ClaimRef,
        opened_at: Option<Timestamp>,
        applied: Option<Amount>,
    ) {
        if let (Some((_, held)), Some(opened_at)) = (&mut self.shown, opened_at) {
            held.use_commitment(claim, opened_at.into(), applied.unwrap_or_default());
        }
    }

    /// The deductible as of that time.
    pub(super) fn finish(self, time: Timestamp, zone: &TimeZone) -> Option<Ladder> {
        let (mut ladder, held) = self.shown?;
        let last = held.last()?;
        // A step may be a little ahead of the node's clock.
        let at = Moment::from(time).max(last.at);
        ladder.ladder = last.own.minor_units();
        ladder.current = held.for_claim(None, at, at, zone).unwrap_or(last.own).minor_units();
        Some(ladder)
    }
}
