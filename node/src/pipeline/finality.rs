//! When a decided block is final: more than two thirds of the validators have
//! cosigned the checkpoint after it, each from its own stored bytes.

use std::collections::{BTreeMap, HashMap};

use quittance_ledger::{
    digest::Digest,
    membership::{Membership, Validator},
    transparency::{Checkpoint, SignedCheckpoint, verify_cosignature, verify_log_signature},
};

/// A validator's two signatures of one checkpoint: as the log that serves it,
/// and as its cosigner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attestation {
    /// Records in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Digest,
    /// The validator's consensus key.
    pub validator: [u8; 32],
    /// Its log signature (C2SP type 0x01).
    pub log: [u8; 64],
    /// When it cosigned, in seconds since the Unix epoch.
    pub cosigned_at_s: u64,
    /// Its cosignature (C2SP type 0x04).
    pub cosignature: [u8; 64],
}

impl Attestation {
    fn checkpoint(&self, membership: &Membership) -> Checkpoint {
        Checkpoint { origin: membership.origin().clone(), size: self.size, root: self.root }
    }

    /// The validator that made it, if both signatures are its own.
    pub fn verified<'a>(&self, membership: &'a Membership) -> Option<&'a Validator> {
        let validator = membership.validators().by_consensus_key(&self.validator)?;
        let checkpoint = self.checkpoint(membership);
        let valid = verify_log_signature(&validator.log, &checkpoint, &self.log)
            && verify_cosignature(
                &validator.cosigner,
                &checkpoint,
                self.cosigned_at_s,
                &self.cosignature,
            );
        valid.then_some(validator)
    }
}

/// Attestations that are kept of one validator: of blocks that this node has not
/// decided yet, and of decided ones that lack some. Each has a share of its own,
/// so that one that lies takes no place of the others'.
const SIZES_MAX: usize = 256;

/// Attestations of checkpoints that are not final yet.
#[derive(Debug, Default)]
pub struct Finality {
    by_validator: HashMap<[u8; 32], BTreeMap<u64, Attestation>>,
}

impl Finality {
    /// Takes a verified attestation of something beyond the final `size`. Gives
    /// whether it is new.
    pub fn add(&mut self, attestation: Attestation, final_size: u64) -> bool {
        if attestation.size <= final_size {
            return false;
        }
        let known = self.by_validator.entry(attestation.validator).or_default();
        let new = known.insert(attestation.size, attestation).is_none();
        // The furthest go first: what is near becomes final first.
        while known.len() > SIZES_MAX {
            known.pop_last();
        }
        new && known.contains_key(&attestation.size)
    }

    /// Forgets what is final.
    pub fn forget_through(&mut self, size: u64) {
        self.by_validator.retain(|_, known| {
            known.retain(|of, _| *of > size);
            !known.is_empty()
        });
    }

    /// Sizes that are attested, the smallest first, and by how many.
    pub fn sizes(&self) -> BTreeMap<u64, usize> {
        let mut attested = BTreeMap::<u64, usize>::new();
        for size in self.by_validator.values().flat_map(BTreeMap::keys) {
            *attested.entry(*size).or_default() += 1;
        }
        attested
    }

    /// The final checkpoint of `checkpoint`, once more than two thirds of the
    /// validators have attested it. `own_log` is put first where it is given,
    /// so that a node serves what it signed itself.
    pub fn assemble(
        &self,
        checkpoint: &Checkpoint,
        membership: &Membership,
        own: Option<&[u8; 32]>,
    ) -> Option<SignedCheckpoint> {
        let validators = membership.validators();
        let attested: Vec<(&Validator, &Attestation)> = self
            .by_validator
            .values()
            .filter_map(|known| known.get(&checkpoint.size))
            .filter(|attestation| attestation.root == checkpoint.root)
            .filter_map(|attestation| {
                Some((validators.by_consensus_key(&attestation.validator)?, attestation))
            })
            .collect();
        if attested.len() < validators.quorum() {
            return None;
        }
        let (log, by) = attested
            .iter()
            .find(|(_, attestation)| Some(&attestation.validator) == own)
            .or_else(|| attested.first())?;
        let cosignatures: Vec<_> = attested
            .iter()
            .map(|(validator, attestation)| {
                (&validator.cosigner, attestation.cosigned_at_s, attestation.cosignature)
            })
            .collect();
        SignedCheckpoint::assemble(checkpoint.clone(), (&log.log, by.log), &cosignatures).ok()
    }
}
