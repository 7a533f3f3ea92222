//! docs/vectors/chain.json is what docs/FORMATS.md says of genesis and chain.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    digest::Digest,
    insurance::{
        rules::{BlockState, Effects},
        state::EmptyState,
    },
    membership::{Genesis, Membership, MembershipState},
    record::Record,
    testing::{Ledger, START_MS, key},
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/chain.json");

fn vectors() -> Value {
    let genesis = Ledger::new("vectors.example/quittance").membership.genesis().clone();
    let membership = Membership::from_genesis(&genesis);
    let header = Header {
        ledger: membership.ledger_id(),
        height: 7,
        previous: Digest::of(b"the header before"),
        time_ms: START_MS,
        proposer: key(101).verifying_key().to_bytes(),
        tree_size: 42,
        tree_root: Digest::of(b"the root"),
        effects: Effects::default().digest(),
        validators: membership.validators().hash(),
    };
    json!({
        "genesis": {
            "toml": genesis.to_toml().unwrap(),
            "canonical": genesis.canonical(),
            "ledger_id": genesis.ledger_id(),
        },
        "validators_hash": membership.validators().hash(),
        "effects_of_nothing": Effects::default().digest(),
        "effects_of_membership": membership_effects(),
        "header": {
            "height": header.height,
            "previous": header.previous,
            "time_ms": header.time_ms,
            "proposer": hex::encode(header.proposer),
            "tree_size": header.tree_size,
            "tree_root": header.tree_root,
            "bytes": hex::encode(header.encode()),
            "hash": header.hash(),
        },
        "precommit": {
            "round": 3,
            "validator": hex::encode(header.proposer),
            "bytes": hex::encode(precommit(&header).encode()),
            "signature": hex::encode(precommit(&header).sign(&key(101))),
        },
        "proposal": {
            "round": 3,
            "valid_round": 1,
            "validator": hex::encode(header.proposer),
            "bytes": hex::encode(proposal(&header).encode()),
            "signature": hex::encode(proposal(&header).sign(&key(101))),
        },
        "prevote_for_no_block": {
            "round": 3,
            "validator": hex::encode(header.proposer),
            "bytes": hex::encode(Vote {
                kind: VoteKind::Prevote,
                block: None,
                ..precommit(&header)
            }.encode()),
        },
    })
}

/// Two proposals about one member in block 7, and the approval of the first by
/// the only validator.
fn membership_effects() -> Value {
    let ledger = Ledger::new("vectors.example/quittance");
    let sign = |signer, number: u8, record_type, data: Value| {
        ledger.sign(
            signer,
            json!({
                "type": record_type, "salt": format!("AAAAAAAAAAAAAAAAAAAA{number}A"),
                "occurred_at": "2026-01-01T00:00:00Z", "data": data,
            }),
        )
    };
    let public = STANDARD.encode(key(70).verifying_key());
    let added = json!({"change": "key_added", "member": "broker",
        "key": {"id": "2", "alg": "Ed25519", "public": public}});
    let added = sign("broker", 1, "member.proposed", added);
    let remove = json!({"change": "remove", "member": "broker"});
    let removed = sign("provider", 2, "member.proposed", remove);
    let approval = json!({"proposal": added.id()});
    let approval = sign("insurer", 3, "member.approved", approval);
    let members = MembershipState::from_genesis(ledger.membership.genesis());
    let mut state = BlockState::new(7, START_MS, 0, &members, &EmptyState);
    let records = [added, removed, approval];
    for record in &records {
        state.apply(record).unwrap();
    }
    let text = |record: &Record| String::from_utf8(record.jws().to_vec()).unwrap();
    json!({
        "height": 7,
        "records": records.iter().map(text).collect::<Vec<_>>(),
        "ids": records.iter().map(Record::id).collect::<Vec<_>>(),
        "changes": state.changes().iter().map(hex::encode).collect::<Vec<_>>(),
        "digest": state.effects_digest(),
    })
}

fn proposal(header: &Header) -> ProposalSigned {
    ProposalSigned {
        ledger: header.ledger,
        height: header.height,
        round: 3,
        block: header.hash(),
        valid_round: Some(1),
        validator: header.proposer,
    }
}

fn precommit(header: &Header) -> Vote {
    Vote {
        ledger: header.ledger,
        kind: VoteKind::Precommit,
        height: header.height,
        round: 3,
        block: Some(header.hash()),
        validator: header.proposer,
    }
}

#[test]
fn genesis_and_header_are_the_documented_bytes() {
    if std::env::var_os("QUITTANCE_WRITE_VECTORS").is_some() {
        std::fs::write(PATH, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(written, vectors());
    let genesis = Genesis::from_toml(written["genesis"]["toml"].as_str().unwrap()).unwrap();
    assert_eq!(genesis.ledger_id().to_string(), written["genesis"]["ledger_id"]);
    let bytes = hex::decode(written["header"]["bytes"].as_str().unwrap()).unwrap();
    let header = Header::decode(&bytes).unwrap();
    assert_eq!(header.hash().to_string(), written["header"]["hash"]);
    let signature = hex::decode(written["precommit"]["signature"].as_str().unwrap()).unwrap();
    let certificate = Certificate {
        round: 3,
        signatures: vec![CommitSignature {
            validator: header.proposer,
            signature: signature.try_into().unwrap(),
        }],
    };
    let validators = Membership::from_genesis(&genesis).validators().clone();
    assert_eq!(certificate.verify(&header, &validators), Ok(()));
}
