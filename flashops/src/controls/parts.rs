use std::sync::Arc;

use flashops_core::budget::{Budget, CurrentBudget, RateLimiter};
use flashops_core::clock::Clock;
use flashops_core::config::Config;
use flashops_core::health::HealthRegistry;
use flashops_core::price::Prices;
use flashops_core::record::{EstimateErrors, Event, Recorder, Tally, TokenThreshold};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::ModelRoute;
use flashops_tower::http_metrics::FindRoute;
use flashops_tower::ip_allow::AddressList;

use super::edge::address_rules;
use super::observe;

/// What stays when another configuration comes into force.
pub(super) struct Parts<C: Clock> {
    pub(super) budget: CurrentBudget<MemoryStore<C>>,
    pub(super) tally: Arc<Tally>,
    pub(super) errors: Arc<EstimateErrors>,
    pub(super) addresses: AddressList,
    /// The routes of models that the service has itself.
    pub(super) own: Vec<ModelRoute>,
    pub(super) health: HealthRegistry,
    pub(super) route_of: Option<FindRoute>,
    pub(super) timer: Option<Arc<dyn Clock>>,
    recorder: Arc<dyn Recorder>,
}

impl<C: Clock> Parts<C> {
    pub(super) fn new(config: &Config, clock: C, recorder: impl Recorder, own: Vec<ModelRoute>) -> Self {
        let options = config.options();
        let store = MemoryStore::with_bounds(Arc::new(config.policy().clone()), clock, options.bounds);
        let threshold = TokenThreshold::new(options.threshold_tokens.get(), options.threshold_window)
            .expect("a configuration has checked its threshold");
        let prices = Prices::from(Arc::clone(config.prices()));
        let recorder: Arc<dyn Recorder> = Arc::new((observe::recorders(config, &prices), recorder));
        let told = Arc::clone(&recorder);
        let tally = Tally::with_bounds(threshold, Tally::DEFAULT_MAX_ROWS)
            .on_threshold(move |reached| told.record(&Event::OrgThreshold(reached)));
        let tally = Arc::new(tally);
        let errors = Arc::new(EstimateErrors::new());
        let all = ((Arc::clone(&tally), Arc::clone(&errors)), Arc::clone(&recorder));
        Self {
            budget: Budget::new(Arc::new(store), prices, all).into(),
            tally,
            errors,
            addresses: AddressList::new(address_rules(config.http())),
            own,
            // Until there are checks, it lets everything through.
            health: HealthRegistry::new(),
            route_of: None,
            timer: None,
            recorder,
        }
    }

    /// A limiter of requests on the accounts in force.
    pub(super) fn limiter(&self) -> RateLimiter<MemoryStore<C>> {
        let store = Arc::clone(self.budget.load().store());
        let told = (Arc::clone(&self.tally), Arc::clone(&self.recorder));
        RateLimiter::with_store(store).with_recorder(Arc::new(told))
    }
}
