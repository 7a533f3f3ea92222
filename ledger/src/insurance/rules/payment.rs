//! Rules of payments: never more than was approved or accepted.

use super::{
    case::{Case, Verdict, refuse},
    claim::check_not_closed,
    contract::check_currency,
    figures::{figure, grouped, shown, unit},
    tally::{Entry, Tallies},
};
use crate::{
    insurance::{
        Amount, Currency, Moment,
        settlement::{Answer, Outcome, PaymentRecorded, PaymentStatus},
        state::{
            entities::{Claim, ClaimStep, ClaimStepKind, Mark, Stood},
            keys::{Figure, Scope},
        },
    },
    record::Record,
    refusal::Code,
};

impl Claim {
    /// The most that may be paid: the offer accepted, else what was approved,
    /// else, on account, the offer that was objected to.
    pub(super) fn payable(&self, on_account: bool) -> Option<Amount> {
        let decision = self.decision.as_ref();
        let approved = decision.filter(|decision| decision.outcome != Outcome::Refused);
        self.accepted()
            .or(approved.map(|decision| decision.approved))
            .or_else(|| self.answered(Answer::Objected).filter(|_| on_account))
            .or(decision.map(|_| Amount::ZERO))
    }

    /// Since when something may be paid: it was approved, or an offer accepted, or,
    /// on account, objected to.
    fn payable_since(&self, on_account: bool) -> Option<Mark> {
        let approved = self
            .decision
            .as_ref()
            .and_then(|decision| Some(Mark { record: decision.record, at: decision.since? }));
        let answered = self.offer.as_ref().and_then(|offer| offer.answer.as_ref());
        let answered = answered
            .filter(|answered| on_account || answered.answer == Answer::Accepted)
            .map(|answered| Mark { record: answered.record, at: answered.at });
        [approved, answered].into_iter().flatten().min_by_key(|mark| mark.at)
    }

    /// What it uses of its period's ceiling, by what was claimed on a hold,
    /// decided, accepted and paid.
    pub(super) fn used(&self) -> Amount {
        let decided = match &self.decision {
            Some(decision) => decision.approved,
            None if self.preauthorisation.is_some() => self.claimed.unwrap_or_default(),
            None => Amount::ZERO,
        };
        decided.max(self.accepted().unwrap_or_default()).max(self.paid())
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
                check_payable(data.amount, on_account, data.currency, &claim)?;
                self.check_since_payable(&claim, on_account)?;
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
        self.count(&mut claim, "data.amount", "paid on account")?;
        self.tally_payment(&claim, data, self.at(), 1)?;
        self.check_payee_keeps_balance(&claim)?;
        self.put_claim(&claim)
    }

    /// That what comes back from a payee was paid to that payee, by that day.
    fn check_was_paid(&mut self, claim: &Claim, data: &PaymentRecorded) -> Verdict {
        let day = self.day_of_insurer(claim.contract.insurer(), self.at());
        let (payee, paid) = (data.payee.as_str(), Figure::Paid(data.currency));
        let scope = Scope::Contract(&claim.contract);
        let mut tallies = Tallies { state: &mut *self.state };
        let by_then = tallies.sum(scope, payee, paid, None, Some(day))?.sum;
        let in_all = tallies.sum(scope, payee, paid, None, None)?.sum;
        let held = by_then.min(in_all);
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

    /// That nothing has come back from whom a corrected payment went to, and no longer
    /// does.
    fn check_payee_keeps_balance(&mut self, claim: &Claim) -> Verdict {
        let Some((payee, currency)) = self.kept.payee.take() else { return Ok(()) };
        let scope = Scope::Contract(&claim.contract);
        let mut tallies = Tallies { state: &mut *self.state };
        let left = tallies.sum(scope, &payee, Figure::Paid(currency), None, None)?.sum;
        if left >= 0 {
            return Ok(());
        }
        let detail = format!("more came back from {payee} under this contract than went there");
        refuse(Code::TotalMismatch, "data.payee", detail)
    }

    /// That it was decided, or an offer answered, by the moment of the payment.
    fn check_since_payable(&self, claim: &Claim, on_account: bool) -> Verdict {
        match claim.payable_since(on_account) {
            Some(mark) => {
                self.check_not_before(Code::NotDecided, "it was decided or agreed", &mark)
            }
            None => Ok(()),
        }
    }

    /// That a decision or an answer that is corrected leaves no payment that was
    /// made before it.
    pub(super) fn check_payments_after(&self, claim: &Claim) -> Verdict {
        if !self.corrects() {
            return Ok(());
        }
        let paid = claim
            .steps
            .iter()
            .filter(|step| matches!(step.kind, ClaimStepKind::Ordered | ClaimStepKind::Executed));
        match (claim.payable_since(true), paid.min_by_key(|step| step.at)) {
            (Some(since), Some(first)) if first.at < since.at => {
                let [paid, since] =
                    [first.at, since.at].map(|moment| shown(moment, &jiff::tz::TimeZone::UTC));
                let detail = format!(
                    "record {} paid at {paid}, and now nothing is decided or agreed before {since}",
                    first.record
                );
                refuse(Code::NotDecided, "occurred_at", detail)
            }
            _ => Ok(()),
        }
    }

    /// Takes back what a payment did, for one that corrects it.
    pub(super) fn undo_payment(&mut self, old: &Record, data: &PaymentRecorded) -> Verdict {
        let mut claim = self.claim()?;
        if data.status != PaymentStatus::Returned {
            check_not_closed(&claim)?;
        }
        self.kept.paid = Some(claim.paid());
        if data.status == PaymentStatus::Executed {
            self.kept.payee = Some((data.payee.to_string(), data.currency));
        }
        // Nothing is paid in its place until the one that corrects it is.
        let at = old.payload().occurred_at.into();
        let (kind, amount) = (ClaimStepKind::Ordered, Amount::ZERO);
        let step = ClaimStep { record: old.id(), at, kind, amount };
        self.put_step(&mut claim, Some(old.id()), step)?;
        self.tally_payment(&claim, data, old.payload().occurred_at.into(), -1)?;
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
