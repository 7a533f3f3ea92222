//! The record at hand and what the ledger holds: what every rule works on.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::figures::shown;
use crate::{
    digest::RecordId,
    insurance::{
        Amount, ClaimRef, ContractRef, Currency, Data, Moment,
        disclosure::DisclosureErased,
        state::{
            ApplyError, Overlay,
            entities::{Claim, Contract, Flags, Mark, Period},
            keys,
        },
    },
    membership::{Disposition, Membership, Role},
    record::Record,
    refusal::{Code, Refusal},
};

/// What a rule decides.
pub(super) type Verdict<T = ()> = Result<T, ApplyError>;

/// Refuses for one field.
pub(super) fn refuse<T>(code: Code, field: &str, detail: impl Into<String>) -> Verdict<T> {
    Err(Refusal::of_field(code, field, detail).into())
}

/// A record on its way into a block.
pub(super) struct Case<'r, 'a> {
    pub(super) record: &'r Record,
    /// Who decides on the block.
    pub(super) membership: &'r Membership,
    /// The records of the block so far.
    pub(super) block: &'r HashMap<RecordId, Record>,
    pub(super) state: &'r mut Overlay<'a>,
    /// The contract and the claim that it names, as read last; nothing has
    /// changed them since.
    read: (Option<Contract>, Option<Claim>),
    /// Rules that it breaks and that the genesis only flags.
    pub(super) flags: Vec<Code>,
    /// The record that it corrects, whose effect is undone already.
    pub(super) corrected: Option<Record>,
    /// The claim that it names, as it was before it.
    pub(super) before: Option<Claim>,
    /// What the corrected record leaves behind for this one.
    pub(super) kept: Kept,
}

/// What a correction takes over from what it corrects.
#[derive(Default)]
pub(super) struct Kept {
    /// What was spent and held of a period that is made again.
    pub(super) period: Option<Period>,
    /// The contract whose end is told again.
    pub(super) contract: Option<Contract>,
    /// The number of the period that pays a claim or a hold, where neither says
    /// another day.
    pub(super) number_of_period: Option<u32>,
    /// The claim that is opened again.
    pub(super) claim: Option<Claim>,
    /// What was paid of the claim before a payment was taken back.
    pub(super) paid: Option<Amount>,
    /// Who had received it, in which currency and when, where it was executed.
    pub(super) payee: Option<(String, Currency, Moment)>,
    /// The claim that a cost commitment was for, where that is made again.
    pub(super) commitment_claim: Option<ClaimRef>,
    /// What the decision followed that is taken back.
    pub(super) follows: Option<Mark>,
    /// The day by which documents were due that a contract was ended for.
    pub(super) due: Option<crate::insurance::Day>,
    /// The deductible by which a decision was judged; none in it where there was no ladder.
    pub(super) deductible: Option<Option<Amount>>,
}

/// Decides on a record by what the ledger holds, and takes in what it changes.
pub(super) fn decide(
    record: &Record,
    membership: &Membership,
    block: &HashMap<RecordId, Record>,
    index: u64,
    state: &mut Overlay<'_>,
) -> Verdict {
    let (flags, kept) = (Vec::new(), Kept::default());
    let (read, before, corrected) = ((None, None), None, None);
    let mut case = Case { record, membership, block, state, read, flags, corrected, before, kept };
    case.check_references()?;
    case.before.clone_from(&case.read.1);
    let goes_on = case.correct()?;
    if case.corrects() {
        case.read = (None, None);
    }
    if goes_on {
        case.take()?;
    }
    if !case.flags.is_empty() {
        let codes = case.flags.iter().map(|code| code.as_str().to_owned()).collect();
        case.state.write(keys::flags(index), &Flags { codes })?;
    }
    Ok(())
}

impl<'r> Case<'r, '_> {
    /// When it happened, as the signer claims.
    pub(super) fn at(&self) -> Moment {
        Moment::from(self.record.payload().occurred_at)
    }

    /// The contract that the record names.
    pub(super) fn contract_ref(&self) -> Verdict<&'r ContractRef> {
        match &self.record.payload().contract {
            Some(contract) => Ok(contract),
            None => refuse(Code::Malformed, "contract", "contract is missing"),
        }
    }

    /// The claim that the record names.
    pub(super) fn claim_ref(&self) -> Verdict<&'r ClaimRef> {
        match &self.record.payload().claim {
            Some(claim) => Ok(claim),
            None => refuse(Code::Malformed, "claim", "claim is missing"),
        }
    }

    /// The contract that the record names, as it stands.
    pub(super) fn contract(&mut self) -> Verdict<Contract> {
        match self.read.0.take() {
            Some(contract) => Ok(contract),
            None => self.contract_of(self.contract_ref()?),
        }
    }

    fn contract_of(&mut self, named: &ContractRef) -> Verdict<Contract> {
        match self.state.read(&keys::contract(named))? {
            Some(contract) => Ok(contract),
            None => refuse(
                Code::UnknownReference,
                "contract",
                format!("the ledger holds no contract {named}; it was never issued here"),
            ),
        }
    }

    /// The claim that the record names, as it stands.
    pub(super) fn claim(&mut self) -> Verdict<Claim> {
        if let Some(claim) = self.read.1.take() {
            return Ok(claim);
        }
        let claim = self.claim_ref()?;
        match self.state.read(&keys::claim(claim))? {
            Some(claim) => Ok(claim),
            None => refuse(
                Code::UnknownReference,
                "claim",
                format!("the ledger holds no claim {claim}; it was never opened here"),
            ),
        }
    }

    /// That the contract and the claim it names are on the ledger and belong
    /// together, and that a broker speaks of its own contracts.
    fn check_references(&mut self) -> Verdict {
        let payload = self.record.payload();
        // They come before there is a contract; a number they name is one to be.
        let comes_before = matches!(
            payload.data,
            Data::ContractQuoted(_) | Data::ContractApplied(_) | Data::ContractIssued(_)
        );
        let contract = match &payload.contract {
            Some(named) if !comes_before => Some(self.contract_of(named)?),
            _ => None,
        };
        let claim = match &payload.claim {
            Some(_) if !matches!(payload.data, Data::ClaimOpened(_)) => Some(self.claim()?),
            _ => None,
        };
        if let (Some(claim), Some(named)) = (&claim, &payload.contract)
            && claim.contract != *named
        {
            let detail = format!(
                "the claim is about contract {} (record {}), not about {named}",
                claim.contract, claim.opened
            );
            return refuse(Code::UnknownReference, "claim", detail);
        }
        match (&contract, &claim) {
            (Some(contract), _) => self.check_broker(contract)?,
            (None, Some(claim)) if !comes_before => {
                let contract = self.contract_of(&claim.contract)?;
                self.check_broker(&contract)?;
            }
            _ => {}
        }
        if let Some(claim) = &claim {
            self.check_since_opened(claim)?;
        }
        self.read = (contract, claim);
        Ok(())
    }

    /// What is done about a claim is done once it is open. Its documents may have
    /// come before.
    fn check_since_opened(&self, claim: &Claim) -> Verdict {
        match self.record.payload().data {
            Data::ClaimRegistered(_)
            | Data::ClaimState(_)
            | Data::ClaimDecided(_)
            | Data::ClaimDisputed(_)
            | Data::ClaimClosed(_)
            | Data::SettlementOffered(_)
            | Data::SettlementNotified(_)
            | Data::SettlementAnswered(_)
            | Data::PaymentRecorded(_) => self.check_not_before(
                Code::ClaimState,
                "the claim was opened",
                &Mark { record: claim.opened, at: claim.opened_at },
            ),
            _ => Ok(()),
        }
    }

    /// That the record tells of no moment before that of what it builds on.
    pub(super) fn check_not_before(&self, code: Code, what: &str, mark: &Mark) -> Verdict {
        let at = self.at();
        if at >= mark.at {
            return Ok(());
        }
        let [at, since] = [at, mark.at].map(|moment| shown(moment, &TimeZone::UTC));
        let detail =
            format!("the record tells of {at}; {what} later, at {since} (record {})", mark.record);
        refuse(code, "occurred_at", detail)
    }

    /// Only the broker that a contract names speaks of it as a broker. A consent
    /// may come from anybody.
    fn check_broker(&self, contract: &Contract) -> Verdict {
        let signer = self.record.signer();
        let is_broker =
            self.membership.past(signer).is_some_and(|member| member.role == Role::Broker);
        if let Some(broker) = contract.broker_on(self.at()).filter(|_| is_broker)
            && broker.as_str() != signer.as_str()
            && !matches!(self.record.payload().data, Data::ConsentRecorded(_))
        {
            let detail = format!(
                "the contract's broker then is {broker} (its version {} is by record {}), and \
                 {signer} is another one",
                contract.version.get(),
                contract.made_by
            );
            return refuse(Code::NotAParty, "contract", detail);
        }
        Ok(())
    }

    /// Refuses by a rule that the genesis may soften, or flags the record.
    pub(super) fn refuse_or_flag(
        &mut self,
        code: Code,
        field: &str,
        detail: impl FnOnce() -> String,
    ) -> Verdict {
        let rules = &self.membership.genesis().rules;
        let disposition = match code {
            Code::ChangeOnlyAtPeriodEnd => rules.change_only_at_period_end,
            Code::DossierRed => rules.dossier_red,
            Code::NoticeTooLate => rules.notice_too_late,
            _ => Disposition::Reject,
        };
        match disposition {
            Disposition::Reject => refuse(code, field, detail()),
            Disposition::Flag => {
                self.flags.push(code);
                Ok(())
            }
        }
    }

    fn disclosure_erased(&mut self, data: &DisclosureErased) -> Verdict {
        let id = data.record.id();
        // Records are long, and a block may name thousands: none of them is read.
        if self.block.contains_key(&id) || self.state.reader().holds_record(&id)? {
            return Ok(());
        }
        refuse(Code::UnknownReference, "data.record", format!("the ledger holds no record {id}"))
    }

    /// Whether the record corrects another one.
    pub(super) const fn corrects(&self) -> bool {
        self.corrected.is_some()
    }

    /// Takes in what the record says, by its type.
    fn take(&mut self) -> Verdict {
        match &self.record.payload().data {
            Data::ContractQuoted(data) => self.contract_quoted(data),
            Data::ContractApplied(data) => self.contract_applied(data),
            Data::ContractIssued(data) => self.contract_issued(data),
            Data::ContractChangeRequested(data) => self.contract_change_requested(data),
            Data::ContractAmended(data) => self.contract_amended(data),
            Data::ContractRenewed(data) => self.contract_renewed(data),
            Data::ContractTerminated(data) => self.contract_terminated(data),
            Data::ContractPremium(data) => self.contract_premium(data),
            Data::DocumentRequested(data) => self.document_requested(data),
            Data::DocumentReceived(data) => self.document_assessed(&data.item, data.verdict),
            Data::DocumentAssessed(data) => self.document_assessed(&data.item, Some(data.verdict)),
            Data::DocumentIssued(data) => self.document_issued(data),
            // Nothing else depends on them.
            Data::PartyUpdated(_) | Data::MemberProposed(_) | Data::MemberApproved(_) => Ok(()),
            Data::ConsentRecorded(data) => self.consent_recorded(data),
            Data::SignatureRequested(data) => self.signature_requested(data),
            Data::SignatureChallenged(data) => self.signature_challenged(data),
            Data::SignatureFailed(data) => self.signature_failed(data),
            Data::SignatureCompleted(data) => self.signature_completed(data),
            Data::PreauthorisationRequested(data) => self.preauthorisation_requested(data),
            Data::PreauthorisationAnswered(data) => self.preauthorisation_answered(data),
            Data::PreauthorisationReleased(data) => self.preauthorisation_released(data),
            Data::ClaimOpened(data) => self.claim_opened(data),
            Data::ClaimRegistered(data) => self.claim_registered(data),
            Data::ClaimState(data) => self.claim_state(data),
            Data::ClaimDecided(data) => self.claim_decided(data),
            Data::ClaimDisputed(_) => self.claim_disputed(),
            Data::ClaimClosed(data) => self.claim_closed(data),
            Data::DeductibleSet(data) => self.deductible_set(data),
            Data::SettlementOffered(data) => self.settlement_offered(data),
            Data::SettlementNotified(data) => self.settlement_notified(data),
            Data::SettlementAnswered(data) => self.settlement_answered(data),
            Data::PaymentRecorded(data) => self.payment_recorded(data),
            Data::StatementIssued(data) => self.statement_issued(data),
            Data::AlertRaised(data) => self.alert_raised(data),
            Data::RewardRecorded(data) => self.reward_recorded(data),
            Data::DisclosureErased(data) => self.disclosure_erased(data),
        }
    }
}
