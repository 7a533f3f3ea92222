//! Everything comes back as it was, and nothing else is read.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use arc_malachitebft_app::{
    engine::util::streaming::{StreamContent, StreamId},
    types::{
        core::{
            ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, PolkaSignature,
            RoundCertificate, RoundCertificateType, RoundSignature, SignedMessage, VoteType,
        },
        sync::RawDecidedValue,
    },
};
use arc_malachitebft_sync::ValueResponse;
use proptest::prelude::*;

use super::{
    super::{
        context::{Address, Height, Proposal, Signature, Vote},
        limits::{PART_DATA_BYTES, STREAM_ID_BYTES_MAX},
    },
    consensus::kind_of,
    *,
};

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
            let proposal = Proposal { height: Height(height), round, value, pol_round, proposer };
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
    let part = Part::Data(vec![7; PART_DATA_BYTES].into());
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
