use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::budget::OUTPUT_CAP;
use crate::fallback::FALLBACK;

/// The limits that apply, `RateLimit-Policy` (IETF draft 11).
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them, `RateLimit` (IETF draft 11).
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `Retry-After` in milliseconds; the clients of the model providers look at it first.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// `false` tells the clients of the model providers not to try again by themselves.
pub const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The identity of the request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The same, by the name that services with traces of their own give it.
pub const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// The identity of the request, where Anthropic's clients look for it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The names of exceeded limits that only warn, as a list of strings (RFC 9651).
pub const FLASHOPS_WARNING: HeaderName = HeaderName::from_static("flashops-warning");

/// Limit, remaining and reset of one family and resource.
pub(super) type Trio = [HeaderName; 3];

pub(super) const LEGACY: Trio = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
pub(super) const OPENAI_REQUESTS: Trio = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
pub(super) const OPENAI_TOKENS: Trio = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
pub(super) const ANTHROPIC_REQUESTS: Trio = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
pub(super) const ANTHROPIC_TOKENS: Trio = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];
pub(super) const ANTHROPIC_INPUT_TOKENS: Trio = [
    HeaderName::from_static("anthropic-ratelimit-input-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-input-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-input-tokens-reset"),
];
pub(super) const ANTHROPIC_OUTPUT_TOKENS: Trio = [
    HeaderName::from_static("anthropic-ratelimit-output-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-output-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-output-tokens-reset"),
];

/// Every header that limits and refusals write for clients, for `Access-Control-Expose-Headers`: a page in a browser
/// can read no others.
///
/// ```
/// use flashops_tower::reject::headers::exposed;
///
/// let names: Vec<http::HeaderName> = exposed().collect();
/// assert!(names.contains(&http::header::RETRY_AFTER));
/// assert!(names.contains(&flashops_tower::budget::OUTPUT_CAP));
/// ```
pub fn exposed() -> impl Iterator<Item = HeaderName> {
    let own = [RETRY_AFTER_MS, X_SHOULD_RETRY, X_REQUEST_ID, X_TRACE_ID, REQUEST_ID];
    let limits = [RATELIMIT_POLICY, RATELIMIT, FLASHOPS_WARNING];
    let vendors = [
        LEGACY,
        OPENAI_REQUESTS,
        OPENAI_TOKENS,
        ANTHROPIC_REQUESTS,
        ANTHROPIC_TOKENS,
        ANTHROPIC_INPUT_TOKENS,
        ANTHROPIC_OUTPUT_TOKENS,
    ];
    [RETRY_AFTER, OUTPUT_CAP, FALLBACK].into_iter().chain(own).chain(limits).chain(vendors.into_iter().flatten())
}

/// Sets a header. One that has no value, or for which a hostile map has no room left, is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        let _full = headers.try_insert(name, value);
    }
}
