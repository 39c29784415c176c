//! Extractors: who is asking, and what is left of its budget.
//!
//! ```
//! use axum::{Router, routing::get};
//! use flashops_axum::extract::{CallerBudget, CurrentCaller};
//! use flashops_core::clock::CoarseClock;
//! use flashops_core::store::MemoryStore;
//!
//! type Budget = flashops_core::budget::Budget<MemoryStore<CoarseClock>>;
//!
//! async fn left(caller: CurrentCaller, budget: CallerBudget<MemoryStore<CoarseClock>>) -> String {
//!     let standings = budget.standings().await.unwrap_or_default();
//!     let left = standings.iter().map(|standing| standing.remaining()).min();
//!     format!("{} has {left:?} left", caller.user())
//! }
//!
//! fn app(budget: Budget) -> Router {
//!     Router::new().route("/left", get(left)).with_state(budget)
//! }
//! ```
//!
//! [`CurrentCaller`] is the caller that a layer of `flashops-tower` identified, where it was told so by
//! `with_caller_extension`, or that the application put into the request's extensions. [`CallerBudget`] is that caller
//! with the budget from the router's state: for looking at what is left, and for reserving and settling by hand what no
//! layer can see.
//!
//! Edge cases: a route without such a layer has no caller; the extractors then answer 500 and say so, for it is a
//! mistake of the service and not of the client.
//!
//! What this module does not do: identify callers.

mod budget;
mod caller;

pub use budget::CallerBudget;
pub use caller::{CurrentCaller, NoCaller};
