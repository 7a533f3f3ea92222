//! What a period has spent and holds, against the most that it pays.

use jiff::tz::TimeZone;

use super::{
    case::{Case, Verdict, refuse},
    contract::check_currency,
    figures::{figure, grouped, shown, unit},
    spending::{Changes, Most, nanosecond, rises},
    time::{day_of, start_of_day},
};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, Currency, Data, Day, Moment,
        settlement::PaymentStatus,
        state::{
            entities::{Claim, Period},
            keys,
        },
    },
    limits::PERIOD_HOLDS_MAX,
    refusal::Code,
};

/// The most that a period pays, from a nanosecond since the epoch to another.
struct Limit {
    first: i128,
    last: i128,
    most: Amount,
    /// The record that set it.
    by: RecordId,
}

impl Limit {
    fn has_room_for(&self, used: i128) -> bool {
        used <= i128::from(self.most.minor_units())
    }
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
    pub(super) fn forget_currency(&mut self) {
        if !self.has_ceiling() && !self.is_used() {
            self.currency = None;
        }
    }

    /// What it pays from a nanosecond to another, one limit after the other.
    fn limits(&self, first: i128, last: i128, zone: &TimeZone) -> Vec<Limit> {
        let limit = |(most, by)| Limit { first, last, most, by };
        let today = jiff::Timestamp::from_nanosecond(first).map(|at| day_of(at.into(), zone));
        let today = match today {
            Ok(today) if !self.ceilings_within.is_empty() => today,
            // Nothing changes inside the period, so it does not matter when days begin.
            _ => return self.ceiling.map(|most| limit((most, self.made_by))).into_iter().collect(),
        };
        let changes = self.ceilings_within.iter().map(|change| change.from);
        let mut days: Vec<Day> = changes.filter(|day| *day > today).collect();
        days.sort_unstable();
        days.dedup();
        let starts = days.into_iter().map(|day| (day, nanosecond(start_of_day(day, zone))));
        let starts: Vec<_> = std::iter::once((today, first)).chain(starts).collect();
        let ends = starts.iter().skip(1).map(|(_, next)| next - 1).chain([last]);
        let spans = starts.iter().zip(ends).filter(|((_, from), _)| *from <= last);
        let limits = spans.filter_map(|((day, from), to)| {
            Some(Limit { first: *from, last: to.min(last), ..limit(self.limit_on(*day)?) })
        });
        limits.collect()
    }

    /// Ends the hold that a record made, at that moment. It counts up to then for what
    /// is told late.
    pub(super) fn end_hold(&mut self, answer: RecordId, at: Moment) {
        for hold in self.holds.iter_mut().filter(|hold| hold.answer == answer) {
            hold.ended = Some(hold.ended.map_or(at, |ended| ended.min(at)));
        }
        self.holds.retain(|hold| hold.span().0 <= hold.span().1);
    }

    /// Ends the hold that an answer made and takes it for that of its correction, which
    /// follows on it.
    pub(super) fn correct_hold(&mut self, answer: RecordId, correction: RecordId, at: Moment) {
        self.end_hold(answer, at);
        for hold in self.holds.iter_mut().filter(|hold| hold.answer == answer) {
            hold.answer = correction;
        }
    }

    /// Notes the moment of a record about a hold.
    pub(super) fn seen(&mut self, at: Moment) {
        self.newest = self.newest.max(Some(at));
    }

    /// Whether another hold can be kept; forgets those that are over, if need be.
    pub(super) fn has_room(&mut self) -> bool {
        if self.holds.len() >= PERIOD_HOLDS_MAX
            && let Some(newest) = self.newest
        {
            self.forget_holds_over_by(nanosecond(newest));
        }
        self.holds.len() < PERIOD_HOLDS_MAX
    }
}

impl Case<'_, '_> {
    /// That what is spent and held, and what is held besides from the moment of the
    /// record up to `until`, fits under the ceiling at every moment from then on.
    pub(super) fn check_ceiling(
        &mut self,
        period: &Period,
        field: &str,
        adding: Option<(&str, Amount, Moment)>,
    ) -> Verdict {
        let last = adding.map_or(i128::MAX, |(_, _, until)| nanosecond(until));
        let more = adding.map_or(0, |(_, amount, _)| i128::from(amount.minor_units()));
        let zone = self.zone_of_limits(period)?;
        for limit in period.limits(nanosecond(self.at()), last, &zone) {
            let most = period.most(limit.first, limit.last);
            if !limit.has_room_for(most.spent + most.held + more) {
                let adding = adding.map(|(what, ..)| (what, more));
                return self.exceeded(period, &limit, field, adding, most.spent, &most);
            }
        }
        Ok(())
    }

    /// On whose clocks the days begin from which ceilings inside the period hold.
    fn zone_of_limits(&mut self, period: &Period) -> Verdict<TimeZone> {
        Ok(match period.ceilings_within.is_empty() {
            true => TimeZone::UTC,
            false => self.contract()?.zone(),
        })
    }

    /// Counts in its period what a claim has spent since the record at hand, which must
    /// stay under the ceiling at every moment. `adds` is the most that the record by
    /// itself can add at one moment.
    ///
    /// At moments before it a record changes nothing. Where the steps of the claim no
    /// longer tell what it had spent then, the record adds all that it can.
    pub(super) fn count(
        &mut self,
        claim: &mut Claim,
        field: &str,
        what: &str,
        adds: Amount,
    ) -> Verdict {
        let Some(currency) = claim.currency else { return Ok(()) };
        let at = self.at();
        let mut adds = i128::from(adds.minor_units());
        if let Some(old) = &self.corrected {
            let before = Moment::from(old.payload().occurred_at);
            // Up to the moment of its correction stands what is corrected.
            if before < at {
                claim.unsure_before = claim.unsure_before.max(Some(at));
            }
            if let Data::PaymentRecorded(old) = &old.payload().data
                && old.status == PaymentStatus::Returned
            {
                adds += i128::from(old.amount.minor_units());
            }
        }
        let counted = self.before.take();
        if !claim.counts
            && counted.as_ref().is_some_and(|before| !before.spending_from(at).is_empty())
        {
            claim.unsure_before = claim.unsure_before.max(Some(at));
        }
        let from = claim.unsure_before.map_or(at, |unsure| unsure.max(at));
        let (spends, mut changes) = (claim.spending_from(from), Changes::new());
        let before = counted.filter(|_| claim.counts);
        let before = before.map(|before| before.spending_from(from)).unwrap_or_default();
        for (at, change) in &spends {
            *changes.entry(*at).or_default() += change;
        }
        for (at, change) in &before {
            *changes.entry(*at).or_default() -= change;
        }
        if at < from {
            *changes.entry(at).or_default() += adds;
            *changes.entry(from).or_default() -= adds;
        }
        changes.retain(|_, change| *change != 0);
        if changes.is_empty() {
            return Ok(());
        }
        let contract = claim.contract.clone();
        let mut period = self.period(&contract, claim.period)?;
        if !counts_in(&mut period, currency, field)? {
            return Ok(());
        }
        period.take(&changes);
        let zone = self.zone_of_limits(&period)?;
        let rises = rises(&changes).into_iter();
        for limit in rises.flat_map(|(first, last)| period.limits(first, last, &zone)) {
            let most = period.most(limit.first, limit.last);
            if limit.has_room_for(most.spent + most.held) {
                continue;
            }
            let by_then = spends.iter().take_while(|(at, _)| nanosecond(**at) <= most.at);
            let own = match nanosecond(from) <= most.at {
                true => by_then.map(|(_, change)| change).sum(),
                false => adds,
            };
            let spent = most.spent - own;
            return self.exceeded(&period, &limit, field, Some((what, own)), spent, &most);
        }
        let spent = u64::try_from(spends.values().sum::<i128>()).ok().and_then(Amount::new);
        let others = period.spent.checked_sub(claim.counted).unwrap_or_default();
        let Some((sum, spent)) = spent.and_then(|spent| Some((others.checked_add(spent)?, spent)))
        else {
            let detail = "what the period has spent would exceed 2^53 − 1 minor units";
            return refuse(Code::TooLarge, field, detail);
        };
        (period.spent, claim.counted, claim.counts) = (sum, spent, true);
        self.state.write(keys::period(&contract, claim.period), &period)
    }

    /// Refuses what goes beyond the ceiling at the moment of `most`: what is added under
    /// some name, and beside it what is held then, and spent.
    fn exceeded(
        &self,
        period: &Period,
        limit: &Limit,
        field: &str,
        adding: Option<(&str, i128)>,
        spent: i128,
        most: &Most<'_>,
    ) -> Verdict {
        let adding = adding.map(|(what, amount)| format!("{what} {} + ", grouped(amount)));
        let mut detail = format!(
            "{}held {} + spent {} > ceiling {} {} (record {}",
            adding.unwrap_or_default(),
            grouped(most.held),
            grouped(spent),
            figure(limit.most),
            period.currency.map(unit).unwrap_or_default(),
            limit.by
        );
        if most.at > nanosecond(self.at())
            && let Ok(at) = jiff::Timestamp::from_nanosecond(most.at)
        {
            detail += &format!("; at {}", shown(at.into(), &TimeZone::UTC));
        }
        for hold in most.holds.iter().take(3) {
            detail += &format!("; {} held by record {}", figure(hold.amount), hold.answer);
        }
        detail.push(')');
        refuse(Code::CeilingExceeded, field, detail)
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
        let counted = self.before.take().filter(|_| claim.counts);
        if let Some(counted) = counted {
            let (at, mut period) = (self.at(), self.period(&claim.contract, claim.period)?);
            let from = claim.unsure_before.map_or(at, |unsure| unsure.max(at));
            let changes = counted.spending_from(from).into_iter();
            period.take(&changes.map(|(at, change)| (at, -change)).collect());
            period.spent = period.spent.checked_sub(claim.counted).unwrap_or_default();
            period.forget_currency();
            self.state.write(keys::period(&claim.contract, claim.period), &period)?;
            (claim.counted, claim.counts) = (Amount::ZERO, false);
            claim.unsure_before = Some(from);
        }
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
