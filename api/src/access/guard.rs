//! Which route asks for what. Whatever is not named here needs `read`, so that
//! a route that somebody adds and forgets to think about is closed.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{
    Components, OpenApi,
    path::{Operation, PathItem},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::Need;
use crate::{
    headers::preferred,
    pages::problem_page,
    problem::Problem,
    state::{App, Shared},
};

/// The name of tokens in the API's document.
const SCHEME: &str = "bearer";

/// What a browser needs to hear to ask its user for a token (RFC 7617).
const BROWSER_CHALLENGE: HeaderValue =
    HeaderValue::from_static(r#"Basic realm="quittance", charset="UTF-8""#);

/// What stands before a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Nothing: it gives nothing of what is on the ledger.
    Open,
    /// Whoever asks must be allowed to read.
    Read,
    /// Its handler asks for this scope, once it knows whom the request is about;
    /// `always`, or of some only.
    Handler { scope: &'static str, always: bool },
}

/// What stands before a route, given as it is written in the router.
fn guard_of(method: &Method, route: &str) -> Guard {
    match route {
        // Whether the node works, for whoever starts and watches it.
        "/healthz" | "/readyz"
        // The public log: sizes, hashes, signatures and 32-byte ids. Witnesses,
        // monitors and whoever verifies a receipt need it, and it tells nothing
        // of what was recorded.
        | "/checkpoint" | "/v1/checkpoints" | "/v1/consistency" | "/v1/policy"
        // How to use the API.
        | "/openapi.json" | "/style.css" | "/docs" => Guard::Open,
        _ if route.starts_with("/tile/") || route.starts_with("/docs/") => Guard::Open,
        // Signed records say themselves whose they are.
        "/v1/records" | "/v1/records/batch" if *method == Method::POST => {
            Guard::Handler { scope: "append:<member>", always: false }
        }
        // What a program on this machine may put, only a token gets out again.
        "/v1/vault/{id}" => {
            Guard::Handler { scope: "private:<member>", always: *method != Method::PUT }
        }
        _ => Guard::Read,
    }
}

/// Lets in who may ask, before anything is done for them.
pub(crate) async fn guard(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    if let Some(value) = request.headers_mut().get_mut(header::AUTHORIZATION) {
        // It is not shown where headers are.
        value.set_sensitive(true);
    }
    let route = request.extensions().get::<MatchedPath>();
    // There is nothing to be read where there is no route.
    let guard = route.map_or(Guard::Open, |route| guard_of(request.method(), route.as_str()));
    if guard != Guard::Read {
        return next.run(request).await;
    }
    match app.authorize(request.headers(), Need::Read) {
        Ok(identity) => {
            let is_for_all = identity.token_id().is_none();
            request.extensions_mut().insert(identity);
            let response = next.run(request).await;
            if is_for_all { response } else { kept_from_others(response) }
        }
        Err(problem) => refusal(request.headers(), &problem),
    }
}

/// Keeps what was read with a token out of caches that others share (RFC 9111,
/// section 3.5).
fn kept_from_others(mut response: Response) -> Response {
    let caching = response.headers_mut().get_mut(header::CACHE_CONTROL);
    if let Some(caching) = caching
        && let Ok(text) = caching.to_str()
        && let Ok(private) = HeaderValue::try_from(text.replace("public", "private"))
    {
        *caching = private;
    }
    response
}

/// A problem for programs; a page, and a question for the token, for people.
fn refusal(headers: &HeaderMap, problem: &Problem) -> Response {
    if preferred(headers, &["application/problem+json", "text/html"]) != Some("text/html") {
        return problem.clone().into_response();
    }
    let mut page = problem_page(problem);
    if let Some(challenge) = problem.challenge() {
        page.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if problem.status() == StatusCode::UNAUTHORIZED {
        page.headers_mut().append(header::WWW_AUTHENTICATE, BROWSER_CHALLENGE);
    }
    page
}

/// Says in the API's document what each operation needs.
pub(crate) fn secure_document(document: &mut OpenApi, app: &App) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("qt_…")
        .description(Some(
            "A token of this node, which its operator makes with `quittance token create`. \
             Its scopes are `read`, `append:<member>`, `private:<member>` and `admin`.",
        ))
        .build();
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    let open_reading = app.access.has_open_reading();
    for (route, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.security = Some(match guard_of(&method, route) {
                Guard::Open => Vec::new(),
                Guard::Read if open_reading => Vec::new(),
                Guard::Read => vec![SecurityRequirement::new(SCHEME, ["read"])],
                Guard::Handler { scope, always } => {
                    // What asks for nothing is satisfied by nothing.
                    let none = (!always).then(SecurityRequirement::default);
                    none.into_iter().chain([SecurityRequirement::new(SCHEME, [scope])]).collect()
                }
            });
        }
    }
}

/// The operations of a path, with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tells_nothing_of_the_ledger_is_open() {
        for open in ["/healthz", "/readyz", "/checkpoint", "/tile/{*path}", "/docs/{*rest}"] {
            assert_eq!(guard_of(&Method::GET, open), Guard::Open, "{open}");
        }
        for closed in [
            "/",
            "/records",
            "/records/{id}",
            "/metrics",
            "/v1/records",
            "/v1/records/{id}",
            "/v1/events",
            "/v1/status",
            "/v1/members",
            "/v1/genesis",
            "/v1/whatever/comes/next",
            "/docsomething",
            "/tiles",
        ] {
            assert_eq!(guard_of(&Method::GET, closed), Guard::Read, "{closed}");
        }
        for handled in ["/v1/records", "/v1/records/batch"] {
            let guard = guard_of(&Method::POST, handled);
            assert!(matches!(guard, Guard::Handler { always: false, .. }), "{handled}");
        }
        assert_eq!(guard_of(&Method::POST, "/v1/verify"), Guard::Read);
    }
}
