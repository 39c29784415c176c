//! Checks of what a service depends on, and what runs them.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use flashops_core::health::{Group, HealthRegistry};
//! use flashops_tower::health::http_check;
//! use http::{Request, Response};
//! use tower::service_fn;
//!
//! // A real one is, for example, the `Client` of hyper-util that the service has anyway.
//! let client = service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new(String::new())) });
//! let registry = HealthRegistry::new();
//! let uri = "http://search.internal/healthz".parse()?;
//! registry.register(http_check("search", client, uri).with_groups([Group::Readiness]))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`http_check`] asks through any client that is a tower service, so its connections, its TLS and its proxies are
//! the service's own. With the feature `tokio` there are also `tcp_check`, `disk_check` (on Unix), and `Refresher`,
//! which runs all checks of a registry in the background:
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # async fn start(registry: flashops_core::health::HealthRegistry) -> Result<(), Box<dyn std::error::Error>> {
//! use flashops_tower::health::{DiskThresholds, Refresher, disk_check, tcp_check};
//!
//! registry.register(tcp_check("redis", "redis.internal:6379"))?;
//! registry.register(disk_check("disk", "/var/lib", DiskThresholds::default()).not_critical())?;
//! let refresher = Refresher::spawn(registry.clone());
//! // Serve, until it is time to stop.
//! registry.shut_down();
//! refresher.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Redis and databases need no check of their own: a closure over the ping of the client that the service has is one,
//! as [`Check::new`](flashops_core::health::Check::new) shows. It sees more than an open port.
//!
//! [`HealthLog`] and [`HealthGauges`] tell of every change of a check: an event, and a gauge for each check.
//!
//! Edge cases: an answer from 200 to 399 passes, as for a probe of Kubernetes, and redirects are not followed. Of a
//! body [`MAX_BODY`] is read, so that the connection can be used again. A host name is looked up each time. A disk that
//! does not answer keeps one thread, and not one more with each run.
//!
//! What this module does not do: keep what was found, or answer probes. The registry and the handlers do.

mod http;
mod observe;
#[cfg(feature = "tokio")]
mod tcp;
#[cfg(all(feature = "tokio", unix))]
mod disk;
#[cfg(feature = "tokio")]
mod refresher;

#[cfg(all(feature = "tokio", unix))]
pub use disk::{DiskThresholds, disk_check};
#[cfg(feature = "tokio")]
pub(crate) use http::exchange;
pub use http::{MAX_BODY, http_check};
pub use observe::{HEALTH_TARGET, HealthGauges, HealthLog, MAX_LOGGED_OUTPUT};
#[cfg(feature = "tokio")]
pub use refresher::Refresher;
#[cfg(feature = "tokio")]
pub use tcp::tcp_check;
