use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use flashops_core::clock::{Clock, ManualClock, Tick, UnixSeconds};
use flashops_core::limit::Policy;
use flashops_core::store::{Bounds, MemoryStore, Store};

/// How the suite gets stores and lets time pass.
pub trait Harness {
    /// The store under test.
    type Store: Store;

    /// A new, empty store, with these bounds as far as it has any.
    fn store(&self, policy: Policy, bounds: Bounds) -> impl Future<Output = Arc<Self::Store>>;

    /// Lets time pass for all stores of this harness, on the monotonic clock and on the wall clock, which stood at some
    /// midnight UTC when the harness was made.
    fn advance(&self, by: Duration) -> impl Future<Output = ()>;

    /// Sets both clocks back, by whole seconds on the wall clock; [`Harness::advance`] by as much sets them right. Says
    /// whether it can.
    fn step_back(&self, _by: Duration) -> bool {
        false
    }

    /// By how much an instant that the store names may be too late.
    fn resolution(&self) -> Duration {
        Duration::ZERO
    }

    /// The unit in which the store counts instants. Where it is longer than a nanosecond, the sub-buckets of a ring are
    /// whole units long and begin at the origin of the ticks, and a wait is named in whole units.
    fn instant(&self) -> Duration {
        Duration::from_nanos(1)
    }

    /// Whether the store refuses reservations beyond a bound.
    fn bounds_reservations(&self) -> bool {
        true
    }
}

/// Stores in memory, with a clock that moves when it is told to.
#[derive(Debug)]
pub struct MemoryHarness {
    clock: ManualClock,
}

impl Default for MemoryHarness {
    fn default() -> Self {
        let clock = ManualClock::new();
        // A power of two, so that what rounds instants to powers of two rounds no round number of microseconds.
        clock.set_tick(Tick::from_nanos(1 << 60));
        Self { clock }
    }
}

impl MemoryHarness {
    /// A harness at midnight of 1 January 2026, UTC.
    pub fn new() -> Self {
        Self::default()
    }

    /// The clock of its stores.
    pub const fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

impl Harness for MemoryHarness {
    type Store = MemoryStore<ManualClock>;

    async fn store(&self, policy: Policy, bounds: Bounds) -> Arc<Self::Store> {
        Arc::new(MemoryStore::with_bounds(Arc::new(policy), self.clock.clone(), bounds))
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn step_back(&self, by: Duration) -> bool {
        let now = self.clock.now();
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.clock.set_tick(Tick::from_nanos(now.tick.nanos().saturating_sub(nanos)));
        self.clock.set_unix(UnixSeconds(now.unix.0.saturating_sub(seconds)));
        nanos <= now.tick.nanos()
    }
}

/// Runs a future to its end on this thread, for harnesses that need no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
