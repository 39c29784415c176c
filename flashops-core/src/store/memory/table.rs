use hashbrown::HashTable;

use super::Bounds;
use super::refusal::RefusalSlot;
use crate::account::{Account, Layout, Shape};
use crate::clock::Moment;
use crate::key::{Fingerprint, Scope};
use crate::limit::LimitSet;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};

/// How many accounts one call looks at to find idle ones.
const SWEPT_PER_CALL: usize = 2;

/// How many calls to a shard pass between two sweeps, besides those for new keys.
const CALLS_PER_SWEEP: u32 = 32;

/// How many slots of a table one sweep passes, empty ones included.
const SLOTS_PER_SWEEP: usize = 16;

/// All accounts of one scope.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) layout: Layout,
    shards: Box<[Shard]>,
    /// Accounts in all shards, those that overflow callers share not counted.
    len: AtomicUsize,
    max_keys: usize,
    overflowed: AtomicU64,
}

/// What is read without the lock and what is behind it are in lines of their own, apart from those of other shards.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) refusal: RefusalSlot,
    accounts: Mutex<Accounts>,
}

/// The accounts of one shard.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    table: HashTable<Entry>,
    calls: u32,
    sweep_at: usize,
    /// The account that callers share for whom there was no place.
    overflow: Option<Box<Account>>,
}

/// One to a cache line, so that a look-up misses one line and not two.
#[derive(Debug)]
#[repr(align(64))]
struct Entry {
    key: Fingerprint,
    account: Account,
}

/// One account, locked.
pub(super) struct Locked<'t> {
    pub(super) table: &'t Table,
    pub(super) shard: &'t Shard,
    accounts: MutexGuard<'t, Accounts>,
    key: Fingerprint,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// In this bucket of the table.
    Bucket(usize),
    /// Nowhere yet.
    Absent,
    /// In the account that overflow callers share.
    Overflow,
}

impl Table {
    pub(super) fn new(layout: Layout, bounds: &Bounds) -> Self {
        let shards = match layout.scope {
            Scope::Global => 1,
            _ => (bounds.max_keys / 512).next_power_of_two().clamp(16, 2048),
        };
        let shard = || Shard { refusal: RefusalSlot::default(), accounts: Mutex::default() };
        Self {
            layout,
            shards: (0..shards).map(|_| shard()).collect(),
            len: AtomicUsize::new(0),
            max_keys: bounds.max_keys,
            overflowed: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn shard(&self, key: Fingerprint) -> &Shard {
        &self.shards[key.1 as usize & (self.shards.len() - 1)]
    }

    /// Locks the account of a key, which need not exist. Now and then it looks for idle accounts beside it.
    #[inline]
    pub(super) fn lock(&self, key: Fingerprint, now: Moment) -> Locked<'_> {
        let shard = self.shard(key);
        let accounts = self.lock_shard(shard, now);
        let place = accounts.find(key).map_or(Place::Absent, Place::Bucket);
        Locked { table: self, shard, accounts, key, place }
    }

    /// Counts requests in the account of a key, if it exists and they fit. If not, the account is handed over locked.
    #[inline]
    pub(super) fn count(&self, key: Fingerprint, set: LimitSet, requests: u64, now: Moment) -> Result<(), Locked<'_>> {
        let shard = self.shard(key);
        let mut accounts = self.lock_shard(shard, now);
        let found = accounts.table.find_mut(key.0, |entry| entry.key == key);
        if found.is_some_and(|entry| entry.account.count(&self.layout, set, requests, now)) {
            shard.refusal.forget(key);
            return Ok(());
        }
        let place = accounts.find(key).map_or(Place::Absent, Place::Bucket);
        Err(Locked { table: self, shard, accounts, key, place })
    }

    #[inline]
    fn lock_shard<'t>(&self, shard: &'t Shard, now: Moment) -> MutexGuard<'t, Accounts> {
        let mut accounts = shard.accounts.lock();
        accounts.calls = accounts.calls.wrapping_add(1);
        if accounts.calls.is_multiple_of(CALLS_PER_SWEEP) {
            accounts.sweep(&self.layout, now, SWEPT_PER_CALL, &self.len);
        }
        accounts
    }
}

impl Accounts {
    #[inline]
    fn find(&self, key: Fingerprint) -> Option<usize> {
        self.table.find_bucket_index(key.0, |entry| entry.key == key)
    }
}

impl Locked<'_> {
    /// The account, if there is one.
    #[inline]
    pub(super) fn account(&mut self) -> Option<&mut Account> {
        match self.place {
            Place::Bucket(bucket) => self.accounts.table.get_bucket_mut(bucket).map(|entry| &mut entry.account),
            Place::Overflow => self.accounts.overflow.as_deref_mut(),
            Place::Absent => None,
        }
    }

    /// Looks for a place for an account that does not exist: there is none when as many keys live as may, and none of
    /// those looked at is idle. The caller then shares the overflow account, which no flood of keys can empty.
    pub(super) fn find_place(&mut self, now: Moment) {
        if !matches!(self.place, Place::Absent) || self.table.len() < self.table.max_keys {
            return;
        }
        if self.accounts.sweep(&self.table.layout, now, usize::MAX, &self.table.len) == 0 {
            self.table.overflowed.fetch_add(1, Ordering::Relaxed);
            self.accounts.overflow.get_or_insert_with(|| Box::new(Account::new(&self.table.layout)));
            self.place = Place::Overflow;
        }
    }

    /// Goes to where a key without an account would be counted now, without making room for it.
    pub(super) fn look_for_place(&mut self) {
        let full = self.table.len() >= self.table.max_keys;
        if matches!(self.place, Place::Absent) && full && self.accounts.overflow.is_some() {
            self.place = Place::Overflow;
        }
    }

    /// The account, made if there is none.
    #[inline]
    pub(super) fn account_or_new(&mut self, now: Moment) -> &mut Account {
        if matches!(self.place, Place::Absent) {
            self.insert(now);
        }
        self.account().expect("the account was just made")
    }

    #[cold]
    fn insert(&mut self, now: Moment) {
        let swept = SWEPT_PER_CALL;
        self.accounts.sweep(&self.table.layout, now, swept, &self.table.len);
        let entry = Entry { key: self.key, account: Account::new(&self.table.layout) };
        let occupied = self.accounts.table.insert_unique(self.key.0, entry, |entry| entry.key.0);
        self.place = Place::Bucket(occupied.bucket_index());
        self.table.len.fetch_add(1, Ordering::Relaxed);
    }

    /// Whose account it is.
    pub(super) const fn key(&self) -> Fingerprint {
        self.key
    }

    /// Whether this account is the one that overflow callers share.
    pub(super) fn is_overflow(&self) -> bool {
        matches!(self.place, Place::Overflow)
    }

    /// Goes to the overflow account, where this key was counted before.
    pub(super) fn go_to_overflow(&mut self) {
        self.place = Place::Overflow;
    }
}

impl Accounts {
    /// Drops idle accounts among the next few; returns how many.
    #[cold]
    fn sweep(&mut self, layout: &Layout, now: Moment, most: usize, len: &AtomicUsize) -> usize {
        let (mut dropped, mut seen) = (0, 0);
        for _ in 0..SLOTS_PER_SWEEP.min(self.table.num_buckets()) {
            self.sweep_at = (self.sweep_at + 1) % self.table.num_buckets();
            let Ok(mut entry) = self.table.get_bucket_entry(self.sweep_at) else { continue };
            seen += 1;
            if entry.get_mut().account.is_idle(layout, now) {
                entry.remove();
                dropped += 1;
            }
            if seen >= most {
                break;
            }
        }
        len.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Whether a refusal can be remembered: only where nothing but time makes room.
pub(super) const fn remembers_refusals(layout: &Layout) -> bool {
    matches!(layout.shape, Shape::Log(_) | Shape::Pair(_))
}
