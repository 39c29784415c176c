//! Refusals as responses: status, headers and a body that the clients of model providers understand.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::budget::RateLimiter;
//! use flashops_core::clock::{ManualClock, UnixSeconds};
//! use flashops_core::key::{Key, Scope};
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_tower::reject::headers::{Family, Headers};
//! use flashops_tower::reject::{DefaultReject, Dialect, NotDispatched, Refusal, RefusalContext, refuse};
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let limits = vec![Limit::new("ai-rpm", Scope::User, Resource::Requests, 1, minute)?];
//! let limiter = RateLimiter::new(Policy::new(limits)?, ManualClock::new());
//! let headers = Headers::new(limiter.policy(), [Family::Ietf]);
//! let ann = Key::new(Scope::User, "ann");
//! limiter.check(ann).expect("the first request has room");
//! let denied = limiter.check(ann).expect_err("the second has none");
//!
//! let refusal = Refusal::denied(limiter.policy(), denied);
//! let context = RefusalContext::new(Dialect::OpenAi, UnixSeconds(1_763_640_000));
//! let response = refuse(&DefaultReject::new(), &headers, &refusal, &context);
//!
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.headers()["retry-after"], "60");
//! assert_eq!(response.headers()["ratelimit"], r#""ai-rpm";r=0;t=60"#);
//! assert!(response.extensions().get::<NotDispatched>().is_some());
//! assert_eq!(response.into_body().into_bytes(), concat!(
//!     r#"{"error":{"message":"Rate limit reached for ai-rpm on requests per user: Limit 1, Used 1, Requested 1. "#,
//!     r#"Please try again in 1m0s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
//! ));
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! What [`DefaultReject`] answers. `invalid` stands for `invalid_request_error`; the problem types are those of the
//! rate-limit draft (quota-exceeded, temporary-reduced-capacity, abnormal-usage-detected), else `about:blank`. A
//! problem has the code of the `OpenAI` dialect too, as a member `code`.
//!
//! | situation | status | `OpenAI` type: code | Anthropic type | problem |
//! | --- | --- | --- | --- | --- |
//! | a rate (`R` is `requests`, `tokens`, `cost`) | 429 | `R`: `rate_limit_exceeded` | `rate_limit_error` | quota |
//! | a spent budget ([`is_budget`]) | 429 | `insufficient_quota`, twice | `rate_limit_error` | quota |
//! | the same by choice ([`SpentStatus`]) | 402 | `insufficient_quota`, twice | `billing_error` | quota |
//! | what can never fit | 413 | `invalid`: `request_too_large` | `request_too_large` | quota |
//! | only its bound never fits | 429 | as a rate; the message names the switch | `rate_limit_error` | quota |
//! | concurrency, overload, a full store | 503 | `server_error`: `overloaded` | `overloaded_error` | capacity |
//! | a store that does not answer | 503 | `server_error`: `limiter_unavailable` | `api_error` | |
//! | a provider that would refuse (`R` is `requests`, `tokens`) | 429 | `R`: `rate_limit_exceeded` | `rate_limit_error` | quota |
//! | abuse | 429 | `requests`: `rate_limit_exceeded` | `rate_limit_error` | abnormal |
//! | an address that may not come | 403 | `invalid`: `ip_not_authorized` | `permission_error` | |
//! | a model's route that nobody meters | 403 | `invalid`: `unmetered_route` | `permission_error` | |
//! | no credentials | 401 | `invalid`: `missing_api_key` | `authentication_error` | |
//! | unknown credentials | 401 | `invalid`: `invalid_api_key` | `authentication_error` | |
//! | what cannot be understood | 400 | `invalid`: `invalid_request` | `invalid` | |
//! | an unknown model | 400 | `invalid`: `model_not_priced` | `invalid` | |
//! | an output cap above the route's | 400 | `invalid`: `output_cap_exceeded` | `invalid` | |
//! | content that the provider keeps | 400 | `invalid`: `stored_content_not_supported` | `invalid` | |
//! | a body beyond the bound of inspection | 413 | `invalid`: `request_too_large` | `request_too_large` | |
//! | a provider that does not answer | 502 | `server_error`: `provider_unreachable` | `api_error` | |
//! | a fault of the service | 500 | `server_error`: `internal_error` | `api_error` | |
//!
//! Every answer has `Cache-Control: no-store`. Where waiting helps there are `Retry-After` (whole seconds, rounded up,
//! at least 1) and `retry-after-ms` (the same wait, at least 1). `x-should-retry: false` is added where the wait is
//! above [`DefaultReject::MAX_WAIT`] or waiting does not help: without it, clients in the field ignore a long wait and
//! come back at once. The identity of the request is in `x-request-id`, for Anthropic in `request-id` too, and in
//! each body.
//!
//! A limit of 0 is no size that a request could shrink to: it is answered as a rate or a spent budget, without a wait.
//!
//! Edge cases: what the client wrote is escaped where a body repeats it, and cut at [`MAX_MESSAGE`] bytes. Numbers of
//! money are in a message only if [`DefaultReject::with_cost_unit`] names their unit. An identity that is not plain
//! ([`RequestId`]) is not repeated. A denial that belongs to another, larger policy is answered as a rate.
//!
//! What this module does not do: decide, or log. No message ever has an API key, a user or an address in it.
//!
//! [`is_budget`]: flashops_core::limit::Limit::is_budget

pub mod headers;

mod dialect;
mod request_id;
mod refusal;
mod verdict;
mod advice;
mod message;
mod document;
mod body;
mod respond;
mod text;

#[cfg(test)]
mod tests;

pub use body::RejectBody;
pub use dialect::Dialect;
pub use refusal::{MAX_MESSAGE, Refusal, least};
pub use request_id::RequestId;
pub use respond::{DefaultReject, NotDispatched, RefusalContext, Reject, SpentStatus, refuse};
