//! All controls of a configuration, stacked in the right order.
//!
//! ```
//! use flashops::Controls;
//! use flashops::core::config::{Config, NoSources};
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::from_toml(
//!     r#"
//!     [[caller]]
//!     key = "sk-ann"
//!     user = "ann"
//!     org = "acme"
//!
//!     [[limit]]
//!     name = "rpm"
//!     scope = "user"
//!     resource = "requests"
//!     amount = 1
//!     window = "1m"
//!     routes = ["/**"]
//!     "#,
//!     &NoSources,
//! )?;
//! let controls = Controls::new(&config);
//! let service = ServiceBuilder::new().layer(controls.layer()).service(service_fn(|_request| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! }));
//!
//! let ask = || Request::get("/pets").header("x-api-key", "sk-ann").body(Full::<Bytes>::default()).unwrap();
//! let response = service.clone().oneshot(ask()).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! assert!(response.headers().contains_key("x-request-id"));
//! assert_eq!(service.oneshot(ask()).await?.status(), StatusCode::TOO_MANY_REQUESTS);
//! # Ok(())
//! # }
//! ```
//!
//! From the outside in:
//!
//! 1. the client's address, from the headers of proxies that are trusted
//!    ([`client_ip`](flashops_tower::client_ip));
//! 2. the identity of the request, on every response and in every error, and bodies for errors that have none
//!    ([`trace_id`](flashops_tower::trace_id));
//! 3. the log: an event for each request when its response has ended;
//! 4. metrics of requests;
//! 5. security headers ([`security_headers`](flashops_tower::security_headers));
//! 6. CORS, of tower-http: a preflight is answered here, and counted nowhere;
//! 7. the time that a request may take until its response begins, and that the response may take to its end;
//! 8. addresses that may not come ([`ip_allow`](flashops_tower::ip_allow));
//! 9. the length of request bodies ([`body_limit`](flashops_tower::body_limit));
//! 10. the gate, which turns requests away while a critical health check fails ([`Controls::with_health`]);
//! 11. the rate limit, on all routes that call no model; health checks pass it uncounted;
//! 12. the fall-back to the next model, on routes that have a chain of them;
//! 13. the token budget, on the routes that call one, with all limits of the request in one reservation;
//! 14. panics, which become a clean 500 in the dialect of the route and are charged as what was sent;
//! 15. your service.
//!
//! The table `[http]` of the configuration switches 1, 2 and 5 to 10. What it does not name is not there, but for the
//! identity, and for the security headers, which are `"api"` unless it says otherwise.
//!
//! Calls are logged and measured by recorders. All of that is told to the facades
//! [`tracing`](https://docs.rs/tracing) and [`metrics`](https://docs.rs/metrics): nobody hears of it unless the service
//! installs a subscriber and an exporter, before the first request. `[observe]` in the configuration turns each off.
//!
//! Edge cases: authentication of your own goes outside of this, and puts a
//! [`Caller`](flashops_core::caller::Caller) into the request's extensions, which counts before any key. The request
//! that your service gets has another body type, and so has the response; the response body is boxed once, where
//! panics are caught. Deadlines need the tokio runtime with its timer; without them no runtime is needed. A call that
//! ends at a deadline is settled as one that its client left. With CORS every OPTIONS request is taken for a preflight.
//!
//! What this module does not do: compress, speak TLS, or serve. tower-http and your server do.

mod alerts;
#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod controls;
#[cfg(feature = "redis")]
mod configured_store;
mod deadlines;
mod edge;
mod identify;
mod layer;
mod observe;
mod opened;
mod parts;
mod reload;
mod routes;
mod service;
mod stack;

#[cfg(feature = "redis")]
pub use configured_store::{ConfiguredStore, StoreOpenError};
pub use controls::{Controls, EXEMPT_PATHS, METRICS_PATHS};
pub use deadlines::{Deadlines, DeadlinesFuture, TimedBody};
pub use edge::Edge;
pub use identify::ConfiguredCallers;
pub use layer::ControlsLayer;
pub use observe::Observed;
pub use opened::{Opened, OpenedFuture};
pub use reload::ReloadError;
pub use service::Controlled;
pub use stack::{Stack, Stacked};
