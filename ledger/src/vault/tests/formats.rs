//! Disclosures, presentations, and what is private.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::{
    insurance::RecordType,
    limits::{DISCLOSURE_BYTES_MAX, DISCLOSURES_MAX},
    record::Salt,
    refusal::{Code, Refusal},
    vault::{conceal::is_own_field_of_data, disclosure::digest_text},
};

fn encoded(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code, says: &str) {
    let refusal = result.unwrap_err();
    assert!(refusal.code == code && refusal.detail.contains(says), "{refusal}");
}

#[test]
fn digests_are_those_of_rfc_9901() {
    // Section 4.2.3, and two of section 5.1.
    for (disclosure, name, value, digest) in [
        (
            "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0",
            "family_name",
            "Möbius",
            "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0",
        ),
        (
            "WyIyR0xDNDJzS1F2ZUNmR2ZyeU5STjl3IiwgImdpdmVuX25hbWUiLCAiSm9obiJd",
            "given_name",
            "John",
            "jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4",
        ),
        (
            "WyJlbHVWNU9nM2dTTklJOEVZbnN4QV9BIiwgImZhbWlseV9uYW1lIiwgIkRvZSJd",
            "family_name",
            "Doe",
            "TGf4oLbgwd5JQaHyKVQZU9UdGE0w5rtDsrZzfUaomLo",
        ),
    ] {
        let read = Disclosure::parse(disclosure).unwrap();
        assert_eq!((read.name(), read.value()), (name, &json!(value)));
        assert_eq!(digest_text(&read.digest()), digest);
        assert_eq!(read.as_str(), disclosure);
    }
}

#[test]
fn what_is_no_disclosure_is_refused() {
    let salt = "2GLC42sKQveCfGfryNRN9w";
    let with = |name: &str, value: &str| encoded(&format!("[\"{salt}\",{name},{value}]"));
    assert!(Disclosure::parse(&with("\"name\"", "{\"first\":[1,true,\"x\"]}")).is_ok());
    for (text, says) in [
        (String::new(), "JSON list"),
        ("not base64url!".to_owned(), "base64url"),
        (format!("{}=", with("\"name\"", "1")), "base64url"),
        (encoded("{}"), "JSON list"),
        (encoded("[]"), "a salt, a name and a value"),
        (encoded(&format!("[\"{salt}\",\"an array element\"]")), "a salt, a name and a value"),
        (encoded(&format!("[\"{salt}\",\"a\",1,2]")), "a salt, a name and a value"),
        (encoded(&format!("[\"{salt}\",\"a\",1] ")), "nothing before or after"),
        (encoded("[\"short\",\"name\",1]"), "salt"),
        (with("7", "1"), "a salt, a name and a value"),
        (with("\"\"", "1"), "name"),
        (with("\"_sd\"", "[]"), "must not be named _sd"),
        (with("\"...\"", "1"), "must not be named ..."),
        (with("\"a\"", "null"), "null"),
        (with("\"a\"", "1.5"), "whole number"),
        (with("\"a\"", "\"\\u0000\""), "control characters"),
        (with("\"a\"", "{\"b\":1,\"b\":2}"), "stands twice"),
        (with("\"a\"", "{\"b\":[{\"_sd\":[]}]}"), "inside its value"),
        (with("\"a\"", "[{\"...\":\"x\"}]"), "inside its value"),
    ] {
        refused(Disclosure::parse(&text), Code::Malformed, says);
    }
    let long = with("\"a\"", &format!("\"{}\"", "x".repeat(DISCLOSURE_BYTES_MAX)));
    refused(Disclosure::parse(&long), Code::TooLarge, "disclosure has");
}

#[test]
fn what_is_private_does_not_show_when_it_is_printed() {
    let (record, disclosures) = private(&ledger(), 1);
    let presentation =
        Presentation::new(Envelope::parse(record.jws().to_vec()).unwrap(), disclosures).unwrap();
    let printed = format!("{presentation:?}");
    assert!(printed.contains("address") && !printed.contains("Milano"), "{printed}");
    assert!(!format!("{:?}", VaultKey::from_bytes([7; 32])).contains('7'));
}

#[test]
fn private_fields_leave_the_payload_and_come_back_in_a_presentation() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    let shown = String::from_utf8_lossy(record.payload_json()).into_owned();
    assert!(!shown.contains("Rossi") && !shown.contains("Milano"), "{shown}");
    assert_eq!((record.payload().sd.len(), record.payload().sd_of_payload), (2, 1));
    let envelope = Envelope::parse(record.jws().to_vec()).unwrap();
    let text = Presentation::new(envelope, disclosures.clone()).unwrap().to_string();
    assert!(text.ends_with('~') && text.matches('~').count() == 3);
    let read = Presentation::parse(&text).unwrap();
    assert_eq!(read.record().id(), record.id());
    let fields: Vec<_> = read
        .fields()
        .iter()
        .map(|field| {
            (field.place.as_str(), field.disclosure.name(), field.disclosure.value().clone())
        })
        .collect();
    let expected = [("payload", "name", json!("Anna Rossi")), ("data", "address", json!(ADDRESS))];
    assert_eq!(fields, expected);
    assert_eq!(read.to_string(), text);
    assert_eq!(read.into_disclosures(), disclosures);
    // None at all is a presentation, too.
    let jws = String::from_utf8_lossy(record.jws()).into_owned();
    assert!(Presentation::parse(&format!("{jws}~")).unwrap().fields().is_empty());
}

#[test]
fn a_presentation_holds_what_belongs_to_its_record_and_no_more() {
    let ledger = ledger();
    let (record, disclosures) = private(&ledger, 1);
    let (_, others) = private(&ledger, 2);
    let jws = String::from_utf8_lossy(record.jws()).into_owned();
    let [name, address] = &disclosures[..] else { panic!("two") };
    let (name, address) = (name.as_str(), address.as_str());
    for (text, says) in [
        (jws.clone(), "with ~ behind each"),
        (format!("{jws}~{name}"), "with ~ behind each"),
        (format!("{jws}~{name}~eyJhbGciOiJFZERTQSJ9.e30.AA"), "with ~ behind each"),
        (format!("{jws}~{name}~{name}~"), "stands twice"),
        (format!("{jws}~{name}~{address}~{}~", others[0].as_str()), "does not belong"),
        (format!("{jws}~~"), "JSON list"),
        (format!("{jws}~{name}~~"), "JSON list"),
        ("~".to_owned(), "three parts"),
        (format!("~{name}~"), "three parts"),
    ] {
        refused(Presentation::parse(&text), Code::Malformed, says);
    }
    let long = format!("{jws}~{}~", "x".repeat(crate::limits::PRESENTATION_BYTES_MAX));
    refused(Presentation::parse(&long), Code::TooLarge, "presentation has");
}

#[test]
fn a_disclosure_never_replaces_a_field_that_the_record_shows() {
    let ledger = ledger();
    let salt = random_salt().unwrap();
    let hidden = Disclosure::new(&salt, "effective", &json!("2030-01-01")).unwrap();
    let mut payload = payload(1);
    payload.remove("name");
    payload["data"]["_sd"] = json!([digest_text(&hidden.digest())]);
    payload["data"].as_object_mut().unwrap().remove("address");
    let record = ledger.sign("broker", payload.into());
    let result = disclosed(record.payload(), record.payload_json(), vec![hidden]);
    refused(result, Code::Malformed, "names a field that the record shows");
}

/// A record of that payload which hides a field by hand, and its disclosure.
fn hidden_by_hand(
    mut payload: Value,
    place: Place,
    name: &str,
    value: &Value,
) -> (Record, Vec<Disclosure>) {
    let hidden = Disclosure::new(&random_salt().unwrap(), name, value).unwrap();
    let object = match place {
        Place::Payload => &mut payload,
        Place::Data => &mut payload["data"],
    };
    object["_sd"] = json!([digest_text(&hidden.digest())]);
    let signer = if payload["type"] == "contract.issued" { "insurer" } else { "broker" };
    (ledger().sign(signer, payload), vec![hidden])
}

#[test]
fn a_record_signed_by_hand_never_opens_to_fields_of_the_payload_that_no_rule_saw() {
    for (name, value) in [
        ("corrects", json!("0".repeat(64))),
        ("claim", json!("insurer/S-1")),
        ("contract", json!("insurer/C-1")),
        ("declared_by", json!("policyholder")),
        ("expires_at", json!("2026-01-02T00:00:00Z")),
        ("documents", json!([])),
        ("ledger", json!("another.example/q")),
        ("data", json!({})),
    ] {
        let payload = json!({
            "type": "party.updated", "occurred_at": "2026-01-01T00:00:00Z",
            "data": {"what": "address", "effective": "2026-02-01"},
        });
        let (record, hidden) = hidden_by_hand(payload, Place::Payload, name, &value);
        let text = format!("{}~{}~", String::from_utf8_lossy(record.jws()), hidden[0].as_str());
        refused(Presentation::parse(&text), Code::Malformed, name);
        refused(disclosed(record.payload(), record.payload_json(), hidden), Code::Malformed, name);
    }
}

/// A contract, whose rules read most of what it says.
fn issued() -> Value {
    json!({
        "type": "contract.issued", "occurred_at": "2026-01-01T00:00:00Z",
        "contract": "insurer/C-1",
        "data": {
            "version": 1, "line_of_business": "legal", "signature_required": false,
            "period": {"from": "2026-01-01", "to": "2026-12-31"}, "currency": "EUR",
        },
    })
}

#[test]
fn a_record_signed_by_hand_never_opens_to_fields_of_data_that_no_rule_saw() {
    for (name, value) in [
        ("deductible_model", json!("bonus")),
        ("annual_ceiling", json!(1)),
        ("time_zone", json!("Europe/Rome")),
        ("broker", json!("broker")),
        ("modules", json!(["private"])),
        ("referral", json!("R-1")),
    ] {
        let (record, hidden) = hidden_by_hand(issued(), Place::Data, name, &value);
        refused(disclosed(record.payload(), record.payload_json(), hidden), Code::Malformed, name);
    }
}

#[test]
fn what_a_type_has_a_field_for_opens_to_nothing_but_that() {
    let opened = |payload: Value, value: Value| {
        let (record, hidden) = hidden_by_hand(payload, Place::Data, "premium", &value);
        disclosed(record.payload(), record.payload_json(), hidden)
    };
    assert_eq!(opened(issued(), json!(12_000)).unwrap().len(), 1);
    refused(opened(issued(), json!("much")), Code::Malformed, "premium");
    refused(opened(issued(), json!(-1)), Code::AmountNegative, "premium");
    let mut without_currency = issued();
    without_currency["data"].as_object_mut().unwrap().remove("currency");
    refused(opened(without_currency, json!(12_000)), Code::Malformed, "currency");
}

#[test]
fn no_flag_hides_what_rules_and_views_go_by() {
    for record_type in RecordType::ALL.iter().copied() {
        let may_be: Vec<_> = own_fields_that_may_be_private(record_type).collect();
        for (name, kind) in record_type.fields() {
            let object = json!({"type": record_type, "data": {*name: 1}});
            let named = [format!("data.{name}").parse().unwrap()];
            let result =
                conceal(object.as_object().unwrap().clone(), &named, |_, _, _| random_salt());
            if may_be.contains(name) {
                assert!(kind.starts_with("Option<"), "{record_type} reads without {name}");
                assert_eq!(result.unwrap().disclosures.len(), 1, "{record_type} {name}");
            } else {
                refused(result, Code::Malformed, &format!("data.{name} is what the ledger"));
            }
        }
        for name in may_be {
            assert!(is_own_field_of_data(record_type, name), "{record_type} has no {name}");
        }
    }
}

#[test]
fn digests_are_sorted_so_that_their_order_says_nothing() {
    let mut all = Map::new();
    for name in ["plate", "address", "iban", "phone", "email", "vin"] {
        all.insert(name.to_owned(), json!(name));
    }
    let object = json!({"type": "contract.quoted", "data": all});
    let concealed =
        conceal(object.as_object().unwrap().clone(), &[], |_, _, _| random_salt()).unwrap();
    let texts: Vec<_> = concealed.payload["data"]["_sd"].as_array().unwrap().clone();
    let mut sorted = texts.clone();
    sorted.sort_by_key(|text| text.as_str().unwrap().to_owned());
    assert_eq!(texts, sorted);
    assert_eq!(texts.len(), 6);
    assert_eq!(concealed.payload["_sd_alg"], "sha-256");
    assert!(!concealed.payload.contains_key("_sd"));
}

#[test]
fn fields_are_hidden_by_flag_where_they_are_and_only_there() {
    let object = json!({
        "type": "contract.quoted", "reference": "R",
        "data": {"quote": "Q", "premium": 4200, "currency": "EUR"},
    });
    let object = object.as_object().unwrap();
    let named = |text: &str| text.parse::<PrivateField>();
    let fields = [named("data.premium").unwrap(), named("reference").unwrap()];
    let concealed = conceal(object.clone(), &fields, |_, _, _| random_salt()).unwrap();
    let names: Vec<_> = concealed.disclosures.iter().map(Disclosure::name).collect();
    assert_eq!(names, ["reference", "premium"]);
    assert!(concealed.payload["data"].get("premium").is_none());
    let absent = [named("data.reference").unwrap()];
    let result = conceal(object.clone(), &absent, |_, _, _| random_salt());
    refused(result, Code::Malformed, "data.reference is not in the record");
    for own in ["type", "salt", "contract", "expires_at", "data", "_sd", "data._sd", "", "data."] {
        assert_eq!(named(own).unwrap_err().code, Code::Malformed, "{own}");
    }
}

#[test]
fn a_value_that_cannot_be_disclosed_is_refused_with_its_field() {
    for value in [json!(null), json!(1.5), json!("\u{7}"), json!({"_sd": []})] {
        let object = json!({"type": "party.updated", "data": {"iban": value}});
        let result = conceal(object.as_object().unwrap().clone(), &[], |_, _, _| random_salt());
        assert_eq!(result.unwrap_err().field.as_deref(), Some("data.iban"));
    }
    let many: Map<String, Value> =
        (0..=DISCLOSURES_MAX).map(|number| (format!("f{number}"), json!(1))).collect();
    let named: Vec<PrivateField> =
        many.keys().map(|name| format!("data.{name}").parse().unwrap()).collect();
    let object = json!({"type": "party.updated", "data": many});
    let result = conceal(object.as_object().unwrap().clone(), &named, |_, _, _| random_salt());
    refused(result, Code::TooLarge, "private fields");
}

#[test]
fn no_type_has_a_private_name_among_its_own_fields() {
    let ledger = ledger();
    for record_type in RecordType::ALL {
        let data = json!({"unheard_of": 1});
        let payload = json!({
            "type": record_type, "occurred_at": "2026-01-01T00:00:00Z", "data": data,
            "contract": "insurer/C-1", "claim": "insurer/C-1",
        });
        let Value::Object(payload) = payload else { panic!("an object") };
        let refusal = crate::record::sign(
            payload,
            ledger.membership.origin(),
            &"broker".parse().unwrap(),
            &"1".parse().unwrap(),
            &crate::testing::key(2),
        )
        .unwrap_err();
        let (_, fields) = refusal.detail.split_once("these may: ").unwrap();
        let fields: Vec<_> = fields.split(", ").collect();
        assert!(fields.len() > 1 || !fields[0].is_empty(), "{record_type}");
        for private in private_fields_of(*record_type) {
            assert!(!fields.contains(&private), "{record_type}: {private}");
        }
    }
    assert!(is_private(Some(RecordType::PartyUpdated), "previous"));
    assert!(!is_private(Some(RecordType::ContractQuoted), "previous"));
    assert!(is_private(None, "iban") && !is_private(None, "quote"));
    assert!(!is_private(Some(RecordType::MemberProposed), "name"));
}

fn salts() -> impl Strategy<Value = Salt> {
    prop::collection::vec(any::<u8>(), 16..=64)
        .prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes).parse().unwrap())
}

proptest! {
    #[test]
    fn what_is_made_is_read_back(salt in salts(), name in "[a-z]{1,20}", value in "[^\\p{C}]{0,200}") {
        let value = json!({"text": value, "list": [1, true]});
        let made = Disclosure::new(&salt, &name, &value).unwrap();
        let read = Disclosure::parse(made.as_str()).unwrap();
        prop_assert_eq!(&read, &made);
        prop_assert_eq!((read.salt(), read.name(), read.value()), (&salt, &*name, &value));
        prop_assert_eq!(Disclosure::new(&salt, &name, &value).unwrap().digest(), made.digest());
    }

    #[test]
    fn no_input_makes_the_readers_panic(text in "\\PC{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Disclosure::parse(&text);
        let _ = Disclosure::parse(&URL_SAFE_NO_PAD.encode(&bytes));
        let _ = Presentation::parse(&text);
        let _ = Presentation::parse(&format!("{text}~"));
        let _ = text.parse::<PrivateField>();
    }
}
