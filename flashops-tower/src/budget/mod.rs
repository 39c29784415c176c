//! Token budgets: reserve before each call of a model, settle after it.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_core::budget::Budget;
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_tower::budget::TokenBudgetLayer;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limit = Limit::new("grant", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime)?;
//! let budget = Budget::in_memory(Policy::new(vec![limit])?, ManualClock::new());
//! let ann = Caller::new("ann", "acme");
//!
//! let service = ServiceBuilder::new()
//!     .layer(TokenBudgetLayer::new(budget, move |_: &http::request::Parts| Ok(ann.clone())))
//!     .service(service_fn(|_request| async {
//!         let body = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;
//!         Response::builder().header("content-type", "application/json").body(Full::new(Bytes::from(body)))
//!     }));
//!
//! let ask = |cap: u64| {
//!     let body = format!(r#"{{"model":"gpt-4o-mini","messages":[],"max_tokens":{cap}}}"#);
//!     Request::post("/v1/chat/completions").body(Full::new(Bytes::from(body))).unwrap()
//! };
//! assert_eq!(service.clone().oneshot(ask(500)).await?.status(), StatusCode::OK);
//! assert_eq!(service.clone().oneshot(ask(5_000)).await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! # Ok(())
//! # }
//! ```
//!
//! # A request's way
//!
//! The caller is identified from the head of the request. The body is collected, up to a bound, and read once: for the
//! model, for what its input can come to, and for the largest output it may ask for. All limits of the request are
//! held for that at once, or the request is refused with nothing held and nobody called. Then the inner service is
//! called, and the response passes through as it comes, while its usage is read from it.
//!
//! # When it is settled
//!
//! | ending | tokens and cost | the request itself |
//! | --- | --- | --- |
//! | refused; or not sent, by [`NotDispatched`](crate::reject::NotDispatched) or [`RequestSent`] | nothing | given back |
//! | complete, with usage | exact | kept |
//! | complete and no success, without usage | none | kept |
//! | complete success, without usage | by the policy's `missing_usage` | kept |
//! | inner error, panic, dropped before the response head | the input estimate | kept |
//! | ended by the layer: beyond its hold, and no room (`on_exhausted = "cut"`) | the input estimate with the output counted | kept |
//! | body cut, hung or dropped before the usage | the larger of the usage seen, and the input estimate with the output counted | kept |
//!
//! # What is changed
//!
//! In the request: the output cap, where the route lowers it or none was declared, and `stream_options.include_usage`,
//! with the length that follows. In the response: the one event of a stream that carries the usage which only the
//! layer asked for, the end of a stream that it ends itself, and headers. Nothing else.
//!
//! Edge cases: a body that is not JSON, too long, or without a model is refused. A path counts as the route that it
//! spells, with an encoded letter or a second slash too. A response is complete when its body has ended, or has its
//! declared length, or says so itself. What nobody reported is never charged beyond the hold, except for content
//! deltas beyond the cap, since each of them was sent. A response that is in none of the forms of
//! [`BodyKind`](crate::usage::BodyKind), or in a content coding that is unknown, is not read: it is charged by the
//! policy's `missing_usage`. Usage is read through gzip, deflate, brotli and zstd, and the client gets the coded
//! bytes as they came; no event is taken out of them, also not the one that the layer asked for. `accept-encoding`
//! is left as it is. Where an upstream fails, the bytes before its error pass first. A clone of the service makes no
//! call with the readiness of another.
//!
//! What this module does not do: authenticate, retry, or wait for room. It does not read requests other than POST.

mod attempt;
mod body;
mod collect;
mod future;
mod held;
mod layer;
mod metering;
mod plan;
mod request_body;
mod route;
mod sent;
mod service;
mod unmetered;

pub use flashops_core::config::{OnOver, StoredContent, UnmeteredRoutes};

pub use attempt::Attempt;
pub use body::ResponseBody;
pub use future::{OUTPUT_CAP, ResponseFuture};
pub use held::Held;
pub use layer::{SEARCHES_PER_CALL, TokenBudgetLayer};
pub use request_body::RequestBody;
pub use route::ModelRoute;
pub use sent::{AlwaysSent, CallFailed, RequestSent};
pub use service::TokenBudget;
