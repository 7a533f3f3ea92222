//! `/v1/vault/{id}`: what is private of a record, put, read and erased.
//!
//! None of it is on the ledger; each node keeps what it took itself
//! ([`quittance_ledger::vault`]). An erasure is recorded: the order in which that
//! happens, and what a crash leaves, is told there. [`Upkeep`] brings to the
//! ledger what a crash, a full queue or a revoked key held up.

mod erase;
mod senders;
mod sign;
mod upkeep;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use quittance_ledger::{
    digest::RecordId,
    limits::PRESENTATION_BYTES_MAX,
    membership::MemberId,
    record::Record,
    refusal::{Code, Refusal},
    store::Entry,
    vault::{
        Disclosure, Held, PRESENTATION_MEDIA_TYPE, Presentation, Put, Staging, Vault, VaultError,
    },
};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::upkeep::Upkeep;
pub(crate) use self::{
    erase::{__path_erase_private, erase_private},
    senders::Senders,
    sign::{Opened, PrivateRoom, named_fields, sign},
};

use crate::{
    access::Need,
    append::{Peer, Sender},
    extract::{IdPath, read_body},
    headers::{content_type, preferred},
    problem::{Kind, Problem, ProblemBody},
    read::records::{Found, find},
    reading::Failed,
    state::{App, Shared},
    submit::{Accepted, Submit},
};

/// The body of a `put`, in bytes: a presentation and a line break, or a JSON
/// list of as many disclosures.
const BODY_BYTES_MAX: usize = PRESENTATION_BYTES_MAX + 1024;

/// Who asks for what is private.
#[derive(Debug, Clone)]
pub(crate) struct Asker(Sender);

impl Asker {
    /// Whoever shows a token. Programs on this machine need one as well: what is
    /// private is not for all of them.
    pub(crate) fn with_token(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        match app.bearer(headers)? {
            Some(identity) => Ok(Self(Sender::Token(identity))),
            None => {
                let detail = "what is private is read and erased with a token only; make one with: \
                              quittance token create --scope private:<member>";
                Err(Problem::new(Kind::TokenRequired, detail))
            }
        }
    }

    /// Looks a record up whose private fields are asked for: the record, and whether
    /// it is on the ledger. Who may not read the ledger is not told by the answer
    /// which records there are and whose.
    fn record(&self, app: &Shared, id: &RecordId) -> Result<(Record, bool), Failed> {
        let found = record_of(app, id).and_then(|found| {
            self.check(found.0.signer())?;
            Ok(found)
        });
        match found {
            Err(Failed::Problem(problem))
                if problem.status().is_client_error()
                    && !app.access.has_open_reading()
                    && !self.0.reads() =>
            {
                let detail = "the token is not good for what is private of that record, if there \
                              is one";
                Err(Problem::new(Kind::InsufficientScope, detail).into())
            }
            found => found,
        }
    }

    /// Checks that it may have what is private of records that this member signed.
    ///
    /// # Errors
    /// `insufficient_scope`.
    pub(crate) fn check(&self, signer: &MemberId) -> Result<(), Problem> {
        match &self.0 {
            Sender::ThisMachine => Ok(()),
            Sender::Token(identity) => identity.check(Need::PrivateOf(signer)),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Refused(refusal) => refusal.into(),
            VaultError::Erased { record, .. } => {
                Self::new(Kind::Erased, error.to_string()).of_record(record)
            }
            VaultError::NotHeld(_) => Self::not_found(error.to_string()),
            VaultError::Full { .. } => Self::new(Kind::VaultFull, error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<VaultError> for Failed {
    fn from(error: VaultError) -> Self {
        Self::Problem(error.into())
    }
}

/// The node's vault.
pub(crate) fn vault_of(node: &dyn Submit) -> Result<Arc<Vault>, Problem> {
    let detail = "this node keeps no private data; sign the record yourself (quittance sign)";
    node.vault().ok_or_else(|| Problem::new(Kind::NotReady, detail))
}

/// Hands records to the node. What is staged of them stays so until the node has
/// made them durable or said no, even where nobody waits for it any more.
pub(crate) async fn submit(
    app: &App,
    records: Vec<Record>,
    staged: Vec<Staging>,
) -> Result<Vec<Accepted>, Problem> {
    let submitted = app.node.submit(records);
    if staged.is_empty() {
        return Ok(submitted.await?);
    }
    let submitted = tokio::spawn(async move {
        let accepted = submitted.await;
        drop(staged);
        accepted
    });
    Ok(submitted.await.map_err(|error| Problem::internal(&error))??)
}

/// The record, and whether it is on the ledger.
fn record_of(app: &Shared, id: &RecordId) -> Result<(Record, bool), Failed> {
    Ok(match find(app, id)? {
        Found::Entry(Entry { record, .. }) => (record, true),
        Found::Pending(record) => (record, false),
    })
}

/// Refuses what this node's member says on the ledger that it erased: the vault
/// may be an older copy, or a new one.
fn refuse_erased(app: &App, id: &RecordId) -> Result<(), Failed> {
    if let Some(member) = app.node.status().member
        && let Some(said) = app.store.erasure_of(id, &member)?
    {
        return Err(VaultError::Erased { record: *id, by: said.id() }.into());
    }
    Ok(())
}

/// A private field of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldAnswer {
    /// Where it would stand: `payload` or `data`.
    #[schema(value_type = String, example = "data")]
    place: &'static str,
    /// Its name.
    #[schema(example = "address")]
    name: String,
    /// Its value.
    #[schema(value_type = serde_json::Value, example = "Via Garibaldi 12, 20121 Milano")]
    value: serde_json::Value,
}

/// What is private of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PrivateAnswer {
    /// The record.
    #[schema(value_type = String)]
    id: RecordId,
    /// The disclosures (RFC 9901), as the record's digests are made of them.
    disclosures: Vec<String>,
    /// The same as fields.
    fields: Vec<FieldAnswer>,
    /// Record and disclosures together: `<jws>~<disclosure>~…~`.
    presentation: String,
}

impl PrivateAnswer {
    fn of(presentation: &Presentation) -> Self {
        let fields = presentation.fields();
        Self {
            id: presentation.record().id(),
            disclosures: fields.iter().map(|one| one.disclosure.as_str().to_owned()).collect(),
            fields: fields
                .iter()
                .map(|one| FieldAnswer {
                    place: one.place.as_str(),
                    name: one.disclosure.name().to_owned(),
                    value: one.disclosure.value().clone(),
                })
                .collect(),
            presentation: presentation.to_string(),
        }
    }
}

/// What is private of a record
///
/// The disclosures that this node keeps. `Accept: application/sd-jwt` gives the
/// presentation, which libraries for SD-JWT (RFC 9901) read.
#[utoipa::path(
    get,
    path = "/v1/vault/{id}",
    tag = "private",
    params(("id" = String, Path, description = "The record's id, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "What is private of it", content(
            (PrivateAnswer = "application/json"), (String = "application/sd-jwt")
        )),
        (status = 403, description = "Not for whoever asks", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such record, or nothing private of it here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It was erased", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn get_private(
    State(app): State<Shared>,
    IdPath(id): IdPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let offered = ["application/json", PRESENTATION_MEDIA_TYPE];
    let wants_text = preferred(&headers, &offered) == Some(PRESENTATION_MEDIA_TYPE);
    let asker = Asker::with_token(&app, &headers)?;
    let presentation = app
        .read(move |app, _| {
            let (record, _) = asker.record(app, &id)?;
            let vault = vault_of(&*app.node)?;
            refuse_erased(app, &id)?;
            let disclosures = match vault.get(&id)? {
                Held::Disclosures(disclosures) => disclosures,
                Held::Erased(by) => return Err(VaultError::Erased { record: id, by }.into()),
                Held::Nothing => return Err(VaultError::NotHeld(id).into()),
            };
            Ok(Presentation::new(record.into(), disclosures).map_err(Problem::from)?)
        })
        .await?;
    let mut response = if wants_text {
        let content_type = [(header::CONTENT_TYPE, PRESENTATION_MEDIA_TYPE)];
        (content_type, presentation.to_string()).into_response()
    } else {
        Json(PrivateAnswer::of(&presentation)).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// What became of disclosures that were put.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PutAnswer {
    /// The record they belong to.
    #[schema(value_type = String)]
    id: RecordId,
    /// How many came.
    disclosures: usize,
}

/// Keep what is private of a record
///
/// The body is a presentation (`<jws>~<disclosure>~…~`) or a JSON list of
/// disclosures, of a record that is on the ledger or waits here for its block.
/// Putting the same again is harmless; what was erased does not come back.
#[utoipa::path(
    put,
    path = "/v1/vault/{id}",
    tag = "private",
    params(("id" = String, Path, description = "The record's id, 64 hexadecimal digits")),
    request_body(content(
        (String = "application/sd-jwt"),
        (Vec<String> = "application/json")
    )),
    responses(
        (status = 201, description = "They are kept", body = PutAnswer),
        (status = 200, description = "They were kept before", body = PutAnswer),
        (status = 400, description = "One does not belong to the record, or is none", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Not for whoever asks", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such record", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "They were erased", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The content type is not taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The record waits at another node", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "The vault is full", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub(crate) async fn put_private(
    State(app): State<Shared>,
    IdPath(id): IdPath,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_json = match content_type(&headers).as_deref() {
        Some("application/json") => true,
        Some(PRESENTATION_MEDIA_TYPE) => false,
        _ => {
            let detail = "send a presentation with Content-Type: application/sd-jwt, or a list of \
                          disclosures with Content-Type: application/json";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).about("content-type"));
        }
    };
    let limits = &app.config.limits;
    // Before the body is read, so that nobody sends what is not for this node.
    // A program on this machine may, as it may have records signed.
    let asker = Asker(Sender::of(&app, &peer, &uri, &headers)?);
    let (record, is_final) = app
        .read(move |app, _| {
            let (record, is_final) = asker.record(app, &id)?;
            // What became of it would not be known here, and what was acknowledged
            // would be lost.
            if !is_final && !app.node.keeps(&id) {
                let detail = "the record waits for its block at another node; put what is private \
                              of it here once it is final";
                return Err(Problem::new(Kind::NotReady, detail).retry_after(1).into());
            }
            refuse_erased(app, &id)?;
            Ok((record, is_final))
        })
        .await?;
    let body = read_body(body, &headers, BODY_BYTES_MAX, limits).await?;
    let put = app.read(move |app, _| {
        let disclosures = disclosures_in(&body, is_json, &id)?;
        let count = disclosures.len();
        let vault = vault_of(&*app.node)?;
        let put = if is_final {
            vault.put(&record, disclosures)?
        } else {
            // Whether it comes onto the ledger is seen by the upkeep.
            drop(vault.stage(&record, disclosures)?);
            Put::Stored
        };
        Ok((put, count))
    });
    let (put, disclosures) = put.await?;
    let status = if put == Put::Stored { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(PutAnswer { id, disclosures })).into_response())
}

fn disclosures_in(body: &[u8], is_json: bool, id: &RecordId) -> Result<Vec<Disclosure>, Problem> {
    let malformed = |detail: &'static str| {
        Problem::from(Refusal::of_field(Code::Malformed, "disclosures", detail))
    };
    if is_json {
        let texts: Vec<String> = serde_json::from_slice(body)
            .map_err(|_| malformed("the body must be a JSON list of disclosures"))?;
        return Ok(texts.iter().map(|text| Disclosure::parse(text)).collect::<Result<_, _>>()?);
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not text"))?;
    let presentation = Presentation::parse(text.trim_end_matches(['\r', '\n']))?;
    if presentation.record().id() != *id {
        return Err(malformed("the presentation is of another record than the address names"));
    }
    Ok(presentation.into_disclosures())
}
