//! JSON that is no I-JSON, or that two readers could understand differently.

use super::malformed::{assert_all, beside, claim_with, parsed};
use crate::refusal::Code;

#[test]
fn json_that_two_readers_could_read_differently() {
    use Code::Malformed;
    let deep = |lists: usize| format!(r#""kind":{}{}"#, "[".repeat(lists), "]".repeat(lists));
    assert_all(vec![
        (claim_with(r#""claimed":1.0"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":0.5"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":1e3"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":1E400"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":-0"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":-0.0"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":9007199254740992"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":-9007199254740992"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":18446744073709551616"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":99999999999999999999999999999999"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":007"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":+7"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":NaN"#), Malformed, "data.claimed"),
        (claim_with(r#""claimed":null"#), Malformed, "data.claimed"),
        (claim_with(r#""kind":"a","kind":"a""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"a","kin\u0064":"b""#), Malformed, "data.kind"),
        (claim_with(r#""x":{"y":1,"y":2}"#), Malformed, "data.x.y"),
        (beside(r#""type":"claim.opened""#), Malformed, "type"),
        (claim_with(r#""kind":"\ud800""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"\udc00\ud800""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"\uffff""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"\ufdd0""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"\ud83f\udffe""#), Malformed, "data.kind"),
        (claim_with("\"\u{fffe}\":1"), Malformed, "data.\u{fffe}"),
        (claim_with(r#""kind":"a\u0000b""#), Malformed, "data.kind"),
        (claim_with(r#""kind":"a\nb""#), Malformed, "data.kind"),
        (claim_with("\"kind\":\"a\nb\""), Malformed, "data.kind"),
        (claim_with("\"kind\":\"a\u{85}b\""), Malformed, "data.kind"),
        (claim_with(r#""kind":"\x""#), Malformed, "data.kind"),
        (claim_with(r#""kind":'a'"#), Malformed, "data.kind"),
        (claim_with(r#""kind":"a",/*b*/"service":"c""#), Malformed, "data"),
        (claim_with(&deep(14)), Malformed, "data.kind"),
        (claim_with(&deep(15)), Malformed, "data.kind[0][0][0][0][0][0][0][0][0][0][0][0][0][0]"),
        (
            claim_with(&deep(10_000)),
            Malformed,
            "data.kind[0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
        ),
        (format!("{} ", beside("")), Malformed, "payload"),
        (format!("{}\n", beside("")), Malformed, "payload"),
        (format!("\u{feff}{}", beside("")), Malformed, "payload"),
        (format!("{}{}", beside(""), "{}"), Malformed, "payload"),
        (format!("[{}]", beside("")), Malformed, "payload"),
        (beside("").trim_end_matches('}').to_owned(), Malformed, "payload"),
        ("{".to_owned(), Malformed, "payload"),
        ("{}".to_owned(), Malformed, "ledger"),
        ("\"text\"".to_owned(), Malformed, "payload"),
        ("null".to_owned(), Malformed, "payload"),
    ]);
    let mut broken = beside(r#""declared_by":"x""#).into_bytes();
    let place = broken.iter().rposition(|byte| *byte == b'x').unwrap();
    broken[place] = 0xff;
    let refusal = parsed(&broken).unwrap_err();
    assert_eq!((refusal.code, refusal.field.as_deref()), (Malformed, Some("payload")));
    assert!(refusal.detail.contains("UTF-8"), "{refusal}");
}

#[test]
fn an_object_of_very_many_members_is_refused_before_they_are_compared() {
    let members: Vec<String> = (0..65).map(|index| format!(r#""m{index}":1"#)).collect();
    let payload = claim_with(&format!(r#""x":{{{}}}"#, members.join(",")));
    let refusal = parsed(payload).unwrap_err();
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Malformed, Some("data.x")));
}
