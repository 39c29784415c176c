use super::Bounds;
use super::refusal::{Refusal, RefusalSlot};
use super::stepwise::Stepwise;
use crate::account::{Account, Layout, Shape, Succession};
use crate::clock::{Moment, Tick};
use crate::key::{Fingerprint, Scope};
use crate::limit::{Denied, LimitSet, Policy};
use crate::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};

/// How many accounts one call looks at to find idle ones.
const SWEPT_PER_CALL: usize = 2;

/// How many calls to a shard pass between two sweeps, besides those for new keys.
const CALLS_PER_SWEEP: u32 = 32;

/// How many slots of a table one sweep passes, empty ones included.
const SLOTS_PER_SWEEP: usize = 16;

/// How many shards a table has at most: enough that threads seldom meet in one, and so few that their heads, 16 KiB,
/// stay in the nearest cache.
const MOST_SHARDS: usize = 256;

/// A shard is meant for so many accounts; where fewer may live, there are fewer shards.
const ACCOUNTS_PER_SHARD: usize = 512;

/// All accounts of one scope.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) layout: Layout,
    shards: Box<[Shard]>,
    /// The last refusal of each shard, where any can be remembered. They are read without the lock, so they are not in
    /// the line of the shard, which whoever takes the lock writes to.
    refusals: Box<[RefusalSlot]>,
    /// Accounts in all shards, those that overflow callers share not counted.
    len: AtomicUsize,
    max_keys: usize,
    overflowed: AtomicU64,
}

/// One to a cache line, so that two threads in neighbouring shards do not meet.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    accounts: Mutex<Accounts>,
}

/// The accounts of one shard.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    table: Stepwise,
    calls: u32,
    sweep_at: u32,
    /// The account that callers share for whom there was no place.
    overflow: Option<Box<Account>>,
}

/// One account, locked.
pub(super) struct Locked<'t> {
    pub(super) table: &'t Table,
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
            _ => (bounds.max_keys / ACCOUNTS_PER_SHARD).next_power_of_two().clamp(16, MOST_SHARDS),
        };
        let refusals = if remembers_refusals(&layout) { shards } else { 0 };
        Self {
            layout,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            refusals: (0..refusals).map(|_| RefusalSlot::default()).collect(),
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

    /// The refusal that this request would get again now, if it is remembered.
    #[inline]
    pub(super) fn recall(&self, key: Fingerprint, set: LimitSet, asked: u64, now: Tick) -> Option<Denied> {
        self.refusal(key)?.recall(key, set, asked, now)
    }

    /// Remembers a refusal of a key whose shard is locked, where only time makes room.
    pub(super) fn remember(&self, refusal: &Refusal) {
        if let Some(slot) = self.refusal(refusal.key) {
            slot.remember(refusal);
        }
    }

    /// Forgets the refusal of a key whose shard is locked, because room was made for it, or taken.
    #[inline]
    pub(super) fn forget_refusal(&self, key: Fingerprint) {
        if let Some(slot) = self.refusal(key) {
            slot.forget(key);
        }
    }

    #[inline]
    fn refusal(&self, key: Fingerprint) -> Option<&RefusalSlot> {
        self.refusals.get(key.1 as usize & self.refusals.len().wrapping_sub(1))
    }

    #[inline]
    fn shard(&self, key: Fingerprint) -> &Shard {
        &self.shards[key.1 as usize & (self.shards.len() - 1)]
    }

    /// Locks the account of a key, which need not exist. Now and then it looks for idle accounts beside it.
    #[inline]
    pub(super) fn lock(&self, key: Fingerprint, now: Moment) -> Locked<'_> {
        let mut accounts = self.lock_shard(key, now);
        let place = accounts.table.find(key).map_or(Place::Absent, Place::Bucket);
        Locked { table: self, accounts, key, place }
    }

    /// Counts requests in the account of a key, if it exists and they fit. If not, the account is handed over locked.
    #[inline]
    pub(super) fn count(&self, key: Fingerprint, set: LimitSet, requests: u64, now: Moment) -> Result<(), Locked<'_>> {
        let mut accounts = self.lock_shard(key, now);
        let found = accounts.table.find_account(key);
        if found.is_some_and(|account| account.count(&self.layout, set, requests, now)) {
            self.forget_refusal(key);
            return Ok(());
        }
        let place = accounts.table.find(key).map_or(Place::Absent, Place::Bucket);
        Err(Locked { table: self, accounts, key, place })
    }

    #[inline]
    fn lock_shard(&self, key: Fingerprint, now: Moment) -> MutexGuard<'_, Accounts> {
        let mut accounts = self.shard(key).accounts.lock();
        accounts.table.step();
        accounts.calls = accounts.calls.wrapping_add(1);
        if accounts.calls.is_multiple_of(CALLS_PER_SWEEP) {
            accounts.sweep(&self.layout, now, SWEPT_PER_CALL, &self.len);
        }
        accounts
    }
}

impl Table {
    /// Stops everybody who wants an account of this scope.
    pub(super) fn lock_whole(&self) -> Vec<MutexGuard<'_, Accounts>> {
        self.shards.iter().map(|shard| shard.accounts.lock()).collect()
    }

    /// Makes this table empty, whose shards are all locked.
    pub(super) fn leave(&self, shards: &mut [MutexGuard<'_, Accounts>]) -> Vec<Accounts> {
        self.refusals.iter().for_each(RefusalSlot::clear);
        self.len.store(0, Ordering::Relaxed);
        shards.iter_mut().map(|shard| std::mem::take(&mut **shard)).collect()
    }

    /// Takes over what another table of this scope was left with, which had the same bounds.
    pub(super) fn enter(&mut self, left: Vec<Accounts>, from: (&Policy, &Layout), policy: &Policy, now: Moment) {
        let succession = Succession::new(from, (policy, &self.layout));
        let mut len = 0;
        for (shard, mut accounts) in self.shards.iter_mut().zip(left) {
            accounts.carry(&succession, now);
            len += accounts.table.len();
            *shard.accounts.get_mut() = accounts;
        }
        self.len.store(len, Ordering::Relaxed);
    }
}

impl Locked<'_> {
    /// The account, if there is one.
    #[inline]
    pub(super) fn account(&mut self) -> Option<&mut Account> {
        match self.place {
            Place::Bucket(bucket) => self.accounts.table.account_at(bucket),
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
        let account = Account::new(&self.table.layout);
        self.place = Place::Bucket(self.accounts.table.insert(self.key, account));
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
    fn carry(&mut self, succession: &Succession<'_>, now: Moment) {
        if succession.is_whole() {
            return;
        }
        self.table.replace_all(|account| succession.carry(account, now));
        if let Some(overflow) = &mut self.overflow {
            **overflow = succession.carry(overflow, now);
        }
    }

    /// Drops idle accounts among the next few; returns how many.
    #[cold]
    fn sweep(&mut self, layout: &Layout, now: Moment, most: usize, len: &AtomicUsize) -> usize {
        let (mut dropped, mut seen) = (0, 0);
        let buckets = self.table.buckets();
        for _ in 0..SLOTS_PER_SWEEP.min(buckets) {
            let at = (self.sweep_at as usize + 1) % buckets;
            self.sweep_at = at as u32;
            let Some(was_idle) = self.table.drop_if(at, |account| account.is_idle(layout, now)) else { continue };
            seen += 1;
            dropped += usize::from(was_idle);
            if seen >= most {
                break;
            }
        }
        len.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Shard>() == 64);

/// Whether a refusal can be remembered: only where nothing but time makes room.
pub(super) const fn remembers_refusals(layout: &Layout) -> bool {
    matches!(layout.shape, Shape::Log(_) | Shape::Pair(_))
}
