use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use flashops_core::budget::UNKNOWN_PROVIDER;
use flashops_core::caller::Caller;
use flashops_core::limit::{LimitIndex, LimitSet, Mode, Policy};
use flashops_core::price::Prices;
use flashops_core::record::{Event, FallbackReason, Recorder, SettledCall};
use flashops_core::usage::Quality;
use metrics::{Counter, Histogram, Unit};

use super::bounded::Bounded;
use super::gen_ai::{self, GenAi, number};
use super::names::{self, COUNTERS, DIRECTIONS, FALLBACKS, GenAiNames, RESERVED, SETTLED, USED_RATIO};
use super::series::{Decisions, Model, Tenant};
use crate::http_metrics::OTHER;

/// Counts what it is told of. See the [module docs](super).
pub struct CallMetrics {
    prices: Prices,
    gen_ai: Arc<[GenAiNames]>,
    cost_name: String,
    max_models: usize,
    tenants: Bounded<Tenant>,
    models: Bounded<Model>,
    limits: Bounded<Decisions>,
    all: OnceLock<All>,
}

/// What has no labels that come with calls.
struct All {
    fallbacks: [Counter; 2],
    reserved: [Counter; 2],
    settled: [Counter; 2],
    used_ratio: [Histogram; 2],
}

/// The tenant of callers without an organisation.
const ANONYMOUS: &str = "anonymous";

impl CallMetrics {
    /// The most organisations that have a label of their own, unless told otherwise.
    pub const MAX_TENANTS: usize = 100;
    /// The most models that have a label of their own.
    pub const MAX_MODELS: usize = 64;

    /// Counts calls whose models and costs are those of these prices, with the [latest](GenAiNames::LATEST) names of
    /// OpenTelemetry.
    pub fn new(prices: Prices) -> Self {
        Self {
            cost_name: names::cost(prices.unit()),
            prices,
            gen_ai: Arc::new([GenAiNames::LATEST]),
            max_models: Self::MAX_MODELS,
            tenants: Bounded::new(Self::MAX_TENANTS),
            models: Bounded::new(Self::MAX_MODELS),
            limits: Bounded::new(Policy::MAX_LIMITS),
            all: OnceLock::new(),
        }
    }

    /// The same, with these sets of OpenTelemetry's names; without any, if there are none.
    #[must_use]
    pub fn with_gen_ai(mut self, names: impl IntoIterator<Item = GenAiNames>) -> Self {
        self.gen_ai = names.into_iter().collect();
        self
    }

    /// The same, with labels of their own for so many organisations. The others are `other`.
    #[must_use]
    pub fn with_max_tenants(mut self, most: usize) -> Self {
        self.tenants = Bounded::new(most);
        self
    }

    fn all(&self) -> &All {
        self.all.get_or_init(|| {
            for (name, text) in COUNTERS {
                metrics::describe_counter!(name, Unit::Count, text);
            }
            let (ratio, cost) = (USED_RATIO, self.cost_name.clone());
            metrics::describe_histogram!(ratio, Unit::Count, "What was used of tokens as a share of what was held.");
            metrics::describe_counter!(cost, Unit::Count, "Costs of calls, in the smallest unit of the prices.");
            gen_ai::describe(&self.gen_ai);
            All {
                fallbacks: FallbackReason::ALL.map(|reason| metrics::counter!(FALLBACKS, "reason" => reason.name())),
                reserved: DIRECTIONS.map(|direction| metrics::counter!(RESERVED, "direction" => direction)),
                settled: DIRECTIONS.map(|direction| metrics::counter!(SETTLED, "direction" => direction)),
                used_ratio: DIRECTIONS.map(|direction| metrics::histogram!(USED_RATIO, "direction" => direction)),
            }
        })
    }

    fn settled(&self, settled: &SettledCall<'_>) {
        self.all().settled(settled);
        let (call, book) = (settled.call, self.prices.book());
        let known = book.model(&call.model);
        let name = known.map_or(OTHER, flashops_core::price::Model::name);
        let model = self.models.get(name, Model::new);
        model.count(settled.ending);
        let tenant = self.tenants.get(&tenant_of(&call.caller), |label| Tenant::new(label, self.max_models));
        tenant.count(&model.label, &self.cost_name, settled);
        if self.gen_ai.is_empty() {
            return;
        }
        // The provider of a model that has no label of its own is not told apart either.
        let provider = known.filter(|_| *model.label == *name).map_or(UNKNOWN_PROVIDER, |known| known.provider());
        let operation = gen_ai::operation(&call.route, provider);
        let series = |operation: &Arc<str>| GenAi::new(&self.gen_ai, operation, provider, &model.label);
        model.operations.get(operation, series).count(settled);
    }

    fn refused(&self, policy: &Policy, violated: LimitSet) {
        self.all();
        for limit in violated.iter() {
            self.limits.get(policy.limit(limit).name(), Decisions::of).rejected.increment(1);
        }
    }

    fn exceeded(&self, policy: &Policy, limit: LimitIndex) {
        self.all();
        let limit = policy.limit(limit);
        let decisions = self.limits.get(limit.name(), Decisions::of);
        let counter = if limit.mode() == Mode::Shadow { &decisions.shadow_rejected } else { &decisions.warned };
        counter.increment(1);
    }
}

impl All {
    fn settled(&self, settled: &SettledCall<'_>) {
        let held = [settled.estimate.input, settled.held_output];
        let used = [settled.usage.total_input(), settled.usage.total_output()];
        for (direction, (held, used)) in held.into_iter().zip(used).enumerate() {
            self.reserved[direction].increment(held.get());
            self.settled[direction].increment(used.get());
            if settled.usage.quality == Quality::Exact && held.get() > 0 {
                self.used_ratio[direction].record(number(used) / number(held));
            }
        }
    }
}

/// The label of an organisation. One that is called like a label for others has another.
fn tenant_of(caller: &Caller) -> Cow<'_, str> {
    match caller.org() {
        _ if caller.is_anonymous() => ANONYMOUS.into(),
        org @ (ANONYMOUS | OTHER) => format!("org:{org}").into(),
        org => org.into(),
    }
}

impl Recorder for CallMetrics {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Settled(settled) => self.settled(settled),
            Event::Denied { denied, policy, .. } => self.refused(policy, denied.violated),
            Event::Exceeded { limit, policy, .. } => self.exceeded(policy, *limit),
            Event::FellBack(fell) => {
                let place = FallbackReason::ALL.iter().position(|reason| *reason == fell.reason);
                if let Some(counter) = place.and_then(|place| self.all().fallbacks.get(place)) {
                    counter.increment(1);
                }
            }
            _ => {}
        }
    }
}

impl fmt::Debug for CallMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CallMetrics");
        debug.field("gen_ai", &self.gen_ai).field("tenants", &self.tenants).finish_non_exhaustive()
    }
}
