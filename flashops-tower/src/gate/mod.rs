//! Turns requests away while the service cannot serve them: while a critical check for readiness fails.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use bytes::Bytes;
//! use flashops_core::clock::{Moment, Tick};
//! use flashops_core::health::{Check, Finding, HealthRegistry};
//! use flashops_core::limit::RoutePatterns;
//! use flashops_tower::gate::GateLayer;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = HealthRegistry::new();
//! health.register(Check::new("database", || async { Finding::fail("connection refused") }).with_start_delay(Duration::ZERO))?;
//! let service = ServiceBuilder::new()
//!     .layer(GateLayer::new(health.clone()).with_exempt(RoutePatterns::new(["/readyz"])?))
//!     .service(service_fn(|_: Request<()>| async {
//!         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//!     }));
//!
//! let ask = |path: &str| Request::get(path).body(()).unwrap();
//! assert_eq!(service.clone().oneshot(ask("/pets")).await?.status(), 200);
//! // A driver runs the check, and finds the database down.
//! for mut run in health.start_due(Tick::ZERO) {
//!     let finding = (&mut run).await;
//!     run.finish(finding, Moment::default());
//! }
//! assert_eq!(service.clone().oneshot(ask("/pets")).await?.status(), 503);
//! assert_eq!(service.oneshot(ask("/readyz")).await?.status(), 200, "the probe reaches its handler");
//! # Ok(())
//! # }
//! ```
//!
//! A request that is turned away is answered as any refusal is, with 503, `overloaded` and `Retry-After`, and is marked
//! as [`NotDispatched`](crate::reject::NotDispatched), so that nobody further out counts it. To decide, one atomic is
//! read.
//!
//! Edge cases: a check that has not answered yet closes nothing, and neither does a shutdown, during which what still
//! comes is served. Requests that are under way when a check fails go on.
//!
//! What this module does not do: look at how much there is to do. Limits on concurrency do.

mod future;
mod layer;
mod service;

pub use crate::rate_limit::ResponseBody;
pub use future::ResponseFuture;
pub use layer::GateLayer;
pub use service::Gate;
