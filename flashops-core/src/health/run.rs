use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::check::{Check, Pending};
use super::registry::Shared;
use super::{Finding, Reading};
use crate::clock::{Moment, Tick};

/// One run of a check: a future of what it finds, which never panics. Polled after it was ready, it has failed.
///
/// Tell it how it ended, with [`Run::finish`] or [`Run::time_out`]. Until then, or until it is dropped, the check is
/// not started again; a run that is dropped leaves what the check found before.
#[must_use = "a run asks nobody until it is polled"]
pub struct Run {
    shared: Arc<Shared>,
    check: Arc<Check>,
    index: usize,
    started: Tick,
    asking: Asking,
}

enum Asking {
    /// Nobody was asked yet. Making the future may panic, so it is made where that is caught.
    Not,
    /// The answer is waited for.
    Now(Pending),
    /// There is an answer, or it panicked.
    NoMore,
}

impl Run {
    pub(super) const fn new(shared: Arc<Shared>, check: Arc<Check>, index: usize, started: Tick) -> Self {
        Self { shared, check, index, started, asking: Asking::Not }
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        self.check.timing.timeout
    }

    /// Keeps what was found, and tells the observer if the status changed.
    pub fn finish(self, finding: Finding, now: Moment) {
        let finding = finding.printable().weighed(self.check.critical);
        let reading = Reading { finding, time: now.unix, took: now.tick.since(self.started) };
        self.shared.answer(self.index, reading);
    }

    /// The time is up: the check fails, and its future is dropped.
    pub fn time_out(mut self, now: Moment) {
        self.asking = Asking::NoMore;
        let output: Cow<'static, str> = format!("no answer within {:?}", self.timeout()).into();
        self.finish(Finding::fail(output), now);
    }
}

impl Future for Run {
    type Output = Finding;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finding> {
        let Self { check, asking, .. } = self.get_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Asking::Not = asking {
                *asking = Asking::Now((check.ask)());
            }
            match asking {
                Asking::Now(pending) => pending.as_mut().poll(cx),
                Asking::Not | Asking::NoMore => Poll::Ready(Finding::fail("the run is over")),
            }
        }));
        let finding = ready!(polled.unwrap_or_else(|_| Poll::Ready(Finding::fail("the check panicked"))));
        *asking = Asking::NoMore;
        Poll::Ready(finding)
    }
}

/// The check may be started again.
impl Drop for Run {
    fn drop(&mut self) {
        self.shared.release(self.index);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("check", &self.check).field("started", &self.started).finish_non_exhaustive()
    }
}
