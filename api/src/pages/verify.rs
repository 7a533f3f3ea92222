//! `/verify`: a form that takes a receipt and shows each check.

use askama::Template;
use axum::{
    extract::{FromRequest as _, Multipart, Request, State, multipart::MultipartError},
    response::Response,
};
use bytes::Bytes;
use quittance_ledger::{
    refusal,
    transparency::{Check, Receipt},
};

use super::{PageProblem, page};
use crate::{
    problem::{Kind, Problem},
    read::receipts,
    state::Shared,
};

/// Parts of a form that are looked at.
const PARTS_MAX: usize = 4;

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage {
    result: Option<Verdict>,
}

struct Verdict {
    valid: bool,
    checks: Vec<Check>,
    id: Option<String>,
}

pub(super) async fn form() -> Result<Response, PageProblem> {
    page(&VerifyPage { result: None })
}

pub(super) async fn verify(
    State(app): State<Shared>,
    request: Request,
) -> Result<Response, PageProblem> {
    let limits = &app.config.limits;
    let receipt = tokio::time::timeout(limits.body_time(), receipt_of(request, &app))
        .await
        .map_err(|_| Problem::new(Kind::BodyTimeout, "the form did not come in time"))??;
    let job_app = Shared::clone(&app);
    let result = app
        .verifier
        .run(move || {
            receipts::verify(&job_app, &receipt).map(|verification| Verdict {
                valid: verification.is_valid(),
                checks: verification.checks,
                id: Receipt::parse(&receipt).ok().map(|receipt| receipt.id().to_string()),
            })
        })
        .await?
        .map_err(|error| app.store_failed(error))?;
    page(&VerifyPage { result: Some(result) })
}

/// The uploaded file, or else what was pasted.
async fn receipt_of(request: Request, app: &Shared) -> Result<Bytes, Problem> {
    let bytes_max = app.config.limits.receipt_body_bytes_max;
    let mut form = Multipart::from_request(request, app)
        .await
        .map_err(|rejection| Problem::new(Kind::UnsupportedMediaType, rejection.body_text()))?;
    let mut receipt = Bytes::new();
    for _ in 0..PARTS_MAX {
        let Some(part) = form.next_field().await.map_err(unreadable)? else { break };
        let is_file = part.name() == Some("file");
        let bytes = part.bytes().await.map_err(unreadable)?;
        if bytes.is_empty() || (!is_file && !receipt.is_empty()) {
            continue;
        }
        receipt = if is_file { bytes } else { pasted(&bytes) };
        if is_file {
            break;
        }
    }
    if receipt.len() > bytes_max {
        let detail = format!("a receipt has at most {bytes_max} bytes");
        return Err(Problem::new(refusal::Code::TooLarge, detail));
    }
    Ok(receipt)
}

/// A browser sends the lines of a text field with CR LF, and people do not copy
/// the last line break.
fn pasted(bytes: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    Bytes::from(format!("{}\n", text.trim()))
}

fn unreadable(error: MultipartError) -> Problem {
    match error.status().as_u16() {
        413 => Problem::new(refusal::Code::TooLarge, "the form is too large"),
        _ => Problem::new(Kind::BadRequest, error.body_text()),
    }
}
