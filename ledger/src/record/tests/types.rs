//! Every record type, written out by hand from the domain's tables: what it may
//! say in full, what it must say, and who may sign it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{MEMBERS, assert_refused, key_of, opened, signed};
use crate::{
    insurance::{
        Amount, AmountOrText, Data, DayOrMoment, Family, RecordType, TextOrInteger,
        signature::SignatureTarget,
    },
    membership::Role,
    refusal::Code,
};

/// Type, family, roles (insurer, broker, provider, trust service), what it must
/// name beside its data (contract, claim), its required and its optional data.
type Row = (&'static str, &'static str, &'static str, &'static str, Value, Value);

fn public() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(key_of("vet-3").verifying_key())
}

fn table() -> Vec<Row> {
    let year = || json!({"from": "2025-01-01", "to": "2025-12-31"});
    let line = || json!([{"code": "xray", "amount": 8000}]);
    vec![
        (
            "contract.quoted",
            "contract",
            "ib",
            "",
            json!({"quote": "Q"}),
            json!({"premium": 1, "currency": "EUR", "valid_until": "2025-01-01"}),
        ),
        (
            "contract.applied",
            "contract",
            "b",
            "",
            json!({"application": "A"}),
            json!({"quote": "Q", "branch": "Milano"}),
        ),
        (
            "contract.issued",
            "contract",
            "i",
            "k",
            json!({"version": 1, "line_of_business": "motor", "period": year(), "signature_required": true}),
            json!({"time_zone": "Europe/Rome", "broker": "heca", "cover": "full", "modules": ["private"],
                "annual_ceiling": 150000, "deductible_model": "bonus", "premium": 42000,
                "payment_mode": "monthly", "risk": "vehicle", "application": "A", "referral": "CN",
                "currency": "EUR"}),
        ),
        (
            "contract.change_requested",
            "contract",
            "ib",
            "k",
            json!({"change": "ceiling", "wanted_on": "2026-03-01"}),
            json!({"to": 300000, "currency": "EUR"}),
        ),
        (
            "contract.amended",
            "contract",
            "i",
            "k",
            json!({"version": 2, "change": "address", "effective": "2026-03-01"}),
            json!({"to": "another place", "currency": "EUR"}),
        ),
        (
            "contract.renewed",
            "contract",
            "i",
            "k",
            json!({"version": 2, "period": year()}),
            json!({"annual_ceiling": 300000, "responsible": 7, "currency": "EUR"}),
        ),
        (
            "contract.terminated",
            "contract",
            "i",
            "k",
            json!({"reason": "missing_documents"}),
            json!({"effective": "2025-06-30"}),
        ),
        (
            "contract.premium",
            "contract",
            "ib",
            "k",
            json!({"receipt": "R", "due_on": "2025-01-01", "amount": 100, "currency": "EUR", "status": "refunded"}),
            json!({"direct_debit": true}),
        ),
        (
            "document.requested",
            "contract",
            "ib",
            "k",
            json!({"items": ["licence"], "due": "2025-02-01"}),
            json!({}),
        ),
        (
            "document.received",
            "contract",
            "ib",
            "k",
            json!({"item": "licence"}),
            json!({"verdict": "accepted", "label": "Reçu", "action": "none"}),
        ),
        (
            "document.assessed",
            "contract",
            "ib",
            "k",
            json!({"item": "licence", "verdict": "rejected"}),
            json!({"label": "Illisible", "action": "resend"}),
        ),
        (
            "document.issued",
            "contract",
            "ib",
            "k",
            json!({"kind": "green_card"}),
            json!({"reissue_of": "G-1"}),
        ),
        (
            "party.updated",
            "contract",
            "ib",
            "",
            json!({"what": "contact", "effective": "2025-02-01"}),
            json!({"confirmed": false}),
        ),
        (
            "consent.recorded",
            "contract",
            "ibpt",
            "",
            json!({"consent": "CN", "purpose": "referral_contact", "state": "withdrawn"}),
            json!({}),
        ),
        (
            "disclosure.erased",
            "contract",
            "ibptr",
            "",
            json!({"record": "0".repeat(64), "basis": "gdpr_17_1_b"}),
            json!({}),
        ),
        (
            "signature.requested",
            "signature",
            "ib",
            "k",
            json!({"signature": "S", "target": {"contract": "petexpert/PX-1", "version": 1},
                "signer": "policyholder", "method": "sms_otp", "expires": "2025-06-11T10:02:00+02:00"}),
            json!({"link_sent_to": "email"}),
        ),
        (
            "signature.challenged",
            "signature",
            "t",
            "k",
            json!({"signature": "S", "channel": "sms"}),
            json!({}),
        ),
        (
            "signature.failed",
            "signature",
            "t",
            "k",
            json!({"signature": "S", "reason": "declined", "attempt": 3}),
            json!({}),
        ),
        (
            "signature.completed",
            "signature",
            "t",
            "k",
            json!({"signature": "S", "level": "AdES_claimed"}),
            json!({}),
        ),
        (
            "preauthorisation.requested",
            "settlement",
            "p",
            "k",
            json!({"preauthorisation": "PA", "lines": line(), "currency": "EUR"}),
            json!({"not_covered": line(), "replaces": "PA-0"}),
        ),
        (
            "preauthorisation.answered",
            "settlement",
            "i",
            "k",
            json!({"preauthorisation": "PA", "guaranteed": 0, "customer_share": 8000, "currency": "EUR"}),
            json!({"hold_until": "2025-05-07T09:00:05+02:00", "reason": "ceiling_exhausted"}),
        ),
        (
            "preauthorisation.released",
            "settlement",
            "ip",
            "k",
            json!({"preauthorisation": "PA", "reason": "cancelled"}),
            json!({"replaced_by": "PA-2"}),
        ),
        (
            "claim.opened",
            "settlement",
            "ibp",
            "kc",
            json!({"channel": "email", "attached": []}),
            json!({"claimed": 24000, "kind": "accident", "service": "JurLine", "preauthorisation": "PA", "currency": "CHF"}),
        ),
        (
            "claim.registered",
            "settlement",
            "i",
            "kc",
            json!({"number": "IT-1"}),
            json!({"adjuster": "adj:1"}),
        ),
        (
            "claim.state",
            "settlement",
            "i",
            "kc",
            json!({"state": "awaiting_documents"}),
            json!({"label": "En cours"}),
        ),
        (
            "claim.decided",
            "settlement",
            "i",
            "kc",
            json!({"outcome": "partly", "approved": 1, "refused": 2, "currency": "EUR"}),
            json!({"reason": "excluded", "deductible": 0, "ladder": "none"}),
        ),
        (
            "claim.disputed",
            "settlement",
            "ibp",
            "kc",
            json!({"between": ["petexpert", "policyholder"]}),
            json!({}),
        ),
        ("claim.closed", "settlement", "i", "kc", json!({"paid": 0, "currency": "EUR"}), json!({})),
        (
            "deductible.set",
            "settlement",
            "i",
            "k",
            json!({"model": "variable", "amount": 0, "cause": "start", "currency": "EUR"}),
            json!({}),
        ),
        (
            "settlement.offered",
            "settlement",
            "i",
            "kc",
            json!({"round": 1, "amount": 420000, "currency": "EUR"}),
            json!({}),
        ),
        (
            "settlement.notified",
            "settlement",
            "ib",
            "kc",
            json!({"round": 1, "to": "policyholder"}),
            json!({}),
        ),
        (
            "settlement.answered",
            "settlement",
            "ib",
            "kc",
            json!({"round": 1, "answer": "objected"}),
            json!({"signature": "S"}),
        ),
        (
            "payment.recorded",
            "settlement",
            "i",
            "kc",
            json!({"amount": 1, "status": "returned", "payee": "vet-1", "currency": "EUR"}),
            json!({"on_account": true}),
        ),
        (
            "statement.issued",
            "settlement",
            "i",
            "",
            json!({"to": "vet-1", "period": year(), "frequency": "monthly", "paid_count": 1,
                "paid_sum": 126000, "open_count": 0, "currency": "EUR"}),
            json!({}),
        ),
        (
            "alert.raised",
            "settlement",
            "i",
            "",
            json!({"alert": "possible_duplicate", "basis": "same_animal"}),
            json!({"preauthorisations": ["PA"], "claims": ["petexpert/C-1"]}),
        ),
        (
            "reward.recorded",
            "settlement",
            "i",
            "",
            json!({"referral": "CN", "to": "vet-1", "amount": 500, "currency": "EUR"}),
            json!({}),
        ),
        (
            "member.proposed",
            "member",
            "ibptr",
            "",
            json!({"change": "add", "member": "vet-3", "name": "Vet 3", "role": "provider",
                "keys": [{"id": "1", "alg": "Ed25519", "public": public()}]}),
            json!({"time_zone": "Europe/Rome",
                "observer": {"peer": "12D3KooW", "engine_address": "/ip4/192.0.2.1/tcp/27000",
                    "gossip_address": "/ip4/192.0.2.1/tcp/27001"}}),
        ),
        ("member.approved", "member", "ibptr", "", json!({"proposal": "0".repeat(64)}), json!({})),
    ]
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn payload_of(record_type: &str, references: &str, data: Map<String, Value>) -> Map<String, Value> {
    let mut payload = object(&json!({
        "type": record_type, "occurred_at": "2025-05-06T17:10:00+02:00", "data": data,
    }));
    if references.contains('k') {
        payload.insert("contract".to_owned(), "petexpert/PX-1".into());
    }
    if references.contains('c') {
        payload.insert("claim".to_owned(), "petexpert/C-1".into());
    }
    payload
}

fn signer_of(role: char) -> &'static str {
    match role {
        'i' => "petexpert",
        'b' => "heca",
        'p' => "vet-1",
        't' => "otp-it",
        _ => "ivass",
    }
}

#[test]
fn the_table_is_the_domains_table() {
    let rows = table();
    let listed: Vec<_> = rows.iter().map(|row| row.0).collect();
    let built: Vec<_> = RecordType::ALL.iter().map(|record_type| record_type.as_str()).collect();
    assert_eq!(listed, built);
    for (text, family, ..) in rows {
        let record_type: RecordType = text.parse().unwrap();
        assert_eq!((record_type.as_str(), record_type.family().as_str()), (text, family));
        // A regulator signs nothing about contracts, but has a say in who is on the
        // ledger, and erases what its own node keeps.
        let governs =
            record_type.family() == Family::Member || record_type == RecordType::DisclosureErased;
        assert_eq!(record_type.roles().contains(&Role::Regulator), governs);
        assert_eq!(serde_json::to_value(record_type).unwrap(), text);
    }
}

#[test]
fn each_type_is_signed_by_its_roles_and_no_other() {
    for (text, _, roles, references, required, _) in table() {
        for role in "ibptr".chars() {
            let record =
                signed(signer_of(role), payload_of(text, references, object(&required)).into())
                    .unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            let opened = opened(record.jws().to_vec());
            if roles.contains(role) {
                opened.unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            } else {
                assert_refused(opened, Code::RoleNotAllowed, Some("type"));
            }
        }
    }
    assert_eq!(MEMBERS.len(), 12);
}

#[test]
fn each_type_takes_its_fields_and_needs_those_that_are_not_optional() {
    for (text, _, roles, references, required, optional) in table() {
        let signer = signer_of(roles.chars().next().unwrap());
        let mut all = object(&required);
        all.extend(object(&optional));
        let taken = signed(signer, payload_of(text, references, all.clone()).into());
        taken.unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        for name in object(&required).keys() {
            let mut data = all.clone();
            data.remove(name);
            let result = signed(signer, payload_of(text, references, data).into());
            assert_refused(result, Code::Malformed, Some(&format!("data.{name}")));
        }
        let amounts: BTreeSet<&str> = [
            "premium",
            "annual_ceiling",
            "amount",
            "guaranteed",
            "customer_share",
            "claimed",
            "approved",
            "refused",
            "deductible",
            "paid",
            "paid_sum",
        ]
        .into();
        for name in all.keys() {
            let mut data = all.clone();
            data.insert(name.clone(), Value::Null);
            let result = signed(signer, payload_of(text, references, data).into());
            assert_refused(result, Code::Malformed, Some(&format!("data.{name}")));
            if amounts.contains(name.as_str()) {
                let mut data = all.clone();
                data.insert(name.clone(), (-1).into());
                let result = signed(signer, payload_of(text, references, data).into());
                assert_refused(result, Code::AmountNegative, Some(&format!("data.{name}")));
            }
        }
        let mut data = all.clone();
        data.insert("unheard_of".to_owned(), 1.into());
        let result = signed(signer, payload_of(text, references, data).into());
        assert_refused(result, Code::UnknownField, Some("data.unheard_of"));
    }
}

#[test]
fn each_type_names_the_contract_and_claim_it_is_about() {
    for (text, _, roles, references, required, _) in table() {
        let signer = signer_of(roles.chars().next().unwrap());
        for (mark, name) in [('k', "contract"), ('c', "claim")] {
            let mut payload = payload_of(text, "kc", object(&required));
            payload.remove(name);
            let result = signed(signer, payload.into());
            if references.contains(mark) {
                assert_refused(result, Code::Malformed, Some(name));
            } else {
                result.unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            }
        }
    }
}

#[test]
fn private_fields_leave_only_their_digests() {
    let digest = |text: &str| {
        let mut encoded = String::new();
        let digest = crate::digest::Digest::of(text.as_bytes());
        super::encoding::encode_into(digest.as_bytes(), &mut encoded);
        encoded
    };
    let mut payload = super::claim_opened();
    payload.insert("_sd_alg".to_owned(), "sha-256".into());
    payload.insert("_sd".to_owned(), json!([digest("name"), digest("iban")]));
    payload["data"]["_sd"] = json!([digest("diagnosis")]);
    let record = signed("vet-1", payload.clone().into()).unwrap();
    let expected = ["name", "iban", "diagnosis"];
    let expected = expected.map(|text| crate::digest::Digest::of(text.as_bytes()));
    assert_eq!(record.payload().sd, expected);
    payload["data"]["_sd"] = json!([digest("diagnosis"), digest("name")]);
    let twice = signed("vet-1", payload.clone().into());
    assert_refused(twice, Code::Malformed, Some("data._sd[1]"));
    payload["data"]["_sd"] = json!({});
    assert_refused(signed("vet-1", payload.into()), Code::Malformed, Some("data._sd"));
}

#[test]
fn an_erasure_says_which_record_and_which_ground_and_has_no_room_for_more() {
    let erased = |record: &str, basis: &str| {
        let data = json!({"record": record, "basis": basis});
        signed("heca", payload_of("disclosure.erased", "", object(&data)).into())
    };
    let id = "0a".repeat(32);
    let record = erased(&id, "gdpr_17_1_b").unwrap();
    let Data::DisclosureErased(data) = &record.payload().data else { panic!("erased") };
    assert_eq!((data.record.id().to_string(), data.basis.as_str()), (id.clone(), "gdpr_17_1_b"));
    for basis in ["", "Anna Rossi", "she asked", "GDPR", "art.17§1", &"x".repeat(65)] {
        assert_refused(erased(&id, basis), Code::Malformed, Some("data.basis"));
    }
    for record in ["", "0a", &id.to_uppercase(), &"g".repeat(64)] {
        assert_refused(erased(record, "gdpr_17_1_b"), Code::Malformed, Some("data.record"));
    }
}

#[test]
fn values_that_may_be_of_two_kinds_are_told_apart() {
    let data_of = |record_type: &str, data: Value| {
        let payload = payload_of(record_type, "kc", object(&data));
        signed("petexpert", payload.into()).unwrap().payload().data.clone()
    };
    let changed = |to: Value| {
        data_of(
            "contract.amended",
            json!({
                "version": 2, "change": "ceiling_text", "to": to, "effective": "2025-01-01", "currency": "EUR",
            }),
        )
    };
    let Data::ContractAmended(data) = changed(json!(5)) else { panic!("amended") };
    assert_eq!(data.to, Some(AmountOrText::Amount(Amount::new(5).unwrap())));
    let Data::ContractAmended(data) = changed(json!("five")) else { panic!("amended") };
    assert!(matches!(data.to, Some(AmountOrText::Text(_))));
    for (until, is_day) in [("2025-03-01", true), ("2025-03-01T12:00:00Z", false)] {
        let data = data_of("contract.quoted", json!({"quote": "Q", "valid_until": until}));
        let Data::ContractQuoted(data) = data else { panic!("quoted") };
        assert_eq!(matches!(data.valid_until, Some(DayOrMoment::Day(_))), is_day);
    }
    let period = json!({"from": "2025-01-01", "to": "2025-01-01"});
    for (responsible, is_text) in [(json!("Marie"), true), (json!(-7), false)] {
        let data = json!({"version": 2, "period": period, "responsible": responsible});
        let Data::ContractRenewed(data) = data_of("contract.renewed", data) else {
            panic!("renewed")
        };
        assert_eq!(matches!(data.responsible, Some(TextOrInteger::Text(_))), is_text);
    }
    let data = data_of(
        "signature.requested",
        json!({
            "signature": "S", "target": {"settlement": "petexpert/C-1", "round": 2},
            "signer": "policyholder", "method": "sms_otp", "expires": "2025-06-11T10:02:00+02:00",
        }),
    );
    let Data::SignatureRequested(data) = data else { panic!("requested") };
    let SignatureTarget::Settlement { settlement, round } = data.target else {
        panic!("settlement")
    };
    assert_eq!((settlement.as_str(), round.get()), ("petexpert/C-1", 2));
}

#[test]
fn amounts_do_not_overflow_and_do_not_go_below_zero() {
    let largest = Amount::new((1 << 53) - 1).unwrap();
    let one = Amount::new(1).unwrap();
    assert_eq!(Amount::new(1 << 53), None);
    assert_eq!(largest.checked_add(one), None);
    assert_eq!(Amount::ZERO.checked_sub(one), None);
    assert_eq!(Amount::checked_sum([one, one]), Amount::new(2));
    assert_eq!(Amount::checked_sum([largest, one, one]), None);
}
