//! The five real-life dossiers, over HTTP, by the command line and by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::VecDeque, fs, path::PathBuf};

use quittance_ledger::{record::Record, transparency::verify_bytes};
use quittance_tests::{
    Answer, Consortium, DOSSIERS, Node, Sample, quittance_in, sample_file, samples, seeded,
};
use rand::{Rng as _, rngs::StdRng};
use serde_json::Value;

/// The accepted records of all dossiers.
const ACCEPTED: u64 = 96;

#[test]
fn the_command_line_appends_every_accepted_record_and_keeps_a_receipt_of_each() {
    let consortium = Consortium::new();
    let mut node = consortium.start();
    let folder = consortium.folder().join("import");
    fs::create_dir(&folder).unwrap();
    let mut arguments = vec!["append".to_owned()];
    for dossier in DOSSIERS {
        fs::copy(sample_file(dossier), folder.join(format!("{dossier}.jsonl"))).unwrap();
        arguments.push(format!("{dossier}.jsonl"));
    }
    arguments.extend(["--api".to_owned(), node.url(""), "--json".to_owned()]);
    let report = quittance_in(&folder, &arguments).success().json();
    let sum = |report: &Value, name: &str| -> u64 {
        let files = report["files"].as_array().unwrap();
        files.iter().map(|file| file[name].as_u64().unwrap()).sum()
    };
    assert_eq!((sum(&report, "recorded"), sum(&report, "skipped")), (ACCEPTED, 18), "{report}");
    assert_eq!(node.tree_size(), ACCEPTED);

    // Again: harmless, and nothing is new.
    let again = quittance_in(&folder, &arguments).success().json();
    assert_eq!(sum(&again, "recorded"), 0, "{again}");
    assert_eq!(node.tree_size(), ACCEPTED);

    // The receipts verify with nothing but themselves and the policy.
    let policy = consortium.policy_file();
    node.stop();
    let mut receipts: Vec<PathBuf> = Vec::new();
    for dossier in DOSSIERS {
        let kept = folder.join(format!("{dossier}.jsonl.receipts"));
        receipts.extend(fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path()));
    }
    assert_eq!(receipts.len() as u64, ACCEPTED);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut verify: Vec<PathBuf> = vec!["verify".into()];
    for (number, receipt) in receipts.iter().enumerate() {
        let copy = elsewhere.path().join(format!("{number}.tlog-proof"));
        fs::copy(receipt, &copy).unwrap();
        verify.push(copy);
    }
    fs::copy(policy, elsewhere.path().join("policy")).unwrap();
    verify.extend(["--policy".into(), "policy".into()]);
    let _ = quittance_in(elsewhere.path(), verify).success();
}

#[test]
fn an_import_of_all_lines_fails_where_one_turns_out_otherwise_than_it_says() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let folder = consortium.folder().join("import");
    fs::create_dir(&folder).unwrap();
    let append = |name: &str, lines: &str, arguments: &[&str]| {
        fs::write(folder.join(name), lines).unwrap();
        let url = node.url("");
        let command = [&["append", name, "--api", &url, "--all"], arguments].concat();
        let ended = quittance_in(&folder, command);
        (ended.code, ended.text().to_owned(), ended.stderr)
    };
    let dossier = fs::read_to_string(sample_file("santevet")).unwrap();
    let (code, stdout, stderr) = append("good.jsonl", &dossier, &[]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("good.jsonl:10: refused as it says: amount_negative"), "{stdout}");

    // Each line is wrong about itself in its own way.
    let refused = dossier.lines().nth(9).unwrap();
    assert!(refused.contains("refused:amount_negative"), "{refused}");
    let taken = dossier.lines().next().unwrap().replace("\"accepted\"", "\"refused:round_gap\"");
    assert!(taken.contains("refused:round_gap"), "{taken}");
    let lines = [
        taken.replace("SV-", "SV-2-"),
        refused.replace("refused:amount_negative", "refused:round_gap"),
        refused.replace("refused:amount_negative", "accepted"),
        refused.to_owned(),
    ]
    .join("\n");
    let (code, stdout, stderr) = append("wrong.jsonl", &lines, &[]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    for says in [
        "wrong.jsonl:1: is on the ledger, but says of itself: refused:round_gap",
        "wrong.jsonl:2: refused, but says of itself refused:round_gap: amount_negative",
        "wrong.jsonl:3: refused, but says of itself accepted: amount_negative",
        "wrong.jsonl:4: refused as it says: amount_negative",
    ] {
        assert!(stdout.contains(says), "{says}: {stdout}");
    }
    let (code, stdout, stderr) = append("wrong.jsonl", &lines, &["--json"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["files"][0]["unexpected"], 3, "{report}");
    assert_eq!(report["not_refused"][0]["line"], 1, "{report}");
    assert_eq!(report["refused"][1]["expected"], "accepted", "{report}");
}

#[test]
fn signed_by_their_members_they_are_recorded_one_by_one_and_every_receipt_verifies() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let policy = consortium.membership().policy();
    let mut ids = Vec::new();
    for sample in samples() {
        if let Some(code) = &sample.refused {
            let size = node.tree_size();
            is_refused(&node, &sample, code);
            assert_eq!(node.tree_size(), size);
            continue;
        }
        let record = consortium.sign(&sample.signer, &sample.record);
        let answer = node.append(&record);
        assert_eq!(answer.status, 201, "{} {}", sample.record, answer.text());
        let answer = answer.json();
        assert_eq!(answer["id"], record.id);
        assert_eq!(answer["index"], ids.len());
        assert_eq!(answer["status"], "final");
        ids.push(record);
    }
    assert_eq!(ids.len() as u64, ACCEPTED);
    for (index, record) in ids.iter().enumerate() {
        let bytes = node.receipt(&record.id);
        let verification = verify_bytes(&bytes, &policy);
        assert!(verification.is_valid(), "{index}: {verification:?}");
        let receipt = quittance_ledger::transparency::Receipt::parse(&bytes).unwrap();
        assert_eq!(receipt.index, index as u64);
        assert_eq!(&*receipt.record, record.jws.as_bytes());
        // The record stands by itself too.
        Record::open(receipt.record.clone(), consortium.membership()).unwrap();
    }
}

/// Asks a node to sign and take a record: a member's own tools would refuse an
/// amount below zero before.
fn offer(node: &Node, sample: &Sample) -> Answer {
    let line = serde_json::json!({ "signer": sample.signer, "record": sample.record });
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    node.post("/v1/records", &headers, line.to_string())
}

fn is_refused(node: &Node, sample: &Sample, code: &str) {
    let answer = offer(node, sample);
    assert_eq!((answer.status, &*answer.problem()), (422, code), "{}", answer.text());
    let problem = answer.json();
    assert!(problem["field"].is_string(), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

/// The lines of all dossiers, those of one contract in their order and else mixed.
fn interleaved(random: &mut StdRng) -> Vec<Sample> {
    let mut dossiers: Vec<VecDeque<Sample>> = DOSSIERS
        .iter()
        .map(|name| samples().into_iter().filter(|sample| sample.dossier == *name).collect())
        .collect();
    let mut mixed = Vec::new();
    while !dossiers.is_empty() {
        let place = random.random_range(0..dossiers.len());
        match dossiers[place].pop_front() {
            Some(sample) => mixed.push(sample),
            None => drop(dossiers.swap_remove(place)),
        }
    }
    mixed
}

#[test]
fn mixed_with_each_other_they_are_accepted_and_refused_just_the_same() {
    let mut random = seeded();
    let consortium = Consortium::new();
    let node = consortium.start();
    for sample in interleaved(&mut random) {
        match &sample.refused {
            Some(code) => is_refused(&node, &sample, code),
            None => {
                let answer = offer(&node, &sample);
                assert_eq!(answer.status, 201, "{} {}", sample.record, answer.text());
            }
        }
    }
    assert_eq!(node.tree_size(), ACCEPTED);
}

#[test]
fn in_one_request_they_stand_in_order_and_are_found_again() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let samples: Vec<_> = samples().into_iter().filter(|sample| sample.refused.is_none()).collect();
    let records: Vec<_> =
        samples.iter().map(|sample| consortium.sign(&sample.signer, &sample.record)).collect();
    for (index, answer) in node.append_all(&records).iter().enumerate() {
        assert_eq!(answer["status"], 201, "{answer}");
        assert_eq!((&answer["line"], &answer["index"]), (&(index + 1).into(), &index.into()));
        assert_eq!(answer["id"], records[index].id);
    }
    let all = node.all_records("");
    let found: Vec<_> = all.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(found, records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>());

    // Every way to look something up gives what the samples say.
    let expect = |query: &str, matches: &dyn Fn(usize) -> bool| {
        let expected: Vec<_> = (0..samples.len()).filter(|index| matches(*index)).collect();
        assert!(!expected.is_empty(), "{query}");
        let found = node.all_records(query);
        let found: Vec<_> =
            found.iter().map(|record| record["index"].as_u64().unwrap() as usize).collect();
        assert_eq!(found, expected, "{query}");
    };
    let text = |index: usize, name: &str| samples[index].record[name].as_str().map(str::to_owned);
    for name in ["contract", "claim"] {
        let mut values: Vec<_> = (0..samples.len()).filter_map(|index| text(index, name)).collect();
        values.sort();
        values.dedup();
        for value in values {
            let query = format!("&{name}={}", value.replace('/', "%2F"));
            expect(&query, &|index| text(index, name).as_deref() == Some(&value));
        }
    }
    for signer in ["petexpert", "otp-it", "vet-2"] {
        expect(&format!("&signer={signer}"), &|index| samples[index].signer == signer);
    }
    for record_type in ["contract.issued", "payment.recorded"] {
        expect(&format!("&type={record_type}"), &|index| {
            text(index, "type").as_deref() == Some(record_type)
        });
    }
    expect("&family=signature", &|index| text(index, "type").unwrap().starts_with("signature."));
    expect("&signer=heca&type=contract.quoted", &|index| {
        samples[index].signer == "heca" && text(index, "type").as_deref() == Some("contract.quoted")
    });
}

#[test]
fn a_page_ends_where_its_limit_says_and_the_next_one_goes_on_there() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let records = quittance_tests::load_records(&consortium, 25);
    node.append_all(&records);
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = node.json(&format!("/v1/records?limit=7{after}"));
        let items = page["records"].as_array().unwrap();
        assert!(items.len() <= 7, "{}", items.len());
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, records.iter().map(|record| record.id.clone()).collect::<Vec<_>>());
}

#[test]
fn a_negative_amount_is_refused_and_nothing_is_stored() {
    let consortium = Consortium::new();
    let node = consortium.start();
    let refused: Vec<_> = samples()
        .into_iter()
        .filter(|sample| sample.refused.as_deref() == Some("amount_negative"))
        .collect();
    assert!(!refused.is_empty());
    for sample in refused {
        // The node is asked to sign it: a member's own tools would refuse before.
        let line = serde_json::json!({ "signer": sample.signer, "record": sample.record });
        let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
        let answer = node.post("/v1/records", &headers, line.to_string());
        assert_eq!((answer.status, &*answer.problem()), (422, "amount_negative"));
        assert!(answer.json()["field"].as_str().is_some_and(|field| field.starts_with("data")));
    }
    assert_eq!(node.tree_size(), 0);
}
