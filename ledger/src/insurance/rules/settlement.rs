//! Rules of settlement offers: round by round, told, answered.

use super::{
    case::{Case, Verdict, refuse},
    claim::check_not_closed,
    figures::{figure, shown},
};
use crate::{
    insurance::{
        Amount, Moment, Ordinal,
        settlement::{Answer, SettlementAnswered, SettlementNotified, SettlementOffered},
        state::{
            entities::{Answered, Claim, ClaimStepKind, Mark, Offer, Signed},
            keys,
        },
    },
    limits::NOTIFICATIONS_MAX,
    refusal::Code,
};

const ROUND: &str = "data.round";

impl Claim {
    /// The amount of the offer that was accepted.
    pub(super) fn accepted(&self) -> Option<Amount> {
        self.answered(Answer::Accepted)
    }

    /// The amount of the newest offer, if that was the answer to it.
    pub(super) fn answered(&self, by: Answer) -> Option<Amount> {
        let offer = self.offer.as_ref()?;
        offer.answer.as_ref().filter(|answered| answered.answer == by).map(|_| offer.amount)
    }
}

impl Case<'_, '_> {
    pub(super) fn settlement_offered(&mut self, data: &SettlementOffered) -> Verdict {
        let mut claim = self.claim()?;
        check_not_closed(&claim)?;
        if let Some(offer) = claim.offer.as_ref().filter(|_| claim.accepted().is_some()) {
            let answer = offer.answer.as_ref().map_or(offer.record, |answer| answer.record);
            let detail = format!("offer {} was accepted by record {answer}", offer.round.get());
            return refuse(Code::RoundGap, ROUND, detail);
        }
        let last = claim.offer.as_ref().map_or(0, |offer| offer.round.get());
        // A correction makes the same offer again.
        let next = if self.corrects() { last } else { last + 1 };
        if data.round.get() != next {
            let detail = format!(
                "the claim has had {last} offers, so the next is {next}, not {}",
                data.round.get()
            );
            return refuse(Code::RoundGap, ROUND, detail);
        }
        let follows = claim.offer.as_ref().and_then(|before| match self.corrects() {
            true => before.follows.clone(),
            false => Some(Mark { record: before.record, at: before.at }),
        });
        if let Some(mark) = &follows {
            self.check_not_before(Code::RoundGap, "the offer before it was made", mark)?;
        }
        self.take_currency(&mut claim, data.currency)?;
        claim.offer = Some(Offer {
            record: self.record.id(),
            at: self.at(),
            round: data.round,
            amount: data.amount,
            follows,
            notified: Vec::new(),
            answer: None,
        });
        self.put_claim(&claim)
    }

    pub(super) fn settlement_notified(&mut self, data: &SettlementNotified) -> Verdict {
        let mut claim = self.claim()?;
        let mark = Mark { record: self.record.id(), at: self.at() };
        let corrected = self.corrected.as_ref().map(|corrected| corrected.id());
        let last = claim.offer.as_ref().map_or(0, |offer| offer.round.get());
        if data.round.get() > last {
            let detail =
                format!("there is no offer {}; the claim has had {last}", data.round.get());
            return refuse(Code::UnknownReference, ROUND, detail);
        }
        let offer = open_offer(&mut claim, data.round)?;
        let made = Mark { record: offer.record, at: offer.at };
        self.check_not_before(Code::RoundGap, "the offer was made", &made)?;
        // Told more than once, the first time counts.
        offer.notified.retain(|notified| Some(notified.record) != corrected);
        offer.notified.push(mark);
        if offer.notified.len() > NOTIFICATIONS_MAX {
            let last = offer.notified.iter().map(|notified| notified.at).max();
            let last = offer.notified.iter().position(|notified| Some(notified.at) == last);
            last.map(|last| offer.notified.remove(last));
        }
        self.put_claim(&claim)
    }

    pub(super) fn settlement_answered(&mut self, data: &SettlementAnswered) -> Verdict {
        let (at, zone) = (self.at(), self.contract()?.zone());
        let mut claim = self.claim()?;
        check_not_closed(&claim)?;
        let offer = open_offer(&mut claim, data.round)?.clone();
        let notified = offer.notified.iter().map(|notified| notified.at).min();
        if notified.is_none_or(|notified| at < notified) {
            let detail = match notified {
                None => format!("offer {} has not reached whom it is for", data.round.get()),
                Some(notified) => format!(
                    "it was answered at {}, before it reached whom it is for at {}",
                    shown(at, &zone),
                    shown(notified, &zone)
                ),
            };
            return refuse(Code::NotNotified, ROUND, detail);
        }
        if data.answer == Answer::Accepted {
            self.check_signed(data, &offer, at)?;
            if claim.paid() > offer.amount {
                let detail = format!(
                    "{} are paid already, more than the offer of {}",
                    figure(claim.paid()),
                    figure(offer.amount)
                );
                return refuse(Code::PaidExceedsApproved, ROUND, detail);
            }
        }
        let answer = Answered { record: self.record.id(), at, answer: data.answer };
        let amount = offer.amount;
        claim.offer = Some(Offer { answer: Some(answer), ..offer });
        let kind = match data.answer {
            Answer::Accepted => ClaimStepKind::Accepted,
            Answer::Objected => ClaimStepKind::Objected,
        };
        self.step(&mut claim, kind, amount)?;
        let adds = if kind == ClaimStepKind::Accepted { amount } else { Amount::ZERO };
        self.count(&mut claim, ROUND, "accepted", adds)?;
        self.put_claim(&claim)
    }

    /// That the signature named is on that very offer, and was made by then.
    fn check_signed(&mut self, data: &SettlementAnswered, offer: &Offer, at: Moment) -> Verdict {
        const FIELD: &str = "data.signature";
        let incomplete = |detail: String| refuse(Code::SignatureIncomplete, FIELD, detail);
        let Some(number) = &data.signature else {
            return incomplete("an offer is accepted by a signature; name it".to_owned());
        };
        let (named, claim_ref) = (self.contract_ref()?, self.claim_ref()?);
        let Some(signature) = self.state.read(&keys::signature(named, number))? else {
            return incomplete(format!("no signature {number} of {named} was asked for"));
        };
        match &signature.target {
            Signed::Settlement { claim, round, offer: signed }
                if claim == claim_ref && *round == data.round && *signed == Some(offer.record) => {}
            _ => {
                return incomplete(format!(
                    "signature {number} (record {}) is not on offer {} for {claim_ref} as it \
                     stands (record {})",
                    signature.requested,
                    data.round.get(),
                    offer.record
                ));
            }
        }
        match &signature.completed {
            Some(completed) if completed.at <= at => Ok(()),
            Some(completed) => incomplete(format!(
                "signature {number} was completed later (record {})",
                completed.record
            )),
            None => incomplete(format!("signature {number} is not completed")),
        }
    }
}

/// The newest offer, if it is that round and not answered.
fn open_offer(claim: &mut Claim, round: Ordinal) -> Verdict<&mut Offer> {
    let Some(offer) = &mut claim.offer else {
        return refuse(Code::RoundGap, ROUND, "the claim has had no offer");
    };
    if let Some(answer) = offer.answer.as_ref().filter(|_| offer.round == round) {
        let detail = format!("offer {} was answered by record {}", round.get(), answer.record);
        return refuse(Code::RoundGap, ROUND, detail);
    }
    if offer.round != round {
        let (last, record) = (offer.round.get(), offer.record);
        let detail = format!("the newest offer is {last} (record {record}), not {}", round.get());
        return refuse(Code::RoundGap, ROUND, detail);
    }
    Ok(offer)
}
