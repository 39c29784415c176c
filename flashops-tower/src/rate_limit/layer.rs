use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use flashops_core::budget::RateLimiter;
use flashops_core::caller::Caller;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, LimitSet, RoutePatterns};
use flashops_core::store::Store;
use http::request::Parts;
use http::{Method, Response};
use tower_layer::Layer;

use super::service::RateLimit;
use crate::budget::ModelRoute;
use crate::identify::Identify;
use crate::path::plain;
use crate::reject::headers::{Family, Headers};
use crate::reject::{DefaultReject, Refusal, RefusalContext, Reject, RejectBody, RequestId, refuse};

/// Counts requests under the request limits of a policy. See the [module docs](super).
pub struct RateLimitLayer<T, I> {
    shared: Shared<T, I>,
}

/// What all services of a layer share.
pub(super) struct Shared<T, I> {
    pub(super) limiter: RateLimiter<T>,
    pub(super) identify: Arc<I>,
    reject: Arc<dyn Reject + Send + Sync>,
    pub(super) headers: Arc<Headers>,
    /// The limits that count requests.
    requests: LimitSet,
    /// The same, if none of them looks at the route.
    everywhere: Option<LimitSet>,
    /// A limit counts for each route.
    by_route: bool,
    /// The routes that another layer takes care of.
    model_routes: Option<Arc<[ModelRoute]>>,
    exempt: Option<Arc<RoutePatterns>>,
}

impl<T, I> Clone for Shared<T, I> {
    fn clone(&self) -> Self {
        Self {
            limiter: self.limiter.clone(),
            identify: Arc::clone(&self.identify),
            reject: Arc::clone(&self.reject),
            headers: Arc::clone(&self.headers),
            model_routes: self.model_routes.clone(),
            exempt: self.exempt.clone(),
            ..*self
        }
    }
}

impl<T: Store, I: Identify> RateLimitLayer<T, I> {
    /// A layer over a limiter, for callers that `identify` finds.
    pub fn new(limiter: RateLimiter<T>, identify: I) -> Self {
        let policy = limiter.policy();
        let requests = policy.request_limits();
        let look_at_route = policy.select(|limit| limit.routes().is_some()).intersection(requests);
        let by_route = policy.select(|limit| limit.scope() == Scope::Route).intersection(requests);
        Self {
            shared: Shared {
                requests,
                everywhere: look_at_route.is_empty().then_some(requests),
                by_route: !by_route.is_empty(),
                reject: Arc::new(DefaultReject::new()),
                headers: Arc::new(Headers::new(policy, [Family::Ietf])),
                identify: Arc::new(identify),
                model_routes: None,
                exempt: None,
                limiter,
            },
        }
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(mut self, reject: impl Reject + Send + Sync + 'static) -> Self {
        self.shared.reject = Arc::new(reject);
        self
    }

    /// Which headers tell how the limits stand, by default those of the IETF.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.shared.headers = Arc::new(headers);
        self
    }

    /// Leaves the routes that call a model to a [token budget](crate::budget) layer, which holds all limits of a call
    /// at once. Requests on them pass uncounted, and limits on calls of a model, such as those without routes, count
    /// nothing here.
    #[must_use]
    pub fn with_model_routes(mut self, routes: Vec<ModelRoute>) -> Self {
        self.shared.model_routes = Some(routes.into());
        self
    }

    /// Lets requests on these routes pass uncounted and unidentified: those for health checks.
    #[must_use]
    pub fn with_exempt(mut self, exempt: RoutePatterns) -> Self {
        self.shared.exempt = Some(Arc::new(exempt));
        self
    }
}

impl<T: Store, I> Shared<T, I> {
    /// Whether a request passes uncounted.
    pub(super) fn passes(&self, method: &Method, path: &str) -> bool {
        self.exempt.as_ref().is_some_and(|exempt| exempt.contains(&plain(path)))
            || self.model_routes.as_ref().is_some_and(|routes| ModelRoute::find(routes, method, path).is_some())
    }

    /// The limits that count on a route.
    pub(super) fn limits(&self, path: &str) -> LimitSet {
        match (self.everywhere, &self.model_routes) {
            (Some(limits), None) => limits,
            (None, None) => {
                let path = plain(path);
                let on_path = |limit: &Limit| limit.routes().is_none_or(|routes| routes.contains(&path));
                self.limiter.policy().select(on_path).intersection(self.requests)
            }
            (_, Some(_)) => self.limiter.policy().limits_on(&plain(path), false).intersection(self.requests),
        }
    }

    pub(super) fn refuse(&self, parts: &Parts, refusal: &Refusal<'_>) -> Response<RejectBody> {
        let routes = self.model_routes.as_deref().unwrap_or_default();
        let dialect = ModelRoute::dialect_of(routes, parts.uri.path(), &parts.headers);
        let context = RefusalContext::new(dialect, self.limiter.store().now().unix);
        refuse(&*self.reject, &self.headers, refusal, &context.with_request_id(RequestId::of(&parts.headers)))
    }

    /// The text of the route's key, if a limit counts for each route.
    pub(super) fn route<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        self.by_route.then(|| plain(path))
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
        Self { shared: self.shared.clone() }
    }
}

impl<T, I> fmt::Debug for RateLimitLayer<T, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limits", &self.shared.requests).finish_non_exhaustive()
    }
}

impl<S, T, I> Layer<S> for RateLimitLayer<T, I> {
    type Service = RateLimit<S, T, I>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::new(self.shared.clone()))
    }
}
