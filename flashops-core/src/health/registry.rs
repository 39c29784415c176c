use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::check::Check;
use super::observer::{HealthObserver, Transition};
use super::report::{CheckReport, Report};
use super::run::Run;
use super::state::{Reading, State};
use super::{HealthError, Status};
use crate::clock::Tick;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// The name that stands in reports while the service shuts down.
pub(super) const SHUTDOWN: &str = "shutdown";

/// The checks of a service. Clones share them. See the [module docs](super).
#[derive(Clone)]
pub struct HealthRegistry {
    shared: Arc<Shared>,
}

/// What the clones of a registry and its runs share.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    report: ArcSwap<Report>,
    /// Whether a critical check for readiness has failed, for whoever asks with every request.
    shedding: AtomicBool,
    observer: Box<dyn HealthObserver>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    shutting_down: bool,
}

struct Entry {
    check: Arc<Check>,
    state: State,
}

impl HealthRegistry {
    /// The most checks of one registry.
    pub const MAX_CHECKS: usize = 64;
    /// The most bytes of a name.
    pub const MAX_NAME: usize = 64;

    /// A registry without checks.
    pub fn new() -> Self {
        Self::with_observer(())
    }

    /// A registry without checks that tells an observer when the status of one changes.
    pub fn with_observer(observer: impl HealthObserver) -> Self {
        let shared = Shared {
            inner: Mutex::new(Inner::default()),
            report: ArcSwap::from_pointee(Report::new(Vec::new())),
            shedding: AtomicBool::new(false),
            observer: Box::new(observer),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a check.
    ///
    /// # Errors
    ///
    /// [`HealthError`] if the name is not 1 to [`HealthRegistry::MAX_NAME`] letters, digits, `-`, `_` or `.`, is taken,
    /// or `shutdown`; or if there are [`HealthRegistry::MAX_CHECKS`] already.
    pub fn register(&self, check: Check) -> Result<(), HealthError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let name = check.name();
        let mut inner = self.shared.inner.lock();
        let taken = name == SHUTDOWN || inner.entries.iter().any(|entry| entry.check.name() == name);
        if taken || name.is_empty() || name.len() > Self::MAX_NAME || !name.bytes().all(fits) {
            return Err(HealthError::BadName(name.chars().take(Self::MAX_NAME).collect()));
        }
        if inner.entries.len() == Self::MAX_CHECKS {
            return Err(HealthError::TooMany);
        }
        inner.entries.push(Entry { check: Arc::new(check), state: State::default() });
        self.shared.publish(&inner);
        Ok(())
    }

    /// Fails readiness from now on, so that no more traffic comes while the service finishes what it has. Whoever
    /// sheds while a check fails goes on serving: what still comes was sent in good faith.
    pub fn shut_down(&self) {
        {
            let mut inner = self.shared.inner.lock();
            if std::mem::replace(&mut inner.shutting_down, true) {
                return;
            }
            self.shared.publish(&inner);
        }
        let report = CheckReport::shutdown();
        let (from, to) = (Some(Status::Pass), report.status());
        self.shared.observer.changed(&Transition { check: SHUTDOWN, from, to, output: report.output() });
    }

    /// What the checks found last. It costs a few nanoseconds, and asks nobody.
    pub fn report(&self) -> Arc<Report> {
        self.shared.report.load_full()
    }

    /// Whether a critical check for readiness has failed, and has not passed since. It reads one atomic.
    ///
    /// A check that was not asked yet, and a shutdown, are no reason to turn requests away.
    #[inline]
    pub fn is_shedding(&self) -> bool {
        self.shared.shedding.load(Ordering::Relaxed)
    }

    /// Starts the checks that are due, for a driver to run. The start delay of a check begins when it is first looked
    /// at.
    pub fn start_due(&self, now: Tick) -> Vec<Run> {
        let mut inner = self.shared.inner.lock();
        let due = inner.entries.iter_mut().enumerate().filter_map(|(index, Entry { check, state })| {
            let starts = state.start(check.timing, now, fastrand::u64(..));
            starts.then(|| (index, Arc::clone(check)))
        });
        due.map(|(index, check)| Run::new(Arc::clone(&self.shared), check, index, now)).collect()
    }

    /// When the next check is to be started, of those that are not running; `None` if there is none, or none was
    /// looked at yet.
    pub fn next_due(&self) -> Option<Tick> {
        self.shared.inner.lock().entries.iter().filter_map(|entry| entry.state.next()).min()
    }
}

impl Default for HealthRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthRegistry").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Keeps an answer, and tells if the status changed. The check is still running, so that changes of one check are
    /// told in their order.
    pub(super) fn answer(&self, index: usize, reading: Reading) {
        let (to, output) = (reading.finding.status, reading.finding.output.clone());
        let changed = {
            let mut inner = self.inner.lock();
            let Some(Entry { check, state }) = inner.entries.get_mut(index) else { return };
            let changed = state.answer(reading).map(|from| (Arc::clone(&check.name), from));
            self.publish(&inner);
            changed
        };
        if let Some((check, from)) = changed {
            self.observer.changed(&Transition { check: &check, from, to, output: output.as_deref() });
        }
    }

    pub(super) fn release(&self, index: usize) {
        if let Some(entry) = self.inner.lock().entries.get_mut(index) {
            entry.state.release();
        }
    }

    /// Makes what is known readable without a lock. The lock is held, so the last to know is the last to tell.
    fn publish(&self, inner: &Inner) {
        let mut checks: Vec<_> =
            inner.entries.iter().map(|Entry { check, state }| CheckReport::new(check, state)).collect();
        self.shedding.store(checks.iter().any(CheckReport::sheds), Ordering::Relaxed);
        checks.extend(inner.shutting_down.then(CheckReport::shutdown));
        self.report.store(Arc::new(Report::new(checks)));
    }
}

#[cfg(test)]
mod tests;
