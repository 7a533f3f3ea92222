//! The dossier of a contract: everything the ledger holds about it.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    AsOf, AsOfShown, ClaimStatus, ClaimView, ContractFacts, ContractStatus, Documents, Event,
    IssuedPaper, Ladder, Line, PeriodUse, Preauthorisation, Premium, Selection, SignatureShown,
    Standing, Termination, Value, VersionShown, claims::ClaimFold, contract::ContractFold,
    documents::DocumentsFold, holds::Holds, ladder::LadderFold, select, shown,
    signatures::Signatures, time_zone,
};
use crate::{
    digest::RecordId,
    insurance::{Amount, AmountOrText, ClaimRef, ContractRef, Data},
};

shown! {
    /// A claim as a line of its contract's dossier. Amounts are in minor units of `currency`.
    ClaimSummary {
        /// `<insurer>/<number>`.
        claim: String,
        /// Where it stands.
        status: ClaimStatus,
        /// When it was opened.
        opened_at: Option<Timestamp>,
        /// Who opened it: a member's id, or `policyholder`.
        opened_by: Option<String>,
        /// What happened.
        kind: Option<String>,
        /// The service used.
        service: Option<String>,
        /// The number that the insurer gave it.
        number: Option<String>,
        /// The pre-authorisation that it used up.
        preauthorisation: Option<String>,
        /// The number of the insurance period that pays it, from 1.
        period: Option<u32>,
        /// Of the amounts, once one is known.
        currency: Option<String>,
        /// What was asked for.
        claimed: Option<u64>,
        /// What will be paid by the newest decision.
        approved: Option<u64>,
        /// What was paid: executed less returned.
        paid: i64,
        /// What is to be paid and is not yet.
        left_to_pay: Option<u64>,
        /// What it uses of its period's ceiling.
        spent: u64,
        /// Whether it is neither refused, nor paid in full, nor closed.
        open: bool,
        /// The record that opened it; null where that is missing.
        record: Option<RecordId>,
    }

    /// A change that was wished for.
    ChangeRequest {
        /// The property.
        property: String,
        /// What it is to become.
        to: Option<Value>,
        /// From which day.
        wanted_on: Date,
        /// Whose wish it is.
        by: String,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// Details of a party changed; which ones, never what they are.
    PartyUpdate {
        /// `address`, `bank` or `contact`.
        what: String,
        /// Whether the customer confirmed the change.
        confirmed: bool,
        /// From which day it holds.
        effective: Date,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// A consent as it stands.
    Consent {
        /// Its number.
        consent: String,
        /// What it allows.
        purpose: String,
        /// `given` or `withdrawn`.
        state: String,
        /// The newest record about it.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// Something that people should look at.
    Alert {
        /// What, such as `possible_duplicate`.
        alert: String,
        /// From what it follows.
        basis: String,
        /// The pre-authorisations concerned.
        preauthorisations: Vec<String>,
        /// The claims concerned.
        claims: Vec<String>,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// A referral was rewarded.
    Reward {
        /// The consent under which the customer was referred.
        referral: String,
        /// Who is rewarded.
        to: String,
        /// How much, in minor units.
        amount: u64,
        /// Of the amount.
        currency: String,
        /// The record that says so.
        record: RecordId,
        /// When.
        occurred_at: Timestamp,
    }

    /// The dossier of a contract as of a moment.
    Dossier {
        /// `<insurer>/<number>`.
        contract: String,
        /// The moment.
        as_of: AsOfShown,
        /// The IANA time zone in which its days are counted.
        time_zone: String,
        /// Whether it is in force.
        status: ContractStatus,
        /// What it says; null where the ledger holds no record that issues it.
        facts: Option<ContractFacts>,
        /// How it ended.
        termination: Option<Termination>,
        /// The insurance period of the moment: what it pays and what is used of it.
        ceiling: Option<PeriodUse>,
        /// Every insurance period, the newest last.
        periods: Vec<PeriodUse>,
        /// Its versions, the newest last.
        versions: Vec<VersionShown>,
        /// Changes that were wished for, the newest last.
        change_requests: Vec<ChangeRequest>,
        /// Its premium receipts, each with its newest status.
        premiums: Vec<Premium>,
        /// Its documents: red or green.
        documents: Documents,
        /// Its signatures and those for its claims.
        signatures: Vec<SignatureShown>,
        /// Its pre-authorisations and what they hold.
        preauthorisations: Vec<Preauthorisation>,
        /// Its claims, in the order they were opened.
        claims: Vec<ClaimSummary>,
        /// Its deductible.
        deductible: Option<Ladder>,
        /// Details of parties that changed.
        party_updates: Vec<PartyUpdate>,
        /// Consents that name it.
        consents: Vec<Consent>,
        /// What people should look at.
        alerts: Vec<Alert>,
        /// Rewards that name it.
        rewards: Vec<Reward>,
        /// Every record that names it, in the order of the ledger.
        events: Vec<Event>,
    }
}

impl From<&ClaimView> for ClaimSummary {
    fn from(claim: &ClaimView) -> Self {
        Self {
            claim: claim.claim.clone(),
            status: claim.status,
            opened_at: claim.opened_at,
            opened_by: claim.opened_by.clone(),
            kind: claim.kind.clone(),
            service: claim.service.clone(),
            number: claim.number.clone(),
            preauthorisation: claim.preauthorisation.clone(),
            period: claim.period,
            currency: claim.currency.clone(),
            claimed: claim.claimed,
            approved: claim.approved,
            paid: claim.paid,
            left_to_pay: claim.left_to_pay,
            spent: claim.spent,
            open: claim.open,
            record: claim.opened,
        }
    }
}

/// The time zone in which a contract's days are counted: its own, as the issue
/// names it that stands at that moment, else `default`, which is the insurer's.
/// Before any issue it is that of the first one to come. `as_of` gives the moment
/// where days are those of a time zone; none where there is no such moment.
#[must_use]
pub fn zone_of(
    lines: &[Line],
    default: &TimeZone,
    as_of: impl Fn(&TimeZone) -> Option<AsOf>,
) -> TimeZone {
    let issues = lines.iter().rev().filter_map(|line| match &line.record.payload().data {
        Data::ContractIssued(data) => {
            let named = data.time_zone.as_ref().and_then(|name| time_zone(name.as_str()));
            Some((line, named.unwrap_or_else(|| default.clone())))
        }
        _ => None,
    });
    let mut first = None;
    for (line, zone) in issues {
        let at = line.record.payload().occurred_at;
        if as_of(&zone).is_some_and(|as_of| as_of.lets_pass(line.height, at)) {
            return zone;
        }
        first = Some(zone);
    }
    first.unwrap_or_else(|| default.clone())
}

/// The dossier of a contract from the lines that name it, in the order of the
/// ledger; none where none of them counts at that moment. `zone` is the contract's.
#[must_use]
pub fn dossier(
    contract: &ContractRef,
    lines: &[Line],
    as_of: AsOf,
    zone: &TimeZone,
) -> Option<Dossier> {
    let selection = select(lines, as_of);
    if selection.recorded.is_empty() {
        return None;
    }
    let mut fold = Fold::new(contract, as_of, zone, &selection);
    selection.standing.iter().for_each(|standing| fold.take(standing));
    Some(fold.finish(&selection).0)
}

/// A claim from the lines that name its contract, in the order of the ledger;
/// none where none of those that count at that moment names the claim.
#[must_use]
pub fn claim(
    claim: &ClaimRef,
    contract: &ContractRef,
    lines: &[Line],
    as_of: AsOf,
    zone: &TimeZone,
) -> Option<ClaimView> {
    let selection = select(lines, as_of);
    let mut fold = Fold::new(contract, as_of, zone, &selection);
    selection.standing.iter().for_each(|standing| fold.take(standing));
    let (_, claims) = fold.finish(&selection);
    let mut found = claims.into_iter().find(|view| view.claim == claim.as_str())?;
    found.events = selection
        .recorded
        .iter()
        .filter(|recorded| recorded.line.record.payload().claim.as_ref() == Some(claim))
        .map(|recorded| Event::of(recorded, zone))
        .collect();
    Some(found)
}

/// A dossier while its records are taken in.
pub(super) struct Fold<'z> {
    contract: String,
    as_of: AsOf,
    zone: &'z TimeZone,
    says: ContractFold,
    change_requests: Vec<ChangeRequest>,
    papers: Vec<IssuedPaper>,
    signatures: Signatures,
    holds: Holds,
    claims: Vec<(ClaimRef, ClaimFold)>,
    ladder: LadderFold,
    party_updates: Vec<PartyUpdate>,
    consents: Vec<Consent>,
    alerts: Vec<Alert>,
    rewards: Vec<Reward>,
}

impl<'z> Fold<'z> {
    pub(super) fn new(
        contract: &ContractRef,
        as_of: AsOf,
        zone: &'z TimeZone,
        selection: &Selection<'_>,
    ) -> Self {
        Self {
            contract: contract.to_string(),
            as_of,
            zone,
            says: ContractFold::new(&selection.standing),
            change_requests: Vec::new(),
            papers: Vec::new(),
            signatures: Signatures::default(),
            holds: Holds::default(),
            claims: Vec::new(),
            ladder: LadderFold::default(),
            party_updates: Vec::new(),
            consents: Vec::new(),
            alerts: Vec::new(),
            rewards: Vec::new(),
        }
    }

    /// Takes in the next record that counts.
    pub(super) fn take(&mut self, standing: &Standing<'_>) {
        match standing.data() {
            Data::ContractIssued(data) => self.says.issued(standing, data),
            Data::ContractAmended(data) => self.says.amended(standing, data),
            Data::ContractRenewed(data) => self.says.renewed(standing, data),
            Data::ContractTerminated(data) => self.says.terminated(standing, data),
            Data::ContractPremium(data) => self.says.premium(standing, data),
            Data::SignatureRequested(_)
            | Data::SignatureChallenged(_)
            | Data::SignatureFailed(_)
            | Data::SignatureCompleted(_) => self.signatures.take(standing),
            Data::PreauthorisationRequested(data) => self.holds.requested(standing, data),
            Data::PreauthorisationAnswered(data) => {
                let period = self.says.period_for(standing, self.zone);
                if data.guaranteed > Amount::ZERO {
                    self.says.sees(period, data.currency.code());
                }
                self.holds.answered(standing, data, period);
            }
            Data::PreauthorisationReleased(data) => self.holds.released(standing, data),
            Data::DeductibleSet(data) => self.ladder.step(standing, data, self.zone),
            Data::ClaimOpened(data) => {
                let number = data.preauthorisation.as_ref();
                let used = number.and_then(|number| self.holds.claimed(standing, number.as_str()));
                let period = self.says.period_for(standing, self.zone);
                if let Some(claim) = standing.claim()
                    && let Some(fold) = self.claim(claim)
                {
                    fold.opened(standing, data, period, used.as_ref());
                    self.sees_claim(claim);
                }
            }
            Data::ClaimDecided(data) => {
                if let Some(claim) = standing.claim() {
                    let opened_at = self.claim(claim).and_then(|fold| fold.opened_at());
                    self.ladder.decided(claim, opened_at, data.deductible);
                }
                self.take_else(standing);
            }
            _ => self.take_else(standing),
        }
    }

    fn take_else(&mut self, standing: &Standing<'_>) {
        let (record, occurred_at) = (standing.id(), standing.at);
        match standing.data() {
            Data::ContractChangeRequested(data) => {
                let currency = || data.currency.map(|currency| currency.code().to_owned());
                let to = data.to.as_ref().map(|to| match (to, currency()) {
                    (AmountOrText::Amount(amount), Some(currency)) => {
                        Value::Amount { amount: amount.minor_units(), currency }
                    }
                    (AmountOrText::Amount(amount), None) => {
                        Value::Text(amount.minor_units().to_string())
                    }
                    (AmountOrText::Text(text), _) => Value::Text(text.to_string()),
                });
                let by = standing.payload().declared_by.as_ref();
                self.change_requests.push(ChangeRequest {
                    property: data.change.to_string(),
                    to,
                    wanted_on: data.wanted_on.date(),
                    by: by.map_or_else(|| standing.signer(), ToString::to_string),
                    record,
                    occurred_at,
                });
            }
            Data::DocumentIssued(data) => self.papers.push(IssuedPaper {
                kind: data.kind.to_string(),
                reissue_of: data.reissue_of.as_ref().map(ToString::to_string),
                record,
                occurred_at,
                by: standing.signer(),
            }),
            Data::PartyUpdated(data) => self.party_updates.push(PartyUpdate {
                what: data.what.as_str().to_owned(),
                confirmed: data.confirmed == Some(true),
                effective: data.effective.date(),
                record,
                occurred_at,
            }),
            Data::ConsentRecorded(data) => {
                self.consents.retain(|before| before.consent != data.consent.as_str());
                self.consents.push(Consent {
                    consent: data.consent.to_string(),
                    purpose: data.purpose.to_string(),
                    state: data.state.as_str().to_owned(),
                    record,
                    occurred_at,
                });
            }
            Data::AlertRaised(data) => self.alerts.push(Alert {
                alert: data.alert.to_string(),
                basis: data.basis.to_string(),
                preauthorisations: texts(data.preauthorisations.as_deref()),
                claims: texts(data.claims.as_deref()),
                record,
                occurred_at,
            }),
            Data::RewardRecorded(data) => self.rewards.push(Reward {
                referral: data.referral.to_string(),
                to: data.to.to_string(),
                amount: data.amount.minor_units(),
                currency: data.currency.code().to_owned(),
                record,
                occurred_at,
            }),
            _ => {
                if let Some(claim) = standing.claim()
                    && let Some(fold) = self.claim(claim)
                {
                    fold.take(standing);
                    self.sees_claim(claim);
                }
            }
        }
    }

    /// Notes in which currency a period counts, where a claim counts in it first.
    fn sees_claim(&mut self, claim: &ClaimRef) {
        let fold = self.claims.iter().rev().find(|(known, _)| known == claim);
        if let Some((_, fold)) = fold.filter(|(_, fold)| fold.spent() > 0)
            && let Some(currency) = fold.currency()
        {
            self.says.sees(fold.period(), currency);
        }
    }

    /// The claim of that number, which is made where it is missing.
    fn claim(&mut self, claim: &ClaimRef) -> Option<&mut ClaimFold> {
        let place = self.claims.iter().rposition(|(known, _)| known == claim);
        if place.is_none() {
            let fold = ClaimFold::new(claim.as_str(), &self.contract, self.as_of.into(), self.zone);
            self.claims.push((claim.clone(), fold));
        }
        let found = match place {
            Some(place) => self.claims.get_mut(place),
            None => self.claims.last_mut(),
        };
        found.map(|(_, fold)| fold)
    }

    /// The dossier, and its claims in full.
    pub(super) fn finish(mut self, selection: &Selection<'_>) -> (Dossier, Vec<ClaimView>) {
        let (time, zone) = (self.as_of.time(), self.zone);
        for (_, claim) in &self.claims {
            if let (Some(period), Some(currency)) = (claim.period(), claim.currency())
                && claim.spent() > 0
            {
                self.says.spend(period, currency, claim.spent());
            }
        }
        for (period, currency, amount) in self.holds.held(time) {
            self.says.hold(period, currency, amount);
        }
        let says = self.says.finish(time, zone, self.signatures.contract_signed_at());
        let mut documents = DocumentsFold::default();
        selection.recorded.iter().for_each(|recorded| documents.take(recorded.line));
        let claims: Vec<ClaimView> = self
            .claims
            .into_iter()
            .map(|(claim, fold)| {
                let mut view = fold.finish(time);
                view.items = documents.of_claim(&claim).finish(time, zone);
                view
            })
            .collect();
        let dossier = Dossier {
            contract: self.contract,
            as_of: self.as_of.into(),
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            status: says.status,
            facts: says.facts,
            termination: says.termination,
            ceiling: says.ceiling,
            periods: says.periods,
            versions: says.versions,
            change_requests: self.change_requests,
            premiums: says.premiums,
            documents: Documents::new(documents.contract.finish(time, zone), self.papers),
            signatures: self.signatures.finish(time),
            preauthorisations: self.holds.finish(time),
            claims: claims.iter().map(ClaimSummary::from).collect(),
            deductible: self.ladder.finish(time, zone),
            party_updates: self.party_updates,
            consents: self.consents,
            alerts: self.alerts,
            rewards: self.rewards,
            events: selection
                .recorded
                .iter()
                .map(|recorded| Event::of(recorded, self.zone))
                .collect(),
        };
        (dossier, claims)
    }
}

fn texts(items: Option<&[impl ToString]>) -> Vec<String> {
    items.into_iter().flatten().map(ToString::to_string).collect()
}
