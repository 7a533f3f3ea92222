//! Rules of contracts: quotes, applications, versions, periods, the end.

use super::{
    case::{Case, Verdict, refuse},
    figures::{figure, unit},
    time::{day_of, time_zone_of_insurer},
};
use crate::{
    digest::RecordId,
    insurance::{
        Amount, AmountOrText, Code as Name, ContractRef, Currency, Day, Ordinal, Period as Days,
        contract::{
            ConsentRecorded, ContractAmended, ContractApplied, ContractChangeRequested,
            ContractIssued, ContractPremium, ContractQuoted, ContractRenewed, ContractTerminated,
        },
        state::{
            entities::{
                BrokerChange, CeilingAgreed, CeilingRequest, Contract, Mark, Named, Period,
                Referral, Termination,
            },
            keys::{self, Key},
        },
    },
    limits::{BROKER_CHANGES_MAX, PERIOD_CEILINGS_AGREED_MAX, PERIOD_CEILINGS_REQUESTED_MAX},
    membership::MemberId,
    record::Record,
    refusal::Code,
    time_zones::time_zone,
};

/// How long before a period ends a ceiling change is to be asked for, in days.
const NOTICE_DAYS: i32 = 42;

/// What a contract with a deductible that moves must hold, one or the other.
const MODULES: [&[&str]; 2] =
    [&["private", "employment", "traffic"], &["company", "traffic", "property"]];

impl Case<'_, '_> {
    /// Remembers that a number was given; a number given twice means the first.
    fn name(&mut self, key: Key<Named>) -> Verdict {
        if self.state.holds(&key)? {
            return Ok(());
        }
        let record = self.record.id();
        self.state.write(key, &Named { record })
    }

    fn check_named(&mut self, key: &Key<Named>, field: &str, what: &str, number: &Name) -> Verdict {
        if self.state.holds(key)? {
            return Ok(());
        }
        refuse(Code::UnknownReference, field, format!("the ledger holds no {what} {number}"))
    }

    pub(super) fn contract_quoted(&mut self, data: &ContractQuoted) -> Verdict {
        self.name(keys::quote(&data.quote))
    }

    pub(super) fn contract_applied(&mut self, data: &ContractApplied) -> Verdict {
        if let Some(quote) = &data.quote {
            self.check_named(&keys::quote(quote), "data.quote", "quote", quote)?;
        }
        self.name(keys::application(&data.application))
    }

    pub(super) fn consent_recorded(&mut self, data: &ConsentRecorded) -> Verdict {
        self.name(keys::consent(&data.consent))
    }

    pub(super) fn contract_issued(&mut self, data: &ContractIssued) -> Verdict {
        let named = self.contract_ref()?;
        let zone = self.time_zone_of_issued(data, named)?;
        if let Some(number) = &data.application {
            let key = keys::application(number);
            self.check_named(&key, "data.application", "application", number)?;
        }
        if let Some(number) = &data.referral {
            self.check_named(&keys::consent(number), "data.referral", "consent", number)?;
        }
        let before: Option<Contract> = self.state.read(&keys::contract(named))?;
        if let Some(before) = before.as_ref().filter(|_| !self.corrects()) {
            let detail = format!("contract {named} was issued by record {}", before.issued);
            return refuse(Code::ContractExists, "contract", detail);
        }
        if data.version.get() != 1 {
            let detail = format!("an issued contract has version 1, not {}", data.version.get());
            return refuse(Code::VersionGap, "data.version", detail);
        }
        check_modules(data)?;
        self.check_ladder_of_issued(data, named)?;
        let ceiling = (data.annual_ceiling, data.currency);
        self.begin_period(named, 1, data.period, ceiling, Vec::new())?;
        let record = self.record.id();
        let contract = Contract {
            issued: record,
            version: data.version,
            made_by: record,
            made_at: self.at(),
            made_before: None,
            time_zone: zone,
            first_day: data.period.from(),
            period: 1,
            broker: data.broker.clone(),
            broker_changes: Vec::new(),
            deductible_model: data.deductible_model,
            signature_required: data.signature_required,
            signed_at: None,
            terminated: before.as_ref().and_then(|before| before.terminated.clone()),
        };
        if let Some(before) = &before {
            self.check_still_covers(before, &contract)?;
        }
        self.state.write(keys::contract(named), &contract)?;
        match &data.referral {
            Some(referral) => self.count_referral(referral),
            None => Ok(()),
        }
    }

    /// Counts a contract that was issued on a referral.
    fn count_referral(&mut self, number: &Name) -> Verdict {
        let key = keys::referral(number);
        let mut referral = self.state.read(&key)?.unwrap_or(Referral { contracts: 0 });
        referral.contracts = referral.contracts.saturating_add(1);
        self.state.write(key, &referral)
    }

    /// The name of the time zone in which the contract will count days.
    fn time_zone_of_issued(&self, data: &ContractIssued, named: &ContractRef) -> Verdict<Name> {
        let Some(name) = &data.time_zone else {
            let name = time_zone_of_insurer(self.membership, named.insurer());
            return match name.parse() {
                Ok(name) => Ok(name),
                Err(_) => refuse(Code::Malformed, "contract", format!("{name:?} is no time zone")),
            };
        };
        if time_zone(name.as_str()).is_some() {
            return Ok(name.clone());
        }
        let detail = format!("{name} is no time zone (IANA), such as Europe/Brussels");
        refuse(Code::Malformed, "data.time_zone", detail)
    }

    /// That a corrected contract keeps the model of a deductible that was set.
    fn check_ladder_of_issued(&mut self, data: &ContractIssued, named: &ContractRef) -> Verdict {
        if !self.corrects() {
            return Ok(());
        }
        match self.state.read(&keys::ladder(named))? {
            Some(ladder) if Some(ladder.model) != data.deductible_model => {
                let detail = format!(
                    "record {} set a deductible of the model {}; the contract keeps that model",
                    ladder.last().map(|step| step.record.to_string()).unwrap_or_default(),
                    ladder.model.as_str()
                );
                refuse(Code::LadderStep, "data.deductible_model", detail)
            }
            _ => Ok(()),
        }
    }

    /// Begins a period, or makes one again with what was used of it.
    fn begin_period(
        &mut self,
        named: &ContractRef,
        number: u32,
        days: Days,
        (ceiling, currency): (Option<Amount>, Option<Currency>),
        ceilings_agreed: Vec<CeilingAgreed>,
    ) -> Verdict {
        let kept = self.kept.period.take();
        let mut period = Period {
            made_by: self.record.id(),
            from: days.from(),
            to: days.to(),
            ceiling,
            currency: ceiling.and(currency),
            spent: Amount::ZERO,
            spending: Vec::new(),
            spent_before: 0,
            spent_since: None,
            holds: Vec::new(),
            ceilings_requested: Vec::new(),
            ceilings_agreed,
            ceilings_within: Vec::new(),
            newest: None,
        };
        if let Some(kept) = kept {
            let (made_by, from, to) = (period.made_by, period.from, period.to);
            let (currency, counted) = (period.currency, kept.currency);
            let (ceilings_agreed, ceilings_within) = (period.ceilings_agreed, Vec::new());
            period = Period {
                made_by,
                from,
                to,
                ceiling,
                currency,
                ceilings_agreed,
                ceilings_within,
                ..kept
            };
            let used = period.is_used();
            if ceiling.is_none() {
                period.currency = counted.filter(|_| used);
            } else if used {
                check_currency(period.currency, counted, "data.currency")?;
            }
            self.check_ceiling(&period, "data.annual_ceiling", None)?;
        }
        self.state.write(keys::period(named, number), &period)
    }

    pub(super) fn contract_change_requested(&mut self, data: &ContractChangeRequested) -> Verdict {
        if data.change.as_str() != "ceiling" {
            return Ok(());
        }
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        let mut period = self.period(named, contract.period)?;
        let day = day_of(self.at(), &contract.zone());
        let last = period.to.plus_days(-NOTICE_DAYS);
        if last.is_none_or(|last| day > last) {
            self.refuse_or_flag(Code::NoticeTooLate, "occurred_at", || {
                let last = last.map(|last| last.to_string()).unwrap_or_default();
                format!(
                    "received on {day}; for the period that ends on {} (record {}) a ceiling \
                     change is to be asked for by {last}, {NOTICE_DAYS} days before",
                    period.to, period.made_by
                )
            })?;
        }
        if let Some(AmountOrText::Amount(to)) = data.to {
            period.request_ceiling(self.record, to);
            self.state.write(keys::period(named, contract.period), &period)?;
        }
        Ok(())
    }

    pub(super) fn contract_amended(&mut self, data: &ContractAmended) -> Verdict {
        let (named, mut contract) = (self.contract_ref()?, self.contract()?);
        self.check_version(&contract, data.version)?;
        self.check_in_force(&contract)?;
        match data.change.as_str() {
            "ceiling" => self.amend_ceiling(data, named, &contract)?,
            "broker" => {
                let day = day_of(self.at(), &contract.zone());
                amend_broker(data, day, &mut contract)?;
            }
            _ => {}
        }
        self.make_version(&mut contract, data.version);
        self.state.write(keys::contract(named), &contract)
    }

    /// A ceiling agreed for after the period is what the next one starts with. Inside the
    /// period it holds from its day on, where the genesis lets it pass.
    fn amend_ceiling(
        &mut self,
        data: &ContractAmended,
        named: &ContractRef,
        contract: &Contract,
    ) -> Verdict {
        let mut period = self.period(named, contract.period)?;
        let within = data.effective <= period.to;
        if within {
            self.refuse_or_flag(Code::ChangeOnlyAtPeriodEnd, "data.effective", || {
                format!(
                    "the ceiling can change from the day after {}, the last day of the period \
                     (record {})",
                    period.to, period.made_by
                )
            })?;
        }
        let (Some(AmountOrText::Amount(to)), Some(currency)) = (&data.to, data.currency) else {
            return Ok(());
        };
        if period.has_ceiling() || within && period.is_used() {
            check_currency(Some(currency), period.currency, "data.currency")?;
        }
        let changes =
            if within { &mut period.ceilings_within } else { &mut period.ceilings_agreed };
        if changes.len() >= PERIOD_CEILINGS_AGREED_MAX {
            let detail = format!(
                "the ledger remembers {PERIOD_CEILINGS_AGREED_MAX} changes of the ceiling until \
                 the contract is renewed"
            );
            return refuse(Code::TooLarge, "data.change", detail);
        }
        let record = self.record.id();
        changes.push(CeilingAgreed { record, from: data.effective, amount: *to, currency });
        if within {
            period.currency = Some(currency);
            self.check_ceiling(&period, "data.to", None)?;
        }
        self.state.write(keys::period(named, contract.period), &period)
    }

    pub(super) fn contract_renewed(&mut self, data: &ContractRenewed) -> Verdict {
        let (named, mut contract) = (self.contract_ref()?, self.contract()?);
        self.check_version(&contract, data.version)?;
        let last = self.period(named, contract.period)?;
        let next = last.to.plus_days(1);
        if next != Some(data.period.from()) {
            let detail = format!(
                "the last period ends on {} (record {}), so the next one begins on {}, not on {}",
                last.to,
                last.made_by,
                next.map(|next| next.to_string()).unwrap_or_default(),
                data.period.from()
            );
            return refuse(Code::PeriodGap, "data.period.from", detail);
        }
        if let Some(end) = &contract.terminated {
            let detail = format!("the contract was terminated by record {}", end.record);
            return refuse(Code::PolicyNotInForce, "contract", detail);
        }
        let ceiling = ceiling_of_renewed(data, &last)?;
        let Some(number) = contract.period.checked_add(1) else {
            return refuse(Code::TooLarge, "contract", "the contract has too many periods");
        };
        let mut agreed = last.ceilings_agreed;
        agreed.retain(|agreed| agreed.from > data.period.from());
        self.begin_period(named, number, data.period, ceiling, agreed)?;
        contract.period = number;
        self.make_version(&mut contract, data.version);
        self.state.write(keys::contract(named), &contract)
    }

    pub(super) fn contract_terminated(&mut self, data: &ContractTerminated) -> Verdict {
        const MISSING_DOCUMENTS: &str = "missing_documents";
        let (named, mut contract) = (self.contract_ref()?, self.contract()?);
        if let Some(end) = &contract.terminated {
            let detail = format!("the contract was terminated before, by record {}", end.record);
            return refuse(Code::PolicyNotInForce, "contract", detail);
        }
        let mut due = None;
        if data.reason.as_str() == MISSING_DOCUMENTS {
            // Whether documents were missing was decided on what is corrected.
            let day = match self.kept.due {
                Some(due) => due,
                None => self.first_due(named)?,
            };
            self.check_deadline_passed(day, data.effective, &contract)?;
            due = Some(day);
        }
        let (record, at) = (self.record.id(), self.at());
        contract.terminated = Some(Termination { record, at, effective: data.effective, due });
        if let Some(before) = self.kept.contract.take() {
            self.check_still_covers(&before, &contract)?;
        }
        self.state.write(keys::contract(named), &contract)
    }

    pub(super) fn contract_premium(&mut self, data: &ContractPremium) -> Verdict {
        if data.direct_debit == Some(true) {
            self.check_green("data.direct_debit", "a direct debit")?;
        }
        Ok(())
    }
}

/// The ceiling with which a period starts that follows the last: the one that it
/// names, which is agreed or was asked for; else the one agreed, or as it was.
fn ceiling_of_renewed(
    data: &ContractRenewed,
    last: &Period,
) -> Verdict<(Option<Amount>, Option<Currency>)> {
    let agreed = last.agreed_for(data.period.from());
    let (before, currency, by) = match agreed {
        Some(agreed) => (Some(agreed.amount), Some(agreed.currency), agreed.record),
        None => match last.limit_on(last.to) {
            Some((limit, by)) => (Some(limit), last.currency, by),
            None => (None, None, last.made_by),
        },
    };
    let Some(named) = data.annual_ceiling else { return Ok((before, currency)) };
    if before != Some(named)
        && !last.ceilings_requested.iter().any(|requested| requested.amount == named)
    {
        let what =
            if agreed.is_some() { "the ceiling agreed for it is" } else { "the ceiling was" };
        let before = match (before, currency) {
            (Some(before), Some(currency)) => {
                format!("{what} {} {}", figure(before), unit(currency))
            }
            _ => "there was no ceiling".to_owned(),
        };
        let detail = format!(
            "{before} (record {by}), and nobody asked for {} in the period before",
            figure(named)
        );
        return refuse(Code::NoChangeRequest, "data.annual_ceiling", detail);
    }
    check_currency(data.currency, currency, "data.currency")?;
    Ok((Some(named), data.currency))
}

/// From its day on another broker administers the contract, or none.
fn amend_broker(data: &ContractAmended, today: Day, contract: &mut Contract) -> Verdict {
    let broker = match &data.to {
        None => None,
        Some(AmountOrText::Text(broker)) => match broker.as_str().parse::<Name>() {
            Ok(broker) => Some(broker),
            Err(error) => return refuse(Code::Malformed, "data.to", error.to_string()),
        },
        Some(AmountOrText::Amount(_)) => {
            return refuse(Code::Malformed, "data.to", "a broker is named by its id, a text");
        }
    };
    if contract.broker_changes.len() >= BROKER_CHANGES_MAX {
        let oldest = contract.broker_changes.remove(0);
        if oldest.from > today {
            let detail = format!(
                "{BROKER_CHANGES_MAX} changes of the broker are remembered, and the oldest is to \
                 come on {}",
                oldest.from
            );
            return refuse(Code::TooLarge, "data.change", detail);
        }
        contract.broker = oldest.broker;
    }
    contract.broker_changes.push(BrokerChange { from: data.effective, broker });
    Ok(())
}

impl Period {
    /// Remembers a ceiling that was asked for. By asking often nobody makes it forget
    /// what another has asked for: it forgets the signer's own oldest, or the oldest of
    /// whoever has the most.
    fn request_ceiling(&mut self, record: &Record, amount: Amount) {
        let (id, by) = (record.id(), record.signer().clone());
        let asked = &self.ceilings_requested;
        if asked.len() >= PERIOD_CEILINGS_REQUESTED_MAX {
            let count = |by: &MemberId| asked.iter().filter(|request| request.by == *by).count();
            let most = asked.iter().map(|request| count(&request.by)).max();
            let own = asked.iter().position(|request| request.by == by);
            let oldest = own.or_else(|| asked.iter().position(|it| Some(count(&it.by)) == most));
            self.ceilings_requested.remove(oldest.unwrap_or(0));
        }
        self.ceilings_requested.push(CeilingRequest { record: id, by, amount });
    }

    /// Forgets that a record asked for one. Whether it was remembered.
    pub(super) fn withdraw_ceiling(&mut self, record: RecordId) -> bool {
        let before = self.ceilings_requested.len();
        self.ceilings_requested.retain(|requested| requested.record != record);
        self.ceilings_requested.len() < before
    }

    /// What is agreed for a period that begins on that day: of all that can hold by
    /// then what holds from the latest day on, and of one day the newest.
    fn agreed_for(&self, day: Day) -> Option<&CeilingAgreed> {
        let by_then = self.ceilings_agreed.iter().filter(|agreed| agreed.from <= day);
        by_then.max_by_key(|agreed| agreed.from)
    }
}

impl Case<'_, '_> {
    /// That a version follows the newest one, in number and in time.
    fn check_version(&self, contract: &Contract, version: Ordinal) -> Verdict {
        if version != contract.version.next() {
            let detail = format!(
                "the contract has version {} (record {}), so the next one is {}, not {}",
                contract.version.get(),
                contract.made_by,
                contract.version.next().get(),
                version.get()
            );
            return refuse(Code::VersionGap, "data.version", detail);
        }
        let mark = Mark { record: contract.made_by, at: contract.made_at };
        self.check_not_before(Code::VersionGap, "the version before it was made", &mark)
    }

    /// Makes the next version, with the record at hand.
    fn make_version(&self, contract: &mut Contract, version: Ordinal) {
        contract.version = version;
        contract.made_before = Some(Mark { record: contract.made_by, at: contract.made_at });
        (contract.made_by, contract.made_at) = (self.record.id(), self.at());
    }
}

fn check_modules(data: &ContractIssued) -> Verdict {
    let Some(model) = data.deductible_model else { return Ok(()) };
    let taken = |module: &&str| {
        data.modules.as_ref().is_some_and(|taken| taken.iter().any(|name| name.as_str() == *module))
    };
    if MODULES.iter().any(|modules| modules.iter().all(taken)) {
        return Ok(());
    }
    let detail = format!(
        "the deductible model {} needs the modules private, employment and traffic, or company, \
         traffic and property",
        model.as_str()
    );
    refuse(Code::ModuleCombination, "data.modules", detail)
}

/// That an amount is in the currency that is known already.
pub(super) fn check_currency(
    given: Option<Currency>,
    known: Option<Currency>,
    field: &str,
) -> Verdict {
    match (given, known) {
        (Some(given), Some(known)) if given != known => {
            let detail = format!("the currency is {} so far, not {}", known.code(), given.code());
            refuse(Code::CurrencyMismatch, field, detail)
        }
        _ => Ok(()),
    }
}
