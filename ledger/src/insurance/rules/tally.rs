//! Figures by payee and day, kept up with each record, so that a statement
//! never counts through a history.
//!
//! An insurer's figures, and a contract's, stand by month, and each month's by day.

use jiff::{ToSpan as _, civil::Date};

use super::{
    case::{Case, Verdict},
    time::{day_of, time_zone_of_insurer},
};
use crate::{
    insurance::{
        ContractRef, Currency, Day, Moment,
        state::{
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
        let (month, day) = (number_of_month(day.date()), day.date().day().unsigned_abs().into());
        for scope in [Scope::Contract(contract), Scope::Insurer(contract.insurer())] {
            let days = self.add(keys::tally_month(scope, payee, figure, month), day, entry, 0)?;
            // A month that comes to nothing is listed as long as days of it do not.
            self.add(keys::tally_all(scope, payee, figure), month, entry, days)?;
        }
        Ok(())
    }

    /// Adds to a slot, which goes when it comes to nothing and has no parts. How many
    /// slots there are then.
    fn add(&mut self, key: Key<Tally>, at: u32, entry: Entry, parts: usize) -> Verdict<usize> {
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
        tally.slots.retain(|slot| slot.at != at || slot.count != 0 || slot.sum != 0 || parts > 0);
        let left = tally.slots.len();
        if left == 0 {
            self.state.remove(key);
        } else {
            self.state.write(key, &tally)?;
        }
        Ok(left)
    }
}

/// The figures by themselves.
pub(super) struct Tallies<'r, 'a> {
    pub(super) state: &'r mut crate::insurance::state::Overlay<'a>,
}

impl Tallies<'_, '_> {
    /// The sum over days, both included; from the first or to the last day there is
    /// where none is given.
    pub(super) fn sum(
        &mut self,
        scope: Scope<'_>,
        payee: &str,
        figure: Figure,
        from: Option<Day>,
        to: Option<Day>,
    ) -> Verdict<Entry> {
        let slots = self.slots(&keys::tally_all(scope, payee, figure))?;
        let (from, to) = (from.map(Day::date), to.map_or(Date::MAX, Day::date));
        let within = |day: Date| from.is_none_or(|from| from <= day) && day <= to;
        let mut sum = Entry::default();
        let is_whole = |first: Date| within(first) && within(first.last_of_month());
        let counts = |slot: &&Slot| first_of_month(slot.at).is_some_and(is_whole);
        slots.iter().filter(counts).for_each(|slot| sum.add(slot));
        // The months in which the days begin and end.
        let last = to.first_of_month();
        let first = from.map(Date::first_of_month).filter(|first| *first != last);
        for first in [first, Some(last)].into_iter().flatten().filter(|first| !is_whole(*first)) {
            let month = number_of_month(first);
            let days = self.slots(&keys::tally_month(scope, payee, figure, month))?;
            let day = |at: u32| first.with().day(i8::try_from(at).ok()?).build().ok();
            let counts = |slot: &&Slot| day(slot.at).is_some_and(within);
            days.iter().filter(counts).for_each(|slot| sum.add(slot));
        }
        Ok(sum)
    }

    /// The least that the sum of all up to the end of a day is, from that day on.
    pub(super) fn least(
        &mut self,
        scope: Scope<'_>,
        payee: &str,
        figure: Figure,
        from: Day,
    ) -> Verdict<i64> {
        let mut sum = self.sum(scope, payee, figure, None, Some(from))?.sum;
        let (mut least, first) = (sum, number_of_month(from.date()));
        let months = self.slots(&keys::tally_all(scope, payee, figure))?;
        for (place, month) in months.iter().filter(|month| month.at >= first).enumerate() {
            let days = match place < MONTHS_BY_DAY_MAX {
                true => self.slots(&keys::tally_month(scope, payee, figure, month.at))?,
                false => vec![month.clone()],
            };
            let after =
                |day: &&Slot| month.at > first || i64::from(day.at) > i64::from(from.date().day());
            for day in days.iter().filter(after) {
                sum = sum.saturating_add(day.sum);
                least = least.min(sum);
            }
        }
        Ok(least)
    }

    fn slots(&mut self, key: &Key<Tally>) -> Verdict<Vec<Slot>> {
        Ok(self.state.read(key)?.map(|tally| tally.slots).unwrap_or_default())
    }
}

/// Months with payments through which a running sum is looked at day by day; later
/// ones are looked at as a whole, so that no record costs more than these.
const MONTHS_BY_DAY_MAX: usize = 24;

/// The month before the first that a record can tell of, where no clock is behind it
/// ([`OCCURRED_MS_MIN`](crate::limits::OCCURRED_MS_MIN)).
const MONTH_0: Date = jiff::civil::date(1899, 12, 1);

/// Months since [`MONTH_0`]; earlier ones are as that.
fn number_of_month(day: Date) -> u32 {
    let months = |day: Date| i32::from(day.year()) * 12 + i32::from(day.month()) - 1;
    u32::try_from(months(day) - months(MONTH_0)).unwrap_or(0)
}

/// The first day of the month of that number.
fn first_of_month(number: u32) -> Option<Date> {
    let months = i32::try_from(number).ok()?;
    MONTH_0.checked_add(months.months()).ok()
}
