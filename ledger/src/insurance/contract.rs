//! What records of the family `contract` say: contracts, documents, parties, consents.

use super::{
    Amount, AmountOrText, Code, Currency, Day, DayOrMoment, Ordinal, Period, Text, TextOrInteger,
    types::{Checked, DataDefect, data, words},
};

words! {
    /// How the deductible of a legal-expenses contract moves with claims.
    DeductibleModel {
        /// Starts at nothing, rises with claims, falls with claim-free years.
        Variable = "variable",
        /// Starts high, falls with claim-free years, jumps after a cost commitment.
        Bonus = "bonus",
    }

    /// Where the payment of a premium stands.
    PremiumStatus {
        /// To be paid by its day.
        Due = "due",
        /// Paid.
        Paid = "paid",
        /// Not paid, or the debit came back.
        Unpaid = "unpaid",
        /// Given back.
        Refunded = "refunded",
    }

    /// What somebody found who looked at a document.
    Verdict {
        /// Good: the item is no longer missing.
        Accepted = "accepted",
        /// Cannot be read.
        Unreadable = "unreadable",
        /// Read, and not good.
        Rejected = "rejected",
    }

    /// Which details of a party changed; the details themselves stay off the ledger.
    PartyDetail {
        /// The address.
        Address = "address",
        /// The bank account.
        Bank = "bank",
        /// Telephone or e-mail.
        Contact = "contact",
    }

    /// Whether a consent stands.
    ConsentState {
        /// It was given.
        Given = "given",
        /// It was withdrawn.
        Withdrawn = "withdrawn",
    }
}

data! {
    /// `contract.quoted` (devis, Vorschlag, preventivo): a price was named before there is a contract.
    ContractQuoted {
        /// The quote's number, which an application refers to.
        quote: Code,
        /// What a year of cover would cost.
        premium: Option<Amount>,
        /// Of `premium`.
        currency: Option<Currency>,
        /// Until when the price stands.
        valid_until: Option<DayOrMoment>,
    }

    /// `contract.applied` (demande, Antrag, proposta): the customer asks for a contract.
    ContractApplied {
        /// The application's number.
        application: Code,
        /// The quote it takes up.
        quote: Option<Code>,
        /// The branch of the broker that took it.
        branch: Option<Code>,
    }

    /// `contract.issued` (émission, Policierung, emissione): the insurer is bound.
    ContractIssued {
        /// The contract's version; an issued contract is its own first.
        version: Ordinal,
        /// What is insured, such as `pet_health` or `motor`.
        line_of_business: Code,
        /// The first insurance period, both days included.
        period: Period,
        /// The IANA time zone in which the contract's days are counted.
        time_zone: Option<Code>,
        /// The member id of the broker that administers it.
        broker: Option<Code>,
        /// The cover chosen.
        cover: Option<Code>,
        /// The modules taken, such as `private` and `traffic`.
        modules: Option<Vec<Code>>,
        /// The most that one period pays.
        annual_ceiling: Option<Amount>,
        /// How its deductible moves.
        deductible_model: Option<DeductibleModel>,
        /// What a period costs.
        premium: Option<Amount>,
        /// How it is paid.
        payment_mode: Option<Code>,
        /// What is insured, by an opaque name such as `animal:PA7`.
        risk: Option<Code>,
        /// The application it answers.
        application: Option<Code>,
        /// The consent under which the customer was referred.
        referral: Option<Code>,
        /// Whether it is in force only once it is signed.
        signature_required: bool,
        /// Of every amount here.
        currency: Option<Currency>,
    }

    /// `contract.change_requested` (demande de modification, Änderungsantrag, richiesta di
    /// variazione): a change is wished for, not yet agreed.
    ContractChangeRequested {
        /// The property that is to change, such as `ceiling` or `address`.
        change: Code,
        /// What it is to become.
        to: Option<AmountOrText>,
        /// From which day.
        wanted_on: Day,
        /// Of `to`, where that is an amount.
        currency: Option<Currency>,
    }

    /// `contract.amended` (avenant, Nachtrag, appendice): the insurer changed the contract.
    ContractAmended {
        /// The version that this makes.
        version: Ordinal,
        /// The property that changes.
        change: Code,
        /// From which day it holds.
        effective: Day,
        /// What the property becomes.
        to: Option<AmountOrText>,
        /// Of `to`, where that is an amount.
        currency: Option<Currency>,
    }

    /// `contract.renewed` (renouvellement, Verlängerung, rinnovo): another period begins.
    ContractRenewed {
        /// The version that this makes.
        version: Ordinal,
        /// The new period, both days included.
        period: Period,
        /// The most that the new period pays.
        annual_ceiling: Option<Amount>,
        /// Who answers for the renewal, by the insurer's own name or number.
        responsible: Option<TextOrInteger>,
        /// Of `annual_ceiling`.
        currency: Option<Currency>,
    }

    /// `contract.terminated` (résiliation, Kündigung, disdetta): the contract ends.
    ContractTerminated {
        /// Why, such as `missing_documents`.
        reason: Code,
        /// The day on which it ends, when not at once.
        effective: Option<Day>,
    }

    /// `contract.premium` (quittance, Beitragsrechnung, quietanza di premio): one premium receipt.
    ContractPremium {
        /// The receipt's number.
        receipt: Code,
        /// The day by which it is to be paid.
        due_on: Day,
        /// How much.
        amount: Amount,
        /// Of `amount`.
        currency: Currency,
        /// Where its payment stands.
        status: PremiumStatus,
        /// Whether it is debited from the customer's account.
        direct_debit: Option<bool>,
    }

    /// `document.requested` (pièces demandées): the dossier is red until each item is accepted.
    DocumentRequested {
        /// What is missing, such as `driving_licence`.
        items: Vec<Code>,
        /// The last day for it.
        due: Day,
    }

    /// `document.received`: an item came in; whoever took it may say at once what it is worth.
    DocumentReceived {
        /// The item that was asked for.
        item: Code,
        /// What was found, where somebody has looked.
        verdict: Option<Verdict>,
        /// What the customer is shown.
        label: Option<Text>,
        /// What the customer is to do.
        action: Option<Code>,
    }

    /// `document.assessed`: somebody looked at an item that came in.
    DocumentAssessed {
        /// The item that was asked for.
        item: Code,
        /// What was found.
        verdict: Verdict,
        /// What the customer is shown, such as « Illisible ».
        label: Option<Text>,
        /// What the customer is to do, such as `resend`.
        action: Option<Code>,
    }

    /// `document.issued` (carte verte, attestation, Versicherungsschein, certificato): a paper
    /// that shows the cover was handed out.
    DocumentIssued {
        /// What it is, such as `green_card`.
        kind: Code,
        /// The paper it replaces.
        reissue_of: Option<Code>,
    }

    /// `party.updated` (coordonnées, Adress- und Bankdaten, anagrafica): details changed, and
    /// which; never the details themselves.
    PartyUpdated {
        /// Which details.
        what: PartyDetail,
        /// Whether the customer confirmed the change.
        confirmed: Option<bool>,
        /// From which day it holds.
        effective: Day,
    }

    /// `consent.recorded`: the customer agreed to something, or no longer does.
    ConsentRecorded {
        /// The consent's number.
        consent: Code,
        /// What it allows.
        purpose: Code,
        /// Whether it stands.
        state: ConsentState,
    }
}

impl Checked for ContractQuoted {
    fn defect(&self) -> Option<DataDefect> {
        DataDefect::of_currency(self.premium.is_some(), self.currency)
    }
}

impl Checked for ContractIssued {
    fn defect(&self) -> Option<DataDefect> {
        let any_amount = self.annual_ceiling.is_some() || self.premium.is_some();
        DataDefect::of_currency(any_amount, self.currency)
    }
}

impl Checked for ContractChangeRequested {
    fn defect(&self) -> Option<DataDefect> {
        defect_of_change(&self.change, self.to.as_ref(), self.currency)
    }
}

impl Checked for ContractAmended {
    fn defect(&self) -> Option<DataDefect> {
        defect_of_change(&self.change, self.to.as_ref(), self.currency)
    }
}

impl Checked for ContractRenewed {
    fn defect(&self) -> Option<DataDefect> {
        DataDefect::of_currency(self.annual_ceiling.is_some(), self.currency)
    }
}

/// A ceiling is money, whoever asks for it to change.
fn defect_of_change(
    change: &Code,
    to: Option<&AmountOrText>,
    currency: Option<Currency>,
) -> Option<DataDefect> {
    match to {
        Some(AmountOrText::Text(_)) if change.as_str() == "ceiling" => Some(DataDefect {
            member: "to",
            predicate: "must be an amount in cents (minor units) where the ceiling changes",
        }),
        Some(AmountOrText::Amount(_)) => DataDefect::of_currency(true, currency),
        _ => None,
    }
}

impl Checked for ContractApplied {}
impl Checked for ContractTerminated {}
impl Checked for ContractPremium {}
impl Checked for DocumentRequested {}
impl Checked for DocumentReceived {}
impl Checked for DocumentAssessed {}
impl Checked for DocumentIssued {}
impl Checked for PartyUpdated {}
impl Checked for ConsentRecorded {}
