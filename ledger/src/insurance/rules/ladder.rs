//! Rules of the deductible: what it is for a claim, and how it moves.

use jiff::tz::TimeZone;

use super::{
    case::{Case, Verdict, refuse},
    contract::check_currency,
    deductible::{CLAIM_FREE, COST_COMMITMENT, Made, START, TOP, start_of},
    figures::{figure, shown, unit},
    time::day_of,
};
use crate::{
    insurance::{
        Amount, ClaimRef, Code as Name, ContractRef,
        contract::DeductibleModel,
        settlement::{ClaimDecided, DeductibleSet, LadderEffect, Outcome},
        state::{
            entities::{
                Claim, ClaimStep, ClaimStepKind, Contract, Ladder, LadderStand, LadderStep, Mark,
                YearSteps,
            },
            keys,
        },
    },
    limits::LADDER_STEPS_MAX,
    refusal::Code,
};

/// Services that neither cost a deductible nor move one.
const FREE_SERVICES: [&str; 5] =
    ["JurWay", "JurLine", "55plus", "ReputationsService", "BonusBeratung"];

/// A case of this net cost or less has no deductible, in cents.
const SMALL_CASE: u64 = 25_000;

/// Whether a service has nothing to do with the deductible.
pub(super) fn is_free(service: &Name) -> bool {
    FREE_SERVICES.contains(&service.as_str())
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
        let bears_none = claim.free_service || data.approved.minor_units() <= SMALL_CASE;
        let set = match &ladder {
            Some(ladder) => self.deductible_of(ladder, claim, contract, bears_none)?,
            None => None,
        };
        let current = set.unwrap_or(start_of(model)).minor_units();
        let expected = if bears_none { 0 } else { current };
        let applied = data.deductible.map_or(0, Amount::minor_units);
        if applied != expected {
            let why = match &ladder {
                _ if claim.free_service => "the service is free of it".to_owned(),
                _ if data.approved.minor_units() <= SMALL_CASE => {
                    "cases of 250,00 or less have none".to_owned()
                }
                Some(ladder) => match ladder.step_of(claim.opened_at, self.at(), current) {
                    Some(step) => format!("the ladder stands there by record {}", step.record),
                    None => "the ladder had not started".to_owned(),
                },
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
        if contract.deductible_model == Some(DeductibleModel::Bonus) {
            self.use_commitment(claim, data.deductible.unwrap_or_default())?;
        }
        let year = claim.opened_on.date().year();
        if claim.step == LadderStep::Taken && self.corrects() {
            self.check_carries_step(claim, steps)?;
        }
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

    /// What a claim bears by the ladder, or would if it were not free or small; of such
    /// ones it need not be known any more.
    fn deductible_of(
        &self,
        ladder: &Ladder,
        claim: &Claim,
        contract: &Contract,
        bears_none: bool,
    ) -> Verdict<Option<Amount>> {
        // A correction is judged as what it corrects was, unless by another moment; where
        // that bore a cost commitment, if that is for this claim still.
        let keeps_moment = ladder.model == DeductibleModel::Bonus || self.keeps_moment();
        let then = self.kept.deductible.flatten();
        let is_own = |then: &Amount| keeps_moment && then.minor_units() <= TOP;
        if let Some(then) = then.filter(is_own) {
            return Ok(Some(then));
        }
        let (opened_at, at, zone) = (claim.opened_at, self.at(), contract.zone());
        let amount = ladder.for_claim(Some(self.claim_ref()?), opened_at, at, &zone);
        if amount.is_some() || bears_none {
            return Ok(amount);
        }
        let since = ladder.steps.first().map(|step| step.record.to_string());
        let moment = ladder.moment_of_claim(opened_at, at);
        let detail = format!(
            "the ledger knows the last {LADDER_STEPS_MAX} steps of the deductible, since record \
             {}, and not what a claim of {} bears",
            since.unwrap_or_default(),
            shown(moment, &zone)
        );
        refuse(Code::DeductibleWrong, "occurred_at", detail)
    }

    /// Notes for which claim a cost commitment was.
    fn use_commitment(&mut self, of: &Claim, applied: Amount) -> Verdict {
        let key = keys::ladder(self.contract_ref()?);
        let Some(mut ladder) = self.state.read(&key)? else { return Ok(()) };
        if ladder.use_commitment(self.claim_ref()?, of.opened_at, applied) {
            self.state.write(key, &ladder)?;
        }
        Ok(())
    }

    /// That the decision that a step of the deductible was made for is not corrected so
    /// that it raises none, or only after that step.
    fn check_carries_step(&mut self, claim: &Claim, steps: bool) -> Verdict {
        // The claim as it was: the correction has not taken its place yet.
        let ground = claim.ground_of_step().map(|mark| mark.record);
        let corrected = self.corrected.as_ref().map(|corrected| corrected.id());
        let is_earlier = claim.steps.iter().any(|step| Some(step.record) == ground);
        if is_earlier && ground != corrected {
            return Ok(());
        }
        let claim_ref = self.claim_ref()?;
        let ladder = self.state.read(&keys::ladder(self.contract_ref()?))?;
        let mut made = ladder.iter().flat_map(|ladder| &ladder.steps);
        let Some(made) = made.find(|step| step.claim.as_ref() == Some(claim_ref)) else {
            let detail = format!(
                "claim {claim_ref} has raised the deductible, longer ago than its last \
                 {LADDER_STEPS_MAX} steps"
            );
            return refuse(Code::LadderStep, "corrects", detail);
        };
        if !steps {
            let detail = format!("by record {} the claim has raised the deductible", made.record);
            return refuse(Code::LadderStep, "data.ladder", detail);
        }
        if self.at() > made.at {
            let detail = format!(
                "by record {} the claim raised the deductible at {}; it is not decided after that",
                made.record,
                shown(made.at, &TimeZone::UTC)
            );
            return refuse(Code::LadderStep, "occurred_at", detail);
        }
        Ok(())
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
        let ladder = self.state.read(&keys::ladder(named))?;
        let mut ladder = ladder.unwrap_or(Ladder {
            model: data.model,
            currency: data.currency,
            steps: Vec::new(),
            forgotten: false,
        });
        let before = ladder.last();
        if let Some(before) = before {
            let mark = Mark { record: before.record, at: before.at };
            self.check_not_before(Code::LadderStep, "the step before it was made", &mark)?;
        }
        check_currency(Some(data.currency), Some(ladder.currency), "data.currency")?;
        let ground = self.ground_of(data, &contract, before)?;
        let made = Made::by(data.cause.as_str(), data.model, before);
        if !made.told.contains(&data.amount) {
            let mut told = made.told;
            told.dedup();
            let told: Vec<_> = told.into_iter().map(figure).collect();
            let detail = format!(
                "{} makes the deductible {} {}, not {}",
                data.cause,
                told.join(" or "),
                unit(data.currency),
                figure(data.amount)
            );
            return refuse(Code::LadderStep, "data.amount", detail);
        }
        let zone = contract.zone();
        let mut step = LadderStand::by(self.record.id(), self.at(), data, before, &zone);
        step.year = ground.year.or(step.year);
        if let Some((claim_ref, mut claim)) = ground.claim {
            claim.step = LadderStep::Taken;
            self.state.write(keys::claim(&claim_ref), &claim)?;
            step.claim = Some(claim_ref);
        }
        if let Some(commitment) = &mut step.commitment {
            commitment.claim = self.kept.commitment_claim.take();
            self.count_steps(named, commitment.year, 1)?;
        }
        ladder.put(step);
        self.state.write(keys::ladder(named), &ladder)
    }

    /// That a step has a legal cause.
    fn ground_of(
        &mut self,
        data: &DeductibleSet,
        contract: &Contract,
        before: Option<&LadderStand>,
    ) -> Verdict<Ground> {
        let cause = data.cause.as_str();
        let illegal = |detail: String| refuse(Code::LadderStep, "data.cause", detail);
        let Some(before) = before else {
            if cause == START {
                return Ok(Ground::default());
            }
            return illegal("the deductible was never set; the first step is start".to_owned());
        };
        if cause == START {
            return illegal(format!("the ladder has started; record {} stands", before.record));
        }
        if cause == COST_COMMITMENT {
            return match data.model {
                DeductibleModel::Bonus => Ok(Ground::default()),
                DeductibleModel::Variable => {
                    illegal("a cost commitment moves a deductible with a bonus only".to_owned())
                }
            };
        }
        if let Some(year) = cause.strip_prefix(CLAIM_FREE) {
            let year = Some(self.claim_free_year(year, contract, before)?);
            return Ok(Ground { year, claim: None });
        }
        if data.model == DeductibleModel::Bonus {
            return illegal("claims do not raise a deductible with a bonus".to_owned());
        }
        let (claim_ref, claim) = self.claim_of_cause(&data.cause)?;
        if let Some(mark) = claim.ground_of_step() {
            self.check_not_before(Code::LadderStep, "its claim was decided", &mark)?;
        }
        Ok(Ground { year: None, claim: Some((claim_ref, claim)) })
    }

    /// A year that lowers the deductible: over, later than the last one, and
    /// without a claim or commitment that raises it.
    fn claim_free_year(
        &mut self,
        text: &str,
        contract: &Contract,
        before: &LadderStand,
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
        if let Some(last) = before.year.filter(|last| year <= *last) {
            return illegal(format!(
                "the year {last} has lowered it already; only a later one can (record {})",
                before.record
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

impl Claim {
    /// The decision by which it raises the deductible: decided once more, the first that
    /// approved something.
    pub(super) fn ground_of_step(&self) -> Option<Mark> {
        let approves =
            |step: &&ClaimStep| step.kind == ClaimStepKind::Approved && step.amount > Amount::ZERO;
        let first = self.steps.iter().find(approves);
        let first = first.map(|step| Mark { record: step.record, at: step.at });
        let newest = self.decision.as_ref();
        first.or(newest.map(|newest| Mark { record: newest.record, at: newest.at }))
    }
}

/// What a step uses up.
#[derive(Default)]
struct Ground {
    /// The claim-free year.
    year: Option<i16>,
    /// The claim.
    claim: Option<(ClaimRef, Claim)>,
}
