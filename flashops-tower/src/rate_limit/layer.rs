use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use flashops_core::budget::RateLimiter;
use flashops_core::caller::Caller;
use flashops_core::key::{Key, Scope, ScopeSet, Scopes};
use flashops_core::limit::{Limit, LimitSet, RoutePatterns};
use flashops_core::store::Store;
use http::request::Parts;
use http::{Method, Response};
use tower_layer::Layer;

use super::service::RateLimit;
use crate::budget::ModelRoute;
use crate::identify::Identify;
use crate::path::plain;
use crate::per_thread::{Apart, PerThread};
use crate::reject::headers::{Family, Headers};
use crate::reject::{DefaultReject, Refusal, RefusalContext, Reject, RejectBody, RequestId, refuse};

/// Counts requests under the request limits of a policy. See the [module docs](super).
pub struct RateLimitLayer<T, I> {
    shared: Shared<T, I>,
    copies: Copies<T, I>,
}

/// What all services of a layer share, counted for each thread by itself.
pub(super) type Copies<T, I> = Arc<PerThread<Copied<T, I>>>;
pub(super) type Copied<T, I> = Arc<Apart<Shared<T, I>>>;

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
    /// The scopes that they count for.
    scopes: ScopeSet,
    /// The request's extensions get the caller.
    pub(super) extends: bool,
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
        Self::of(Shared {
            requests,
            everywhere: look_at_route.is_empty().then_some(requests),
            scopes: requests.iter().map(|index| policy.limit(index).scope()).collect(),
            extends: false,
            reject: Arc::new(DefaultReject::new()),
            headers: Arc::new(Headers::new(policy, [Family::Ietf])),
            identify: Arc::new(identify),
            model_routes: None,
            exempt: None,
            limiter,
        })
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(self, reject: impl Reject + Send + Sync + 'static) -> Self {
        Self::of(Shared { reject: Arc::new(reject), ..self.shared })
    }

    /// Which headers tell how the limits stand, by default those of the IETF.
    #[must_use]
    pub fn with_headers(self, headers: Headers) -> Self {
        Self::of(Shared { headers: Arc::new(headers), ..self.shared })
    }

    /// Leaves the routes that call a model to a [token budget](crate::budget) layer, which holds all limits of a call
    /// at once. Requests on them pass uncounted, and limits on calls of a model, such as those without routes, count
    /// nothing here.
    #[must_use]
    pub fn with_model_routes(self, routes: Vec<ModelRoute>) -> Self {
        Self::of(Shared { model_routes: Some(routes.into()), ..self.shared })
    }

    /// Lets requests on these routes pass uncounted and unidentified: those for health checks.
    #[must_use]
    pub fn with_exempt(self, exempt: RoutePatterns) -> Self {
        Self::of(Shared { exempt: Some(Arc::new(exempt)), ..self.shared })
    }

    /// Puts the [`Caller`] of each request that is counted into the request's extensions, for whoever is further
    /// inside.
    #[must_use]
    pub fn with_caller_extension(self) -> Self {
        Self::of(Shared { extends: true, ..self.shared })
    }
}

impl<T, I> RateLimitLayer<T, I> {
    fn of(shared: Shared<T, I>) -> Self {
        let copies = Arc::new(PerThread::new(|| Arc::new(Apart(shared.clone()))));
        Self { shared, copies }
    }
}

impl<T: Store, I> Shared<T, I> {
    /// The path of a request in one spelling; anything if nobody looks at it.
    #[inline]
    pub(super) fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let nobody_looks =
            self.everywhere.is_some() && self.model_routes.is_none() && self.exempt.is_none() && !self.counts_routes();
        if nobody_looks { Cow::Borrowed(path) } else { plain(path) }
    }

    /// Whether a request passes uncounted.
    #[inline]
    pub(super) fn passes(&self, method: &Method, path: &str) -> bool {
        self.exempt.as_ref().is_some_and(|exempt| exempt.contains(path))
            || self.model_routes.as_ref().is_some_and(|routes| ModelRoute::find(routes, method, path).is_some())
    }

    /// The limits that count on a route.
    #[inline]
    pub(super) fn limits(&self, path: &str) -> LimitSet {
        match (self.everywhere, &self.model_routes) {
            (Some(limits), None) => limits,
            (None, None) => {
                let on_path = |limit: &Limit| limit.routes().is_none_or(|routes| routes.contains(path));
                self.limiter.policy().select(on_path).intersection(self.requests)
            }
            (_, Some(_)) => self.limiter.policy().limits_on(path, false).intersection(self.requests),
        }
    }

    #[cold]
    pub(super) fn refuse(&self, parts: &Parts, refusal: &Refusal<'_>) -> Response<RejectBody> {
        let routes = self.model_routes.as_deref().unwrap_or_default();
        let dialect = ModelRoute::dialect_of(routes, parts.uri.path(), &parts.headers);
        let context = RefusalContext::new(dialect, self.limiter.store().now().unix);
        refuse(&*self.reject, &self.headers, refusal, &context.with_request_id(RequestId::of(&parts.headers)))
    }

    /// Adds the keys that a request is counted for: those that a limit may count.
    #[inline]
    pub(super) fn add_keys<'a>(&self, caller: &'a Caller, path: &'a str, keys: &mut Scopes<'a>) {
        caller.add_scopes(self.scopes, keys);
        if self.counts_routes() {
            keys.push(Key::new(Scope::Route, path));
        }
        if self.scopes.contains(Scope::Global) {
            keys.push(Key::global());
        }
    }

    /// Whether a limit counts for each route.
    #[inline]
    pub(super) const fn counts_routes(&self) -> bool {
        self.scopes.contains(Scope::Route)
    }
}

impl<T, I> Clone for RateLimitLayer<T, I> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), copies: Arc::clone(&self.copies) }
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
        RateLimit::new(inner, Arc::clone(&self.copies))
    }
}
