//! What is limited, for whom, and what a refusal says.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//!
//! let policy = Policy::new(vec![
//!     Limit::new("ai-rpm", Scope::User, Resource::Requests, 5, Window::Sliding(Duration::from_secs(60)))?,
//!     Limit::new("ai-rph", Scope::User, Resource::Requests, 50, Window::Sliding(Duration::from_secs(3600)))?,
//!     Limit::new("hourly-tokens", Scope::Org, Resource::Tokens, 100_000, Window::Sliding(Duration::from_secs(3600)))?
//!         .with_routes(["/v1/**"])?,
//!     Limit::concurrency("streams", Scope::User, 4)?,
//! ])?;
//! assert_eq!(policy.limits().len(), 4);
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! Edge cases: a limit of 0 admits nothing. A policy without limits admits everything. Two limits may not have the same
//! name. A limit without routes counts every request that calls a model, and no other; see
//! [`Limit::with_calls_model`].
//!
//! What this module does not do: count. It is the plan; accounts in a store hold the numbers.

mod denied;
#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod limit;
mod policy;
mod routes;

pub use denied::{Denied, Retry};
pub(crate) use limit::sorted_thresholds;
pub use limit::{Algorithm, Limit, LimitError, Mode, Resource, Threshold, Window};
pub use policy::{LimitIndex, LimitSet, MissingUsage, OnExhausted, OnExpiry, Policy, Switches, UnknownModel};
pub use routes::{RouteError, RoutePatterns};

pub use crate::window::CarryDebt;
