//! Rules of statements, alerts and rewards: what refers to all that came before.

use super::{
    case::{Case, Verdict, refuse},
    figures::{grouped, unit},
};
use crate::{
    insurance::{
        settlement::{AlertRaised, RewardRecorded, StatementIssued},
        state::keys::{self, Figure, Scope},
    },
    refusal::Code,
};

impl Case<'_, '_> {
    pub(super) fn statement_issued(&mut self, data: &StatementIssued) -> Verdict {
        let scope = match &self.record.payload().contract {
            Some(contract) => Scope::Contract(contract),
            None => Scope::Insurer(self.record.signer().as_str()),
        };
        let (payee, from, to) = (data.to.as_str(), data.period.from(), data.period.to());
        let paid = self.sum(scope, payee, Figure::Paid(data.currency), Some(from), Some(to))?;
        let open = self.sum(scope, payee, Figure::Open, None, Some(to))?;
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
            if i128::from(held) != i128::from(said) {
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
