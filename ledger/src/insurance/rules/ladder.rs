//! Rules of the deductible: what it is for a claim, and how it moves.

use jiff::ToSpan as _;

use super::{
    case::{Case, Verdict, refuse},
    contract::check_currency,
    figures::{figure, unit},
    time::day_of,
};
use crate::{
    insurance::{
        Amount, ClaimRef, Code as Name, ContractRef,
        contract::DeductibleModel,
        settlement::{ClaimDecided, DeductibleSet, LadderEffect, Outcome},
        state::{
            entities::{
                Claim, ClaimStep, ClaimStepKind, Commitment, Contract, Ladder, LadderStand,
                LadderStep, Mark, YearSteps,
            },
            keys,
        },
    },
    limits::COMMITMENTS_MAX,
    refusal::Code,
};

/// Services that neither cost a deductible nor move one.
const FREE_SERVICES: [&str; 5] =
    ["JurWay", "JurLine", "55plus", "ReputationsService", "BonusBeratung"];

/// A case of this net cost or less has no deductible, in cents.
const SMALL_CASE: u64 = 25_000;

/// One step of a ladder, in cents.
const STEP: u64 = 10_000;

/// As far as claims raise a variable deductible, in cents; where one with a bonus starts.
const TOP: u64 = 30_000;

/// A deductible with a bonus after a cost commitment, in cents.
const AFTER_COST_COMMITMENT: u64 = 50_000;

const START: &str = "start";
pub(super) const COST_COMMITMENT: &str = "cost_commitment";
const CLAIM_FREE: &str = "claim_free:";

/// Whether a service has nothing to do with the deductible.
pub(super) fn is_free(service: &Name) -> bool {
    FREE_SERVICES.contains(&service.as_str())
}

/// Where a ladder starts, in cents.
const fn start_of(model: DeductibleModel) -> u64 {
    match model {
        DeductibleModel::Variable => 0,
        DeductibleModel::Bonus => TOP,
    }
}

impl Case<'_, '_> {
    /// That a decision applies the deductible that the ladder says, and steps as
    /// the service asks for. Gives the contract's deductible.
    pub(super) fn judge_deductible(
        &mut self,
        contract: &Contract,
        data: &ClaimDecided,
        claim: &Claim,
    ) -> Verdict<Option<Amount>> {
        let steps = data.ladder == Some(LadderEffect::StepUp);
        let Some(model) = contract.deductible_model else {
            if steps {
                let detail = "the contract has no deductible that a claim could raise";
                return refuse(Code::LadderEffectWrong, "data.ladder", detail);
            }
            return Ok(None);
        };
        let named = self.contract_ref()?;
        let ladder = self.state.read(&keys::ladder(named))?;
        let set = match self.kept.deductible {
            // A correction is judged as what it corrects was.
            Some(then) => then,
            None => match &ladder {
                Some(ladder) => Some(ladder.at_claim(claim, self.claim_ref()?, contract)),
                None => None,
            },
        };
        let current = set.map_or(start_of(model), Amount::minor_units);
        let expected = if claim.free_service || data.approved.minor_units() <= SMALL_CASE {
            0
        } else {
            current
        };
        let applied = data.deductible.map_or(0, Amount::minor_units);
        if applied != expected {
            let why = match &ladder {
                _ if claim.free_service => "the service is free of it".to_owned(),
                _ if data.approved.minor_units() <= SMALL_CASE => {
                    "cases of 250,00 or less have none".to_owned()
                }
                Some(ladder) => format!("the ladder stands there by record {}", ladder.step.record),
                None => format!("a {} ladder starts there", model.as_str()),
            };
            let figures =
                [applied, expected].map(|cents| figure(Amount::new(cents).unwrap_or_default()));
            let [applied, expected] = figures;
            let unit = unit(data.currency);
            let detail = format!("the deductible is {expected} {unit}, not {applied}: {why}");
            return refuse(Code::DeductibleWrong, "data.deductible", detail);
        }
        if expected > 0 {
            let known = ladder.as_ref().map(|ladder| ladder.currency);
            check_currency(Some(data.currency), known, "data.currency")?;
        }
        let wrong = |detail: &str| refuse(Code::LadderEffectWrong, "data.ladder", detail);
        match (claim.free_service, model) {
            (true, _) if steps => wrong("this service does not raise the deductible"),
            (false, DeductibleModel::Variable) if !steps && data.outcome != Outcome::Refused => {
                wrong("a claim of this service raises the deductible by a step: ladder is step_up")
            }
            (false, DeductibleModel::Bonus) if steps => {
                wrong("claims do not raise a deductible with a bonus: ladder is none")
            }
            _ => Ok(set),
        }
    }

    /// Notes whether a claim that was decided raises the deductible. What it has
    /// raised stays.
    pub(super) fn move_step(
        &mut self,
        claim: &mut Claim,
        contract: &Contract,
        data: &ClaimDecided,
    ) -> Verdict {
        // With a bonus a claim raises nothing, but its year is not claim-free.
        let steps = match contract.deductible_model {
            Some(DeductibleModel::Variable) => data.ladder == Some(LadderEffect::StepUp),
            Some(DeductibleModel::Bonus) => !claim.free_service && data.outcome != Outcome::Refused,
            None => false,
        };
        self.use_commitment(contract, claim, data.deductible.unwrap_or_default())?;
        let year = claim.opened_on.date().year();
        match (claim.step, steps) {
            (LadderStep::None, true) => {
                claim.step = LadderStep::Pending;
                self.count_steps(&claim.contract, year, 1)
            }
            (LadderStep::Pending, false) => {
                claim.step = LadderStep::None;
                self.count_steps(&claim.contract, year, -1)
            }
            (LadderStep::Taken, false) => {
                claim.step = LadderStep::Kept;
                Ok(())
            }
            (LadderStep::Kept, true) => {
                claim.step = LadderStep::Taken;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes for which claim a cost commitment has raised the deductible: the first
    /// opened since that is decided, and that one only, or none where its decision is
    /// corrected so that none applies.
    fn use_commitment(&mut self, contract: &Contract, of: &Claim, applied: Amount) -> Verdict {
        if contract.deductible_model != Some(DeductibleModel::Bonus) {
            return Ok(());
        }
        let key = keys::ladder(self.contract_ref()?);
        let Some(mut ladder) = self.state.read(&key)? else { return Ok(()) };
        let mut commitments = ladder.step.commitments.iter_mut().rev();
        let newest = commitments.find(|commitment| commitment.at <= of.opened_at);
        let Some(commitment) = newest else { return Ok(()) };
        let (claim, raised) = (self.claim_ref()?, applied.minor_units() > TOP);
        match &commitment.claim {
            None if raised => commitment.claim = Some(claim.clone()),
            Some(used) if used == claim && !raised => commitment.claim = None,
            _ => return Ok(()),
        }
        self.state.write(key, &ladder)
    }

    /// Counts what keeps a year from being claim-free.
    pub(super) fn count_steps(&mut self, named: &ContractRef, year: i16, steps: i32) -> Verdict {
        let key = keys::year_steps(named, year);
        let before = self.state.read(&key)?.map_or(0, |year| year.steps);
        match before.saturating_add_signed(steps) {
            0 => self.state.remove(key),
            steps => self.state.write(key, &YearSteps { steps })?,
        }
        Ok(())
    }

    pub(super) fn deductible_set(&mut self, data: &DeductibleSet) -> Verdict {
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        if contract.deductible_model != Some(data.model) {
            let model = contract.deductible_model.map_or("none", DeductibleModel::as_str);
            let detail = format!(
                "the contract's deductible model is {model} (record {}), not {}",
                contract.issued,
                data.model.as_str()
            );
            return refuse(Code::LadderStep, "data.model", detail);
        }
        let before = self.state.read(&keys::ladder(named))?;
        if let Some(before) = &before {
            let mark = Mark { record: before.step.record, at: before.step.at };
            self.check_not_before(Code::LadderStep, "the step before it was made", &mark)?;
        }
        check_currency(
            Some(data.currency),
            before.as_ref().map(|before| before.currency),
            "data.currency",
        )?;
        let step = self.step_of(data, &contract, before.as_ref())?;
        if data.amount.minor_units() != step.amount {
            let detail = format!(
                "{} makes the deductible {} {}, not {}",
                data.cause,
                figure(Amount::new(step.amount).unwrap_or_default()),
                unit(data.currency),
                figure(data.amount)
            );
            return refuse(Code::LadderStep, "data.amount", detail);
        }
        let mut raised_by = None;
        if let Some((claim_ref, mut claim)) = step.claim {
            claim.step = LadderStep::Taken;
            self.state.write(keys::claim(&claim_ref), &claim)?;
            raised_by = Some(claim_ref);
        }
        let before = before.map(|before| before.step);
        let mut commitments =
            before.as_ref().map(|before| before.commitments.clone()).unwrap_or_default();
        if data.cause.as_str() == COST_COMMITMENT {
            let year = day_of(self.at(), &contract.zone()).date().year();
            self.count_steps(named, year, 1)?;
            if commitments.len() >= COMMITMENTS_MAX {
                commitments.remove(0);
            }
            commitments.push(Commitment {
                at: self.at(),
                year,
                amount_before: before.as_ref().map(|before| before.amount).unwrap_or_default(),
                claim: self.kept.commitment_claim.take(),
            });
        }
        let ladder = Ladder {
            model: data.model,
            currency: data.currency,
            step: LadderStand {
                record: self.record.id(),
                amount: data.amount,
                at: self.at(),
                year: step.year.or(before.as_ref().and_then(|before| before.year)),
                claim: raised_by,
                commitments,
            },
            before,
        };
        self.state.write(keys::ladder(named), &ladder)
    }

    /// The legal step for a cause.
    fn step_of(
        &mut self,
        data: &DeductibleSet,
        contract: &Contract,
        before: Option<&Ladder>,
    ) -> Verdict<Step> {
        let cause = data.cause.as_str();
        let illegal = |detail: String| refuse(Code::LadderStep, "data.cause", detail);
        let Some(before) = before else {
            if cause == START {
                return Ok(Step::to(start_of(data.model)));
            }
            return illegal("the deductible was never set; the first step is start".to_owned());
        };
        let current = before.step.amount.minor_units();
        if cause == START {
            return illegal(format!(
                "the ladder has started; record {} stands",
                before.step.record
            ));
        }
        if cause == COST_COMMITMENT {
            return match data.model {
                DeductibleModel::Bonus => Ok(Step::to(AFTER_COST_COMMITMENT)),
                DeductibleModel::Variable => {
                    illegal("a cost commitment moves a deductible with a bonus only".to_owned())
                }
            };
        }
        if let Some(year) = cause.strip_prefix(CLAIM_FREE) {
            let year = self.claim_free_year(year, contract, before)?;
            let amount = current.saturating_sub(STEP);
            return Ok(Step { amount, year: Some(year), claim: None });
        }
        if data.model == DeductibleModel::Bonus {
            return illegal("claims do not raise a deductible with a bonus".to_owned());
        }
        let (claim_ref, claim) = self.claim_of_cause(&data.cause)?;
        if let Some(decision) = &claim.decision {
            // Decided once more, it is raised by the first that approved something.
            let approves = |step: &&ClaimStep| {
                step.kind == ClaimStepKind::Approved && step.amount > Amount::ZERO
            };
            let mark = match claim.steps.iter().find(approves) {
                Some(step) => Mark { record: step.record, at: step.at },
                None => Mark { record: decision.record, at: decision.at },
            };
            self.check_not_before(Code::LadderStep, "its claim was decided", &mark)?;
        }
        // One that is above the top already does not come down for a claim.
        let amount = (current + STEP).min(TOP.max(current));
        Ok(Step { amount, year: None, claim: Some((claim_ref, claim)) })
    }

    /// A year that lowers the deductible: over, later than the last one, and
    /// without a claim or commitment that raises it.
    fn claim_free_year(
        &mut self,
        text: &str,
        contract: &Contract,
        before: &Ladder,
    ) -> Verdict<i16> {
        let illegal = |detail: String| refuse(Code::LadderStep, "data.cause", detail);
        let year = Some(text)
            .filter(|text| text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<i16>().ok());
        let Some(year) = year else {
            return illegal(format!("a claim-free year is written {CLAIM_FREE}2024"));
        };
        let today = day_of(self.at(), &contract.zone());
        if year >= today.date().year() {
            return illegal(format!("the year {year} is not over on {today}"));
        }
        if year < contract.first_day.date().year() {
            return illegal(format!("the contract began on {}, after {year}", contract.first_day));
        }
        if let Some(last) = before.step.year.filter(|last| year <= *last) {
            return illegal(format!(
                "the year {last} has lowered it already; only a later one can (record {})",
                before.step.record
            ));
        }
        if self.state.holds(&keys::year_steps(self.contract_ref()?, year))? {
            return illegal(format!("{year} had a claim or a cost commitment"));
        }
        Ok(year)
    }

    /// The claim that a cause names and that has not raised the deductible yet, by its number, its whole reference,
    /// or the number it was registered under.
    fn claim_of_cause(&mut self, cause: &Name) -> Verdict<(ClaimRef, Claim)> {
        let named = self.contract_ref()?;
        let text = cause.as_str();
        let by_number = format!("{}/{text}", named.insurer());
        let mut candidates: Vec<ClaimRef> =
            [text, &by_number].into_iter().filter_map(|text| text.parse().ok()).collect();
        let registered = self.state.read(&keys::registered(named.insurer(), cause))?;
        candidates.extend(registered.map(|registered| registered.claim));
        let mut why = format!("{cause} is no claim of {named} that raises the deductible");
        for claim_ref in candidates {
            let Some(claim) = self.state.read(&keys::claim(&claim_ref))? else { continue };
            if claim.contract != *named {
                continue;
            }
            if claim.step == LadderStep::Pending {
                return Ok((claim_ref, claim));
            }
            if matches!(claim.step, LadderStep::Taken | LadderStep::Kept) {
                why = format!("claim {claim_ref} has raised it already");
            }
        }
        refuse(Code::LadderStep, "data.cause", why)
    }
}

impl Ladder {
    /// The deductible for a claim. What a cost commitment raised it above the start
    /// of such a ladder is for the next claim within a year; claims opened before
    /// the commitment have the deductible of before it.
    fn at_claim(&self, claim: &Claim, claim_ref: &ClaimRef, contract: &Contract) -> Amount {
        let start = Amount::new(TOP).unwrap_or_default();
        let mut amount = self.step.amount;
        for commitment in self.step.commitments.iter().rev() {
            if amount <= start {
                return amount;
            }
            if claim.opened_at >= commitment.at {
                let day = day_of(commitment.at, &contract.zone()).date();
                let last = day.checked_add(1.year()).unwrap_or(day);
                let is_next = commitment.claim.as_ref().is_none_or(|claim| claim == claim_ref);
                return if is_next && claim.opened_on.date() <= last { amount } else { start };
            }
            amount = commitment.amount_before;
        }
        amount.min(start)
    }
}

/// A legal step.
struct Step {
    /// The deductible that it makes, in cents.
    amount: u64,
    /// The claim-free year that it uses up.
    year: Option<i16>,
    /// The claim that it uses up.
    claim: Option<(ClaimRef, Claim)>,
}

impl Step {
    const fn to(amount: u64) -> Self {
        Self { amount, year: None, claim: None }
    }
}
