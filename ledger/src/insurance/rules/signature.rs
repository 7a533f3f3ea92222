//! Rules of signatures: asked for, challenged, failed, completed.

use super::{
    case::{Case, Verdict, refuse},
    figures::shown,
};
use crate::{
    insurance::{
        Code as Name, ContractRef,
        signature::{
            SignatureChallenged, SignatureCompleted, SignatureFailed, SignatureFailure,
            SignatureRequested, SignatureTarget,
        },
        state::{
            entities::{Challenged, Contract, Mark, Signature, Signed},
            keys,
        },
    },
    refusal::Code,
};

const FIELD: &str = "data.signature";

impl Case<'_, '_> {
    pub(super) fn signature_requested(&mut self, data: &SignatureRequested) -> Verdict {
        let named = self.contract_ref()?;
        let target = self.find_target(&data.target, named)?;
        let key = keys::signature(named, &data.signature);
        if let Some(before) = self.state.read(&key)? {
            let detail = format!(
                "signature {} of this contract was asked for by record {}",
                data.signature, before.requested
            );
            return refuse(Code::SignatureExists, FIELD, detail);
        }
        let signature = Signature {
            requested: self.record.id(),
            requested_at: self.at(),
            target,
            expires: data.expires,
            challenged: None,
            failed: None,
            completed: None,
        };
        self.state.write(key, &signature)
    }

    /// What is to be signed, which was there by then.
    fn find_target(&mut self, target: &SignatureTarget, named: &ContractRef) -> Verdict<Signed> {
        match target {
            SignatureTarget::Contract { contract, version } => {
                let Contract { version: current, made_by, made_at, made_before, .. } =
                    self.contract()?;
                if contract != named || *version > current {
                    let detail = format!(
                        "{contract} version {} is not there to be signed: the record is about \
                         {named}, which has version {}",
                        version.get(),
                        current.get()
                    );
                    return refuse(Code::UnknownReference, "data.target", detail);
                }
                let newest = Mark { record: made_by, at: made_at };
                let is_newest = *version == current;
                self.check_was_there("version", is_newest, &newest, made_before)?;
                let record = Some(made_by).filter(|_| is_newest);
                Ok(Signed::Contract { version: *version, record })
            }
            SignatureTarget::Settlement { settlement, round } => {
                let claim = self.state.read(&keys::claim(settlement))?;
                let claim = claim.filter(|claim| claim.contract == *named);
                let offer = claim.and_then(|claim| claim.offer);
                let Some(offer) = offer.filter(|offer| *round <= offer.round) else {
                    let detail = format!(
                        "the ledger holds no offer of round {} for a claim {settlement} of \
                         contract {named}",
                        round.get()
                    );
                    return refuse(Code::UnknownReference, "data.target", detail);
                };
                let newest = Mark { record: offer.record, at: offer.at };
                let is_newest = *round == offer.round;
                self.check_was_there("offer", is_newest, &newest, offer.follows)?;
                Ok(Signed::Settlement {
                    claim: settlement.clone(),
                    round: *round,
                    offer: Some(offer.record).filter(|_| is_newest),
                })
            }
        }
    }

    /// That what is to be signed had come by the moment of the record. Of those before
    /// the newest only the last is known, and others are no later than that.
    fn check_was_there(
        &self,
        what: &str,
        is_newest: bool,
        newest: &Mark,
        before: Option<Mark>,
    ) -> Verdict {
        let since = if is_newest { newest } else { before.as_ref().unwrap_or(newest) };
        let what = if is_newest { what.to_owned() } else { format!("{what} before the newest") };
        let what = format!("the {what} was made");
        self.check_not_before(Code::UnknownReference, &what, since)
    }

    /// A signature of the contract that the record names.
    fn signature(&mut self, number: &Name) -> Verdict<Signature> {
        let named = self.contract_ref()?;
        match self.state.read(&keys::signature(named, number))? {
            Some(signature) => Ok(signature),
            None => {
                let detail = format!("no signature {number} of contract {named} was asked for");
                refuse(Code::UnknownReference, FIELD, detail)
            }
        }
    }

    pub(super) fn signature_challenged(&mut self, data: &SignatureChallenged) -> Verdict {
        let mut signature = self.signature(&data.signature)?;
        check_not_completed(&signature)?;
        self.check_since_requested(&signature)?;
        if signature.failed.is_some_and(|failed| failed > self.at()) {
            // Told late: that code is good no more.
            return Ok(());
        }
        signature.challenged = Some(match signature.challenged {
            None => Challenged { first: self.at(), last: self.at() },
            Some(sent) => {
                Challenged { first: sent.first.min(self.at()), last: sent.last.max(self.at()) }
            }
        });
        let key = keys::signature(self.contract_ref()?, &data.signature);
        self.state.write(key, &signature)
    }

    pub(super) fn signature_failed(&mut self, data: &SignatureFailed) -> Verdict {
        let mut signature = self.signature(&data.signature)?;
        check_not_completed(&signature)?;
        self.check_since_requested(&signature)?;
        match data.reason {
            // The signer may try again with the same code.
            SignatureFailure::WrongCode => Ok(()),
            SignatureFailure::Expired | SignatureFailure::Declined => {
                // Told late, another code may have been sent since.
                let sent = signature.challenged.filter(|sent| sent.last > self.at());
                // Of those between only the last is known to be good still.
                signature.challenged = sent.map(|sent| Challenged {
                    first: if sent.first > self.at() { sent.first } else { sent.last },
                    ..sent
                });
                signature.failed = signature.failed.max(Some(self.at()));
                let key = keys::signature(self.contract_ref()?, &data.signature);
                self.state.write(key, &signature)
            }
        }
    }

    pub(super) fn signature_completed(&mut self, data: &SignatureCompleted) -> Verdict {
        let mut signature = self.signature(&data.signature)?;
        check_not_completed(&signature)?;
        let (named, mut contract) = (self.contract_ref()?, self.contract()?);
        let (at, zone) = (self.at(), contract.zone());
        match signature.challenged {
            None => {
                let detail =
                    "the signer was sent no code that is still good (signature.challenged)";
                return refuse(Code::SignatureState, FIELD, detail);
            }
            Some(Challenged { first: challenged, .. }) if at < challenged => {
                let detail = format!(
                    "it was completed at {}, before the signer was sent the code at {}",
                    shown(at, &zone),
                    shown(challenged, &zone)
                );
                return refuse(Code::SignatureState, "occurred_at", detail);
            }
            Some(_) => {}
        }
        if at > signature.expires {
            let detail = format!(
                "it was to be signed by {} (record {}), and was at {}",
                shown(signature.expires, &zone),
                signature.requested,
                shown(at, &zone)
            );
            return refuse(Code::SignatureExpired, "occurred_at", detail);
        }
        self.check_target_stands(&signature)?;
        signature.completed = Some(Mark { record: self.record.id(), at });
        self.state.write(keys::signature(named, &data.signature), &signature)?;
        if matches!(signature.target, Signed::Contract { .. })
            && contract.signed_at.is_none_or(|signed_at| at < signed_at)
        {
            contract.signed_at = Some(at);
            self.state.write(keys::contract(named), &contract)?;
        }
        Ok(())
    }
}

impl Case<'_, '_> {
    fn check_since_requested(&self, signature: &Signature) -> Verdict {
        let mark = Mark { record: signature.requested, at: signature.requested_at };
        self.check_not_before(Code::SignatureState, "the signature was asked for", &mark)
    }

    /// That what is signed has not been corrected since the signature was asked for.
    fn check_target_stands(&mut self, signature: &Signature) -> Verdict {
        let (Signed::Contract { record, .. } | Signed::Settlement { offer: record, .. }) =
            &signature.target;
        let Some(record) = record else { return Ok(()) };
        match self.state.read(&keys::correction(record))? {
            None => Ok(()),
            Some(correction) => {
                let detail = format!(
                    "what is to be signed, record {record}, was corrected by record {}; ask for \
                     another signature",
                    correction.record
                );
                refuse(Code::SignatureState, FIELD, detail)
            }
        }
    }
}

fn check_not_completed(signature: &Signature) -> Verdict {
    match &signature.completed {
        None => Ok(()),
        Some(completed) => {
            let detail = format!("it was completed by record {}", completed.record);
            refuse(Code::SignatureState, FIELD, detail)
        }
    }
}
