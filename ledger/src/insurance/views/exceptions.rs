//! What people should look at: records that are flagged, late or corrected, and
//! what was not done in time.
//!
//! Each exception is listed with the record from which it follows: a hold that
//! expired with the answer that made it, a claim that waits with the record that
//! opened it. So every record of a period is looked at once, and what follows
//! from it is found in the dossier of its contract.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    AsOf, ClaimView, Deadline, DeadlineKind, DeadlineState, Dossier, Line, Preauthorisation,
    dossier::Fold,
    money, select, shown,
    time::{hours_after, timestamp_of_ms},
};
use crate::{
    digest::RecordId,
    insurance::{ContractRef, Data, rules, settlement::PaymentStatus},
    limits::EXCEPTION_OTHERS_MAX,
    membership::{MemberId, Membership, Role},
    record::Record,
};

/// Days before a payment in which a change of the bank account is looked at (DOMAIN).
const BANK_CHANGE_DAYS: i64 = 30;

/// Hours for which a claim, like a hold, stands for what a provider does now.
const SAME_TREATMENT_HOURS: i64 = 24;

shown! {
    /// What people should look at.
    enum ExceptionKind {
        /// The record breaks a rule that this ledger flags instead of refusing.
        Flagged = "flagged",
        /// It was recorded more than an hour after it happened.
        Late = "late",
        /// It corrects another record.
        Corrected = "corrected",
        /// A hold that it made expired, and nobody claimed it.
        HoldExpired = "hold_expired",
        /// An offer that it notified was not answered within 30 days.
        OfferOverdue = "offer_overdue",
        /// A claim that it opened was not handled within 48 hours.
        HandlingOverdue = "handling_overdue",
        /// What it decided or agreed was not paid in full within 30 days.
        PaymentOverdue = "payment_overdue",
        /// A payment to the policyholder within 30 days after a change of the bank account.
        BankChange = "bank_change",
        /// A hold or a claim of a provider while another provider has one on the same contract.
        TwoProviders = "two_providers",
    }
}

shown! {
    /// Something that people should look at.
    Exception {
        /// What kind of thing.
        kind: ExceptionKind,
        /// The record from which it follows.
        record: RecordId,
        /// Its place among all records, from 0.
        index: u64,
        /// When its block was made.
        block_time: Timestamp,
        /// When it happened, as the signer claims.
        occurred_at: Timestamp,
        /// What kind of record it is.
        #[serde(rename = "type")]
        record_type: String,
        /// Who signed it.
        signer: String,
        /// The contract it names.
        contract: Option<String>,
        /// The claim it names.
        claim: Option<String>,
        /// Other records that it concerns; of very many the newest.
        others: Vec<RecordId>,
        /// The codes, where it is flagged.
        flags: Vec<String>,
        /// What it is, for people.
        sentence: String,
    }
}

impl Exception {
    fn new(kind: ExceptionKind, line: &Line, others: Vec<RecordId>, sentence: String) -> Self {
        let payload = line.record.payload();
        Self {
            kind,
            record: line.record.id(),
            index: line.index,
            block_time: timestamp_of_ms(line.block_time_ms),
            occurred_at: payload.occurred_at,
            record_type: payload.record_type.as_str().to_owned(),
            signer: line.record.signer().to_string(),
            contract: payload.contract.as_ref().map(ToString::to_string),
            claim: payload.claim.as_ref().map(ToString::to_string),
            others,
            flags: line.marks(),
            sentence,
        }
    }
}

/// What a record shows by itself: that it is flagged, late, or a correction.
#[must_use]
pub fn of_record(line: &Line) -> Vec<Exception> {
    let mut found = Vec::new();
    let payload = line.record.payload();
    if !line.flags.is_empty() {
        let codes: Vec<_> = line.flags.iter().map(|code| code.as_str()).collect();
        let sentence =
            format!("{} was accepted though it breaks {}", payload.record_type, codes.join(", "));
        found.push(Exception::new(ExceptionKind::Flagged, line, Vec::new(), sentence));
    }
    if line.is_late() {
        let recorded = timestamp_of_ms(line.block_time_ms);
        let sentence = format!(
            "{} was recorded {} after it happened",
            payload.record_type,
            duration(recorded.duration_since(payload.occurred_at).as_secs())
        );
        found.push(Exception::new(ExceptionKind::Late, line, Vec::new(), sentence));
    }
    if let Some(corrected) = payload.corrects {
        let sentence = format!("{} stands in the place of record {corrected}", payload.record_type);
        found.push(Exception::new(ExceptionKind::Corrected, line, vec![corrected], sentence));
    }
    found
}

/// Whether the dossier of its contract has to be looked at to find what follows
/// from a record.
#[must_use]
pub fn follow_up(line: &Line) -> bool {
    match &line.record.payload().data {
        Data::PreauthorisationAnswered(_)
        | Data::ClaimOpened(_)
        | Data::ClaimDecided(_)
        | Data::SettlementNotified(_)
        | Data::SettlementAnswered(_) => true,
        Data::PaymentRecorded(data) => data.status == PaymentStatus::Executed,
        _ => false,
    }
}

/// The dossier of a contract as far as exceptions follow from it.
#[derive(Debug)]
pub struct Consequences {
    dossier: Dossier,
    claims: Vec<ClaimView>,
    /// The providers that opened claims, each by the record that opens it.
    openers: HashMap<RecordId, String>,
}

/// Whether a member is a provider, or was one while it was on the ledger.
#[must_use]
pub fn is_provider(membership: &Membership, member: &MemberId) -> bool {
    membership.past(member).is_some_and(|member| member.role == Role::Provider)
}

impl Consequences {
    /// From the lines that name the contract, in the order of the ledger;
    /// `is_provider` tells of each member whether it is one.
    #[must_use]
    pub fn new(
        contract: &ContractRef,
        lines: &[Line],
        as_of: AsOf,
        zone: &jiff::tz::TimeZone,
        is_provider: impl Fn(&MemberId) -> bool,
    ) -> Self {
        let selection = select(lines, as_of);
        let opens = |record: &&Record| {
            matches!(record.payload().data, Data::ClaimOpened(_))
                && rules::opener_of(record) != rules::POLICYHOLDER
                && is_provider(record.signer())
        };
        let standing = selection.standing.iter().map(|standing| &standing.line.record);
        let openers = standing.filter(opens);
        let openers = openers.map(|record| (record.id(), record.signer().to_string())).collect();
        let mut fold = Fold::new(contract, as_of, zone, &selection);
        selection.standing.iter().for_each(|standing| fold.take(standing));
        let (dossier, claims) = fold.finish(&selection);
        Self { dossier, claims, openers }
    }

    /// What follows from a record of the contract that still counts.
    #[must_use]
    pub fn of(&self, line: &Line) -> Vec<Exception> {
        let id = line.record.id();
        let mut found = Vec::new();
        self.expired_hold(line, id, &mut found);
        let claims = self.claims.iter();
        for (claim, deadline) in
            claims.flat_map(|claim| claim.deadlines.iter().map(move |deadline| (claim, deadline)))
        {
            if deadline.from == id
                && matches!(deadline.state, DeadlineState::Late | DeadlineState::Overdue)
            {
                found.extend(missed(line, claim, deadline));
            }
        }
        self.bank_change(line, id, &mut found);
        self.two_providers(line, id, &mut found);
        found
    }

    fn expired_hold(&self, line: &Line, id: RecordId, found: &mut Vec<Exception>) {
        use super::PreauthorisationState;
        let held = self.dossier.preauthorisations.iter();
        for held in held.filter(|held| held.answered_by == Some(id)) {
            if held.state == PreauthorisationState::Expired {
                let sentence = format!(
                    "the hold of {} for pre-authorisation {} expired, and nobody claimed it",
                    money::amount(held.guaranteed.unwrap_or(0), held.currency.as_deref()),
                    held.preauthorisation
                );
                let others = held.requested_by.into_iter().collect();
                found.push(Exception::new(ExceptionKind::HoldExpired, line, others, sentence));
            }
        }
    }

    /// The same risk at two providers: whoever guaranteed or opened the later of
    /// the two may not know of the earlier one.
    fn two_providers(&self, line: &Line, id: RecordId, found: &mut Vec<Exception>) {
        let uses = self.uses();
        let Some(later) = uses.iter().find(|of| of.record == id && !of.on_hold) else { return };
        let earlier = |of: &&Use<'_>| {
            of.record != id && of.provider != later.provider && of.covers(later.from)
        };
        let others: Vec<_> = uses.iter().filter(earlier).collect();
        let Some(last) = others.last() else { return };
        let sentence = format!(
            "{} has {} while {} has {} on the same contract",
            later.provider, later.what, last.provider, last.what
        );
        let first = others.len().saturating_sub(EXCEPTION_OTHERS_MAX);
        let others = others.iter().skip(first).map(|of| of.record).collect();
        found.push(Exception::new(ExceptionKind::TwoProviders, line, others, sentence));
    }

    /// What providers hold and claim of the contract, holds first.
    fn uses(&self) -> Vec<Use<'_>> {
        let holds = self.dossier.preauthorisations.iter().filter(|held| held.guaranteed > Some(0));
        let of_hold = |held: &'_ Preauthorisation| {
            let until = held.hold_until?;
            Some((
                held.answered_by?,
                held.answered_at?,
                held.ended_at.map_or(until, |it| it.min(until)),
            ))
        };
        let mut uses: Vec<_> = holds
            .filter_map(|held| {
                let (record, from, to) = of_hold(held)?;
                let (provider, what) = (held.provider.as_deref()?, "a hold");
                Some(Use { record, provider, what, from, to, on_hold: false })
            })
            .collect();
        let of_claim = |claim: &'_ ClaimView| Some((claim.opened?, claim.opened_at?));
        let claims = self.claims.iter().filter_map(|claim| {
            let (record, from) = of_claim(claim)?;
            let provider = self.openers.get(&record)?;
            let to = hours_after(from, SAME_TREATMENT_HOURS);
            let on_hold = claim.guaranteed.is_some();
            Some(Use { record, provider, what: "a claim", from, to, on_hold })
        });
        uses.extend(claims);
        uses
    }

    fn bank_change(&self, line: &Line, id: RecordId, found: &mut Vec<Exception>) {
        let payments = self.claims.iter().flat_map(|claim| &claim.payments);
        let executed = PaymentStatus::Executed.as_str();
        let Some(payment) = payments.into_iter().find(|payment| {
            payment.record == id
                && payment.status == executed
                && payment.payee == rules::POLICYHOLDER
        }) else {
            return;
        };
        let since = |at: Timestamp| payment.occurred_at.duration_since(at);
        let limit = jiff::SignedDuration::from_hours(24 * BANK_CHANGE_DAYS);
        let changes: Vec<_> = self
            .dossier
            .party_updates
            .iter()
            .filter(|change| change.what == "bank")
            .filter(|change| {
                (jiff::SignedDuration::ZERO..=limit).contains(&since(change.occurred_at))
            })
            .collect();
        if let Some(last) = changes.last() {
            let sentence = format!(
                "{} was paid to the policyholder {} after the bank account changed{}",
                money::amount(payment.amount, Some(&payment.currency)),
                duration(since(last.occurred_at).as_secs()),
                if last.confirmed { ", which was confirmed" } else { ", which was not confirmed" }
            );
            let first = changes.len().saturating_sub(EXCEPTION_OTHERS_MAX);
            let others = changes.iter().skip(first).map(|change| change.record).collect();
            found.push(Exception::new(ExceptionKind::BankChange, line, others, sentence));
        }
    }
}

/// A hold or a claim of a provider, and when it stands for what is treated or repaired.
struct Use<'a> {
    record: RecordId,
    provider: &'a str,
    what: &'static str,
    from: Timestamp,
    to: Timestamp,
    /// Whether it is a claim on a hold, which was looked at before.
    on_hold: bool,
}

impl Use<'_> {
    fn covers(&self, time: Timestamp) -> bool {
        (self.from..=self.to).contains(&time)
    }
}

/// The exception of a deadline that was not kept.
fn missed(line: &Line, claim: &ClaimView, deadline: &Deadline) -> Option<Exception> {
    let name = &claim.claim;
    let (kind, what) = match deadline.kind {
        DeadlineKind::Handling => (
            ExceptionKind::HandlingOverdue,
            format!("claim {name} was to be decided or answered with an offer within 48 hours"),
        ),
        DeadlineKind::Payment => (
            ExceptionKind::PaymentOverdue,
            format!(
                "{} for claim {name} was to be paid within 30 days",
                money::amount(claim.payable.unwrap_or(0), claim.currency.as_deref())
            ),
        ),
        DeadlineKind::Answer => (
            ExceptionKind::OfferOverdue,
            format!("an offer for claim {name} was to be answered within 30 days"),
        ),
        DeadlineKind::Hold => return None,
    };
    let end = match deadline.done_at {
        Some(done) => format!(
            "; it was done {} too late",
            duration(done.duration_since(deadline.due).as_secs())
        ),
        None => format!(
            "; it is not done, {} too late",
            duration(claim.as_of.time.duration_since(deadline.due).as_secs())
        ),
    };
    let others = deadline.done_by.into_iter().collect();
    Some(Exception::new(kind, line, others, what + &end))
}

/// A length of time for people.
fn duration(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600, seconds / 60);
    let (count, unit) = match (days, hours, minutes) {
        (2.., ..) => (days, "day"),
        (_, 1.., _) => (hours, "hour"),
        (_, _, 1..) => (minutes, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
