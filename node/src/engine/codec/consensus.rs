//! Votes, proposals, certificates and what else the consensus says and logs.

use arc_malachitebft_app::{
    consensus::LivenessMsg,
    types::{
        ProposedValue, SignedConsensusMsg,
        core::{
            NilOrVal, PolkaCertificate, PolkaSignature, RoundCertificate, RoundCertificateType,
            RoundSignature, SignedMessage, ValidatorProof, Validity, VoteType,
        },
    },
};
use bincode::{Decode, Encode};
use quittance_ledger::wire::WireError;

use super::{
    super::context::{Address, BlockHash, Context, Height, Proposal, Signature, Vote},
    Mirror, WireRound, WireSigned, hash_of, round_from_wire, round_to_wire,
};

#[derive(Debug, Encode, Decode)]
pub(super) struct WireVote {
    precommit: bool,
    height: u64,
    round: WireRound,
    block: Option<[u8; 32]>,
    validator: [u8; 32],
    signature: [u8; 64],
}

impl Mirror for SignedMessage<Context, Vote> {
    type Wire = WireVote;

    fn to_wire(&self) -> WireVote {
        WireVote {
            precommit: self.message.kind == VoteType::Precommit,
            height: self.message.height.0,
            round: round_to_wire(self.message.round),
            block: block_to_wire(&self.message.value),
            validator: self.message.validator.0,
            signature: self.signature.0,
        }
    }

    fn from_wire(wire: WireVote) -> Result<Self, WireError> {
        let vote = Vote {
            kind: kind_of(wire.precommit),
            height: Height(wire.height),
            round: round_from_wire(wire.round),
            value: block_from_wire(wire.block),
            validator: Address(wire.validator),
        };
        Ok(Self::new(vote, Signature(wire.signature)))
    }
}

pub(super) const fn kind_of(precommit: bool) -> VoteType {
    if precommit { VoteType::Precommit } else { VoteType::Prevote }
}

fn block_to_wire(value: &NilOrVal<BlockHash>) -> Option<[u8; 32]> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(hash) => Some(*hash.0.as_bytes()),
    }
}

fn block_from_wire(block: Option<[u8; 32]>) -> NilOrVal<BlockHash> {
    block.map_or(NilOrVal::Nil, |hash| NilOrVal::Val(hash_of(hash)))
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WireProposal {
    height: u64,
    round: WireRound,
    block: [u8; 32],
    valid_round: WireRound,
    proposer: [u8; 32],
    signature: [u8; 64],
}

impl Mirror for SignedMessage<Context, Proposal> {
    type Wire = WireProposal;

    fn to_wire(&self) -> WireProposal {
        WireProposal {
            height: self.message.height.0,
            round: round_to_wire(self.message.round),
            block: *self.message.value.0.as_bytes(),
            valid_round: round_to_wire(self.message.pol_round),
            proposer: self.message.proposer.0,
            signature: self.signature.0,
        }
    }

    fn from_wire(wire: WireProposal) -> Result<Self, WireError> {
        let proposal = Proposal {
            height: Height(wire.height),
            round: round_from_wire(wire.round),
            value: hash_of(wire.block),
            pol_round: round_from_wire(wire.valid_round),
            proposer: Address(wire.proposer),
        };
        Ok(Self::new(proposal, Signature(wire.signature)))
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) enum WireConsensus {
    Vote(WireVote),
    Proposal(WireProposal),
}

impl Mirror for SignedConsensusMsg<Context> {
    type Wire = WireConsensus;

    fn to_wire(&self) -> WireConsensus {
        match self {
            Self::Vote(vote) => WireConsensus::Vote(vote.to_wire()),
            Self::Proposal(proposal) => WireConsensus::Proposal(proposal.to_wire()),
        }
    }

    fn from_wire(wire: WireConsensus) -> Result<Self, WireError> {
        Ok(match wire {
            WireConsensus::Vote(vote) => Self::Vote(Mirror::from_wire(vote)?),
            WireConsensus::Proposal(proposal) => Self::Proposal(Mirror::from_wire(proposal)?),
        })
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WireProposedValue {
    height: u64,
    round: WireRound,
    valid_round: WireRound,
    proposer: [u8; 32],
    block: [u8; 32],
    valid: bool,
}

impl Mirror for ProposedValue<Context> {
    type Wire = WireProposedValue;

    fn to_wire(&self) -> WireProposedValue {
        WireProposedValue {
            height: self.height.0,
            round: round_to_wire(self.round),
            valid_round: round_to_wire(self.valid_round),
            proposer: self.proposer.0,
            block: *self.value.0.as_bytes(),
            valid: self.validity.is_valid(),
        }
    }

    fn from_wire(wire: WireProposedValue) -> Result<Self, WireError> {
        Ok(Self {
            height: Height(wire.height),
            round: round_from_wire(wire.round),
            valid_round: round_from_wire(wire.valid_round),
            proposer: Address(wire.proposer),
            value: hash_of(wire.block),
            validity: Validity::from_bool(wire.valid),
        })
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WirePolka {
    height: u64,
    round: WireRound,
    block: [u8; 32],
    signatures: Vec<WireSigned>,
}

impl Mirror for PolkaCertificate<Context> {
    type Wire = WirePolka;

    fn to_wire(&self) -> WirePolka {
        WirePolka {
            height: self.height.0,
            round: round_to_wire(self.round),
            block: *self.value_id.0.as_bytes(),
            signatures: self
                .polka_signatures
                .iter()
                .map(|signed| WireSigned {
                    validator: signed.address.0,
                    signature: signed.signature.0,
                })
                .collect(),
        }
    }

    fn from_wire(wire: WirePolka) -> Result<Self, WireError> {
        Ok(Self {
            height: Height(wire.height),
            round: round_from_wire(wire.round),
            value_id: hash_of(wire.block),
            polka_signatures: wire
                .signatures
                .into_iter()
                .map(|signed| {
                    PolkaSignature::new(Address(signed.validator), Signature(signed.signature))
                })
                .collect(),
        })
    }
}

#[derive(Debug, Encode, Decode)]
struct WireRoundSigned {
    precommit: bool,
    block: Option<[u8; 32]>,
    validator: [u8; 32],
    signature: [u8; 64],
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WireRoundCertificate {
    height: u64,
    round: WireRound,
    precommit: bool,
    signatures: Vec<WireRoundSigned>,
}

impl Mirror for RoundCertificate<Context> {
    type Wire = WireRoundCertificate;

    fn to_wire(&self) -> WireRoundCertificate {
        WireRoundCertificate {
            height: self.height.0,
            round: round_to_wire(self.round),
            precommit: self.cert_type == RoundCertificateType::Precommit,
            signatures: self
                .round_signatures
                .iter()
                .map(|signed| WireRoundSigned {
                    precommit: signed.vote_type == VoteType::Precommit,
                    block: block_to_wire(&signed.value_id),
                    validator: signed.address.0,
                    signature: signed.signature.0,
                })
                .collect(),
        }
    }

    fn from_wire(wire: WireRoundCertificate) -> Result<Self, WireError> {
        let cert_type = if wire.precommit {
            RoundCertificateType::Precommit
        } else {
            RoundCertificateType::Skip
        };
        Ok(Self {
            height: Height(wire.height),
            round: round_from_wire(wire.round),
            cert_type,
            round_signatures: wire
                .signatures
                .into_iter()
                .map(|signed| {
                    RoundSignature::new(
                        kind_of(signed.precommit),
                        block_from_wire(signed.block),
                        Address(signed.validator),
                        Signature(signed.signature),
                    )
                })
                .collect(),
        })
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) enum WireLiveness {
    Vote(WireVote),
    Polka(WirePolka),
    SkipRound(WireRoundCertificate),
}

impl Mirror for LivenessMsg<Context> {
    type Wire = WireLiveness;

    fn to_wire(&self) -> WireLiveness {
        match self {
            Self::Vote(vote) => WireLiveness::Vote(vote.to_wire()),
            Self::PolkaCertificate(polka) => WireLiveness::Polka(polka.to_wire()),
            Self::SkipRoundCertificate(round) => WireLiveness::SkipRound(round.to_wire()),
        }
    }

    fn from_wire(wire: WireLiveness) -> Result<Self, WireError> {
        Ok(match wire {
            WireLiveness::Vote(vote) => Self::Vote(Mirror::from_wire(vote)?),
            WireLiveness::Polka(polka) => Self::PolkaCertificate(Mirror::from_wire(polka)?),
            WireLiveness::SkipRound(round) => Self::SkipRoundCertificate(Mirror::from_wire(round)?),
        })
    }
}

#[derive(Debug, Encode, Decode)]
pub(super) struct WireProof {
    public_key: Vec<u8>,
    peer: Vec<u8>,
    signature: [u8; 64],
}

impl Mirror for ValidatorProof<Context> {
    type Wire = WireProof;

    fn to_wire(&self) -> WireProof {
        WireProof {
            public_key: self.public_key.clone(),
            peer: self.peer_id.clone(),
            signature: self.signature.0,
        }
    }

    fn from_wire(wire: WireProof) -> Result<Self, WireError> {
        Ok(Self::new(wire.public_key, wire.peer, Signature(wire.signature)))
    }
}
