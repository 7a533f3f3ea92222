//! Rules of statements, alerts and rewards: what refers to all that came before.

use super::{
    case::{Case, Verdict, refuse},
    figures::{grouped, unit},
    tally::{Entry, Tallies},
};
use crate::{
    insurance::{
        Currency, Day,
        settlement::{AlertRaised, RewardRecorded, StatementIssued},
        state::{
            ApplyError, Overlay, StateError, StateReader,
            keys::{self, Figure, Scope},
        },
    },
    refusal::Code,
};

/// What `statement.issued` would have to say of a payee, as the state has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementFigures {
    /// The payments of the period by currency, where there are any.
    pub paid: Vec<PaidFigures>,
    /// Claims that the payee opened and that are open at the end of the last day.
    pub open_count: i64,
}

/// Payments executed less those that came back, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaidFigures {
    /// The currency.
    pub currency: Currency,
    /// How many.
    pub count: i64,
    /// Their sum in minor units.
    pub sum: i64,
}

/// The figures of a payee from one day to another, both included, in the insurer's
/// time zone: the same that a `statement.issued` is judged by. They are those of the
/// state as it stands, and cost the same however many records there are.
///
/// # Errors
/// The state cannot be read.
pub fn statement_figures(
    reader: &dyn StateReader,
    scope: Scope<'_>,
    payee: &str,
    from: Day,
    to: Day,
) -> Result<StatementFigures, StateError> {
    let mut state = Overlay::new(reader);
    let mut tallies = Tallies { state: &mut state };
    let mut sum = |figure, from| {
        tallies.sum(scope, payee, figure, from, Some(to)).map_err(|error| match error {
            ApplyError::State(error) => error,
            // Nothing is judged here, so nothing refuses.
            ApplyError::Refused(refusal) => StateError::new(refusal),
        })
    };
    let mut paid = Vec::new();
    for currency in Currency::all() {
        let Entry { count, sum } = sum(Figure::Paid(currency), Some(from))?;
        if count != 0 || sum != 0 {
            paid.push(PaidFigures { currency, count, sum });
        }
    }
    Ok(StatementFigures { paid, open_count: sum(Figure::Open, None)?.count })
}

impl Case<'_, '_> {
    pub(super) fn statement_issued(&mut self, data: &StatementIssued) -> Verdict {
        let scope = match &self.record.payload().contract {
            Some(contract) => Scope::Contract(contract),
            None => Scope::Insurer(self.record.signer().as_str()),
        };
        let (payee, from, to) = (data.to.as_str(), data.period.from(), data.period.to());
        let mut tallies = Tallies { state: &mut *self.state };
        let paid = tallies.sum(scope, payee, Figure::Paid(data.currency), Some(from), Some(to))?;
        let open = tallies.sum(scope, payee, Figure::Open, None, Some(to))?;
        let of_period = format!("from {from} to {to}");
        let figures = [
            (
                "data.paid_count",
                paid.count,
                data.paid_count.get(),
                format!("payments executed to {payee} {of_period}"),
            ),
            (
                "data.paid_sum",
                paid.sum,
                data.paid_sum.minor_units(),
                format!("{} executed to {payee} {of_period}", unit(data.currency)),
            ),
            (
                "data.open_count",
                open.count,
                data.open_count.get(),
                format!("claims of {payee} open at the end of {to}"),
            ),
        ];
        for (field, held, said, what) in figures {
            // Where more came back than went out, a statement, which has no figures
            // below 0, says 0.
            if i128::from(held.max(0)) != i128::from(said) {
                let (held, said) = (grouped(held.into()), grouped(said.into()));
                let detail = format!("the ledger holds {held} {what}; the statement says {said}");
                return refuse(Code::StatementMismatch, field, detail);
            }
        }
        Ok(())
    }

    pub(super) fn alert_raised(&mut self, data: &AlertRaised) -> Verdict {
        // Their numbers mean nothing without a contract.
        if let Some(contract) = &self.record.payload().contract {
            for number in data.preauthorisations.iter().flatten() {
                if !self.state.holds(&keys::preauthorisation(contract, number))? {
                    let detail =
                        format!("no pre-authorisation {number} of {contract} was requested");
                    return refuse(Code::UnknownReference, "data.preauthorisations", detail);
                }
            }
        }
        for claim in data.claims.iter().flatten() {
            if !self.state.holds(&keys::claim(claim))? {
                let detail = format!("the ledger holds no claim {claim}");
                return refuse(Code::UnknownReference, "data.claims", detail);
            }
        }
        Ok(())
    }

    pub(super) fn reward_recorded(&mut self, data: &RewardRecorded) -> Verdict {
        if self.state.holds(&keys::referral(&data.referral))? {
            return Ok(());
        }
        let detail = format!("no contract was issued on the referral {}", data.referral);
        refuse(Code::UnknownReference, "data.referral", detail)
    }
}
