//! Whether the service is alive, and whether it should get traffic.
//!
//! ```
//! use flashops_core::health::{Group, Finding, HealthRegistry, Status};
//!
//! let registry = HealthRegistry::new();
//! registry.register("disk", &[Group::Readiness], || Finding::pass())?;
//! registry.register("cache", &[Group::Readiness], || Finding::warn("hit rate below 10 %"))?;
//!
//! assert_eq!(registry.report(Group::Readiness).status(), Status::Warn);
//! assert_eq!(registry.report(Group::Liveness).status(), Status::Pass);
//!
//! registry.shut_down();
//! assert_eq!(registry.report(Group::Readiness).status(), Status::Fail);
//! assert_eq!(registry.report(Group::Liveness).status(), Status::Pass);
//! # Ok::<(), flashops_core::health::HealthError>(())
//! ```
//!
//! A check is a closure that looks at what it knows and returns at once; one that has to ask somebody does so in the
//! background and leaves the answer where the closure finds it. A report is as bad as its worst check.
//!
//! Edge cases: a group without checks passes. A check that panics fails. Liveness should not depend on anything outside
//! of the process: a restart does not mend it. When the service shuts down, readiness fails and liveness does not.
//!
//! What this module does not do: run checks in the background, with intervals and timeouts, or answer HTTP.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::sync::{AtomicBool, Mutex, Ordering};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Well.
    Pass,
    /// Working, with something an operator should look at.
    Warn,
    /// Not working.
    Fail,
}

impl Status {
    /// The word for it in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Whether a restart would help.
    Liveness,
    /// Whether it should get traffic.
    Readiness,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How well.
    pub status: Status,
    /// Why, if not well. It can name internals: show it to operators only.
    pub output: Option<Cow<'static, str>>,
}

impl Finding {
    /// Well.
    pub const fn pass() -> Self {
        Self { status: Status::Pass, output: None }
    }

    /// Working, with something to look at.
    pub fn warn(output: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Warn, output: Some(output.into()) }
    }

    /// Not working.
    pub fn fail(output: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Fail, output: Some(output.into()) }
    }
}

/// The checks of a service. Clones share them.
#[derive(Clone, Default)]
pub struct HealthRegistry {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    checks: Mutex<Vec<Arc<Check>>>,
    shutting_down: AtomicBool,
}

struct Check {
    name: String,
    groups: Vec<Group>,
    look: Box<dyn Fn() -> Finding + Send + Sync>,
}

/// What the checks of one group found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    checks: Vec<(String, Finding)>,
}

impl HealthRegistry {
    /// The most checks of one registry.
    pub const MAX_CHECKS: usize = 64;

    /// A registry without checks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check to groups.
    ///
    /// # Errors
    ///
    /// [`HealthError`] if the name is not 1 to 64 letters, digits, `-`, `_` or `.`, is taken, or `shutdown`; or if
    /// there are
    /// [`HealthRegistry::MAX_CHECKS`] already.
    pub fn register(
        &self,
        name: &str,
        groups: &[Group],
        look: impl Fn() -> Finding + Send + Sync + 'static,
    ) -> Result<(), HealthError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let mut checks = self.shared.checks.lock();
        let taken = name == SHUTDOWN || checks.iter().any(|check| check.name == name);
        if taken || name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(HealthError::BadName(name.to_owned()));
        }
        if checks.len() == Self::MAX_CHECKS {
            return Err(HealthError::TooMany);
        }
        checks.push(Arc::new(Check { name: name.to_owned(), groups: groups.to_vec(), look: Box::new(look) }));
        Ok(())
    }

    /// Fails readiness from now on, so that no more traffic comes while the service finishes what it has.
    pub fn shut_down(&self) {
        self.shared.shutting_down.store(true, Ordering::Relaxed);
    }

    /// What the checks of a group find now.
    pub fn report(&self, group: Group) -> Report {
        let checks: Vec<_> = self.shared.checks.lock().clone();
        let of_group = checks.iter().filter(|check| check.groups.contains(&group));
        let mut found: Vec<_> = of_group.map(|check| (check.name.clone(), check.run())).collect();
        if group == Group::Readiness && self.shared.shutting_down.load(Ordering::Relaxed) {
            found.push((SHUTDOWN.to_owned(), Finding::fail("the service is shutting down")));
        }
        Report { checks: found }
    }
}

const SHUTDOWN: &str = "shutdown";

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shared.checks.lock().iter().map(|check| check.name.clone())).finish()
    }
}

impl Check {
    fn run(&self) -> Finding {
        catch_unwind(AssertUnwindSafe(&self.look)).unwrap_or_else(|_| Finding::fail("the check panicked"))
    }
}

impl Report {
    /// The worst that was found; pass if there was nothing to find.
    pub fn status(&self) -> Status {
        self.checks.iter().map(|(_, finding)| finding.status).max().unwrap_or(Status::Pass)
    }

    /// What each check found, in the order in which they were registered.
    pub fn checks(&self) -> &[(String, Finding)] {
        &self.checks
    }
}

/// Why a check was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthError {
    /// The name is malformed or taken.
    BadName(String),
    /// The registry is full.
    TooMany,
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => {
                write!(f, "{name:?} is no free name for a check: 1 to 64 letters, digits, `-`, `_` or `.`")
            }
            Self::TooMany => write!(f, "a registry has at most {} checks", HealthRegistry::MAX_CHECKS),
        }
    }
}

impl std::error::Error for HealthError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_panics_fails_and_the_others_are_still_asked() {
        let registry = HealthRegistry::new();
        registry.register("broken", &[Group::Readiness], || panic!("out of cheese")).unwrap();
        registry.register("fine", &[Group::Readiness], Finding::pass).unwrap();
        let report = registry.report(Group::Readiness);
        assert_eq!(report.status(), Status::Fail);
        assert_eq!(report.checks().len(), 2);
        assert_eq!(report.checks()[1].1, Finding::pass());
    }

    #[test]
    fn a_check_may_look_at_the_registry_it_is_in() {
        let registry = HealthRegistry::new();
        let inner = registry.clone();
        let look = move || {
            if inner.report(Group::Liveness).status() == Status::Pass { Finding::pass() } else { Finding::fail("dead") }
        };
        registry.register("self", &[Group::Readiness], look).unwrap();
        assert_eq!(registry.report(Group::Readiness).status(), Status::Pass);
    }

    #[test]
    fn a_name_is_given_once() {
        let registry = HealthRegistry::new();
        registry.register("disk", &[], Finding::pass).unwrap();
        for name in ["disk", "shutdown", "", "a b", "a:b"] {
            assert_eq!(registry.register(name, &[], Finding::pass), Err(HealthError::BadName(name.to_owned())));
        }
    }
}
