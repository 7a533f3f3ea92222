//! The certificate of a decision: as the engine gives it, and as it is kept with
//! the block.

use arc_malachitebft_app::types::core::{
    CommitCertificate, ExtendedCommitCertificate, ExtendedCommitSignature, Round,
};
use quittance_ledger::{
    chain::{Certificate, CommitSignature},
    digest::Digest,
};

use super::context::{Address, BlockHash, Context, Height, Signature};

/// What is kept of a decision: who precommitted for it, in the order of their keys.
#[must_use]
pub fn kept(decided: &CommitCertificate<Context>) -> Certificate {
    let signatures = decided.commit_signatures.iter().map(|signed| CommitSignature {
        validator: signed.address.0,
        signature: signed.signature.0,
    });
    let mut signatures: Vec<_> = signatures.collect();
    signatures.sort_by_key(|signed| signed.validator);
    Certificate { round: decided.round.as_u32().unwrap_or(0), signatures }
}

/// What peers that catch up get of the block of that height and hash.
#[must_use]
pub fn for_peers(
    height: u64,
    block: Digest,
    certificate: &Certificate,
) -> ExtendedCommitCertificate<Context> {
    let signatures = certificate.signatures.iter().map(|signed| {
        let (address, signature) = (Address(signed.validator), Signature(signed.signature));
        ExtendedCommitSignature::new(address, signature, None)
    });
    ExtendedCommitCertificate {
        height: Height(height),
        round: Round::new(certificate.round),
        value_id: BlockHash(block),
        commit_signatures: signatures.collect(),
    }
}
