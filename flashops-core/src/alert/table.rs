use hashbrown::HashTable;

use crate::key::Fingerprint;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// How many parts a table has that can be locked apart.
const SHARDS: usize = 64;

/// How many slots one call for a new key looks at for idle ones.
const SLOTS_PER_SWEEP: usize = 16;

/// States by key, within a bound. What is not idle never goes, so that nobody is told twice of what it has told.
#[derive(Debug)]
pub(super) struct Table<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    max: usize,
    len: AtomicUsize,
    anonymous: AtomicUsize,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Shard<T> {
    entries: HashTable<Entry<T>>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: TableKey,
    anonymous: bool,
    state: T,
}

/// Which state: a key, and which of several things that are watched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableKey {
    pub(super) key: Fingerprint,
    pub(super) part: u32,
}

impl TableKey {
    /// Fingerprints are seeded hashes already.
    const fn hash(self) -> u64 {
        self.key.0 ^ (self.part as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// How a state is made and when it can go.
pub(super) struct States<'a, T> {
    /// Whether the key is that of an anonymous caller: of those there are as many as there are addresses.
    pub(super) anonymous: bool,
    /// Makes one. It is told whether one of this key can have gone or been refused before.
    pub(super) make: &'a dyn Fn(bool) -> T,
    /// Whether forgetting one loses nothing.
    pub(super) is_idle: &'a dyn Fn(&mut T, u32) -> bool,
}

impl<T> Table<T> {
    pub(super) fn new(max: usize) -> Self {
        let shard = || Mutex::new(Shard { entries: HashTable::new(), sweep_at: 0 });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            max,
            len: AtomicUsize::new(0),
            anonymous: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How often there was no room for a key.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Does something with the state of a key, which is made if there is room; `None` if there is none.
    ///
    /// `act` runs under a lock, and calls nobody.
    pub(super) fn with<R>(&self, key: TableKey, states: &States<'_, T>, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut shard = self.shards[key.key.1 as usize % SHARDS].lock();
        if let Some(entry) = shard.entries.find_mut(key.hash(), |entry| entry.key == key) {
            return Some(act(&mut entry.state));
        }
        self.make(&mut shard, key, states).map(act)
    }

    #[cold]
    fn make<'s>(&self, shard: &'s mut Shard<T>, key: TableKey, states: &States<'_, T>) -> Option<&'s mut T> {
        self.sweep(shard, states);
        if !self.claim(states.anonymous) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (anonymous, state) = (states.anonymous, (states.make)(self.refused() > 0));
        let made = shard.entries.insert_unique(key.hash(), Entry { key, anonymous, state }, |entry| entry.key.hash());
        Some(&mut made.into_mut().state)
    }

    /// Takes one place. Anonymous callers have half of them together: a flood of addresses leaves the rest.
    fn claim(&self, anonymous: bool) -> bool {
        let take = |count: &AtomicUsize, most: usize| {
            let more = |count: usize| (count < most).then_some(count + 1);
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        };
        if anonymous && !take(&self.anonymous, self.max / 2) {
            return false;
        }
        let claimed = take(&self.len, self.max);
        if anonymous && !claimed {
            self.anonymous.fetch_sub(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Drops what is idle among the next few slots.
    fn sweep(&self, shard: &mut Shard<T>, states: &States<'_, T>) {
        for _ in 0..SLOTS_PER_SWEEP.min(shard.entries.num_buckets()) {
            shard.sweep_at = (shard.sweep_at + 1) % shard.entries.num_buckets();
            let Ok(mut entry) = shard.entries.get_bucket_entry(shard.sweep_at) else { continue };
            let part = entry.get().key.part;
            if (states.is_idle)(&mut entry.get_mut().state, part) {
                let (gone, _) = entry.remove();
                self.len.fetch_sub(1, Ordering::Relaxed);
                self.anonymous.fetch_sub(usize::from(gone.anonymous), Ordering::Relaxed);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Scope};

    fn key(n: u64) -> TableKey {
        TableKey { key: Key::new(Scope::User, &n.to_string()).fingerprint(), part: 0 }
    }

    fn states(anonymous: bool) -> States<'static, u64> {
        // A state of zero is idle.
        States { anonymous, make: &|_| 0, is_idle: &|state, _| *state == 0 }
    }

    #[test]
    fn keys_beyond_the_bound_are_told_so_and_take_the_place_of_nobody() {
        let table = Table::new(100);
        for n in 0..100 {
            assert_eq!(table.with(key(n), &states(false), |state| *state = n + 1), Some(()));
        }
        for n in 100..10_000 {
            assert_eq!(table.with(key(n), &states(false), |_| ()), None);
        }
        assert_eq!((table.len(), table.refused()), (100, 9_900));
        for n in 0..100 {
            assert_eq!(table.with(key(n), &states(false), |state| *state), Some(n + 1));
        }
    }

    #[test]
    fn a_flood_of_strangers_leaves_half_of_the_places() {
        let table = Table::new(100);
        let strangers = (0..10_000).filter(|&n| table.with(key(n), &states(true), |state| *state = 1).is_some());
        assert_eq!(strangers.count(), 50);
        let known = (10_000..20_000).filter(|&n| table.with(key(n), &states(false), |state| *state = 1).is_some());
        assert_eq!(known.count(), 50);
    }

    #[test]
    fn idle_states_make_room() {
        let table = Table::new(1_000);
        for n in 0..1_000 {
            table.with(key(n), &states(n % 2 == 0), |_| ());
        }
        let found = (1_000..2_000).filter(|&n| table.with(key(n), &states(true), |state| *state = 1).is_some());
        assert!(found.count() > 400);
        assert!(table.len() <= 1_000);
    }
}
