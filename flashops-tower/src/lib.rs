//! Token budgets, rate limits and usage metering for services in front of a language model, as tower layers.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`rate_limit`] | a layer that counts requests and refuses those beyond |
//! | [`budget`] | a layer that reserves before each call of a model and settles after it |
//! | [`inspect`] | what a request asks for: model, caps, stream; and the few changes that are made to it |
//! | [`fallback`] | a layer that tries the next model when one fails or cannot be paid |
//! | [`provider_limits`] | a layer around a client that heeds what its provider says of its limits |
//! | [`usage`] | what a response used, read while it passes |
//! | [`access_log`] | a layer that tells of each request, and a recorder that tells of each call: to `tracing` |
//! | [`http_metrics`] | a layer that measures requests: for `metrics` |
//! | [`call_metrics`] | a recorder that counts tokens, costs and refusals: for `metrics` |
//! | [`app_metrics`] | what an application tells of itself |
//! | [`alert`] | where alerts go: the log, and with the feature `tokio` webhooks |
//! | [`identify`] | who is asking |
//! | [`health`] | checks of what the service depends on, and what runs them |
//! | [`gate`] | a layer that turns requests away while a critical check fails |
//! | [`client_ip`] | the client's address, where proxies stand in between |
//! | [`ip_allow`] | a layer that lets addresses in by lists |
//! | [`trace_id`] | a layer that gives each request an identity, and each error a body |
//! | [`security_headers`], [`body_limit`] | layers for what browsers are told, and for how long a body may be |
//! | `drain` | a layer that reads responses on that their clients have left; feature `tokio` |
//! | [`reject`] | refusals as responses that real clients understand, and headers that tell how limits stand |
//!
//! From the outside in: identification of your own, the log, metrics, the rate limit, the token budget, your service.
//! `Router::layer` of axum wraps what was added before it, so the outermost layer is added last;
//! `tower::ServiceBuilder` is read from the top. The crate `flashops` stacks them for you.
//!
//! Nothing here needs a runtime but what the feature `tokio` adds. The layers work on any service of `http` requests
//! whose bodies are made of [`Bytes`](bytes::Bytes), in front of a handler and around a client alike.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access_log;
pub mod alert;
pub mod app_metrics;
pub mod call_metrics;
pub mod http_metrics;
pub mod rate_limit;
pub mod budget;
pub mod inspect;
pub mod usage;
#[cfg(feature = "tokio")]
pub mod drain;
pub mod fallback;
pub mod provider_limits;
pub mod client_ip;
pub mod identify;
pub mod health;
pub mod gate;
pub mod ip_allow;
pub mod reject;
pub mod trace_id;
pub mod security_headers;
pub mod body_limit;

mod json;
mod path;
mod per_thread;
mod tariff;

pub use budget::TokenBudgetLayer;
pub use gate::GateLayer;
pub use provider_limits::ProviderLimitsLayer;
pub use rate_limit::RateLimitLayer;
