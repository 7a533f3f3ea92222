//! A claim: from its notification to its last payment.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    AsOfShown, ClaimStatus, ClaimView, Deadline, DeadlineKind, Decision, Dispute, Offer, Payment,
    Progress, Standing,
    statement::opener_of,
    time::{end_of_day_after, hours_after},
};
use crate::{
    digest::RecordId,
    insurance::{
        Currency, Data,
        settlement::{
            Answer, ClaimDecided, ClaimOpened, PaymentRecorded, PaymentStatus, SettlementAnswered,
            SettlementNotified, SettlementOffered,
        },
    },
};

/// Hours in which an insurer means to handle a claim (DOMAIN).
const HANDLING_HOURS_AIM: i64 = 24;
/// Hours after which handling is overdue (DOMAIN).
const HANDLING_HOURS_MAX: i64 = 48;
/// Days for a payment after a decision, and for the answer to an offer (DOMAIN).
const SETTLEMENT_DAYS: i32 = 30;

/// A hold that a claim uses up.
pub(super) struct Used {
    pub(super) answered: RecordId,
    pub(super) period: Option<u32>,
    pub(super) guaranteed: u64,
    pub(super) currency: Option<Currency>,
    pub(super) until: Timestamp,
}

/// A claim while its records are taken in.
pub(super) struct ClaimFold {
    view: ClaimView,
    zone: TimeZone,
    /// What was claimed on a hold, then what was approved.
    decided: u64,
    /// When the newest decision was made, as [`Standing::moments`] has it.
    decided_at: Vec<(u64, Timestamp)>,
    /// The offer that was accepted.
    accepted: Option<u64>,
    /// The place on the ledger of each of the view's offers.
    offered: Vec<u64>,
}

impl ClaimFold {
    pub(super) fn new(claim: &str, contract: &str, as_of: AsOfShown, zone: &TimeZone) -> Self {
        let view = ClaimView {
            claim: claim.to_owned(),
            contract: contract.to_owned(),
            as_of,
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            status: ClaimStatus::Opened,
            opened: None,
            opened_at: None,
            opened_by: None,
            channel: None,
            attached: Vec::new(),
            kind: None,
            service: None,
            preauthorisation: None,
            number: None,
            adjuster: None,
            period: None,
            currency: None,
            claimed: None,
            guaranteed: None,
            approved: None,
            refused: None,
            deductible: None,
            payable: None,
            paid: 0,
            left_to_pay: None,
            spent: 0,
            open: true,
            decisions: Vec::new(),
            offers: Vec::new(),
            payments: Vec::new(),
            disputes: Vec::new(),
            progress: Vec::new(),
            items: Vec::new(),
            closed: None,
            closed_at: None,
            deadlines: Vec::new(),
            events: Vec::new(),
        };
        let (zone, accepted) = (zone.clone(), None);
        let (decided_at, offered) = (Vec::new(), Vec::new());
        Self { view, zone, decided: 0, decided_at, accepted, offered }
    }

    pub(super) const fn spent(&self) -> u64 {
        self.view.spent
    }

    pub(super) const fn period(&self) -> Option<u32> {
        self.view.period
    }

    pub(super) fn currency(&self) -> Option<&str> {
        self.view.currency.as_deref()
    }

    pub(super) const fn opened_at(&self) -> Option<Timestamp> {
        self.view.opened_at
    }

    pub(super) fn opened_by(&self) -> Option<&str> {
        self.view.opened_by.as_deref()
    }

    /// Takes in a record that opens it; `used` is the hold that it ends.
    pub(super) fn opened(
        &mut self,
        standing: &Standing<'_>,
        data: &ClaimOpened,
        period: Option<u32>,
        used: Option<&Used>,
    ) {
        let (at, id) = (standing.at, standing.id());
        let view = &mut self.view;
        view.opened = Some(id);
        view.opened_at = Some(at);
        view.opened_by = Some(opener_of(&standing.line.record));
        view.channel = Some(data.channel.to_string());
        view.attached = data.attached.iter().map(ToString::to_string).collect();
        view.kind = data.kind.as_ref().map(ToString::to_string);
        view.service = data.service.as_ref().map(ToString::to_string);
        view.preauthorisation = data.preauthorisation.as_ref().map(ToString::to_string);
        view.period = used.map_or(period, |used| used.period);
        let claimed = data.claimed.map(crate::insurance::Amount::minor_units);
        // On a hold, the whole of it is claimed where no amount is named.
        view.claimed = claimed.or(used.map(|used| used.guaranteed));
        self.takes_currency(used.and_then(|used| used.currency).or(data.currency));
        let view = &mut self.view;
        let mut handling =
            Deadline::new(DeadlineKind::Handling, id, hours_after(at, HANDLING_HOURS_MAX));
        handling.aim = Some(hours_after(at, HANDLING_HOURS_AIM));
        view.deadlines.push(handling);
        if let Some(used) = used {
            view.guaranteed = Some(used.guaranteed);
            self.decided = view.claimed.unwrap_or(0);
            let mut hold = Deadline::new(DeadlineKind::Hold, used.answered, used.until);
            hold.done(at, id);
            view.deadlines.push(hold);
        }
        self.count();
    }

    /// Takes in any other record that names it.
    pub(super) fn take(&mut self, standing: &Standing<'_>) {
        let (at, record) = (standing.at, standing.id());
        match standing.data() {
            Data::ClaimRegistered(data) => {
                self.view.number = Some(data.number.to_string());
                self.view.adjuster = data.adjuster.as_ref().map(ToString::to_string);
            }
            Data::ClaimState(data) => {
                use crate::insurance::settlement::ClaimProgress;
                self.view.status = match data.state {
                    ClaimProgress::InReview => ClaimStatus::InReview,
                    ClaimProgress::AwaitingDocuments => ClaimStatus::AwaitingDocuments,
                };
                self.view.progress.push(Progress {
                    record,
                    occurred_at: standing.at,
                    state: data.state.as_str().to_owned(),
                    label: data.label.as_ref().map(ToString::to_string),
                });
            }
            Data::ClaimDecided(data) => {
                self.decided_at = standing.moments();
                self.decided(at, record, data);
            }
            Data::ClaimDisputed(data) => {
                // Told late, it may be about a decision that another one has followed.
                let told = standing.first().index;
                let mut decided = self.decided_at.iter().rev();
                let decided = decided.find(|(index, _)| *index < told);
                if decided.is_some_and(|(_, decided_at)| at >= *decided_at) {
                    self.view.status = ClaimStatus::Disputed;
                }
                self.view.disputes.push(Dispute {
                    record,
                    occurred_at: standing.at,
                    between: data.between.iter().map(ToString::to_string).collect(),
                    by: standing
                        .payload()
                        .declared_by
                        .as_ref()
                        .map_or_else(|| standing.signer(), ToString::to_string),
                });
            }
            Data::ClaimClosed(data) => {
                self.takes_currency(Some(data.currency));
                self.view.closed = Some(record);
                self.view.closed_at = Some(at);
                self.handled(at, record);
            }
            Data::SettlementOffered(data) => self.offered(standing, data),
            Data::SettlementNotified(data) => self.notified(standing, data),
            Data::SettlementAnswered(data) => self.answered(at, record, data),
            Data::PaymentRecorded(data) => self.paid(at, record, data),
            _ => {}
        }
    }

    fn decided(&mut self, at: Timestamp, record: RecordId, data: &ClaimDecided) {
        use crate::insurance::settlement::Outcome;
        self.takes_currency(Some(data.currency));
        let approved = data.approved.minor_units();
        let view = &mut self.view;
        view.status = match data.outcome {
            Outcome::Approved => ClaimStatus::Approved,
            Outcome::Partly => ClaimStatus::PartlyApproved,
            Outcome::Refused => ClaimStatus::Refused,
        };
        view.approved = Some(approved);
        view.refused = Some(data.refused.minor_units());
        view.deductible = data.deductible.map(crate::insurance::Amount::minor_units);
        view.decisions.push(Decision {
            record,
            occurred_at: at,
            outcome: data.outcome.as_str().to_owned(),
            approved,
            refused: data.refused.minor_units(),
            reason: data.reason.as_ref().map(ToString::to_string),
            deductible: view.deductible,
            ladder: data.ladder.map(|ladder| ladder.as_str().to_owned()),
            currency: data.currency.code().to_owned(),
        });
        self.decided = approved;
        self.handled(at, record);
        self.becomes_payable(at, record);
    }

    fn offered(&mut self, standing: &Standing<'_>, data: &SettlementOffered) {
        let (at, record) = (standing.at, standing.id());
        self.takes_currency(Some(data.currency));
        self.view.status = ClaimStatus::Offered;
        self.offered.push(standing.line.index);
        self.view.offers.push(Offer {
            round: data.round.get(),
            amount: data.amount.minor_units(),
            currency: data.currency.code().to_owned(),
            record,
            occurred_at: at,
            notified_at: None,
            notified_by: None,
            answer: None,
            answered_at: None,
            answered_by: None,
            signature: None,
        });
        self.handled(at, record);
    }

    fn offer(&mut self, round: u64) -> Option<&mut Offer> {
        self.view.offers.iter_mut().rev().find(|offer| offer.round == round)
    }

    fn notified(&mut self, standing: &Standing<'_>, data: &SettlementNotified) {
        let (at, record, round) = (standing.at, standing.id(), data.round.get());
        let due = end_of_day_after(at, SETTLEMENT_DAYS, &self.zone);
        let offers = self.view.offers.iter_mut().zip(&self.offered).rev();
        let Some((offer, offered)) = offers.into_iter().find(|(offer, _)| offer.round == round)
        else {
            return;
        };
        // An offer that was corrected is another one, and has to be told anew.
        // Told twice, the earliest time counts, whichever was recorded first.
        if standing.line.index < *offered || offer.notified_at.is_some_and(|before| before <= at) {
            return;
        }
        offer.notified_at = Some(at);
        let before = offer.notified_by.replace(record);
        let mut deadlines = self.view.deadlines.iter_mut();
        let answer =
            |it: &&mut Deadline| it.kind == DeadlineKind::Answer && Some(it.from) == before;
        match deadlines.find(answer) {
            Some(deadline) => (deadline.from, deadline.due) = (record, due),
            None => self.view.deadlines.push(Deadline::new(DeadlineKind::Answer, record, due)),
        }
    }

    fn answered(&mut self, at: Timestamp, record: RecordId, data: &SettlementAnswered) {
        let Some(offer) = self.offer(data.round.get()) else { return };
        offer.answer = Some(data.answer.as_str().to_owned());
        offer.answered_at = Some(at);
        offer.answered_by = Some(record);
        offer.signature = data.signature.as_ref().map(ToString::to_string);
        let (amount, notified_by) = (offer.amount, offer.notified_by);
        if let Some(notified_by) = notified_by {
            let mut deadlines = self.view.deadlines.iter_mut();
            if let Some(deadline) = deadlines.find(|deadline| deadline.from == notified_by) {
                deadline.done(at, record);
            }
        }
        match data.answer {
            Answer::Objected => self.view.status = ClaimStatus::Objected,
            Answer::Accepted => {
                self.view.status = ClaimStatus::Agreed;
                self.accepted = Some(amount);
                self.becomes_payable(at, record);
            }
        }
    }

    fn paid(&mut self, at: Timestamp, record: RecordId, data: &PaymentRecorded) {
        self.takes_currency(Some(data.currency));
        let amount = data.amount.minor_units();
        // Amounts are below 2^53, so no sum of a dossier comes near an i64's end.
        let signed = i64::try_from(amount).unwrap_or(i64::MAX);
        match data.status {
            PaymentStatus::Ordered => {}
            PaymentStatus::Executed => self.view.paid = self.view.paid.saturating_add(signed),
            PaymentStatus::Returned => self.view.paid = self.view.paid.saturating_sub(signed),
        }
        self.view.payments.push(Payment {
            record,
            occurred_at: at,
            amount,
            currency: data.currency.code().to_owned(),
            status: data.status.as_str().to_owned(),
            payee: data.payee.to_string(),
            on_account: data.on_account == Some(true),
        });
        self.settle(at, record);
    }

    /// What it uses of its period: what was claimed on a hold, then what was
    /// approved; never less than what was accepted or paid.
    fn count(&mut self) {
        let paid = u64::try_from(self.view.paid).unwrap_or(0);
        self.view.spent = self.decided.max(self.accepted.unwrap_or(0)).max(paid);
    }

    /// What is to be paid: the offer accepted, else what was approved.
    fn payable(&self) -> Option<u64> {
        self.accepted.or(self.view.approved)
    }

    /// Whether it is neither refused, nor paid in full, nor closed by what was taken in.
    pub(super) fn is_open(&self) -> bool {
        let paid = self.view.paid.max(0);
        let is_paid = self.payable().is_some_and(|payable| i128::from(paid) >= payable.into());
        self.view.closed.is_none() && !is_paid
    }

    /// An amount is to be paid from now on, instead of the one before.
    fn becomes_payable(&mut self, at: Timestamp, record: RecordId) {
        let deadlines = &mut self.view.deadlines;
        deadlines.retain(|deadline| {
            deadline.kind != DeadlineKind::Payment || deadline.done_at.is_some()
        });
        if self.payable().is_some_and(|payable| payable > 0) {
            let due = end_of_day_after(at, SETTLEMENT_DAYS, &self.zone);
            self.view.deadlines.push(Deadline::new(DeadlineKind::Payment, record, due));
        }
        self.settle(at, record);
    }

    /// Notes that all is paid, or that it is no more.
    fn settle(&mut self, at: Timestamp, record: RecordId) {
        self.count();
        let Some(payable) = self.payable() else { return };
        let is_paid = i128::from(self.view.paid) >= i128::from(payable);
        let newest = self.view.deadlines.iter_mut().rev();
        let Some(deadline) = newest.into_iter().find(|it| it.kind == DeadlineKind::Payment) else {
            return;
        };
        if is_paid {
            deadline.done(at, record);
        } else {
            (deadline.done_at, deadline.done_by) = (None, None);
        }
    }

    fn handled(&mut self, at: Timestamp, record: RecordId) {
        let mut deadlines = self.view.deadlines.iter_mut();
        if let Some(deadline) = deadlines.find(|it| it.kind == DeadlineKind::Handling) {
            deadline.done_first(at, record);
        }
    }

    fn takes_currency(&mut self, currency: Option<Currency>) {
        if let Some(currency) = currency
            && self.view.currency.is_none()
        {
            self.view.currency = Some(currency.code().to_owned());
        }
    }

    /// The claim as of that time.
    pub(super) fn finish(mut self, time: Timestamp) -> ClaimView {
        let (payable, paid, open) = (self.payable(), self.view.paid, self.is_open());
        let view = &mut self.view;
        view.payable = payable;
        view.left_to_pay = payable
            .map(|payable| u64::try_from(i128::from(payable) - i128::from(paid)).unwrap_or(0));
        let settled = view.left_to_pay == Some(0);
        if view.closed.is_some() {
            view.status = ClaimStatus::Closed;
        } else if settled
            && payable.is_some_and(|payable| payable > 0)
            && view.status != ClaimStatus::Disputed
        {
            view.status = ClaimStatus::Paid;
        }
        view.open = open;
        view.deadlines.iter_mut().for_each(|deadline| deadline.judge(time));
        self.view
    }
}
