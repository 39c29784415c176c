use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flashops_core::alert::Alerts;
use flashops_core::budget::{Budget, CurrentBudget};
use flashops_core::clock::{Clock, CoarseClock};
use flashops_core::config::Config;
use flashops_core::health::HealthRegistry;
use flashops_core::record::{EstimateErrors, Recorder, Tally};
use flashops_core::store::{MemoryStore, Store};
use flashops_tower::budget::ModelRoute;
use flashops_tower::http_metrics::FindRoute;
use flashops_tower::ip_allow::AddressList;
use flashops_tower::reject;
use http::HeaderMap;
use parking_lot::Mutex;

use super::ControlsLayer;
use super::identify::ConfiguredCallers;
use super::parts::Parts;
use super::stack::Stack;

/// The paths that are neither counted, identified, turned away, logged nor measured: health checks.
pub const EXEMPT_PATHS: [&str; 6] =
    ["/livez", "/livez/*", "/readyz", "/readyz/*", "/api/v1/health/**", "/api/v1/ai/health"];

/// The paths that stay open while a critical check fails, beside [`EXEMPT_PATHS`]: metrics, which say which one it is.
pub const METRICS_PATHS: [&str; 2] = ["/metrics", "/api/v1/metrics"];

/// The controls of a configuration, with accounts in memory or in another store. See the [module docs](super).
///
/// [`Controls::reload`] puts another configuration into force.
pub struct Controls<T: Store = MemoryStore<CoarseClock>> {
    pub(super) parts: Parts<T>,
    pub(super) in_force: Mutex<Config>,
    pub(super) current: Arc<ArcSwap<Stack<T>>>,
}

impl Controls {
    /// The controls of a configuration, with accounts in memory, whatever its table `[store]` says.
    pub fn new(config: &Config) -> Self {
        Self::with(config, CoarseClock::new(), ())
    }
}

impl<C: Clock> Controls<MemoryStore<C>> {
    /// The controls of a configuration, with a clock, and with a recorder beside the [`Tally`].
    pub fn with(config: &Config, clock: C, recorder: impl Recorder) -> Self {
        Self::with_routes(config, clock, recorder, ModelRoute::standard())
    }

    /// The same, for a service that calls a model on routes of its own: those of the configuration come first, then
    /// these, which take the place of the [standard ones](ModelRoute::standard).
    pub fn with_routes(config: &Config, clock: C, recorder: impl Recorder, own: Vec<ModelRoute>) -> Self {
        let policy = Arc::new(config.policy().clone());
        let store = MemoryStore::with_bounds(policy, clock, config.options().bounds);
        Self::with_store(config, Arc::new(store), recorder, own)
    }
}

impl<T: Store> Controls<T> {
    /// The same with accounts in a store that was made for the policy of the configuration.
    pub fn with_store(config: &Config, store: Arc<T>, recorder: impl Recorder, own: Vec<ModelRoute>) -> Self {
        Self::of(Parts::new(config, store, recorder, own), config.clone())
    }

    fn of(parts: Parts<T>, config: Config) -> Self {
        let stack = Stack::new(&config, &parts);
        Self { parts, in_force: Mutex::new(config), current: Arc::new(ArcSwap::from_pointee(stack)) }
    }

    fn with_parts(mut self, change: impl FnOnce(&mut Parts<T>)) -> Self {
        change(&mut self.parts);
        Self::of(self.parts, self.in_force.into_inner())
    }

    /// The same, turning requests away with 503 while a critical check of this registry for readiness fails. Health
    /// checks ([`EXEMPT_PATHS`]) and [`METRICS_PATHS`] pass, and nothing else does, the usage report neither. What is
    /// turned away is not counted. Layers that were made before do not know of it.
    #[must_use]
    pub fn with_health(self, health: HealthRegistry) -> Self {
        self.with_parts(|parts| parts.health = health)
    }

    /// The same, with the templates of routes that a router found as labels of metrics, such as
    /// `flashops::axum::matched::matched_path`. Otherwise only the routes of models have labels of their own. Layers
    /// that were made before do not know of it.
    #[must_use]
    pub fn with_route_of(self, template: FindRoute) -> Self {
        self.with_parts(|parts| parts.route_of = Some(template))
    }

    /// The same, measuring durations for logs and metrics with this clock; the system's unless told otherwise. The
    /// clock of limits may be coarser. Layers that were made before do not know of it.
    #[must_use]
    pub fn with_timer(self, clock: impl Clock) -> Self {
        self.with_parts(|parts| parts.timer = Some(Arc::new(clock)))
    }

    /// The budget in force, for work that no layer sees. Keep [`Controls::current_budget`] instead of it.
    pub fn budget(&self) -> Budget<T> {
        self.parts.budget.load()
    }

    /// A handle on the budget in force: for extractors and reports.
    pub const fn current_budget(&self) -> &CurrentBudget<T> {
        &self.parts.budget
    }

    /// What was used, by whom.
    pub const fn tally(&self) -> &Arc<Tally> {
        &self.parts.tally
    }

    /// How far estimates were off.
    pub const fn estimate_errors(&self) -> &Arc<EstimateErrors> {
        &self.parts.errors
    }

    /// What tells an operator. Sinks can be added.
    pub const fn alerts(&self) -> &Arc<Alerts> {
        &self.parts.alerts
    }

    /// Which addresses may come: to administrators' routes, and at all. Its rules can be replaced.
    pub const fn addresses(&self) -> &AddressList {
        &self.parts.addresses
    }

    /// Who has which key, in the configuration in force.
    pub fn callers(&self) -> ConfiguredCallers {
        self.current.load().callers().clone()
    }

    /// The dialect in which clients on this path expect an error, for those that the service writes itself.
    pub fn dialect_of(&self, path: &str, headers: &HeaderMap) -> reject::Dialect {
        ModelRoute::dialect_of(self.current.load().routes(), path, headers)
    }

    /// The model of requests on this path that name none, for the service that writes it into them.
    pub fn default_model_of(&self, path: &str) -> Option<Arc<str>> {
        ModelRoute::default_model_of(self.current.load().routes(), path)
    }

    /// The layers.
    pub fn layer(&self) -> ControlsLayer<T> {
        ControlsLayer::new(Arc::clone(&self.current))
    }
}

impl<T: Store> fmt::Debug for Controls<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controls").field("tally", &self.parts.tally).finish_non_exhaustive()
    }
}
