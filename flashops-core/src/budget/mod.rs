//! The front door: limit requests, and reserve before a call what is settled after it.
//!
//! ```
//! use flashops_core::budget::{Budget, CallRequest};
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::record::Ending;
//! use flashops_core::units::Tokens;
//! use flashops_core::usage::Usage;
//!
//! let limit = Limit::new("grant", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime)?;
//! let budget = Budget::in_memory(Policy::new(vec![limit])?, ManualClock::new());
//! let request = CallRequest {
//!     caller: Caller::new("ann", "acme"),
//!     route: "/v1/chat/completions".into(),
//!     model: "gpt-4o-mini".into(),
//!     estimate: Estimate::new(InputBound::bytes(300), OutputCap::new(Tokens::saturating(500))),
//!     limits: budget.policy().limits_on("/v1/chat/completions", true),
//! };
//!
//! let mut call = budget.begin_now(request)?.expect("800 of 1000 fit");
//! call.dispatched();
//! let mut usage = Usage::exact();
//! usage.input = Tokens::saturating(41);
//! usage.output = Tokens::saturating(120);
//! call.settle(&usage, Ending::Complete);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | step | question | here |
//! | --- | --- | --- |
//! | 1 estimate | how much may it cost? | [`CallRequest::estimate`], priced by the book |
//! | 2 reserve | is there room? | [`Budget::begin`] |
//! | 3 call | | yours, or a layer's |
//! | 4 settle | what did it use? | [`Call::settle`], or dropping the [`Call`] |
//! | 5 record | who wants to know? | the [`Recorder`](crate::record::Recorder) |
//!
//! Edge cases: dropping a guard before `dispatched` voids it; after, it charges what the guard knows. A call whose
//! model has no price is refused where a cost limit applies, unless the policy says otherwise. A settlement above the
//! hold is applied in full.
//!
//! What this module does not do: read requests or responses. The layers in `flashops-tower` do.

#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod budget;
mod call;
mod current;
mod rate_limiter;
mod reservation;

pub(crate) use budget::scopes;
pub use budget::{Begin, BeginError, Budget, CallRequest, UNKNOWN_PROVIDER};
pub use call::Call;
pub use current::CurrentBudget;
pub use rate_limiter::{OTHER_ROUTES, RateLimiter};
pub use reservation::Reservation;
