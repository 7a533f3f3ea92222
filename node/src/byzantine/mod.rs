//! A validator that lies, for tests of those that do not.
//!
//! All of it stands behind the cargo feature `byzantine`, which is off by
//! default and refuses to compile without debug assertions: no release build
//! holds any of it. `QUITTANCE_BYZANTINE` lists what the validator does, with
//! commas between, in the words of [`Lie`]; without it, it is honest.

#[cfg(not(debug_assertions))]
compile_error!(
    "the feature `byzantine` makes a validator that lies: it is for tests and must never be part \
     of a release build"
);

mod blocks;

use std::{env, str::FromStr};

use arc_malachitebft_app::{
    engine::network::NetworkRef,
    types::core::{NilOrVal, SignedMessage, ValidatorProof, VoteExtensionScope, VoteType},
};
use arc_malachitebft_engine_byzantine::{ByzantineConfig, ByzantineNetworkProxy, Trigger};
use arc_malachitebft_signing::{Error, Signer};
use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use quittance_ledger::digest::{Digest, LedgerId};

pub use self::blocks::spoil;
use crate::engine::{
    ValidatorSigner,
    context::{Address, BlockHash, Context, Proposal, Vote},
};

/// The variable that lists the lies.
pub const VARIABLE: &str = "QUITTANCE_BYZANTINE";

/// One thing that a validator must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// `equivocate-votes`: votes for two blocks at once.
    EquivocateVotes,
    /// `equivocate-proposals`: proposes two blocks at once.
    EquivocateProposals,
    /// `drop-votes`: does not vote.
    DropVotes,
    /// `drop-proposals`: does not propose.
    DropProposals,
    /// `precommit-nil`: never commits to a block.
    PrecommitNil,
    /// `wrong-root`: proposes blocks whose tree root is not that of their records.
    WrongRoot,
    /// `duplicate-record`: proposes blocks that hold a record twice.
    DuplicateRecord,
    /// `unsigned-record`: proposes blocks with a record that nobody signed.
    UnsignedRecord,
    /// `oversized-block`: proposes blocks that are larger than a block may be.
    OversizedBlock,
    /// `invalid-blocks`: all four of these in turn.
    InvalidBlocks,
}

/// A word that is no lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}: {0:?} is nothing that a lying validator can do")]
pub struct UnknownLie(String);

impl FromStr for Lie {
    type Err = UnknownLie;

    fn from_str(word: &str) -> Result<Self, UnknownLie> {
        Ok(match word {
            "equivocate-votes" => Self::EquivocateVotes,
            "equivocate-proposals" => Self::EquivocateProposals,
            "drop-votes" => Self::DropVotes,
            "drop-proposals" => Self::DropProposals,
            "precommit-nil" => Self::PrecommitNil,
            "wrong-root" => Self::WrongRoot,
            "duplicate-record" => Self::DuplicateRecord,
            "unsigned-record" => Self::UnsignedRecord,
            "oversized-block" => Self::OversizedBlock,
            "invalid-blocks" => Self::InvalidBlocks,
            _ => return Err(UnknownLie(word.to_owned())),
        })
    }
}

/// The lies that this process was told to tell.
///
/// # Errors
/// A word is no lie.
pub fn lies() -> Result<Vec<Lie>, UnknownLie> {
    let words = env::var(VARIABLE).unwrap_or_default();
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse).collect()
}

/// Another block than this one: nobody knows it.
fn another(block: Option<&BlockHash>) -> BlockHash {
    let mut bytes = block.map_or([0xBA; 32], |BlockHash(hash)| *hash.as_bytes());
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    BlockHash(Digest::from_bytes(bytes))
}

/// Signs as one validator, and never commits to a block.
struct NilSigner(ValidatorSigner);

#[async_trait]
impl Signer<Context> for NilSigner {
    async fn sign_vote(&self, mut vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        if vote.kind == VoteType::Precommit {
            vote.value = NilOrVal::Nil;
        }
        self.0.sign_vote(vote).await
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Context, Proposal>, Error> {
        self.0.sign_proposal(proposal).await
    }

    async fn sign_vote_extension(
        &self,
        scope: VoteExtensionScope<Context>,
        extension: (),
    ) -> Result<SignedMessage<Context, ()>, Error> {
        self.0.sign_vote_extension(scope, extension).await
    }

    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Context>, Error> {
        self.0.sign_validator_proof(public_key, peer_id).await
    }
}

/// What signs for a validator that may lie.
#[must_use]
pub fn signer(honest: ValidatorSigner) -> Box<dyn Signer<Context>> {
    // A word that is no lie keeps the engine from starting.
    if lies().unwrap_or_default().contains(&Lie::PrecommitNil) {
        Box::new(NilSigner(honest))
    } else {
        Box::new(honest)
    }
}

/// Puts the lies about votes and proposals between the engine and its network.
///
/// # Errors
/// A word is no lie, two of them contradict each other, or the actor cannot be
/// started.
pub async fn corrupt(
    network: NetworkRef<Context>,
    ledger: LedgerId,
    key: SigningKey,
) -> Result<NetworkRef<Context>, Box<dyn std::error::Error + Send + Sync>> {
    let lies = lies()?;
    let when = |lie| if lies.contains(&lie) { Trigger::Always } else { Trigger::Never };
    let config = ByzantineConfig {
        equivocate_votes: when(Lie::EquivocateVotes),
        equivocate_proposals: when(Lie::EquivocateProposals),
        drop_votes: when(Lie::DropVotes),
        drop_proposals: when(Lie::DropProposals),
        ..ByzantineConfig::default()
    };
    if !config.is_active() {
        return Ok(network);
    }
    tracing::warn!("this validator lies: {lies:?}");
    let address = Address(key.verifying_key().to_bytes());
    let proxy = ByzantineNetworkProxy::spawn(
        config,
        network.clone(),
        Box::new(ValidatorSigner::new(ledger, key)),
        Context::new(ledger),
        address,
        tracing::Span::current(),
        Some(Box::new(|value| another(Some(value)))),
        Some(Box::new(another)),
    )
    .await?;
    network.link(proxy.get_cell());
    Ok(proxy)
}
