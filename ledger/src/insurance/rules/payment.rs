//! Rules of payments: never more than was approved or accepted.

use jiff::tz::TimeZone;

use super::{
    case::{Case, Verdict, refuse},
    claim::check_not_closed,
    contract::check_currency,
    figures::{figure, grouped, shown, unit},
    tally::{Entry, Tallies},
};
use crate::{
    insurance::{
        Amount, Currency, Day, Moment,
        settlement::{Answer, Outcome, PaymentRecorded, PaymentStatus},
        state::{
            entities::{Claim, ClaimStep, ClaimStepKind, Stood},
            keys::{Figure, Scope},
        },
    },
    record::Record,
    refusal::Code,
};

impl Claim {
    /// The most that may be paid: the offer accepted, else what was approved,
    /// else, on account, the newest offer that was objected to.
    pub(super) fn payable(&self, on_account: bool) -> Option<Amount> {
        let decision = self.decision.as_ref();
        let approved = decision.filter(|decision| decision.outcome != Outcome::Refused);
        self.accepted()
            .or(approved.map(|decision| decision.approved))
            .or_else(|| self.objected(None).filter(|_| on_account))
            .or(decision.map(|_| Amount::ZERO))
    }

    /// The amount of the newest offer that was objected to, by a moment if one is given.
    fn objected(&self, by: Option<Moment>) -> Option<Amount> {
        let by_then = |at: Moment| by.is_none_or(|by| at <= by);
        let newest = self.offer.as_ref().and_then(|offer| offer.answer.as_ref());
        let newest = newest.filter(|answered| by_then(answered.at));
        newest.and_then(|_| self.answered(Answer::Objected)).or_else(|| {
            let objected = |step: &&ClaimStep| step.kind == ClaimStepKind::Objected;
            let steps = self.steps.iter().filter(objected).filter(|step| by_then(step.at));
            steps.max_by_key(|step| step.at).map(|step| step.amount)
        })
    }

    /// The most that might be paid by a moment, by what had been said by then. Steps
    /// that are not remembered one by one came before all moments.
    fn payable_at(&self, at: Moment, on_account: bool) -> Option<Amount> {
        let newest = |kind: ClaimStepKind| {
            let steps = self.steps.iter().filter(|step| step.kind == kind && step.at <= at);
            steps.max_by_key(|step| step.at).map(|step| step.amount)
        };
        let approved = newest(ClaimStepKind::Approved).or(self.stood.approved);
        newest(ClaimStepKind::Accepted)
            .or(self.stood.accepted)
            .or(approved.filter(|approved| *approved > Amount::ZERO))
            .or_else(|| self.objected(Some(at)).filter(|_| on_account))
            .or(approved)
    }

    /// What had left by a moment, less what had come back.
    pub(super) fn paid_by(&self, at: Moment) -> i128 {
        let signed = |amount: Amount| i128::from(amount.minor_units());
        let by_then = self.steps.iter().filter(|step| step.at <= at);
        let sum: i128 = by_then.map(ClaimStep::moved).sum();
        signed(self.stood.executed) - signed(self.stood.returned) + sum
    }
}

impl ClaimStep {
    /// What left by it, or came back where that is below 0.
    fn moved(&self) -> i128 {
        let amount = i128::from(self.amount.minor_units());
        match self.kind {
            ClaimStepKind::Executed => amount,
            ClaimStepKind::Returned => -amount,
            _ => 0,
        }
    }
}

impl Case<'_, '_> {
    pub(super) fn payment_recorded(&mut self, data: &PaymentRecorded) -> Verdict {
        let mut claim = self.claim()?;
        if data.amount == Amount::ZERO {
            return refuse(Code::Malformed, "data.amount", "a payment of nothing is none");
        }
        check_currency(Some(data.currency), claim.currency, "data.currency")?;
        let stands = claim.stands();
        let kind = match data.status {
            PaymentStatus::Returned => {
                let returned = stands.returned.checked_add(data.amount);
                if returned.is_none_or(|returned| returned > stands.executed) {
                    let detail = format!(
                        "{} came back before, and {} more are more than the {} {} executed",
                        figure(stands.returned),
                        figure(data.amount),
                        figure(stands.executed),
                        unit(data.currency)
                    );
                    return refuse(Code::TotalMismatch, "data.amount", detail);
                }
                self.check_was_paid(&claim, data)?;
                ClaimStepKind::Returned
            }
            PaymentStatus::Ordered | PaymentStatus::Executed => {
                check_not_closed(&claim)?;
                let on_account = data.on_account == Some(true);
                let paid = stands.paid().checked_add(data.amount);
                // A correction that pays no more than what it corrects did is carried
                // by what carried that.
                if self.kept.paid.is_none_or(|before| paid.is_none_or(|paid| paid > before)) {
                    check_payable(data.amount, on_account, data.currency, &claim)?;
                }
                self.check_payable_then(&claim, data, on_account)?;
                if data.status == PaymentStatus::Ordered {
                    ClaimStepKind::Ordered
                } else if stands.executed.checked_add(data.amount).is_some() {
                    ClaimStepKind::Executed
                } else {
                    let detail = "the payments would exceed 2^53 − 1 minor units";
                    return refuse(Code::TooLarge, "data.amount", detail);
                }
            }
        };
        self.step(&mut claim, kind, data.amount)?;
        let stands = claim.stands();
        // Where a correction lowers what was executed.
        if stands.returned > stands.executed {
            let detail = format!(
                "{} came back, more than the {} executed",
                figure(stands.returned),
                figure(stands.executed)
            );
            return refuse(Code::TotalMismatch, "data.amount", detail);
        }
        if self.kept.paid.is_some_and(|before| stands.paid() > before) {
            // Where a correction lowers what came back.
            check_payable(Amount::ZERO, true, data.currency, &claim)?;
        }
        if kind == ClaimStepKind::Executed || self.corrects() {
            self.check_later_payments(&claim)?;
        }
        let adds = if kind == ClaimStepKind::Executed { data.amount } else { Amount::ZERO };
        self.count(&mut claim, "data.amount", "paid on account", adds)?;
        self.tally_payment(&claim, data, self.at(), 1)?;
        if kind == ClaimStepKind::Returned || self.corrects() {
            self.check_returns_carried(&claim)?;
            let payee = (data.payee.to_string(), data.currency, self.at());
            self.check_returns_of_day(&claim, &payee)?;
            if let Some(before) = self.kept.payee.clone() {
                self.check_returns_of_day(&claim, &before)?;
            }
        }
        self.check_payee_keeps_balance(&claim)?;
        self.put_claim(&claim)
    }

    /// That what comes back from a payee was paid to that payee, by that day.
    fn check_was_paid(&mut self, claim: &Claim, data: &PaymentRecorded) -> Verdict {
        let day = self.day_of_insurer(claim.contract.insurer(), self.at());
        let (payee, paid) = (data.payee.as_str(), Figure::Paid(data.currency));
        let scope = Scope::Contract(&claim.contract);
        let mut tallies = Tallies { state: &mut *self.state };
        let held = tallies.least(scope, payee, paid, day)?;
        if i128::from(held) >= i128::from(data.amount.minor_units()) {
            return Ok(());
        }
        let detail = format!(
            "{} came back from {payee}, who had received {} {} under this contract by {day}",
            figure(data.amount),
            grouped(held.into()),
            unit(data.currency)
        );
        refuse(Code::TotalMismatch, "data.amount", detail)
    }

    /// That at no moment more has come back of the claim than had gone out by then.
    fn check_returns_carried(&self, claim: &Claim) -> Verdict {
        let back = claim.steps.iter().filter(|step| step.kind == ClaimStepKind::Returned);
        for step in back {
            let paid = claim.paid_by(step.at);
            if paid < 0 {
                let detail = format!(
                    "by {} more would have come back of the claim than was executed: {} (record {})",
                    shown(step.at, &TimeZone::UTC),
                    grouped(paid),
                    step.record
                );
                return refuse(Code::TotalMismatch, "occurred_at", detail);
            }
        }
        Ok(())
    }

    /// That nothing comes back from a payee on a day before it was paid on that day. What
    /// that payee had before is known by days, and what moved on the day for this claim
    /// by moments; what was paid for others on that day does not count.
    fn check_returns_of_day(
        &mut self,
        claim: &Claim,
        (payee, currency, at): &(String, Currency, Moment),
    ) -> Verdict {
        let insurer = claim.contract.insurer();
        let day = self.day_of_insurer(insurer, *at);
        let scope = Scope::Contract(&claim.contract);
        let before = day.date().yesterday().ok().map(Day::from);
        let mut tallies = Tallies { state: &mut *self.state };
        let held = tallies.sum(scope, payee, Figure::Paid(*currency), None, before)?.sum;
        let is_theirs = |step: &&ClaimStep| {
            step.payee.as_ref().is_some_and(|of| of.as_str() == payee)
                && self.day_of_insurer(insurer, step.at) == day
        };
        let of_day: Vec<_> = claim.steps.iter().filter(is_theirs).collect();
        for back in of_day.iter().filter(|step| step.kind == ClaimStepKind::Returned) {
            let by_then = of_day.iter().filter(|step| step.at <= back.at);
            let held = i128::from(held) + by_then.map(|step| step.moved()).sum::<i128>();
            if held < 0 {
                let detail = format!(
                    "{} came back from {payee} at {} (record {}), {} more than {payee} had \
                     received by then",
                    figure(back.amount),
                    shown(back.at, &TimeZone::UTC),
                    back.record,
                    grouped(-held)
                );
                return refuse(Code::TotalMismatch, "occurred_at", detail);
            }
        }
        Ok(())
    }

    /// That nothing has come back from whom a corrected payment went to, and no longer
    /// does, or only later.
    fn check_payee_keeps_balance(&mut self, claim: &Claim) -> Verdict {
        let Some((payee, currency, at)) = self.kept.payee.take() else { return Ok(()) };
        let scope = Scope::Contract(&claim.contract);
        let day = self.day_of_insurer(claim.contract.insurer(), at);
        let mut tallies = Tallies { state: &mut *self.state };
        if tallies.least(scope, &payee, Figure::Paid(currency), day)? >= 0 {
            return Ok(());
        }
        let detail = format!(
            "more would have come back from {payee} under this contract than went there by then"
        );
        refuse(Code::TotalMismatch, "data.payee", detail)
    }

    /// That so much had been decided or agreed by the moment of the payment.
    fn check_payable_then(
        &self,
        claim: &Claim,
        data: &PaymentRecorded,
        on_account: bool,
    ) -> Verdict {
        let at = self.at();
        let (paid, payable) = (claim.paid_by(at), claim.payable_at(at, on_account));
        let more = paid + i128::from(data.amount.minor_units());
        if payable.is_some_and(|payable| more <= i128::from(payable.minor_units())) {
            return Ok(());
        }
        let said = |step: &&ClaimStep| match step.kind {
            ClaimStepKind::Approved => step.amount > Amount::ZERO,
            ClaimStepKind::Accepted => true,
            ClaimStepKind::Objected => on_account,
            _ => false,
        };
        let later = claim.steps.iter().filter(|step| step.at > at).filter(said);
        let mut detail = format!(
            "paid {} + {} > {} {} decided or agreed by {}",
            grouped(paid),
            figure(data.amount),
            figure(payable.unwrap_or_default()),
            unit(data.currency),
            shown(at, &TimeZone::UTC)
        );
        if let Some(step) = later.min_by_key(|step| step.at) {
            detail += &format!(
                "; {} only at {} (record {})",
                figure(step.amount),
                shown(step.at, &TimeZone::UTC),
                step.record
            );
        }
        refuse(Code::NotDecided, "occurred_at", detail)
    }

    /// That a payment told late, or a correction, leaves none of the payments that were
    /// made later with more than had been decided or agreed by then.
    fn check_later_payments(&self, claim: &Claim) -> Verdict {
        let executed = claim.steps.iter().filter(|step| step.kind == ClaimStepKind::Executed);
        for step in executed.filter(|step| self.corrects() || step.at > self.at()) {
            let payable = claim.payable_at(step.at, true).unwrap_or_default();
            if claim.paid_by(step.at) > i128::from(payable.minor_units()) {
                let detail = format!(
                    "with it {} would have been paid by {} (record {}), and {} were decided or \
                     agreed by then",
                    grouped(claim.paid_by(step.at)),
                    shown(step.at, &TimeZone::UTC),
                    step.record,
                    figure(payable)
                );
                return refuse(Code::NotDecided, "occurred_at", detail);
            }
        }
        Ok(())
    }

    /// Takes back what a payment did, for one that corrects it.
    pub(super) fn undo_payment(&mut self, old: &Record, data: &PaymentRecorded) -> Verdict {
        let mut claim = self.claim()?;
        let mut since = claim.steps.iter().skip_while(|step| step.record != old.id());
        // The closing says what was paid, with what had come back by then.
        if data.status != PaymentStatus::Returned
            || since.any(|step| step.kind == ClaimStepKind::Closed)
        {
            check_not_closed(&claim)?;
        }
        let at = old.payload().occurred_at.into();
        self.kept.paid = Some(claim.paid());
        if data.status == PaymentStatus::Executed {
            self.kept.payee = Some((data.payee.to_string(), data.currency, at));
        }
        // Nothing is paid in its place until the one that corrects it is.
        let (kind, amount) = (ClaimStepKind::Ordered, Amount::ZERO);
        let step = ClaimStep { record: old.id(), at, kind, amount, payee: None };
        self.put_step(&mut claim, Some(old.id()), step)?;
        self.tally_payment(&claim, data, at, -1)?;
        self.put_claim(&claim)
    }

    fn tally_payment(
        &mut self,
        claim: &Claim,
        data: &PaymentRecorded,
        at: Moment,
        sign: i64,
    ) -> Verdict {
        let sign = match data.status {
            PaymentStatus::Ordered => return Ok(()),
            PaymentStatus::Executed => sign,
            PaymentStatus::Returned => -sign,
        };
        let amount = i64::try_from(data.amount.minor_units()).unwrap_or(i64::MAX);
        let entry = Entry { count: sign, sum: amount.saturating_mul(sign) };
        self.tally_paid(&claim.contract, data.payee.as_str(), data.currency, at, entry)
    }
}

/// That a decision or an answer that is corrected is not moved behind a payment that
/// it carried. Where less is payable in all, that is judged by itself.
pub(super) fn check_payments_carried(before: &Claim, claim: &Claim) -> Verdict {
    for step in &claim.steps {
        let (was, is) = (before.payable_at(step.at, true), claim.payable_at(step.at, true));
        let paid = match step.kind {
            // An order is carried by whatever was said.
            ClaimStepKind::Ordered => 0,
            ClaimStepKind::Executed => claim.paid_by(step.at),
            _ => continue,
        };
        let carried = is.is_some_and(|is| paid <= i128::from(is.minor_units()));
        if !carried && is < was && is < claim.payable(true) {
            let detail = format!(
                "record {} paid at {}, and now only {} would be decided or agreed by then",
                step.record,
                shown(step.at, &TimeZone::UTC),
                figure(is.unwrap_or_default())
            );
            return refuse(Code::NotDecided, "occurred_at", detail);
        }
    }
    Ok(())
}

/// That an amount may be paid beside what is.
fn check_payable(amount: Amount, on_account: bool, currency: Currency, claim: &Claim) -> Verdict {
    let Some(payable) = claim.payable(on_account) else {
        let detail = "nothing was decided, and no offer accepted; on account, up to an offer that \
                      was objected to can be paid";
        return refuse(Code::NotDecided, "claim", detail);
    };
    let Stood { executed, returned, .. } = claim.stands();
    let paid = i128::from(executed.minor_units()) - i128::from(returned.minor_units());
    if paid + i128::from(amount.minor_units()) <= i128::from(payable.minor_units()) {
        return Ok(());
    }
    let by = match (claim.accepted(), &claim.decision, &claim.offer) {
        (None, Some(decision), _) => decision.record,
        (_, _, Some(offer)) => offer.record,
        _ => claim.opened,
    };
    let detail = format!(
        "paid {} + {} > {} {} approved or accepted (record {by})",
        grouped(paid),
        figure(amount),
        figure(payable),
        unit(currency)
    );
    refuse(Code::PaidExceedsApproved, "data.amount", detail)
}
