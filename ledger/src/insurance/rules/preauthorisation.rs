//! Rules of pre-authorisations and of the holds they make.

use super::{
    case::{Case, Verdict, refuse},
    ceiling::counts_in,
    contract::check_currency,
    figures::{figure, grouped, shown, unit},
    spending::HOLD_NANOSECONDS,
};
use crate::{
    insurance::{
        Amount, Code as Name, Currency, Moment,
        settlement::{
            ClaimOpened, PreauthorisationAnswered, PreauthorisationReleased,
            PreauthorisationRequested,
        },
        state::{
            entities::{Contract, Exit, Guarantee, Hold, Mark, Preauthorisation},
            keys,
        },
    },
    limits::PERIOD_HOLDS_MAX,
    membership::Role,
    refusal::Code,
};

const FIELD: &str = "data.preauthorisation";

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// A claim's share of what was held for it.
pub(super) struct Claimed {
    /// The number of the period that pays it.
    pub(super) period: u32,
    pub(super) amount: Amount,
    pub(super) currency: Currency,
}

impl Case<'_, '_> {
    /// A pre-authorisation of the contract that the record names.
    fn preauthorisation(&mut self, number: &Name) -> Verdict<Preauthorisation> {
        let named = self.contract_ref()?;
        match self.state.read(&keys::preauthorisation(named, number))? {
            Some(preauthorisation) => Ok(preauthorisation),
            None => {
                let detail = format!("no pre-authorisation {number} of {named} was requested");
                refuse(Code::UnknownReference, FIELD, detail)
            }
        }
    }

    pub(super) fn preauthorisation_requested(
        &mut self,
        data: &PreauthorisationRequested,
    ) -> Verdict {
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        if let Some(replaced) = &data.replaces
            && !self.state.holds(&keys::preauthorisation(named, replaced))?
        {
            let detail = format!("no pre-authorisation {replaced} of {named} was requested");
            return refuse(Code::UnknownReference, "data.replaces", detail);
        }
        let key = keys::preauthorisation(named, &data.preauthorisation);
        if let Some(before) = self.state.read(&key)?.filter(|_| !self.corrects()) {
            let detail = format!(
                "pre-authorisation {} of this contract was requested by record {}",
                data.preauthorisation, before.requested
            );
            return refuse(Code::PreauthorisationExists, FIELD, detail);
        }
        self.check_covered(&contract)?;
        let Some(total) = Amount::checked_sum(data.lines.iter().map(|line| line.amount)) else {
            let detail = "the lines add up to more than 2^53 − 1 minor units";
            return refuse(Code::TooLarge, "data.lines", detail);
        };
        let preauthorisation = Preauthorisation {
            requested: self.record.id(),
            requested_at: self.at(),
            provider: self.record.signer().clone(),
            total,
            currency: data.currency,
            answer: None,
            exit: None,
        };
        self.state.write(key, &preauthorisation)
    }

    pub(super) fn preauthorisation_answered(&mut self, data: &PreauthorisationAnswered) -> Verdict {
        let mut asked = self.preauthorisation(&data.preauthorisation)?;
        if let Some(answer) = &asked.answer {
            let detail = format!("it was answered by record {}", answer.record);
            return refuse(Code::AlreadyAnswered, FIELD, detail);
        }
        let mark = Mark { record: asked.requested, at: asked.requested_at };
        self.check_not_before(Code::UnknownReference, "it was requested", &mark)?;
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        let (number, mut period) = self.period_of_day(named, &contract)?;
        check_currency(Some(data.currency), Some(asked.currency), "data.currency")?;
        let counts = counts_in(&mut period, data.currency, "data.currency")?;
        check_split(data, &asked)?;
        self.check_hold(data, &contract)?;
        let at = self.at();
        if let Some(until) = data.hold_until.filter(|_| counts && data.guaranteed > Amount::ZERO) {
            let guaranteed = Some(("guaranteed", data.guaranteed, until));
            self.check_ceiling(&period, "data.guaranteed", guaranteed)?;
            period.seen(at);
            if !period.has_room() {
                let detail = format!("the contract has {PERIOD_HOLDS_MAX} live holds already");
                return refuse(Code::TooLarge, FIELD, detail);
            }
            let (answer, amount) = (self.record.id(), data.guaranteed);
            period.holds.push(Hold { answer, amount, until, ended: None });
            self.state.write(keys::period(named, number), &period)?;
        }
        asked.answer = Some(Guarantee {
            record: self.record.id(),
            at,
            amount: data.guaranteed,
            until: data.hold_until,
            period: number,
        });
        self.state.write(keys::preauthorisation(named, &data.preauthorisation), &asked)
    }

    /// That a hold lasts 24 hours to the nanosecond.
    fn check_hold(&self, data: &PreauthorisationAnswered, contract: &Contract) -> Verdict {
        const FIELD: &str = "data.hold_until";
        let Some(until) = data.hold_until else {
            if data.guaranteed == Amount::ZERO {
                return Ok(());
            }
            let detail = "what is guaranteed is held for 24 hours; hold_until is missing";
            return refuse(Code::HoldNot24h, FIELD, detail);
        };
        let at = self.at();
        let nanoseconds = |moment: Moment| moment.timestamp().as_nanosecond();
        let lasts = nanoseconds(until) - nanoseconds(at);
        if lasts == HOLD_NANOSECONDS {
            return Ok(());
        }
        let zone = contract.zone();
        let detail = format!(
            "from {} to {} are {} s; a hold lasts 24 hours, {} s",
            shown(at, &zone),
            shown(until, &zone),
            grouped(lasts.div_euclid(NANOSECONDS_PER_SECOND)),
            grouped(HOLD_NANOSECONDS / NANOSECONDS_PER_SECOND)
        );
        refuse(Code::HoldNot24h, FIELD, detail)
    }

    pub(super) fn preauthorisation_released(&mut self, data: &PreauthorisationReleased) -> Verdict {
        let mut held = self.preauthorisation(&data.preauthorisation)?;
        self.check_provider(&held)?;
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        let answer = match self.live_hold(&held, &contract) {
            Ok(answer) => answer.clone(),
            Err((_, why)) => return refuse(Code::NotHeld, FIELD, why),
        };
        let at = self.at();
        held.exit = Some(Exit { record: self.record.id(), at, claim: None });
        self.state.write(keys::preauthorisation(named, &data.preauthorisation), &held)?;
        self.end_hold(&answer, at)
    }

    /// Ends a hold before its time.
    fn end_hold(&mut self, answer: &Guarantee, at: Moment) -> Verdict {
        let named = self.contract_ref()?;
        let mut period = self.period(named, answer.period)?;
        period.end_hold(answer.record, at);
        period.seen(at);
        self.state.write(keys::period(named, answer.period), &period)
    }

    /// Only the provider that asked uses what is held for it.
    fn check_provider(&self, held: &Preauthorisation) -> Verdict {
        let signer = self.record.signer();
        let provides =
            self.membership.past(signer).is_some_and(|member| member.role == Role::Provider);
        if !provides || held.provider == *signer {
            return Ok(());
        }
        let detail = format!(
            "{} asked for it (record {}), and {signer} is another provider",
            held.provider, held.requested
        );
        refuse(Code::NotAParty, FIELD, detail)
    }

    /// The guarantee whose hold is live at the moment of the record. Otherwise
    /// whether there was a hold that is over, and why there is none.
    fn live_hold<'p>(
        &self,
        held: &'p Preauthorisation,
        contract: &Contract,
    ) -> Result<&'p Guarantee, (bool, String)> {
        let (at, zone) = (self.at(), contract.zone());
        let Some(answer) = &held.answer else {
            return Err((false, "the insurer has not answered it".to_owned()));
        };
        if let Some(exit) = &held.exit {
            let how = match &exit.claim {
                Some(claim) => format!("claimed as {claim}"),
                None => "released".to_owned(),
            };
            let when = shown(exit.at, &zone);
            return Err((true, format!("the hold was {how} at {when}, by record {}", exit.record)));
        }
        let Some(until) = answer.until.filter(|_| answer.amount > Amount::ZERO) else {
            return Err((false, format!("nothing is held: record {} guarantees 0", answer.record)));
        };
        if at > until {
            let (until, at) = (shown(until, &zone), shown(at, &zone));
            let record = answer.record;
            return Err((
                true,
                format!("the hold (record {record}) expired after {until}; it is {at}"),
            ));
        }
        if at < answer.at {
            let (from, at) = (shown(answer.at, &zone), shown(at, &zone));
            let record = answer.record;
            return Err((
                false,
                format!("the hold (record {record}) began at {from}; the record tells of {at}"),
            ));
        }
        Ok(answer)
    }

    /// Ends the hold that a claim uses: what is claimed will be spent, the rest is free.
    pub(super) fn claim_hold(
        &mut self,
        data: &ClaimOpened,
        number: &Name,
        contract: &Contract,
    ) -> Verdict<Claimed> {
        let mut held = self.preauthorisation(number)?;
        self.check_provider(&held)?;
        let answer = match self.live_hold(&held, contract) {
            Ok(answer) => answer.clone(),
            Err((true, why)) => return refuse(Code::HoldExpired, FIELD, why),
            Err((false, why)) => return refuse(Code::NotHeld, FIELD, why),
        };
        check_currency(data.currency, Some(held.currency), "data.currency")?;
        let amount = data.claimed.unwrap_or(answer.amount);
        if amount > answer.amount {
            let detail = format!(
                "claimed {} > guaranteed {} {} (record {})",
                figure(amount),
                figure(answer.amount),
                unit(held.currency),
                answer.record
            );
            return refuse(Code::ClaimExceedsGuarantee, "data.claimed", detail);
        }
        let (named, claim, at) = (self.contract_ref()?, self.claim_ref()?, self.at());
        held.exit = Some(Exit { record: self.record.id(), at, claim: Some(claim.clone()) });
        self.state.write(keys::preauthorisation(named, number), &held)?;
        self.end_hold(&answer, at)?;
        Ok(Claimed { period: answer.period, amount, currency: held.currency })
    }
}

fn check_split(data: &PreauthorisationAnswered, asked: &Preauthorisation) -> Verdict {
    if data.guaranteed.checked_add(data.customer_share) == Some(asked.total) {
        return Ok(());
    }
    let detail = format!(
        "guaranteed {} + customer's share {} ≠ {} {}, the sum of the lines (record {})",
        figure(data.guaranteed),
        figure(data.customer_share),
        figure(asked.total),
        unit(asked.currency),
        asked.requested
    );
    refuse(Code::SplitMismatch, "data.guaranteed", detail)
}
