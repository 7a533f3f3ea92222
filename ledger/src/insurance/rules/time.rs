//! Days on the clocks of a contract, and whether it is in force.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    case::{Case, Verdict, refuse},
    figures::shown,
};
use crate::{
    insurance::{
        Code as Name, ContractRef, Day, Moment,
        state::{
            decode,
            entities::{Contract, Mark, Period},
            keys,
        },
    },
    membership::{MemberId, Membership},
    record::Record,
    refusal::Code,
    time_zones::time_zone,
};

/// Where neither contract nor insurer names a time zone.
pub(crate) const TIME_ZONE: &str = "Europe/Brussels";

/// The name of an insurer's time zone.
pub(crate) fn time_zone_of_insurer<'m>(membership: &'m Membership, insurer: &str) -> &'m str {
    insurer
        .parse::<MemberId>()
        .ok()
        .and_then(|insurer| membership.past(&insurer))
        .and_then(|member| member.time_zone.as_deref())
        .unwrap_or(TIME_ZONE)
}

/// The day of a moment on the clocks of a time zone.
pub(super) fn day_of(moment: Moment, zone: &TimeZone) -> Day {
    Day::from(zone.to_datetime(moment.timestamp()).date())
}

/// The first moment of a day on those clocks; where they skip midnight, the first
/// moment there is.
pub(super) fn start_of_day(day: Day, zone: &TimeZone) -> Moment {
    let midnight = day.date().to_zoned(zone.clone());
    let start = midnight.and_then(|midnight| midnight.start_of_day());
    Moment::from(start.map_or(Timestamp::MAX, |start| start.timestamp()))
}

impl Contract {
    /// The broker at a moment.
    pub(crate) fn broker_on(&self, moment: Moment) -> Option<&Name> {
        let day = day_of(moment, &self.zone());
        let change = self.broker_changes.iter().rev().find(|change| change.from <= day);
        change.map_or(self.broker.as_ref(), |change| change.broker.as_ref())
    }

    /// The moment from which on it is over, where it ended.
    fn over_from(&self) -> Option<Moment> {
        let end = self.terminated.as_ref()?;
        let Some(last) = end.effective else { return Some(end.at) };
        let next = last.plus_days(1).map(|next| start_of_day(next, &self.zone()));
        Some(next.unwrap_or_else(|| Moment::from(Timestamp::MAX)))
    }

    /// Why it is not yet in force at a moment.
    fn not_yet(&self, at: Moment) -> Option<String> {
        let zone = self.zone();
        if day_of(at, &zone) < self.first_day {
            return Some(format!(
                "the contract (record {}) is not in force; it begins on {}",
                self.issued, self.first_day
            ));
        }
        match self.signed_at.filter(|_| self.signature_required) {
            None if self.signature_required => Some(format!(
                "the contract is not in force; it (record {}) is not signed",
                self.issued
            )),
            Some(signed_at) if at < signed_at => {
                let signed_at = shown(signed_at, &zone);
                Some(format!("the contract was not signed; it was at {signed_at}"))
            }
            _ => None,
        }
    }

    /// Why it is over.
    fn over(&self) -> Option<String> {
        let end = self.terminated.as_ref()?;
        let when = match end.effective {
            Some(last) => last.to_string(),
            None => shown(end.at, &self.zone()),
        };
        Some(format!("the contract is over; it ended on {when} (record {})", end.record))
    }

    /// The time zone in which its days are counted.
    pub(super) fn zone(&self) -> TimeZone {
        // It was looked up when the contract was issued.
        time_zone(self.time_zone.as_str()).unwrap_or(TimeZone::UTC)
    }
}

impl Case<'_, '_> {
    /// That a contract is in force at the moment of the record.
    pub(super) fn check_in_force(&self, contract: &Contract) -> Verdict {
        let at = self.at();
        let over = contract.over_from().filter(|over| at >= *over);
        match contract.not_yet(at).or_else(|| over.and_then(|_| contract.over())) {
            None => Ok(()),
            Some(why) => {
                let detail = format!("at {} {why}", shown(at, &contract.zone()));
                refuse(Code::PolicyNotInForce, "occurred_at", detail)
            }
        }
    }

    /// That a contract is in force at the moment of the record, which rests on that:
    /// no correction of the contract takes it away.
    pub(super) fn check_covered(&mut self, contract: &Contract) -> Verdict {
        self.check_in_force(contract)?;
        let (named, mark) =
            (self.contract_ref()?, Mark { record: self.record.id(), at: self.at() });
        self.state.write(keys::cover(named, mark.at, &mark.record), &mark)
    }

    /// Takes back that a record rests on its contract, for one that corrects it.
    pub(super) fn undo_covered(&mut self, old: &Record) -> Verdict {
        let (named, at) = (self.contract_ref()?, old.payload().occurred_at.into());
        self.state.remove(keys::cover(named, at, &old.id()));
        Ok(())
    }

    /// That a correction of a contract, or of its end, leaves it in force where
    /// claims and pre-authorisations rest on that.
    pub(super) fn check_still_covers(&mut self, before: &Contract, now: &Contract) -> Verdict {
        let named = self.contract_ref()?;
        let refused = |mark: Mark, why: String| {
            let at = shown(mark.at, &now.zone());
            let detail = format!("record {} tells of {at}, and then {why}", mark.record);
            refuse(Code::PolicyNotInForce, "corrects", detail)
        };
        // What is in force for the first of them is begun and signed for all.
        if let Some(first) = self.first_covered(named, None, None)?
            && let Some(why) = now.not_yet(first.at)
        {
            return refused(first, why);
        }
        let (from, to) = (now.over_from(), before.over_from());
        if let (Some(from), Some(why)) = (from, now.over())
            && to.is_none_or(|to| from < to)
            && let Some(first) = self.first_covered(named, Some(from), to)?
        {
            return refused(first, why);
        }
        Ok(())
    }

    /// The first that rests on a contract from a moment on and before another.
    fn first_covered(
        &self,
        named: &ContractRef,
        from: Option<Moment>,
        to: Option<Moment>,
    ) -> Verdict<Option<Mark>> {
        let end = to.unwrap_or_else(|| Moment::from(Timestamp::MAX));
        let (from, to) = (keys::covers(named, from), keys::covers(named, Some(end)));
        let found = self.state.range(&from, &to, 1)?;
        Ok(found.first().map(|(_, value)| decode(value)).transpose()?)
    }

    /// The period of that number.
    pub(super) fn period(&mut self, contract: &ContractRef, number: u32) -> Verdict<Period> {
        match self.state.read(&keys::period(contract, number))? {
            Some(period) => Ok(period),
            None => refuse(
                Code::UnknownReference,
                "contract",
                format!("the ledger holds no period {number} of contract {contract}"),
            ),
        }
    }

    /// The period that holds the day of the record, with its number. Days after
    /// the last one belong to that: cover goes on until a contract is ended.
    pub(super) fn period_of_day(
        &mut self,
        named: &ContractRef,
        contract: &Contract,
    ) -> Verdict<(u32, Period)> {
        if let Some(number) = self.kept.number_of_period {
            return Ok((number, self.period(named, number)?));
        }
        let day = day_of(self.at(), &contract.zone());
        let last = self.period(named, contract.period)?;
        if day >= last.from || contract.period <= 1 {
            return Ok((contract.period, last));
        }
        // Periods follow each other without a gap.
        let (mut low, mut high) = (1, contract.period - 1);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.period(named, middle)?.from <= day {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok((low, self.period(named, low)?))
    }
}
