use std::sync::Arc;

use flashops_core::clock::Clock;
use flashops_core::config::{Config, GenAiSets, Observe};
use flashops_core::limit::RoutePatterns;
use flashops_core::price::Prices;
use flashops_core::record::Recorder;
use flashops_tower::access_log::{AccessLog, AccessLogLayer, CallLog};
use flashops_tower::budget::ModelRoute;
use flashops_tower::call_metrics::{CallMetrics, GenAiNames};
use flashops_tower::http_metrics::{HttpMetrics, HttpMetricsLayer};
use tower_layer::Layer;

use super::parts::Parts;

/// A service whose requests are logged and measured.
pub type Observed<S> = AccessLog<HttpMetrics<S>>;

/// The layers that look at every request, next to its identity.
#[derive(Clone, Debug)]
pub(super) struct Observers {
    log: AccessLogLayer,
    metrics: HttpMetricsLayer,
}

impl Observers {
    pub(super) fn new(observe: &Observe, routes: &[ModelRoute], exempt: &RoutePatterns) -> Self {
        let labels = routes.iter().map(|route| &**route.label());
        let metrics = HttpMetricsLayer::new().with_enabled(observe.metrics).with_exempt(exempt.clone());
        let metrics = metrics.with_routes(labels).expect("the routes of models are well-formed");
        let log = AccessLogLayer::new().with_enabled(observe.log).with_slow(observe.slow).with_exempt(exempt.clone());
        Self { log, metrics }
    }

    /// The same with what the service says beside the configuration.
    pub(super) fn adjusted<C: Clock>(mut self, parts: &Parts<C>) -> Self {
        if let Some(template) = parts.route_of {
            self.metrics = self.metrics.with_route_of(template);
        }
        if let Some(timer) = &parts.timer {
            self.metrics = self.metrics.with_clock(Arc::clone(timer));
            self.log = self.log.with_clock(Arc::clone(timer));
        }
        self
    }

    pub(super) fn layer<S>(&self, inner: S) -> Observed<S> {
        self.log.layer(self.metrics.layer(inner))
    }
}

/// The recorders that log and measure calls, if any shall.
pub(super) fn recorders(config: &Config, prices: &Prices) -> Vec<Arc<dyn Recorder>> {
    let observe = config.observe();
    let mut recorders: Vec<Arc<dyn Recorder>> = Vec::new();
    if observe.log {
        recorders.push(Arc::new(CallLog::new(prices.unit())));
    }
    if observe.metrics {
        let metrics = CallMetrics::new(prices.clone()).with_max_tenants(observe.max_tenants);
        recorders.push(Arc::new(metrics.with_gen_ai(gen_ai(observe.gen_ai))));
    }
    recorders
}

fn gen_ai(sets: GenAiSets) -> impl Iterator<Item = GenAiNames> {
    let sets = [(sets.latest, GenAiNames::LATEST), (sets.v1_41, GenAiNames::V1_41)];
    sets.into_iter().filter_map(|(wanted, names)| wanted.then_some(names))
}
