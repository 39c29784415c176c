//! The earliest deadline of all reservations, so that most calls need not look for expired ones.
//!
//! It may be too early, which costs a search, and never too late, which would leave a hold in place for good. A search
//! first forgets what is known, so that a deadline that comes in behind it is noted anew.

use crate::clock::Tick;
use crate::sync::{AtomicU64, Ordering};

/// A tick before which no reservation expires.
#[derive(Debug)]
pub(super) struct NextDeadline(AtomicU64);

impl Default for NextDeadline {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl NextDeadline {
    /// Notes a deadline that was entered in a shard. The lock of the shard is held, or the caller has searched it.
    pub(super) fn lower_to(&self, deadline: Tick) {
        if deadline.nanos() < self.0.load(Ordering::Relaxed) {
            self.0.fetch_min(deadline.nanos(), Ordering::Relaxed);
        }
    }

    /// Whether a deadline may have passed. If so, the caller searches every shard, and then notes the earliest that is
    /// left.
    pub(super) fn begin_search(&self, now: Tick) -> bool {
        if now.nanos() < self.0.load(Ordering::Relaxed) {
            return false;
        }
        self.0.store(u64::MAX, Ordering::Relaxed);
        true
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p flashops-core --release --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    /// Two shards, each a list of deadlines.
    struct Shards {
        next: NextDeadline,
        deadlines: [Mutex<Vec<u64>>; 2],
    }

    impl Shards {
        fn enter(&self, shard: usize, deadline: u64) {
            let mut deadlines = self.deadlines[shard].lock().unwrap();
            deadlines.push(deadline);
            self.next.lower_to(Tick::from_nanos(deadline));
        }

        fn search(&self, now: u64) {
            if !self.next.begin_search(Tick::from_nanos(now)) {
                return;
            }
            let mut earliest = u64::MAX;
            for shard in &self.deadlines {
                let mut deadlines = shard.lock().unwrap();
                deadlines.retain(|&deadline| deadline > now);
                earliest = deadlines.iter().copied().fold(earliest, u64::min);
            }
            self.next.lower_to(Tick::from_nanos(earliest));
        }
    }

    fn shards() -> Arc<Shards> {
        let shards = Shards { next: NextDeadline::default(), deadlines: [Mutex::default(), Mutex::default()] };
        shards.enter(0, 5);
        Arc::new(shards)
    }

    fn assert_nothing_is_overlooked(shards: &Shards) {
        let known = shards.next.0.load(Ordering::Relaxed);
        for shard in &shards.deadlines {
            for &deadline in &*shard.lock().unwrap() {
                assert!(known <= deadline, "a hold until {deadline} is not looked for before {known}");
            }
        }
    }

    #[test]
    fn loom_a_deadline_that_comes_in_during_a_search_is_not_overlooked() {
        loom::model(|| {
            let shards = shards();
            let other = {
                let shards = Arc::clone(&shards);
                thread::spawn(move || shards.enter(0, 20))
            };
            shards.search(10);
            other.join().unwrap();
            assert_nothing_is_overlooked(&shards);
        });
    }

    #[test]
    fn loom_two_searches_at_once_overlook_nothing() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shards = shards();
            let search = {
                let shards = Arc::clone(&shards);
                thread::spawn(move || shards.search(10))
            };
            let enter = {
                let shards = Arc::clone(&shards);
                thread::spawn(move || shards.enter(1, 20))
            };
            shards.search(10);
            search.join().unwrap();
            enter.join().unwrap();
            assert_nothing_is_overlooked(&shards);
        });
    }
}
