//! Receipts: handing them out, and checking those that somebody brings.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quittance_ledger::{
    digest::RecordId,
    record::Record,
    store::StoreError,
    transparency::{Check, RECEIPT_MEDIA_TYPE, Receipt, Verification, verify_bytes},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::records::{FOR_EVER, Found, find, id_of};
use crate::{
    extract::{IdPath, WhichRecord, read_body},
    headers::{content_type, preferred},
    problem::{Kind, Problem, ProblemBody},
    reading::Failed,
    state::{App, Shared},
};

/// A receipt taken apart.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptAnswer {
    /// The record's id.
    #[schema(value_type = String)]
    id: RecordId,
    /// Its place on the ledger, from 0.
    index: u64,
    /// The record's JWS.
    jws: String,
    /// Inclusion proof, each hash in base64, from the leaf's sibling to the
    /// child of the root (RFC 6962, section 2.1.1).
    proof: Vec<String>,
    /// The signed checkpoint, as it stands in the receipt.
    checkpoint: String,
    /// The receipt as a file (C2SP tlog-proof).
    receipt: String,
}

/// The receipt of a record
///
/// A `.tlog-proof` file (C2SP) that verifies offline with the ledger's policy:
/// `quittance verify`. Its bytes never change.
#[utoipa::path(
    get,
    path = "/v1/records/{id}/receipt",
    tag = "prove",
    params(("id" = String, Path, description = "The record's id, 64 hexadecimal digits, or its first 16")),
    responses(
        (status = 200, description = "The receipt", content(
            (String = "text/plain"), (ReceiptAnswer = "application/json")
        )),
        (status = 400, description = "Not an id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Not on the ledger, or not final yet", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_receipt(
    State(app): State<Shared>,
    IdPath(which): IdPath<WhichRecord>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wants_json = preferred(&headers, &["text/plain", "application/json"])
        .is_some_and(|media_type| media_type == "application/json");
    let read = app.read(move |app, _| {
        let id = id_of(app, which)?;
        Ok((id, receipt_of(app, &id)?))
    });
    let (id, receipt) = read.await?;
    let mut response = if wants_json {
        Json(ReceiptAnswer {
            id,
            index: receipt.index,
            jws: String::from_utf8_lossy(&receipt.record).into_owned(),
            proof: receipt.proof.iter().map(|hash| STANDARD.encode(hash.as_bytes())).collect(),
            checkpoint: receipt.checkpoint.to_text(),
            receipt: receipt.to_text(),
        })
        .into_response()
    } else {
        let file = format!("attachment; filename=\"{id}.tlog-proof\"");
        let mut response =
            ([(header::CONTENT_TYPE, RECEIPT_MEDIA_TYPE)], receipt.to_text()).into_response();
        if let Ok(file) = HeaderValue::try_from(file) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Makes the receipt of a record. Reads from the disk.
fn receipt_of(app: &Shared, id: &RecordId) -> Result<Receipt, Failed> {
    let not_final_yet = || {
        let detail = format!("record {id} is durable but not final yet");
        Problem::new(Kind::NotFinalYet, detail).retry_after(app.config.limits.retry_after_s)
    };
    match find(app, id)? {
        Found::Pending(_) => Err(not_final_yet().into()),
        Found::Entry(entry) => Ok(app.store.receipt(entry.index)?.ok_or_else(not_final_yet)?),
    }
}

/// What checking a receipt found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verification)]
pub(crate) struct VerificationBody {
    /// Whether every check came out well.
    valid: bool,
    /// The checks: `format`, `record`, `inclusion`, `log_signature`,
    /// `cosignatures`, `record_signature` and `history`.
    checks: Vec<CheckBody>,
}

/// One thing that was checked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Check)]
pub(crate) struct CheckBody {
    /// What was checked.
    name: String,
    /// Whether it is as it must be.
    ok: bool,
    /// What was found, for people.
    detail: String,
}

/// Verify a receipt
///
/// Checks a receipt against the policy and the members of its time, and
/// against this node's own history. The answer is this node's word only;
/// `quittance verify` does the same offline.
#[utoipa::path(
    post,
    path = "/v1/verify",
    tag = "prove",
    request_body(content = String, content_type = "text/plain", description = "A receipt"),
    responses(
        (status = 200, description = "What was found; `valid` is the verdict", body = VerificationBody),
        (status = 413, description = "Too large for a receipt", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not taken", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn verify_receipt(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Verification>, Problem> {
    match content_type(&headers).as_deref() {
        None | Some("text/plain" | "application/octet-stream") => {}
        Some(other) => {
            let detail = format!("send the receipt with Content-Type: text/plain, not {other}");
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).about("content-type"));
        }
    }
    let limits = &app.config.limits;
    let body = read_body(body, &headers, limits.receipt_body_bytes_max, limits).await?;
    let job_app = Shared::clone(&app);
    let verified = app.verifier.run(move || verify(&job_app, &body)).await?;
    verified.map(Json).map_err(|error| app.store_failed(error))
}

/// Every check that this node can make of a receipt. Reads from the disk.
pub(crate) fn verify(app: &App, bytes: &[u8]) -> Result<Verification, StoreError> {
    const SIGNATURE: &str = "record_signature";
    const HISTORY: &str = "history";

    let Ok(receipt) = Receipt::parse(bytes) else {
        let mut verification = verify_bytes(bytes, &app.membership().policy());
        let names = [SIGNATURE, HISTORY];
        verification.checks.extend(names.map(|name| Check::fail(name, "not checked")));
        return Ok(verification);
    };
    let checkpoint = receipt.checkpoint.checkpoint();
    // Both as of then: validators and keys may have changed since.
    let policy = app.store.membership_of_size(checkpoint.size)?.policy();
    let membership = app.store.membership_of_size(receipt.index.saturating_add(1))?;
    let mut verification = verify_bytes(bytes, &policy);
    verification.checks.push(match Record::open(receipt.record.clone(), &membership) {
        Ok(record) => {
            let (signer, key) = (record.signer(), record.key_id());
            let what = record.payload().record_type;
            Check::pass(SIGNATURE, format!("{what}, signed by {signer} with key {key}"))
        }
        Err(refusal) => Check::fail(SIGNATURE, refusal.to_string()),
    });
    // Whoever holds keys of former validators could sign another past.
    let size = checkpoint.size;
    verification.checks.push(match app.store.checkpoint_at(size)? {
        Some(own) if own == *checkpoint => {
            Check::pass(HISTORY, format!("this node's first {size} records have the same root"))
        }
        None if size > app.store.tip().frontier.size() => {
            Check::pass(HISTORY, format!("this node does not hold {size} records yet"))
        }
        _ => Check::fail(HISTORY, format!("this node's first {size} records have another root")),
    });
    Ok(verification)
}
