use std::sync::Arc;
use std::time::Duration;

use super::{Check, Finding, Group, Status};
use crate::clock::{Clock, Tick};
use crate::record::{Ending, Event, Recorder};
use crate::sync::Mutex;

/// How the calls that are made anyway end: a check of a provider that costs no call of its own. Clones share it.
///
/// ```
/// use std::time::Duration;
/// use flashops_core::clock::{Clock, ManualClock};
/// use flashops_core::health::{Finding, Outcome, Thresholds, Traffic};
///
/// let (traffic, clock) = (Traffic::new(Thresholds::default()), ManualClock::new());
/// for _ in 0..9 {
///     traffic.record(Outcome::Success, Duration::from_secs(2), clock.tick());
/// }
/// assert_eq!(traffic.finding(clock.tick()), Finding::pass());
/// traffic.record(Outcome::Failure, Duration::from_secs(2), clock.tick());
/// assert_eq!(traffic.finding(clock.tick()), Finding::warn("1 of 10 calls failed"));
/// // Nobody calls any more, so nothing is known.
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(traffic.finding(clock.tick()), Finding::pass());
/// ```
///
/// Whoever calls the provider feeds it with [`Traffic::record`]. It is a [`Recorder`] too, for a service whose calls
/// pass a token budget: there a complete answer is a success, and one that was rejected or failed is a failure. That
/// is less exact. A rejection can be the client's fault; a call that never reached the provider and one that broke off
/// are not counted, since a recorder cannot tell whose fault they were.
///
/// It remembers a window in [`Traffic::BUCKETS`] buckets, so a call counts for the window less up to one bucket. Below
/// the least number of calls it passes: few calls say little, and none say nothing.
#[derive(Clone, Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    thresholds: Thresholds,
    window: Mutex<Window>,
}

/// From when on traffic is not well.
///
/// Shares are thousandths of the calls in the window. A share above 1000 is never reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// How far back calls count.
    pub window: Duration,
    /// How many calls there must be in it.
    pub least_calls: u64,
    /// The share of failures that is a warning, and the one that is a failure.
    pub failed: [u32; 2],
    /// A call that takes at least so long is slow.
    pub slow: Duration,
    /// The share of slow calls that is a warning, and the one that is a failure. 50 is a bound on the 95th
    /// percentile.
    pub slow_share: [u32; 2],
}

/// A minute, of which ten calls are enough to judge by; a tenth of failures is a warning and half of them a failure;
/// a twentieth of calls that take 30 s is a warning, and none of them a failure.
impl Default for Thresholds {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            least_calls: 10,
            failed: [100, 500],
            slow: Duration::from_secs(30),
            slow_share: [50, 1_001],
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The provider did what it is for; it may have refused a request that was wrong.
    Success,
    /// It did not.
    Failure,
}

/// The calls in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were slow.
    pub slow: u64,
}

impl Traffic {
    /// How many buckets a window has.
    pub const BUCKETS: usize = 12;
    /// How often a check of traffic looks.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// No calls yet.
    pub fn new(thresholds: Thresholds) -> Self {
        let window = Mutex::new(Window::new(thresholds.window));
        Self { shared: Arc::new(Shared { thresholds, window }) }
    }

    /// A call ended now. All ticks that it is given must be of one clock.
    pub fn record(&self, outcome: Outcome, latency: Duration, now: Tick) {
        let Shared { thresholds, window } = &*self.shared;
        let (failed, slow) = (outcome == Outcome::Failure, latency >= thresholds.slow);
        window.lock().add(Counts { calls: 1, failed: failed.into(), slow: slow.into() }, now);
    }

    /// The calls that count now.
    pub fn counts(&self, now: Tick) -> Counts {
        self.shared.window.lock().sum(now)
    }

    /// What they say of the provider.
    pub fn finding(&self, now: Tick) -> Finding {
        let (counts, thresholds) = (self.counts(now), &self.shared.thresholds);
        if counts.calls < thresholds.least_calls.max(1) {
            return Finding::pass();
        }
        let failed = (judge(counts.failed, counts.calls, thresholds.failed), "failed".to_owned(), counts.failed);
        let took = format!("took {:?} or longer", thresholds.slow);
        let slow = (judge(counts.slow, counts.calls, thresholds.slow_share), took, counts.slow);
        let (status, what, some) = if slow.0 > failed.0 { slow } else { failed };
        let output = (status != Status::Pass).then(|| format!("{some} of {} calls {what}", counts.calls).into());
        Finding { status, output }
    }

    /// A check of it for readiness, looked at every [`Traffic::INTERVAL`] from the start. The clock is the one of the
    /// ticks that calls are recorded with.
    pub fn check(&self, name: &str, clock: impl Clock) -> Check {
        let traffic = self.clone();
        let look = move || std::future::ready(traffic.finding(clock.tick()));
        Check::new(name, look)
            .with_groups([Group::Readiness])
            .with_interval(Self::INTERVAL)
            .with_start_delay(Duration::ZERO)
            .with_initial(Finding::pass())
    }
}

impl Recorder for Traffic {
    fn record(&self, event: &Event<'_>) {
        let Event::Settled(settled) = event else { return };
        let outcome = match settled.ending {
            Ending::Complete => Outcome::Success,
            Ending::Rejected | Ending::Failed => Outcome::Failure,
            Ending::Cut | Ending::Exhausted => return,
        };
        self.record(outcome, settled.duration(), settled.ended.tick);
    }
}

/// What a share says, given those from which on it is a warning and a failure.
fn judge(some: u64, all: u64, [warn, fail]: [u32; 2]) -> Status {
    let reaches = |share: u32| u128::from(some) * 1_000 >= u128::from(share) * u128::from(all);
    match (reaches(fail), reaches(warn)) {
        (true, _) => Status::Fail,
        (false, true) => Status::Warn,
        (false, false) => Status::Pass,
    }
}

/// Counts of the latest buckets: a function of calls and time.
#[derive(Debug)]
struct Window {
    /// Nanoseconds of a bucket, at least 1.
    width: u64,
    /// The number of the latest bucket, counted from the origin of the clock.
    latest: u64,
    /// The bucket of number `n` is at `n % BUCKETS`.
    buckets: [Counts; Traffic::BUCKETS],
}

impl Window {
    fn new(window: Duration) -> Self {
        let width = window.as_nanos() / Traffic::BUCKETS as u128;
        let width = u64::try_from(width).unwrap_or(u64::MAX).max(1);
        Self { width, latest: 0, buckets: [Counts::default(); Traffic::BUCKETS] }
    }

    fn add(&mut self, call: Counts, now: Tick) {
        self.move_to(now);
        let bucket = self.buckets[slot(self.latest)];
        self.buckets[slot(self.latest)] = bucket.plus(call);
    }

    fn sum(&mut self, now: Tick) -> Counts {
        self.move_to(now);
        self.buckets.iter().fold(Counts::default(), |sum, bucket| sum.plus(*bucket))
    }

    /// Forgets the buckets that are over. A clock that steps back stays in the latest bucket.
    fn move_to(&mut self, now: Tick) {
        let number = now.nanos() / self.width;
        let passed = number.saturating_sub(self.latest).min(Traffic::BUCKETS as u64);
        self.latest = self.latest.max(number);
        (0..passed).for_each(|back| self.buckets[slot(self.latest - back)] = Counts::default());
    }
}

fn slot(number: u64) -> usize {
    (number % Traffic::BUCKETS as u64) as usize
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, failed: self.failed + other.failed, slow: self.slow + other.slow }
    }
}

#[cfg(test)]
mod tests;
