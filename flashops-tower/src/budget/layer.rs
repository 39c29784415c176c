use std::fmt;
use std::sync::Arc;

use flashops_core::budget::Budget;
use flashops_core::config::{StoredContent, UnmeteredRoutes};
use flashops_core::store::Store;
use tower_layer::Layer;

use super::AlwaysSent;
use super::route::ModelRoute;
use super::service::TokenBudget;
use crate::identify::Identify;
use crate::inspect::DEFAULT_LIMIT;
use crate::reject::headers::{Family, Headers};
use crate::reject::{DefaultReject, Reject};

/// How many searches are held for a call that lets its provider search and does not say how often, if the layer is not
/// told another number.
pub const SEARCHES_PER_CALL: u64 = 10;

/// Reserves before each call of a model, and settles after it. See the [module docs](super).
pub struct TokenBudgetLayer<T: Store, I, K = AlwaysSent> {
    shared: Arc<Shared<T, I, K>>,
}

/// What all services of a layer share.
pub(super) struct Shared<T: Store, I, K> {
    pub(super) budget: Budget<T>,
    pub(super) identify: Arc<I>,
    pub(super) sent: Arc<K>,
    pub(super) options: Arc<Options>,
}

/// What can be chosen.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) routes: Vec<ModelRoute>,
    pub(super) reject: Arc<dyn Reject + Send + Sync>,
    pub(super) headers: Headers,
    pub(super) stored: StoredContent,
    pub(super) searches_per_call: u64,
    pub(super) unmetered: UnmeteredRoutes,
    pub(super) inspect_bytes: usize,
    /// The request's extensions get the caller.
    pub(super) extends: bool,
    /// They get what is held.
    pub(super) tells_held: bool,
}

impl<T: Store, I: Identify> TokenBudgetLayer<T, I> {
    /// A layer over a budget, for callers that `identify` finds, on the [standard routes](ModelRoute::standard).
    pub fn new(budget: Budget<T>, identify: I) -> Self {
        let options = Options {
            routes: ModelRoute::standard(),
            reject: Arc::new(DefaultReject::new()),
            headers: Headers::new(budget.policy(), [Family::Ietf]),
            stored: StoredContent::default(),
            searches_per_call: SEARCHES_PER_CALL,
            unmetered: UnmeteredRoutes::default(),
            inspect_bytes: DEFAULT_LIMIT,
            extends: false,
            tells_held: false,
        };
        let (identify, sent, options) = (Arc::new(identify), Arc::new(AlwaysSent), Arc::new(options));
        Self { shared: Arc::new(Shared { budget, identify, sent, options }) }
    }
}

impl<T: Store, I, K> TokenBudgetLayer<T, I, K> {
    /// The routes that call a model, in place of the standard ones. The first that matches counts; a request on no
    /// route passes untouched, unless it calls a model all the same (see [`UnmeteredRoutes`]).
    #[must_use]
    pub fn with_routes(mut self, routes: Vec<ModelRoute>) -> Self {
        self.options().routes = routes;
        self
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(mut self, reject: impl Reject + Send + Sync + 'static) -> Self {
        self.options().reject = Arc::new(reject);
        self
    }

    /// Which headers tell how the limits stand, by default those of the IETF.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.options().headers = headers;
        self
    }

    /// What becomes of content that the provider keeps.
    #[must_use]
    pub fn with_stored_content(mut self, stored: StoredContent) -> Self {
        self.options().stored = stored;
        self
    }

    /// How many searches are held for a call that lets its provider search and does not say how often, by default
    /// [`SEARCHES_PER_CALL`]. What it makes beyond that is debt.
    #[must_use]
    pub fn with_searches_per_call(mut self, most: u64) -> Self {
        self.options().searches_per_call = most;
        self
    }

    /// What becomes of a call of a model on none of the routes.
    #[must_use]
    pub fn with_unmetered_routes(mut self, unmetered: UnmeteredRoutes) -> Self {
        self.options().unmetered = unmetered;
        self
    }

    /// The most bytes of a request body that are read, by default 8 MiB; a longer one is refused with 413.
    #[must_use]
    pub fn with_inspect_bytes(mut self, most: usize) -> Self {
        self.options().inspect_bytes = most;
        self
    }

    /// Puts the [`Caller`](flashops_core::caller::Caller) of each call into the request's extensions, for whoever is
    /// further inside.
    #[must_use]
    pub fn with_caller_extension(mut self) -> Self {
        self.options().extends = true;
        self
    }

    /// Puts what is [held](super::Held) for each call into the request's extensions, for a
    /// [`ProviderLimitsLayer`](crate::provider_limits::ProviderLimitsLayer) further inside.
    #[must_use]
    pub fn with_held_extension(mut self) -> Self {
        self.options().tells_held = true;
        self
    }

    /// Decides by an error of the inner service whether the request was sent to the provider. If it was not, the
    /// reservation is voided.
    #[must_use]
    pub fn with_sent<K2>(self, sent: K2) -> TokenBudgetLayer<T, I, K2> {
        let Shared { budget, identify, sent: _, options } = Arc::unwrap_or_clone(self.shared);
        TokenBudgetLayer { shared: Arc::new(Shared { budget, identify, sent: Arc::new(sent), options }) }
    }

    fn options(&mut self) -> &mut Options {
        Arc::make_mut(&mut Arc::make_mut(&mut self.shared).options)
    }
}

impl<T: Store, I, K> Clone for Shared<T, I, K> {
    fn clone(&self) -> Self {
        Self {
            budget: self.budget.clone(),
            identify: Arc::clone(&self.identify),
            sent: Arc::clone(&self.sent),
            options: Arc::clone(&self.options),
        }
    }
}

impl<T: Store, I, K> Clone for TokenBudgetLayer<T, I, K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Store, I, K> fmt::Debug for TokenBudgetLayer<T, I, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBudgetLayer").field("routes", &self.shared.options.routes).finish_non_exhaustive()
    }
}

impl<S, T: Store, I, K> Layer<S> for TokenBudgetLayer<T, I, K> {
    type Service = TokenBudget<S, T, I, K>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenBudget::new(inner, Arc::clone(&self.shared))
    }
}
