//! A model of a store, too simple to be wrong, and random scripts that are run against both.
//!
//! ```
//! use flashops_testkit::conformance::{MemoryHarness, block_on};
//! use flashops_testkit::oracle::{self, Coverage, script};
//! use proptest::strategy::{Strategy, ValueTree};
//! use proptest::test_runner::TestRunner;
//!
//! let script = script(20).new_tree(&mut TestRunner::deterministic())?.current();
//! let mut coverage = Coverage::default();
//! block_on(oracle::check(&MemoryHarness::new(), &script, &mut coverage)).expect("store and model agree");
//! assert!(coverage.steps > 0);
//! # Ok::<(), proptest::test_runner::Reason>(())
//! ```
//!
//! The model keeps one list of events for each key and limit, and sums the whole list in 128 bits for every question:
//! no running sum, no bucket, no log that forgets. After every step it is compared with the store: the decision, what
//! was left, the wait, the thresholds, and how each limit of each key stands.
//!
//! | window | the model counts | and is compared |
//! | --- | --- | --- |
//! | small limits on requests | every event younger than the window | exactly |
//! | ring | every event whose sub-bucket is one of the last 40 | exactly, and against the strict bound |
//! | two counters | this window's events, and those of the one before by their share | exactly |
//! | pacing | the events replayed one after the other | exactly |
//! | calendar | the events replayed day by day | exactly |
//! | lifetime | every event | exactly |
//!
//! The strict bound is judged apart from all of this: whenever a store admits, what was counted in the window that ends
//! then, by an exact log, and what is held, are together within the amount of each strict limit.
//!
//! A wait is not searched for but checked: at the instant that the store names there is room, and just before it there
//! is none.
//!
//! The model is also a store of its own, [`ReferenceStore`]. It passes the [conformance suite](crate::conformance)
//! like any other, and it can be given a [`Flaw`], a mistake that limiters in the field have made: the suite must
//! catch each.
//!
//! Edge cases: instants are multiples of 1,024 µs, so that a store which rounds to less rounds nothing here. Scripts
//! set the clock back and forth again, and then only what was refused may be asked for, and must be refused.
//!
//! What this module does not do: threads, memory bounds, or clocks that stay behind.

mod account;
mod check;
mod compare;
mod flaw;
mod model;
mod reference;
mod script;

pub use check::{Coverage, check};
pub use flaw::Flaw;
pub use reference::{ReferenceHarness, ReferenceStore, SettleAnswer};
pub use script::{Script, Step, Who, script};
