use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Clock, ManualClock, Moment, Tick, UnixSeconds};
use flashops_core::limit::Policy;
use flashops_core::store::Bounds;
use flashops_redis::{Options, RedisStore};
use flashops_testkit::conformance::Harness;
use flashops_testkit::redis_server::RedisServer;

/// A clock that moves when it is told to. Its ticks count from 1970, as a server's time does.
#[derive(Clone, Debug)]
pub(crate) struct UnixClock(ManualClock);

impl UnixClock {
    /// A clock at midnight of 1 January 2026, UTC.
    pub(crate) fn new() -> Self {
        let clock = Self(ManualClock::new());
        clock.reset();
        clock
    }

    /// Back to that midnight.
    pub(crate) fn reset(&self) {
        self.0.set_tick(Tick::from_nanos(1_767_225_600_000_000_000));
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

impl Clock for UnixClock {
    fn now(&self) -> Moment {
        let tick = self.0.now().tick;
        Moment { tick, unix: UnixSeconds(i64::try_from(tick.nanos() / 1_000_000_000).expect("it fits")) }
    }
}

/// Stores on a server of their own, each under a prefix of its own, with a clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct RedisHarness {
    server: RedisServer,
    clock: UnixClock,
}

impl RedisHarness {
    /// A harness at midnight of 1 January 2026, UTC.
    pub(crate) fn new() -> Self {
        Self { server: RedisServer::start(), clock: UnixClock::new() }
    }

    /// Back to that midnight.
    pub(crate) fn reset_clock(&self) {
        self.clock.reset();
    }
}

impl Harness for RedisHarness {
    type Store = RedisStore;

    async fn store(&self, policy: Policy, bounds: Bounds) -> Arc<RedisStore> {
        let mut options = Options::default();
        options.prefix = format!("t{:016x}", fastrand::u64(..));
        options.deadline = Duration::from_secs(10);
        options.max_reservations = bounds.max_reservations as u64;
        options.remember_settled = Duration::from_secs(400 * 86_400);
        let (address, clock) = (self.server.address(), Arc::new(self.clock.clone()));
        Arc::new(RedisStore::open_with_clock(Arc::new(policy), &address, options, clock).expect("it is open"))
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn instant(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn step_back(&self, by: Duration) -> bool {
        let nanos = u64::try_from(by.as_nanos()).expect("it fits");
        self.clock.0.set_tick(Tick::from_nanos(self.clock.now().tick.nanos() - nanos));
        true
    }
}

/// Runs a future to its end in a runtime of its own.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(future)
}
