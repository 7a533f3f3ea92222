//! Signing and verifying what validators say, over the bytes that
//! docs/FORMATS.md lays down.

use arc_malachitebft_app::types::core::{SignedMessage, ValidatorProof, VoteExtensionScope};
use arc_malachitebft_signing::{Error, Signer, VerificationResult, Verifier};
use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use quittance_ledger::digest::LedgerId;

use super::context::{Context, Proposal, Signature, Vote};

/// Signs as one validator.
pub struct ValidatorSigner {
    ledger: LedgerId,
    key: SigningKey,
}

impl ValidatorSigner {
    /// Signs with this consensus key.
    #[must_use]
    pub const fn new(ledger: LedgerId, key: SigningKey) -> Self {
        Self { ledger, key }
    }

    /// Binds the node's peer id to the consensus key, which the engine's peers
    /// ask for. The bytes are the engine's own.
    #[must_use]
    pub fn prove(&self, peer: &[u8]) -> ValidatorProof<Context> {
        let public = self.key.verifying_key().to_bytes();
        let signed = ValidatorProof::<Context>::signing_bytes(&public, peer);
        let signature = Signature(self.key.sign(&signed).to_bytes());
        ValidatorProof::new(public.to_vec(), peer.to_vec(), signature)
    }
}

/// Nothing is signed that has no round.
fn no_round() -> Error {
    Error::from_source(std::io::Error::other("a vote or proposal without a round"))
}

#[async_trait]
impl Signer<Context> for ValidatorSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        let signed = vote.signed(self.ledger).ok_or_else(no_round)?;
        let signature = Signature(signed.sign(&self.key));
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Context, Proposal>, Error> {
        let signed = proposal.signed(self.ledger).ok_or_else(no_round)?;
        let signature = Signature(signed.sign(&self.key));
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _scope: VoteExtensionScope<Context>,
        (): (),
    ) -> Result<SignedMessage<Context, ()>, Error> {
        Err(Error::from_source(std::io::Error::other("votes carry no extensions here")))
    }

    async fn sign_validator_proof(
        &self,
        _public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Context>, Error> {
        Ok(self.prove(&peer_id))
    }
}

/// Verifies what validators signed.
#[derive(Debug, Clone, Copy)]
pub struct StrictVerifier {
    ledger: LedgerId,
}

impl StrictVerifier {
    /// Verifies signatures for this ledger.
    #[must_use]
    pub const fn new(ledger: LedgerId) -> Self {
        Self { ledger }
    }
}

#[async_trait]
impl Verifier<Context> for StrictVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        key: &VerifyingKey,
    ) -> Result<VerificationResult, Error> {
        let valid = vote.validator.0 == key.to_bytes()
            && vote.signed(self.ledger).is_some_and(|signed| signed.is_signed(&signature.0));
        Ok(VerificationResult::from_bool(valid))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &VerifyingKey,
    ) -> Result<VerificationResult, Error> {
        let valid = proposal.proposer.0 == key.to_bytes()
            && proposal.signed(self.ledger).is_some_and(|signed| signed.is_signed(&signature.0));
        Ok(VerificationResult::from_bool(valid))
    }

    async fn verify_signed_vote_extension(
        &self,
        _scope: &VoteExtensionScope<Context>,
        (): &(),
        _signature: &Signature,
        _key: &VerifyingKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(
        &self,
        proof: &ValidatorProof<Context>,
    ) -> Result<VerificationResult, Error> {
        let valid = proof.decoded_public_key().is_ok_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(&proof.signature.0);
            key.verify_strict(&proof.preimage(), &signature).is_ok()
        });
        Ok(VerificationResult::from_bool(valid))
    }
}
