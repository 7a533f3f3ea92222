//! What programs rely on without reading our code: the OpenAPI document, the
//! figures for Prometheus, and that everything documented is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use quittance_tests::{Consortium, load_records, quittance};
use serde_json::Value;

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                found.push(reference);
            }
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_openapi_document_is_whole_and_describes_the_api() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let answer = node.get("/openapi.json");
    assert!(answer.header("content-type").starts_with("application/json"));
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());

    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut operations = BTreeSet::new();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(operations.insert(id.to_owned()), "{method} {path}: {id:?} stands twice");
            let about = operation["summary"].as_str().or(operation["description"].as_str());
            assert!(about.is_some_and(|text| !text.is_empty()), "{method} {path} says nothing");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            // Each variable of the path is a parameter, and required.
            for variable in path.split('{').skip(1).map(|part| part.split('}').next().unwrap()) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|parameter| parameter["name"] == variable
                        && parameter["in"] == "path"
                        && parameter["required"] == true),
                    "{method} {path}: {variable}"
                );
            }
        }
    }
    for (method, path) in [
        ("post", "/v1/records"),
        ("get", "/v1/records"),
        ("post", "/v1/records/batch"),
        ("get", "/v1/records/{id}"),
        ("get", "/v1/records/{id}/receipt"),
        ("post", "/v1/verify"),
        ("get", "/v1/blocks"),
        ("get", "/v1/blocks/{height}"),
        ("get", "/v1/members"),
        ("get", "/v1/policy"),
        ("get", "/v1/genesis"),
        ("get", "/v1/consistency"),
        ("get", "/v1/checkpoints"),
        ("get", "/v1/events"),
        ("get", "/v1/status"),
        ("get", "/checkpoint"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    ] {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not described");
    }
    assert!(paths.keys().any(|path| path.starts_with("/tile/")));
}

/// A line of figures: name, labels, value.
fn figure(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = match line.find('{') {
        Some(brace) => {
            let end = line.rfind('}')?;
            (&line[..brace], line.get(end + 1..)?)
        }
        None => line.split_once(' ')?,
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let value = rest.split_whitespace().next()?.parse().ok()?;
    name.chars().all(plain).then_some((name, value))
}

#[test]
fn figures_can_be_read_and_count_what_happened() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 12);
    node.append_all(&records);
    node.append(&records[0]);
    assert_eq!(node.post("/v1/records", &[("content-type", "text/plain")], "x").status, 400);

    let answer = node.get("/metrics");
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut kinds = BTreeMap::new();
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<_> = comment.split(' ').collect();
            match *words.first().unwrap() {
                "TYPE" => assert!(kinds.insert(words[1], words[2]).is_none(), "{line}"),
                "HELP" | "UNIT" | "EOF" => {}
                other => panic!("{other}: {line}"),
            }
            continue;
        }
        let (name, value) = figure(line).unwrap_or_else(|| panic!("not a figure: {line}"));
        assert!(value.is_finite() || line.contains("+Inf"), "{line}");
        assert!(kinds.keys().any(|kind| name.starts_with(kind)), "{name} has no type before it");
        *sums.entry(name).or_default() += value;
    }
    assert_eq!(sums["quittance_tree_size"], 12.0, "{text}");
    assert_eq!(sums["quittance_records_final_total"], 12.0, "{text}");
    assert_eq!(sums["quittance_records_known_total"], 1.0, "{text}");
    assert_eq!(sums["quittance_records_refused_total"], 1.0, "{text}");
    assert!(sums["quittance_height"] >= 1.0);
    assert!(sums["quittance_http_requests_total"] >= 3.0);
    // Labels are templates: ids never become labels.
    node.get(&format!("/v1/records/{}", records[3].id));
    assert!(!node.get("/metrics").text().contains(&records[3].id));
}

#[test]
fn blocks_lead_to_the_head_and_say_which_records_they_hold() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use quittance_ledger::digest::Digest;

    let consortium = Consortium::new();
    let node = consortium.start();
    let records = load_records(&consortium, 40);
    for part in records.chunks(8) {
        node.append_all(part);
    }
    let status = node.json("/v1/status");
    let listed = node.json("/v1/blocks?after=0&limit=1000");
    let listed = listed["blocks"].as_array().unwrap();
    let mut previous = "0".repeat(64);
    let mut ids = Vec::new();
    for (height, block) in (1..).zip(listed) {
        assert_eq!(*block, node.json(&format!("/v1/blocks/{height}")));
        assert_eq!((&block["height"], &block["first_index"]), (&height.into(), &ids.len().into()));
        // The hash is that of the bytes, which name the block before.
        let bytes = STANDARD.decode(block["header"]["bytes"].as_str().unwrap()).unwrap();
        assert_eq!(bytes.len(), 236);
        assert_eq!(hex::encode(&bytes[60..92]), previous);
        previous = Digest::of(&bytes).to_string();
        assert_eq!(block["hash"], previous);
        ids.extend(block["ids"].as_array().unwrap().iter().cloned());
        assert_eq!(u64::from_be_bytes(bytes[132..140].try_into().unwrap()), ids.len() as u64);
    }
    assert_eq!(status["head"]["hash"], previous);
    assert_eq!(ids, records.iter().map(|record| record.id.clone()).collect::<Vec<_>>());
}

#[test]
fn every_command_explains_itself() {
    let help = quittance(["--help"]).success();
    for command in [
        "run", "demo", "init", "genesis", "sign", "append", "verify", "audit", "key", "policy",
        "status", "load", "reindex", "token",
    ] {
        assert!(help.text().contains(command), "{command}");
        let own = quittance([command, "--help"]).success();
        assert!(own.text().contains("Example"), "{command} shows no example");
    }
    assert_eq!(quittance(["no-such-command"]).code, Some(2));
    assert_eq!(quittance(["status", "--api", "http://127.0.0.1:1"]).code, Some(2));
}
