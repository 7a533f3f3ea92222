//! The OpenAPI document, generated from the handlers and their types.

use axum::Json;
use utoipa::{
    OpenApi,
    openapi::{Info, License, OpenApi as Document, Tag},
};

#[derive(OpenApi)]
#[openapi(paths(crate::read::tree::get_tile))]
struct Tiles;

/// What stands in the document besides the paths.
pub(crate) fn document() -> Document {
    let mut info = Info::new("Quittance", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "A shared, append-only audit ledger for insurance: append signed records, look them up, \
         and prove them offline. Errors are problem details (RFC 9457) with a stable `code`; \
         /docs/problems explains each."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let mut document = Document::new(info, utoipa::openapi::Paths::new());
    let tag = |name: &str, description: &str| {
        let mut tag = Tag::new(name);
        tag.description = Some(description.to_owned());
        tag
    };
    document.tags = Some(vec![
        tag("append", "Putting records on the ledger"),
        tag("read", "Looking up what is on it"),
        tag("private", "What is private of a record, kept beside the ledger and erasable"),
        tag("prove", "Receipts, checkpoints and proofs"),
        tag("members", "Who is on it, and whom to trust"),
        tag("tiles", "The transparency log in the layout of C2SP tlog-tiles"),
        tag("node", "The node itself"),
    ]);
    // The route's wildcard is not how a document spells a path, so it is added by hand.
    document.merge(Tiles::openapi());
    document
}

/// `GET /openapi.json`
pub(crate) async fn serve(document: std::sync::Arc<Document>) -> Json<Document> {
    Json(Document::clone(&document))
}
