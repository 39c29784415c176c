use std::time::Duration;

use crate::limit::Resource;
use crate::store::Bounds;
use crate::units::Tokens;

/// How a service behaves where there is a choice that is no part of its [`Policy`](crate::limit::Policy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What a request without a key is.
    pub anonymous: Anonymous,
    /// How large the store in memory may become.
    pub bounds: Bounds,
    /// Which rate-limit headers responses have.
    pub headers: HeaderFamilies,
    /// The longest request body that is read, in bytes, 1 to 2³⁰.
    pub inspect_bytes: usize,
    /// The longest wait that a client is asked to retry after; above it the answer says that it should not.
    pub max_wait: Duration,
    /// What happens when a shared store cannot answer; `None` is [`OnStoreError::default_for`] each resource.
    pub on_store_error: Option<OnStoreError>,
    /// The status of a refusal for a spent budget.
    pub spent_status: SpentStatus,
    /// How long a shared store may take to answer.
    pub store_deadline: Duration,
    /// What a reference to content that the provider keeps is taken for.
    pub stored_content: StoredContent,
    /// How many searches are held for a call that lets its provider search and does not say how often, 0 to 1,000.
    pub searches_per_call: u64,
    /// What becomes of a request that calls a model on a route that nobody meters.
    pub unmetered_routes: UnmeteredRoutes,
    /// How many tokens of one organisation in [`Options::threshold_window`] raise the tally's alarm; at least 1.
    pub threshold_tokens: Tokens,
    /// The time over which the tally counts them, from a second to a day.
    pub threshold_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::default(),
            bounds: Bounds::default(),
            headers: HeaderFamilies::default(),
            inspect_bytes: 8 << 20,
            max_wait: Duration::from_secs(60),
            on_store_error: None,
            spent_status: SpentStatus::default(),
            store_deadline: Duration::from_millis(25),
            stored_content: StoredContent::default(),
            searches_per_call: 10,
            unmetered_routes: UnmeteredRoutes::default(),
            threshold_tokens: Tokens::saturating(100_000),
            threshold_window: Duration::from_secs(3_600),
        }
    }
}

impl Options {
    /// What happens to a limit on this resource when a shared store cannot answer.
    pub fn on_store_error_for(&self, resource: Resource) -> OnStoreError {
        self.on_store_error.unwrap_or_else(|| OnStoreError::default_for(resource))
    }
}

/// What a request without a key is. One with an unknown key is refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// The anonymous caller of its address.
    #[default]
    ByIp,
    /// Refused with 401.
    Refuse,
}

/// Which families of rate-limit headers responses have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderFamilies {
    /// `RateLimit-Policy` and `RateLimit`, of the IETF's draft.
    pub ietf: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub legacy: bool,
    /// `x-ratelimit-limit-requests` and the others of OpenAI.
    pub openai: bool,
    /// `anthropic-ratelimit-requests-limit` and the others of Anthropic.
    pub anthropic: bool,
}

impl HeaderFamilies {
    /// No headers.
    pub const NONE: Self = Self { ietf: false, legacy: false, openai: false, anthropic: false };
}

impl Default for HeaderFamilies {
    /// The IETF's.
    fn default() -> Self {
        Self { ietf: true, ..Self::NONE }
    }
}

/// What happens when a shared store cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreError {
    /// Each instance admits its share of what was left, then refuses.
    LocalShareThenDeny,
    /// Each instance counts by itself, and admits what it cannot count.
    LocalThenAllow,
    /// Everything is refused.
    Deny,
    /// Everything is admitted, uncounted.
    Allow,
}

impl OnStoreError {
    /// The default: careful with what costs money, generous with what does not.
    pub const fn default_for(resource: Resource) -> Self {
        match resource {
            Resource::Requests | Resource::Concurrency => Self::LocalThenAllow,
            Resource::Tokens | Resource::InputTokens | Resource::OutputTokens | Resource::Cost => {
                Self::LocalShareThenDeny
            }
        }
    }
}

/// The status of a refusal for a spent budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpentStatus {
    /// 429, as the providers answer.
    #[default]
    TooManyRequests,
    /// 402.
    PaymentRequired,
}

impl SpentStatus {
    /// The number.
    pub const fn code(self) -> u16 {
        match self {
            Self::TooManyRequests => 429,
            Self::PaymentRequired => 402,
        }
    }
}

/// What becomes of a request that calls a model, by the paths under which providers serve theirs, on a route that
/// nobody meters: of images and speech, of batches, and of the standard routes that a service has not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmeteredRoutes {
    /// It is refused: what it costs, nobody would know.
    #[default]
    Refuse,
    /// It passes as a request that calls no model.
    Pass,
}

/// What a reference to content that the provider keeps (an earlier response, a stored prompt, a file) is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredContent {
    /// As many input tokens as the model can read.
    #[default]
    ContextWindow,
    /// Nothing: the request is refused.
    Refuse,
}
