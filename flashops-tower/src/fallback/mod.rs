//! Tries the next model of a route when one fails or cannot be paid.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_core::budget::Budget;
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::limit::Policy;
//! use flashops_tower::TokenBudgetLayer;
//! use flashops_tower::budget::ModelRoute;
//! use flashops_tower::fallback::{FALLBACK, FallbackLayer};
//! use flashops_tower::inspect::WireFormat;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let budget = Budget::in_memory(Policy::new(vec![])?, ManualClock::new());
//! let route = ModelRoute::new("/v1/chat/completions", WireFormat::OpenAiChat)?.with_fallback(["gpt-4.1-nano"]);
//! let ann = Caller::new("ann", "acme");
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::new(budget.clone(), vec![route]))
//!     .layer(TokenBudgetLayer::new(budget, move |_: &http::request::Parts| Ok(ann.clone())))
//!     .service(service_fn(|request: Request<_>| async {
//!         let body: Bytes = BodyExt::collect(request.into_body()).await?.to_bytes();
//!         let down = body.windows(8).any(|part| part == b"\"gpt-4o\"");
//!         let status = if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
//!         let answer = Response::builder().status(status).body(Full::new(Bytes::new()))?;
//!         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer)
//!     }));
//!
//! let ask = Request::post("/v1/chat/completions").body(Full::new(Bytes::from(r#"{"model":"gpt-4o","messages":[]}"#)))?;
//! let answer = service.oneshot(ask).await?;
//! assert_eq!(answer.status(), StatusCode::OK);
//! assert_eq!(answer.headers()[FALLBACK], "gpt-4.1-nano; reason=provider");
//! # Ok(())
//! # }
//! ```
//!
//! It stands around the token budget, so every attempt is reserved at the price of its own model and settled by itself,
//! and the request is counted once ([`Attempt`](crate::budget::Attempt)). What an attempt used before it failed is
//! charged, since it was used.
//!
//! | what happened | the next model is tried |
//! | --- | --- |
//! | status 408, 429 or from 500, or an error of the inner service | yes: `provider` |
//! | a [layer inside](crate::provider_limits) knows that the provider would refuse | yes: `provider` |
//! | the token budget has no room, and only limits on cost, on the model or on its provider refused | yes: `budget` |
//! | it has none for requests or tokens of the caller | no: another model needs as many |
//! | any other refusal or answer | no |
//!
//! Every fall-back is told to the budget's recorder, as
//! [`Event::FellBack`](flashops_core::record::Event::FellBack), and to the client in the header [`FALLBACK`]:
//! `gpt-4.1-nano; reason=provider` names the model that answered, and a refusal names each that was tried.
//!
//! Edge cases: a request for a model of the chain goes on behind it; one for another model begins at its head. When the
//! chain has ended, the last answer is the client's. A body above 8 MiB, or of which nobody has read all, is not sent
//! again. The failed answer is read to its end first, so that it is settled as a whole one: at most 64 KiB of it, and
//! with the feature `tokio` for at most [`MAX_DRAIN_TIME`], after which it is settled as one that was cut. A stream
//! that has begun is the client's, however it ends.
//!
//! What this module does not do: change a model that is named in the path (Gemini, Bedrock), try the same model twice,
//! wait between attempts, or translate between the formats of providers: all models of a chain are called in the format
//! of the route.

mod future;
mod layer;
mod patience;
mod recording;
mod service;

pub use future::{FALLBACK, ResponseFuture};
pub use layer::{FallbackLayer, MAX_DRAIN_TIME};
pub use service::Fallback;

pub(crate) use recording::Recording;
