use axum::{body::Body, http::Request};
use quittance_api::{ApiConfig, Limits};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Mode, sign_as};

/// Contract, hold, claim, decision and payment, each in a block of its own.
async fn with_claim(number: &str) -> Api {
    with_claim_and(number, ApiConfig::default()).await
}

async fn with_claim_and(number: &str, config: ApiConfig) -> Api {
    let api = Api::with(Mode::Commit, config);
    let contract = format!("insurer/{number}");
    let issued = json!({
        "type": "contract.issued", "occurred_at": "2025-01-01T00:00:00+01:00",
        "contract": contract, "data": {"version": 1, "line_of_business": "pet_health",
        "period": {"from": "2025-01-01", "to": "2025-12-31"}, "annual_ceiling": 150_000,
        "currency": "EUR", "signature_required": false}});
    let requested = json!({
        "type": "preauthorisation.requested", "occurred_at": "2025-05-06T09:00:00+02:00",
        "contract": contract, "data": {"preauthorisation": "PA-1",
        "lines": [{"code": "x", "amount": 24_000}], "currency": "EUR"}});
    let answered = json!({
        "type": "preauthorisation.answered", "occurred_at": "2025-05-06T09:00:05+02:00",
        "contract": contract, "data": {"preauthorisation": "PA-1", "guaranteed": 24_000,
        "hold_until": "2025-05-07T09:00:05+02:00", "customer_share": 0, "currency": "EUR"}});
    let opened = json!({
        "type": "claim.opened", "occurred_at": "2025-05-06T17:10:00+02:00", "contract": contract,
        "claim": "insurer/C 1", "data": {"channel": "vet_system", "preauthorisation": "PA-1",
        "attached": [], "claimed": 24_000, "currency": "EUR"}});
    let decided = json!({
        "type": "claim.decided", "occurred_at": "2025-05-06T17:10:02+02:00",
        "contract": contract, "claim": "insurer/C 1",
        "data": {"outcome": "approved", "approved": 24_000, "refused": 0, "currency": "EUR"}});
    let paid = json!({
        "type": "payment.recorded", "occurred_at": "2025-05-06T17:12:00+02:00",
        "contract": contract, "claim": "insurer/C 1",
        "data": {"amount": 24_000, "status": "executed", "payee": "provider", "currency": "EUR"}});
    for (signer, record) in [
        ("insurer", issued),
        ("provider", requested),
        ("insurer", answered),
        ("provider", opened),
        ("insurer", decided),
        ("insurer", paid),
    ] {
        let answer = api.append(&sign_as(signer, record).unwrap()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    api
}

async fn csv(api: &Api, path: &str) -> Answer {
    api.ask(Request::get(path).header("accept", "text/csv").body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_dossier_is_given_now_as_of_a_time_a_day_and_a_height() {
    let api = with_claim("P-1").await;
    let ceiling = async |at: &str| {
        let answer = api.get(&format!("/v1/contracts/insurer/P-1{at}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let ceiling = answer.json()["ceiling"].clone();
        [&ceiling["spent"], &ceiling["held"], &ceiling["left"]].map(|sum| sum.as_u64().unwrap())
    };
    assert_eq!(ceiling("").await, [24_000, 0, 126_000]);
    assert_eq!(ceiling("?at=2025-05-06T09:00:05%2B02:00").await, [0, 24_000, 126_000]);
    assert_eq!(ceiling("?at=2025-05-05").await, [0, 0, 150_000]);
    assert_eq!(ceiling("?at=2025-05-06").await, [24_000, 0, 126_000], "to the end of the day");
    // By height they are judged at the block's time, long after the hold.
    assert_eq!(ceiling("?at=3").await, [0, 0, 150_000]);
    assert_eq!(ceiling("?at=4").await, [24_000, 0, 126_000]);

    let dossier = api.get("/v1/contracts/insurer/P-1").await.json();
    assert_eq!(dossier["contract"], "insurer/P-1");
    assert_eq!(dossier["events"].as_array().unwrap().len(), 6);
    let event = &dossier["events"][0];
    let record =
        api.get(&format!("/v1/records/{}", event["record"].as_str().unwrap())).await.json();
    assert_eq!(record["record"]["type"], event["type"]);
    assert_eq!(event["flags"], json!(["late"]));
}

#[tokio::test]
async fn numbers_of_contracts_hold_any_printable_character() {
    let api = with_claim("RS 77/88.99 ä?").await;
    let answer = api.get("/v1/contracts/insurer/RS%2077%2F88.99%20%C3%A4%3F").await;
    assert_eq!(answer.json()["contract"], "insurer/RS 77/88.99 ä?");
    let claim = api.get("/v1/claims/insurer/C%201").await.json();
    assert_eq!(claim["contract"], "insurer/RS 77/88.99 ä?");
    assert_eq!((&claim["status"], &claim["paid"]), (&json!("paid"), &json!(24_000)));
    assert_eq!(claim["guaranteed"], 24_000);
    let before = api.get("/v1/claims/insurer/C%201?at=4").await.json();
    assert_eq!((&before["status"], &before["paid"]), (&json!("opened"), &json!(0)));
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_asked_is_a_clear_problem() {
    let api = with_claim("P-1").await;
    for path in [
        "/v1/contracts/insurer/P-2",
        "/v1/contracts/insurer/P-1?at=2024-01-01",
        "/v1/claims/insurer/C-2",
        "/v1/claims/insurer/C%201?at=3",
        "/v1/statements?payee=nobody&from=2025-05-01&to=2025-05-31",
    ] {
        api.get(path).await.assert_problem(404, "not_found");
    }
    for path in [
        "/v1/contracts/insurer/P-1?at=yesterday",
        "/v1/contracts/insurer/P-1?at=0",
        "/v1/contracts/insurer/P-1?at=99",
        "/v1/contracts/INSURER/P-1",
        "/v1/contracts/insurer/P-1?when=1",
        "/v1/statements?from=2025-05-01&to=2025-05-31",
        "/v1/statements?payee=provider&from=2025-05-01",
        "/v1/statements?payee=provider&from=2025-05-02&to=2025-05-01",
        "/v1/statements?payee=provider&from=2025-02-30&to=2025-05-01",
        "/v1/exceptions?kind=strange",
        "/v1/exceptions?limit=0",
        "/v1/exceptions?from=soon",
    ] {
        api.get(path).await.assert_problem(400, "bad_query");
    }
}

#[tokio::test]
async fn a_statement_counts_what_was_paid_and_what_is_open() {
    let api = with_claim("P-1").await;
    let statement = async |query: &str| -> Value {
        api.get(&format!("/v1/statements?payee=provider&{query}")).await.json()
    };
    let may = statement("from=2025-05-01&to=2025-05-31").await;
    assert_eq!((&may["paid_count"], &may["open_count"]), (&json!(1), &json!(0)));
    assert_eq!(may["totals"][0]["paid_sum"], 24_000);
    assert_eq!(may["payments"][0]["day"], "2025-05-06");
    let june = statement("from=2025-06-01&to=2025-06-30").await;
    assert_eq!((&june["paid_count"], &june["open_count"]), (&json!(0), &json!(0)));
    let height = statement("from=2025-05-01&to=2025-05-31&at=5").await;
    assert_eq!((&height["paid_count"], &height["open_count"]), (&json!(0), &json!(1)));
    assert_eq!(height["open"][0]["open"], 24_000);
    for (query, count) in [
        ("contract=insurer/P-1", 1),
        ("contract=insurer/P-2", 0),
        ("insurer=insurer", 1),
        ("insurer=other", 0),
    ] {
        let found = statement(&format!("from=2025-05-01&to=2025-05-31&{query}")).await;
        assert_eq!(found["paid_count"], count, "{query}");
    }

    // Corrected to another payee, it is in that one's statement and no longer in this one's.
    let id = may["payments"][0]["record"].as_str().unwrap();
    let corrected = json!({
        "type": "payment.recorded", "occurred_at": "2025-05-06T17:12:00+02:00", "corrects": id,
        "contract": "insurer/P-1", "claim": "insurer/C 1",
        "data": {"amount": 24_000, "status": "executed", "payee": "policyholder", "currency": "EUR"}});
    assert_eq!(api.append(&sign_as("insurer", corrected).unwrap()).await.status, 201);
    assert_eq!(statement("from=2025-05-01&to=2025-05-31").await["paid_count"], 0);
    let theirs = api.get("/v1/statements?payee=policyholder&from=2025-05-01&to=2025-05-31").await;
    assert_eq!(theirs.json()["totals"][0]["paid_sum"], 24_000);
}

#[tokio::test]
async fn a_payment_corrected_again_and_again_stands_in_one_statement_once() {
    let api = with_claim("P-1").await;
    let may = "from=2025-05-01&to=2025-05-31";
    let count = async |payee: &str, at: &str| -> i64 {
        let answer = api.get(&format!("/v1/statements?payee={payee}&{may}{at}")).await;
        answer.json()["paid_count"].as_i64().unwrap_or_else(|| panic!("{}", answer.text()))
    };
    let first = api.get(&format!("/v1/statements?payee=provider&{may}")).await.json();
    let mut newest = first["payments"][0]["record"].as_str().unwrap().to_owned();
    // Away from the first payee, and no correction that follows names it.
    for number in 0..12 {
        let payee = ["policyholder", "broker", "policyholder"][number % 3];
        let corrected = sign_as(
            "insurer",
            json!({
                "type": "payment.recorded", "occurred_at": "2025-05-06T17:12:00+02:00",
                "corrects": newest, "contract": "insurer/P-1", "claim": "insurer/C 1",
                "data": {"amount": 24_000, "status": "executed", "payee": payee, "currency": "EUR"}}),
        )
        .unwrap();
        assert_eq!(api.append(&corrected).await.status, 201);
        newest = corrected.id().to_string();
        let counts = [
            count("provider", "").await,
            count("policyholder", "").await,
            count("broker", "").await,
        ];
        assert_eq!(counts.iter().sum::<i64>(), 1, "after {number}: {counts:?}");
        assert_eq!(count(payee, "").await, 1, "after {number}");
    }
    // As the ledger held it before the first of them, and after the second.
    assert_eq!((count("provider", "&at=6").await, count("broker", "&at=6").await), (1, 0));
    assert_eq!((count("policyholder", "&at=8").await, count("broker", "&at=8").await), (0, 1));
}

#[tokio::test]
async fn a_statement_of_too_many_records_gives_the_same_figures_without_its_lines() {
    let with_max = async |view_records_max| {
        let limits = Limits { view_records_max, ..Limits::default() };
        let api = with_claim_and("P-1", ApiConfig { limits, ..ApiConfig::default() }).await;
        let mut open = json!({
            "type": "claim.opened", "occurred_at": "2025-05-07T10:00:00+02:00",
            "contract": "insurer/P-1", "claim": "insurer/C 2",
            "data": {"channel": "vet_system", "attached": [], "claimed": 50, "currency": "EUR"}});
        for claim in ["insurer/C 2", "insurer/C 3"] {
            open["claim"] = claim.into();
            assert_eq!(api.append(&sign_as("provider", open.clone()).unwrap()).await.status, 201);
        }
        let returned = json!({
            "type": "payment.recorded", "occurred_at": "2025-06-02T09:00:00+02:00",
            "contract": "insurer/P-1", "claim": "insurer/C 1",
            "data": {"amount": 4_000, "status": "returned", "payee": "provider",
                "currency": "EUR"}});
        assert_eq!(api.append(&sign_as("insurer", returned).unwrap()).await.status, 201);
        api
    };
    let (whole, figures) = (with_max(20_000).await, with_max(3).await);
    for query in [
        "payee=provider&from=2025-05-01&to=2025-05-31",
        "payee=provider&from=2025-05-06&to=2025-05-06",
        "payee=provider&from=2025-05-07&to=2025-06-01",
        "payee=provider&from=2024-01-01&to=2026-12-31",
        "payee=provider&from=2025-05-01&to=2025-05-31&insurer=insurer",
        "payee=provider&from=2025-05-01&to=2025-06-30&contract=insurer/P-1",
    ] {
        let path = format!("/v1/statements?{query}");
        let (listed, summed) = (whole.get(&path).await.json(), figures.get(&path).await.json());
        assert_eq!((&listed["lines"], &summed["lines"]), (&json!("listed"), &json!("too_many")));
        for figure in ["payee", "from", "to", "paid_count", "open_count", "insurer", "contract"] {
            assert_eq!(listed[figure], summed[figure], "{figure}: {query}");
        }
        let paid = |statement: &Value| -> Vec<Value> {
            let totals = statement["totals"].as_array().unwrap().iter();
            let paid = totals.filter(|total| total["paid_sum"] != 0);
            paid.map(|it| json!([it["currency"], it["paid_count"], it["paid_sum"]])).collect()
        };
        assert_eq!(paid(&listed), paid(&summed), "{query}");
        assert_eq!((&summed["payments"], &summed["open"]), (&json!([]), &json!([])));
    }
    // Nothing of the past is kept, and a table is nothing but lines.
    let path = "/v1/statements?payee=provider&from=2025-05-01&to=2025-05-31";
    figures.get(&format!("{path}&at=9")).await.assert_problem(422, "too_many");
    csv(&figures, path).await.assert_problem(422, "too_many");
    let none =
        figures.get("/v1/statements?payee=broker&from=2025-05-01&to=2025-05-31").await.json();
    assert_eq!((&none["lines"], &none["paid_count"]), (&json!("listed"), &json!(0)));
}

#[tokio::test]
async fn what_exceptions_are_made_of_counts_against_the_memory_for_answers() {
    let limits = Limits { response_bytes_max: 1 << 20, ..Limits::default() };
    let api = with_claim_and("P-1", ApiConfig { limits, ..ApiConfig::default() }).await;
    assert_eq!(api.get("/v1/exceptions").await.status, 200);
    // One that is larger than all there is counts as all there is, beside which
    // nothing else fits.
    let documents: Vec<_> = (0..64)
        .map(|number| {
            json!({"kind": "proof", "media_type": "application/pdf", "size": 4,
                "commitment": format!("{number:064x}")})
        })
        .collect();
    for number in 0..24 {
        let updated = json!({
            "type": "party.updated", "occurred_at": "2025-05-06T17:12:00+02:00",
            "contract": "insurer/P-1", "documents": documents,
            "data": {"what": "bank", "effective": "2025-05-06", "confirmed": number % 2 == 0}});
        assert_eq!(api.append(&sign_as("insurer", updated).unwrap()).await.status, 201);
    }
    // The dossier takes all there is, so pages end before it and after it.
    let (mut seen, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = api.get(&format!("/v1/exceptions?limit=1000{after}")).await.json();
        let found = page["exceptions"].as_array().unwrap_or_else(|| panic!("{page}"));
        seen.extend(found.iter().map(|found| found["index"].as_u64().unwrap()));
        pages += 1;
        assert!(pages < 20, "no headway");
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert!(pages > 1);
}

#[tokio::test]
async fn exceptions_are_paged_without_gaps_and_found_by_kind() {
    let api = with_claim("P-1").await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    for _ in 0..20 {
        let page = api.get(&format!("/v1/exceptions?limit=1{after}")).await.json();
        for found in page["exceptions"].as_array().unwrap() {
            seen.push((
                found["index"].as_u64().unwrap(),
                found["kind"].as_str().unwrap().to_owned(),
            ));
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    // All were recorded long after they happened.
    let expected: Vec<_> = (0..6).map(|index| (index, "late".to_owned())).collect();
    assert_eq!(seen, expected);
    let none = api.get("/v1/exceptions?kind=hold_expired").await.json();
    assert_eq!(none["exceptions"], json!([]));
    // By block time, which is that of 2026.
    let count = async |query: &str| {
        let page = api.get(&format!("/v1/exceptions?{query}")).await.json();
        page["exceptions"].as_array().unwrap().len()
    };
    assert_eq!(count("from=2026-01-01&to=2026-01-01").await, 6);
    assert_eq!(count("to=2025-12-31").await, 0);
    assert_eq!(count("from=2026-01-02").await, 0);
    // Blocks are a millisecond apart.
    assert_eq!(count("from=2026-01-01T00:00:00.003Z&to=2026-01-01T00:00:00.004Z").await, 2);
}

#[tokio::test]
async fn tables_are_given_as_csv() {
    let api = with_claim("P-1").await;
    let events = csv(&api, "/v1/contracts/insurer/P-1").await;
    assert_eq!(events.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(events.header("vary"), "accept");
    assert_eq!(events.text().lines().count(), 7);
    assert!(events.text().starts_with("index,height,block_time,occurred_at,type,signer,"));
    let statement = csv(&api, "/v1/statements?payee=provider&from=2025-05-01&to=2025-05-31").await;
    let line = statement.text().lines().nth(1).unwrap();
    assert!(line.starts_with("payment,2025-05-06,"), "{line}");
    assert!(line.contains(",executed,24000,240.00,EUR,late,"), "{line}");
    let exceptions = csv(&api, "/v1/exceptions?limit=2").await;
    assert_eq!(exceptions.text().lines().count(), 3);
    assert_eq!(exceptions.header("link"), "</v1/exceptions?limit=2&after=1>; rel=\"next\"");
}

#[tokio::test]
async fn the_events_of_a_claim_are_a_table_too() {
    let api = with_claim("P-1").await;
    let events = csv(&api, "/v1/claims/insurer/C%201").await;
    assert_eq!(events.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(events.text().lines().count(), 4, "{}", events.text());
    assert!(events.text().starts_with("index,height,block_time,occurred_at,type,signer,"));
    assert_eq!(csv(&api, "/v1/claims/insurer/C%201?at=4").await.text().lines().count(), 2);
}

/// Three contracts with the same invoice, each in a block of its own.
async fn with_duplicates() -> Api {
    let api = Api::new(Mode::Commit);
    for number in 1..=3 {
        let issued = json!({
            "type": "contract.issued", "occurred_at": format!("2025-0{number}-01T00:00:00+01:00"),
            "contract": format!("insurer/P-{number}"),
            "data": {"version": 1, "line_of_business": "household", "signature_required": false,
                "period": {"from": "2025-01-01", "to": "2025-12-31"}},
            "documents": [{"kind": "invoice", "media_type": "application/pdf", "size": 4,
                "commitment": format!("{number:064x}"), "match": "ab".repeat(32)}]});
        assert_eq!(api.append(&sign_as("insurer", issued).unwrap()).await.status, 201);
    }
    api
}

#[tokio::test]
async fn duplicates_are_those_of_the_moment_that_is_asked_for() {
    let api = with_duplicates().await;
    let found = async |at: &str| -> Vec<(Value, usize)> {
        let answer = api.get(&format!("/v1/duplicates{at}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = answer.json();
        assert_eq!(found["next"], Value::Null, "{at}: {found}");
        let found = found["duplicates"].as_array().unwrap().iter();
        found
            .map(|one| (one["later"]["index"].clone(), one["earlier"].as_array().unwrap().len()))
            .collect()
    };
    let all = [(json!(1), 1), (json!(2), 2)];
    assert_eq!(found("").await, all);
    for (at, count) in [("1", 0), ("2", 1), ("3", 2)] {
        assert_eq!(found(&format!("?at={at}")).await, all[..count], "{at}");
    }
    // By the time at which they happened.
    for (at, count) in [
        ("2025-01-30", 0),
        ("2025-01-31", 1),
        ("2025-02-01T00:00:00%2B01:00", 1),
        ("2025-01-31T23:59:59%2B01:00", 0),
        ("2025-03-01", 2),
    ] {
        assert_eq!(found(&format!("?at={at}")).await, all[..count], "{at}");
    }
    api.get("/v1/duplicates?at=4").await.assert_problem(400, "bad_query");
    let page = api.get("/v1/duplicates?limit=1").await.json();
    assert_eq!(page["next"], "1", "{page}");
    let page = api.get("/v1/duplicates?limit=1&at=2").await.json();
    assert_eq!(page["next"], Value::Null, "nothing that counts comes after it");
}

#[tokio::test]
async fn duplicates_are_a_table_with_a_row_for_each_use() {
    let api = with_duplicates().await;
    let table = csv(&api, "/v1/duplicates").await;
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
    let rows: Vec<_> = table.text().lines().collect();
    assert_eq!(rows.len(), 6, "{}", table.text());
    assert!(rows[0].starts_with("match,duplicate,use,index,height,"), "{}", rows[0]);
    for (row, (place, index)) in
        rows[1..].iter().zip([("later", 1), ("earlier", 0), ("later", 2), ("earlier", 0)])
    {
        assert!(row.contains(&format!(",{place},{index},")), "{row}");
    }
    let first = csv(&api, "/v1/duplicates?limit=1").await;
    assert_eq!(first.text().lines().count(), 3);
    assert_eq!(first.header("link"), "</v1/duplicates?limit=1&after=1>; rel=\"next\"");
}

#[tokio::test]
async fn a_claim_that_names_no_amount_claims_what_is_held() {
    let api = with_claim("P-1").await;
    for (record, signer) in [
        (
            json!({
                "type": "preauthorisation.requested", "occurred_at": "2025-05-08T09:00:00+02:00",
                "contract": "insurer/P-1", "data": {"preauthorisation": "PA-2",
                "lines": [{"code": "x", "amount": 10_000}], "currency": "EUR"}}),
            "provider",
        ),
        (
            json!({
                "type": "preauthorisation.answered", "occurred_at": "2025-05-08T09:00:05+02:00",
                "contract": "insurer/P-1", "data": {"preauthorisation": "PA-2",
                "guaranteed": 10_000, "hold_until": "2025-05-09T09:00:05+02:00",
                "customer_share": 0, "currency": "EUR"}}),
            "insurer",
        ),
        (
            json!({
                "type": "claim.opened", "occurred_at": "2025-05-08T17:10:00+02:00",
                "contract": "insurer/P-1", "claim": "insurer/C 2",
                "data": {"channel": "vet_system", "preauthorisation": "PA-2", "attached": []}}),
            "provider",
        ),
    ] {
        assert_eq!(api.append(&sign_as(signer, record).unwrap()).await.status, 201);
    }
    let claim = api.get("/v1/claims/insurer/C%202").await.json();
    assert_eq!((&claim["claimed"], &claim["currency"]), (&json!(10_000), &json!("EUR")));
    for query in ["", "&insurer=insurer", "&contract=insurer/P-1"] {
        let path = format!("/v1/statements?payee=provider&from=2025-05-01&to=2025-05-31{query}");
        let statement = api.get(&path).await.json();
        assert_eq!(statement["open_count"], 1, "{query}: {statement}");
        assert_eq!(statement["open"][0]["open"], 10_000, "{query}: {statement}");
        assert_eq!(statement["totals"][0]["open_sum"], 10_000, "{query}: {statement}");
    }
}

#[tokio::test]
async fn the_plus_of_an_offset_may_come_as_it_is() {
    let api = with_claim("P-1").await;
    for path in [
        "/v1/contracts/insurer/P-1?at=2025-05-06T09:00:05",
        "/contracts/insurer/P-1?at=2025-05-06T09:00:05",
        "/v1/exceptions?from=2025-05-06T09:00:05",
        "/v1/records?from=2025-05-06T09:00:05",
    ] {
        let encoded = api.get(&format!("{path}%2B02:00")).await;
        let plain = api.get(&format!("{path}+02:00")).await;
        assert_eq!((encoded.status.as_u16(), plain.status.as_u16()), (200, 200), "{path}");
    }
    let path = "/v1/contracts/insurer/P-1?at=2025-05-06T09:00:05";
    let held = api.get(&format!("{path}+02:00")).await.json()["ceiling"]["held"].clone();
    assert_eq!(held, 24_000, "it is the last second before");
    for wrong in ["%2002:0", "%20%2B02:00", "", "%2002:00%20"] {
        api.get(&format!("{path}{wrong}")).await.assert_problem(400, "bad_query");
    }
}

#[tokio::test]
async fn a_sentence_tells_the_time_of_the_contract() {
    let api = with_claim("P-1").await;
    let dossier = api.get("/v1/contracts/insurer/P-1").await.json();
    let sentence = dossier["events"][2]["sentence"].as_str().unwrap();
    assert!(sentence.ends_with("held until 2025-05-07 09:00:05 +02:00"), "{sentence}");
}

#[tokio::test]
async fn the_page_of_a_dossier_shows_its_state_and_no_text_runs() {
    let api = with_claim("<b>1").await;
    let answer = api.get("/contracts/insurer/%3Cb%3E1").await;
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    assert!(!text.contains("<script") && !text.contains("<b>1") && !text.contains("style="));
    assert!(text.contains("in force") && text.contains("240.00"), "{text}");
    let past = api.get("/contracts/insurer/%3Cb%3E1?at=2025-05-06T12:00:00%2B02:00").await;
    assert!(past.text().contains("held"), "{}", past.text());
    assert_eq!(api.get("/contracts/insurer/none").await.status, 404);
}
