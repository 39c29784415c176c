//! Whether the service is alive, and whether it should get traffic.
//!
//! ```
//! use flashops_core::clock::{Moment, Tick};
//! use flashops_core::health::{Check, Finding, Group, HealthRegistry, Status};
//!
//! let registry = HealthRegistry::new();
//! registry.register(Check::ping())?;
//! // Whatever can be pinged is a check: here a client of a database, of which only the ping is shown.
//! # #[derive(Clone)]
//! # struct Database;
//! # impl Database { async fn ping(&self) -> Result<(), std::io::Error> { Ok(()) } }
//! let database = Database;
//! let ping = move || { let database = database.clone(); async move { database.ping().await } };
//! registry.register(Check::new("database", ping))?;
//! registry.register(Check::new("cache", || async { Finding::fail("connection refused") }).not_critical())?;
//!
//! // Nobody has asked the database yet, so there should be no traffic.
//! assert_eq!(registry.report().status(Group::Readiness), Status::Fail);
//! assert_eq!(registry.report().status(Group::Liveness), Status::Pass);
//!
//! // A driver does this, with a runtime: `Refresher` of flashops-tower.
//! assert!(registry.start_due(Tick::ZERO).is_empty(), "checks have a start delay");
//! for mut run in registry.start_due(Tick::from_nanos(6_000_000_000)) {
//!     let finding = poll_once(&mut run).expect("these answer at once");
//!     run.finish(finding, Moment::default());
//! }
//! assert_eq!(registry.report().status(Group::Readiness), Status::Warn, "the cache is not critical");
//!
//! registry.shut_down();
//! assert_eq!(registry.report().status(Group::Readiness), Status::Fail);
//! assert_eq!(registry.report().status(Group::Liveness), Status::Pass);
//! # fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::Pin::new(future).poll(&mut context) {
//! #         std::task::Poll::Ready(output) => Some(output),
//! #         std::task::Poll::Pending => None,
//! #     }
//! # }
//! # Ok::<(), flashops_core::health::HealthError>(())
//! ```
//!
//! A [`Check`] makes a future that asks somebody. It is run in the background, once in an interval and never twice at
//! a time, and what it found is kept: a [`Report`] is read without asking anybody, and is as bad as its worst check.
//! [`HealthRegistry::start_due`] says what is to be run now; whoever has a runtime runs it, with the timeout of the
//! check, and tells the [`Run`] how it ended. When the status of a check changes, a [`HealthObserver`] is told, once.
//!
//! [`Traffic`] is a check that costs no call: it looks at how the calls that are made anyway end.
//!
//! Edge cases: a group without checks passes. A check that panics fails, and so does one that has not answered within
//! its timeout. One that has never answered fails readiness and startup, unless it says otherwise
//! ([`Check::with_initial`]), and passes liveness: a restart would not make it answer. One that is not critical warns
//! where it would fail. When the service shuts down, readiness fails at once and liveness does not. Liveness should
//! not depend on anything outside of the process, since a restart does not mend it.
//!
//! What this module does not do: run, wait, speak to a network, or answer HTTP. Checks of TCP and HTTP services and
//! of disk space, and the driver, are in `flashops-tower`, and the handlers in `flashops-axum`.

mod status;
mod check;
mod state;
mod report;
mod observer;
mod run;
mod registry;
mod error;
mod traffic;

pub use check::Check;
pub use error::HealthError;
pub use observer::{HealthObserver, Transition};
pub use registry::HealthRegistry;
pub use report::{CheckReport, Report};
pub use run::Run;
pub use state::Reading;
pub use status::{Component, Finding, Group, Status};
pub use traffic::{Counts, Outcome, Thresholds, Traffic};
