//! Rules of payments: never more than was approved or accepted.

use super::{
    case::{Case, Verdict, refuse},
    claim::check_not_closed,
    contract::check_currency,
    figures::{figure, grouped, unit},
    tally::{Entry, Tallies},
};
use crate::{
    insurance::{
        Amount, Currency, Moment,
        settlement::{Answer, Outcome, PaymentRecorded, PaymentStatus},
        state::{
            entities::{Claim, ClaimStepKind, Mark},
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
        check_currency(Some(data.currency), claim.currency, "data.currency")?;
        match data.status {
            PaymentStatus::Returned => {
                let Some(returned) = claim
                    .returned
                    .checked_add(data.amount)
                    .filter(|returned| *returned <= claim.executed)
                else {
                    let detail = format!(
                        "{} came back before, and {} more are more than the {} {} executed",
                        figure(claim.returned),
                        figure(data.amount),
                        figure(claim.executed),
                        unit(data.currency)
                    );
                    return refuse(Code::TotalMismatch, "data.amount", detail);
                };
                claim.returned = returned;
                self.check_was_paid(&claim, data)?;
            }
            PaymentStatus::Ordered | PaymentStatus::Executed => {
                check_not_closed(&claim)?;
                let on_account = data.on_account == Some(true);
                check_payable(data.amount, on_account, data.currency, &claim)?;
                self.check_since_payable(&claim, on_account)?;
                if data.status == PaymentStatus::Executed {
                    let Some(executed) = claim.executed.checked_add(data.amount) else {
                        let detail = "the payments would exceed 2^53 − 1 minor units";
                        return refuse(Code::TooLarge, "data.amount", detail);
                    };
                    claim.executed = executed;
                }
            }
        }
        // Where a correction lowers what was executed.
        if claim.returned > claim.executed {
            let detail = format!(
                "{} came back, more than the {} executed",
                figure(claim.returned),
                figure(claim.executed)
            );
            return refuse(Code::TotalMismatch, "data.amount", detail);
        }
        if self.kept.paid.is_some_and(|before| claim.paid() > before) {
            // Where a correction lowers what came back.
            check_payable(Amount::ZERO, true, data.currency, &claim)?;
        }
        self.count(&mut claim, "data.amount", "paid on account")?;
        self.tally_payment(&claim, data, self.at(), 1)?;
        let kind = match data.status {
            PaymentStatus::Ordered => ClaimStepKind::Ordered,
            PaymentStatus::Executed => ClaimStepKind::Executed,
            PaymentStatus::Returned => ClaimStepKind::Returned,
        };
        self.step(&mut claim, kind, data.amount)?;
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

    /// That it was decided, or an offer answered, by the moment of the payment.
    fn check_since_payable(&self, claim: &Claim, on_account: bool) -> Verdict {
        let decision = claim.decision.as_ref();
        let decision = decision.filter(|decision| decision.outcome != Outcome::Refused);
        let since = [
            decision.map(|decision| decision.since),
            claim.answered_at(Answer::Accepted),
            claim.answered_at(Answer::Objected).filter(|_| on_account),
        ];
        let Some(since) = since.into_iter().flatten().min() else { return Ok(()) };
        let answer = claim.offer.as_ref().and_then(|offer| offer.answer.as_ref());
        let record = decision.map(|decision| decision.record);
        let record = record.or(answer.map(|answer| answer.record)).unwrap_or(claim.opened);
        let mark = Mark { record, at: since };
        self.check_not_before(Code::NotDecided, "it was decided or agreed", &mark)
    }

    /// Takes back what a payment did, for one that corrects it.
    pub(super) fn undo_payment(&mut self, old: &Record, data: &PaymentRecorded) -> Verdict {
        let mut claim = self.claim()?;
        check_not_closed(&claim)?;
        self.kept.paid = Some(claim.paid());
        match data.status {
            PaymentStatus::Ordered => {}
            PaymentStatus::Executed => {
                claim.executed = claim.executed.checked_sub(data.amount).unwrap_or_default();
            }
            PaymentStatus::Returned => {
                claim.returned = claim.returned.checked_sub(data.amount).unwrap_or_default();
            }
        }
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
    let paid = i128::from(claim.executed.minor_units()) - i128::from(claim.returned.minor_units());
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
