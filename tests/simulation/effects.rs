//! How the core's effects are answered: as the engine's consensus actor does.

use arc_malachitebft_app::{
    consensus::{ConsensusMsg, Effect, LivenessMsg, Resumable as _, Resume, SignedConsensusMsg},
    types::core::{Timeouts as _, ValueOrigin},
};
use arc_malachitebft_signing::{Signer as _, Verifier as _, VerifierExt as _};
use futures::FutureExt as _;
use quittance_node::engine::{
    ValidatorSigner,
    context::{Context, Timeouts},
};

use crate::{
    host::Question,
    network::Message,
    node::{Action, Halt, Phase, ToEngine, Works},
    plan::Sabotage,
};

/// Our signing and verifying never wait.
const NEVER_WAITS: &str = "signing and verifying never wait";

impl Works {
    fn signer(&self) -> Result<&ValidatorSigner, Halt> {
        let signer = self.identity.signer.as_ref();
        signer.ok_or_else(|| Halt::Failed("an observer was asked to sign".to_owned()))
    }

    fn flush(&mut self) {
        if self.phase != Phase::Recovering && self.sabotage != Some(Sabotage::SkipFlush) {
            self.disk.log.flush();
        }
    }

    /// Answers one effect.
    pub fn answer_effect(&mut self, effect: Effect<Context>) -> Result<Resume<Context>, Halt> {
        self.step()?;
        let (context, verifier) = (self.identity.context, self.identity.verifier);
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.timers.retain(|(known, _)| *known != timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                self.timers.retain(|(known, _)| *known != timeout);
                self.timer_count += 1;
                self.timers.push((timeout, self.timer_count));
                let duration = Timeouts::default().duration_for(timeout);
                self.act(Action::Timer(self.timer_count, duration));
                r.resume_with(())
            }
            Effect::StartRound(height, round, _, _, r) => {
                self.flush();
                // The engine waits for this answer, so the host gets there first.
                while !self.host.inbox.is_empty() {
                    self.answer_next()?;
                }
                for value in self.values_of(height, round) {
                    self.act(Action::Engine(ToEngine::Value(value, ValueOrigin::Consensus)));
                }
                r.resume_with(())
            }
            Effect::SignProposal(proposal, r) => {
                let signed = self.signer()?.sign_proposal(proposal).now_or_never();
                r.resume_with(signed.expect(NEVER_WAITS).unwrap())
            }
            Effect::SignVote(vote, r) => {
                let signed = self.signer()?.sign_vote(vote).now_or_never();
                r.resume_with(signed.expect(NEVER_WAITS).unwrap())
            }
            Effect::VerifySignature(message, key, r) => {
                let signature = &message.signature;
                let result = match &message.message {
                    ConsensusMsg::Vote(vote) => {
                        verifier.verify_signed_vote(vote, signature, &key).now_or_never()
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        verifier.verify_signed_proposal(proposal, signature, &key).now_or_never()
                    }
                };
                r.resume_with(result.expect(NEVER_WAITS).unwrap().is_valid())
            }
            Effect::VerifyCommitCertificate(certificate, set, thresholds, r) => {
                let result = verifier
                    .verify_commit_certificate(&context, &certificate, &set, thresholds)
                    .now_or_never();
                r.resume_with(result.expect(NEVER_WAITS))
            }
            Effect::VerifyExtendedCommitCertificate(certificate, set, thresholds, policy, r) => {
                let result = verifier
                    .verify_extended_commit_certificate(
                        &context,
                        &certificate,
                        &set,
                        thresholds,
                        policy,
                    )
                    .now_or_never();
                r.resume_with(result.expect(NEVER_WAITS))
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, r) => {
                let result = verifier
                    .verify_polka_certificate(&context, &certificate, &set, thresholds)
                    .now_or_never();
                r.resume_with(result.expect(NEVER_WAITS))
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, r) => {
                let result = verifier
                    .verify_round_certificate(&context, &certificate, &set, thresholds)
                    .now_or_never();
                r.resume_with(result.expect(NEVER_WAITS))
            }
            Effect::ExtendVote(..) | Effect::VerifyVoteExtension(..) => {
                return Err(Halt::Failed("votes carry no extensions here".to_owned()));
            }
            Effect::PublishConsensusMsg(message, r) => {
                self.flush();
                self.publish(message);
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                self.act(Action::Broadcast(Message::liveness(&message)));
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                let message = LivenessMsg::Vote(vote);
                self.act(Action::Broadcast(Message::liveness(&message)));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                let message = LivenessMsg::SkipRoundCertificate(certificate);
                self.act(Action::Broadcast(Message::liveness(&message)));
                r.resume_with(())
            }
            Effect::GetValue(height, round, _, r) => {
                self.ask(Question::GetValue(height, round));
                r.resume_with(())
            }
            Effect::RestreamProposal(height, round, valid_round, address, value, r) => {
                self.ask(Question::Restream { height, round, valid_round, address, value });
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.flush();
                self.ask(Question::Decided(certificate));
                r.resume_with(())
            }
            Effect::Finalize(_, _, evidence, r) => {
                self.ask(Question::Finalized(evidence));
                r.resume_with(())
            }
            Effect::CertRejectedSyncValue(_, _, error, r) => {
                // Whoever serves blocks here serves good ones.
                let _ = r;
                return Err(Halt::Failed(format!("a certificate was rejected: {error}")));
            }
            Effect::CertVerifiedSyncValue(value, proposer, r) => {
                self.ask(Question::Synced(value, proposer));
                r.resume_with(())
            }
            Effect::WalAppend(height, entry, r) => {
                if self.phase != Phase::Recovering && self.is_validator {
                    self.disk.log.append(height.0, entry);
                }
                r.resume_with(())
            }
        })
    }

    fn publish(&mut self, message: SignedConsensusMsg<Context>) {
        self.act(Action::Broadcast(Message::consensus(&message)));
        self.act(Action::Signed(message));
    }
}
