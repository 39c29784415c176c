use std::fmt;
use std::sync::Arc;

use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::clock::{Clock, CoarseClock};
use flashops_core::config::{Config, Dialect, Format, HeaderFamilies, Options, RouteConfig};
use flashops_core::health::HealthRegistry;
use flashops_core::limit::RoutePatterns;
use flashops_core::record::{EstimateErrors, Event, Recorder, Tally, TokenThreshold};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::{ModelRoute, TokenBudgetLayer};
use flashops_tower::fallback::FallbackLayer;
use flashops_tower::gate::GateLayer;
use flashops_tower::inspect::WireFormat;
use flashops_tower::ip_allow::AddressList;
use flashops_tower::rate_limit::RateLimitLayer;
use flashops_tower::reject::headers::{Family, Headers};
use flashops_tower::reject::{self, DefaultReject};
use http::HeaderMap;

use super::ControlsLayer;
use super::edge::{EdgeLayer, address_rules};
use super::identify::ConfiguredCallers;

/// The paths that are neither counted, identified nor turned away: health checks.
pub const EXEMPT_PATHS: [&str; 6] =
    ["/livez", "/livez/*", "/readyz", "/readyz/*", "/api/v1/health/**", "/api/v1/ai/health"];

/// The controls of one configuration, with accounts in memory. See the [module docs](super).
pub struct Controls<C: Clock = CoarseClock> {
    budget: Budget<MemoryStore<C>>,
    tally: Arc<Tally>,
    errors: Arc<EstimateErrors>,
    addresses: AddressList,
    layer: ControlsLayer<C>,
}

impl Controls {
    /// The controls of a configuration.
    pub fn new(config: &Config) -> Self {
        Self::with(config, CoarseClock::new(), ())
    }
}

impl<C: Clock> Controls<C> {
    /// The controls of a configuration, with a clock, and with a recorder beside the [`Tally`].
    pub fn with(config: &Config, clock: C, recorder: impl Recorder) -> Self {
        Self::with_routes(config, clock, recorder, ModelRoute::standard())
    }

    /// The same, for a service that calls a model on routes of its own: those of the configuration come first, then
    /// these, which take the place of the [standard ones](ModelRoute::standard).
    pub fn with_routes(config: &Config, clock: C, recorder: impl Recorder, own: Vec<ModelRoute>) -> Self {
        let options = config.options();
        let store = MemoryStore::with_bounds(Arc::new(config.policy().clone()), clock, options.bounds);
        let store = Arc::new(store);
        let threshold = TokenThreshold::new(options.threshold_tokens.get(), options.threshold_window)
            .expect("a configuration has checked its threshold");
        let recorder: Arc<dyn Recorder> = Arc::new(recorder);
        let told = Arc::clone(&recorder);
        let tally = Tally::with_bounds(threshold, Tally::DEFAULT_MAX_ROWS)
            .on_threshold(move |reached| told.record(&Event::OrgThreshold(reached)));
        let tally = Arc::new(tally);
        let errors = Arc::new(EstimateErrors::new());
        let all = ((Arc::clone(&tally), Arc::clone(&errors)), Arc::clone(&recorder));
        let budget = Budget::new(Arc::clone(&store), Arc::clone(config.prices()), all);
        let addresses = AddressList::new(address_rules(config.http()));
        let limiter = RateLimiter::with_store(store).with_recorder(Arc::new((Arc::clone(&tally), recorder)));
        let layer = stack(config, &budget, limiter, own, addresses.clone());
        Self { budget, tally, errors, addresses, layer }
    }

    /// The same, turning requests away with 503 while a critical check of this registry for readiness fails. Health
    /// checks ([`EXEMPT_PATHS`]) pass, and nothing else does, the usage report neither. What is turned away is not
    /// counted.
    #[must_use]
    pub fn with_health(self, health: HealthRegistry) -> Self {
        Self { layer: self.layer.with_health(health), ..self }
    }

    /// The budget: for extractors, and for work that no layer sees.
    pub const fn budget(&self) -> &Budget<MemoryStore<C>> {
        &self.budget
    }

    /// What was used, by whom.
    pub const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// How far estimates were off.
    pub const fn estimate_errors(&self) -> &Arc<EstimateErrors> {
        &self.errors
    }

    /// Which addresses may come: to administrators' routes, and at all. Its rules can be replaced.
    pub const fn addresses(&self) -> &AddressList {
        &self.addresses
    }

    /// The dialect in which clients on this path expect an error, for those that the service writes itself.
    pub fn dialect_of(&self, path: &str, headers: &HeaderMap) -> reject::Dialect {
        ModelRoute::dialect_of(self.layer.routes(), path, headers)
    }

    /// The layers.
    pub fn layer(&self) -> ControlsLayer<C> {
        self.layer.clone()
    }
}

impl<C: Clock> fmt::Debug for Controls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controls").field("tally", &self.tally).finish_non_exhaustive()
    }
}

fn stack<C: Clock>(
    config: &Config,
    budget: &Budget<MemoryStore<C>>,
    limiter: RateLimiter<MemoryStore<C>>,
    own: Vec<ModelRoute>,
    addresses: AddressList,
) -> ControlsLayer<C> {
    let options = config.options();
    let identify = ConfiguredCallers::new(config.callers().clone(), options.anonymous);
    let routes: Vec<ModelRoute> = config.routes().iter().map(model_route).chain(own).collect();
    let unit = budget.price_handle().unit();
    let reject = DefaultReject::new().with_max_wait(options.max_wait).with_spent_status(spent_status(options));
    let reject = reject.with_cost_unit(unit);
    let headers = Headers::new(config.policy(), families(options.headers)).with_cost_unit(config.policy(), unit);
    let shared_routes: Arc<[ModelRoute]> = routes.clone().into();
    let exempt = RoutePatterns::new(EXEMPT_PATHS).expect("these paths are well-formed");
    // Until there are checks, it lets everything through.
    let gate = GateLayer::new(HealthRegistry::new())
        .with_exempt(exempt.clone())
        .with_routes(routes.as_slice())
        .with_reject(reject.clone());
    let edge = EdgeLayer::new(config.http(), addresses, &shared_routes, &exempt, &reject);
    let rate_limit = RateLimitLayer::new(limiter, identify.clone())
        .with_model_routes(routes.clone())
        .with_caller_extension()
        .with_exempt(exempt)
        .with_headers(headers.clone())
        .with_reject(reject.clone());
    let token_budget = TokenBudgetLayer::new(budget.clone(), identify)
        .with_routes(routes.clone())
        .with_caller_extension()
        .with_held_extension()
        .with_headers(headers)
        .with_reject(reject)
        .with_stored_content(options.stored_content)
        .with_searches_per_call(options.searches_per_call)
        .with_unmetered_routes(options.unmetered_routes)
        .with_inspect_bytes(options.inspect_bytes);
    let fallback = FallbackLayer::new(budget.clone(), routes);
    ControlsLayer::new(edge, gate, rate_limit, fallback, token_budget, shared_routes)
}

fn model_route(route: &RouteConfig) -> ModelRoute {
    let (path, dialect) = (route.path(), route.dialect());
    let of_dialect = match dialect {
        Some(Dialect::Anthropic) => WireFormat::AnthropicMessages,
        Some(Dialect::OpenAi | Dialect::Problem) | None => WireFormat::OpenAiChat,
    };
    // A dialect that contradicts the end of the path says more of what is spoken there than the path does.
    let contradicts = |format: WireFormat| match dialect {
        Some(Dialect::OpenAi) => format == WireFormat::AnthropicMessages,
        Some(Dialect::Anthropic) => format != WireFormat::AnthropicMessages,
        Some(Dialect::Problem) | None => false,
    };
    let mut model_route = match (route.format(), WireFormat::from_path(path)) {
        (Some(format), _) => ModelRoute::new(path, wire_format(format)),
        (None, Some(format)) if contradicts(format) => ModelRoute::new(path, of_dialect),
        _ => ModelRoute::by_path(path, of_dialect),
    }
    .expect("a configuration has checked its paths")
    .with_fallback(route.fallback());
    if let Some(dialect) = route.dialect() {
        model_route = model_route.with_dialect(match dialect {
            Dialect::Anthropic => reject::Dialect::Anthropic,
            Dialect::OpenAi => reject::Dialect::OpenAi,
            Dialect::Problem => reject::Dialect::Problem,
        });
    }
    if let Some(most) = route.max_output() {
        model_route = model_route.with_max_output(most, route.on_over());
    }
    match route.default_model() {
        Some(model) => model_route.with_default_model(model),
        None => model_route,
    }
}

const fn wire_format(format: Format) -> WireFormat {
    match format {
        Format::OpenAiChat => WireFormat::OpenAiChat,
        Format::OpenAiCompletions => WireFormat::OpenAiCompletions,
        Format::OpenAiResponses => WireFormat::OpenAiResponses,
        Format::OpenAiEmbeddings => WireFormat::OpenAiEmbeddings,
        Format::AnthropicMessages => WireFormat::AnthropicMessages,
        Format::Gemini => WireFormat::Gemini,
        Format::BedrockConverse => WireFormat::BedrockConverse,
        Format::MistralChat => WireFormat::MistralChat,
        Format::XaiChat => WireFormat::XaiChat,
        Format::CohereChat => WireFormat::CohereChat,
        Format::CohereEmbed => WireFormat::CohereEmbed,
        Format::Ollama => WireFormat::Ollama,
        Format::OllamaEmbed => WireFormat::OllamaEmbed,
    }
}

fn families(chosen: HeaderFamilies) -> impl Iterator<Item = Family> {
    let families = [
        (chosen.ietf, Family::Ietf),
        (chosen.legacy, Family::Legacy),
        (chosen.openai, Family::OpenAi),
        (chosen.anthropic, Family::Anthropic),
    ];
    families.into_iter().filter_map(|(wanted, family)| wanted.then_some(family))
}

fn spent_status(options: &Options) -> reject::SpentStatus {
    match options.spent_status {
        flashops_core::config::SpentStatus::TooManyRequests => reject::SpentStatus::TooManyRequests,
        flashops_core::config::SpentStatus::PaymentRequired => reject::SpentStatus::PaymentRequired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_the_wire_format_of_its_name() {
        let named = Format::all().map(|format| format!("{format:?}"));
        let wire = Format::all().map(|format| format!("{:?}", wire_format(format)));
        assert!(named.eq(wire));
        assert!(Format::all().map(wire_format).eq(WireFormat::ALL));
    }
}
