//! Records are found by what they are about.

use super::*;

#[test]
fn queries_combine_filters_and_page_without_gaps() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    ledger.fill(&store, 0, 5, 20);
    let filter = Filter {
        contract: Some("insurer/C-3".parse().unwrap()),
        signer: Some("broker".parse().unwrap()),
        record_type: Some("contract.quoted".parse().unwrap()),
        ..Filter::default()
    };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.query(&filter, after, 3).unwrap();
        found.extend(page.entries.iter().map(|entry| entry.index));
        assert!(page.entries.len() <= 3);
        match page.next_after {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, (0..10).map(|tens| tens * 10 + 3).collect::<Vec<_>>());
    let nobody = Filter { signer: Some("provider".parse().unwrap()), ..Filter::default() };
    assert!(store.query(&nobody, None, 10).unwrap().entries.is_empty());
    let page = store.query(&Filter::default(), Some(95), 100).unwrap();
    assert_eq!(page.entries.len(), 4);
}

#[test]
fn corrections_point_to_the_newest() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    let wrong = ledger.quote(0);
    let correct = |wrong: &Record, premium: u64| {
        ledger.sign(
            "broker",
            serde_json::json!({
                "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z",
                "contract": "insurer/C-0", "corrects": wrong.id(),
                "data": { "quote": "Q-0", "premium": premium, "currency": "EUR" },
            }),
        )
    };
    ledger.commit(&store, vec![wrong.clone()]);
    assert_eq!(store.correction_of(&wrong.id()).unwrap(), None);
    let first = correct(&wrong, 100);
    ledger.commit(&store, vec![first.clone()]);
    assert_eq!(store.correction_of(&wrong.id()).unwrap(), Some(first.id()));
    let second = correct(&first, 200);
    ledger.commit(&store, vec![second.clone()]);
    for older in [&wrong, &first] {
        assert_eq!(store.correction_of(&older.id()).unwrap(), Some(second.id()));
    }
    assert_eq!(store.correction_of(&second.id()).unwrap(), None);
}

#[test]
fn a_search_that_finds_nothing_ends_and_goes_on_where_it_was() {
    let ledger = Ledger::new("test.example/store");
    let folder = tempfile::tempdir().unwrap();
    let store = ledger.open(folder.path()).unwrap();
    // A signer and a type that never meet, each on every other record.
    let size = 4000_u64;
    let other = |number: u64| {
        ledger.sign(
            "insurer",
            serde_json::json!({
                "type": "alert.raised", "occurred_at": "2026-01-01T00:00:00Z",
                "data": { "alert": format!("A-{number}"), "basis": "chance" },
            }),
        )
    };
    for part in 0..size / 1000 {
        let from = part * 1000;
        let records = (from..from + 1000)
            .map(|number| if number % 2 == 0 { ledger.quote(number) } else { other(number) })
            .collect();
        ledger.commit(&store, records);
    }
    let filter = Filter {
        signer: Some("broker".parse().unwrap()),
        family: Some(crate::insurance::Family::Settlement),
        ..Filter::default()
    };
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = store.query(&filter, after, 10).unwrap();
        assert!(page.entries.is_empty());
        pages += 1;
        let Some(next) = page.next_after else { break };
        assert!(after.is_none_or(|after| next > after), "no headway at {next}");
        after = Some(next);
    }
    assert!(pages > 1, "one page looked at everything");
}
