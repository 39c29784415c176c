//! The routes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flashops::Controls;
use flashops::axum::handler::{UsageReport, health, liveness, readiness, usage};
use flashops::axum::peer::peer_addr;
use flashops::core::clock::CoarseClock;
use flashops::core::health::{Group, HealthRegistry};
use flashops::core::store::MemoryStore;
use flashops::tower::budget::ModelRoute;
use flashops::tower::inspect::WireFormat;
use flashops::tower::reject::Dialect;
use flashops_testkit::audit::WindowAudit;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::admin::mark;
use super::announce::Announce;
use super::pages;
use super::provider::Providers;
use super::settings::Settings;

/// What the handlers of `/api/v1/ai` read again of a body that the token budget has read: its bound.
const MOST_BODY: usize = 8 << 20;

/// Chat completions whose model may be left out.
const CHAT_ROUTES: [&str; 3] = ["/api/v1/ai/chat", "/api/v1/ai/rewrite", "/api/v1/ai/autocomplete"];

const DEFAULT_MODEL: &str = "gpt-4o-mini";

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) health: HealthRegistry,
    pub(crate) audit: Option<WindowAudit>,
}

pub(crate) fn app(settings: &Settings, providers: Providers) -> App {
    let audit = settings.audit.then(|| WindowAudit::new(settings.config.policy().clone()));
    let recorders: Vec<WindowAudit> = audit.iter().cloned().collect();
    let recorder = (Announce, recorders);
    let controls = Controls::with_routes(&settings.config, CoarseClock::new(), recorder, routes_of_models());
    let registry = HealthRegistry::new();
    let of_models = HealthRegistry::new();
    for (registry, groups) in [(&registry, &[Group::Readiness]), (&of_models, &[Group::Readiness])] {
        let providers = providers.clone();
        registry.register("provider", groups, move || providers.finding()).expect("the name is free");
    }
    let report = UsageReport::new(controls.budget().clone(), controls.tally().clone());
    let usage_route = Router::new()
        .route("/api/v1/ai/usage", get(usage::<MemoryStore<CoarseClock>>))
        .layer(from_fn_with_state(settings.admin.clone(), mark))
        .with_state(report);
    let router = Router::new()
        .merge(usage_route)
        .merge(health_routes(registry.clone()))
        .merge(Router::new().route("/api/v1/ai/health", get(health)).with_state(of_models))
        .merge(model_routes(settings).with_state(providers))
        .route("/", get(pages::front))
        .route("/docs", get(pages::docs))
        .fallback(pages::not_found)
        .layer(controls.layer())
        .layer(from_fn(peer_addr))
        .layer(DefaultBodyLimit::disable());
    App { router, health: registry, audit }
}

fn health_routes(registry: HealthRegistry) -> Router {
    Router::new()
        .route("/livez", get(liveness))
        .route("/readyz", get(readiness))
        .route("/api/v1/health", get(health))
        .route("/api/v1/health/liveness", get(liveness))
        .route("/api/v1/health/readiness", get(readiness))
        .with_state(registry)
}

/// The routes on which this service calls a model, whatever the configuration says of them.
fn routes_of_models() -> Vec<ModelRoute> {
    let chat = |path: &&str| {
        let route = ModelRoute::new(path, WireFormat::OpenAiChat).expect("these paths are well-formed");
        route.with_dialect(Dialect::OpenAi).with_default_model(DEFAULT_MODEL)
    };
    CHAT_ROUTES.iter().map(chat).chain(ModelRoute::standard()).collect()
}

fn model_routes(settings: &Settings) -> Router<Providers> {
    let mut routes = Router::new()
        .route("/v1/chat/completions", post(openai))
        .route("/v1/responses", post(openai))
        .route("/v1/embeddings", post(openai))
        .route("/v1/messages", post(anthropic));
    for route in CHAT_ROUTES {
        let configured = settings.config.route(route).and_then(|route| route.default_model());
        let model = configured.unwrap_or(DEFAULT_MODEL).to_owned();
        let handler = move |State(providers): State<Providers>, request: Request| chat(providers, request, model);
        routes = routes.route(route, post(handler));
    }
    routes
}

async fn openai(State(providers): State<Providers>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    providers.openai(request, &path).await
}

async fn anthropic(State(providers): State<Providers>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    providers.anthropic(request, &path).await
}

/// A chat completion whose model may be left out.
async fn chat(providers: Providers, request: Request, model: String) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MOST_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let bytes = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(mut fields)) if fields.get("model").is_none_or(Value::is_null) => {
            fields.insert("model".to_owned(), model.into());
            Value::Object(fields).to_string().into()
        }
        _ => bytes,
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    providers.openai(Request::from_parts(parts, Body::from(bytes)), "/v1/chat/completions").await
}
