//! The limits of a provider: what it says of them lowers what is sent to it, until they reset.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use flashops_core::clock::ManualClock;
//! use flashops_tower::provider_limits::{ProviderLimits, ProviderLimitsLayer};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::new();
//! let limits = ProviderLimits::new(clock.clone());
//! // A provider in place of an HTTP client: it has counted the last request of this minute.
//! let client = ServiceBuilder::new().layer(ProviderLimitsLayer::new(limits.clone())).service(service_fn(
//!     |_request: Request<Full<Bytes>>| async {
//!         let response = Response::builder()
//!             .header("x-ratelimit-remaining-requests", "0")
//!             .header("x-ratelimit-reset-requests", "20s");
//!         response.body(Full::<Bytes>::default())
//!     },
//! ));
//!
//! let call = || Request::post("https://api.example.com/v1/chat/completions").body(Full::default());
//! assert_eq!(client.clone().oneshot(call()?).await?.status(), StatusCode::OK);
//!
//! let refused = client.clone().oneshot(call()?).await?;
//! assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(refused.headers()["retry-after"], "20");
//! assert_eq!(limits.stats().refused, 1, "and the provider was not called");
//!
//! clock.advance(Duration::from_secs(20));
//! assert_eq!(client.oneshot(call()?).await?.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! The layer is the innermost one, around the client itself. What it refuses carries
//! [`NotDispatched`](crate::reject::NotDispatched), so that a token budget and a rate limit around it give back what
//! they counted; a [fall-back](crate::fallback) tries the next model, as after a 429 of the provider ([`HeldBack`]).
//!
//! # What is understood
//!
//! | headers | of whom | reset |
//! | --- | --- | --- |
//! | `x-ratelimit-{limit,remaining,reset}-{requests,tokens,project-tokens}` | `OpenAI` and who does like it | `6m0s`, `20ms`, seconds |
//! | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` | Anthropic | RFC 3339 |
//! | `RateLimit`, with the units and amounts of `RateLimit-Policy` | the IETF draft | `t`, else the policy's `w` |
//! | `retry-after-ms`, else `Retry-After`, of a 429, 503 or 529 | all | seconds, or a date |
//!
//! Instants count from the response's own `Date`, so that the clocks need not agree.
//!
//! # What is refused
//!
//! A call that does not fit in what remains, less what is in flight. It counts as one request and as the tokens that a
//! [token budget](crate::budget) further outside holds for it ([`Held`](crate::budget::Held)); without one, as a token
//! of each kind. It is in flight until its answer begins, since that tells of it; where output counts as it is produced
//! (Anthropic), its output is until the answer has ended. What was sent and answered without numbers, or not at all, is
//! taken for counted.
//!
//! Each statement is believed until its reset, and not for longer than [`MAX_WAIT`]. Answers may overtake each other:
//! of two that may speak of the same window, the lower number counts. A wait that the provider asks for holds
//! everything back, and comes before the resets that stand beside it. No limit of ours is raised by any of this.
//!
//! A refusal is written in the [`Dialect`](crate::reject::Dialect) of the request's extensions, else in that of its
//! path.
//!
//! # What is one provider
//!
//! The host, the credentials and, behind a token budget that tells what it holds
//! ([`with_held_extension`](crate::budget::TokenBudgetLayer::with_held_extension)), the model of a call, because
//! providers count for each of these. Only a hash of them is kept, of at most [`MAX_PROVIDERS`].
//!
//! Edge cases: headers that are malformed change nothing and are counted ([`ProviderStats::malformed`]); a number
//! without a reset changes nothing. An estimate above a provider's whole limit asks for the whole limit, so that it can
//! fit. Where only calls in flight are in the way, the wait is 1 s. A 429 without a wait and without numbers holds
//! nothing back.
//!
//! What this module does not do: delay calls, guess how a bucket fills up before the reset that was named, or know of
//! the calls of other processes before a response tells of them. What a stream that has ended took of a limit on output
//! is known with the next answer.

mod body;
mod future;
mod layer;
mod list;
mod load;
mod parse;
mod service;
mod standing;
mod table;
mod told;
mod value;
mod window;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::ProviderLimitsLayer;
pub use service::{HeldBack, ProviderLimited};
pub use table::{MAX_PROVIDERS, ProviderLimits, ProviderStats};
pub use told::MAX_WAIT;
