use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Api, Mode};

const PATHS: [(&str, &[&str]); 26] = [
    ("/checkpoint", &["get"]),
    ("/healthz", &["get"]),
    ("/metrics", &["get"]),
    ("/readyz", &["get"]),
    ("/tile/{path}", &["get"]),
    ("/v1/blocks", &["get"]),
    ("/v1/blocks/{height}", &["get"]),
    ("/v1/checkpoints", &["get"]),
    ("/v1/claims/{insurer}/{number}", &["get"]),
    ("/v1/consistency", &["get"]),
    ("/v1/contracts/{insurer}/{number}", &["get"]),
    ("/v1/duplicates", &["get"]),
    ("/v1/events", &["get"]),
    ("/v1/evidence", &["get"]),
    ("/v1/exceptions", &["get"]),
    ("/v1/genesis", &["get"]),
    ("/v1/members", &["get"]),
    ("/v1/policy", &["get"]),
    ("/v1/records", &["get", "post"]),
    ("/v1/records/batch", &["post"]),
    ("/v1/records/{id}", &["get"]),
    ("/v1/records/{id}/receipt", &["get"]),
    ("/v1/statements", &["get"]),
    ("/v1/status", &["get"]),
    ("/v1/vault/{id}", &["delete", "get", "put"]),
    ("/v1/verify", &["post"]),
];

async fn document(api: &Api) -> Value {
    let answer = api.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

#[tokio::test]
async fn the_document_lists_every_route_and_every_route_is_there() {
    let api = Api::filled(1, 1);
    let document = document(&api).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let found: BTreeSet<(String, Vec<String>)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let mut methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
            methods.sort();
            (path.clone(), methods)
        })
        .collect();
    let expected = PATHS
        .iter()
        .map(|(path, methods)| {
            ((*path).to_owned(), methods.iter().map(|method| (*method).to_owned()).collect())
        })
        .collect();
    assert_eq!(found, expected);
    for (path, methods) in PATHS {
        // An address that exists answers 405 to what it does not take, and says what it does.
        let path =
            path.replace("{path}", "0/000.p/1").replace("{height}", "1").replace("{id}", "x");
        let request = axum::http::Request::patch(&path).body(axum::body::Body::empty()).unwrap();
        let answer = api.ask(request).await;
        answer.assert_problem(405, "method_not_allowed");
        for method in methods {
            assert!(answer.header("allow").contains(&method.to_uppercase()), "{path}");
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_operation_is_told_apart() {
    let api = Api::new(Mode::Commit);
    let document = document(&api).await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference inside the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} stands twice");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')));
            for name in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = name.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().unwrap();
                let parameter = parameters.iter().find(|one| one["name"] == name).unwrap();
                assert_eq!(
                    (&parameter["in"], &parameter["required"]),
                    (&"path".into(), &true.into())
                );
            }
        }
    }
    let problem = &document["components"]["schemas"]["Problem"]["properties"];
    for field in ["type", "title", "status", "code", "detail", "field"] {
        assert!(problem.get(field).is_some(), "{field}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_to_try_it_is_served_from_here_alone() {
    let api = Api::new(Mode::Commit);
    assert!(api.get("/docs").await.status.is_redirection());
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"));
    assert!(!page.text().contains("https://"));
    assert!(page.header("content-security-policy").contains("script-src 'self'"));
    assert_eq!(api.get("/docs/swagger-ui-bundle.js").await.status, 200);
    let initializer = api.get("/docs/swagger-initializer.js").await;
    assert!(initializer.text().contains("/openapi.json"));
}
