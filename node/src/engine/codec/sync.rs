//! How far nodes are, and decided blocks for those that catch up.

use arc_malachitebft_app::types::{
    PeerId,
    core::{ExtendedCommitCertificate, ExtendedCommitSignature},
    sync::{RawDecidedValue, Request, Response, Status},
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use bincode::{Decode, Encode};
use quittance_ledger::wire::WireError;

use super::{
    super::context::{Address, Context, Height, Signature},
    Mirror, WireRound, WireSigned, hash_of, malformed, round_from_wire, round_to_wire,
};

#[derive(Debug, Encode, Decode)]
pub(super) struct WireStatus {
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
pub(super) struct WireResponse {
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
