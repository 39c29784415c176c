//! The last refusal of a shard, readable without its lock.
//!
//! A caller who is over a limit and keeps asking is the one who must cost least. Where only time makes room, and
//! nothing is counted meanwhile, a refusal stays right until the instant it named, so the answer can be repeated from
//! here. Writers hold the lock of the shard; readers hold nothing: they read a version before and after, and believe
//! what is between only if it did not change.

use crate::clock::Tick;
use crate::key::Fingerprint;
use crate::limit::{Denied, LimitIndex, LimitSet, Retry};
use crate::sync::{AtomicU64, Ordering, fence};

/// Room for one refusal, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct RefusalSlot {
    /// Even while nobody writes.
    version: AtomicU64,
    key: [AtomicU64; 2],
    until: AtomicU64,
    set: AtomicU64,
    violated: AtomicU64,
    /// The limit in the lowest byte, what was asked in the next 24 bits, what is left in the upper half.
    numbers: AtomicU64,
}

/// A refusal of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) key: Fingerprint,
    pub(super) set: LimitSet,
    pub(super) until: Tick,
    pub(super) denied: Denied,
}

impl RefusalSlot {
    /// The refusal that this request would get again now, if it is the one that is remembered.
    #[inline]
    pub(super) fn recall(&self, key: Fingerprint, set: LimitSet, asked: u64, now: Tick) -> Option<Denied> {
        if self.key[0].load(Ordering::Relaxed) != key.0 {
            return None;
        }
        let version = self.version.load(Ordering::Acquire);
        let same_key = self.key[0].load(Ordering::Relaxed) == key.0 && self.key[1].load(Ordering::Relaxed) == key.1;
        let until = self.until.load(Ordering::Relaxed);
        let same_set = self.set.load(Ordering::Relaxed) == set.bits();
        let violated = self.violated.load(Ordering::Relaxed);
        let numbers = self.numbers.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let unchanged = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        let same_amount = numbers >> 8 & 0xFF_FFFF == asked;
        if !(unchanged && same_key && same_set && same_amount) || now.nanos() >= until {
            return None;
        }
        Some(Denied {
            limit: LimitIndex(numbers as u8),
            violated: LimitSet::from_bits(violated),
            asked,
            remaining: numbers >> 32,
            retry: Retry::After(Tick::from_nanos(until).since(now)),
        })
    }

    /// Remembers a refusal in place of the one before. The caller holds the lock of the shard.
    pub(super) fn remember(&self, refusal: &Refusal) {
        let Denied { limit, violated, asked, remaining, .. } = refusal.denied;
        if asked > 0xFF_FFFF || remaining > u64::from(u32::MAX) {
            return;
        }
        let version = self.begin();
        self.key[0].store(refusal.key.0, Ordering::Relaxed);
        self.key[1].store(refusal.key.1, Ordering::Relaxed);
        self.until.store(refusal.until.nanos(), Ordering::Relaxed);
        self.set.store(refusal.set.bits(), Ordering::Relaxed);
        self.violated.store(violated.bits(), Ordering::Relaxed);
        self.numbers.store(u64::from(limit.0) | asked << 8 | remaining << 32, Ordering::Relaxed);
        self.end(version);
    }

    /// Forgets the refusal of a key for which room was made, or taken. The caller holds the lock of the shard.
    #[inline]
    pub(super) fn forget(&self, key: Fingerprint) {
        if self.key[0].load(Ordering::Relaxed) == key.0 {
            self.clear();
        }
    }

    /// Forgets the refusal of whatever key. The caller holds the lock of the shard.
    pub(super) fn clear(&self) {
        let version = self.begin();
        self.until.store(0, Ordering::Relaxed);
        self.end(version);
    }

    fn begin(&self) -> u64 {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        version
    }

    fn end(&self, version: u64) {
        self.version.store(version + 2, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    pub(super) fn refusal(key: u64, asked: u64) -> Refusal {
        let mut violated = LimitSet::EMPTY;
        violated.insert(LimitIndex(1));
        let denied = Denied { limit: LimitIndex(1), violated, asked, remaining: 3, retry: Retry::Never };
        Refusal { key: Fingerprint(key, key), set: violated, until: Tick::from_nanos(100), denied }
    }

    #[test]
    fn a_refusal_is_repeated_until_its_instant_and_not_at_it() {
        let (slot, refusal) = (RefusalSlot::default(), refusal(7, 5));
        slot.remember(&refusal);
        let again = slot.recall(refusal.key, refusal.set, 5, Tick::from_nanos(99)).unwrap();
        assert_eq!(again, Denied { retry: Retry::After(std::time::Duration::from_nanos(1)), ..refusal.denied });
        assert!(slot.recall(refusal.key, refusal.set, 5, Tick::from_nanos(100)).is_none());
    }

    #[test]
    fn another_key_set_or_amount_is_not_refused_by_it() {
        let (slot, refusal) = (RefusalSlot::default(), refusal(7, 5));
        slot.remember(&refusal);
        let now = Tick::from_nanos(1);
        assert!(slot.recall(Fingerprint(7, 8), refusal.set, 5, now).is_none());
        assert!(slot.recall(refusal.key, LimitSet::EMPTY, 5, now).is_none());
        assert!(slot.recall(refusal.key, refusal.set, 4, now).is_none());
    }

    #[test]
    fn room_made_for_the_key_ends_it() {
        let (slot, refusal) = (RefusalSlot::default(), refusal(7, 5));
        slot.remember(&refusal);
        slot.forget(Fingerprint(8, 8));
        assert!(slot.recall(refusal.key, refusal.set, 5, Tick::from_nanos(1)).is_some());
        slot.forget(refusal.key);
        assert!(slot.recall(refusal.key, refusal.set, 5, Tick::from_nanos(1)).is_none());
    }
}

/// Run with `RUSTFLAGS="--cfg loom" cargo test -p flashops-core --release --lib loom`.
///
/// loom explores every interleaving of these few steps. It treats sequentially consistent accesses as acquire and
/// release, of which there are none here.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn refusal(n: u64) -> Refusal {
        let set = LimitSet::from_bits(n);
        let denied = Denied { limit: LimitIndex(n as u8), violated: set, asked: 1, remaining: n, retry: Retry::Never };
        Refusal { key: Fingerprint(7, 7), set: LimitSet::from_bits(1), until: Tick::from_nanos(100 + n), denied }
    }

    #[test]
    fn loom_a_reader_never_sees_a_mixture_of_two_refusals() {
        loom::model(|| {
            let slot = Arc::new(RefusalSlot::default());
            slot.remember(&refusal(1));
            let writer = {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.remember(&refusal(2)))
            };
            let key = Fingerprint(7, 7);
            if let Some(denied) = slot.recall(key, LimitSet::from_bits(1), 1, Tick::from_nanos(1)) {
                let n = denied.remaining;
                assert_eq!(denied.violated, LimitSet::from_bits(n));
                assert_eq!(u64::from(denied.limit.0), n);
                assert_eq!(denied.retry, Retry::After(std::time::Duration::from_nanos(99 + n)));
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn loom_a_refusal_that_was_forgotten_is_not_seen_by_whoever_knows_of_it() {
        loom::model(|| {
            let slot = Arc::new(RefusalSlot::default());
            slot.remember(&refusal(1));
            let writer = {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.forget(Fingerprint(7, 7)))
            };
            writer.join().unwrap();
            assert!(slot.recall(Fingerprint(7, 7), LimitSet::from_bits(1), 1, Tick::from_nanos(1)).is_none());
        });
    }
}
