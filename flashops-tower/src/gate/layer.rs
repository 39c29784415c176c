use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use flashops_core::health::HealthRegistry;
use flashops_core::limit::RoutePatterns;
use http::{Request, Response};
use tower_layer::Layer;

use super::service::Gate;
use crate::budget::ModelRoute;
use crate::path::plain;
use crate::reject::{DefaultReject, NotDispatched, Refusal, RefusalContext, Reject, RejectBody, RequestId};

/// Turns requests away while a critical check for readiness fails; see the [module docs](super).
#[derive(Clone)]
pub struct GateLayer {
    shared: Arc<Shared>,
}

/// What all services of a layer share.
#[derive(Clone)]
pub(super) struct Shared {
    health: HealthRegistry,
    exempt: Option<RoutePatterns>,
    routes: Arc<[ModelRoute]>,
    reject: Arc<dyn Reject + Send + Sync>,
    retry: Duration,
}

impl GateLayer {
    /// How long those who are turned away are told to wait, unless told otherwise: long enough for a check to be asked
    /// again where it is asked often.
    pub const RETRY: Duration = Duration::from_secs(5);

    /// A layer that looks at this registry.
    pub fn new(health: HealthRegistry) -> Self {
        Self::of(Shared {
            health,
            exempt: None,
            routes: Arc::default(),
            reject: Arc::new(DefaultReject::new()),
            retry: Self::RETRY,
        })
    }

    /// The same, looking at another registry.
    #[must_use]
    pub fn with_health(self, health: HealthRegistry) -> Self {
        Self::of(Shared { health, ..Shared::clone(&self.shared) })
    }

    /// Lets requests on these routes pass in any case: those for health checks.
    #[must_use]
    pub fn with_exempt(self, exempt: RoutePatterns) -> Self {
        Self::of(Shared { exempt: Some(exempt), ..Shared::clone(&self.shared) })
    }

    /// The routes whose dialects refusals are written in.
    #[must_use]
    pub fn with_routes(self, routes: impl Into<Arc<[ModelRoute]>>) -> Self {
        Self::of(Shared { routes: routes.into(), ..Shared::clone(&self.shared) })
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(self, reject: impl Reject + Send + Sync + 'static) -> Self {
        Self::of(Shared { reject: Arc::new(reject), ..Shared::clone(&self.shared) })
    }

    /// How long those who are turned away are told to wait.
    #[must_use]
    pub fn with_retry(self, retry: Duration) -> Self {
        Self::of(Shared { retry, ..Shared::clone(&self.shared) })
    }

    fn of(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    /// Whether a request goes on.
    #[inline]
    pub(super) fn admits<B>(&self, request: &Request<B>) -> bool {
        !self.health.is_shedding() || self.is_exempt(request.uri().path())
    }

    #[cold]
    fn is_exempt(&self, path: &str) -> bool {
        self.exempt.as_ref().is_some_and(|exempt| exempt.contains(&plain(path)))
    }

    #[cold]
    pub(super) fn refuse<B>(&self, request: &Request<B>) -> Response<RejectBody> {
        let dialect = ModelRoute::dialect_of(&self.routes, request.uri().path(), request.headers());
        // The time is for refusals that name an instant.
        let context = RefusalContext::new(dialect, UnixSeconds::default());
        let context = context.with_request_id(RequestId::of(request.headers()));
        let mut response = self.reject.reject(&Refusal::Overloaded { retry: self.retry }, &context);
        response.extensions_mut().insert(NotDispatched);
        response
    }
}

impl fmt::Debug for GateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer").field("health", &self.shared.health).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate::new(inner, Arc::clone(&self.shared))
    }
}
