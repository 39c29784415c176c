//! The core of flashops: what a limit, a reservation, a price and a usage are, without a runtime and without HTTP.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::budget::RateLimiter;
//! use flashops_core::clock::CoarseClock;
//! use flashops_core::key::{Key, Scope};
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let policy = Policy::new(vec![Limit::new("rpm", Scope::User, Resource::Requests, 2, minute)?])?;
//! let limiter = RateLimiter::new(policy, CoarseClock::new());
//!
//! let ann = Key::new(Scope::User, "ann");
//! assert!(limiter.check(ann).is_ok());
//! assert!(limiter.check(ann).is_ok());
//! let denied = limiter.check(ann).unwrap_err();
//! println!("{}: {:?}", limiter.policy().limit(denied.limit).name(), denied.retry);
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! Everything hangs on five steps, and every module serves one of them:
//!
//! | step | question | module |
//! | --- | --- | --- |
//! | 1 estimate | how much may a request use? | [`estimate`] |
//! | 2 reserve | is there room for it, in all scopes at once? | [`limit`], [`window`], [`store`], [`budget`] |
//! | 3 call | | yours; the layers of `flashops-tower` stand around it |
//! | 4 settle | what did it use, and what does that cost? | [`usage`], [`price`], [`budget`] |
//! | 5 record | who wants to know? | [`record`] |
//!
//! The modules are in floors: [`units`], [`key`], [`clock`] and [`usage`] at the bottom, [`budget`] and [`config`] at
//! the top, and no import runs up. Time comes in through [`clock::Clock`] only; amounts are integers everywhere.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod units;
pub mod network;
pub mod key;
pub mod caller;
pub mod clock;
pub mod usage;
mod sync;
mod place;
pub mod window;
pub mod price;
pub mod estimate;
pub mod limit;
mod account;
pub mod store;
pub mod budget;
pub mod record;
pub mod alert;
pub mod health;
pub mod config;

pub use health::HealthRegistry;
pub use limit::{Limit, Policy};
pub use price::PriceBook;
pub use usage::Usage;
