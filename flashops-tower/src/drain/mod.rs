//! Reads a response to its end after its client has left, so that its usage is exact.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use flashops_tower::drain::DrainLayer;
//! use http::Response;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, service_fn};
//!
//! # let token_budget = tower::layer::util::Identity::new();
//! let service = ServiceBuilder::new()
//!     .layer(DrainLayer::new().with_max_time(Duration::from_secs(20)))
//!     .layer(token_budget)
//!     .service(service_fn(|_: http::Request<Full<Bytes>>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("a long answer"))))
//!     }));
//! # let _ = service;
//! ```
//!
//! A stream that its client leaves is charged an estimate, because the provider's own number comes last. A provider
//! that bills the rest of the answer all the same can be read to its end for that number. This layer stands outside of
//! the [`TokenBudgetLayer`](crate::TokenBudgetLayer): where the body that it wraps is dropped before its end, a task of
//! the runtime reads on, and the metered body inside settles as ever, exactly if the end came.
//!
//! What is read on is bounded: [`DrainLayer::with_max_time`], [`DrainLayer::with_max_bytes`], and how many responses at
//! once, [`DrainLayer::with_max_drains`]. At a bound the body is dropped, and settled as cut.
//!
//! It needs a tokio runtime with its timer.
//!
//! Edge cases: a body of which nothing was read yet is drained too, since the provider has begun. A drop outside of a
//! runtime, or while it shuts down, drains nothing. A response whose client is there is passed on as it is, except that
//! its body is in a box.
//!
//! What this module does not do: save money. It buys exactness with tokens that nobody reads; where the provider stops
//! when its connection closes, leave it out.

mod body;
mod future;
mod layer;
mod service;

pub use body::DrainBody;
pub use future::ResponseFuture;
pub use layer::DrainLayer;
pub use service::Drain;
