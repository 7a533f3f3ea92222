//! `DELETE /v1/vault/{id}`: erasing what is private of a record, and saying so.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use quittance_ledger::{
    digest::RecordId,
    insurance::disclosure::Basis,
    limits::RECORD_BYTES_MAX,
    membership::MemberId,
    record::{Envelope, Record},
    refusal::{Code, Refusal},
    vault::{Erasure, Standing, VaultError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{Asker, vault_of};
use crate::{
    append::{Settled, settle, without_line_break},
    extract::{IdPath, read_body},
    headers::{Wait, content_type},
    problem::{Kind, Problem, ProblemBody},
    read::records::JOSE,
    state::Shared,
    stop::Stop,
    submit::{SignError, Submit},
};

/// The body of an erasure, in bytes: a signed record at most, and a line break.
const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX + 2;

/// Why something is erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseRequest {
    /// The ground, as a code: lower-case letters, digits, `_`, `-` and `.`. It
    /// stands on the ledger for ever.
    #[schema(example = "gdpr_17_1_b")]
    basis: String,
}

/// An erasure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseAnswer {
    /// The record of which nothing private is kept here any more.
    #[schema(value_type = String)]
    id: RecordId,
    /// The record that says so, of the type `disclosure.erased`.
    #[schema(value_type = String)]
    erased_by: RecordId,
    /// Whether that record is `final` or `pending`.
    #[schema(value_type = String, example = "final")]
    status: &'static str,
}

/// Erase what is private of a record
///
/// What this node keeps of it is destroyed, and the node's own member signs a
/// record that says so: which record and on which ground, nothing else. Where the
/// node does not hold its member's record key, the body is that record, a signed
/// `disclosure.erased` (`application/jose`). The record itself, its receipt and
/// every proof hold as before. Erasing again is harmless and gives the same answer.
#[utoipa::path(
    delete,
    path = "/v1/vault/{id}",
    tag = "private",
    params(
        ("id" = String, Path, description = "The record's id, 64 hexadecimal digits"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for the record of the erasure to become final")
    ),
    request_body(content(
        (EraseRequest = "application/json"),
        (String = "application/jose")
    )),
    responses(
        (status = 200, description = "Erased, and recorded", body = EraseAnswer),
        (status = 202, description = "Erased; the record of it waits for its block", body = EraseAnswer),
        (status = 400, description = "The ground is no code, or the signed record does not say so", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "A token is needed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Not for whoever asks, or the node cannot sign for its member", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such record, or nothing private of it here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The record is not final yet", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn erase_private(
    State(app): State<Shared>,
    IdPath(id): IdPath,
    mut stop: Stop,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asker = Asker::with_token(&app, &headers)?;
    let is_signed = match content_type(&headers).as_deref() {
        Some("application/json") => false,
        Some(JOSE) => true,
        _ => {
            let detail = "say why with Content-Type: application/json, such as {\"basis\": \
                          \"gdpr_17_1_b\"}, or send the signed disclosure.erased with \
                          Content-Type: application/jose";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).about("content-type"));
        }
    };
    let wait = Wait::of(&headers, app.config.limits.wait_s_max);
    let body = read_body(body, &headers, BODY_BYTES_MAX, &app.config.limits).await?;
    let done = app.read(move |app, _| {
        let (_, is_final) = asker.record(app, &id)?;
        // The record of the erasure could not name it yet.
        if !is_final {
            let detail = "the record waits for its block; what is private of it can be erased \
                          once it is final";
            return Err(Problem::new(Kind::NotReady, detail).retry_after(1).into());
        }
        Ok(erase(app, &id, &body, is_signed)?)
    });
    let (by, signed) = done.await?;
    let mut settled = Settled::Pending;
    if let Some(signed) = signed {
        let deadline = Instant::now() + wait.duration();
        // What the node does not take now, the upkeep brings later.
        match app.node.submit(vec![signed]).await {
            Ok(mut accepted) => {
                if let Some(accepted) = accepted.pop() {
                    settled = settle(accepted, deadline, &mut stop).await;
                }
            }
            Err(error) => tracing::warn!(%error, %by, "an erasure is yet to be recorded"),
        }
    }
    let is_final = app
        .read(move |app, _| {
            let is_final = matches!(settled, Settled::Known(_) | Settled::Final(_))
                || app.store.find(&by)?.is_some();
            if is_final {
                vault_of(&*app.node)?.erasure_recorded(&id)?;
            }
            Ok(is_final)
        })
        .await?;
    let status = if is_final { StatusCode::OK } else { StatusCode::ACCEPTED };
    let said = if is_final { "final" } else { "pending" };
    Ok((status, Json(EraseAnswer { id, erased_by: by, status: said })).into_response())
}

fn basis_in(body: &[u8]) -> Result<Basis, Problem> {
    let malformed =
        |detail: String| Problem::from(Refusal::of_field(Code::Malformed, "basis", detail));
    let request: EraseRequest = serde_json::from_slice(body).map_err(|_| {
        malformed("the body must be a JSON object with a basis, such as gdpr_17_1_b".to_owned())
    })?;
    request.basis.parse().map_err(|error| malformed(format!("basis {error}")))
}

/// Erases, and gives the id of the record that says so; the record itself where
/// it was signed just now.
fn erase(
    app: &Shared,
    id: &RecordId,
    body: &[u8],
    is_signed: bool,
) -> Result<(RecordId, Option<Record>), Problem> {
    let vault = vault_of(&*app.node)?;
    let member = app.node.status().member.ok_or_else(|| {
        Problem::new(Kind::KeyNotHeld, "this node belongs to no member that could say so")
    })?;
    match vault.standing(id) {
        Standing::Nothing => return Err(VaultError::NotHeld(*id).into()),
        Standing::Erased(by) => {
            // One whose steps on the disk failed before goes on here.
            vault.resume_erasures()?;
            let unsaid = vault.erasures().into_iter().find(|erasure| erasure.record == *id);
            if is_signed && unsaid.is_some_and(|erasure| !may_be_recorded(app, erasure)) {
                let record = erasure_signed_elsewhere(app, &member, body)?;
                vault.sign_erasure_again(id, &record.clone().into())?;
                return Ok((record.id(), Some(record)));
            }
            return Ok((by, None));
        }
        Standing::Held => {}
    }
    let record = if is_signed {
        erasure_signed_elsewhere(app, &member, body)?
    } else {
        let basis = basis_in(body)?;
        signed_erasure(&*app.node, &member, id, &basis)?.0
    };
    let signed = Envelope::from(record.clone());
    match vault.erase(id, &signed) {
        Ok(()) => Ok((record.id(), Some(record))),
        // Somebody else did, just now.
        Err(VaultError::Erased { by, .. }) => Ok((by, None)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the ledger may still take the record of an erasure: its key is in force.
fn may_be_recorded(app: &Shared, erasure: Erasure) -> bool {
    erasure.signed.verify(&app.membership()).is_ok()
}

/// The record in the body, which the node's own member signed. That it is about
/// the right record is checked where it is carried out.
fn erasure_signed_elsewhere(
    app: &Shared,
    member: &MemberId,
    body: &[u8],
) -> Result<Record, Problem> {
    let record = Record::open(without_line_break(body), &app.membership())?;
    if record.signer() != member {
        let detail = format!("this node is {member}'s, and {} signed", record.signer());
        return Err(Refusal::of_field(Code::Malformed, "kid", detail).into());
    }
    Ok(record)
}

/// A record that says that what was private of `id` is erased here.
pub(super) fn signed_erasure(
    node: &dyn Submit,
    member: &MemberId,
    id: &RecordId,
    basis: &Basis,
) -> Result<(Record, Envelope), Problem> {
    let payload: Map<String, Value> = [
        ("type".to_owned(), "disclosure.erased".into()),
        ("occurred_at".to_owned(), format!("{:.3}", Timestamp::now()).into()),
        ("data".to_owned(), json!({"record": id, "basis": basis.as_str()})),
    ]
    .into_iter()
    .collect();
    let record = node.sign(member, payload).map_err(|error| match error {
        SignError::NotHeld(member) => {
            let detail = format!(
                "this node holds no record key of member {member}: sign a disclosure.erased of it \
                 elsewhere (quittance sign), and send that with Content-Type: application/jose"
            );
            Problem::new(Kind::KeyNotHeld, detail)
        }
        error => error.into(),
    })?;
    Ok((record.clone(), record.into()))
}
