use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use flashops_core::config::{Config, HeaderFamilies, Options};
use flashops_core::limit::RoutePatterns;
use flashops_core::store::Store;
use flashops_core::units::MoneyUnit;
use flashops_tower::budget::{CallFailed, ModelRoute, TokenBudget, TokenBudgetLayer};
use flashops_tower::fallback::{Fallback, FallbackLayer};
use flashops_tower::gate::{Gate, GateLayer};
use flashops_tower::rate_limit::{RateLimit, RateLimitLayer};
use flashops_tower::reject::headers::{Family, Headers};
use flashops_tower::reject::{self, DefaultReject};
use http::{Response, StatusCode};
use http_body_util::Full;
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer, ResponseForPanic};
use tower_layer::Layer;

use super::edge::{Edge, EdgeLayer};
use super::identify::ConfiguredCallers;
use super::observe::Observers;
use super::parts::Parts;
use super::routes::model_route;
use super::{EXEMPT_PATHS, METRICS_PATHS};

/// The layers of one configuration, in the order that the [module docs](super) tell.
pub struct Stack<T: Store> {
    edge: EdgeLayer,
    gate: GateLayer,
    rate_limit: RateLimitLayer<T, ConfiguredCallers>,
    fallback: FallbackLayer<T>,
    token_budget: TokenBudgetLayer<T, ConfiguredCallers>,
    routes: Arc<[ModelRoute]>,
    callers: ConfiguredCallers,
}

impl<T: Store> Stack<T> {
    /// The layers of a configuration, around the budget that is in force.
    pub(super) fn new(config: &Config, parts: &Parts<T>) -> Self {
        let (options, budget) = (config.options(), parts.budget.load());
        let callers = ConfiguredCallers::new(config.callers().clone(), options.anonymous);
        let routes: Arc<[ModelRoute]> =
            config.routes().iter().map(model_route).chain(parts.own.iter().cloned()).collect();
        let reject = rejection(options, budget.price_handle().unit());
        let unit = budget.price_handle().unit();
        let headers = Headers::new(config.policy(), families(options.headers)).with_cost_unit(config.policy(), unit);
        let exempt = RoutePatterns::new(EXEMPT_PATHS).expect("these paths are well-formed");
        let observers = Observers::new(config.observe(), &routes, &exempt).adjusted(parts);
        let open = EXEMPT_PATHS.into_iter().chain(METRICS_PATHS);
        let gate = GateLayer::new(parts.health.clone())
            .with_exempt(RoutePatterns::new(open).expect("these paths are well-formed"))
            .with_routes(&*routes)
            .with_reject(reject.clone());
        let edge = EdgeLayer::new(config.http(), parts.addresses.clone(), &routes, &exempt, &reject, observers);
        let rate_limit = RateLimitLayer::new(parts.limiter(), callers.clone())
            .with_model_routes(routes.to_vec())
            .with_caller_extension()
            .with_exempt(exempt)
            .with_headers(headers.clone())
            .with_reject(reject.clone());
        let token_budget = TokenBudgetLayer::new(budget.clone(), callers.clone())
            .with_routes(routes.to_vec())
            .with_caller_extension()
            .with_held_extension()
            .with_headers(headers)
            .with_reject(reject)
            .with_stored_content(options.stored_content)
            .with_searches_per_call(options.searches_per_call)
            .with_unmetered_routes(options.unmetered_routes)
            .with_inspect_bytes(options.inspect_bytes);
        let fallback = FallbackLayer::new(budget, routes.to_vec());
        Self { edge, gate, rate_limit, fallback, token_budget, routes, callers }
    }

    pub(super) const fn callers(&self) -> &ConfiguredCallers {
        &self.callers
    }

    pub(super) fn routes(&self) -> &[ModelRoute] {
        &self.routes
    }
}

impl<T: Store> Clone for Stack<T> {
    fn clone(&self) -> Self {
        Self {
            edge: self.edge.clone(),
            gate: self.gate.clone(),
            rate_limit: self.rate_limit.clone(),
            fallback: self.fallback.clone(),
            token_budget: self.token_budget.clone(),
            routes: Arc::clone(&self.routes),
            callers: self.callers.clone(),
        }
    }
}

impl<T: Store> fmt::Debug for Stack<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

type Budgeted<S, T> = TokenBudget<CatchPanic<S, MarkPanic>, T, ConfiguredCallers, flashops_tower::budget::AlwaysSent>;

type Limited<S, T> = RateLimit<Fallback<Budgeted<S, T>, T>, T, ConfiguredCallers>;

/// A service under all layers of one configuration.
pub type Stacked<S, T> = Edge<Gate<Limited<S, T>>>;

impl<S, T: Store> Layer<S> for Stack<T> {
    type Service = Stacked<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let caught = CatchPanicLayer::custom(MarkPanic).layer(inner);
        let budgeted = self.fallback.layer(self.token_budget.layer(caught));
        self.edge.layer(self.gate.layer(self.rate_limit.layer(budgeted)))
    }
}

fn rejection(options: &Options, unit: MoneyUnit) -> DefaultReject {
    let reject = DefaultReject::new().with_max_wait(options.max_wait).with_spent_status(spent_status(options));
    reject.with_cost_unit(unit)
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

/// Makes a response of a panic that says nothing of it; further out it gets a body in the dialect of the route.
#[derive(Clone, Copy, Debug)]
pub struct MarkPanic;

impl ResponseForPanic for MarkPanic {
    type ResponseBody = Full<Bytes>;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(CallFailed);
        response
    }
}
