//! What a payee received in a period, and what is still open.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    AsOf, AsOfShown, ClaimStatus, Line, Selection, Standing,
    claims::{ClaimFold, Used},
    day_of,
    holds::Holds,
    select, shown,
};
use crate::{
    digest::RecordId,
    insurance::{
        ClaimRef, ContractRef, Data,
        rules::{self, StatementFigures},
        settlement::PaymentStatus,
    },
    record::Record,
};

/// Who opened a claim: `policyholder` where the record declares its statement,
/// else the member that signed.
#[must_use]
pub fn opener_of(record: &Record) -> String {
    rules::opener_of(record).to_owned()
}

/// The payee whose statements a record is a part of: who is paid, or who opened
/// a claim.
#[must_use]
pub fn payee_of(record: &Record) -> Option<String> {
    match &record.payload().data {
        Data::PaymentRecorded(data) => Some(data.payee.to_string()),
        Data::ClaimOpened(_) => Some(opener_of(record)),
        _ => None,
    }
}

shown! {
    /// Whether a statement lists what it is made of.
    enum StatementLines {
        /// Every payment and every open claim.
        Listed = "listed",
        /// Neither: it is made of too many records. The figures are the ledger's own,
        /// by which it judges `statement.issued`.
        TooMany = "too_many",
    }
}

shown! {
    /// A payment in a statement.
    PaymentLine {
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// The day, in the insurer's time zone.
        day: Date,
        /// The insurer that pays.
        insurer: String,
        /// The claim it is for.
        claim: String,
        /// The contract.
        contract: String,
        /// `executed`, or `returned`, which counts against the sum.
        status: String,
        /// How much, in minor units.
        amount: u64,
        /// Of the amount.
        currency: String,
        /// Whether it is paid on account.
        on_account: bool,
        /// `late`, and the rules it breaks.
        flags: Vec<String>,
        /// The record that this one corrects.
        corrects: Option<RecordId>,
    }

    /// A claim that is open at the end of a statement's period.
    OpenClaim {
        /// The record that opened it.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// `<insurer>/<number>`.
        claim: String,
        /// The contract.
        contract: String,
        /// Where it stands.
        status: ClaimStatus,
        /// What was asked for, in minor units.
        claimed: Option<u64>,
        /// What is to be paid, in minor units, once that is known.
        payable: Option<u64>,
        /// What was paid for it, in minor units, to anybody.
        paid: i64,
        /// What of `payable`, or of `claimed` before a decision, is not paid.
        open: Option<u64>,
        /// Of the amounts, once one is known.
        currency: Option<String>,
    }

    /// The sums of a statement in one currency, in minor units.
    Total {
        /// The currency.
        currency: String,
        /// Payments executed, less those returned.
        paid_count: i64,
        /// Their sum.
        paid_sum: i64,
        /// Claims that are open and of which an amount is known; null where they are
        /// not listed.
        open_count: Option<u64>,
        /// What is open of them; null where they are not listed.
        open_sum: Option<u64>,
    }

    /// What a payee received from `from` to `to`, and what is open at the end of `to`.
    Statement {
        /// A member's id, or `policyholder`.
        payee: String,
        /// The first day, in the insurer's time zone.
        from: Date,
        /// The last day.
        to: Date,
        /// The insurer, where only its payments are asked for.
        insurer: Option<String>,
        /// The contract, where only its payments are asked for.
        contract: Option<String>,
        /// The moment.
        as_of: AsOfShown,
        /// Payments executed, less those returned.
        paid_count: i64,
        /// Claims that are open.
        open_count: u64,
        /// The sums, by currency.
        totals: Vec<Total>,
        /// Whether `payments` and `open` list what the figures are made of.
        lines: StatementLines,
        /// The payments executed or returned, in the order of the ledger; none where
        /// `lines` is `too_many`.
        payments: Vec<PaymentLine>,
        /// The open claims, in the order they were opened; none where `lines` is
        /// `too_many`.
        open: Vec<OpenClaim>,
    }
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementQuery {
    /// A member's id, or `policyholder`.
    pub payee: String,
    /// The first day, in the insurer's time zone.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Only what this insurer pays.
    pub insurer: Option<String>,
    /// Only what is paid under this contract.
    pub contract: Option<ContractRef>,
}

impl StatementQuery {
    /// Whether a record may be a part of the statement, as far as insurer and
    /// contract decide.
    #[must_use]
    pub fn lets_pass(&self, record: &Record) -> bool {
        let contract = record.payload().contract.as_ref();
        let insurer = contract.map(ContractRef::insurer);
        self.insurer.as_deref().is_none_or(|wanted| insurer == Some(wanted))
            && self.contract.as_ref().is_none_or(|wanted| contract == Some(wanted))
    }
}

/// The statement from every line that pays the payee, every line of the claims
/// that the payee opened, the answers that made the holds that these used, and
/// the corrections of all these, in the order of the ledger. Lines that are no part of it do no harm. `zone_of` gives the time
/// zone of an insurer.
#[must_use]
pub fn statement(
    query: &StatementQuery,
    lines: &[Line],
    as_of: AsOf,
    zone_of: impl Fn(&str) -> TimeZone,
) -> Statement {
    let Selection { standing, .. } = select(lines, as_of);
    let mut totals = Totals::default();
    let mut payments = Vec::new();
    let mut claims: BTreeMap<&str, Opened<'_>> = BTreeMap::new();
    let mut holds: BTreeMap<&str, Holds> = BTreeMap::new();
    for (place, standing) in standing.iter().enumerate() {
        let payload = standing.payload();
        if let (Data::PreauthorisationAnswered(data), Some(contract)) =
            (standing.data(), &payload.contract)
        {
            holds.entry(contract.as_str()).or_default().answered(standing, data, None);
        }
        let (Some(contract), Some(claim)) = (&payload.contract, &payload.claim) else { continue };
        if !query.lets_pass(&standing.line.record) {
            continue;
        }
        let zone = zone_of(contract.insurer());
        let day = day_of(standing.at, &zone);
        if let Data::PaymentRecorded(data) = standing.data()
            && data.payee.as_str() == query.payee
            && (query.from..=query.to).contains(&day)
            && data.status != PaymentStatus::Ordered
        {
            let line = payment_line(standing, contract, claim, day);
            totals.pay(&line);
            payments.push(line);
        }
        let opened = claims
            .entry(claim.as_str())
            .or_insert_with(|| Opened::new(claim, contract, as_of, &zone, place));
        let used = match standing.data() {
            Data::ClaimOpened(data) => data.preauthorisation.as_ref().and_then(|number| {
                holds.get_mut(contract.as_str())?.claimed(standing, number.as_str())
            }),
            _ => None,
        };
        if day <= query.to {
            opened.take(standing, place, used.as_ref());
        }
    }
    let mut claims: Vec<_> = claims.into_values().collect();
    claims.sort_by_key(|opened| opened.place);
    let time = as_of.time();
    let open: Vec<OpenClaim> =
        claims.into_iter().filter_map(|opened| opened.finish(query, time)).collect();
    open.iter().for_each(|claim| totals.open(claim));
    Statement {
        payee: query.payee.clone(),
        from: query.from,
        to: query.to,
        insurer: query.insurer.clone(),
        contract: query.contract.as_ref().map(ToString::to_string),
        as_of: as_of.into(),
        paid_count: payments.iter().map(|line| sign(&line.status)).sum(),
        open_count: open.len() as u64,
        totals: totals.0.into_values().collect(),
        lines: StatementLines::Listed,
        payments,
        open,
    }
}

/// A statement without its lines, from the figures of each insurer, or of the
/// contract, that it is about. They are those of now: `as_of` tells when that is.
#[must_use]
pub fn statement_of_figures(
    query: &StatementQuery,
    figures: &[StatementFigures],
    as_of: AsOf,
) -> Statement {
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    for paid in figures.iter().flat_map(|figures| &figures.paid) {
        let total = totals.entry(paid.currency.code()).or_insert_with(|| Total {
            currency: paid.currency.code().to_owned(),
            paid_count: 0,
            paid_sum: 0,
            open_count: None,
            open_sum: None,
        });
        total.paid_count = total.paid_count.saturating_add(paid.count);
        total.paid_sum = total.paid_sum.saturating_add(paid.sum);
    }
    let open = figures.iter().map(|figures| figures.open_count).fold(0, i64::saturating_add);
    Statement {
        payee: query.payee.clone(),
        from: query.from,
        to: query.to,
        insurer: query.insurer.clone(),
        contract: query.contract.as_ref().map(ToString::to_string),
        as_of: as_of.into(),
        paid_count: totals.values().map(|total| total.paid_count).fold(0, i64::saturating_add),
        open_count: u64::try_from(open).unwrap_or(0),
        totals: totals.into_values().collect(),
        lines: StatementLines::TooMany,
        payments: Vec::new(),
        open: Vec::new(),
    }
}

/// A payment that came back counts against the others.
fn sign(status: &str) -> i64 {
    if status == PaymentStatus::Returned.as_str() { -1 } else { 1 }
}

fn payment_line(
    standing: &Standing<'_>,
    contract: &ContractRef,
    claim: &ClaimRef,
    day: Date,
) -> PaymentLine {
    let (amount, currency, status, on_account) = match standing.data() {
        Data::PaymentRecorded(data) => (
            data.amount.minor_units(),
            data.currency.code().to_owned(),
            data.status.as_str().to_owned(),
            data.on_account == Some(true),
        ),
        _ => Default::default(),
    };
    PaymentLine {
        record: standing.id(),
        occurred_at: standing.at,
        day,
        insurer: contract.insurer().to_owned(),
        claim: claim.to_string(),
        contract: contract.to_string(),
        status,
        amount,
        currency,
        on_account,
        flags: standing.line.marks(),
        corrects: standing.payload().corrects,
    }
}

#[derive(Default)]
struct Totals(BTreeMap<String, Total>);

impl Totals {
    fn of(&mut self, currency: &str) -> &mut Total {
        self.0.entry(currency.to_owned()).or_insert_with(|| Total {
            currency: currency.to_owned(),
            paid_count: 0,
            paid_sum: 0,
            open_count: Some(0),
            open_sum: Some(0),
        })
    }

    fn pay(&mut self, line: &PaymentLine) {
        let total = self.of(&line.currency);
        let signed = i64::try_from(line.amount).unwrap_or(i64::MAX) * sign(&line.status);
        total.paid_count += sign(&line.status);
        // Amounts are below 2^53; a thousand of the largest fit.
        total.paid_sum = total.paid_sum.saturating_add(signed);
    }

    fn open(&mut self, claim: &OpenClaim) {
        if let (Some(currency), Some(open)) = (&claim.currency, claim.open) {
            let total = self.of(currency);
            total.open_count = total.open_count.map(|count| count.saturating_add(1));
            total.open_sum = total.open_sum.map(|sum| sum.saturating_add(open));
        }
    }
}

/// A claim while its records are taken in, those that had happened by the end of the
/// statement's last day.
struct Opened<'a> {
    claim: &'a ClaimRef,
    contract: &'a ContractRef,
    fold: ClaimFold,
    /// The place of the record that opened it.
    place: usize,
}

impl<'a> Opened<'a> {
    fn new(
        claim: &'a ClaimRef,
        contract: &'a ContractRef,
        as_of: AsOf,
        zone: &TimeZone,
        place: usize,
    ) -> Self {
        let fold = ClaimFold::new(claim.as_str(), contract.as_str(), as_of.into(), zone);
        Self { claim, contract, fold, place }
    }

    fn take(&mut self, standing: &Standing<'_>, place: usize, used: Option<&Used>) {
        match standing.data() {
            Data::ClaimOpened(data) => {
                self.place = place;
                self.fold.opened(standing, data, None, used);
            }
            _ => self.fold.take(standing),
        }
    }

    /// The claim, where that payee opened it and it is open.
    fn finish(self, query: &StatementQuery, time: Timestamp) -> Option<OpenClaim> {
        if self.fold.opened_by() != Some(query.payee.as_str()) || !self.fold.is_open() {
            return None;
        }
        let view = self.fold.finish(time);
        let paid = u64::try_from(view.paid).unwrap_or(0);
        Some(OpenClaim {
            record: view.opened?,
            occurred_at: view.opened_at?,
            claim: self.claim.to_string(),
            contract: self.contract.to_string(),
            status: view.status,
            claimed: view.claimed,
            payable: view.payable,
            paid: view.paid,
            open: view.payable.or(view.claimed).map(|sum| sum.saturating_sub(paid)),
            currency: view.currency,
        })
    }
}
