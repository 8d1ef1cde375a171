//! The doors: what the CRMs call, and what people and their programs ask.
//!
//! The table of routes is data, so that `openapi.yaml` can be held to it both ways.

mod api;
mod auth;
mod extract;
mod health;
mod ingress;
mod metrics;
mod problem;
mod state;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use auth::{AdminToken, Role};
pub use ingress::BODY_BYTES_MAX;
pub use problem::Problem;
pub use state::{AppState, IngressConnection, Parts};

use auth::require_token;

/// A route: method, path as `openapi.yaml` writes it, handler.
type Route = (&'static str, &'static str, MethodRouter<AppState>);

/// Whom a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The CRMs, by their signatures and path tokens.
    Crms,
    /// The platform, without a token: whether the process lives, and whether it can store.
    Platform,
    /// People and their programs, with a token.
    People,
}

/// What the CRMs call, without a token.
fn webhook_routes() -> Vec<Route> {
    vec![
        ("POST", "/webhooks/hubspot", post(ingress::hubspot)),
        ("POST", "/webhooks/salesforce/{path_token}", post(ingress::salesforce)),
    ]
}

/// What the platform calls, without a token.
fn probe_routes() -> Vec<Route> {
    vec![("GET", "/healthz", get(health::healthz)), ("GET", "/readyz", get(health::readyz))]
}

/// What people and their programs ask, with a token.
fn admin_routes() -> Vec<Route> {
    vec![
        ("GET", "/metrics", get(metrics::metrics)),
        ("GET", "/openapi.yaml", get(api::openapi)),
        ("GET", "/v1/connections", get(api::connections::list)),
        ("POST", "/v1/connections/{connection}/pause", post(api::connections::pause)),
        ("POST", "/v1/connections/{connection}/resume", post(api::connections::resume)),
        ("POST", "/v1/connections/{connection}/resync", post(api::resyncs::start)),
        ("GET", "/v1/connections/{connection}/resyncs/{id}", get(api::resyncs::show)),
        ("GET", "/v1/connections/{connection}/records/{system}/{kind}/{id}", get(api::records::show)),
        (
            "GET",
            "/v1/connections/{connection}/records/{system}/{kind}/{id}/explain",
            get(api::records::explain),
        ),
        ("GET", "/v1/connections/{connection}/set-aside", get(api::records::set_aside)),
        ("GET", "/v1/connections/{connection}/jobs", get(api::jobs::list)),
        ("GET", "/v1/jobs/{id}", get(api::jobs::show)),
        ("POST", "/v1/jobs/{id}/retry", post(api::jobs::retry)),
        ("DELETE", "/v1/jobs/{id}", delete(api::jobs::discard)),
        ("GET", "/v1/connections/{connection}/audit", get(api::audit::list)),
    ]
}

/// Method and path of every route.
pub fn routes() -> Vec<(&'static str, &'static str)> {
    let all = [webhook_routes(), probe_routes(), admin_routes()].into_iter().flatten();
    all.map(|(method, path, _)| (method, path)).collect()
}

fn collect(routes: Vec<Route>) -> Router<AppState> {
    // One path with several methods comes as several routes; the router merges them.
    routes.into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
}

/// One listener for all of these.
pub fn router_for(audiences: &[Audience], state: AppState) -> Router {
    let doors = |audience: &Audience| match audience {
        Audience::Crms => collect(webhook_routes()),
        Audience::Platform => collect(probe_routes()),
        Audience::People => guarded(&state),
    };
    finished(audiences.iter().map(doors).fold(Router::new(), Router::merge), state)
}

/// One listener for everybody.
pub fn router(state: AppState) -> Router {
    router_for(&[Audience::Crms, Audience::Platform, Audience::People], state)
}

fn guarded(state: &AppState) -> Router<AppState> {
    collect(admin_routes()).route_layer(axum::middleware::from_fn_with_state(state.clone(), require_token))
}

fn finished(router: Router<AppState>, state: AppState) -> Router {
    router
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(state)
}
