//! What people ask of the ledger, on the command line and as a table: every
//! figure follows from the records of the sample dossiers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use quittance_ledger::insurance::views::{Dossier, Statement, StatementLines};
use quittance_tests::{Consortium, Node, Settings, quittance, samples};
use serde_json::json;

/// A node with the accepted records of all sample dossiers.
fn with_samples(settings: &Settings) -> (Consortium, Node) {
    let consortium = Consortium::new();
    let node = consortium.start_with(settings);
    let samples: Vec<_> = samples().into_iter().filter(|sample| sample.refused.is_none()).collect();
    let records: Vec<_> =
        samples.iter().map(|sample| consortium.sign(&sample.signer, &sample.record)).collect();
    for answer in node.append_all(&records) {
        assert_eq!(answer["status"], 201, "{answer}");
    }
    (consortium, node)
}

#[test]
fn commands_show_the_same_figures_as_tables_json_and_csv() {
    let (_consortium, node) = with_samples(&Settings::default());
    let ask = |arguments: &[&str]| {
        let api = node.url("");
        let arguments: Vec<_> = arguments.iter().copied().chain(["--api", &api]).collect();
        quittance(&arguments)
    };
    let then = "2025-09-01T10:30:10+02:00";
    let table = ask(&["dossier", "petexpert/PX-1001", "--at", then]).success();
    for shown in ["in_force", "1500.00 EUR", "240.00 EUR", "1260.00 EUR", "0.00 EUR", "PA-2b"] {
        assert!(table.text().contains(shown), "{shown}: {}", table.text());
    }
    assert!(!table.text().contains('\u{1b}'), "no colours where there is no terminal");
    let json = ask(&["dossier", "petexpert/PX-1001", "--at", then, "--json"]).success().json();
    let dossier: Dossier = serde_json::from_value(json).unwrap();
    let ceiling = dossier.ceiling.unwrap();
    assert_eq!((ceiling.spent, ceiling.held, ceiling.left), (24_000, 126_000, Some(0)));
    let csv = ask(&["dossier", "petexpert/PX-1001", "--at", then, "--csv"]).success();
    assert_eq!(csv.text().lines().count(), dossier.events.len() + 1);

    let claim = ask(&["claim", "santevet/R-20170125"]).success();
    for shown in ["180.00 EUR", "138.00 EUR", "42.00 EUR", "paid"] {
        assert!(claim.text().contains(shown), "{shown}: {}", claim.text());
    }
    let period = ["--from", "2025-09-01", "--to", "2025-09-30"];
    let statement = ask(&[&["statement", "--payee", "vet-1"][..], &period[..]].concat()).success();
    assert!(statement.text().contains("1260.00 EUR"), "{}", statement.text());
    let json = ask(&[&["statement", "--payee", "vet-1", "--json"][..], &period[..]].concat());
    let statement: Statement = serde_json::from_value(json.success().json()).unwrap();
    assert_eq!((statement.paid_count, statement.totals[0].paid_sum), (1, 126_000));

    let csv = ask(&["claim", "santevet/R-20170125", "--csv"]).success();
    assert!(csv.text().starts_with("index,height,"), "{}", csv.text());
    let none = ask(&["duplicates", "--at", "1"]).success();
    assert!(none.text().contains("There is none here"), "{}", none.text());
    assert_eq!(ask(&["duplicates", "--json"]).success().json()["duplicates"], json!([]));

    // A typing error does not look like a month without a payment.
    let nobody = ask(&[&["statement", "--payee", "nobody"][..], &period[..]].concat());
    assert_eq!(nobody.code, Some(2), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("knows no payee nobody"), "{}", nobody.stderr);

    let exceptions = ask(&["exceptions", "--kind", "hold_expired"]).success();
    assert!(exceptions.text().contains("PA-3"), "{}", exceptions.text());
    assert_eq!(ask(&["dossier", "petexpert/none"]).code, Some(2));
}

#[test]
fn a_statement_without_its_lines_says_so_and_shows_its_figures() {
    let (_consortium, node) = with_samples(&Settings::limits("view_records_max = 1"));
    let api = node.url("");
    let ask = |more: &[&str]| {
        let asked = ["statement", "--payee", "vet-1", "--from", "2025-09-01", "--to", "2025-09-30"];
        quittance([&asked[..], more, &["--api", &api]].concat())
    };
    let table = ask(&[]).success();
    for shown in ["1260.00 EUR", "too many payments and claims", "--contract"] {
        assert!(table.text().contains(shown), "{shown}: {}", table.text());
    }
    let statement: Statement = serde_json::from_value(ask(&["--json"]).success().json()).unwrap();
    assert_eq!(statement.lines, StatementLines::TooMany);
    assert_eq!((statement.paid_count, statement.totals[0].paid_sum), (1, 126_000));
    // A table of nothing would look like a month without a payment.
    assert_ne!(ask(&["--csv"]).code, Some(0));
}
