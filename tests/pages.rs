//! The explorer's pages and the API's page, in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use quittance_ledger::transparency::verify_bytes;
use quittance_tests::{Consortium, Node, Signed, browser::Browser, samples};

/// A ledger of the accepted records of all dossiers.
fn ledger() -> (Consortium, Node, Vec<Signed>) {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records: Vec<_> = samples()
        .iter()
        .filter(|sample| sample.refused.is_none())
        .map(|sample| consortium.sign(&sample.signer, &sample.record))
        .collect();
    node.append_all(&records);
    (consortium, node, records)
}

#[track_caller]
fn no_complaints(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{}: {complaints:#?}", browser.url());
}

#[test]
fn the_home_page_shows_the_head_and_a_record_is_found_from_there() {
    let Some(browser) = Browser::start() else { return };
    let (consortium, node, records) = ledger();
    browser.open(&node.url("/"));
    let text = browser.text();
    let head = node.json("/v1/status")["head"].clone();
    assert!(text.contains(consortium.origin()), "{text}");
    assert!(text.contains(head["hash"].as_str().unwrap()), "{text}");
    assert!(text.contains("96"), "{text}");
    assert!(text.contains(&records[95].id[..8]), "{text}");
    no_complaints(&browser);
    browser.screenshot("home");

    // By its id.
    let record = &records[40];
    browser.fill("#q", &record.id);
    browser.click("form[role=search] button");
    let text = browser.wait_for_text(&record.id);
    assert!(browser.url().ends_with(&format!("/records/{}", record.id)), "{}", browser.url());
    assert!(text.contains("final"), "{text}");
    no_complaints(&browser);
    browser.screenshot("record");

    // By its contract.
    browser.fill("#q", "petexpert/PX-1001");
    browser.click("form[role=search] button");
    browser.wait_for_text("petexpert/PX-1001");
    let expected = node.all_records("&contract=petexpert%2FPX-1001").len();
    assert!(expected > 0);
    let rows = browser.script("return document.querySelectorAll('table.list tbody tr').length");
    assert_eq!(rows, expected, "{}", browser.url());
    no_complaints(&browser);

    // What is not there is said to be not there.
    browser.fill("#q", &"0".repeat(64));
    browser.click("form[role=search] button");
    browser.wait_for_text("not");
    assert!(!browser.text().contains("node failed"));

    // Every link of the home page leads somewhere.
    browser.open(&node.url("/"));
    let links = browser.script("return Array.from(document.links, link => link.href)");
    for link in links.as_array().unwrap() {
        let link = link.as_str().unwrap().split('#').next().unwrap();
        let path = link.strip_prefix(&node.url("")).expect("a link to the node itself");
        let status = node.get(path).status;
        assert!(matches!(status, 200 | 303 | 307 | 308), "{link}: {status}");
    }
}

#[test]
fn a_receipt_that_is_downloaded_verifies_and_a_changed_one_does_not() {
    let Some(browser) = Browser::start() else { return };
    let (consortium, node, records) = ledger();
    let record = &records[17];
    browser.open(&node.url(&format!("/records/{}", record.id)));
    let link = browser.attribute("a[download][href*=receipt]", "href").expect("a link");
    let answer = node.get(&link);
    assert_eq!(answer.status, 200);
    assert!(verify_bytes(&answer.body, &consortium.membership().policy()).is_valid());
    no_complaints(&browser);

    // As a file, in the form.
    let path = consortium.folder().join("receipt.tlog-proof");
    fs::write(&path, &answer.body).unwrap();
    browser.open(&node.url("/verify"));
    browser.choose_file("#file", &path);
    browser.click("form.stack button");
    let text = browser.wait_for_text("Valid");
    for check in ["format", "record", "inclusion", "log_signature", "cosignatures"] {
        assert!(text.contains(check), "{check}: {text}");
    }
    assert!(!text.contains("failed"), "{text}");
    no_complaints(&browser);
    browser.screenshot("verify-valid");

    // As text, in which the index was changed.
    let text = answer.text();
    let changed = text.replacen("index 17\n", "index 18\n", 1);
    assert_ne!(changed, text);
    browser.open(&node.url("/verify"));
    browser.fill("#receipt", &changed);
    browser.click("form.stack button");
    browser.wait_for_text("Not valid");
    let failed = browser.script(
        "return Array.from(document.querySelectorAll('.verdict .no'), mark => mark.parentElement.textContent)",
    );
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert!(failed[0].as_str().unwrap().contains("inclusion"), "{failed}");
    no_complaints(&browser);
    browser.screenshot("verify-changed");
}

#[test]
fn what_records_say_is_shown_as_text() {
    let Some(browser) = Browser::start() else { return };
    let consortium = Consortium::new();
    let node = consortium.start();
    let attack = "<img src=x onerror=alert(1)>'\"&amp;";
    let record = consortium.sign(
        "heca",
        &serde_json::json!({
            "type": "contract.quoted", "occurred_at": "2026-01-02T09:00:00Z",
            "contract": format!("comp-it/{attack}"), "data": { "quote": attack },
        }),
    );
    assert_eq!(node.append(&record).status, 201);
    for path in ["/".to_owned(), "/records".to_owned(), format!("/records/{}", record.id)] {
        browser.open(&node.url(&path));
        assert!(browser.text().contains(attack), "{path}: {}", browser.text());
        assert_eq!(browser.script("return document.images.length"), 0);
        no_complaints(&browser);
    }
    // The link of the contract leads to its records.
    browser.open(&node.url("/"));
    browser.click("table.list a[href*='contract=']");
    let text = browser.wait_for_text("quoted");
    assert!(text.contains(attack), "{text}");
}

#[test]
fn the_page_of_the_api_loads_and_lists_its_operations() {
    let Some(browser) = Browser::start() else { return };
    let consortium = Consortium::new();
    let node = consortium.start();
    browser.open(&node.url("/docs/"));
    let text = browser.wait_for_text("/v1/records/{id}/receipt");
    assert!(text.contains("Append one record"), "{text}");
    no_complaints(&browser);
    browser.screenshot("docs");
}
