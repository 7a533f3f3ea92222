//! What records of the family `settlement` say: from the question what will be
//! paid to the statement of what was.

use serde::Deserialize;

use super::{
    Amount, ClaimRef, Code, Count, Currency, Moment, Ordinal, Period, Text,
    contract::DeductibleModel,
    types::{Checked, DataDefect, data, words},
};

words! {
    /// Why a hold was given back.
    ReleaseReason {
        /// The treatment or repair does not take place.
        Cancelled = "cancelled",
        /// Another pre-authorisation takes its place.
        Replaced = "replaced",
    }

    /// Where a claim stands before it is decided.
    ClaimProgress {
        /// The insurer looks at it.
        InReview = "in_review",
        /// The insurer waits for documents.
        AwaitingDocuments = "awaiting_documents",
    }

    /// How a claim was decided.
    Outcome {
        /// All of it.
        Approved = "approved",
        /// Some of it.
        Partly = "partly",
        /// None of it.
        Refused = "refused",
    }

    /// What a claim does to the deductible of its contract.
    LadderEffect {
        /// The deductible rises by a step.
        StepUp = "step_up",
        /// The deductible stays.
        None = "none",
    }

    /// The answer to an offer.
    Answer {
        /// The offer is taken.
        Accepted = "accepted",
        /// The offer is not enough.
        Objected = "objected",
    }

    /// Where a payment stands.
    PaymentStatus {
        /// The bank was told to pay.
        Ordered = "ordered",
        /// The money has left.
        Executed = "executed",
        /// The money came back.
        Returned = "returned",
    }
}

/// One position of a treatment or repair.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// What is to be done.
    pub code: Code,
    /// What it costs.
    pub amount: Amount,
}

data! {
    /// `preauthorisation.requested`: before it treats or repairs, a provider asks what will be paid.
    PreauthorisationRequested {
        /// The number of this request.
        preauthorisation: Code,
        /// What it asks for.
        lines: Vec<Line>,
        /// What the customer pays in any case.
        not_covered: Option<Vec<Line>>,
        /// The request that this one replaces.
        replaces: Option<Code>,
        /// Of every amount here.
        currency: Currency,
    }

    /// `preauthorisation.answered`: what the insurer guarantees, held for 24 hours.
    PreauthorisationAnswered {
        /// The request.
        preauthorisation: Code,
        /// What the insurer will pay.
        guaranteed: Amount,
        /// What is left to the customer.
        customer_share: Amount,
        /// The last moment of the hold.
        hold_until: Option<Moment>,
        /// Why not all of it.
        reason: Option<Code>,
        /// Of every amount here.
        currency: Currency,
    }

    /// `preauthorisation.released`: the hold is over before its time.
    PreauthorisationReleased {
        /// The request.
        preauthorisation: Code,
        /// Why.
        reason: ReleaseReason,
        /// The request that takes its place.
        replaced_by: Option<Code>,
    }

    /// `claim.opened` (déclaration, Schadenmeldung, apertura sinistro): somebody wants to be paid.
    ClaimOpened {
        /// The way it came in, such as `portal` or `crm`. Which ways are open is a rule.
        channel: Code,
        /// The kinds of document that came with it.
        attached: Vec<Code>,
        /// How much is asked for, where that is known.
        claimed: Option<Amount>,
        /// What happened, such as `accident`.
        kind: Option<Code>,
        /// The service used, such as `JurLine`.
        service: Option<Code>,
        /// The pre-authorisation that it uses up.
        preauthorisation: Option<Code>,
        /// Of `claimed`.
        currency: Option<Currency>,
    }

    /// `claim.registered` (numéro de sinistre, Schadennummer, numero univoco).
    ClaimRegistered {
        /// The number that the insurer gave the claim.
        number: Code,
        /// Who handles it, by an opaque name.
        adjuster: Option<Code>,
    }

    /// `claim.state`: the claim moved on, or waits.
    ClaimState {
        /// Where it stands.
        state: ClaimProgress,
        /// What the customer is shown, such as « En cours de traitement ».
        label: Option<Text>,
    }

    /// `claim.decided`: what the insurer will pay, and what not.
    ClaimDecided {
        /// How it was decided.
        outcome: Outcome,
        /// What will be paid.
        approved: Amount,
        /// What will not.
        refused: Amount,
        /// Why.
        reason: Option<Code>,
        /// The deductible applied.
        deductible: Option<Amount>,
        /// What the claim does to the next deductible.
        ladder: Option<LadderEffect>,
        /// Of every amount here.
        currency: Currency,
    }

    /// `claim.disputed`: the decision is disagreed with.
    ClaimDisputed {
        /// Between whom, such as `petexpert` and `policyholder`.
        between: Vec<Code>,
    }

    /// `claim.closed`: nothing more will be paid.
    ClaimClosed {
        /// What was paid in all.
        paid: Amount,
        /// Of `paid`.
        currency: Currency,
    }

    /// `deductible.set` (franchise, Selbstbeteiligung, franchigia): a step on the contract's ladder.
    DeductibleSet {
        /// The ladder.
        model: DeductibleModel,
        /// The deductible from now on.
        amount: Amount,
        /// Why, such as `start`, `claim_free:2024` or a claim's number.
        cause: Code,
        /// Of `amount`.
        currency: Currency,
    }

    /// `settlement.offered` (quittance d'indemnité, Abfindungserklärung, quietanza).
    SettlementOffered {
        /// Which offer for this claim it is.
        round: Ordinal,
        /// How much.
        amount: Amount,
        /// Of `amount`.
        currency: Currency,
    }

    /// `settlement.notified`: the offer reached whom it is for.
    SettlementNotified {
        /// Which offer.
        round: Ordinal,
        /// Whom it reached.
        to: Code,
    }

    /// `settlement.answered`: the offer was taken, or not.
    SettlementAnswered {
        /// Which offer.
        round: Ordinal,
        /// The answer.
        answer: Answer,
        /// The signature by which it was accepted.
        signature: Option<Code>,
    }

    /// `payment.recorded`: money moved, is about to, or came back.
    PaymentRecorded {
        /// How much.
        amount: Amount,
        /// Of `amount`.
        currency: Currency,
        /// Where the payment stands.
        status: PaymentStatus,
        /// Who is paid: a member's id or `policyholder`.
        payee: Code,
        /// Whether it is paid on account, before the parties agree.
        on_account: Option<bool>,
    }

    /// `statement.issued` (aperçu, Abrechnung, estratto): what a payee received in a period.
    StatementIssued {
        /// The payee.
        to: Code,
        /// The days it covers, both included.
        period: Period,
        /// How often it is made, such as `monthly`.
        frequency: Code,
        /// How many payments were executed.
        paid_count: Count,
        /// Their sum.
        paid_sum: Amount,
        /// How many claims are still open.
        open_count: Count,
        /// Of `paid_sum`.
        currency: Currency,
    }

    /// `alert.raised`: the insurer noticed something that people should look at.
    AlertRaised {
        /// What, such as `possible_duplicate`.
        alert: Code,
        /// From what it follows.
        basis: Code,
        /// The pre-authorisations concerned.
        preauthorisations: Option<Vec<Code>>,
        /// The claims concerned.
        claims: Option<Vec<ClaimRef>>,
    }

    /// `reward.recorded`: somebody referred a customer and is rewarded.
    RewardRecorded {
        /// The consent under which the customer was referred.
        referral: Code,
        /// Who is rewarded.
        to: Code,
        /// How much.
        amount: Amount,
        /// Of `amount`.
        currency: Currency,
    }
}

impl Checked for ClaimOpened {
    fn defect(&self) -> Option<DataDefect> {
        DataDefect::of_currency(self.claimed.is_some(), self.currency)
    }
}

impl Checked for PreauthorisationRequested {}
impl Checked for PreauthorisationAnswered {}
impl Checked for PreauthorisationReleased {}
impl Checked for ClaimRegistered {}
impl Checked for ClaimState {}
impl Checked for ClaimDecided {}
impl Checked for ClaimDisputed {}
impl Checked for ClaimClosed {}
impl Checked for DeductibleSet {}
impl Checked for SettlementOffered {}
impl Checked for SettlementNotified {}
impl Checked for SettlementAnswered {}
impl Checked for PaymentRecorded {}
impl Checked for StatementIssued {}
impl Checked for AlertRaised {}
impl Checked for RewardRecorded {}
