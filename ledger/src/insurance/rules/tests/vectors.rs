//! docs/vectors/state.json is what docs/FORMATS.md says of the state and its effects.

use std::collections::BTreeSet;

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/state.json");

const AT: &str = "2025-05-06T09:00:00+02:00";

fn optional(record_type: &str, data: Value) -> Value {
    json!({"type": record_type, "occurred_at": "2025-02-01T09:00:00+01:00", "data": data})
}

/// Records that touch a value of every kind, in order.
fn history(world: &mut World) -> Vec<Record> {
    let contract = json!({"data": {
        "time_zone": "Europe/Rome", "broker": "broker", "application": "A", "referral": "CN",
        "deductible_model": "variable", "modules": ["private", "employment", "traffic"],
        "signature_required": true,
    }});
    let signature = |target: Value| {
        json!({"signature": "S", "target": target, "signer": "policyholder", "method": "sms_otp",
            "expires": "2025-12-31T00:00:00Z"})
    };
    let start = json!({"model": "variable", "amount": 0, "cause": "start", "currency": "EUR"});
    let step = json!({"model": "variable", "amount": 10_000, "cause": "K", "currency": "EUR"});
    let attached = json!({"data": {"attached": ["invoice"]}});
    let judged = json!({"data": {"deductible": 0, "ladder": "step_up"}});
    let offer = json!({"round": 1, "amount": 20_000, "currency": "EUR"});
    let on_offer = json!({"settlement": "ins/L", "round": 1});
    let too_late = json!({"change": "ceiling", "to": 200_000, "wanted_on": "2026-03-01",
        "currency": "EUR"});
    let request = json!({"items": ["licence"], "due": "2025-06-01"});
    let accepted = json!({"item": "licence", "verdict": "accepted"});
    let said: Vec<(&str, Value)> = vec![
        ("broker", optional("contract.quoted", json!({"quote": "Q"}))),
        ("broker", optional("contract.applied", json!({"application": "A", "quote": "Q"}))),
        (
            "vet",
            optional(
                "consent.recorded",
                json!({"consent": "CN", "purpose": "referral", "state": "given"}),
            ),
        ),
        ("ins", with(issued(), contract)),
        (
            "broker",
            record(
                "signature.requested",
                AT,
                signature(json!({"contract": "ins/C", "version": 1})),
            ),
        ),
        ("otp", record("signature.challenged", AT, json!({"signature": "S", "channel": "sms"}))),
        ("otp", record("signature.completed", AT, json!({"signature": "S", "level": "SES"}))),
        ("broker", record("document.requested", AT, request.clone())),
        ("broker", record("document.assessed", AT, accepted)),
        ("ins", record("deductible.set", AT, start)),
        ("vet", requested(AT, "PA", 30_000)),
        ("ins", answered(AT, "PA", 25_000, 5_000)),
        ("vet", with(claimed(AT, "K", "PA", 24_000), attached)),
        ("broker", of_claim("document.requested", AT, "K", request)),
        ("ins", of_claim("claim.registered", AT, "K", json!({"number": "N-1"}))),
        ("ins", with(decided(AT, "K", 24_000, 0), judged)),
        ("ins", record("deductible.set", AT, step)),
        ("vet", requested(AT, "PB", 1_000)),
        ("ins", answered(AT, "PB", 1_000, 0)),
        ("broker", opened(AT, "L", 20_000)),
        ("ins", of_claim("settlement.offered", AT, "L", offer)),
        (
            "broker",
            of_claim("settlement.notified", AT, "L", json!({"round": 1, "to": "policyholder"})),
        ),
        (
            "broker",
            with(
                record("signature.requested", AT, signature(on_offer)),
                json!({"data": {"signature": "S-2"}}),
            ),
        ),
        ("otp", record("signature.challenged", AT, json!({"signature": "S-2", "channel": "sms"}))),
        ("otp", record("signature.completed", AT, json!({"signature": "S-2", "level": "SES"}))),
        (
            "broker",
            of_claim(
                "settlement.answered",
                AT,
                "L",
                json!({"round": 1, "answer": "accepted", "signature": "S-2"}),
            ),
        ),
        ("ins", paid(AT, "L", 15_000)),
        ("ins", of_claim("claim.closed", AT, "L", json!({"paid": 15_000, "currency": "EUR"}))),
        ("broker", record("contract.change_requested", "2026-02-01T09:00:00+01:00", too_late)),
        (
            "ins",
            record(
                "contract.terminated",
                "2026-02-02T09:00:00+01:00",
                json!({"reason": "sold", "effective": "2026-02-27"}),
            ),
        ),
    ];
    let mut records: Vec<_> =
        said.into_iter().map(|(signer, said)| world.sign(signer, said)).collect();
    let updated = record("party.updated", AT, json!({"what": "bank", "effective": "2025-06-01"}));
    let updated = world.sign("broker", updated);
    let newer = record("party.updated", AT, json!({"what": "bank", "effective": "2025-07-01"}));
    let newer = world.sign("broker", with(newer, json!({"corrects": updated.id()})));
    records.extend([updated, newer]);
    records
}

fn vectors() -> Value {
    let mut world = World::flagging();
    let records = history(&mut world);
    let mut block = BlockState::new(1, BLOCK_MS, 0, &world.members, &world.state);
    let mut changes = Vec::new();
    for record in &records {
        let before = block.changes().len();
        block.apply(record).unwrap();
        changes.push(block.changes()[before..].iter().map(hex::encode).collect::<Vec<_>>());
    }
    let digest = block.effects_digest();
    let state = block.into_parts().1;
    let text = |record: &Record| String::from_utf8(record.jws().to_vec()).unwrap();
    let values: Vec<_> = state
        .iter()
        .map(|(key, value)| json!({"key": hex::encode(key), "value": hex::encode(value.unwrap())}))
        .collect();
    json!({
        "height": 1,
        "time_ms": BLOCK_MS,
        "rules": world.membership().genesis().rules,
        "records": records.iter().zip(changes).map(|(record, changes)| {
            json!({"id": record.id(), "jws": text(record), "changes": changes})
        }).collect::<Vec<_>>(),
        "effects": digest,
        "state": values,
    })
}

#[test]
fn the_state_is_the_documented_bytes() {
    if std::env::var_os("QUITTANCE_WRITE_VECTORS").is_some() {
        std::fs::write(PATH, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(written, vectors());
    let kinds: BTreeSet<_> = written["state"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| u8::from_str_radix(&pair["key"].as_str().unwrap()[..2], 16).unwrap())
        .collect();
    assert_eq!(kinds, (0x10..=0x24).collect());
}

/// Bytes written by hand after docs/FORMATS.md.
#[test]
fn a_value_is_laid_out_as_documented() {
    let contract = "ins/C".parse().unwrap();
    assert_eq!(keys::period(&contract, 1).as_bytes(), b"\x11ins/C\0\0\0\0\x01");
    let day = |text: &str| text.parse().unwrap();
    let period = entities::Period {
        made_by: crate::digest::RecordId::of(b"x"),
        from: day("2025-03-01"),
        to: day("2026-02-28"),
        ceiling: crate::insurance::Amount::new(150_000),
        currency: Some("EUR".parse().unwrap()),
        spent: crate::insurance::Amount::ZERO,
        spending: vec![entities::Spending {
            at: "1970-01-01T00:00:03Z".parse().unwrap(),
            change: -4,
        }],
        spent_before: 5,
        spent_since: None,
        holds: vec![entities::Hold {
            answer: crate::digest::RecordId::of(b"y"),
            amount: crate::insurance::Amount::new(7).unwrap(),
            until: "1970-01-01T00:00:01.000000002Z".parse().unwrap(),
            ended: None,
        }],
        ceilings_requested: Vec::new(),
        ceilings_agreed: Vec::new(),
        ceilings_within: Vec::new(),
        newest: None,
    };
    let mut world = World::new();
    let mut expected = vec![3];
    expected.extend_from_slice(crate::digest::Digest::of(b"x").as_bytes());
    for (year, month, day) in [(2025_u16, 3, 1), (2026, 2, 28)] {
        expected.extend_from_slice(&year.to_be_bytes());
        expected.extend_from_slice(&[month, day]);
    }
    expected.push(1);
    expected.extend_from_slice(&150_000_u64.to_be_bytes());
    expected.extend_from_slice(b"\x01EUR");
    expected.extend_from_slice(&0_u64.to_be_bytes());
    expected.extend_from_slice(&1_u64.to_be_bytes());
    expected.extend_from_slice(&3_u64.to_be_bytes());
    expected.extend_from_slice(&0_u32.to_be_bytes());
    expected.extend_from_slice(&(-4_i128).to_be_bytes());
    expected.extend_from_slice(&5_i128.to_be_bytes());
    expected.push(0);
    expected.extend_from_slice(&1_u64.to_be_bytes());
    expected.extend_from_slice(crate::digest::Digest::of(b"y").as_bytes());
    expected.extend_from_slice(&7_u64.to_be_bytes());
    expected.extend_from_slice(&1_u64.to_be_bytes());
    expected.extend_from_slice(&2_u32.to_be_bytes());
    expected.push(0);
    for _ in 0..3 {
        expected.extend_from_slice(&0_u64.to_be_bytes());
    }
    expected.push(0);
    let key = keys::period(&contract, 1);
    world
        .state
        .apply([(key.as_bytes().to_vec(), Some(expected.clone()))].into_iter().collect(), &[]);
    assert_eq!(state::read(&world.state, &key).unwrap(), Some(period));
    // Another version, or a byte more or less, is no value.
    for bad in
        [[&[1], &expected[1..]].concat(), [&expected[..], &[0]].concat(), expected[1..].to_vec()]
    {
        world.state.apply([(key.as_bytes().to_vec(), Some(bad))].into_iter().collect(), &[]);
        assert!(state::read(&world.state, &key).is_err());
    }
    assert!(world.state.get(key.as_bytes()).unwrap().is_some());
}
