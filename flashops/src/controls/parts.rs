use std::sync::Arc;

use flashops_core::alert::Alerts;
use flashops_core::budget::{Budget, CurrentBudget, RateLimiter};
use flashops_core::clock::Clock;
use flashops_core::config::Config;
use flashops_core::health::HealthRegistry;
use flashops_core::price::Prices;
use flashops_core::record::{EstimateErrors, Event, Recorder, Tally, TokenThreshold};
use flashops_core::store::Store;
use flashops_tower::budget::ModelRoute;
use flashops_tower::http_metrics::FindRoute;
use flashops_tower::ip_allow::AddressList;

use super::alerts::alerts;
use super::edge::address_rules;
use super::observe;

/// What stays when another configuration comes into force.
pub(super) struct Parts<T: Store> {
    pub(super) budget: CurrentBudget<T>,
    pub(super) tally: Arc<Tally>,
    pub(super) errors: Arc<EstimateErrors>,
    pub(super) addresses: AddressList,
    /// The routes of models that the service has itself.
    pub(super) own: Vec<ModelRoute>,
    pub(super) health: HealthRegistry,
    pub(super) route_of: Option<FindRoute>,
    pub(super) timer: Option<Arc<dyn Clock>>,
    pub(super) alerts: Arc<Alerts>,
    recorder: Arc<dyn Recorder>,
}

impl<T: Store> Parts<T> {
    pub(super) fn new(config: &Config, store: Arc<T>, recorder: impl Recorder, own: Vec<ModelRoute>) -> Self {
        let options = config.options();
        let policy = Arc::new(config.policy().clone());
        let threshold = TokenThreshold::new(options.threshold_tokens.get(), options.threshold_window)
            .expect("a configuration has checked its threshold");
        let prices = Prices::from(Arc::clone(config.prices()));
        let alerts = alerts(config, policy, prices.clone(), store.now());
        let observers = (observe::recorders(config, &prices), Arc::clone(&alerts));
        let recorder: Arc<dyn Recorder> = Arc::new((observers, recorder));
        let told = Arc::clone(&recorder);
        let tally = Tally::with_bounds(threshold, Tally::DEFAULT_MAX_ROWS)
            .on_threshold(move |reached| told.record(&Event::OrgThreshold(reached)));
        let tally = Arc::new(tally);
        let errors = Arc::new(EstimateErrors::new());
        let all = ((Arc::clone(&tally), Arc::clone(&errors)), Arc::clone(&recorder));
        Self {
            budget: Budget::new(store, prices, all).into(),
            tally,
            errors,
            addresses: AddressList::new(address_rules(config.http())),
            own,
            // Until there are checks, it lets everything through.
            health: HealthRegistry::new(),
            route_of: None,
            timer: None,
            alerts,
            recorder,
        }
    }

    /// A limiter of requests on the accounts in force.
    pub(super) fn limiter(&self) -> RateLimiter<T> {
        let store = Arc::clone(self.budget.load().store());
        let told = (Arc::clone(&self.tally), Arc::clone(&self.recorder));
        RateLimiter::with_store(store).with_recorder(Arc::new(told))
    }
}
