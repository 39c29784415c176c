use std::sync::Arc;

use flashops_core::record::{Ending, SettledCall};
use metrics::Counter;

use super::bounded::Bounded;
use super::gen_ai::GenAi;
use super::names::{DECISIONS, DIRECTIONS, REQUESTS, TOKENS};

/// What is counted for one organisation.
pub(super) struct Tenant {
    label: Arc<str>,
    models: Bounded<TenantModel>,
}

/// What is counted for one organisation and model.
struct TenantModel {
    tokens: [Counter; 2],
    cost: Counter,
}

impl Tenant {
    /// `most` are its models, of which the label was chosen before.
    pub(super) fn new(label: &Arc<str>, most: usize) -> Self {
        Self { label: Arc::clone(label), models: Bounded::new(most) }
    }

    pub(super) fn count(&self, model: &str, cost_name: &str, settled: &SettledCall<'_>) {
        let series = self.models.get(model, |model| TenantModel::new(&self.label, model, cost_name));
        let used = [settled.usage.total_input(), settled.usage.total_output()];
        for (counter, tokens) in series.tokens.iter().zip(used) {
            counter.increment(tokens.get());
        }
        if let Some(cost) = settled.cost {
            series.cost.increment(cost.get());
        }
    }
}

impl TenantModel {
    fn new(tenant: &Arc<str>, model: &Arc<str>, cost_name: &str) -> Self {
        let labels = || (tenant.to_string(), model.to_string());
        let tokens = DIRECTIONS.map(|direction| {
            let (tenant, model) = labels();
            metrics::counter!(TOKENS, "tenant" => tenant, "direction" => direction, "model" => model)
        });
        let (tenant, model) = labels();
        let cost = metrics::counter!(cost_name.to_owned(), "tenant" => tenant, "model" => model);
        Self { tokens, cost }
    }
}

/// What is counted for one model.
pub(super) struct Model {
    pub(super) label: Arc<str>,
    outcomes: Bounded<Counter>,
    pub(super) operations: Bounded<GenAi>,
}

/// The most operations of one model: all there are.
const OPERATIONS: usize = 4;

/// The most endings of a call, with room for those to come.
const OUTCOMES: usize = 8;

impl Model {
    pub(super) fn new(label: &Arc<str>) -> Self {
        let (outcomes, operations) = (Bounded::new(OUTCOMES), Bounded::new(OPERATIONS));
        Self { label: Arc::clone(label), outcomes, operations }
    }

    pub(super) fn count(&self, ending: Ending) {
        let counter = |outcome: &Arc<str>| {
            let (model, outcome) = (self.label.to_string(), outcome.to_string());
            metrics::counter!(REQUESTS, "model" => model, "outcome" => outcome)
        };
        self.outcomes.get(ending.name(), counter).increment(1);
    }
}

/// What is counted for one limit.
pub(super) struct Decisions {
    pub(super) rejected: Counter,
    pub(super) warned: Counter,
    pub(super) shadow_rejected: Counter,
}

impl Decisions {
    pub(super) fn of(limit: &Arc<str>) -> Self {
        let counter = |decision: &'static str| metrics::counter!(DECISIONS, "policy" => limit.to_string(), "decision" => decision);
        Self { rejected: counter("rejected"), warned: counter("warned"), shadow_rejected: counter("shadow_rejected") }
    }
}
