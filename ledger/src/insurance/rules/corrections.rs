//! Records that correct others: both stay, and the state is as if the corrected
//! one had said what the newer says.
//!
//! What the corrected record did is undone first, as far as nothing has been
//! built on it; then the newer is judged like any other of its type.

use super::case::{Case, Verdict, refuse};
use crate::{
    digest::RecordId,
    insurance::{
        AmountOrText, ClaimRef, Code as Name, Data,
        contract::{ContractAmended, ContractChangeRequested, DocumentRequested},
        settlement::PreauthorisationAnswered,
        signature::SignatureTarget,
        state::{
            entities::{Contract, Correction, LadderStep, Offer},
            keys,
        },
    },
    limits::CORRECTION_CHAIN_MAX,
    record::Record,
    refusal::Code,
};

use super::{
    deductible::{COST_COMMITMENT, is_within_a_year},
    time::day_of,
};

const FIELD: &str = "corrects";

impl<'r> Case<'r, '_> {
    /// Undoes what the record corrects, if it corrects one. Whether the record
    /// at hand has effects to be taken in.
    pub(super) fn correct(&mut self) -> Verdict<bool> {
        let Some(id) = self.record.payload().corrects else { return Ok(true) };
        let Some(old) = self.find(&id)? else {
            let detail = format!("the ledger holds no record {id}");
            return refuse(Code::UnknownReference, FIELD, detail);
        };
        self.check_same(&old)?;
        let key = keys::correction(&id);
        if let Some(newer) = self.state.read(&key)? {
            let detail = format!(
                "it was corrected by record {}; what stands is that one, or what corrects it",
                newer.record
            );
            return refuse(Code::AlreadyCorrected, FIELD, detail);
        }
        let deep = match old.payload().corrects {
            Some(before) => self.state.read(&keys::correction(&before))?.map_or(0, |it| it.depth),
            None => 0,
        };
        if deep >= CORRECTION_CHAIN_MAX {
            let detail = format!("it is the last of {CORRECTION_CHAIN_MAX} corrections in a row");
            return refuse(Code::TooLarge, FIELD, detail);
        }
        let record = self.record.id();
        self.state.write(key, &Correction { record, depth: deep + 1 })?;
        self.corrected = Some(old.clone());
        self.undo(&old)
    }

    pub(super) fn find(&mut self, id: &RecordId) -> Verdict<Option<Record>> {
        if let Some(record) = self.block.get(id) {
            return Ok(Some(record.clone()));
        }
        Ok(self.state.reader().record(id)?)
    }

    /// That both are of one type and signer, and about the same thing.
    fn check_same(&self, old: &Record) -> Verdict {
        let (before, now) = (old.payload(), self.record.payload());
        let differs = |what: &str, before: &str, now: &str| {
            let detail = format!(
                "a correction keeps the {what} of what it corrects, {before}; this one has {now}"
            );
            refuse(Code::Malformed, FIELD, detail)
        };
        if before.record_type != now.record_type {
            return differs("type", before.record_type.as_str(), now.record_type.as_str());
        }
        let text = |name: Option<&str>| name.unwrap_or("none").to_owned();
        if before.contract != now.contract {
            let [before, now] =
                [before, now].map(|said| text(said.contract.as_ref().map(|named| named.as_str())));
            return differs("contract", &before, &now);
        }
        if before.claim != now.claim {
            let [before, now] =
                [before, now].map(|said| text(said.claim.as_ref().map(|named| named.as_str())));
            return differs("claim", &before, &now);
        }
        if old.signer() != self.record.signer() {
            let detail = format!(
                "record {} was signed by {}; only that member corrects it",
                old.id(),
                old.signer()
            );
            return refuse(Code::NotAParty, FIELD, detail);
        }
        for ((what, before), (_, now)) in
            identity(&before.data).into_iter().zip(identity(&now.data))
        {
            if before != now {
                return differs(what, &before, &now);
            }
        }
        Ok(())
    }

    /// Whether the record tells of the same moment as the one it corrects.
    pub(super) fn keeps_moment(&self) -> bool {
        let before = self.corrected.as_ref().map(|old| old.payload().occurred_at);
        before == Some(self.record.payload().occurred_at)
    }

    fn check_same_moment(&self, old: &Record) -> Verdict {
        let [before, now] = [old, self.record].map(|record| record.payload().occurred_at);
        if before == now {
            return Ok(());
        }
        let detail =
            format!("a correction of this type keeps the moment, {before}; this one has {now}");
        refuse(Code::Malformed, FIELD, detail)
    }

    /// Takes back what a record did. Whether the one that corrects it then does
    /// it anew.
    fn undo(&mut self, old: &Record) -> Verdict<bool> {
        let id = old.id();
        let data = &old.payload().data;
        match data {
            Data::ContractIssued(data) => self.undo_issued(id, data.referral.as_ref())?,
            Data::ContractAmended(data) => self.undo_amended(id, data)?,
            Data::ContractRenewed(_) => self.undo_renewed(id)?,
            Data::ContractTerminated(_) => {
                let mut contract = self.contract()?;
                self.kept.contract = Some(contract.clone());
                self.kept.due = contract.terminated.take().and_then(|end| end.due);
                self.state.write(keys::contract(self.contract_ref()?), &contract)?;
            }
            Data::ContractChangeRequested(data) => return self.undo_change_requested(id, data),
            Data::DocumentRequested(data) => self.undo_document_requested(id, data)?,
            Data::DocumentReceived(data) => return self.undo_word(id, &data.item),
            Data::DocumentAssessed(data) => return self.undo_word(id, &data.item),
            Data::PreauthorisationRequested(data) => {
                let named = self.contract_ref()?;
                let key = keys::preauthorisation(named, &data.preauthorisation);
                let answer = self.state.read(&key)?.and_then(|asked| asked.answer);
                if let Some(answer) = answer {
                    let detail = format!("it was answered by record {}", answer.record);
                    return refuse(Code::AlreadyAnswered, FIELD, detail);
                }
                self.undo_covered(old)?;
            }
            Data::PreauthorisationAnswered(data) => self.undo_answered(old, data)?,
            Data::ClaimOpened(data) => self.undo_opened(old, data.preauthorisation.as_ref())?,
            Data::ClaimDecided(_) => self.undo_decided(id)?,
            Data::ClaimClosed(_) => {
                let mut claim = self.claim()?;
                claim.closed = None;
                self.put_claim(&claim)?;
            }
            Data::DeductibleSet(_) => self.undo_deductible(old)?,
            Data::SettlementOffered(_) => {
                let mut claim = self.claim()?;
                let is_open = |offer: &Offer| offer.record == id && offer.answer.is_none();
                if !claim.offer.as_ref().is_some_and(is_open) {
                    let detail = "the offer was answered, or another one followed";
                    return refuse(Code::RoundGap, FIELD, detail);
                }
                self.undo_currency(&mut claim, id)?;
                self.put_claim(&claim)?;
            }
            Data::SettlementNotified(data) => {
                let offer = self.claim()?.offer.filter(|offer| offer.round == data.round);
                if offer.is_none_or(|offer| offer.answer.is_some()) {
                    let detail = "the offer was answered, or another one followed";
                    return refuse(Code::RoundGap, FIELD, detail);
                }
            }
            Data::SettlementAnswered(_) => self.undo_settlement_answered(id)?,
            Data::PaymentRecorded(data) => {
                self.undo_payment(old, data)?;
            }
            // Rules rest on their moment and cannot undo what they made of it; what they
            // ask of them else is the same (`identity`). The newer one is for readers.
            Data::SignatureRequested(_)
            | Data::SignatureChallenged(_)
            | Data::SignatureFailed(_)
            | Data::SignatureCompleted(_)
            | Data::PreauthorisationReleased(_)
            | Data::ClaimRegistered(_)
            | Data::ClaimState(_)
            | Data::ClaimDisputed(_) => {
                self.check_same_moment(old)?;
                return Ok(false);
            }
            // They are judged and change nothing, or name something once more.
            Data::ContractQuoted(_)
            | Data::ContractApplied(_)
            | Data::ContractPremium(_)
            | Data::DocumentIssued(_)
            | Data::PartyUpdated(_)
            | Data::ConsentRecorded(_)
            | Data::StatementIssued(_)
            | Data::AlertRaised(_)
            | Data::RewardRecorded(_)
            | Data::DisclosureErased(_)
            | Data::MemberProposed(_)
            | Data::MemberApproved(_) => {}
        }
        Ok(true)
    }

    /// The contract, if that record made its current version.
    fn contract_made_by(&mut self, id: RecordId) -> Verdict<Contract> {
        let contract = self.contract()?;
        if contract.made_by == id {
            return Ok(contract);
        }
        let detail = format!(
            "only what made the current version can be corrected; version {} is by record {}",
            contract.version.get(),
            contract.made_by
        );
        refuse(Code::VersionGap, FIELD, detail)
    }

    fn undo_issued(&mut self, id: RecordId, referral: Option<&Name>) -> Verdict {
        let named = self.contract_ref()?;
        if self.state.read(&keys::contract(named))?.is_none() {
            let detail = format!("the ledger holds no contract {named}");
            return refuse(Code::UnknownReference, "contract", detail);
        }
        let contract = self.contract_made_by(id)?;
        if contract.signed_at.is_some() {
            let detail = "the contract is signed; what is signed is changed by contract.amended";
            return refuse(Code::SignatureState, FIELD, detail);
        }
        self.kept.period = Some(self.period(named, 1)?);
        let Some(referral) = referral else { return Ok(()) };
        let key = keys::referral(referral);
        match self.state.read(&key)? {
            Some(mut issued) if issued.contracts > 1 => {
                issued.contracts -= 1;
                self.state.write(key, &issued)
            }
            _ => {
                self.state.remove(key);
                Ok(())
            }
        }
    }

    fn undo_amended(&mut self, id: RecordId, old: &ContractAmended) -> Verdict {
        let (named, mut contract) = (self.contract_ref()?, self.contract_made_by(id)?);
        if old.change.as_str() == "ceiling"
            && let Data::ContractAmended(new) = &self.record.payload().data
        {
            let mut period = self.period(named, contract.period)?;
            let within = old.effective <= period.to;
            if within != (new.effective <= period.to) {
                let detail = format!(
                    "a correction leaves the new ceiling on the same side of {}, the period's \
                     last day",
                    period.to
                );
                return refuse(Code::ChangeOnlyAtPeriodEnd, "data.effective", detail);
            }
            if within && old.to.is_some() && new.to.is_none() {
                let detail = "a correction of a changed ceiling says what the ceiling is";
                return refuse(Code::Malformed, "data.to", detail);
            }
            period.ceilings_agreed.retain(|agreed| agreed.record != id);
            if within {
                period.ceilings_within.retain(|change| change.record != id);
                period.forget_currency();
            }
            self.state.write(keys::period(named, contract.period), &period)?;
        }
        if old.change.as_str() == "broker" {
            contract.broker_changes.pop();
        }
        self.one_version_back(&mut contract)?;
        self.state.write(keys::contract(named), &contract)
    }

    fn undo_renewed(&mut self, id: RecordId) -> Verdict {
        let (named, mut contract) = (self.contract_ref()?, self.contract_made_by(id)?);
        self.kept.period = Some(self.period(named, contract.period)?);
        self.state.remove(keys::period(named, contract.period));
        contract.period = contract.period.saturating_sub(1);
        self.one_version_back(&mut contract)?;
        self.state.write(keys::contract(named), &contract)
    }

    fn one_version_back(&self, contract: &mut Contract) -> Verdict {
        match crate::insurance::Ordinal::new(contract.version.get() - 1) {
            Some(version) => {
                contract.version = version;
                if let Some(before) = contract.made_before.take() {
                    (contract.made_by, contract.made_at) = (before.record, before.at);
                }
                Ok(())
            }
            None => refuse(Code::VersionGap, FIELD, "the first version is the contract's issue"),
        }
    }

    fn undo_change_requested(
        &mut self,
        id: RecordId,
        old: &ContractChangeRequested,
    ) -> Verdict<bool> {
        let (named, contract) = (self.contract_ref()?, self.contract()?);
        if old.change.as_str() == "ceiling"
            && let Some(AmountOrText::Amount(_)) = old.to
        {
            let mut period = self.period(named, contract.period)?;
            if !period.withdraw_ceiling(id) {
                // A renewal has followed, or so many requests that it is forgotten.
                return Ok(false);
            }
            self.state.write(keys::period(named, contract.period), &period)?;
        }
        Ok(true)
    }

    /// Documents that the newer one no longer asks for are asked for no more,
    /// unless they came in.
    fn undo_document_requested(&mut self, id: RecordId, old: &DocumentRequested) -> Verdict {
        let Data::DocumentRequested(new) = &self.record.payload().data else { return Ok(()) };
        let about = self.about()?;
        for name in old.items.iter().filter(|name| !new.items.contains(name)) {
            let item = self.state.read(&about.item(name))?;
            let Some(item) = item else { continue };
            if item.requested_by == id && item.is_missing() {
                self.put_item(about, name, Some(&item), None)?;
            } else if item.newest > self.at() {
                // In between it may have been dropped.
                let mut after = item.clone();
                after.forget();
                self.put_item(about, name, Some(&item), Some(after))?;
            }
        }
        Ok(())
    }

    /// Whether the newest word on a document is that record's, and is another now.
    fn undo_word(&mut self, id: RecordId, name: &Name) -> Verdict<bool> {
        let found = match &self.record.payload().data {
            Data::DocumentReceived(data) => data.verdict,
            Data::DocumentAssessed(data) => Some(data.verdict),
            _ => None,
        };
        self.correct_word(id, name, found)
    }

    /// Whether the record tells of the same day as the one it corrects. Then it
    /// keeps that one's period, even if another one was agreed since.
    fn tells_of_same_day(&mut self, old: &Record) -> Verdict<bool> {
        let zone = self.contract()?.zone();
        let day = |record: &Record| day_of(record.payload().occurred_at.into(), &zone);
        Ok(day(old) == day(self.record))
    }

    fn undo_answered(&mut self, old: &Record, data: &PreauthorisationAnswered) -> Verdict {
        let named = self.contract_ref()?;
        let key = keys::preauthorisation(named, &data.preauthorisation);
        let Some(mut held) = self.state.read(&key)? else { return Ok(()) };
        if let Some(exit) = &held.exit {
            let detail = format!("the hold ended by record {}", exit.record);
            return refuse(Code::NotHeld, FIELD, detail);
        }
        if let Some(answer) = held.answer.take() {
            if self.tells_of_same_day(old)? {
                self.kept.number_of_period = Some(answer.period);
            }
            let mut period = self.period(named, answer.period)?;
            // It is held as it was up to the moment of the correction.
            period.correct_hold(answer.record, self.record.id(), self.at());
            self.state.write(keys::period(named, answer.period), &period)?;
        }
        self.state.write(key, &held)
    }

    /// A claim that nothing followed is opened again, on the hold that it used.
    fn undo_opened(&mut self, old: &Record, used: Option<&Name>) -> Verdict {
        let named = self.contract_ref()?;
        let claim = self.claim()?;
        let followed = claim.decision.as_ref().map(|decision| decision.record);
        let followed = followed.or(claim.offer.as_ref().map(|offer| offer.record)).or(claim.closed);
        if let Some(record) = followed {
            let detail = format!("record {record} was built on it");
            return refuse(Code::ClaimState, FIELD, detail);
        }
        self.undo_covered(old)?;
        if self.tells_of_same_day(old)? {
            self.kept.number_of_period = Some(claim.period);
        }
        let day = self.day_of_insurer(named.insurer(), old.payload().occurred_at.into());
        self.tally_open(&claim, day, -1)?;
        if let Some(number) = used {
            let key = keys::preauthorisation(named, number);
            if let Some(mut held) = self.state.read(&key)? {
                held.exit = None;
                self.state.write(key, &held)?;
            }
        }
        self.before = Some(claim.clone());
        self.kept.claim = Some(claim);
        Ok(())
    }

    fn undo_decided(&mut self, id: RecordId) -> Verdict {
        let mut claim = self.claim()?;
        super::claim::check_not_closed(&claim)?;
        self.undo_currency(&mut claim, id)?;
        match claim.decision.take() {
            Some(decision) if decision.record == id => {
                self.kept.deductible = Some(decision.deductible);
                self.kept.follows = decision.follows;
                if let Some(disputed) = claim.disputed.as_ref().filter(|it| it.at < self.at()) {
                    let detail = format!(
                        "it was disputed before that moment, by record {}",
                        disputed.record
                    );
                    return refuse(Code::ClaimState, "occurred_at", detail);
                }
            }
            decision => {
                let by = decision.map(|decision| decision.record.to_string()).unwrap_or_default();
                let detail = format!("another decision followed: record {by}");
                return refuse(Code::ClaimState, FIELD, detail);
            }
        }
        self.put_claim(&claim)
    }

    fn undo_deductible(&mut self, old: &Record) -> Verdict {
        let named = self.contract_ref()?;
        let key = keys::ladder(named);
        let ladder = self.state.read(&key)?;
        let Some((ladder, step)) = ladder.and_then(|mut ladder| {
            let step = ladder.steps.pop_if(|step| step.record == old.id())?;
            Some((ladder, step))
        }) else {
            return refuse(Code::LadderStep, FIELD, "only the last step can be corrected");
        };
        if let Some(claim_ref) = step.claim
            && let Some(mut claim) = self.state.read(&keys::claim(&claim_ref))?
        {
            if claim.step == LadderStep::Kept {
                // It is as its newest decision says.
                claim.step = LadderStep::None;
                self.count_steps(named, claim.opened_on.date().year(), -1)?;
            } else {
                claim.step = LadderStep::Pending;
            }
            self.state.write(keys::claim(&claim_ref), &claim)?;
        }
        if let Some(commitment) = step.commitment {
            self.count_steps(named, commitment.year, -1)?;
            if let Some(claim) = &commitment.claim {
                self.check_still_committed(claim)?;
            }
            // The claim that a commitment was for stays that.
            self.kept.commitment_claim = commitment.claim;
        }
        if ladder.steps.is_empty() {
            self.state.remove(key);
            return Ok(());
        }
        self.state.write(key, &ladder)
    }

    /// That a cost commitment that is corrected is still one for the claim that has
    /// borne what it says.
    fn check_still_committed(&mut self, claim_ref: &ClaimRef) -> Verdict {
        let Data::DeductibleSet(new) = &self.record.payload().data else { return Ok(()) };
        let (zone, at) = (self.contract()?.zone(), self.at());
        let Some(claim) = self.state.read(&keys::claim(claim_ref))? else { return Ok(()) };
        let is_one = new.cause.as_str() == COST_COMMITMENT;
        if is_one && is_within_a_year(claim.opened_at, at, &zone) {
            return Ok(());
        }
        let by = claim.decision.map(|decision| decision.record.to_string()).unwrap_or_default();
        let detail = format!(
            "claim {claim_ref} has borne what it says (record {by}), and would be no claim within \
             a year of it"
        );
        refuse(Code::LadderStep, FIELD, detail)
    }

    fn undo_settlement_answered(&mut self, id: RecordId) -> Verdict {
        let mut claim = self.claim()?;
        let answered = claim.offer.as_mut().and_then(|offer| offer.answer.take());
        let Some(answered) = answered.filter(|answered| answered.record == id) else {
            return refuse(Code::RoundGap, FIELD, "another offer followed");
        };
        if claim.is_paid_since(answered.record) || claim.closed.is_some() {
            let detail = "something was paid since, or the claim closed";
            return refuse(Code::RoundGap, FIELD, detail);
        }
        self.put_claim(&claim)
    }
}

/// What a correction must leave as it is: the numbers by which others refer to it.
fn identity(data: &Data) -> Vec<(&'static str, String)> {
    let text = |name: &Name| name.as_str().to_owned();
    let optional = |name: &Option<Name>| name.as_ref().map_or("none".to_owned(), text);
    match data {
        Data::ContractQuoted(data) => vec![("quote", text(&data.quote))],
        Data::ContractApplied(data) => vec![("application", text(&data.application))],
        Data::ContractIssued(data) => vec![("version", data.version.get().to_string())],
        Data::ContractAmended(data) => {
            vec![("version", data.version.get().to_string()), ("change", text(&data.change))]
        }
        Data::ContractRenewed(data) => vec![("version", data.version.get().to_string())],
        Data::ContractChangeRequested(data) => vec![("change", text(&data.change))],
        Data::ContractPremium(data) => vec![("receipt", text(&data.receipt))],
        Data::DocumentReceived(data) => vec![("item", text(&data.item))],
        Data::DocumentAssessed(data) => vec![("item", text(&data.item))],
        Data::DocumentIssued(data) => vec![("kind", text(&data.kind))],
        Data::PartyUpdated(data) => vec![("what", data.what.as_str().to_owned())],
        Data::ConsentRecorded(data) => vec![("consent", text(&data.consent))],
        Data::SignatureRequested(data) => {
            let target = match &data.target {
                SignatureTarget::Contract { contract, version } => {
                    format!("{contract} version {}", version.get())
                }
                SignatureTarget::Settlement { settlement, round } => {
                    format!("{settlement} round {}", round.get())
                }
            };
            let expires = data.expires.to_string();
            vec![("signature", text(&data.signature)), ("target", target), ("expires", expires)]
        }
        Data::SignatureChallenged(data) => vec![("signature", text(&data.signature))],
        Data::SignatureFailed(data) => {
            let reason = data.reason.as_str().to_owned();
            vec![("signature", text(&data.signature)), ("reason", reason)]
        }
        Data::SignatureCompleted(data) => vec![("signature", text(&data.signature))],
        Data::PreauthorisationRequested(data) => {
            vec![("preauthorisation", text(&data.preauthorisation))]
        }
        Data::PreauthorisationAnswered(data) => {
            vec![("preauthorisation", text(&data.preauthorisation))]
        }
        Data::PreauthorisationReleased(data) => {
            vec![("preauthorisation", text(&data.preauthorisation))]
        }
        Data::ClaimOpened(data) => vec![("preauthorisation", optional(&data.preauthorisation))],
        Data::ClaimRegistered(data) => vec![("number", text(&data.number))],
        Data::DeductibleSet(data) => vec![("model", data.model.as_str().to_owned())],
        Data::SettlementOffered(data) => vec![("round", data.round.get().to_string())],
        Data::SettlementNotified(data) => vec![("round", data.round.get().to_string())],
        Data::SettlementAnswered(data) => vec![("round", data.round.get().to_string())],
        Data::StatementIssued(data) => vec![("payee", text(&data.to))],
        Data::AlertRaised(data) => vec![("alert", text(&data.alert))],
        Data::RewardRecorded(data) => vec![("referral", text(&data.referral))],
        Data::DisclosureErased(data) => vec![("record", data.record.id().to_string())],
        Data::ContractTerminated(_)
        | Data::DocumentRequested(_)
        | Data::ClaimState(_)
        | Data::ClaimDecided(_)
        | Data::ClaimDisputed(_)
        | Data::ClaimClosed(_)
        | Data::PaymentRecorded(_)
        | Data::MemberProposed(_)
        | Data::MemberApproved(_) => Vec::new(),
    }
}
