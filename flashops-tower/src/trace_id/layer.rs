use std::sync::Arc;

use flashops_core::limit::RoutePatterns;
use tower_layer::Layer;

use super::identity::TrustIncoming;
use super::service::TraceIdService;
use crate::budget::ModelRoute;
use crate::reject::{Refuser, Reject};

/// Gives every request an identity, and every error a body. See the [module docs](super).
///
/// It belongs outside of everything that refuses or logs.
#[derive(Clone, Debug, Default)]
pub struct TraceIdLayer {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) trust: TrustIncoming,
    pub(super) refuser: Refuser,
    /// The routes whose plain text is meant as it is.
    pub(super) text_routes: RoutePatterns,
}

impl TraceIdLayer {
    /// A layer that takes over what is well-formed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose identities to take over.
    #[must_use]
    pub fn with_trust(self, trust: TrustIncoming) -> Self {
        self.with(|shared| shared.trust = trust)
    }

    /// How error bodies are written.
    #[must_use]
    pub fn with_reject(self, reject: impl Reject + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.refuser.reject = Arc::new(reject))
    }

    /// Answers in the dialects of these routes, and leaves their plain text as it is. Without any, a path such as
    /// `/v1/messages` says it.
    #[must_use]
    pub fn with_model_routes(self, routes: Arc<[ModelRoute]>) -> Self {
        self.with(|shared| shared.refuser.routes = routes)
    }

    /// Leaves errors of plain text on these routes as they are: those of health checks, which programs read.
    #[must_use]
    pub fn with_text_routes(self, routes: RoutePatterns) -> Self {
        self.with(|shared| shared.text_routes = routes)
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for TraceIdLayer {
    type Service = TraceIdService<S>;

    fn layer(&self, inner: S) -> TraceIdService<S> {
        TraceIdService::new(inner, Arc::clone(&self.shared))
    }
}
