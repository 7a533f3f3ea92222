//! What a period has spent and holds, against the most that it pays.

use jiff::{SignedDuration, tz::TimeZone};

use super::{
    case::{Case, Verdict, refuse},
    contract::check_currency,
    figures::{figure, grouped, unit},
    time::{day_of, start_of_day},
};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, Currency, Data, Day, Moment,
        state::{
            entities::{Claim, Hold, Period},
            keys,
        },
    },
    limits::PERIOD_HOLDS_MAX,
    refusal::Code,
};

/// How long a hold lasts: 24 hours.
pub(super) const HOLD_NANOSECONDS: i128 = 86_400 * 1_000_000_000;

/// The most that a period pays, from a moment to another, or on.
struct Limit {
    from: Moment,
    to: Option<Moment>,
    most: Amount,
    /// The record that set it.
    by: RecordId,
}

impl Period {
    /// The most that it pays on a day, and the record that says so: of the changes that
    /// hold by then the one from the latest day on, and of one day the newest.
    pub(in crate::insurance) fn limit_on(&self, day: Day) -> Option<(Amount, RecordId)> {
        let by_then = self.ceilings_within.iter().filter(|change| change.from <= day);
        match by_then.max_by_key(|change| change.from) {
            Some(change) => Some((change.amount, change.record)),
            None => self.ceiling.map(|ceiling| (ceiling, self.made_by)),
        }
    }

    /// Whether it pays no more than so much, on some day at least.
    pub(super) const fn has_ceiling(&self) -> bool {
        self.ceiling.is_some() || !self.ceilings_within.is_empty()
    }

    /// Forgets in which currency it counts, where nothing does.
    pub(super) const fn forget_currency(&mut self) {
        if !self.has_ceiling() && !self.is_used() {
            self.currency = None;
        }
    }

    pub(super) const fn is_used(&self) -> bool {
        self.spent.minor_units() > 0 || !self.holds.is_empty()
    }

    /// What it pays from a moment on, or up to another, one after the other.
    fn limits(&self, at: Moment, until: Option<Moment>, zone: &TimeZone) -> Vec<Limit> {
        let today = day_of(at, zone);
        let changes = self.ceilings_within.iter().map(|change| change.from);
        let mut days: Vec<Day> = changes.filter(|day| *day > today).collect();
        days.sort_unstable();
        days.dedup();
        let starts = days.into_iter().map(|day| (day, start_of_day(day, zone)));
        let starts: Vec<_> = std::iter::once((today, at)).chain(starts).collect();
        let ends = starts.iter().skip(1).map(|(_, next)| {
            let end = next.timestamp().checked_sub(SignedDuration::from_nanos(1));
            end.map_or(*next, Moment::from)
        });
        let ends = ends.map(Some).chain([None]);
        let spans =
            starts.iter().zip(ends).filter(|((_, from), _)| until.is_none_or(|it| *from <= it));
        let limits = spans.filter_map(|((day, from), end)| {
            let (most, by) = self.limit_on(*day)?;
            let to = match (end, until) {
                (Some(end), Some(until)) => Some(end.min(until)),
                (end, until) => end.or(until),
            };
            Some(Limit { from: *from, to, most, by })
        });
        limits.collect()
    }

    /// The most that is held at one moment from `at` to `until`, or from `at` on,
    /// with the holds of that moment.
    ///
    /// A record may be late: what was held after its moment counts as well, so that
    /// spent and held never exceed the ceiling together.
    pub(super) fn held(&self, at: Moment, until: Option<Moment>) -> (u64, Vec<&Hold>) {
        let nanosecond = |moment: Moment| moment.timestamp().as_nanosecond();
        let (at, until) = (nanosecond(at), until.map_or(i128::MAX, nanosecond));
        let span = |hold: &Hold| {
            let last = nanosecond(hold.until);
            (last - HOLD_NANOSECONDS, last)
        };
        let mut holds: Vec<&Hold> = self.holds.iter().collect();
        holds.retain(|hold| {
            let (first, last) = span(hold);
            first <= until && last >= at
        });
        // All last equally long, so that they end in the order in which they begin,
        // and the most is held when one of them begins.
        holds.sort_by_key(|hold| hold.until);
        let (mut most, mut of_most) = (0, 0..0);
        let (mut live, mut oldest) = (0_u64, 0);
        for (index, hold) in holds.iter().enumerate() {
            // At most PERIOD_HOLDS_MAX amounts below 2^53.
            live += hold.amount.minor_units();
            let moment = span(hold).0.max(at);
            while let Some(over) = holds.get(oldest).filter(|hold| span(hold).1 < moment) {
                live -= over.amount.minor_units();
                oldest += 1;
            }
            if live > most {
                (most, of_most) = (live, oldest..index + 1);
            }
        }
        (most, holds.get(of_most).unwrap_or_default().to_vec())
    }

    /// Takes the hold away that a record made.
    pub(super) fn release(&mut self, answer: RecordId) {
        self.holds.retain(|hold| hold.answer != answer);
    }

    /// Notes the moment of a record about a hold.
    pub(super) fn seen(&mut self, at: Moment) {
        self.newest = self.newest.max(Some(at));
    }

    /// Whether another hold can be kept; forgets those that are over, if need be.
    pub(super) fn has_room(&mut self) -> bool {
        if self.holds.len() >= PERIOD_HOLDS_MAX {
            let newest = self.newest;
            self.holds.retain(|hold| Some(hold.until) >= newest);
        }
        self.holds.len() < PERIOD_HOLDS_MAX
    }
}

impl Case<'_, '_> {
    /// That what is spent and held, and what is added under some name, fits under
    /// the ceiling, from the moment of the record on, or up to `until`.
    pub(super) fn check_ceiling(
        &mut self,
        period: &Period,
        field: &str,
        adding: Option<(&str, Amount)>,
        until: Option<Moment>,
    ) -> Verdict {
        let Some(currency) = period.currency.filter(|_| period.has_ceiling()) else {
            return Ok(());
        };
        // Where nothing changes inside the period, it does not matter when days begin.
        let zone = match period.ceilings_within.is_empty() {
            true => TimeZone::UTC,
            false => self.contract()?.zone(),
        };
        let spent = period.spent.minor_units();
        let more = adding.map_or(0, |(_, amount)| amount.minor_units());
        let exceeded = period.limits(self.at(), until, &zone).into_iter().find_map(|limit| {
            let (held, holds) = period.held(limit.from, limit.to);
            let used = u128::from(more) + u128::from(held) + u128::from(spent);
            (used > u128::from(limit.most.minor_units())).then_some((limit, held, holds))
        });
        let Some((limit, held, holds)) = exceeded else { return Ok(()) };
        let mut detail = adding
            .map(|(what, amount)| format!("{what} {} + ", figure(amount)))
            .unwrap_or_default();
        detail += &format!(
            "held {} + spent {} > ceiling {} {} (record {}",
            grouped(held.into()),
            grouped(spent.into()),
            figure(limit.most),
            unit(currency),
            limit.by
        );
        for hold in holds.iter().take(3) {
            detail += &format!("; {} held by record {}", figure(hold.amount), hold.answer);
        }
        detail.push(')');
        refuse(Code::CeilingExceeded, field, detail)
    }

    /// Sets what a claim has used of its period, which must stay under the ceiling.
    pub(super) fn count(&mut self, claim: &mut Claim, field: &str, what: &str) -> Verdict {
        let (used, Some(currency)) = (claim.used(), claim.currency) else { return Ok(()) };
        if claim.counted == used {
            return Ok(());
        }
        let contract = claim.contract.clone();
        let mut period = self.period(&contract, claim.period)?;
        if counts_in(&mut period, currency, field)? {
            self.spend(&mut period, claim.counted, used, field, what)?;
            claim.counted = used;
            self.state.write(keys::period(&contract, claim.period), &period)?;
        }
        Ok(())
    }

    /// That an offer or a decision is in the currency of its claim, and of the
    /// ceiling, even where it is of nothing; notes it where it is the first.
    pub(super) fn take_currency(&mut self, claim: &mut Claim, currency: Currency) -> Verdict {
        const FIELD: &str = "data.currency";
        check_currency(Some(currency), claim.currency, FIELD)?;
        counts_in(&mut self.period(&claim.contract, claim.period)?, currency, FIELD)?;
        if claim.currency.is_none() {
            (claim.currency, claim.currency_by) = (Some(currency), Some(self.record.id()));
        }
        Ok(())
    }

    /// Takes the currency back that a record which is corrected gave its claim, where
    /// nothing else is in it: a typing error would keep the claim from being paid.
    pub(super) fn undo_currency(&mut self, claim: &mut Claim, id: RecordId) -> Verdict {
        let alone = claim.currency_by == Some(id)
            && claim.decision.as_ref().is_none_or(|decision| decision.record == id)
            && claim.offer.as_ref().is_none_or(|offer| offer.record == id)
            && claim.steps.iter().all(|step| step.record == id);
        if !alone {
            return Ok(());
        }
        let now = match &self.record.payload().data {
            Data::ClaimDecided(data) => Some(data.currency),
            Data::SettlementOffered(data) => Some(data.currency),
            _ => None,
        };
        if now.is_some() && now == claim.currency {
            // The same currency: what is counted is compared with what comes now.
            claim.currency_by = Some(self.record.id());
            return Ok(());
        }
        (claim.currency, claim.currency_by) = (None, None);
        if claim.counted > Amount::ZERO {
            let mut period = self.period(&claim.contract, claim.period)?;
            period.spent = period.spent.checked_sub(claim.counted).unwrap_or_default();
            period.forget_currency();
            self.state.write(keys::period(&claim.contract, claim.period), &period)?;
            claim.counted = Amount::ZERO;
        }
        Ok(())
    }

    /// Replaces what is spent for one claim.
    pub(super) fn spend(
        &mut self,
        period: &mut Period,
        before: Amount,
        after: Amount,
        field: &str,
        what: &str,
    ) -> Verdict {
        let others = period.spent.checked_sub(before).unwrap_or(Amount::ZERO);
        let Some(spent) = others.checked_add(after) else {
            let detail = "what the period has spent would exceed 2^53 − 1 minor units";
            return refuse(Code::TooLarge, field, detail);
        };
        period.spent = others;
        if after > before {
            self.check_ceiling(period, field, Some((what, after)), None)?;
        }
        period.spent = spent;
        Ok(())
    }
}

/// Whether amounts of a currency count in a period. Where it has no ceiling, its
/// first amount says in which currency it counts, and others do not.
pub(super) fn counts_in(period: &mut Period, currency: Currency, field: &str) -> Verdict<bool> {
    match period.currency {
        Some(counted) if counted == currency => Ok(true),
        Some(counted) if period.has_ceiling() => {
            let detail = format!(
                "{} is another currency than {}, which the contract's ceiling has (record {})",
                currency.code(),
                counted.code(),
                period.made_by
            );
            refuse(Code::CurrencyMismatch, field, detail)
        }
        Some(_) => Ok(false),
        None => {
            period.currency = Some(currency);
            Ok(true)
        }
    }
}
