use std::fmt;
use std::sync::Arc;

use flashops_core::budget::RateLimiter;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::LimitSet;
use flashops_core::store::Store;
use flashops_core::caller::Caller;
use tower_layer::Layer;

use super::service::RateLimit;
use crate::identify::Identify;
use crate::reject::Rejector;

/// Counts requests under the request limits of a policy. See the [module docs](super).
pub struct RateLimitLayer<T, I> {
    shared: Arc<Shared<T, I>>,
}

/// What all services of a layer share.
pub(super) struct Shared<T, I> {
    pub(super) limiter: RateLimiter<T>,
    pub(super) identify: Arc<I>,
    pub(super) rejector: Rejector,
    /// Limits without routes count too.
    all_routes: bool,
    /// The limits that count wherever a request goes, if no limit looks at the route.
    everywhere: Option<LimitSet>,
    requests: LimitSet,
    /// A limit counts for each route.
    by_route: bool,
}

impl<T: Store, I: Identify> RateLimitLayer<T, I> {
    /// A layer over a limiter, for callers that `identify` finds.
    pub fn new(limiter: RateLimiter<T>, identify: I) -> Self {
        let rejector = Rejector::new(limiter.policy());
        Self::with(limiter, Arc::new(identify), rejector, true)
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_rejector(self, rejector: Rejector) -> Self {
        Self::with(self.shared.limiter.clone(), Arc::clone(&self.shared.identify), rejector, self.shared.all_routes)
    }

    /// Counts only under limits that name their routes.
    #[must_use]
    pub fn named_routes_only(self) -> Self {
        let Shared { limiter, identify, rejector, .. } = &*self.shared;
        Self::with(limiter.clone(), Arc::clone(identify), rejector.clone(), false)
    }

    fn with(limiter: RateLimiter<T>, identify: Arc<I>, rejector: Rejector, all_routes: bool) -> Self {
        let policy = limiter.policy();
        let requests = policy.request_limits();
        let named = policy.select(|limit| limit.routes().is_some()).intersection(requests);
        let unnamed = policy.select(|limit| limit.routes().is_none()).intersection(requests);
        let everywhere = named.is_empty().then_some(if all_routes { unnamed } else { LimitSet::EMPTY });
        let by_route = policy.select(|limit| limit.scope() == Scope::Route).intersection(requests);
        let by_route = !by_route.is_empty();
        Self { shared: Arc::new(Shared { limiter, identify, rejector, all_routes, everywhere, requests, by_route }) }
    }
}

impl<T: Store, I> Shared<T, I> {
    /// The limits that count on a route.
    pub(super) fn limits(&self, path: &str) -> LimitSet {
        let on = || self.limiter.policy().limits_on(path, self.all_routes).intersection(self.requests);
        self.everywhere.unwrap_or_else(on)
    }

    /// The text of the route's key, if a limit counts for each route.
    pub(super) fn route<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.by_route.then_some(path)
    }
}

/// The keys that a request is counted for.
pub(super) fn scopes<'a>(caller: &'a Caller, route: Option<&'a str>) -> Scopes<'a> {
    let scopes = caller.scopes().with(Key::global());
    match route {
        Some(route) => scopes.with(Key::new(Scope::Route, route)),
        None => scopes,
    }
}

impl<T, I> Clone for RateLimitLayer<T, I> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T, I> fmt::Debug for RateLimitLayer<T, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("rejector", &self.shared.rejector).finish_non_exhaustive()
    }
}

impl<S, T, I> Layer<S> for RateLimitLayer<T, I> {
    type Service = RateLimit<S, T, I>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::clone(&self.shared))
    }
}
