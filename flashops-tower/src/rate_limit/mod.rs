//! Rate limits: count requests, and refuse those beyond.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use flashops_core::budget::RateLimiter;
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_tower::rate_limit::RateLimitLayer;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let limit = Limit::new("rpm", Scope::User, Resource::Requests, 1, minute)?;
//! let limiter = RateLimiter::new(Policy::new(vec![limit])?, ManualClock::new());
//! let ann = Caller::new("ann", "acme");
//!
//! let service = ServiceBuilder::new()
//!     .layer(RateLimitLayer::new(limiter, move |_: &http::request::Parts| Ok(ann.clone())))
//!     .service(service_fn(|_request: Request<Full<Bytes>>| async {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!     }));
//!
//! let first = service.clone().oneshot(Request::new(Full::default())).await?;
//! assert_eq!(first.status(), StatusCode::OK);
//! assert_eq!(first.headers()["ratelimit"], r#""rpm";r=0;t=60"#);
//!
//! let second = service.oneshot(Request::new(Full::default())).await?;
//! assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(second.headers()["retry-after"], "60");
//! # Ok(())
//! # }
//! ```
//!
//! # Which limits count
//!
//! Those of the policy that count requests, on every route that passes here. With
//! [`RateLimitLayer::with_model_routes`] the routes that call a model are left to the [token budget](crate::budget)
//! layer, which holds requests together with tokens and cost.
//!
//! # Stacked around a token budget
//!
//! A request that this layer counted and another refused is given back when the response carries
//! [`NotDispatched`](crate::reject::NotDispatched), which every refusal of this crate does. Between the two it is
//! counted here, so that a burst of requests that the inner layer refuses can briefly take the place of others.
//!
//! Edge cases: an inner error keeps the request counted, and so does a client that does not wait for the response.
//! Refusals are answered without calling the inner service.
//!
//! What this module does not do: delay requests, count bytes or tokens, or authenticate.

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::RateLimitLayer;
pub use service::RateLimit;
