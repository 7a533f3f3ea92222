//! A contract: what it says, its versions, its periods and what they may pay,
//! its premiums, and whether it is in force.

use std::{collections::HashMap, fmt};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{Standing, format_amount, shown, time::day_of};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, AmountOrText, Currency, Data,
        contract::{
            ContractAmended, ContractIssued, ContractPremium, ContractRenewed, ContractTerminated,
        },
    },
};

/// The property whose change moves what a period pays.
const CEILING: &str = "ceiling";

shown! {
    /// Whether a contract is in force.
    enum ContractStatus {
        /// The ledger holds records about it, and none that issues it.
        NotIssued = "not_issued",
        /// It was issued, and is in force once it is signed.
        AwaitingSignature = "awaiting_signature",
        /// Its first period has not begun.
        NotYetBegun = "not_yet_begun",
        /// It is in force. The end of a period does not end it.
        InForce = "in_force",
        /// It was ended.
        Terminated = "terminated",
    }
}

/// What a property is: an amount, or a text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Value {
    /// Minor units of a currency.
    Amount {
        /// How much, in minor units.
        amount: u64,
        /// Of `amount`.
        currency: String,
    },
    /// Anything else.
    Text(String),
}

impl Value {
    fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    fn amount(amount: Amount, currency: Option<Currency>) -> Self {
        let amount = amount.minor_units();
        match currency {
            Some(currency) => Self::Amount { amount, currency: currency.code().to_owned() },
            None => Self::Text(amount.to_string()),
        }
    }
}

/// As people read it: an amount with its currency.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount { amount, currency } => {
                f.write_str(&format_amount(i128::from(*amount), currency))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The property, and what is known of what it was and became.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let property = &self.property;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{property}: {from} → {to}"),
            (Some(from), None) => write!(f, "{property}: no longer {from}"),
            (None, Some(to)) => write!(f, "{property}: {to}"),
            (None, None) => write!(f, "{property} changed"),
        }
    }
}

shown! {
    /// What a version changed.
    Change {
        /// The property.
        property: String,
        /// What it was, where that is known.
        from: Option<Value>,
        /// What it became, where the record says it.
        to: Option<Value>,
    }

    /// One version of a contract.
    VersionShown {
        /// Its number, from 1.
        version: u64,
        /// `contract.issued`, `contract.amended` or `contract.renewed`.
        made_by: String,
        /// What it changed.
        changes: Vec<Change>,
        /// The first day for which it holds.
        effective: Date,
        /// The record that made it.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// Who signed that.
        signer: String,
    }

    /// What the contract says, as it was issued and changed.
    ContractFacts {
        /// The newest version.
        version: u64,
        /// What is insured, such as `pet_health`.
        line_of_business: String,
        /// The cover chosen.
        cover: Option<String>,
        /// The modules taken.
        modules: Vec<String>,
        /// The broker that administers it.
        broker: Option<String>,
        /// The consent under which the customer was referred.
        referral: Option<String>,
        /// What is insured, by an opaque name.
        risk: Option<String>,
        /// The application it answers.
        application: Option<String>,
        /// What a period costs, in minor units.
        premium: Option<u64>,
        /// How that is paid.
        payment_mode: Option<String>,
        /// How its deductible moves: `variable` or `bonus`.
        deductible_model: Option<String>,
        /// Whether it is in force only once it is signed.
        signature_required: bool,
        /// When a version of it was signed first.
        signed_at: Option<Timestamp>,
        /// Of the premium.
        currency: Option<String>,
        /// The first day of its first period.
        first_day: Date,
        /// The record that issued it.
        record: RecordId,
        /// When it was issued.
        issued_at: Timestamp,
    }

    /// An insurance period: what it pays and what is used of it, in minor units.
    PeriodUse {
        /// Its number, from 1.
        period: u32,
        /// The first day.
        from: Date,
        /// The last day.
        to: Date,
        /// The most that it pays; null where it has no ceiling.
        limit: Option<u64>,
        /// What claims that were opened in it have used.
        spent: u64,
        /// What is guaranteed and neither claimed nor released nor over.
        held: u64,
        /// What is left of the limit.
        left: Option<u64>,
        /// Of the amounts, once one is known.
        currency: Option<String>,
        /// The record that set the limit.
        record: RecordId,
    }

    /// A premium receipt.
    Premium {
        /// Its number.
        receipt: String,
        /// The day by which it is to be paid.
        due_on: Date,
        /// How much, in minor units.
        amount: u64,
        /// Of the amount.
        currency: String,
        /// `due`, `paid`, `unpaid` or `refunded`.
        status: String,
        /// Whether it is debited from the customer's account.
        direct_debit: bool,
        /// The newest record about it.
        record: RecordId,
        /// When that happened.
        occurred_at: Timestamp,
    }

    /// How the contract ended.
    Termination {
        /// Why.
        reason: String,
        /// The last day in force; null where it ended at once.
        effective: Option<Date>,
        /// The record that ended it.
        record: RecordId,
        /// When that happened.
        occurred_at: Timestamp,
    }
}

/// A change of the ceiling inside a period.
struct Within {
    /// The number of the period.
    period: u32,
    /// The day from which on it holds.
    from: Date,
    limit: u64,
    record: RecordId,
}

/// A contract while its records are taken in.
#[derive(Default)]
pub(super) struct ContractFold {
    facts: Option<ContractFacts>,
    versions: Vec<VersionShown>,
    periods: Vec<PeriodUse>,
    premiums: Vec<Premium>,
    termination: Option<Termination>,
    /// The first day of each period, in order, and from which place on the ledger on
    /// it is known.
    begins: Vec<(u64, Date)>,
    /// What each property was last.
    properties: HashMap<String, Value>,
    /// The ceilings agreed for periods to come: from which day on, and what.
    agreed: Vec<(Date, Amount, Option<Currency>)>,
    /// The changes of the ceiling inside periods, in the order of the versions.
    within: Vec<Within>,
    /// The changes of the broker: from which day on, and to whom.
    brokers: Vec<(Date, Option<String>)>,
}

impl ContractFold {
    pub(super) fn issued(&mut self, standing: &Standing<'_>, data: &ContractIssued) {
        let record = standing.id();
        let text = |code: Option<&crate::insurance::Code>| code.map(ToString::to_string);
        self.facts = Some(ContractFacts {
            version: data.version.get(),
            line_of_business: data.line_of_business.to_string(),
            cover: text(data.cover.as_ref()),
            modules: data.modules.iter().flatten().map(ToString::to_string).collect(),
            broker: text(data.broker.as_ref()),
            referral: text(data.referral.as_ref()),
            risk: text(data.risk.as_ref()),
            application: text(data.application.as_ref()),
            premium: data.premium.map(Amount::minor_units),
            payment_mode: text(data.payment_mode.as_ref()),
            deductible_model: data.deductible_model.map(|model| model.as_str().to_owned()),
            signature_required: data.signature_required,
            signed_at: None,
            currency: data.currency.map(|currency| currency.code().to_owned()),
            first_day: data.period.from().date(),
            record,
            issued_at: standing.at,
        });
        let properties = [
            ("cover", data.cover.as_ref().map(Value::text)),
            ("broker", data.broker.as_ref().map(Value::text)),
            ("risk", data.risk.as_ref().map(Value::text)),
            ("payment_mode", data.payment_mode.as_ref().map(Value::text)),
            ("premium", data.premium.map(|premium| Value::amount(premium, data.currency))),
            (CEILING, data.annual_ceiling.map(|limit| Value::amount(limit, data.currency))),
        ];
        for (property, value) in properties {
            if let Some(value) = value {
                self.properties.insert(property.to_owned(), value);
            }
        }
        self.begin_period(data.period, data.annual_ceiling, data.currency, record);
        self.version(standing, data.version.get(), Vec::new(), data.period.from().date());
    }

    pub(super) fn amended(&mut self, standing: &Standing<'_>, data: &ContractAmended) {
        let to = data.to.as_ref().map(|to| match to {
            AmountOrText::Amount(amount) => Value::amount(*amount, data.currency),
            AmountOrText::Text(text) => Value::text(text),
        });
        if data.change.as_str() == CEILING
            && let Some(AmountOrText::Amount(limit)) = data.to
            && let Some(period) = self.periods.last_mut()
        {
            if data.effective.date() <= period.to {
                period.currency = data.currency.map(|currency| currency.code().to_owned());
                self.within.push(Within {
                    period: period.period,
                    from: data.effective.date(),
                    limit: limit.minor_units(),
                    record: standing.id(),
                });
            } else {
                self.agreed.push((data.effective.date(), limit, data.currency));
            }
        }
        if data.change.as_str() == "broker" {
            let broker = match &data.to {
                Some(AmountOrText::Text(text)) => Some(text.to_string()),
                _ => None,
            };
            self.brokers.push((data.effective.date(), broker));
        }
        self.apply(data.change.as_str(), to.as_ref());
        let changes = vec![self.change(data.change.as_str(), to)];
        self.version(standing, data.version.get(), changes, data.effective.date());
    }

    /// Shows a changed property among the facts.
    fn apply(&mut self, property: &str, to: Option<&Value>) {
        let Some(facts) = &mut self.facts else { return };
        match (property, to) {
            ("cover", Some(Value::Text(text))) => facts.cover = Some(text.clone()),
            ("risk", Some(Value::Text(text))) => facts.risk = Some(text.clone()),
            ("payment_mode", Some(Value::Text(text))) => facts.payment_mode = Some(text.clone()),
            ("premium", Some(Value::Amount { amount, currency })) => {
                facts.premium = Some(*amount);
                facts.currency = Some(currency.clone());
            }
            _ => {}
        }
    }

    pub(super) fn renewed(&mut self, standing: &Standing<'_>, data: &ContractRenewed) {
        let record = standing.id();
        let mut changes = vec![Change {
            property: "period".to_owned(),
            from: self.periods.last().map(|last| Value::text(days(last.from, last.to))),
            to: Some(Value::text(days(data.period.from().date(), data.period.to().date()))),
        }];
        let first = data.period.from().date();
        let by_then = self.agreed.iter().filter(|(from, ..)| *from <= first);
        let agreed = by_then.max_by_key(|(from, ..)| *from).copied();
        self.agreed.retain(|(from, ..)| *from > first);
        let last = self.periods.last();
        let before = last.and_then(|last| self.limit_on(last, last.to).0);
        let (limit, currency) = match (data.annual_ceiling, agreed) {
            (Some(limit), _) => (Some(limit), data.currency),
            (None, Some((_, limit, currency))) => (Some(limit), currency),
            (None, None) => {
                let currency = last.and_then(|last| last.currency.as_deref());
                (before.and_then(Amount::new), currency.and_then(|currency| currency.parse().ok()))
            }
        };
        let is_new = limit.map(Amount::minor_units) != before || agreed.is_some();
        // What was agreed stands with the version that says so.
        if let Some(limit) = limit.map(|limit| Value::amount(limit, currency))
            && is_new
            && self.properties.get(CEILING) != Some(&limit)
        {
            changes.push(self.change(CEILING, Some(limit)));
        }
        self.begin_period(data.period, limit, currency, record);
        self.version(standing, data.version.get(), changes, data.period.from().date());
    }

    fn change(&mut self, property: &str, to: Option<Value>) -> Change {
        let from = match &to {
            Some(to) => self.properties.insert(property.to_owned(), to.clone()),
            None => self.properties.remove(property),
        };
        Change { property: property.to_owned(), from, to }
    }

    fn version(
        &mut self,
        standing: &Standing<'_>,
        version: u64,
        changes: Vec<Change>,
        effective: Date,
    ) {
        if let Some(facts) = &mut self.facts {
            facts.version = version;
        }
        self.versions.push(VersionShown {
            version,
            made_by: standing.payload().record_type.as_str().to_owned(),
            changes,
            effective,
            record: standing.id(),
            occurred_at: standing.at,
            signer: standing.signer(),
        });
    }

    fn begin_period(
        &mut self,
        period: crate::insurance::Period,
        limit: Option<Amount>,
        currency: Option<Currency>,
        record: RecordId,
    ) {
        self.periods.push(PeriodUse {
            period: u32::try_from(self.periods.len()).unwrap_or(u32::MAX).saturating_add(1),
            from: period.from().date(),
            to: period.to().date(),
            limit: limit.map(Amount::minor_units),
            spent: 0,
            held: 0,
            left: None,
            currency: limit.and(currency).map(|currency| currency.code().to_owned()),
            record,
        });
    }

    pub(super) fn terminated(&mut self, standing: &Standing<'_>, data: &ContractTerminated) {
        self.termination = Some(Termination {
            reason: data.reason.to_string(),
            effective: data.effective.map(crate::insurance::Day::date),
            record: standing.id(),
            occurred_at: standing.at,
        });
    }

    pub(super) fn premium(&mut self, standing: &Standing<'_>, data: &ContractPremium) {
        let premium = Premium {
            receipt: data.receipt.to_string(),
            due_on: data.due_on.date(),
            amount: data.amount.minor_units(),
            currency: data.currency.code().to_owned(),
            status: data.status.as_str().to_owned(),
            direct_debit: data.direct_debit == Some(true),
            record: standing.id(),
            occurred_at: standing.at,
        };
        match self.premiums.iter_mut().find(|before| before.receipt == premium.receipt) {
            Some(before) => *before = premium,
            None => self.premiums.push(premium),
        }
    }

    /// The number of the period that holds the day of a moment. Days after the
    /// last one belong to that: cover goes on until a contract is ended.
    pub(super) fn period_of(&self, at: Timestamp, zone: &TimeZone) -> Option<u32> {
        let day = day_of(at, zone);
        let begun = self.periods.iter().rev().find(|period| period.from <= day);
        begun.or_else(|| self.periods.first()).map(|period| period.period)
    }

    /// Before any record, with note of every period there will be: a correction stands where the
    /// corrected record stood, and may belong to a period that was begun since.
    pub(super) fn new(standing: &[Standing<'_>]) -> Self {
        let begins = standing.iter().filter_map(|standing| match standing.data() {
            Data::ContractIssued(data) => Some((standing.first().index, data.period.from().date())),
            Data::ContractRenewed(data) => {
                Some((standing.first().index, data.period.from().date()))
            }
            _ => None,
        });
        Self { begins: begins.collect(), ..Self::default() }
    }

    /// The period that pays what a record tells of: that of its day, of those which
    /// the ledger held when it was recorded. A correction that tells of the day of
    /// what it corrects stays in the period of that.
    pub(super) fn period_for(&self, standing: &Standing<'_>, zone: &TimeZone) -> Option<u32> {
        let day = day_of(standing.at, zone);
        let since = standing.since(|line| day_of(line.record.payload().occurred_at, zone) == day);
        let recorded = since.index;
        let known = (1..).zip(&self.begins).filter(|(_, (index, _))| *index < recorded);
        let begun = known.clone().filter(|(_, (_, from))| *from <= day).last();
        begun.or_else(|| known.min_by_key(|(number, _)| *number)).map(|(number, _)| number)
    }

    /// What a period pays on a day, and the record that says so.
    fn limit_on(&self, period: &PeriodUse, day: Date) -> (Option<u64>, RecordId) {
        let within = self.within.iter().filter(|it| it.period == period.period && it.from <= day);
        let change = within.max_by_key(|it| it.from);
        change.map_or((period.limit, period.record), |it| (Some(it.limit), it.record))
    }

    fn period_mut(&mut self, number: u32, currency: &str) -> Option<&mut PeriodUse> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        let period = self.periods.get_mut(place)?;
        // Where there is no limit, the first amount says in which currency the
        // period counts, and others do not count.
        let counted = period.currency.get_or_insert_with(|| currency.to_owned());
        (counted.as_str() == currency).then_some(period)
    }

    /// Takes note of the currency of an amount that counts.
    pub(super) fn sees(&mut self, number: Option<u32>, currency: &str) {
        if let Some(number) = number {
            let _ = self.period_mut(number, currency);
        }
    }

    pub(super) fn spend(&mut self, number: u32, currency: &str, amount: u64) {
        if let Some(period) = self.period_mut(number, currency) {
            period.spent = period.spent.saturating_add(amount);
        }
    }

    pub(super) fn hold(&mut self, number: u32, currency: &str, amount: u64) {
        if let Some(period) = self.period_mut(number, currency) {
            period.held = period.held.saturating_add(amount);
        }
    }

    fn status(&self, time: Timestamp, zone: &TimeZone) -> ContractStatus {
        let Some(facts) = &self.facts else { return ContractStatus::NotIssued };
        let day = day_of(time, zone);
        if let Some(end) = &self.termination
            && end.effective.map_or(time >= end.occurred_at, |last| day > last)
        {
            return ContractStatus::Terminated;
        }
        let unsigned = facts.signed_at.is_none_or(|signed_at| time < signed_at);
        if facts.signature_required && unsigned {
            return ContractStatus::AwaitingSignature;
        }
        if day < facts.first_day {
            return ContractStatus::NotYetBegun;
        }
        ContractStatus::InForce
    }

    pub(super) fn finish(
        mut self,
        time: Timestamp,
        zone: &TimeZone,
        signed_at: Option<Timestamp>,
    ) -> ContractShown {
        let today = day_of(time, zone);
        if let Some(facts) = &mut self.facts {
            facts.signed_at = signed_at;
            if let Some((_, broker)) = self.brokers.iter().rev().find(|(from, _)| *from <= today) {
                facts.broker.clone_from(broker);
            }
        }
        let periods = self.periods.iter();
        let limits: Vec<_> =
            periods.map(|period| self.limit_on(period, today.max(period.from))).collect();
        for (period, limit) in self.periods.iter_mut().zip(limits) {
            (period.limit, period.record) = limit;
            let used = period.spent.saturating_add(period.held);
            period.left = period.limit.map(|limit| limit.saturating_sub(used));
        }
        let status = self.status(time, zone);
        let number = self.period_of(time, zone);
        let current = number
            .and_then(|number| self.periods.iter().find(|period| period.period == number).cloned());
        ContractShown {
            status,
            facts: self.facts,
            versions: self.versions,
            ceiling: current,
            periods: self.periods,
            premiums: self.premiums,
            termination: self.termination,
        }
    }
}

/// What [`ContractFold`] makes.
pub(super) struct ContractShown {
    pub(super) status: ContractStatus,
    pub(super) facts: Option<ContractFacts>,
    pub(super) versions: Vec<VersionShown>,
    pub(super) ceiling: Option<PeriodUse>,
    pub(super) periods: Vec<PeriodUse>,
    pub(super) premiums: Vec<Premium>,
    pub(super) termination: Option<Termination>,
}

fn days(from: Date, to: Date) -> String {
    format!("{from} to {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_which_little_is_known_says_no_more() {
        let value = |text: &str| Some(Value::Text(text.to_owned()));
        let change = |from, to| Change { property: "address".to_owned(), from, to }.to_string();
        assert_eq!(change(None, None), "address changed");
        assert_eq!(change(None, value("new")), "address: new");
        assert_eq!(change(value("old"), value("new")), "address: old → new");
        assert_eq!(change(value("old"), None), "address: no longer old");
    }
}
