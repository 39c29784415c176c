use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::budget::Budget;
use flashops_core::key::Scope;
use flashops_core::limit::{Denied, Limit, Resource};
use flashops_core::record::FallbackReason;
use flashops_core::store::Store;
use http::{Response, StatusCode};
use tower_layer::Layer;

use super::service::Fallback;
use crate::budget::ModelRoute;
use crate::provider_limits::HeldBack;
use crate::reject::NotDispatched;

/// How long the end of a failed answer is waited for, unless told otherwise.
pub const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Tries the next model of a route; see the [module docs](super).
pub struct FallbackLayer<T: Store> {
    shared: Arc<Shared<T>>,
}

pub(super) struct Shared<T: Store> {
    pub(super) budget: Budget<T>,
    pub(super) routes: Vec<ModelRoute>,
    pub(super) max_drain_time: Duration,
}

impl<T: Store> FallbackLayer<T> {
    /// A layer for the routes that have a chain of models; others pass.
    pub fn new(budget: Budget<T>, routes: Vec<ModelRoute>) -> Self {
        Self { shared: Arc::new(Shared { budget, routes, max_drain_time: MAX_DRAIN_TIME }) }
    }

    /// The same, waiting for at most so long for the end of a failed answer. What has not ended by then is charged as
    /// an answer that was cut, since nobody knows what its provider bills.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn with_max_drain_time(self, most: Duration) -> Self {
        let (budget, routes) = (self.shared.budget.clone(), self.shared.routes.clone());
        Self { shared: Arc::new(Shared { budget, routes, max_drain_time: most }) }
    }
}

impl<T: Store> Shared<T> {
    /// Why another model could do better than this answer, if it could.
    pub(super) fn reason<R>(&self, response: &Response<R>) -> Option<FallbackReason> {
        if let Some(denied) = response.extensions().get::<Denied>() {
            return self.costs_too_much(denied).then_some(FallbackReason::Budget);
        }
        if response.extensions().get::<HeldBack>().is_some() {
            return Some(FallbackReason::Provider);
        }
        let status = response.status();
        let failed = match response.extensions().get::<NotDispatched>() {
            // The provider was not reached; any other refusal is about the request.
            Some(_) => matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT),
            None => {
                matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
                    || status.is_server_error()
            }
        };
        failed.then_some(FallbackReason::Provider)
    }

    /// Whether nothing refused but limits that count less, or elsewhere, for another model.
    fn costs_too_much(&self, denied: &Denied) -> bool {
        let depends_on_the_model = |limit: &Limit| {
            limit.resource() == Resource::Cost || matches!(limit.scope(), Scope::Model | Scope::Provider)
        };
        let policy = self.budget.policy();
        policy
            .indexed()
            .filter(|(index, _)| denied.violated.contains(*index))
            .all(|(_, limit)| depends_on_the_model(limit))
    }
}

impl<T: Store> Clone for FallbackLayer<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Store> fmt::Debug for FallbackLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("routes", &self.shared.routes).finish_non_exhaustive()
    }
}

impl<S, T: Store> Layer<S> for FallbackLayer<T> {
    type Service = Fallback<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback::new(inner, Arc::clone(&self.shared))
    }
}
