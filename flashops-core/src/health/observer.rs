use std::fmt;
use std::sync::Arc;

use super::Status;

/// The status of a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition<'a> {
    /// The name of the check; `shutdown` when the service begins to shut down.
    pub check: &'a str,
    /// What it was; `None` if it has never answered before.
    pub from: Option<Status>,
    /// What it is.
    pub to: Status,
    /// Why, if not well. It can name internals.
    pub output: Option<&'a str>,
}

/// A line for a log: `redis: pass -> fail: connection refused`.
impl fmt::Display for Transition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map_or("unknown", Status::name);
        write!(f, "{}: {from} -> {}", self.check, self.to.name())?;
        self.output.map_or(Ok(()), |output| write!(f, ": {output}"))
    }
}

/// Somebody who wants to know when the status of a check changes. Closures do.
///
/// Each change is told once, in order for each check, on the thread of the driver and under no lock.
pub trait HealthObserver: Send + Sync + 'static {
    /// Takes note of a change.
    fn changed(&self, transition: &Transition<'_>);
}

impl<F: Fn(&Transition<'_>) + Send + Sync + 'static> HealthObserver for F {
    fn changed(&self, transition: &Transition<'_>) {
        self(transition);
    }
}

/// Takes no note of anything.
impl HealthObserver for () {
    fn changed(&self, _: &Transition<'_>) {}
}

impl<O: HealthObserver + ?Sized> HealthObserver for Arc<O> {
    fn changed(&self, transition: &Transition<'_>) {
        (**self).changed(transition);
    }
}

impl<A: HealthObserver, B: HealthObserver> HealthObserver for (A, B) {
    fn changed(&self, transition: &Transition<'_>) {
        self.0.changed(transition);
        self.1.changed(transition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_one_line() {
        let first = Transition { check: "ping", from: None, to: Status::Pass, output: None };
        assert_eq!(first.to_string(), "ping: unknown -> pass");
        let worse = Transition { check: "redis", from: Some(Status::Pass), to: Status::Fail, output: Some("refused") };
        assert_eq!(worse.to_string(), "redis: pass -> fail: refused");
    }
}
