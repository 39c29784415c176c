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
//! 1. the identity of the request, `x-request-id`, taken from the client if it is well-formed, and on every response;
//! 2. the log: an event for each request when its response has ended;
//! 3. metrics of requests;
//! 4. the gate, which turns requests away while a critical health check fails ([`Controls::with_health`]);
//! 5. the rate limit, on all routes that call no model; health checks pass it uncounted;
//! 6. the fall-back to the next model, on routes that have a chain of them;
//! 7. the token budget, on the routes that call one, with all limits of the request in one reservation;
//! 8. panics, which become a clean 500 in the dialect of the route and are charged as what was sent;
//! 9. your service.
//!
//! Calls are logged and measured by recorders. All of that is told to the facades
//! [`tracing`](https://docs.rs/tracing) and [`metrics`](https://docs.rs/metrics): nobody hears of it unless the service
//! installs a subscriber and an exporter, before the first request. `[observe]` in the configuration turns each off.
//!
//! Edge cases: authentication of your own goes outside of this, and puts a
//! [`Caller`](flashops_core::caller::Caller) into the request's extensions, which counts before any key. CORS goes
//! outside too, so that preflights are not counted. The request that your service gets has another body type, and so
//! has the response; the response body is boxed once, where panics are caught.
//!
//! What this module does not do: time out, compress, or serve. tower-http and your server do.

#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod controls;
mod identify;
mod layer;
mod observe;
mod outer;

pub use controls::{Controls, EXEMPT_PATHS};
pub use identify::ConfiguredCallers;
pub use layer::ControlsLayer;
pub use observe::Observed;
pub use outer::{Body, Outer, ResponseFuture};
