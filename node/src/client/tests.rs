#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;

use super::*;

fn client(url: &str, tries: u32) -> Client {
    Client::new(url, None, Patience { tries }).unwrap()
}

#[test]
fn a_busy_node_is_asked_again_and_one_that_stays_busy_is_told() {
    let mut asked = 0;
    let url = scripted::serve(move |_| {
        asked += 1;
        match asked {
            1 | 2 => {
                ("503 Busy\r\nretry-after: 0", r#"{"code":"busy","detail":"wait"}"#.to_owned())
            }
            _ => ("200 OK", r#"{"blocks":[],"next":null}"#.to_owned()),
        }
    });
    let error = client(&url, 2).blocks(0).unwrap_err();
    assert_eq!(error.problem().unwrap().code, "busy");
    assert!(client(&url, 1).blocks(0).unwrap().is_empty());
}

#[test]
fn nobody_there_is_said_in_a_sentence() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = client(&format!("http://127.0.0.1:{port}"), 2).status().unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("is a node running there?"), "{error}");
}

#[test]
fn answers_are_read_up_to_a_bound() {
    let url = scripted::serve(|_| ("200 OK", "x".repeat(RECEIPT_BYTES_MAX + 1)));
    let error = client(&url, 3).receipt(&RecordId::of(b"")).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn what_is_no_node_is_noticed() {
    let url = scripted::serve(|_| ("200 OK", "<html>".to_owned()));
    assert!(matches!(client(&url, 1).status(), Err(ClientError::Answer { .. })));
    for wrong in ["", "localhost:8080", "ftp://a", "http://", "http://a/?b"] {
        assert!(
            matches!(Client::new(wrong, None, Patience::NONE), Err(ClientError::Url(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_record_is_sent_as_what_it_is_and_a_refusal_is_an_answer() {
    let url = scripted::serve(|request| {
        assert!(request.line.starts_with("POST /v1/records "), "{}", request.line);
        assert!(request.headers.contains(&"prefer: wait=5".to_owned()));
        if request.headers.contains(&"content-type: application/jose".to_owned()) {
            let id = RecordId::of(request.body.as_bytes());
            ("201 Created", format!(r#"{{"id":"{id}","index":7,"height":2,"status":"final"}}"#))
        } else {
            (
                "422 Refused",
                r#"{"status":422,"code":"amount_negative","field":"data.claimed","detail":"no"}"#
                    .to_owned(),
            )
        }
    });
    let client = client(&url, 1);
    let wait = Duration::from_secs(5);
    let answer = client.append(&Outgoing::Signed("a.b.c".to_owned()), wait).unwrap();
    assert_eq!((answer.status, answer.index), (201, Some(7)));
    let answer = client.append(&Outgoing::Unsigned("{}".to_owned()), wait).unwrap();
    assert_eq!((answer.status, answer.code.as_deref()), (422, Some("amount_negative")));
}

#[test]
fn a_token_is_shown_with_every_request_and_to_no_other_machine_in_the_clear() {
    let token = Token::from_secret(&[1; 32]);
    let expected = format!("authorization: bearer {}", token.expose().to_lowercase());
    let url = scripted::serve(move |request| {
        assert!(request.headers.contains(&expected), "{:?}", request.headers);
        let detail = r#"{"status":403,"code":"insufficient_scope","detail":"no"}"#;
        ("403 Forbidden", detail.to_owned())
    });
    let showing = client(&url, 1).with_token(&token).unwrap();
    assert!(!format!("{showing:?}").contains("qt_"));
    let error = showing.blocks(0).unwrap_err();
    assert_eq!(error.problem().unwrap().code, "insufficient_scope");
    // What is wrong with the token is no refusal of the record.
    let record = Outgoing::Unsigned("{}".to_owned());
    let error = showing.append(&record, Duration::ZERO).unwrap_err();
    assert_eq!(error.problem().unwrap().code, "insufficient_scope");

    for url in ["http://192.0.2.1:8080", "http://ledger.example"] {
        let error = client(url, 1).with_token(&token).unwrap_err();
        assert!(matches!(error, ClientError::TokenInClear(_)), "{url}: {error}");
    }
    for url in ["https://ledger.example", "http://localhost:1", "http://[::1]:1"] {
        assert!(client(url, 1).with_token(&token).is_ok(), "{url}");
    }
}

#[test]
fn what_may_be_private_goes_to_no_other_machine_in_the_clear() {
    let is_refused =
        |result: Result<(), ClientError>| matches!(result, Err(ClientError::PrivateInClear(_)));
    // Nobody listens there: what is not refused cannot be sent either.
    let send = |url: &str| {
        let client = client(url, 1);
        let unsigned = Outgoing::Unsigned(r#"{"name":"Anna Rossi"}"#.to_owned());
        let signed = Outgoing::Signed("a.b.c".to_owned());
        let batch = [signed.clone(), unsigned.clone()];
        [
            is_refused(client.append(&unsigned, Duration::ZERO).map(drop)),
            is_refused(client.append_batch(&batch, Duration::ZERO).map(drop)),
            is_refused(client.put_private(&RecordId::of(b""), "a.b.c~d~").map(drop)),
            is_refused(client.append(&signed, Duration::ZERO).map(drop)),
            is_refused(client.append_batch(&batch[..1], Duration::ZERO).map(drop)),
        ]
    };
    // A name below .invalid leads nowhere (RFC 6761, section 6.4).
    assert_eq!(send("http://node.invalid"), [true, true, true, false, false]);
    for url in ["https://node.invalid", "http://127.0.0.1:1", "http://localhost:1"] {
        assert_eq!(send(url), [false; 5], "{url}");
    }
}

#[test]
fn answers_to_another_number_of_records_are_not_believed() {
    let url = scripted::serve(|_| ("200 OK", "{\"line\":1,\"status\":201}\n".to_owned()));
    let records = ["a", "b"].map(|text| Outgoing::Signed(text.to_owned()));
    let error = client(&url, 1).append_batch(&records, Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("1 answers to 2 records"), "{error}");
}

#[test]
fn a_problem_names_its_field_once() {
    let problem = |detail: &str| Problem {
        status: 400,
        code: "bad_query".to_owned(),
        field: Some("at".to_owned()),
        detail: detail.to_owned(),
    };
    let at = problem("at: the ledger has 5 blocks, not 9");
    assert_eq!(at.to_string(), "400 bad_query: at: the ledger has 5 blocks, not 9");
    assert_eq!(problem("is wrong").to_string(), "400 bad_query (at): is wrong");
}
