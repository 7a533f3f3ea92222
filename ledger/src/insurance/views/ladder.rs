//! The deductible of a contract and the steps that led there.

use jiff::Timestamp;

use super::{Standing, shown};
use crate::{digest::RecordId, insurance::settlement::DeductibleSet};

/// How a cause begins that names a claim-free year.
const CLAIM_FREE: &str = "claim_free:";

shown! {
    /// One step of the deductible.
    Step {
        /// What it is from here on, in minor units.
        amount: u64,
        /// What it was before; null for the first.
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
        /// What it is, in minor units.
        current: u64,
        /// Of `current`.
        currency: String,
        /// The record that set it.
        record: RecordId,
        /// The years that lowered it because they were free of claims.
        claim_free_years: Vec<String>,
        /// Every step, the newest last.
        steps: Vec<Step>,
    }
}

/// Takes in a step.
pub(super) fn take(ladder: &mut Option<Ladder>, standing: &Standing<'_>, data: &DeductibleSet) {
    let (record, amount) = (standing.id(), data.amount.minor_units());
    let currency = data.currency.code().to_owned();
    let before = ladder.as_ref().map(|ladder| ladder.current);
    let ladder = ladder.get_or_insert_with(|| Ladder {
        model: String::new(),
        current: 0,
        currency: String::new(),
        record,
        claim_free_years: Vec::new(),
        steps: Vec::new(),
    });
    data.model.as_str().clone_into(&mut ladder.model);
    ladder.current = amount;
    ladder.currency.clone_from(&currency);
    ladder.record = record;
    if let Some(year) = data.cause.as_str().strip_prefix(CLAIM_FREE) {
        ladder.claim_free_years.push(year.to_owned());
    }
    let (cause, occurred_at) = (data.cause.to_string(), standing.at);
    ladder.steps.push(Step { amount, before, currency, cause, record, occurred_at });
}
