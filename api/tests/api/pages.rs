use serde_json::json;

use crate::harness::{Answer, Api, Mode, quote, sign_as};

#[track_caller]
fn assert_page(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("text/html"));
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.text().contains("<script"));
    answer.text()
}

#[tokio::test]
async fn the_first_page_shows_head_and_latest_records() {
    let api = Api::new(Mode::Commit);
    assert!(assert_page(&api.get("/").await).contains("There is no record yet"));
    let api = Api::filled(3, 10);
    let answer = api.get("/").await;
    let text = assert_page(&answer);
    assert!(text.contains(&format!("/records/{}", quote(29).id())));
    assert!(!text.contains(&quote(14).id().to_string()), "only the latest");
    let newest = text.find(&quote(29).id().to_string()).unwrap();
    assert!(newest < text.find(&quote(28).id().to_string()).unwrap(), "newest first");
    assert_eq!(api.get("/style.css").await.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn lists_go_from_the_newest_back_and_reach_the_oldest() {
    let api = Api::filled(3, 50);
    for (query, expected) in
        [("", (0..150).rev().collect::<Vec<u64>>()), ("signer=broker", (0..150).rev().collect())]
    {
        let (mut seen, mut path) = (Vec::new(), format!("/records?{query}"));
        loop {
            let answer = api.get(&path).await;
            let text = assert_page(&answer);
            seen.extend(text.split("<td class=\"number\">").skip(1).filter_map(|cell| {
                cell.split_once("</td>").and_then(|(number, _)| number.parse::<u64>().ok())
            }));
            let Some((_, rest)) = text.split_once("rel=\"next\" href=\"") else { break };
            path = rest.split_once('"').unwrap().0.replace("&#38;", "&");
        }
        assert_eq!(seen, expected, "{query}");
    }
    let answer = api.get("/records?contract=insurer/C-7").await;
    assert_eq!(assert_page(&answer).matches("contract.quoted</a>").count(), 15);
    let answer = api.get("/records?contract=nonsense").await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn search_finds_ids_contracts_and_claims() {
    let api = Api::filled(1, 3);
    let opened = sign_as(
        "insurer",
        json!({
            "type": "claim.opened", "occurred_at": "2026-01-01T00:00:00Z",
            "contract": "insurer/C-1", "claim": "insurer/S 1&2",
            "data": {"channel": "portal", "attached": ["care_sheet", "invoice"]},
        }),
    )
    .unwrap();
    let issued = sign_as(
        "insurer",
        json!({
            "type": "contract.issued", "occurred_at": "2026-01-01T00:00:00Z",
            "contract": "insurer/C-1",
            "data": {
                "version": 1, "line_of_business": "motor", "signature_required": false,
                "period": {"from": "2025-12-01", "to": "2026-11-30"},
            },
        }),
    )
    .unwrap();
    assert_eq!(api.append(&issued).await.status, 201);
    assert_eq!(api.append(&opened).await.status, 201);
    let id = quote(1).id();
    for (text, target) in [
        (id.to_string(), format!("/records/{id}")),
        // What a list shows of an id, with its ellipsis.
        (id.to_string().chars().take(16).collect(), format!("/records/{id}")),
        (format!("{:.16}%E2%80%A6", id.to_string()), format!("/records/{id}")),
        (id.to_string().to_uppercase(), format!("/records/{id}")),
        ("insurer/C-1".to_owned(), "/records?contract=insurer%2FC-1".to_owned()),
        ("insurer%2FS+1%262".to_owned(), "/records?claim=insurer%2FS%201%262".to_owned()),
    ] {
        let answer = api.get(&format!("/search?q={text}")).await;
        assert_eq!(answer.header("location"), target);
    }
    assert_eq!(api.get("/search?q=0000000000000000").await.status, 404);
    let answer = api.get("/search?q=hello").await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn nothing_that_a_record_says_becomes_part_of_the_page() {
    let api = Api::new(Mode::Commit);
    let attack = "\"><img src=x onerror=alert(1)>&";
    let record = sign_as(
        "broker",
        json!({
            "type": "contract.quoted", "occurred_at": "2026-01-01T00:00:00Z",
            "contract": format!("insurer/{attack}"), "data": {"quote": attack},
        }),
    )
    .unwrap();
    assert_eq!(api.append(&record).await.status, 201);
    for path in ["/".to_owned(), "/records".to_owned(), format!("/records/{}", record.id())] {
        let answer = api.get(&path).await;
        let text = assert_page(&answer);
        assert!(text.contains("onerror"), "the text itself is shown");
        assert!(!text.contains("<img"), "{path}");
        assert!(!text.contains("The <broker>"), "{path}");
    }
    let answer = api.get("/search?q=%22%3E%3Cimg%3E").await;
    assert!(!answer.text().contains("<img"));
}

#[tokio::test]
async fn one_record_shows_what_it_says_and_its_proof() {
    let api = Api::filled(2, 4);
    let answer = api.get(&format!("/records/{}", quote(5).id())).await;
    let text = assert_page(&answer);
    for part in [
        "contract.quoted",
        "Q-5",
        "insurer/C-5",
        "broker#1",
        "/blocks/2",
        "/receipt",
        "1 Jan 2026, 00:00:00 UTC",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let block = api.get("/blocks/2").await;
    assert!(assert_page(&block).contains(&quote(5).id().to_string()));
    assert_eq!(api.get("/blocks/9").await.status, 404);
    assert_eq!(api.get(&format!("/records/{}", "0".repeat(64))).await.status, 404);

    let pending = Api::new(Mode::Hold);
    pending.post("/v1/records", "application/jose", quote(1).jws().to_vec()).await;
    let answer = pending.get(&format!("/records/{}", quote(1).id())).await;
    assert!(assert_page(&answer).contains("pending"));
}

#[tokio::test]
async fn the_form_takes_a_file_or_what_was_pasted() {
    let api = Api::filled(1, 3);
    assert_page(&api.get("/verify").await);
    let receipt = api.get(&format!("/v1/records/{}/receipt", quote(1).id())).await;
    let receipt = receipt.text();
    let form = |file: &str, text: &str| {
        format!(
            "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"r\"\r\n\r\n{file}\r\n\
             --b\r\ncontent-disposition: form-data; name=\"receipt\"\r\n\r\n{text}\r\n--b--\r\n"
        )
    };
    let pasted = receipt.trim_end().replace('\n', "\r\n");
    for (file, text, verdict) in [
        (receipt, "", "Valid"),
        ("", pasted.as_str(), "Valid"),
        (receipt, "ignored", "Valid"),
        ("nonsense", "", "Not valid"),
        ("", "", "Not valid"),
    ] {
        let answer = api.post("/verify", "multipart/form-data; boundary=b", form(file, text)).await;
        let page = assert_page(&answer);
        assert!(page.contains(&format!("<h2 id=\"verdict\">{verdict}</h2>")), "{page}");
        assert!(page.contains("record_signature"));
    }
    let answer = api
        .post("/verify", "multipart/form-data; boundary=b", form(&"a".repeat(600_000), ""))
        .await;
    assert_eq!(answer.status, 413);
    assert_eq!(api.post("/verify", "text/plain", "x").await.status, 415);
}

#[tokio::test]
async fn every_code_is_explained() {
    let api = Api::new(Mode::Commit);
    let answer = api.get("/docs/problems").await;
    let text = assert_page(&answer);
    for code in ["malformed", "amount_negative", "unsigned_not_allowed", "busy"] {
        assert!(text.contains(&format!("<tr id=\"{code}\">")), "{code}");
    }
}
