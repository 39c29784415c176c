//! Refusals of a handler that reserves by hand, as responses.
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use flashops_axum::extract::CallerBudget;
//! use flashops_axum::response::Refused;
//! use flashops_core::budget::Budget;
//! use flashops_core::clock::CoarseClock;
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::record::Ending;
//! use flashops_core::store::MemoryStore;
//! use flashops_core::units::Tokens;
//! use flashops_core::usage::Usage;
//!
//! type Store = MemoryStore<CoarseClock>;
//!
//! async fn summarise(budget: CallerBudget<Store>, text: String) -> Result<Json<usize>, Refused> {
//!     let output = OutputCap::new(Tokens::saturating(200));
//!     let estimate = Estimate::new(InputBound::bytes(text.len() as u64), output);
//!     let reserved = budget.reserve("/summaries", "gpt-4o-mini", estimate).await;
//!     let mut call = reserved.map_err(|error| budget.refused(&error))?;
//!     call.dispatched();
//!     // Here the job runs, and tells what it used.
//!     call.settle(&Usage::estimated(Tokens::saturating(30), Tokens::saturating(20)), Ending::Complete);
//!     Ok(Json(text.len()))
//! }
//!
//! fn app(budget: Budget<Store>) -> Router {
//!     Router::new().route("/summaries", post(summarise)).with_state(budget)
//! }
//! # let _ = app;
//! ```
//!
//! The answer is the same that a layer gives: status, body in the dialect of the route, `Retry-After`, and
//! [`NotDispatched`](flashops_tower::reject::NotDispatched), by which a rate limit around it gives its count back.
//!
//! Edge cases: the identity of the request is in the body if the request has one. A call that can never fit is answered
//! with 413, since the estimate of a handler is taken for exact. A model without a price is not named. Answer with it
//! only where nothing was called for the request yet: a token budget around the handler gives its own call back too.
//!
//! What this module does not do: answer in another style than
//! [`DefaultReject`](flashops_tower::reject::DefaultReject). Make a response of the
//! [`BeginError`](flashops_core::budget::BeginError) yourself for that.

use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flashops_tower::reject::RejectBody;

/// A refusal, ready to be sent. [`CallerBudget::refused`](crate::extract::CallerBudget::refused) makes it.
pub struct Refused(http::Response<RejectBody>);

impl Refused {
    pub(crate) const fn new(response: http::Response<RejectBody>) -> Self {
        Self(response)
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refused").field(&self.0.status()).finish()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.map(|body| Body::from(body.into_bytes()))
    }
}
