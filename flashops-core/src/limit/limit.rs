use std::fmt;
use std::time::Duration;

use super::{RouteError, RoutePatterns};
use crate::key::Scope;
use crate::units::{Amounts, MAX_AMOUNT};
use crate::window::{Calendar, GcraError, GcraSpan};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Requests, counted when they are admitted.
    Requests,
    /// Input and output tokens together.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Money, in the unit of the policy's price book.
    Cost,
    /// Requests in progress. It is only ever held, never settled, and has no window.
    Concurrency,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 6] =
        [Self::Requests, Self::Tokens, Self::InputTokens, Self::OutputTokens, Self::Cost, Self::Concurrency];

    /// The word for it in configuration, metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input-tokens",
            Self::OutputTokens => "output-tokens",
            Self::Cost => "cost",
            Self::Concurrency => "concurrency",
        }
    }

    /// How much of it these amounts are. One reservation is one unit of [`Resource::Concurrency`].
    #[inline]
    pub const fn of(self, amounts: &Amounts) -> u64 {
        match self {
            Self::Requests => amounts.requests,
            Self::Tokens => amounts.input.saturating_add(amounts.output).get(),
            Self::InputTokens => amounts.input.get(),
            Self::OutputTokens => amounts.output.get(),
            Self::Cost => amounts.cost.get(),
            Self::Concurrency => 1,
        }
    }
}

/// The time over which a limit counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// Any interval of this length.
    Sliding(Duration),
    /// Each hour, day, week or month in a time zone.
    Calendar(Calendar),
    /// From the first request on, for ever.
    Lifetime,
}

/// What happens when a limit has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request goes on; a header and an event say so.
    Warn,
    /// The request goes on; a metric says so.
    Shadow,
}

/// How a sliding window counts. Calendar and lifetime windows count exactly and have no choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Sub-buckets, the oldest counted whole; an exact log for an enforced limit of at most 64 requests. Never more
    /// than the amount in any interval of the window's length.
    #[default]
    Ring,
    /// Two counters, the older one weighted. Constant memory; lets through up to 1.98 times the amount in a window.
    Approximate,
    /// The generic cell rate algorithm: smooth pacing with a burst of the amount; lets through up to 1.99 times the
    /// amount in a window.
    Gcra,
}

/// A share of a limit's amount at which an event fires, in thousandths: 800 is 80 %.
pub type Threshold = u16;

/// One limit: how much of what, over which time, for each key of which scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    name: String,
    scope: Scope,
    resource: Resource,
    amount: u64,
    window: Option<Window>,
    mode: Mode,
    algorithm: Algorithm,
    routes: Option<RoutePatterns>,
    calls_model: Option<bool>,
    thresholds: Vec<Threshold>,
}

impl Limit {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 64;
    /// The most thresholds of one limit.
    pub const MAX_THRESHOLDS: usize = 8;
    /// The shortest sliding window.
    pub const MIN_WINDOW: Duration = Duration::from_secs(1);
    /// The longest sliding window: 400 days.
    pub const MAX_WINDOW: Duration = Duration::from_secs(400 * 86_400);

    /// A limit that is enforced, counts with a strict ring, and applies to every route of a model.
    ///
    /// `amount` is in units of the resource; for [`Resource::Cost`] in those of the price book.
    ///
    /// # Errors
    ///
    /// [`LimitError`] if the name is not 1 to 64 letters, digits, `-`, `_` or `.`; if the amount is above
    /// [`MAX_AMOUNT`]; if a sliding window is not between [`Limit::MIN_WINDOW`] and [`Limit::MAX_WINDOW`]; or if the
    /// resource is [`Resource::Concurrency`], which has no window.
    pub fn new(
        name: impl Into<String>,
        scope: Scope,
        resource: Resource,
        amount: u64,
        window: Window,
    ) -> Result<Self, LimitError> {
        if resource == Resource::Concurrency {
            return Err(LimitError::ConcurrencyHasNoWindow);
        }
        match &window {
            Window::Sliding(length) if !(Self::MIN_WINDOW..=Self::MAX_WINDOW).contains(length) => {
                Err(LimitError::WindowOutOfRange)
            }
            _ => Self::checked(name.into(), scope, resource, amount, Some(window)),
        }
    }

    /// A limit on requests in progress, enforced, on every route of a model.
    ///
    /// # Errors
    ///
    /// As [`Limit::new`].
    pub fn concurrency(name: impl Into<String>, scope: Scope, amount: u64) -> Result<Self, LimitError> {
        Self::checked(name.into(), scope, Resource::Concurrency, amount, None)
    }

    fn checked(
        name: String,
        scope: Scope,
        resource: Resource,
        amount: u64,
        window: Option<Window>,
    ) -> Result<Self, LimitError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > Self::MAX_NAME || !name.bytes().all(fits) {
            return Err(LimitError::BadName(name));
        }
        if amount > MAX_AMOUNT {
            return Err(LimitError::AmountTooLarge);
        }
        let (mode, algorithm, routes, calls_model) = (Mode::default(), Algorithm::default(), None, None);
        let thresholds = Vec::new();
        Ok(Self { name, scope, resource, amount, window, mode, algorithm, routes, calls_model, thresholds })
    }

    /// Counts only on these routes, and there every request, unless [`Limit::with_calls_model`] says which.
    ///
    /// # Errors
    ///
    /// [`LimitError::Route`] for a malformed pattern, or if no route can match.
    pub fn with_routes<I>(mut self, routes: I) -> Result<Self, LimitError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let patterns = RoutePatterns::new(routes).map_err(LimitError::Route)?;
        if patterns.is_empty() {
            return Err(LimitError::NoRoute);
        }
        self.routes = Some(patterns);
        Ok(self)
    }

    /// Counts only requests that call a model, or only those that do not.
    ///
    /// # Errors
    ///
    /// [`LimitError::NeverCounts`] for those that do not, if the limit is on anything but requests, or counts for a
    /// model or a provider: it would never count anything.
    pub fn with_calls_model(mut self, calls_model: bool) -> Result<Self, LimitError> {
        let of_models = self.resource != Resource::Requests || matches!(self.scope, Scope::Model | Scope::Provider);
        if of_models && !calls_model {
            return Err(LimitError::NeverCounts);
        }
        self.calls_model = Some(calls_model);
        Ok(self)
    }

    /// Changes what happens when there is no room.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Changes how a sliding window counts.
    ///
    /// # Errors
    ///
    /// [`LimitError::NotSliding`] on any other window, and [`LimitError::Gcra`] where the generic cell rate algorithm
    /// cannot express the amount.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Result<Self, LimitError> {
        match (&self.window, algorithm) {
            (_, Algorithm::Ring) => {}
            (Some(Window::Sliding(length)), Algorithm::Gcra) => {
                GcraSpan::new(self.amount, *length).map_err(LimitError::Gcra)?;
            }
            (Some(Window::Sliding(_)), Algorithm::Approximate) => {}
            _ => return Err(LimitError::NotSliding),
        }
        self.algorithm = algorithm;
        Ok(self)
    }

    /// Fires an event when settled usage reaches each of these shares, given in thousandths of the amount.
    ///
    /// # Errors
    ///
    /// [`LimitError::BadThresholds`] unless they are 1 to 10,000, at most [`Limit::MAX_THRESHOLDS`] and all
    /// different, and for
    /// [`Resource::Concurrency`], which is never settled.
    pub fn with_thresholds(mut self, thresholds: impl Into<Vec<Threshold>>) -> Result<Self, LimitError> {
        let list = sorted_thresholds(thresholds.into())?;
        if self.resource == Resource::Concurrency {
            return Err(LimitError::BadThresholds);
        }
        self.thresholds = list;
        Ok(self)
    }

    /// The name, unique in a policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counts for.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// What it counts.
    pub const fn resource(&self) -> Resource {
        self.resource
    }

    /// How much is allowed.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Over which time; none for [`Resource::Concurrency`].
    pub const fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// What happens when there is no room.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How a sliding window counts.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// On which routes it counts; `None` for every route.
    pub const fn routes(&self) -> Option<&RoutePatterns> {
        self.routes.as_ref()
    }

    /// Whether it counts only requests that call a model, or only those that do not; `None` for all of its routes.
    pub const fn calls_model(&self) -> Option<bool> {
        match (self.calls_model, &self.routes) {
            (None, None) => Some(true),
            (said, _) => said,
        }
    }

    /// Whether it counts a request on this path.
    pub(super) fn counts(&self, path: &str, calls_model: bool) -> bool {
        self.calls_model().is_none_or(|wanted| wanted == calls_model)
            && self.routes.as_ref().is_none_or(|routes| routes.contains(path))
    }

    /// Whether it counts exactly the requests that another limit counts.
    pub(crate) fn counts_the_same_as(&self, other: &Self) -> bool {
        (self.routes(), self.calls_model()) == (other.routes(), other.calls_model())
    }

    /// The shares at which an event fires, in thousandths, ascending.
    pub fn thresholds(&self) -> &[Threshold] {
        &self.thresholds
    }

    /// Whether exceeding it is spending a budget and not going too fast: calendar and lifetime windows, and sliding
    /// ones of a day or more, of whatever they count.
    pub fn is_budget(&self) -> bool {
        match &self.window {
            None => false,
            Some(Window::Sliding(length)) => *length >= Duration::from_secs(86_400),
            Some(Window::Calendar(_) | Window::Lifetime) => true,
        }
    }
}

/// The shares of a limit in order, if a limit can have them.
pub(crate) fn sorted_thresholds(mut list: Vec<Threshold>) -> Result<Vec<Threshold>, LimitError> {
    list.sort_unstable();
    let different = list.windows(2).all(|pair| pair[0] != pair[1]);
    let in_range = list.iter().all(|share| (1..=10_000).contains(share));
    let fits = different && in_range && list.len() <= Limit::MAX_THRESHOLDS;
    if fits { Ok(list) } else { Err(LimitError::BadThresholds) }
}

/// Why a limit or a policy was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LimitError {
    /// The amount is above [`MAX_AMOUNT`].
    AmountTooLarge,
    /// The name is not 1 to 64 letters, digits, `-`, `_` or `.`.
    BadName(String),
    /// The thresholds are out of range, repeated or too many.
    BadThresholds,
    /// A concurrency limit was given a window.
    ConcurrencyHasNoWindow,
    /// Two limits have this name.
    DuplicateName(String),
    /// The generic cell rate algorithm cannot express the limit.
    Gcra(GcraError),
    /// What calls no model uses no tokens and no money, has no model, and is never in progress.
    NeverCounts,
    /// The routes exclude everything.
    NoRoute,
    /// Only a sliding window has a choice of algorithm.
    NotSliding,
    /// A route pattern is malformed.
    Route(RouteError),
    /// A policy has more than 64 limits.
    TooManyLimits,
    /// A sliding window is shorter than a second or longer than 400 days.
    WindowOutOfRange,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AmountTooLarge => write!(f, "the amount is above {MAX_AMOUNT}"),
            Self::BadName(name) => {
                write!(f, "{name:?} is not a name: 1 to 64 letters, digits, `-`, `_` or `.`")
            }
            Self::BadThresholds => f.write_str(
                "thresholds are shares from 0.001 to 10, at most 8 and all different, on a resource that is settled",
            ),
            Self::ConcurrencyHasNoWindow => f.write_str("a concurrency limit has no window"),
            Self::DuplicateName(name) => write!(f, "two limits are named {name:?}"),
            Self::Gcra(error) => error.fmt(f),
            Self::NeverCounts => f.write_str(
                "what calls no model is counted by limits on requests only, and by none of scope `model` or `provider`",
            ),
            Self::NoRoute => f.write_str("the routes exclude everything: add a pattern without `!`"),
            Self::NotSliding => f.write_str("only a sliding window has a choice of algorithm"),
            Self::Route(error) => error.fmt(f),
            Self::TooManyLimits => f.write_str("a policy has at most 64 limits"),
            Self::WindowOutOfRange => f.write_str("a sliding window is 1 second to 400 days long"),
        }
    }
}

impl std::error::Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(scope: Scope, resource: Resource) -> Limit {
        Limit::new("l", scope, resource, 5, Window::Lifetime).unwrap()
    }

    #[test]
    fn a_limit_counts_calls_of_models_or_other_requests_or_both_as_it_says() {
        let limit = || limit(Scope::User, Resource::Requests);
        let pets = || limit().with_routes(["/pets"]).unwrap();
        let only = |limit: Limit, calls_model| limit.with_calls_model(calls_model).unwrap();
        for (limit, model_on_pets, other_on_pets, model_elsewhere, other_elsewhere) in [
            (limit(), true, false, true, false),
            (only(limit(), true), true, false, true, false),
            (only(limit(), false), false, true, false, true),
            (pets(), true, true, false, false),
            (only(pets(), true), true, false, false, false),
            (only(pets(), false), false, true, false, false),
            (only(limit(), false).with_routes(["/pets"]).unwrap(), false, true, false, false),
        ] {
            let counts = |path| (limit.counts(path, true), limit.counts(path, false));
            assert_eq!(counts("/pets"), (model_on_pets, other_on_pets), "{limit:?}");
            assert_eq!(counts("/zoo"), (model_elsewhere, other_elsewhere), "{limit:?}");
        }
    }

    #[test]
    fn a_limit_that_would_never_count_is_refused() {
        for scope in Scope::ALL {
            for resource in [Resource::Requests, Resource::Tokens, Resource::Cost] {
                let counts = resource == Resource::Requests && !matches!(scope, Scope::Model | Scope::Provider);
                let limit = limit(scope, resource);
                assert!(limit.clone().with_calls_model(true).is_ok());
                assert_eq!(limit.with_calls_model(false).is_ok(), counts, "{scope} {resource:?}");
            }
        }
        let streams = Limit::concurrency("c", Scope::User, 1).unwrap();
        assert_eq!(streams.with_calls_model(false), Err(LimitError::NeverCounts));
    }
}
