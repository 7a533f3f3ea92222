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
            entities::{Contract, Period},
            keys,
        },
    },
    membership::{MemberId, Membership},
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

    /// The time zone in which its days are counted.
    pub(super) fn zone(&self) -> TimeZone {
        // It was looked up when the contract was issued.
        time_zone(self.time_zone.as_str()).unwrap_or(TimeZone::UTC)
    }
}

impl Case<'_, '_> {
    /// That a contract is in force at the moment of the record.
    pub(super) fn check_in_force(&self, contract: &Contract) -> Verdict {
        let (at, zone) = (self.at(), contract.zone());
        let day = day_of(at, &zone);
        let refused = |why: String| {
            let detail = format!("at {} {why}", shown(at, &zone));
            refuse(Code::PolicyNotInForce, "occurred_at", detail)
        };
        if day < contract.first_day {
            return refused(format!(
                "the contract (record {}) is not in force; it begins on {}",
                contract.issued, contract.first_day
            ));
        }
        if contract.signature_required {
            match contract.signed_at {
                None => {
                    return refused(format!(
                        "the contract is not in force; it (record {}) is not signed",
                        contract.issued
                    ));
                }
                Some(signed_at) if at < signed_at => {
                    let signed_at = shown(signed_at, &zone);
                    return refused(format!("the contract was not signed; it was at {signed_at}"));
                }
                Some(_) => {}
            }
        }
        match &contract.terminated {
            Some(end) if end.effective.map_or(at >= end.at, |last| day > last) => {
                let when =
                    end.effective.map_or_else(|| shown(end.at, &zone), |last| last.to_string());
                refused(format!("the contract is over; it ended on {when} (record {})", end.record))
            }
            _ => Ok(()),
        }
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
