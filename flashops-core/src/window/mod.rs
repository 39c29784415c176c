//! Windows: how much was used in the last minute, this month, ever.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::limit::{Algorithm, Limit, Policy, Resource, Window};
//! use flashops_core::key::{Key, Scope};
//! use flashops_core::budget::RateLimiter;
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let limit = Limit::new("rpm", Scope::User, Resource::Requests, 1_000, minute)?.with_algorithm(Algorithm::Ring)?;
//! let clock = ManualClock::new();
//! let limiter = RateLimiter::new(Policy::new(vec![limit])?, clock.clone());
//! let ann = Key::new(Scope::User, "ann");
//! assert!((0..1_000).all(|_| limiter.check(ann).is_ok()));
//! assert!(limiter.check(ann).is_err());
//! clock.advance(Duration::from_secs(62));
//! assert!(limiter.check(ann).is_ok());
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! Each file is one way to count, a pure function of its state, the time and its arguments. All have the same
//! operations: what is used now, add, give back, and the earliest instant at which the use is down to some number.
//!
//! | window | counts by | never more than the amount | memory |
//! | --- | --- | --- | --- |
//! | sliding, `ring`, enforced, at most 64 requests | exact log of instants | yes | 4 bytes a unit |
//! | sliding, `ring` | 40 sub-buckets, the oldest counted whole | yes; admits at least 97 % of an exact log | 4 or 8 bytes a bucket |
//! | sliding, `approximate` | two counters, the older one weighted | no: up to 1.98 times in a window | constant |
//! | sliding, `gcra` | one arrival time | no: up to 1.99 times in a window | constant |
//! | calendar | one counter, reset when the period ends | yes, per period | constant |
//! | lifetime | one counter | yes | constant |
//!
//! Edge cases: usage may exceed the amount (debt): it stays in the window like other usage. Time that steps back
//! counts as zero elapsed. Instants are rounded so that nothing leaves a window early.
//!
//! What this module does not do: read a clock, lock, or know which limit it serves.

mod approximate;
pub mod calendar;
mod gcra;
mod log;
mod ring;

pub use calendar::{Calendar, CalendarError, CalendarUnit, CarryDebt};
pub use gcra::GcraError;

pub(crate) use approximate::{Approximate, Span};
pub(crate) use calendar::CalendarState;
pub(crate) use gcra::{Gcra, GcraSpan};
pub(crate) use log::{ExactLog, LARGEST as LARGEST_IN_LOG, LogSpan};
pub(crate) use ring::{Head, Ring, RingSpan, SLOTS};
