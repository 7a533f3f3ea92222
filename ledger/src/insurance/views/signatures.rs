//! Signatures: who was asked to sign what, and how far that has come.

use jiff::Timestamp;

use super::{Standing, shown};
use crate::{
    digest::RecordId,
    insurance::{
        Data,
        signature::{SignatureFailure, SignatureTarget},
    },
};

shown! {
    /// How far a signature has come.
    enum SignatureStatus {
        /// A link went out.
        Requested = "requested",
        /// The signer was sent a one-time code.
        Challenged = "challenged",
        /// An attempt failed; another may follow.
        Failed = "failed",
        /// The signer signed.
        Completed = "completed",
        /// The time to sign is over.
        Expired = "expired",
        /// The signer would not sign.
        Declined = "declined",
    }
}

shown! {
    /// A signature.
    SignatureShown {
        /// Its number.
        signature: String,
        /// How far it has come.
        state: SignatureStatus,
        /// What is signed: `<contract> version N`, or `<claim> round N`.
        target: Option<String>,
        /// The contract, where a version of it is signed.
        contract: Option<String>,
        /// Its version.
        version: Option<u64>,
        /// The claim, where an offer for it is signed.
        claim: Option<String>,
        /// The round of the offer.
        round: Option<u64>,
        /// Who signs.
        signer: Option<String>,
        /// How.
        method: Option<String>,
        /// The level that the trust service claims. The ledger asserts nothing about it.
        level_claimed: Option<String>,
        /// The last moment to sign.
        expires: Option<Timestamp>,
        /// Attempts that failed.
        failed_attempts: u64,
        /// When it was signed.
        completed_at: Option<Timestamp>,
        /// The record that asks for it.
        requested_by: Option<RecordId>,
        /// The newest record about it.
        record: RecordId,
    }
}

/// Signatures while records are taken in.
#[derive(Default)]
pub(super) struct Signatures {
    shown: Vec<SignatureShown>,
    /// Of each, when the code was sent that is still good, and when it last expired
    /// or was declined.
    codes: Vec<(Option<Timestamp>, Option<Timestamp>)>,
}

impl Signatures {
    pub(super) fn take(&mut self, standing: &Standing<'_>) {
        let number = match standing.data() {
            Data::SignatureRequested(data) => &data.signature,
            Data::SignatureChallenged(data) => &data.signature,
            Data::SignatureFailed(data) => &data.signature,
            Data::SignatureCompleted(data) => &data.signature,
            _ => return,
        };
        let place = self.shown.iter().rposition(|it| it.signature == number.as_str());
        let place = match place {
            Some(place) => place,
            None => {
                self.codes.push((None, None));
                self.shown.push(SignatureShown {
                    signature: number.to_string(),
                    state: SignatureStatus::Requested,
                    target: None,
                    contract: None,
                    version: None,
                    claim: None,
                    round: None,
                    signer: None,
                    method: None,
                    level_claimed: None,
                    expires: None,
                    failed_attempts: 0,
                    completed_at: None,
                    requested_by: None,
                    record: standing.id(),
                });
                self.shown.len() - 1
            }
        };
        let (Some(shown), Some((sent, failed))) =
            (self.shown.get_mut(place), self.codes.get_mut(place))
        else {
            return;
        };
        let at = standing.at;
        shown.record = standing.id();
        match standing.data() {
            Data::SignatureRequested(data) => {
                match &data.target {
                    SignatureTarget::Contract { contract, version } => {
                        shown.target = Some(format!("{contract} version {}", version.get()));
                        shown.contract = Some(contract.to_string());
                        shown.version = Some(version.get());
                    }
                    SignatureTarget::Settlement { settlement, round } => {
                        shown.target = Some(format!("{settlement} round {}", round.get()));
                        shown.claim = Some(settlement.to_string());
                        shown.round = Some(round.get());
                    }
                }
                shown.signer = Some(data.signer.to_string());
                shown.method = Some(data.method.to_string());
                shown.expires = Some(data.expires.timestamp());
                shown.requested_by = Some(standing.id());
            }
            // Told late, that code is good no more.
            Data::SignatureChallenged(_) if failed.is_some_and(|failed| failed > at) => {}
            Data::SignatureChallenged(_) => {
                *sent = (*sent).max(Some(at));
                shown.state = SignatureStatus::Challenged;
            }
            Data::SignatureFailed(data) => {
                shown.failed_attempts = shown.failed_attempts.saturating_add(1);
                let state = match data.reason {
                    SignatureFailure::WrongCode => SignatureStatus::Failed,
                    SignatureFailure::Expired => SignatureStatus::Expired,
                    SignatureFailure::Declined => SignatureStatus::Declined,
                };
                if state != SignatureStatus::Failed {
                    *sent = (*sent).filter(|sent| *sent > at);
                    *failed = (*failed).max(Some(at));
                }
                // Told late, another code may have been sent since.
                if state == SignatureStatus::Failed || sent.is_none() {
                    shown.state = state;
                }
            }
            Data::SignatureCompleted(data) => {
                shown.state = SignatureStatus::Completed;
                shown.level_claimed = Some(data.level.to_string());
                shown.completed_at = Some(standing.at);
            }
            _ => {}
        }
    }

    /// When a version of the contract was signed first.
    pub(super) fn contract_signed_at(&self) -> Option<Timestamp> {
        let of_contract = self.shown.iter().filter(|shown| shown.version.is_some());
        of_contract.filter_map(|shown| shown.completed_at).min()
    }

    pub(super) fn finish(mut self, time: Timestamp) -> Vec<SignatureShown> {
        for shown in &mut self.shown {
            let waits = matches!(
                shown.state,
                SignatureStatus::Requested | SignatureStatus::Challenged | SignatureStatus::Failed
            );
            if waits && shown.expires.is_some_and(|expires| time > expires) {
                shown.state = SignatureStatus::Expired;
            }
        }
        self.shown
    }
}
