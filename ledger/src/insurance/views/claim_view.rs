//! What is shown of a claim.

use jiff::Timestamp;

use super::{AsOfShown, Event, Item, shown};
use crate::digest::RecordId;

shown! {
    /// Where a claim stands.
    enum ClaimStatus {
        /// It was notified.
        Opened = "opened",
        /// The insurer looks at it.
        InReview = "in_review",
        /// The insurer waits for documents.
        AwaitingDocuments = "awaiting_documents",
        /// The insurer offered a settlement.
        Offered = "offered",
        /// The offer was not enough.
        Objected = "objected",
        /// The offer was accepted.
        Agreed = "agreed",
        /// It was approved.
        Approved = "approved",
        /// It was approved in part.
        PartlyApproved = "partly_approved",
        /// It was refused.
        Refused = "refused",
        /// The decision is disagreed with.
        Disputed = "disputed",
        /// All that is to be paid was paid.
        Paid = "paid",
        /// It is over.
        Closed = "closed",
    }
}

shown! {
    /// What is to be done.
    enum DeadlineKind {
        /// From notification to the first decision or offer: 24 hours are aimed
        /// at, 48 hours are the most.
        Handling = "handling",
        /// From a decision or an accepted offer until all of it is paid: 30 days.
        Payment = "payment",
        /// From when an offer reached whom it is for until the answer: 30 days.
        Answer = "answer",
        /// From a guarantee until it is claimed: 24 hours.
        Hold = "hold",
    }
}

shown! {
    /// Whether something was done in time.
    enum DeadlineState {
        /// It was done in time.
        Met = "met",
        /// It was done, too late.
        Late = "late",
        /// It is not done, and there is time left.
        Open = "open",
        /// It is not done, and the time is over.
        Overdue = "overdue",
    }
}

shown! {
    /// By when something is to be done.
    Deadline {
        /// What.
        kind: DeadlineKind,
        /// The record from which the time runs.
        from: RecordId,
        /// When it should be done, where something sooner than `due` is aimed at.
        aim: Option<Timestamp>,
        /// The last moment.
        due: Timestamp,
        /// When it was done.
        done_at: Option<Timestamp>,
        /// The record by which it was done.
        done_by: Option<RecordId>,
        /// How it stands.
        state: DeadlineState,
    }

    /// What the insurer decided.
    Decision {
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// `approved`, `partly` or `refused`.
        outcome: String,
        /// What will be paid, in minor units.
        approved: u64,
        /// What will not, in minor units.
        refused: u64,
        /// Why.
        reason: Option<String>,
        /// The deductible applied, in minor units.
        deductible: Option<u64>,
        /// What it does to the next deductible: `step_up` or `none`.
        ladder: Option<String>,
        /// Of the amounts.
        currency: String,
    }

    /// One round of a settlement.
    Offer {
        /// Which offer it is, from 1.
        round: u64,
        /// How much, in minor units.
        amount: u64,
        /// Of the amount.
        currency: String,
        /// The record that makes the offer.
        record: RecordId,
        /// When it was made.
        occurred_at: Timestamp,
        /// When it reached whom it is for.
        notified_at: Option<Timestamp>,
        /// The record that says so.
        notified_by: Option<RecordId>,
        /// `accepted` or `objected`.
        answer: Option<String>,
        /// When it was answered.
        answered_at: Option<Timestamp>,
        /// The record with the answer.
        answered_by: Option<RecordId>,
        /// The signature by which it was accepted.
        signature: Option<String>,
    }

    /// Money that moved.
    Payment {
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// How much, in minor units.
        amount: u64,
        /// Of the amount.
        currency: String,
        /// `ordered`, `executed` or `returned`.
        status: String,
        /// Who is paid: a member's id or `policyholder`.
        payee: String,
        /// Whether it is paid on account.
        on_account: bool,
    }

    /// Somebody disagrees.
    Dispute {
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// Between whom.
        between: Vec<String>,
        /// Whose statement it is.
        by: String,
    }

    /// The claim moved on, or waits.
    Progress {
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
        /// `in_review` or `awaiting_documents`.
        state: String,
        /// What the customer is shown.
        label: Option<String>,
    }

    /// A claim as of a moment. Amounts are in minor units of `currency`.
    ClaimView {
        /// `<insurer>/<number>`.
        claim: String,
        /// The contract it is about.
        contract: String,
        /// The moment.
        as_of: AsOfShown,
        /// The IANA time zone in which days are counted.
        time_zone: String,
        /// Where it stands.
        status: ClaimStatus,
        /// The record that opened it; null where that is missing.
        opened: Option<RecordId>,
        /// When it was opened.
        opened_at: Option<Timestamp>,
        /// Who opened it: a member's id, or `policyholder`.
        opened_by: Option<String>,
        /// The way it came in.
        channel: Option<String>,
        /// The kinds of document that came with it.
        attached: Vec<String>,
        /// What happened.
        kind: Option<String>,
        /// The service used.
        service: Option<String>,
        /// The pre-authorisation that it used up.
        preauthorisation: Option<String>,
        /// The number that the insurer gave it.
        number: Option<String>,
        /// Who handles it, by an opaque name.
        adjuster: Option<String>,
        /// The number of the insurance period that pays it, from 1.
        period: Option<u32>,
        /// Of the amounts, once one is known.
        currency: Option<String>,
        /// What was asked for.
        claimed: Option<u64>,
        /// What was guaranteed before.
        guaranteed: Option<u64>,
        /// What will be paid by the newest decision.
        approved: Option<u64>,
        /// What will not.
        refused: Option<u64>,
        /// The deductible that the newest decision applied.
        deductible: Option<u64>,
        /// What is to be paid in all: the offer accepted, else what was approved.
        payable: Option<u64>,
        /// What was paid: executed less returned.
        paid: i64,
        /// What of `payable` is not paid yet.
        left_to_pay: Option<u64>,
        /// What it uses of its period's ceiling.
        spent: u64,
        /// Whether a statement counts it as open: neither refused, nor paid in full, nor closed.
        open: bool,
        /// What the insurer decided, the newest last.
        decisions: Vec<Decision>,
        /// The rounds of the settlement, the newest last.
        offers: Vec<Offer>,
        /// The payments, the newest last.
        payments: Vec<Payment>,
        /// The disputes, the newest last.
        disputes: Vec<Dispute>,
        /// How it moved on, the newest last.
        progress: Vec<Progress>,
        /// Documents that were asked for about it.
        items: Vec<Item>,
        /// The record that closed it.
        closed: Option<RecordId>,
        /// When it was closed.
        closed_at: Option<Timestamp>,
        /// By when something is or was to be done.
        deadlines: Vec<Deadline>,
        /// Every record that names it, in the order of the ledger.
        events: Vec<Event>,
    }
}

impl Deadline {
    pub(super) const fn new(kind: DeadlineKind, from: RecordId, due: Timestamp) -> Self {
        let state = DeadlineState::Open;
        Self { kind, from, aim: None, due, done_at: None, done_by: None, state }
    }

    pub(super) fn done(&mut self, at: Timestamp, by: RecordId) {
        if self.done_at.is_none() {
            self.done_at = Some(at);
            self.done_by = Some(by);
        }
    }

    /// It was done first at the earliest of the moments, whichever was told first.
    pub(super) fn done_first(&mut self, at: Timestamp, by: RecordId) {
        if self.done_at.is_none_or(|before| at < before) {
            self.done_at = Some(at);
            self.done_by = Some(by);
        }
    }

    pub(super) fn judge(&mut self, time: Timestamp) {
        self.state = match self.done_at {
            Some(done) if done <= self.due => DeadlineState::Met,
            Some(_) => DeadlineState::Late,
            None if time <= self.due => DeadlineState::Open,
            None => DeadlineState::Overdue,
        };
    }
}
