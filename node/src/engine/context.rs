//! The engine's types, filled in with ours: a validator is its consensus key, a
//! value is the hash of a block's header, a height is a height.

use std::{fmt, time::Duration};

use arc_malachitebft_app::types::core::{
    self as engine, NilOrVal, Round, SignedExtension, TimeoutKind, VoteType, VotingPower,
};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use quittance_ledger::{
    chain::{ProposalSigned, Vote as SignedVote, VoteKind},
    digest::{Digest, LedgerId},
    membership,
};

/// Binds the engine to a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    ledger: LedgerId,
}

impl Context {
    /// The engine of this ledger.
    #[must_use]
    pub const fn new(ledger: LedgerId) -> Self {
        Self { ledger }
    }

    /// The ledger every signature names.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }
}

impl engine::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = Timeouts;
    type Value = BlockHash;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    /// Validators take turns, by height and round, in the order of their keys.
    #[allow(clippy::indexing_slicing, reason = "a node starts with no ledger without validators")]
    fn select_proposer<'a>(
        &self,
        validators: &'a ValidatorSet,
        height: Height,
        round: Round,
    ) -> &'a Validator {
        let count = validators.validators.len() as u64;
        let round = u64::from(round.as_u32().unwrap_or(0));
        // The engine never asks for a set without validators: a genesis has one.
        let turn = height.0.wrapping_add(round) % count.max(1);
        &validators.validators[turn as usize]
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockHash,
        pol_round: Round,
        address: Address,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, proposer: address }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockHash>,
        address: Address,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, validator: address }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockHash>,
        address: Address,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, validator: address }
    }
}

/// A validator's consensus key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

impl engine::Address for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

/// The height of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl engine::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// The hash of a block's header: all that votes and proposals carry of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub Digest);

impl engine::Value for BlockHash {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0.as_bytes()[..4]))
    }
}

/// A validator's vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// The height that is decided.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// The block, or none.
    pub value: NilOrVal<BlockHash>,
    /// Who votes.
    pub validator: Address,
}

impl Vote {
    /// What is signed (docs/FORMATS.md, "Vote"). None for a vote without a
    /// round, which nobody casts.
    #[must_use]
    pub fn signed(&self, ledger: LedgerId) -> Option<SignedVote> {
        Some(SignedVote {
            ledger,
            kind: match self.kind {
                VoteType::Prevote => VoteKind::Prevote,
                VoteType::Precommit => VoteKind::Precommit,
            },
            height: self.height.0,
            round: self.round.as_u32()?,
            block: match self.value {
                NilOrVal::Nil => None,
                NilOrVal::Val(hash) => Some(hash.0),
            },
            validator: self.validator.0,
        })
    }
}

impl engine::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockHash> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockHash> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.validator
    }

    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }

    /// Votes carry no extensions here.
    fn extend(self, _extension: SignedExtension<Context>) -> Self {
        self
    }
}

/// A validator's proposal of a block, whose bytes travel in parts beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// The block.
    pub value: BlockHash,
    /// The round in which more than two thirds prevoted for it, if one did.
    pub pol_round: Round,
    /// Who proposes.
    pub proposer: Address,
}

impl Proposal {
    /// What is signed (docs/FORMATS.md, "Proposal"). None without a round.
    #[must_use]
    pub fn signed(&self, ledger: LedgerId) -> Option<ProposalSigned> {
        Some(ProposalSigned {
            ledger,
            height: self.height.0,
            round: self.round.as_u32()?,
            block: self.value.0,
            valid_round: self.pol_round.as_u32(),
            validator: self.proposer.0,
        })
    }
}

impl engine::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockHash {
        &self.value
    }

    fn take_value(self) -> BlockHash {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

/// A piece of a proposed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The first: of what proposal the pieces are.
    Init(Init),
    /// Some of the block's bytes.
    Data(Bytes),
}

/// Of what proposal the pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// The height.
    pub height: Height,
    /// The round in which it is proposed.
    pub round: Round,
    /// The round in which more than two thirds prevoted for it, if one did.
    pub valid_round: Round,
    /// Who proposes.
    pub proposer: Address,
}

impl engine::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Init(_))
    }

    /// The end is a message of the stream, not a piece.
    fn is_last(&self) -> bool {
        false
    }
}

/// A validator with its one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    key: VerifyingKey,
}

impl engine::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

/// The validators of a height, by consensus key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
}

impl From<&membership::ValidatorSet> for ValidatorSet {
    fn from(set: &membership::ValidatorSet) -> Self {
        let validators = set
            .iter()
            .map(|validator| Validator {
                address: Address(validator.consensus.to_bytes()),
                key: validator.consensus,
            })
            .collect();
        Self { validators }
    }
}

impl engine::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.validators.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.validators.len() as VotingPower
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.validators.iter().find(|validator| validator.address == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.validators.get(index)
    }
}

/// How long the engine waits in each step. A dead proposer costs 0.7 s at its
/// turn. Each round of a height waits twice as long as the one before it: where
/// links or machines are slow, few rounds are lost until there is time enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    propose: Duration,
    propose_max: Duration,
    vote: Duration,
    vote_max: Duration,
    rebroadcast: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(500),
            propose_max: Duration::from_secs(5),
            vote: Duration::from_millis(200),
            vote_max: Duration::from_secs(2),
            rebroadcast: Duration::from_secs(1),
        }
    }
}

impl engine::Timeouts<Context> for Timeouts {
    fn duration_for(&self, timeout: engine::Timeout) -> Duration {
        let doubled = 2_u32.saturating_pow(timeout.round.as_u32().unwrap_or(0));
        match timeout.kind {
            TimeoutKind::Propose => self.propose.saturating_mul(doubled).min(self.propose_max),
            TimeoutKind::Prevote | TimeoutKind::Precommit => {
                self.vote.saturating_mul(doubled).min(self.vote_max)
            }
            TimeoutKind::Rebroadcast => self.rebroadcast,
            TimeoutKind::FinalizeHeight(time) => time,
        }
    }
}

/// Ed25519 (RFC 8032), verified under the strict rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ed25519;

/// An Ed25519 signature that can be ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

/// Bytes that are no signature or key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 {0}")]
pub struct NotEd25519(&'static str);

impl engine::SigningScheme for Ed25519 {
    type DecodingError = NotEd25519;
    type Signature = Signature;
    type PublicKey = VerifyingKey;
    type PrivateKey = ed25519_dalek::SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, NotEd25519> {
        bytes.try_into().map(Signature).map_err(|_| NotEd25519("signature"))
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<VerifyingKey, NotEd25519> {
        VerifyingKey::try_from(bytes).map_err(|_| NotEd25519("public key"))
    }

    fn encode_public_key(key: &VerifyingKey) -> Vec<u8> {
        key.as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_network_gets_twice_the_time_each_round_up_to_a_bound() {
        let wait = |kind, round| {
            let timeout = engine::Timeout { kind, round: Round::new(round) };
            engine::Timeouts::<Context>::duration_for(&Timeouts::default(), timeout).as_millis()
        };
        let of_rounds = |kind| [0, 1, 2, 3, 5, 400].map(|round| wait(kind, round));
        assert_eq!(of_rounds(TimeoutKind::Propose), [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(of_rounds(TimeoutKind::Prevote), [200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(of_rounds(TimeoutKind::Precommit), of_rounds(TimeoutKind::Prevote));
        assert_eq!(of_rounds(TimeoutKind::Rebroadcast), [1_000; 6]);
    }
}
