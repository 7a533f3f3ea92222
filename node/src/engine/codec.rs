//! What the engine writes to its log and sends to its peers, in bincode with a
//! limit for each kind of message (docs/FORMATS.md, "Between engines").
//!
//! The engine's own types derive no encoding, so each has a mirror here.

use arc_malachitebft_app::{
    consensus::LivenessMsg,
    engine::util::streaming::{StreamContent, StreamId, StreamMessage},
    types::{
        PeerId, ProposedValue, SignedConsensusMsg,
        codec::{Codec, HasEncodedLen},
        core::{
            ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, PolkaCertificate,
            PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature,
            SignedMessage, ValidatorProof, Validity, VoteType,
        },
        sync::{RawDecidedValue, Request, Response, Status},
    },
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use bincode::{Decode, Encode};
use bytes::Bytes;
use quittance_ledger::{
    digest::Digest,
    wire::{self, WireError},
};

use super::{
    context::{Address, BlockHash, Context, Height, Init, Part, Proposal, Signature, Vote},
    limits::{CONSENSUS_BYTES_MAX, PART_BYTES_MAX, STREAM_ID_BYTES_MAX, SYNC_MESSAGE_BYTES_MAX},
};

/// Encodes and decodes everything between engine, log and network.
#[derive(Debug, Clone, Copy)]
pub struct EngineCodec;

/// A value that has a mirror with an encoding.
trait Mirror: Sized {
    type Wire: Encode + Decode<()>;
    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Result<Self, WireError>;
}

fn encode<const BYTES_MAX: usize, T: Mirror>(value: &T) -> Result<Bytes, WireError> {
    wire::encode::<BYTES_MAX, _>(&value.to_wire()).map(Bytes::from)
}

fn decode<const BYTES_MAX: usize, T: Mirror>(bytes: &[u8]) -> Result<T, WireError> {
    T::from_wire(wire::decode::<BYTES_MAX, T::Wire>(bytes)?)
}

macro_rules! codec {
    ($($value:ty => $bytes_max:expr),* $(,)?) => {$(
        impl Codec<$value> for EngineCodec {
            type Error = WireError;

            fn decode(&self, bytes: Bytes) -> Result<$value, WireError> {
                decode::<{ $bytes_max }, $value>(&bytes)
            }

            fn encode(&self, value: &$value) -> Result<Bytes, WireError> {
                encode::<{ $bytes_max }, $value>(value)
            }
        }
    )*};
}

codec! {
    SignedConsensusMsg<Context> => CONSENSUS_BYTES_MAX,
    ProposedValue<Context> => CONSENSUS_BYTES_MAX,
    PolkaCertificate<Context> => CONSENSUS_BYTES_MAX,
    LivenessMsg<Context> => CONSENSUS_BYTES_MAX,
    ValidatorProof<Context> => CONSENSUS_BYTES_MAX,
    Part => PART_BYTES_MAX,
    StreamMessage<Part> => PART_BYTES_MAX,
    Status<Context> => CONSENSUS_BYTES_MAX,
    Request<Context> => CONSENSUS_BYTES_MAX,
    Response<Context> => SYNC_MESSAGE_BYTES_MAX,
}

impl HasEncodedLen<Response<Context>> for EngineCodec {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        self.encode(response).map(|bytes| bytes.len())
    }
}

fn malformed(what: &str) -> WireError {
    WireError::Malformed(what.to_owned())
}

/// A round; none for the engine's "no round".
type WireRound = Option<u32>;

fn round_to_wire(round: Round) -> WireRound {
    round.as_u32()
}

fn round_from_wire(round: WireRound) -> Round {
    round.map_or(Round::Nil, Round::new)
}

#[derive(Debug, Encode, Decode)]
struct WireVote {
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

const fn kind_of(precommit: bool) -> VoteType {
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

const fn hash_of(hash: [u8; 32]) -> BlockHash {
    BlockHash(Digest::from_bytes(hash))
}

#[derive(Debug, Encode, Decode)]
struct WireProposal {
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
enum WireConsensus {
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
pub struct WireProposedValue {
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
struct WireSigned {
    validator: [u8; 32],
    signature: [u8; 64],
}

#[derive(Debug, Encode, Decode)]
struct WirePolka {
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
struct WireRoundCertificate {
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
enum WireLiveness {
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
struct WireProof {
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

#[derive(Debug, Encode, Decode)]
enum WirePart {
    Init { height: u64, round: WireRound, valid_round: WireRound, proposer: [u8; 32] },
    Data(Vec<u8>),
}

impl Mirror for Part {
    type Wire = WirePart;

    fn to_wire(&self) -> WirePart {
        match self {
            Self::Init(init) => WirePart::Init {
                height: init.height.0,
                round: round_to_wire(init.round),
                valid_round: round_to_wire(init.valid_round),
                proposer: init.proposer.0,
            },
            Self::Data(data) => WirePart::Data(data.to_vec()),
        }
    }

    fn from_wire(wire: WirePart) -> Result<Self, WireError> {
        Ok(match wire {
            WirePart::Init { height, round, valid_round, proposer } => Self::Init(Init {
                height: Height(height),
                round: round_from_wire(round),
                valid_round: round_from_wire(valid_round),
                proposer: Address(proposer),
            }),
            WirePart::Data(data) => Self::Data(data.into()),
        })
    }
}

#[derive(Debug, Encode, Decode)]
struct WireStream {
    stream: Vec<u8>,
    sequence: u64,
    /// None ends the stream.
    part: Option<WirePart>,
}

impl Mirror for StreamMessage<Part> {
    type Wire = WireStream;

    fn to_wire(&self) -> WireStream {
        WireStream {
            stream: self.stream_id.to_bytes().to_vec(),
            sequence: self.sequence,
            part: match &self.content {
                StreamContent::Data(part) => Some(part.to_wire()),
                StreamContent::Fin => None,
            },
        }
    }

    fn from_wire(wire: WireStream) -> Result<Self, WireError> {
        if wire.stream.len() > STREAM_ID_BYTES_MAX {
            return Err(malformed("a stream's name is too long"));
        }
        let content = match wire.part {
            Some(part) => StreamContent::Data(Mirror::from_wire(part)?),
            None => StreamContent::Fin,
        };
        Ok(Self::new(StreamId::new(wire.stream.into()), wire.sequence, content))
    }
}

#[derive(Debug, Encode, Decode)]
struct WireStatus {
    peer: Vec<u8>,
    tip_height: u64,
    history_min_height: u64,
}

impl Mirror for Status<Context> {
    type Wire = WireStatus;

    fn to_wire(&self) -> WireStatus {
        WireStatus {
            peer: self.peer_id.to_bytes(),
            tip_height: self.tip_height.0,
            history_min_height: self.history_min_height.0,
        }
    }

    fn from_wire(wire: WireStatus) -> Result<Self, WireError> {
        Ok(Self {
            peer_id: PeerId::from_bytes(&wire.peer).map_err(|_| malformed("no peer id"))?,
            tip_height: Height(wire.tip_height),
            history_min_height: Height(wire.history_min_height),
        })
    }
}

/// First and last height that are asked for.
impl Mirror for Request<Context> {
    type Wire = (u64, u64);

    fn to_wire(&self) -> (u64, u64) {
        let Self::ValueRequest(request) = self;
        (request.range.start().0, request.range.end().0)
    }

    fn from_wire((first, last): (u64, u64)) -> Result<Self, WireError> {
        Ok(Self::ValueRequest(ValueRequest::new(Height(first)..=Height(last))))
    }
}

#[derive(Debug, Encode, Decode)]
struct WireDecided {
    block: Vec<u8>,
    height: u64,
    round: WireRound,
    hash: [u8; 32],
    signatures: Vec<WireSigned>,
}

#[derive(Debug, Encode, Decode)]
pub struct WireResponse {
    first: u64,
    values: Vec<WireDecided>,
}

impl Mirror for Response<Context> {
    type Wire = WireResponse;

    fn to_wire(&self) -> WireResponse {
        let Self::ValueResponse(response) = self;
        let values = response
            .values
            .iter()
            .map(|value| WireDecided {
                block: value.value_bytes.to_vec(),
                height: value.certificate.height.0,
                round: round_to_wire(value.certificate.round),
                hash: *value.certificate.value_id.0.as_bytes(),
                signatures: value
                    .certificate
                    .commit_signatures
                    .iter()
                    .map(|signed| WireSigned {
                        validator: signed.address.0,
                        signature: signed.signature.0,
                    })
                    .collect(),
            })
            .collect();
        WireResponse { first: response.start_height.0, values }
    }

    fn from_wire(wire: WireResponse) -> Result<Self, WireError> {
        let values = wire
            .values
            .into_iter()
            .map(|value| {
                let certificate = ExtendedCommitCertificate {
                    height: Height(value.height),
                    round: round_from_wire(value.round),
                    value_id: hash_of(value.hash),
                    commit_signatures: value
                        .signatures
                        .into_iter()
                        .map(|signed| {
                            let (address, signature) =
                                (Address(signed.validator), Signature(signed.signature));
                            ExtendedCommitSignature::new(address, signature, None)
                        })
                        .collect(),
                };
                RawDecidedValue::new(value.block.into(), certificate)
            })
            .collect();
        Ok(Self::ValueResponse(ValueResponse::new(Height(wire.first), values)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fmt::Debug;

    use arc_malachitebft_app::types::core::Round;
    use proptest::prelude::*;

    use super::*;

    fn round() -> impl Strategy<Value = Round> {
        prop::option::of(0..u32::MAX).prop_map(round_from_wire)
    }

    fn hash() -> impl Strategy<Value = BlockHash> {
        any::<[u8; 32]>().prop_map(hash_of)
    }

    fn address() -> impl Strategy<Value = Address> {
        any::<[u8; 32]>().prop_map(Address)
    }

    fn signature() -> impl Strategy<Value = Signature> {
        any::<[u8; 32]>().prop_map(|half| {
            let mut whole = [0; 64];
            whole[16..48].copy_from_slice(&half);
            Signature(whole)
        })
    }

    fn vote() -> impl Strategy<Value = SignedMessage<Context, Vote>> {
        let nil = prop::option::of(hash());
        (any::<bool>(), any::<u64>(), round(), nil, address(), signature()).prop_map(
            |(precommit, height, round, block, validator, signature)| {
                let vote = Vote {
                    kind: kind_of(precommit),
                    height: Height(height),
                    round,
                    value: block.map_or(NilOrVal::Nil, NilOrVal::Val),
                    validator,
                };
                SignedMessage::new(vote, signature)
            },
        )
    }

    fn proposal() -> impl Strategy<Value = SignedMessage<Context, Proposal>> {
        (any::<u64>(), round(), hash(), round(), address(), signature()).prop_map(
            |(height, round, value, pol_round, proposer, signature)| {
                let proposal =
                    Proposal { height: Height(height), round, value, pol_round, proposer };
                SignedMessage::new(proposal, signature)
            },
        )
    }

    fn polka() -> impl Strategy<Value = PolkaCertificate<Context>> {
        let signed = prop::collection::vec((address(), signature()), 0..5);
        (any::<u64>(), round(), hash(), signed).prop_map(|(height, round, value_id, signed)| {
            PolkaCertificate {
                height: Height(height),
                round,
                value_id,
                polka_signatures: signed
                    .into_iter()
                    .map(|(address, signature)| PolkaSignature::new(address, signature))
                    .collect(),
            }
        })
    }

    fn response() -> impl Strategy<Value = Response<Context>> {
        let block = prop::collection::vec(any::<u8>(), 0..300);
        let signed = prop::collection::vec((address(), signature()), 0..5);
        let value = (block, any::<u64>(), round(), hash(), signed);
        (any::<u64>(), prop::collection::vec(value, 0..4)).prop_map(|(first, values)| {
            let values = values
                .into_iter()
                .map(|(block, height, round, value_id, signed)| {
                    let commit_signatures = signed
                        .into_iter()
                        .map(|(address, signature)| {
                            ExtendedCommitSignature::new(address, signature, None)
                        })
                        .collect();
                    let height = Height(height);
                    let certificate =
                        ExtendedCommitCertificate { height, round, value_id, commit_signatures };
                    RawDecidedValue::new(block.into(), certificate)
                })
                .collect();
            Response::ValueResponse(ValueResponse::new(Height(first), values))
        })
    }

    fn comes_back<T>(value: &T)
    where
        EngineCodec: Codec<T, Error = WireError>,
        T: PartialEq + Debug,
    {
        let bytes = EngineCodec.encode(value).unwrap();
        assert_eq!(&EngineCodec.decode(bytes.clone()).unwrap(), value);
        let mut longer = bytes.to_vec();
        longer.push(0);
        let read: Result<T, _> = EngineCodec.decode(longer.into());
        assert!(read.is_err(), "bytes that are left over");
        let read: Result<T, _> = EngineCodec.decode(bytes.slice(..bytes.len() - 1));
        assert!(read.is_err(), "bytes that are missing");
    }

    proptest! {
        #[test]
        fn messages_come_back_as_they_were_and_in_no_other_form(
            vote in vote(), proposal in proposal(), polka in polka(), response in response(),
        ) {
            comes_back(&LivenessMsg::Vote(vote.clone()));
            comes_back(&LivenessMsg::PolkaCertificate(polka.clone()));
            comes_back(&SignedConsensusMsg::<Context>::Vote(vote));
            comes_back(&SignedConsensusMsg::<Context>::Proposal(proposal));
            comes_back(&polka);
            comes_back(&response);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let bytes = Bytes::from(bytes);
            let _: Result<SignedConsensusMsg<Context>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<LivenessMsg<Context>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<StreamMessage<Part>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<ValidatorProof<Context>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<Status<Context>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<Request<Context>, _> = EngineCodec.decode(bytes.clone());
            let _: Result<Response<Context>, _> = EngineCodec.decode(bytes);
        }
    }

    #[test]
    fn a_full_part_and_a_certificate_of_all_validators_fit_their_bounds() {
        let part = Part::Data(vec![7; super::super::limits::PART_DATA_BYTES].into());
        let content = StreamContent::Data(part);
        let name = StreamId::new(vec![1; STREAM_ID_BYTES_MAX].into());
        comes_back(&StreamMessage::new(name, u64::MAX, content));
        let signed = RoundSignature::new(
            VoteType::Precommit,
            NilOrVal::Val(hash_of([1; 32])),
            Address([2; 32]),
            Signature([3; 64]),
        );
        let round_signatures = vec![signed; quittance_ledger::limits::VALIDATORS_MAX];
        let cert_type = RoundCertificateType::Precommit;
        let (height, round) = (Height(u64::MAX), Round::new(9));
        comes_back(&LivenessMsg::SkipRoundCertificate(RoundCertificate {
            height,
            round,
            cert_type,
            round_signatures,
        }));
    }
}
