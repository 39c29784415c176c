//! Handlers: the usage report, health and metrics.
//!
//! ```
//! use std::sync::Arc;
//! use axum::{Router, routing::get};
//! use flashops_axum::handler::{UsageReport, health, health_detailed, livez, readyz, readyz_check, usage};
//! use flashops_core::budget::Budget;
//! use flashops_core::clock::CoarseClock;
//! use flashops_core::health::HealthRegistry;
//! use flashops_core::record::Tally;
//! use flashops_core::store::MemoryStore;
//!
//! fn app(budget: Budget<MemoryStore<CoarseClock>>, tally: Arc<Tally>, registry: HealthRegistry) -> Router {
//!     let usage_routes = Router::new()
//!         .route("/api/v1/ai/usage", get(usage::<MemoryStore<CoarseClock>>))
//!         .with_state(UsageReport::new(budget, tally));
//!     let health_routes = Router::new()
//!         .route("/livez", get(livez))
//!         .route("/readyz", get(readyz))
//!         .route("/readyz/{name}", get(readyz_check))
//!         .route("/api/v1/health", get(health))
//!         .route("/api/v1/health/detailed", get(health_detailed))
//!         .with_state(registry);
//!     usage_routes.merge(health_routes)
//! }
//! ```
//!
//! With the feature `prometheus`, `metrics` serves what the `metrics` facade was told, and `prometheus` makes the
//! exporter for it:
//!
//! ```
//! # #[cfg(feature = "prometheus")]
//! # {
//! use axum::{Router, routing::get};
//! use flashops_axum::handler::{metrics, prometheus};
//!
//! let handle = prometheus().install_recorder().expect("no other exporter is installed");
//! let app: Router = Router::new().route("/api/v1/metrics", get(metrics)).with_state(handle);
//! # let _ = app;
//! # }
//! ```
//!
//! What the application counts itself, `metrics::counter!("rag_query_total").increment(1)`, is on the same page.
//!
//! Edge cases: `window` is a number with a unit (`90s`, `1h`, `1d`) up to a day, or `all`; anything else is 400. The
//! usage handler needs a layer that identifies the caller, and answers 503 while the store cannot tell how limits
//! stand. Health handlers answer from what the registry knows already, 200 while nothing fails, a warning included,
//! and 503 otherwise; why something fails they tell only to an admin and to requests with [`SeesAll`]. The text of
//! `/livez` and `/readyz` is that of Kubernetes' own components, with `?verbose`, `?exclude=NAME` as often as wanted,
//! and one check by its name; a failure is 503 there too, where theirs is 500, which is all the same to a probe.
//! The exporter keeps what histograms were told until somebody asks: a service that may go without being asked calls
//! `PrometheusHandle::run_upkeep` now and then. Whoever may read the metrics reads the names of organisations and
//! models; put the handler where only an operator comes.
//!
//! What this module does not do: measure. The [`Tally`](flashops_core::record::Tally) and the
//! [`HealthRegistry`](flashops_core::health::HealthRegistry) do.

mod health;
#[cfg(feature = "prometheus")]
mod metrics;
mod usage;

pub use health::{
    health, health_detailed, health_liveness, health_readiness, livez, livez_check, readyz, readyz_check,
};
#[cfg(feature = "prometheus")]
pub use metrics::{metrics, prometheus};
pub use usage::{MAX_KNOWN_CALLERS, SeesAll, UsageQuery, UsageReport, usage};
