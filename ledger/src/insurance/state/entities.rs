//! The values of the state: one small structure for each thing that rules ask about.

use bincode::{Decode, Encode};

use crate::{
    digest::RecordId,
    insurance::{
        Amount, ClaimRef, Code, ContractRef, Currency, Day, Moment, Ordinal,
        contract::{DeductibleModel, Verdict},
        settlement::{Answer, Outcome},
    },
    membership::MemberId,
};

/// Declares values of the state. Their layout is in docs/FORMATS.md, "State":
/// the fields in this order.
macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)+ })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $kind,)+
            }
        )*
    };
}

entities! {
    /// A contract as its newest version has it.
    Contract {
        /// The record that issued it.
        issued: RecordId,
        /// The newest version.
        version: Ordinal,
        /// The record that made that version.
        made_by: RecordId,
        /// When that was.
        made_at: Moment,
        /// The record that made the version before it, and when.
        made_before: Option<Mark>,
        /// The IANA time zone in which its days are counted.
        time_zone: Code,
        /// The first day of its first period.
        first_day: Day,
        /// The number of its last period, counted from 1.
        period: u32,
        /// The broker that administers it, up to the first change.
        broker: Option<Code>,
        /// The changes of the broker, in the order of the versions; the newest.
        broker_changes: Vec<BrokerChange>,
        /// How its deductible moves.
        deductible_model: Option<DeductibleModel>,
        /// Whether it is in force only once it is signed.
        signature_required: bool,
        /// When a version of it was signed first.
        signed_at: Option<Moment>,
        /// How it ended.
        terminated: Option<Termination>,
    }

    /// Another broker for a contract.
    BrokerChange {
        /// Its first day.
        from: Day,
        /// Which; none where the contract has none from then on.
        broker: Option<Code>,
    }

    /// How a contract ended.
    Termination {
        /// The record that ended it.
        record: RecordId,
        /// When that happened.
        at: Moment,
        /// The last day in force; when none, it was over at once.
        effective: Option<Day>,
        /// Where it ended for missing documents, the day by which they were due.
        due: Option<Day>,
    }

    /// One insurance period of a contract: what it may pay and what is used of it.
    Period {
        /// The record that set the ceiling.
        made_by: RecordId,
        /// The first day.
        from: Day,
        /// The last day.
        to: Day,
        /// The most that it pays, from its first day on.
        ceiling: Option<Amount>,
        /// Of the ceiling and of what is spent.
        currency: Option<Currency>,
        /// What claims have used.
        spent: Amount,
        /// How that changed from moment to moment, in their order; and with it what
        /// was held by holds that are over and no longer remembered.
        spending: Vec<Spending>,
        /// The most of that at any moment before those that are remembered.
        spent_before: i128,
        /// The first moment that is remembered; none where all are.
        spent_since: Option<Moment>,
        /// What is guaranteed; those that are over stay until their room is needed.
        holds: Vec<Hold>,
        /// The ceilings that were asked for in time, the newest last.
        ceilings_requested: Vec<CeilingRequest>,
        /// The ceilings agreed for periods to come, in the order of the versions.
        ceilings_agreed: Vec<CeilingAgreed>,
        /// The changes of the ceiling inside the period, in the order of the versions.
        ceilings_within: Vec<CeilingAgreed>,
        /// The latest moment that a record about a hold told of.
        newest: Option<Moment>,
    }

    /// A ceiling that was asked for.
    CeilingRequest {
        /// The record that asks for it.
        record: RecordId,
        /// Who signed it.
        by: MemberId,
        /// How much.
        amount: Amount,
    }

    /// A ceiling that was agreed.
    CeilingAgreed {
        /// The record that says so.
        record: RecordId,
        /// The first day on which it can hold.
        from: Day,
        /// How much.
        amount: Amount,
        /// Of the amount.
        currency: Currency,
    }

    /// A part of the ceiling that is kept for one pre-authorisation.
    Hold {
        /// The record that guarantees it.
        answer: RecordId,
        /// How much.
        amount: Amount,
        /// The last moment of the hold.
        until: Moment,
        /// When it ended, if before that; from then on it counts no more.
        ended: Option<Moment>,
    }

    /// A change of what is spent of a period.
    Spending {
        /// From when on.
        at: Moment,
        /// By how much.
        change: i128,
    }

    /// How many documents were asked for.
    Dossier {
        /// In all.
        requested: u32,
        /// Of these, not accepted.
        missing: u32,
        /// The latest moment that a record about them told of.
        newest: Moment,
        /// Up to here it is not remembered what had been asked for: a correction no
        /// longer asks for something.
        unsure_before: Option<Moment>,
    }

    /// A document that was asked for.
    Item {
        /// The record that asked for it last.
        requested_by: RecordId,
        /// When.
        requested_at: Moment,
        /// The record that asked for it first, and when.
        first_requested: Mark,
        /// The last day for it.
        due: Day,
        /// What was found last.
        verdict: Option<Verdict>,
        /// The record that says so.
        assessed: Option<Mark>,
        /// The latest moment that a record about it told of.
        newest: Moment,
        /// When it was asked for and looked at, in the order of the moments; the newest.
        changes: Vec<ItemChange>,
        /// How it stood before those; none where all are remembered.
        before: Option<ItemBefore>,
    }

    /// What happened to a document that was asked for.
    ItemChange {
        /// The record that says so.
        record: RecordId,
        /// When.
        at: Moment,
        /// Where it was asked for, the last day for it; none where it was looked at.
        due: Option<Day>,
        /// Whether it is accepted from then on.
        accepted: bool,
    }

    /// How a document stood before the changes of it that are remembered.
    ItemBefore {
        /// From when on that is remembered.
        since: Moment,
        /// Where it had been asked for, the last day for it.
        due: Option<Day>,
        /// Whether it was accepted.
        accepted: bool,
    }

    /// A pre-authorisation: what a provider asked and what came of it.
    Preauthorisation {
        /// The record that asks.
        requested: RecordId,
        /// When.
        requested_at: Moment,
        /// The provider that asks.
        provider: MemberId,
        /// The sum of its lines.
        total: Amount,
        /// Of the sum.
        currency: Currency,
        /// The insurer's answer.
        answer: Option<Guarantee>,
        /// How its hold ended before its time.
        exit: Option<Exit>,
    }

    /// What an insurer guarantees.
    Guarantee {
        /// The record that says so.
        record: RecordId,
        /// When.
        at: Moment,
        /// How much; where it is nothing, there is no hold.
        amount: Amount,
        /// The last moment of the hold.
        until: Option<Moment>,
        /// The number of the period whose ceiling it counts against.
        period: u32,
    }

    /// How a hold ended before its time.
    Exit {
        /// The record that ended it.
        record: RecordId,
        /// When.
        at: Moment,
        /// The claim that used it up; none where it was released.
        claim: Option<ClaimRef>,
    }

    /// A claim.
    Claim {
        /// The record that opened it.
        opened: RecordId,
        /// The contract it is about.
        contract: ContractRef,
        /// Who opened it: a member's id, or `policyholder`.
        opener: String,
        /// When it was opened.
        opened_at: Moment,
        /// The day it was opened, in the contract's time zone.
        opened_on: Day,
        /// The number of the period that pays it.
        period: u32,
        /// How much was asked for.
        claimed: Option<Amount>,
        /// Of every amount of this claim, once one is known.
        currency: Option<Currency>,
        /// The offer or decision that said so first; none where its opening did.
        currency_by: Option<RecordId>,
        /// Whether its service neither costs a deductible nor moves one.
        free_service: bool,
        /// The pre-authorisation that it used up.
        preauthorisation: Option<Code>,
        /// The number that the insurer gave it.
        number: Option<Code>,
        /// What was done about it first, of what stands on its opening alone: it was
        /// given a number, moved on or disputed.
        first: Option<Mark>,
        /// The newest decision.
        decision: Option<Decision>,
        /// The first dispute since that decision.
        disputed: Option<Mark>,
        /// The record that closed it.
        closed: Option<RecordId>,
        /// What it does to the deductible.
        step: LadderStep,
        /// The newest offer.
        offer: Option<Offer>,
        /// What of its period's `spent` is for this claim.
        counted: Amount,
        /// Whether what it spends counts in its period.
        counts: bool,
        /// Up to here its steps do not tell what it had spent by a moment: a correction
        /// moved one, or some are forgotten.
        unsure_before: Option<Moment>,
        /// Where it stood before the steps that follow.
        stood: Stood,
        /// What ends it or opens it again, in the order of the ledger, each correction
        /// in the place of what it corrects; those that happened last.
        steps: Vec<ClaimStep>,
    }

    /// Where a claim stands.
    Stood {
        /// What was approved last.
        approved: Option<Amount>,
        /// The offer that was accepted.
        accepted: Option<Amount>,
        /// The payments executed.
        executed: Amount,
        /// The payments that came back.
        returned: Amount,
        /// Whether it was closed.
        closed: bool,
        /// When the last of what is counted here happened; all that follows is no older.
        at: Option<Moment>,
    }

    /// A record that may end a claim or open it again.
    ClaimStep {
        /// The record.
        record: RecordId,
        /// When it happened.
        at: Moment,
        /// What it says.
        kind: ClaimStepKind,
        /// Of what amount.
        amount: Amount,
        /// Of a payment, whom it goes to or comes back from.
        payee: Option<Code>,
    }

    /// A record and its moment.
    Mark {
        /// The record.
        record: RecordId,
        /// When it happened.
        at: Moment,
    }

    /// What an insurer decided on a claim.
    Decision {
        /// The record that says so.
        record: RecordId,
        /// When.
        at: Moment,
        /// How.
        outcome: Outcome,
        /// What will be paid.
        approved: Amount,
        /// The contract's deductible then, by which the decision is judged.
        deductible: Option<Amount>,
        /// The later of the decision before it and of the dispute of that.
        follows: Option<Mark>,
    }

    /// An offer to settle a claim.
    Offer {
        /// The record that says so.
        record: RecordId,
        /// When.
        at: Moment,
        /// Which offer for the claim it is.
        round: Ordinal,
        /// How much.
        amount: Amount,
        /// The offer before it.
        follows: Option<Mark>,
        /// When it reached whom it is for, as often as that was told.
        notified: Vec<Mark>,
        /// What was answered.
        answer: Option<Answered>,
    }

    /// The answer to an offer.
    Answered {
        /// The record that says so.
        record: RecordId,
        /// When.
        at: Moment,
        /// The answer.
        answer: Answer,
    }

    /// The claim that has a number of the insurer's.
    Registered {
        /// The claim.
        claim: ClaimRef,
        /// The record that gave it.
        record: RecordId,
    }

    /// The signing of one version of a contract or one offer.
    Signature {
        /// The record that asks for it.
        requested: RecordId,
        /// When.
        requested_at: Moment,
        /// What is to be signed.
        target: Signed,
        /// The last moment to sign.
        expires: Moment,
        /// When the signer was sent codes that are still good.
        challenged: Option<Challenged>,
        /// When it last expired or was declined.
        failed: Option<Moment>,
        /// When it was signed.
        completed: Option<Mark>,
    }

    /// When codes were sent.
    Challenged {
        /// The first.
        first: Moment,
        /// The last.
        last: Moment,
    }

    /// The deductible of a contract.
    Ladder {
        /// How it moves.
        model: DeductibleModel,
        /// Of the amounts.
        currency: Currency,
        /// Its steps, the newest last; no step is older than the one before it.
        steps: Vec<LadderStand>,
        /// Whether there were steps before these.
        forgotten: bool,
    }

    /// Where a deductible stands.
    LadderStand {
        /// The record that set it.
        record: RecordId,
        /// What that says it is.
        told: Amount,
        /// What it is without what a cost commitment adds for one claim.
        own: Amount,
        /// Since when.
        at: Moment,
        /// The last claim-free year that lowered it.
        year: Option<i16>,
        /// The claim that raised it with this step.
        claim: Option<ClaimRef>,
        /// Where this step is one.
        commitment: Option<Commitment>,
    }

    /// A cost commitment, after which the next claim within a year bears more.
    Commitment {
        /// Its year, which is not claim-free.
        year: i16,
        /// That claim, once it is decided.
        claim: Option<ClaimRef>,
    }

    /// The claims opened in one year that raise the deductible, and the cost commitments.
    YearSteps {
        /// How many.
        steps: u32,
    }

    /// The first record that bears a number, such as a quote's.
    Named {
        /// The record.
        record: RecordId,
    }

    /// The contracts that were issued on a referral.
    Referral {
        /// How many.
        contracts: u32,
    }

    /// The kinds of document that came with a claim.
    Attached {
        /// In the order of the record.
        kinds: Vec<Code>,
    }

    /// Payments, or claims that were opened less those that ended, by months or by days.
    Tally {
        /// In the order of the months or days; those without anything are left out.
        slots: Vec<Slot>,
    }

    /// One month of all, or one day of a month.
    Slot {
        /// Which: months are counted from December 1899, the days of a month from 1.
        at: u32,
        /// How many.
        count: i64,
        /// Their sum in minor units.
        sum: i64,
    }

    /// The rules that a record breaks and was flagged for.
    Flags {
        /// Their codes.
        codes: Vec<String>,
    }

    /// The record that corrects another one.
    Correction {
        /// The one that stands now.
        record: RecordId,
        /// How many corrections deep it is: 1 where it corrects what is no
        /// correction itself.
        depth: u32,
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Signed {
    /// A version of the contract.
    Contract {
        /// The version.
        version: Ordinal,
        /// The record that made it, where it was the newest; a corrected one is another.
        record: Option<RecordId>,
    },
    /// An offer for one of its claims.
    Settlement {
        /// The claim.
        claim: ClaimRef,
        /// The round of the offer.
        round: Ordinal,
        /// The record with the amount that is signed; a corrected offer is another one.
        offer: Option<RecordId>,
    },
}

/// What a record says that may end a claim or open it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ClaimStepKind {
    /// So much is approved, nothing where it is refused.
    Approved,
    /// An offer of so much is accepted.
    Accepted,
    /// An offer is objected to.
    Objected,
    /// So much is ordered.
    Ordered,
    /// So much is paid.
    Executed,
    /// So much came back.
    Returned,
    /// The claim is closed.
    Closed,
}

/// What a claim does to the deductible of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LadderStep {
    /// Nothing.
    None,
    /// It raises it, and has not yet.
    Pending,
    /// It has raised it.
    Taken,
    /// It has raised it, and by its newest decision would not.
    Kept,
}
