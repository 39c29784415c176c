//! Time, read in one place.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::clock::{Clock, ManualClock};
//!
//! let clock = ManualClock::new();
//! let before = clock.now();
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(clock.now().tick.since(before.tick), Duration::from_secs(60));
//! ```
//!
//! Everything else in this crate takes a [`Moment`] as an argument. Sliding windows, deadlines and waits use its
//! [`Tick`], which is monotonic; only calendar windows and price dates look at the wall clock.
//!
//! Edge cases: a clock whose tick steps back counts as zero elapsed. [`CoarseClock`] is the default: it reads the time
//! that the kernel stored at its last timer interrupt, at a third of the cost, and says how far it may lag
//! ([`Clock::resolution`]); windows are longer by that, so that the bound which they promise holds in real time.
//!
//! What this module does not do: sleep, or take a time from a request.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds on a monotonic clock, from an origin that only this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The tick at so many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time elapsed since an earlier tick; zero if it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The tick so much later; stops at the last one, after 584 years.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds since 1970-01-01T00:00:00Z on the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// Time elapsed since an earlier instant; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// One reading of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock.
    pub tick: Tick,
    /// The wall clock.
    pub unix: UnixSeconds,
}

/// A source of time.
///
/// Ticks must never go down by more than [`Clock::resolution`], and lag real time by at most that.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now, on both clocks.
    fn now(&self) -> Moment;

    /// The monotonic time now; cheaper than [`Clock::now`] where the wall clock is not needed.
    fn tick(&self) -> Tick {
        self.now().tick
    }

    /// How far a tick may lag real time.
    fn resolution(&self) -> Duration {
        Duration::ZERO
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Moment {
        (**self).now()
    }

    fn tick(&self) -> Tick {
        (**self).tick()
    }

    fn resolution(&self) -> Duration {
        (**self).resolution()
    }
}

/// The system's monotonic clock to the nanosecond, [`Instant`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { tick: self.tick(), unix: wall() }
    }

    #[allow(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
    fn tick(&self) -> Tick {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = ORIGIN.get_or_init(Instant::now);
        Tick::ZERO.after(origin.elapsed())
    }
}

/// The system's coarse monotonic clock: `CLOCK_MONOTONIC_COARSE` on Linux, [`SystemClock`] elsewhere.
///
/// Its resolution is the kernel's timer period, asked once when the clock is made (4 ms at 250 Hz).
#[derive(Clone, Copy, Debug)]
pub struct CoarseClock {
    resolution: Duration,
}

impl CoarseClock {
    /// The coarse clock of this system.
    pub fn new() -> Self {
        Self { resolution: coarse::resolution() }
    }
}

impl Default for CoarseClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for CoarseClock {
    fn now(&self) -> Moment {
        Moment { tick: coarse::tick(), unix: coarse::wall() }
    }

    fn tick(&self) -> Tick {
        coarse::tick()
    }

    fn resolution(&self) -> Duration {
        self.resolution
    }
}

#[cfg(target_os = "linux")]
mod coarse {
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    use super::{Tick, UnixSeconds};

    fn nanos(time: Timespec) -> u64 {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
    }

    pub(super) fn tick() -> Tick {
        Tick::from_nanos(nanos(clock_gettime(ClockId::MonotonicCoarse)))
    }

    pub(super) fn wall() -> UnixSeconds {
        UnixSeconds(clock_gettime(ClockId::RealtimeCoarse).tv_sec)
    }

    pub(super) fn resolution() -> Duration {
        Duration::from_nanos(nanos(clock_getres(ClockId::MonotonicCoarse)))
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::time::Duration;

    use super::{Clock, SystemClock, Tick, UnixSeconds};

    pub(super) fn tick() -> Tick {
        SystemClock.tick()
    }

    pub(super) fn wall() -> UnixSeconds {
        super::wall()
    }

    pub(super) const fn resolution() -> Duration {
        Duration::ZERO
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the module that reads clocks")]
fn wall() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// A clock that moves only when told to. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    time: Arc<(AtomicU64, AtomicI64)>,
}

impl ManualClock {
    /// A clock at tick 1 s, on 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self { time: Arc::new((AtomicU64::new(1_000_000_000), AtomicI64::new(1_767_225_600_000_000_000))) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.time.0.fetch_add(nanos, Ordering::Relaxed);
        self.time.1.fetch_add(i64::try_from(nanos).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Sets the monotonic clock, backwards too: for tests of what must not happen.
    pub fn set_tick(&self, tick: Tick) {
        self.time.0.store(tick.nanos(), Ordering::Relaxed);
    }

    /// Sets the wall clock and leaves the monotonic one.
    pub fn set_unix(&self, unix: UnixSeconds) {
        self.time.1.store(unix.0.saturating_mul(1_000_000_000), Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment {
            tick: Tick(self.time.0.load(Ordering::Relaxed)),
            unix: UnixSeconds(self.time.1.load(Ordering::Relaxed).div_euclid(1_000_000_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_never_runs_ahead_of_the_precise_one_by_more_than_its_start() {
        let coarse = CoarseClock::new();
        assert!(coarse.resolution() <= Duration::from_millis(10));
        let (first, second) = (coarse.tick(), coarse.tick());
        assert!(second >= first);
    }

    #[test]
    fn an_earlier_tick_is_zero_elapsed() {
        assert_eq!(Tick::from_nanos(5).since(Tick::from_nanos(9)), Duration::ZERO);
    }
}
