//! The demo plays to its end, and the load generator measures what it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use quittance_tests::{Consortium, quittance};

#[test]
fn the_demo_plays_the_dossiers_and_verifies_every_receipt() {
    let ended = quittance(["demo", "--exit"]).success();
    let said = ended.text();
    for dossier in quittance_tests::DOSSIERS {
        assert!(said.contains(dossier), "{dossier}: {said}");
    }
    // The 96 records that are accepted, each with a receipt that verifies, and
    // the 18 that are refused.
    let sum = said.lines().find(|line| line.contains(" all ")).unwrap_or_default();
    let numbers: Vec<_> =
        sum.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    assert_eq!(numbers, ["96", "18", "96"], "{said}");
    assert!(!said.contains("otherwise than the dossiers say"), "{said}");
    assert!(said.contains("refused ceiling_exceeded"), "{said}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_short_load_run_prints_its_rate_beside_the_machines_own() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let data = consortium.data().display().to_string();
    let load = |arguments: &[&str]| {
        let mut all = vec!["load", "--records", "300", "--data", &data];
        let url = node.url("");
        all.extend(["--api", &url]);
        all.extend(arguments);
        quittance(all).success()
    };
    let report = load(&["--json"]).json();
    let number = |name: &str| {
        let found = find(&report, name);
        found.unwrap_or_else(|| panic!("no {name} in {report}"))
    };
    assert!(number("ratio") > 0.0, "{report}");
    assert_eq!(node.tree_size(), 300);
    let people = load(&[]);
    assert!(people.text().contains("ratio"), "{}", people.text());
}

/// The first number whose name contains `name`, at any depth.
fn find(value: &serde_json::Value, name: &str) -> Option<f64> {
    let object = value.as_object()?;
    object
        .iter()
        .find(|(key, value)| key.contains(name) && value.is_number())
        .and_then(|(_, value)| value.as_f64())
        .or_else(|| object.values().find_map(|value| find(value, name)))
}
