use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use flashops_core::clock::Clock;
use flashops_core::health::HealthRegistry;
use flashops_core::store::MemoryStore;
use flashops_tower::budget::{CallFailed, ModelRoute, TokenBudget, TokenBudgetLayer};
use flashops_tower::fallback::{Fallback, FallbackLayer};
use flashops_tower::gate::{Gate, GateLayer};
use flashops_tower::http_metrics::FindRoute;
use flashops_tower::rate_limit::{RateLimit, RateLimitLayer};
use http::{Response, StatusCode};
use http_body_util::Full;
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer, ResponseForPanic};
use tower_layer::Layer;

use super::edge::{Edge, EdgeLayer};
use super::identify::ConfiguredCallers;

/// All layers of a [`Controls`](super::Controls), in the order that the [module docs](super) tell.
pub struct ControlsLayer<C: Clock> {
    edge: EdgeLayer,
    gate: GateLayer,
    rate_limit: RateLimitLayer<MemoryStore<C>, ConfiguredCallers>,
    fallback: FallbackLayer<MemoryStore<C>>,
    token_budget: TokenBudgetLayer<MemoryStore<C>, ConfiguredCallers>,
    routes: Arc<[ModelRoute]>,
}

impl<C: Clock> ControlsLayer<C> {
    pub(super) const fn new(
        edge: EdgeLayer,
        gate: GateLayer,
        rate_limit: RateLimitLayer<MemoryStore<C>, ConfiguredCallers>,
        fallback: FallbackLayer<MemoryStore<C>>,
        token_budget: TokenBudgetLayer<MemoryStore<C>, ConfiguredCallers>,
        routes: Arc<[ModelRoute]>,
    ) -> Self {
        Self { edge, gate, rate_limit, fallback, token_budget, routes }
    }

    /// The same, with the templates of routes that a router found as labels of metrics, such as
    /// `flashops::axum::matched::matched_path`. Otherwise only the routes of models have labels of their own.
    #[must_use]
    pub fn with_route_of(self, template: FindRoute) -> Self {
        Self { edge: self.edge.map_observers(|observers| observers.with_route_of(template)), ..self }
    }

    /// The same, measuring durations for logs and metrics with this clock; the system's unless told otherwise. The
    /// clock of limits may be coarser.
    #[must_use]
    pub fn with_timer(self, clock: impl Clock + Clone) -> Self {
        Self { edge: self.edge.map_observers(|observers| observers.with_clock(clock)), ..self }
    }

    pub(super) fn with_health(self, health: HealthRegistry) -> Self {
        Self { gate: self.gate.with_health(health), ..self }
    }

    pub(super) fn routes(&self) -> &[ModelRoute] {
        &self.routes
    }
}

impl<C: Clock> Clone for ControlsLayer<C> {
    fn clone(&self) -> Self {
        Self {
            edge: self.edge.clone(),
            gate: self.gate.clone(),
            rate_limit: self.rate_limit.clone(),
            fallback: self.fallback.clone(),
            token_budget: self.token_budget.clone(),
            routes: Arc::clone(&self.routes),
        }
    }
}

impl<C: Clock> fmt::Debug for ControlsLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlsLayer").finish_non_exhaustive()
    }
}

type Budgeted<S, C> =
    TokenBudget<CatchPanic<S, MarkPanic>, MemoryStore<C>, ConfiguredCallers, flashops_tower::budget::AlwaysSent>;

type Limited<S, C> = RateLimit<Fallback<Budgeted<S, C>, MemoryStore<C>>, MemoryStore<C>, ConfiguredCallers>;

impl<S, C: Clock> Layer<S> for ControlsLayer<C> {
    type Service = Edge<Gate<Limited<S, C>>>;

    fn layer(&self, inner: S) -> Self::Service {
        let caught = CatchPanicLayer::custom(MarkPanic).layer(inner);
        let budgeted = self.fallback.layer(self.token_budget.layer(caught));
        self.edge.layer(self.gate.layer(self.rate_limit.layer(budgeted)))
    }
}

/// Makes a response of a panic that says nothing of it; further out it gets a body in the dialect of the route.
#[derive(Clone, Copy, Debug)]
pub struct MarkPanic;

impl ResponseForPanic for MarkPanic {
    type ResponseBody = Full<Bytes>;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(CallFailed);
        response
    }
}
