//! All routes, and what surrounds each of them.

use std::{any::Any, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;
use quittance_ledger::store::Store;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    access::{self, Access},
    append,
    budget::{Budget, count_answer},
    events,
    headers::{Wait, preferred},
    host::{OnLoopback, check_is_this_machine},
    limits::{ApiConfig, HEAD_BYTES_MAX, LimitError},
    metrics::Metrics,
    openapi, pages,
    problem::{Kind, Problem},
    read::{
        blocks, claims, contracts, duplicates, evidence, exceptions, members, receipts, records,
        statements, status, tree,
    },
    reading::Reads,
    state::{App, Shared},
    submit::Submit,
    vault,
    verifier::Verifier,
};

/// The whole API over a store and the node that writes it, open to whoever
/// reaches it.
///
/// # Errors
/// A bound of the configuration is absurd.
pub fn router(
    store: Arc<Store>,
    node: Arc<dyn Submit>,
    config: ApiConfig,
) -> Result<Router, LimitError> {
    router_with_figures(store, node, config, Access::open(), Registry::default())
}

/// As [`router`], where `access` says who may do what, with figures of the node
/// in `registry`, which `/metrics` shows beside the API's own.
///
/// # Errors
/// A bound of the configuration is absurd.
pub fn router_with_figures(
    store: Arc<Store>,
    node: Arc<dyn Submit>,
    config: ApiConfig,
    access: Access,
    registry: Registry,
) -> Result<Router, LimitError> {
    config.limits.check()?;
    let limits = &config.limits;
    let app = Arc::new(App {
        verifier: Verifier::new(limits.verify_threads()),
        requests: Semaphore::new(limits.requests_max),
        reads: Reads::new(limits.reads_max),
        batches: Semaphore::new(limits.batches_max),
        batch_bytes: Budget::new(limits.batch_bytes_in_flight_max),
        response_bytes: Budget::new(limits.response_bytes_max),
        event_clients: Arc::new(Semaphore::new(limits.event_clients_max)),
        metrics: Metrics::new(registry),
        senders: vault::Senders::default(),
        store,
        node,
        config,
        access,
    });
    let (documented, mut document) = OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(append::append_record, records::list_records))
        .routes(routes!(append::append_batch))
        .routes(routes!(records::get_record))
        .routes(routes!(contracts::get_contract))
        .routes(routes!(claims::get_claim))
        .routes(routes!(statements::get_statement))
        .routes(routes!(exceptions::list_exceptions))
        .routes(routes!(duplicates::list_duplicates))
        .routes(routes!(vault::get_private, vault::put_private, vault::erase_private))
        .routes(routes!(receipts::get_receipt))
        .routes(routes!(receipts::verify_receipt))
        .routes(routes!(blocks::list_blocks))
        .routes(routes!(blocks::get_block))
        .routes(routes!(members::list_members))
        .routes(routes!(members::get_genesis))
        .routes(routes!(members::get_policy))
        .routes(routes!(evidence::list_evidence))
        .routes(routes!(tree::get_consistency))
        .routes(routes!(tree::list_checkpoints))
        .routes(routes!(tree::get_checkpoint))
        .routes(routes!(events::events))
        .routes(routes!(status::get_status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::get_metrics))
        .split_for_parts();
    access::secure_document(&mut document, &app);
    let document = Arc::new(document);
    let swagger = SwaggerUi::new("/docs")
        .config(utoipa_swagger_ui::Config::new(["/openapi.json"]).try_it_out_enabled(true));
    Ok(documented
        .route("/tile/{*path}", get(tree::get_tile))
        .route("/openapi.json", get(move || openapi::serve(Arc::clone(&document))))
        .merge(pages::routes())
        .merge(Router::from(swagger))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), access::guard))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), bound))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app))
}

async fn not_found(headers: HeaderMap, request: Request) -> Response {
    let problem = Problem::not_found(format!("there is nothing at {}", request.uri().path()));
    match preferred(&headers, &["application/problem+json", "text/html"]) {
        Some("text/html") => pages::problem_page(&problem),
        _ => problem.into_response(),
    }
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Kind::MethodNotAllowed, format!("{path} does not take {method}"))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal(&"a handler panicked").into_response()
}

/// Bounds the length of the head, the number of requests at once, the time of
/// each and the memory of the answers. What tells whether the node works is
/// never turned away.
async fn bound(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let limits = &app.config.limits;
    if let Err(problem) = check_head(&app, &request) {
        return problem.into_response();
    }
    if matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    let Ok(_place) = app.requests.try_acquire() else {
        return app.overloaded("too many requests at once").into_response();
    };
    let wait = Wait::of(request.headers(), limits.wait_s_max).duration();
    let time = limits.request_time().saturating_add(wait);
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => count_answer(response, &app.response_bytes)
            .unwrap_or_else(|| app.answers_are_many().into_response()),
        Err(_) => Problem::new(
            Kind::Timeout,
            format!("the request took longer than {} s; it may be sent again", time.as_secs()),
        )
        .retry_after(limits.retry_after_s)
        .into_response(),
    }
}

/// Bounds the address and the headers, and turns away what is meant for others.
fn check_head(app: &App, request: &Request) -> Result<(), Problem> {
    let target_bytes_max = app.config.limits.target_bytes_max;
    let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > target_bytes_max {
        let detail = format!("path and query may have {target_bytes_max} bytes");
        return Err(Problem::new(Kind::UriTooLong, detail));
    }
    let header_bytes = |(name, value): (&HeaderName, &HeaderValue)| {
        // With the colon, the space and the line break between them.
        name.as_str().len().saturating_add(value.len()).saturating_add(4)
    };
    let head_bytes = request.headers().iter().map(header_bytes).sum::<usize>();
    if head_bytes > HEAD_BYTES_MAX {
        let detail = format!("the headers may have {HEAD_BYTES_MAX} bytes");
        return Err(Problem::new(Kind::HeadTooLong, detail));
    }
    // Behind a proxy the name is the proxy's to choose and to check.
    if request.extensions().get::<OnLoopback>().is_some() && !app.config.behind_proxy {
        check_is_this_machine(request.uri(), request.headers())?;
    }
    Ok(())
}

/// Counts and logs each request, and adds the headers that every answer has.
async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    const EVERYWHERE: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let started = Instant::now();
    let method = request.method().clone();
    let is_docs = request.uri().path().starts_with("/docs");
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    let took = started.elapsed();
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.answered(&method, route, response.status(), took);
    tracing::debug!(%method, route, status = response.status().as_u16(), ?took, "answered");
    let headers = response.headers_mut();
    for (name, value) in EVERYWHERE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(if is_docs { DOCS_CSP } else { NOTHING_CSP }));
    response
}

/// Answers of the API are no pages; nothing in them may run or load.
const NOTHING_CSP: &str = "default-src 'none'; frame-ancestors 'none'";

/// Swagger UI draws with scripts and inline styles of its own.
const DOCS_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";
