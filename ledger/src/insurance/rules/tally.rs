//! Figures by payee and day, kept up with each record, so that a statement
//! never counts through a history.
//!
//! An insurer's figures stand in months of days and years of months, a
//! contract's, which are few, in years of days.

use super::{
    case::{Case, Verdict},
    time::{day_of, time_zone_of_insurer},
};
use crate::{
    insurance::{
        ContractRef, Currency, Day, Moment,
        state::{
            decode,
            entities::{Claim, Slot, Tally},
            keys::{self, Figure, Key, Scope},
        },
    },
    time_zones::time_zone,
};

/// What is added to a day, or the sum of days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) count: i64,
    pub(super) sum: i64,
}

impl Entry {
    fn add(&mut self, slot: &Slot) {
        self.count = self.count.saturating_add(slot.count);
        self.sum = self.sum.saturating_add(slot.sum);
    }
}

impl Case<'_, '_> {
    /// The day of a moment on the clocks of an insurer.
    pub(super) fn day_of_insurer(&self, insurer: &str, moment: Moment) -> Day {
        let zone = time_zone(time_zone_of_insurer(self.membership, insurer));
        day_of(moment, &zone.unwrap_or(jiff::tz::TimeZone::UTC))
    }

    /// Counts a payment, or takes it back.
    pub(super) fn tally_paid(
        &mut self,
        contract: &ContractRef,
        payee: &str,
        currency: Currency,
        at: Moment,
        entry: Entry,
    ) -> Verdict {
        let day = self.day_of_insurer(contract.insurer(), at);
        self.tally(contract, payee, Figure::Paid(currency), day, entry)
    }

    /// Counts a claim that opens (1) or ends (−1).
    pub(super) fn tally_open(&mut self, claim: &Claim, day: Day, count: i64) -> Verdict {
        self.tally(&claim.contract, &claim.opener, Figure::Open, day, Entry { count, sum: 0 })
    }

    fn tally(
        &mut self,
        contract: &ContractRef,
        payee: &str,
        figure: Figure,
        day: Day,
        entry: Entry,
    ) -> Verdict {
        let (insurer, date) = (contract.insurer(), day.date());
        let year = date.year();
        let of_contract = keys::tally_year(Scope::Contract(contract), payee, figure, year);
        let of_year = keys::tally_year(Scope::Insurer(insurer), payee, figure, year);
        let of_month = keys::tally_month(insurer, payee, figure, year, date.month());
        self.add(of_contract, date.day_of_year().unsigned_abs(), entry)?;
        self.add(of_year, date.month().unsigned_abs().into(), entry)?;
        self.add(of_month, date.day().unsigned_abs().into(), entry)
    }

    fn add(&mut self, key: Key<Tally>, at: u16, entry: Entry) -> Verdict {
        let mut tally = self.state.read(&key)?.unwrap_or(Tally { slots: Vec::new() });
        match tally.slots.binary_search_by_key(&at, |slot| slot.at) {
            Ok(index) => {
                if let Some(slot) = tally.slots.get_mut(index) {
                    slot.count = slot.count.saturating_add(entry.count);
                    slot.sum = slot.sum.saturating_add(entry.sum);
                }
            }
            Err(index) => {
                tally.slots.insert(index, Slot { at, count: entry.count, sum: entry.sum });
            }
        }
        tally.slots.retain(|slot| slot.count != 0 || slot.sum != 0);
        if tally.slots.is_empty() {
            self.state.remove(key);
            return Ok(());
        }
        self.state.write(key, &tally)
    }
}

/// The figures by themselves.
pub(super) struct Tallies<'r, 'a> {
    pub(super) state: &'r mut crate::insurance::state::Overlay<'a>,
}

impl Tallies<'_, '_> {
    /// The sum over days, both included; from the first day there is where none is given.
    pub(super) fn sum(
        &mut self,
        scope: Scope<'_>,
        payee: &str,
        figure: Figure,
        from: Option<Day>,
        to: Day,
    ) -> Verdict<Entry> {
        let year = |year| keys::tally_year(scope, payee, figure, year);
        let (first, last) = (from.map_or(0, |from| from.date().year()), to.date().year());
        let start = year(first).into_bytes();
        // The key after that of the last year.
        let mut end = year(last).into_bytes();
        end.push(0);
        let mut sum = Entry::default();
        let within = |day: Day| from.is_none_or(|from| from <= day) && day <= to;
        for (key, value) in self.state.range(&start, &end, YEARS_MAX)? {
            let Some(year) = keys::year_at_end(&key) else { continue };
            let tally: Tally = decode(&value)?;
            for slot in &tally.slots {
                let counts = match scope {
                    Scope::Contract(_) => day_of_year(year, slot.at).is_some_and(within),
                    Scope::Insurer(_) => days_of_month(year, slot.at)
                        .is_some_and(|(first, last)| within(first) && within(last)),
                };
                if counts {
                    sum.add(slot);
                }
            }
        }
        if let Scope::Insurer(insurer) = scope {
            let ends = [from.filter(|from| !same_month(*from, to)), Some(to)];
            for date in ends.into_iter().flatten().map(Day::date) {
                let (first, last) =
                    (Day::from(date.first_of_month()), Day::from(date.last_of_month()));
                if within(first) && within(last) {
                    continue;
                }
                let (year, month) = (date.year(), date.month());
                let key = keys::tally_month(insurer, payee, figure, year, month);
                let days = self.state.read(&key)?.map(|tally| tally.slots).unwrap_or_default();
                let counts = |slot: &&Slot| {
                    i8::try_from(slot.at)
                        .ok()
                        .and_then(|at| day(year, month, at))
                        .is_some_and(within)
                };
                days.iter().filter(counts).for_each(|slot| sum.add(slot));
            }
        }
        Ok(sum)
    }
}

/// As many years as four digits can name.
const YEARS_MAX: usize = 10_000;

fn day(year: i16, month: i8, day: i8) -> Option<Day> {
    jiff::civil::Date::new(year, month, day).ok().map(Day::from)
}

fn day_of_year(year: i16, number: u16) -> Option<Day> {
    day(year, 1, 1)?.plus_days(i32::from(number) - 1)
}

fn days_of_month(year: i16, month: u16) -> Option<(Day, Day)> {
    let first = day(year, i8::try_from(month).ok()?, 1)?;
    Some((first, Day::from(first.date().last_of_month())))
}

fn same_month(one: Day, other: Day) -> bool {
    let (one, other) = (one.date(), other.date());
    one.year() == other.year() && one.month() == other.month()
}
