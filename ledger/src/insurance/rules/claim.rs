//! Rules of claims: opened, registered, decided, disputed, closed.

use super::{
    case::{Case, Verdict, refuse},
    ceiling::counts_in,
    contract::check_currency,
    figures::{figure, shown, unit},
    time::day_of,
};
use crate::{
    insurance::{
        Amount,
        settlement::{
            ClaimClosed, ClaimDecided, ClaimOpened, ClaimRegistered, ClaimState, Outcome,
        },
        state::{
            entities::{
                Attached, Claim, ClaimStepKind, Decision, LadderStep, Mark, Registered, Stood,
            },
            keys,
        },
    },
    record::Record,
    refusal::Code,
};

/// The ways a claim may come in.
const CHANNELS: [&str; 4] = ["portal", "vet_system", "crm", "insurer"];

/// What a claim through the portal must come with.
const PORTAL_DOCUMENTS: [&str; 2] = ["care_sheet", "invoice"];

/// Whose claim it is where the signer only passes it on.
pub const POLICYHOLDER: &str = "policyholder";

/// Who opened the claim that a record opens: its signer, or the policyholder where
/// the signer says so.
pub(crate) fn opener_of(record: &Record) -> &str {
    match &record.payload().declared_by {
        Some(by) if by.as_str() == POLICYHOLDER => POLICYHOLDER,
        _ => record.signer().as_str(),
    }
}

impl Case<'_, '_> {
    pub(super) fn put_claim(&mut self, claim: &Claim) -> Verdict {
        self.state.write(keys::claim(self.claim_ref()?), claim)
    }

    pub(super) fn claim_opened(&mut self, data: &ClaimOpened) -> Verdict {
        let (named, claim_ref) = (self.contract_ref()?, self.claim_ref()?);
        let contract = self.contract()?;
        check_channel(data)?;
        let key = keys::claim(claim_ref);
        if let Some(before) = self.state.read(&key)?.filter(|_| !self.corrects()) {
            let detail = format!("claim {claim_ref} was opened by record {}", before.opened);
            return refuse(Code::ClaimExists, "claim", detail);
        }
        self.check_covered(&contract)?;
        let (mut claimed, mut currency) = (data.claimed, data.currency);
        let period = if let Some(number) = &data.preauthorisation {
            let used = self.claim_hold(data, number, &contract)?;
            (claimed, currency) = (Some(used.amount), Some(used.currency));
            used.period
        } else {
            let (number, mut period) = self.period_of_day(named, &contract)?;
            if let Some(currency) = currency {
                counts_in(&mut period, currency, "data.currency")?;
            }
            number
        };
        let kept = self.kept.claim.take();
        let first = kept.as_ref().and_then(|kept| kept.first.clone());
        if let Some(first) = first.as_ref().filter(|first| first.at < self.at()) {
            let detail = format!(
                "record {} about the claim tells of {}; it is not opened after that",
                first.record,
                shown(first.at, &contract.zone())
            );
            return refuse(Code::ClaimState, "occurred_at", detail);
        }
        let unsure_before = kept.as_ref().and_then(|kept| kept.unsure_before);
        let (counts, counted) =
            kept.as_ref().map_or((false, Amount::ZERO), |kept| (kept.counts, kept.counted));
        let mut claim = Claim {
            opened: self.record.id(),
            contract: named.clone(),
            opener: opener_of(self.record).to_owned(),
            opened_at: self.at(),
            opened_on: day_of(self.at(), &contract.zone()),
            period,
            claimed,
            currency,
            currency_by: None,
            free_service: data.service.as_ref().is_some_and(super::ladder::is_free),
            preauthorisation: data.preauthorisation.clone(),
            disputed: None,
            number: kept.and_then(|kept| kept.number),
            first,
            decision: None,
            closed: None,
            step: LadderStep::None,
            offer: None,
            counted,
            counts,
            unsure_before,
            stood: Stood {
                approved: None,
                accepted: None,
                executed: Amount::ZERO,
                returned: Amount::ZERO,
                closed: false,
                at: None,
            },
            steps: Vec::new(),
        };
        if claim.preauthorisation.is_some() {
            let amount = claimed.unwrap_or_default();
            self.count(&mut claim, "data.claimed", "claimed", amount)?;
        }
        self.state.write(key, &claim)?;
        self.tally_open(&claim, self.day_of_insurer(named.insurer(), self.at()), 1)?;
        if !data.attached.is_empty() {
            let attached = Attached { kinds: data.attached.clone() };
            self.state.write(keys::attached(claim_ref), &attached)?;
        } else if self.corrects() {
            self.state.remove(keys::attached(claim_ref));
        }
        Ok(())
    }

    pub(super) fn claim_registered(&mut self, data: &ClaimRegistered) -> Verdict {
        let (claim_ref, mut claim) = (self.claim_ref()?, self.claim()?);
        let key = keys::registered(claim_ref.insurer(), &data.number);
        if let Some(taken) = self.state.read(&key)? {
            let detail = format!(
                "{} gave the number {} to claim {} (record {})",
                claim_ref.insurer(),
                data.number,
                taken.claim,
                taken.record
            );
            return refuse(Code::ClaimNumberTaken, "data.number", detail);
        }
        if let Some(number) = &claim.number {
            let detail = format!("claim {claim_ref} has the number {number} already");
            return refuse(Code::ClaimState, "data.number", detail);
        }
        let record = self.record.id();
        self.state.write(key, &Registered { claim: claim_ref.clone(), record })?;
        claim.number = Some(data.number.clone());
        self.stands_on_opening(&mut claim);
        self.put_claim(&claim)
    }

    pub(super) fn claim_state(&mut self, _: &ClaimState) -> Verdict {
        let mut claim = self.claim()?;
        check_undecided(&claim)?;
        self.stands_on_opening(&mut claim);
        self.put_claim(&claim)
    }

    /// Notes that the record stands on the claim's opening, which so is not corrected to
    /// a later moment than this.
    fn stands_on_opening(&self, claim: &mut Claim) {
        let first = claim.first.take().filter(|first| first.at <= self.at());
        claim.first = Some(first.unwrap_or(Mark { record: self.record.id(), at: self.at() }));
    }

    pub(super) fn claim_decided(&mut self, data: &ClaimDecided) -> Verdict {
        let mut claim = self.claim()?;
        check_undecided(&claim)?;
        let before = claim.decision.as_ref();
        let before = before.map(|before| Mark { record: before.record, at: before.at });
        let follows = match self.kept.follows.take() {
            None if !self.corrects() => {
                [before, claim.disputed.clone()].into_iter().flatten().max_by_key(|mark| mark.at)
            }
            kept => kept,
        };
        if let Some(mark) = &follows {
            let what = "the decision before it, or its dispute, came";
            self.check_not_before(Code::ClaimState, what, mark)?;
        }
        self.take_currency(&mut claim, data.currency)?;
        check_decision(data, &claim)?;
        let contract = self.contract()?;
        let deductible = self.judge_deductible(&contract, data, &claim)?;
        // An offer that was accepted stays due whatever is decided after it.
        let accepted = claim.accepted();
        let due = accepted.map_or(data.approved, |accepted| accepted.max(data.approved));
        if claim.paid() > due {
            let detail = format!(
                "approved {} < {} {} that are paid already",
                figure(data.approved),
                figure(claim.paid()),
                unit(data.currency)
            );
            return refuse(Code::PaidExceedsApproved, "data.approved", detail);
        }
        let (record, at) = (self.record.id(), self.at());
        claim.decision = Some(Decision {
            record,
            at,
            outcome: data.outcome,
            approved: data.approved,
            deductible,
            follows,
        });
        // A correction leaves the dispute that followed where it is.
        claim.disputed = claim.disputed.filter(|_| self.corrects());
        self.move_step(&mut claim, &contract, data)?;
        self.step(&mut claim, ClaimStepKind::Approved, data.approved)?;
        self.count(&mut claim, "data.approved", "approved", data.approved)?;
        self.put_claim(&claim)
    }

    pub(super) fn claim_disputed(&mut self) -> Verdict {
        let mut claim = self.claim()?;
        self.stands_on_opening(&mut claim);
        // Told late, it may be about a decision that another one has followed.
        if claim.decision.as_ref().is_some_and(|decision| self.at() >= decision.at) {
            let first = claim.disputed.take().filter(|first| first.at <= self.at());
            claim.disputed =
                Some(first.unwrap_or(Mark { record: self.record.id(), at: self.at() }));
        }
        self.put_claim(&claim)
    }

    pub(super) fn claim_closed(&mut self, data: &ClaimClosed) -> Verdict {
        let mut claim = self.claim()?;
        check_not_closed(&claim)?;
        check_currency(Some(data.currency), claim.currency, "data.currency")?;
        let stands = claim.stands();
        if data.paid != stands.paid() {
            let detail = format!(
                "paid {} ≠ {} {}, the payments executed less those that came back ({} − {})",
                figure(data.paid),
                figure(stands.paid()),
                unit(data.currency),
                figure(stands.executed),
                figure(stands.returned)
            );
            return refuse(Code::TotalMismatch, "data.paid", detail);
        }
        claim.closed = Some(self.record.id());
        self.step(&mut claim, ClaimStepKind::Closed, data.paid)?;
        self.put_claim(&claim)
    }
}

fn check_channel(data: &ClaimOpened) -> Verdict {
    let channel = data.channel.as_str();
    if !CHANNELS.contains(&channel) {
        let detail =
            format!("claims do not come in by {channel}, but by one of: {}", CHANNELS.join(", "));
        return refuse(Code::ChannelNotAccepted, "data.channel", detail);
    }
    let came = |kind: &str| data.attached.iter().any(|attached| attached.as_str() == kind);
    if channel == "portal"
        && let Some(missing) = PORTAL_DOCUMENTS.into_iter().find(|kind| !came(kind))
    {
        let detail =
            format!("a claim through the portal needs the document {missing}; it is missing");
        return refuse(Code::MandatoryDocumentMissing, "data.attached", detail);
    }
    Ok(())
}

pub(super) fn check_not_closed(claim: &Claim) -> Verdict {
    match claim.closed {
        None => Ok(()),
        Some(record) => {
            refuse(Code::ClaimState, "claim", format!("the claim was closed by record {record}"))
        }
    }
}

fn check_undecided(claim: &Claim) -> Verdict {
    check_not_closed(claim)?;
    match &claim.decision {
        Some(decision) if claim.disputed.is_none() => {
            let detail = format!(
                "the claim was decided by record {} and not disputed since",
                decision.record
            );
            refuse(Code::ClaimState, "claim", detail)
        }
        _ => Ok(()),
    }
}

fn check_decision(data: &ClaimDecided, claim: &Claim) -> Verdict {
    let mismatch = |field: &str, detail: String| refuse(Code::SplitMismatch, field, detail);
    let (approved, refused) = (figure(data.approved), figure(data.refused));
    if let Some(claimed) = claim.claimed
        && data.approved.checked_add(data.refused) != Some(claimed)
    {
        let detail = format!(
            "approved {approved} + refused {refused} ≠ claimed {} {} (record {})",
            figure(claimed),
            unit(data.currency),
            claim.opened
        );
        return mismatch("data.approved", detail);
    }
    match data.outcome {
        Outcome::Approved if data.refused > Amount::ZERO => {
            mismatch("data.refused", format!("the outcome is approved, and {refused} are refused"))
        }
        Outcome::Refused if data.approved > Amount::ZERO => mismatch(
            "data.approved",
            format!("the outcome is refused, and {approved} are approved"),
        ),
        _ => Ok(()),
    }
}
