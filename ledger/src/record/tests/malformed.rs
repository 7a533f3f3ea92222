//! Payloads that are not records, each with the code and the field it is refused for.

use super::{ORIGIN, assert_reads_well, header_of, jws_of, key_of};
use crate::{
    record::Envelope,
    refusal::{Code, Refusal},
};

const CLAIM: &str = r#""channel":"portal","attached":["invoice"]"#;

pub(super) fn parsed(payload: impl AsRef<[u8]>) -> Result<Envelope, Refusal> {
    Envelope::parse(jws_of(&header_of("vet-1"), payload.as_ref(), &key_of("vet-1")))
}

/// A payload of that type with this data and other members.
fn of_type(record_type: &str, data: &str, others: &str) -> String {
    let comma = if others.is_empty() { "" } else { "," };
    format!(
        r#"{{"ledger":"{ORIGIN}","type":"{record_type}","salt":"AAECAwQFBgcICQoLDA0ODw","occurred_at":"2025-05-06T17:10:00+02:00","contract":"petexpert/PX-1","claim":"petexpert/C-1","data":{data}{comma}{others}}}"#
    )
}

pub(super) fn claim_with(member: &str) -> String {
    of_type("claim.opened", &format!("{{{CLAIM},{member}}}"), "")
}

pub(super) fn beside(others: &str) -> String {
    of_type("claim.opened", &format!("{{{CLAIM}}}"), others)
}

/// The payload without one top-level member, or with another value for it.
fn replaced(name: &str, value: Option<&str>) -> String {
    let mut payload: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&beside("")).unwrap();
    match value {
        Some(value) => payload.insert(name.to_owned(), serde_json::from_str(value).unwrap()),
        None => payload.remove(name),
    };
    serde_json::to_string(&payload).unwrap()
}

#[track_caller]
pub(super) fn assert_all(cases: Vec<(String, Code, &str)>) {
    for (payload, code, field) in cases {
        let Err(refusal) = parsed(&payload) else { panic!("taken: {payload}") };
        let found = (refusal.code, refusal.field.as_deref());
        assert_eq!(found, (code, Some(field)), "{refusal}\n{payload}");
        assert_reads_well(&refusal);
    }
}

#[test]
fn what_the_cases_start_from_is_taken() {
    assert!(parsed(beside("")).is_ok());
    assert!(parsed(claim_with(r#""claimed":1,"currency":"EUR""#)).is_ok());
    assert!(parsed(beside(r#""documents":[],"_sd":[],"_sd_alg":"sha-256""#)).is_ok());
}

#[test]
fn what_surrounds_the_data() {
    use Code::{Malformed, UnknownField};
    let id = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let long = "9".repeat(129);
    let sd = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
    let mut cases = vec![
        (beside(r#""contrat":"petexpert/PX-1""#), UnknownField, "contrat"),
        (beside(r#""amount":1"#), UnknownField, "amount"),
        (beside(r#""Contract":"petexpert/PX-1""#), UnknownField, "Contract"),
        (beside(r#""declared_by":"""#), Malformed, "declared_by"),
        (beside(r#""declared_by":" policyholder""#), Malformed, "declared_by"),
        (beside(&format!(r#""declared_by":"{long}""#)), Malformed, "declared_by"),
        (beside(r#""declared_by":["policyholder"]"#), Malformed, "declared_by"),
        (beside(&format!(r#""corrects":"{}""#, id.to_uppercase())), Malformed, "corrects"),
        (beside(&format!(r#""corrects":"{}""#, &id[1..])), Malformed, "corrects"),
        (beside(r#""expires_at":"2025-05-06""#), Malformed, "expires_at"),
        (beside(r#""_sd_alg":"md5""#), Malformed, "_sd_alg"),
        (beside(r#""_sd":"x""#), Malformed, "_sd"),
        (beside(r#""_sd":["x"]"#), Malformed, "_sd[0]"),
        (beside(&format!(r#""_sd":["{sd}","{sd}"]"#)), Malformed, "_sd[1]"),
        (beside(&format!(r#""_sd":["{}1"]"#, &sd[..42])), Malformed, "_sd[0]"),
        (beside(&format!(r#""_sd":["{sd}="]"#)), Malformed, "_sd[0]"),
        (claim_with(&format!(r#""_sd":["{sd}",7]"#)), Malformed, "data._sd[1]"),
        (claim_with(r#""_sd_alg":"sha-256""#), UnknownField, "data._sd_alg"),
        (beside(r#""documents":{}"#), Malformed, "documents"),
        (beside(r#""documents":["x"]"#), Malformed, "documents[0]"),
        (replaced("ledger", Some(r#""two words""#)), Malformed, "ledger"),
        (replaced("type", Some(r#""claim.reopened""#)), Malformed, "type"),
        (replaced("type", Some(r#""Claim.opened""#)), Malformed, "type"),
        (replaced("type", Some("{}")), Malformed, "type"),
        (replaced("salt", Some(r#""AAECAwQFBgcICQoLDA0O""#)), Malformed, "salt"),
        (replaced("salt", Some(r#""AAECAwQFBgcICQoLDA0ODx""#)), Malformed, "salt"),
        (replaced("salt", Some(r#""AAECAwQFBgcICQoLDA0ODw==""#)), Malformed, "salt"),
        (replaced("salt", Some(&format!("\"{}\"", "A".repeat(87)))), Malformed, "salt"),
        (replaced("data", Some("[]")), Malformed, "data"),
        (replaced("data", Some(r#""""#)), Malformed, "data"),
        (replaced("contract", Some(r#""PX-1001""#)), Malformed, "contract"),
        (replaced("contract", Some(r#""Pet/PX-1001""#)), Malformed, "contract"),
        (replaced("contract", Some(r#""petexpert/""#)), Malformed, "contract"),
        (replaced("contract", Some(r#""petexpert/ 1""#)), Malformed, "contract"),
        (replaced("contract", Some(r#""petexpert/a\u200bb""#)), Malformed, "contract"),
        (replaced("contract", Some(&format!(r#""petexpert/{long}""#))), Malformed, "contract"),
        (replaced("claim", Some(r#""santevet/C-1""#)), Malformed, "claim"),
    ];
    for name in ["ledger", "type", "salt", "occurred_at", "contract", "claim", "data"] {
        cases.push((replaced(name, None), Malformed, name));
    }
    for time in [
        "2025-05-06T17:10:00",
        "2025-05-06 17:10:00Z",
        "2025-05-06t17:10:00Z",
        "2025-05-06T17:10:00z",
        "2025-05-06T17:10Z",
        "2025-05-06T17:10:60Z",
        "2025-05-06T24:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-05-06T17:10:00.Z",
        "2025-05-06T17:10:00.1234567890Z",
        "2025-05-06T17:10:00,5Z",
        "2025-05-06T17:10:00+2:00",
        "2025-05-06T17:10:00+0200",
        "2025-05-06T17:10:00+02",
        "2025-05-06T17:10:00+24:00",
        "2025-05-06T17:10:00+02:60",
        "2025-05-06T17:10:00+02:00[Europe/Brussels]",
        "2025-W19-2T17:10:00Z",
        "+002025-05-06T17:10:00Z",
        "1746544200",
        "",
        "2025-05-06T17:10:00\u{2212}02:00",
        "2025-05-06T17:10:00+02:00:00",
        "2025-05-06T17:10:00Z ",
    ] {
        cases.push((replaced("occurred_at", Some(&format!("{time:?}"))), Malformed, "occurred_at"));
    }
    assert_all(cases);
    for time in
        ["2025-05-06T17:10:00Z", "2024-02-29T23:59:59.123456789-11:30", "1969-12-31T00:00:00+14:00"]
    {
        assert!(parsed(replaced("occurred_at", Some(&format!("{time:?}")))).is_ok(), "{time}");
    }
}

#[test]
fn what_the_data_says() {
    use Code::{AmountNegative, Malformed, UnknownField};
    let of = |record_type: &str, data: &str| of_type(record_type, data, "");
    let many = |text: &str, times: usize| vec![text; times].join(",");
    assert_all(vec![
        (claim_with(r#""claimd":5"#), UnknownField, "data.claimd"),
        (claim_with(r#""claimed":5"#), Malformed, "data.currency"),
        (claim_with(r#""claimed":-1,"currency":"EUR""#), AmountNegative, "data.claimed"),
        (claim_with(r#""claimed":"5","currency":"EUR""#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":[5],"currency":"EUR""#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":true,"currency":"EUR""#), Malformed, "data.claimed"),
        (claim_with(r#""currency":"eur""#), Malformed, "data.currency"),
        (claim_with(r#""currency":"ZZZ""#), Malformed, "data.currency"),
        (claim_with(r#""currency":"EURO""#), Malformed, "data.currency"),
        (claim_with(r#""currency":978"#), Malformed, "data.currency"),
        (claim_with(r#""kind":7"#), Malformed, "data.kind"),
        (claim_with(r#""kind":"""#), Malformed, "data.kind"),
        (of("claim.opened", r#"{"attached":[]}"#), Malformed, "data.channel"),
        (of("claim.opened", r#"{"channel":"portal"}"#), Malformed, "data.attached"),
        (
            of("claim.opened", r#"{"channel":"portal","attached":"invoice"}"#),
            Malformed,
            "data.attached",
        ),
        (
            of("claim.opened", r#"{"channel":"portal","attached":["a",1]}"#),
            Malformed,
            "data.attached[1]",
        ),
        (
            of(
                "claim.opened",
                &format!(r#"{{"channel":"portal","attached":[{}]}}"#, many("\"a\"", 257)),
            ),
            Malformed,
            "data.attached",
        ),
        (of("claim.state", r#"{"state":"paid"}"#), Malformed, "data.state"),
        (of("claim.state", r#"{"state":["in_review"]}"#), Malformed, "data.state"),
        (
            of(
                "claim.state",
                &format!(r#"{{"state":"in_review","label":"{}"}}"#, "x".repeat(1001)),
            ),
            Malformed,
            "data.label",
        ),
        (
            of(
                "claim.decided",
                r#"{"outcome":"approved","approved":1,"refused":-2,"currency":"EUR"}"#,
            ),
            AmountNegative,
            "data.refused",
        ),
        (
            of("claim.decided", r#"{"outcome":"approved","approved":1,"refused":0}"#),
            Malformed,
            "data.currency",
        ),
        (
            of(
                "claim.decided",
                r#"{"outcome":"approved","approved":1,"refused":0,"ladder":"down","currency":"EUR"}"#,
            ),
            Malformed,
            "data.ladder",
        ),
        (
            of(
                "preauthorisation.requested",
                r#"{"preauthorisation":"P","lines":[{"code":"a","amount":-5}],"currency":"EUR"}"#,
            ),
            AmountNegative,
            "data.lines[0].amount",
        ),
        (
            of(
                "preauthorisation.requested",
                r#"{"preauthorisation":"P","lines":[{"code":"a","amount":5},{"code":"b"}],"currency":"EUR"}"#,
            ),
            Malformed,
            "data.lines[1].amount",
        ),
        (
            of(
                "preauthorisation.requested",
                r#"{"preauthorisation":"P","lines":[{"code":"a","amount":5,"vat":1}],"currency":"EUR"}"#,
            ),
            UnknownField,
            "data.lines[0].vat",
        ),
        (
            of(
                "preauthorisation.requested",
                r#"{"preauthorisation":"P","lines":[{"code":"a","amount":5.5}],"currency":"EUR"}"#,
            ),
            Malformed,
            "data.lines[0].amount",
        ),
        (
            of(
                "preauthorisation.requested",
                r#"{"preauthorisation":"P","lines":[["a",5]],"currency":"EUR"}"#,
            ),
            Malformed,
            "data.lines[0]",
        ),
        (
            of(
                "preauthorisation.answered",
                r#"{"preauthorisation":"P","guaranteed":1,"customer_share":0,"hold_until":"2025-05-07","currency":"EUR"}"#,
            ),
            Malformed,
            "data.hold_until",
        ),
        (
            of("contract.amended", r#"{"version":0,"change":"address","effective":"2025-01-01"}"#),
            Malformed,
            "data.version",
        ),
        (
            of("contract.amended", r#"{"version":-1,"change":"address","effective":"2025-01-01"}"#),
            Malformed,
            "data.version",
        ),
        (
            of(
                "contract.amended",
                r#"{"version":"2","change":"address","effective":"2025-01-01"}"#,
            ),
            Malformed,
            "data.version",
        ),
        (
            of("contract.amended", r#"{"version":2,"change":"address","effective":"2025-02-30"}"#),
            Malformed,
            "data.effective",
        ),
        (
            of("contract.amended", r#"{"version":2,"change":"address","effective":"20250201"}"#),
            Malformed,
            "data.effective",
        ),
        (
            of("contract.amended", r#"{"version":2,"change":"address","effective":"2025-2-1"}"#),
            Malformed,
            "data.effective",
        ),
        (
            of(
                "contract.amended",
                r#"{"version":2,"change":"ceiling","to":"3000","effective":"2025-01-01"}"#,
            ),
            Malformed,
            "data.to",
        ),
        (
            of(
                "contract.amended",
                r#"{"version":2,"change":"ceiling","to":3000,"effective":"2025-01-01"}"#,
            ),
            Malformed,
            "data.currency",
        ),
        (
            of(
                "contract.amended",
                r#"{"version":2,"change":"animals","to":3,"effective":"2025-01-01"}"#,
            ),
            Malformed,
            "data.currency",
        ),
        (
            of(
                "contract.amended",
                r#"{"version":2,"change":"ceiling","to":-3,"effective":"2025-01-01","currency":"EUR"}"#,
            ),
            AmountNegative,
            "data.to",
        ),
        (
            of(
                "contract.change_requested",
                r#"{"change":"ceiling","to":[1],"wanted_on":"2025-01-01"}"#,
            ),
            Malformed,
            "data.to",
        ),
        (
            of(
                "contract.renewed",
                r#"{"version":2,"period":{"from":"2025-01-02","to":"2025-01-01"}}"#,
            ),
            Malformed,
            "data.period",
        ),
        (
            of("contract.renewed", r#"{"version":2,"period":{"from":"2025-01-02"}}"#),
            Malformed,
            "data.period.to",
        ),
        (
            of(
                "contract.renewed",
                r#"{"version":2,"period":{"from":"2025-01-02","to":"2025-01-03","till":1}}"#,
            ),
            UnknownField,
            "data.period.till",
        ),
        (
            of("contract.renewed", r#"{"version":2,"period":["2025-01-02","2025-01-03"]}"#),
            Malformed,
            "data.period",
        ),
        (
            of(
                "contract.renewed",
                r#"{"version":2,"period":{"from":"2025-01-02","to":"2025-01-03"},"responsible":true}"#,
            ),
            Malformed,
            "data.responsible",
        ),
        (
            of("contract.quoted", r#"{"quote":"Q","valid_until":"soon"}"#),
            Malformed,
            "data.valid_until",
        ),
        (of("contract.quoted", r#"{"quote":"Q","premium":1}"#), Malformed, "data.currency"),
        (
            of(
                "contract.premium",
                r#"{"receipt":"R","due_on":"2025-01-01","amount":1,"currency":"EUR","status":"open"}"#,
            ),
            Malformed,
            "data.status",
        ),
        (
            of(
                "contract.premium",
                r#"{"receipt":"R","due_on":"2025-01-01","amount":1,"currency":"EUR","status":"due","direct_debit":"yes"}"#,
            ),
            Malformed,
            "data.direct_debit",
        ),
        (
            of("contract.terminated", r#"{"reason":"r","because":"r"}"#),
            UnknownField,
            "data.because",
        ),
        (of("document.assessed", r#"{"item":"i"}"#), Malformed, "data.verdict"),
        (
            of("party.updated", r#"{"what":"iban","effective":"2025-01-01"}"#),
            Malformed,
            "data.what",
        ),
        (
            of("signature.challenged", r#"{"signature":"S","channel":"483920"}"#),
            Malformed,
            "data.channel",
        ),
        (
            of("signature.failed", r#"{"signature":"S","reason":"wrong_code","attempt":0}"#),
            Malformed,
            "data.attempt",
        ),
        (
            of(
                "signature.requested",
                r#"{"signature":"S","target":{"contract":"a/1","round":1},"signer":"p","method":"m","expires":"2025-01-01T00:00:00Z"}"#,
            ),
            Malformed,
            "data.target",
        ),
        (
            of(
                "signature.requested",
                r#"{"signature":"S","target":{"contract":"a/1","version":1,"settlement":"a/2","round":1},"signer":"p","method":"m","expires":"2025-01-01T00:00:00Z"}"#,
            ),
            Malformed,
            "data.target",
        ),
        (
            of(
                "signature.requested",
                r#"{"signature":"S","target":{"settlement":"a","round":1},"signer":"p","method":"m","expires":"2025-01-01T00:00:00Z"}"#,
            ),
            Malformed,
            "data.target.settlement",
        ),
        (
            of(
                "statement.issued",
                r#"{"to":"vet-1","period":{"from":"2025-01-01","to":"2025-01-31"},"frequency":"monthly","paid_count":-1,"paid_sum":0,"open_count":0,"currency":"EUR"}"#,
            ),
            Malformed,
            "data.paid_count",
        ),
        (
            of("alert.raised", r#"{"alert":"a","basis":"b","claims":["C-1"]}"#),
            Malformed,
            "data.claims[0]",
        ),
        (
            of(
                "payment.recorded",
                r#"{"amount":1,"status":"executed","payee":"p","currency":"EUR","on_account":1}"#,
            ),
            Malformed,
            "data.on_account",
        ),
    ]);
}

#[test]
fn what_a_document_says() {
    use Code::{Malformed, UnknownField};
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let document = |kind: &str, media_type: &str, size: &str, commitment: &str, more: &str| {
        beside(&format!(
            r#""documents":[{{"kind":"{kind}","media_type":"{media_type}","size":{size},"commitment":"{commitment}"{more}}}]"#
        ))
    };
    let pdf = "application/pdf";
    assert!(parsed(document("invoice", pdf, "0", hash, "")).is_ok());
    assert!(parsed(document("invoice", pdf, "7", hash, &format!(r#","match":"{hash}""#))).is_ok());
    let upper = hash.to_uppercase();
    let many =
        vec![format!(r#"{{"kind":"k","media_type":"a/b","size":1,"commitment":"{hash}"}}"#); 65];
    assert_all(vec![
        (document("", pdf, "1", hash, ""), Malformed, "documents[0].kind"),
        (document("k", "pdf", "1", hash, ""), Malformed, "documents[0].media_type"),
        (
            document("k", "text/html; charset=utf-8", "1", hash, ""),
            Malformed,
            "documents[0].media_type",
        ),
        (document("k", "a/b/c", "1", hash, ""), Malformed, "documents[0].media_type"),
        (document("k", pdf, "-1", hash, ""), Malformed, "documents[0].size"),
        (document("k", pdf, "\"1\"", hash, ""), Malformed, "documents[0].size"),
        (document("k", pdf, "1", &upper, ""), Malformed, "documents[0].commitment"),
        (document("k", pdf, "1", &hash[2..], ""), Malformed, "documents[0].commitment"),
        (document("k", pdf, "1", hash, r#","match":"""#), Malformed, "documents[0].match"),
        (document("k", pdf, "1", hash, r#","salt":"x""#), UnknownField, "documents[0].salt"),
        (document("k", pdf, "1", hash, r#","name":"x.pdf""#), UnknownField, "documents[0].name"),
        (beside(r#""documents":[{"kind":"k"}]"#), Malformed, "documents[0].media_type"),
        (beside(&format!(r#""documents":[{}]"#, many.join(","))), Malformed, "documents"),
    ]);
}
