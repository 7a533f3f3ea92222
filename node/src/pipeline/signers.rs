//! The keys a node works with, each for its own purpose.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use quittance_ledger::{
    membership::{KeyId, MemberId},
    record::RecordSecretKey,
    transparency::{Checkpoint, Cosigner, LogSigner, SignedCheckpoint},
};

use super::{Fatal, finality::Attestation, now_ms};
use crate::cosigned::LastCosigned;

/// The keys of a node.
pub struct Signers {
    /// The member this node belongs to.
    pub member: MemberId,
    /// Names the node to other nodes.
    pub network: SigningKey,
    /// What it validates with, where it does.
    pub validator: Option<ValidatorSigners>,
    /// The record keys this node holds.
    pub records: BTreeMap<MemberId, (KeyId, RecordSecretKey)>,
}

/// What a validator works with.
pub struct ValidatorSigners {
    /// Signs votes; its public key is the proposer in headers.
    pub consensus: SigningKey,
    /// Signs the checkpoints this node serves.
    pub log: LogSigner,
    /// Cosigns checkpoints.
    pub cosigner: Cosigner,
    /// What it cosigned last, so that it never signs a second history.
    pub cosigned: LastCosigned,
}

impl ValidatorSigners {
    /// Signs as the log and cosigns, with this machine's time.
    ///
    /// # Errors
    /// The checkpoint is not one of this log.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedCheckpoint, Fatal> {
        Ok(self.attest(checkpoint)?.1)
    }

    /// As [`ValidatorSigners::sign`], with the signatures for other nodes.
    ///
    /// # Errors
    /// The checkpoint is not one of this log.
    pub(super) fn attest(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<(Attestation, SignedCheckpoint), Fatal> {
        let attestation = Attestation {
            size: checkpoint.size,
            root: checkpoint.root,
            validator: self.consensus.verifying_key().to_bytes(),
            log: self.log.sign(checkpoint),
            cosigned_at_s: now_ms() / 1000,
            cosignature: [0; 64],
        };
        let time_s = attestation.cosigned_at_s;
        let cosignature = self.cosigner.cosign(checkpoint, time_s);
        let signed = SignedCheckpoint::assemble(
            checkpoint.clone(),
            (self.log.verifier_key(), attestation.log),
            &[(self.cosigner.verifier_key(), time_s, cosignature)],
        )
        .map_err(|error| Fatal::Checkpoint(error.to_string()))?;
        Ok((Attestation { cosignature, ..attestation }, signed))
    }

    /// Adds this node's log signature to a checkpoint that others cosigned, if
    /// it is not there.
    ///
    /// # Errors
    /// The checkpoint is not one of this log.
    pub fn sign_as_log(&self, mut signed: SignedCheckpoint) -> Result<SignedCheckpoint, Fatal> {
        let key = self.log.verifier_key();
        if signed.log_signature(key).is_none() {
            let signature = self.log.sign(signed.checkpoint());
            signed
                .add_log_signature(key, &signature)
                .map_err(|error| Fatal::Checkpoint(error.to_string()))?;
        }
        Ok(signed)
    }
}
