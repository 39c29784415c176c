//! The routes.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flashops::axum::handler::{UsageReport, metrics, usage};
use flashops::axum::matched::matched_path;
use flashops::axum::peer::peer_addr;
use flashops::controls::ConfiguredStore;
use flashops::core::clock::UnixSeconds;
use flashops::tower::alert::Delivery;
use flashops::tower::budget::ModelRoute;
use flashops::tower::inspect::{Inspected, Rewrite, WireFormat};
use flashops::tower::reject::headers::X_REQUEST_ID;
use flashops::tower::reject::{Dialect, RefusalContext, RequestId};
use flashops_testkit::audit::WindowAudit;
use http::{HeaderValue, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

use super::admin::{Admins, mark};
use super::health::Health;
use super::observe::only_admins;
use super::pages;
use super::provider::{Providers, Unreachable};
use super::settings::Settings;

/// Chat completions whose model may be left out.
const CHAT_ROUTES: [&str; 3] = ["/api/v1/ai/chat", "/api/v1/ai/rewrite", "/api/v1/ai/autocomplete"];

const DEFAULT_MODEL: &str = "gpt-4o-mini";

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) health: Health,
    pub(crate) audit: Option<WindowAudit>,
    pub(crate) controls: Arc<Controls>,
    /// What delivers alerts.
    pub(crate) deliveries: Vec<Delivery>,
}

/// The controls of this service: with accounts in memory or on a server, as its settings say.
pub(crate) type Controls = flashops::Controls<ConfiguredStore>;

pub(crate) fn app(
    settings: &Settings,
    providers: Providers,
    exporter: PrometheusHandle,
) -> Result<App, Box<dyn Error>> {
    let config = &settings.config;
    let audit = settings.audit.then(|| WindowAudit::new(config.policy().clone()));
    let recorders: Vec<WindowAudit> = audit.iter().cloned().collect();
    let health = Health::new(&providers, &settings.dependencies)?;
    let store = Arc::new(ConfiguredStore::open(config)?);
    if let Some(check) = store.check("store") {
        health.service.register(check)?;
    }
    let controls = Controls::with_store(config, store, recorders, routes_of_models())
        .with_health(health.service.clone())
        .with_route_of(matched_path);
    let controls = Arc::new(controls);
    let admins = Admins { controls: Arc::clone(&controls) };
    let deliveries = controls.deliver_alerts(config.alerts(), providers.client())?;
    let report = UsageReport::new(controls.current_budget().clone(), controls.tally().clone());
    let known = Arc::clone(&controls);
    let report =
        report.with_alerts(Arc::clone(controls.alerts())).with_callers(move || Arc::clone(known.callers().table()));
    let usage_route = Router::new()
        .route("/api/v1/ai/usage", get(usage::<ConfiguredStore>))
        .layer(from_fn_with_state(admins.clone(), mark))
        .with_state(report);
    let metrics_route = Router::new()
        .route("/api/v1/metrics", get(metrics))
        .layer(from_fn(only_admins))
        .layer(from_fn_with_state(admins.clone(), mark))
        .with_state(exporter);
    let router = Router::new()
        .merge(usage_route)
        .merge(metrics_route)
        .merge(health.routes(admins))
        .merge(model_routes().with_state(Models { providers, controls: Arc::clone(&controls) }))
        .merge(pages::routes())
        .fallback(pages::not_found)
        .layer(controls.layer())
        .layer(from_fn(peer_addr))
        .layer(DefaultBodyLimit::disable());
    Ok(App { router, health, audit, controls, deliveries })
}

/// The routes on which this service calls a model, whatever the configuration says of them.
fn routes_of_models() -> Vec<ModelRoute> {
    let chat = |path: &&str| {
        let route = ModelRoute::new(path, WireFormat::OpenAiChat).expect("these paths are well-formed");
        route.with_dialect(Dialect::OpenAi).with_default_model(DEFAULT_MODEL)
    };
    CHAT_ROUTES.iter().map(chat).chain(ModelRoute::standard()).collect()
}

/// What the routes of models share.
#[derive(Clone)]
struct Models {
    providers: Providers,
    controls: Arc<Controls>,
}

fn model_routes() -> Router<Models> {
    let mut routes = Router::new()
        .route("/v1/chat/completions", post(openai))
        .route("/v1/responses", post(openai))
        .route("/v1/embeddings", post(openai))
        .route("/v1/messages", post(anthropic));
    for route in CHAT_ROUTES {
        routes = routes.route(route, post(chat));
    }
    routes
}

async fn openai(State(models): State<Models>, mut request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let asker = Asker::of(&models, &mut request);
    models.providers.openai(request, &path).await.unwrap_or_else(|error| asker.told(error))
}

async fn anthropic(State(models): State<Models>, mut request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let asker = Asker::of(&models, &mut request);
    models.providers.anthropic(request, &path).await.unwrap_or_else(|error| asker.told(error))
}

/// A chat completion whose model may be left out.
async fn chat(State(models): State<Models>, mut request: Request) -> Response {
    let configured = models.controls.default_model_of(request.uri().path());
    let model = configured.as_deref().unwrap_or(DEFAULT_MODEL);
    let asker = Asker::of(&models, &mut request);
    let (mut parts, body) = request.into_parts();
    // The token budget has read it, within its bound.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let bytes = match Inspected::read(WireFormat::OpenAiChat, bytes.clone()) {
        Ok(request) if request.model().is_none() => {
            request.rewrite(Rewrite { model: Some(model), ..Rewrite::default() })
        }
        _ => bytes,
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let request = Request::from_parts(parts, Body::from(bytes));
    models.providers.openai(request, "/v1/chat/completions").await.unwrap_or_else(|error| asker.told(error))
}

/// Whom an error is told to.
struct Asker {
    dialect: Dialect,
    id: Option<HeaderValue>,
}

impl Asker {
    /// The dialect goes with the request: a refusal in place of its provider is written in it too.
    fn of(models: &Models, request: &mut Request) -> Self {
        let dialect = models.controls.dialect_of(request.uri().path(), request.headers());
        request.extensions_mut().insert(dialect);
        Self { dialect, id: request.headers().get(X_REQUEST_ID).cloned() }
    }

    fn told(&self, error: Unreachable) -> Response {
        let id = self.id.as_ref().and_then(RequestId::from_value);
        // The time is for refusals that name an instant.
        error.response(&RefusalContext::new(self.dialect, UnixSeconds::default()).with_request_id(id))
    }
}
