//! A table of accounts that grows in small steps.
//!
//! A table that doubles at once stops everybody in its shard for as long as it takes to move all of its accounts. Here
//! a full table is put aside, and every call that comes along moves a few of its accounts into a new one of twice the
//! size, or whichever one it looks for. So shards can be few and large, and the heads of all of them stay in the cache.

use hashbrown::HashTable;

use crate::account::Account;
use crate::key::Fingerprint;

/// How many buckets of the table that is put aside one call looks at. The new table has room for twice as many
/// accounts, so it is empty long before that one is full.
const BUCKETS_PER_STEP: usize = 8;

/// Up to so many accounts are moved at once, which takes microseconds.
const MOVED_AT_ONCE: usize = 256;

/// One to a cache line, so that a look-up misses one line and not two.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Entry {
    key: Fingerprint,
    pub(super) account: Account,
}

/// Accounts by key.
#[derive(Debug, Default)]
pub(super) struct Stepwise {
    table: HashTable<Entry>,
    leaving: Option<Box<Leaving>>,
}

/// The table before, until it is empty.
#[derive(Debug)]
struct Leaving {
    table: HashTable<Entry>,
    next: usize,
}

impl Stepwise {
    /// The bucket of a key, until the next insertion, removal or step.
    #[inline]
    pub(super) fn find(&mut self, key: Fingerprint) -> Option<usize> {
        let found = self.table.find_bucket_index(key.0, |entry| entry.key == key);
        if found.is_none() && self.leaving.is_some() { self.bring_over(key) } else { found }
    }

    /// The account of a key.
    #[inline]
    pub(super) fn find_account(&mut self, key: Fingerprint) -> Option<&mut Account> {
        let bucket = self.find(key)?;
        self.account_at(bucket)
    }

    #[inline]
    pub(super) fn account_at(&mut self, bucket: usize) -> Option<&mut Account> {
        self.table.get_bucket_mut(bucket).map(|entry| &mut entry.account)
    }

    /// Inserts the account of a key that has none; tells its bucket.
    pub(super) fn insert(&mut self, key: Fingerprint, account: Account) -> usize {
        if self.table.len() == self.table.capacity() {
            self.grow();
        }
        self.put(Entry { key, account })
    }

    /// How many buckets there are to look into with [`Self::drop_if`], those of the table before not counted.
    pub(super) fn buckets(&self) -> usize {
        self.table.num_buckets()
    }

    /// Looks at the account in a bucket, if one is there, and drops it if it is idle; tells which.
    pub(super) fn drop_if(&mut self, bucket: usize, is_idle: impl FnOnce(&mut Account) -> bool) -> Option<bool> {
        let mut entry = self.table.get_bucket_entry(bucket).ok()?;
        let idle = is_idle(&mut entry.get_mut().account);
        if idle {
            entry.remove();
        }
        Some(idle)
    }

    /// How many accounts there are.
    pub(super) fn len(&self) -> usize {
        self.table.len() + self.leaving.as_ref().map_or(0, |leaving| leaving.table.len())
    }

    /// Puts another account in place of each.
    pub(super) fn replace_all(&mut self, mut other: impl FnMut(&mut Account) -> Account) {
        self.move_some(usize::MAX);
        for entry in self.table.iter_mut() {
            entry.account = other(&mut entry.account);
        }
    }

    /// Moves a few accounts on, if the table is growing.
    #[inline]
    pub(super) fn step(&mut self) {
        if self.leaving.is_some() {
            self.move_some(BUCKETS_PER_STEP);
        }
    }

    fn put(&mut self, entry: Entry) -> usize {
        self.table.insert_unique(entry.key.0, entry, |entry| entry.key.0).bucket_index()
    }

    /// Makes room for twice as many accounts as there are. Where many were dropped that is no larger table, but one
    /// without what they left behind.
    #[cold]
    fn grow(&mut self) {
        self.move_some(usize::MAX);
        let larger = HashTable::with_capacity(2 * self.table.len() + 1);
        let table = std::mem::replace(&mut self.table, larger);
        let few = table.len() <= MOVED_AT_ONCE;
        self.leaving = Some(Box::new(Leaving { table, next: 0 }));
        if few {
            self.move_some(usize::MAX);
        }
    }

    #[cold]
    fn move_some(&mut self, buckets: usize) {
        let Some(mut leaving) = self.leaving.take() else { return };
        let end = leaving.next.saturating_add(buckets).min(leaving.table.num_buckets());
        for bucket in leaving.next..end {
            if let Ok(entry) = leaving.table.get_bucket_entry(bucket) {
                self.put(entry.remove().0);
            }
        }
        leaving.next = end;
        self.leaving = Some(leaving).filter(|leaving| !leaving.table.is_empty());
    }

    #[cold]
    fn bring_over(&mut self, key: Fingerprint) -> Option<usize> {
        let leaving = self.leaving.as_mut()?;
        let entry = leaving.table.find_entry(key.0, |entry| entry.key == key).ok()?;
        let entry = entry.remove().0;
        Some(self.put(entry))
    }
}

const _: () = assert!(size_of::<Entry>() == 64);

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::account::Layout;
    use crate::clock::Moment;
    use crate::key::{Key, Scope};
    use crate::limit::{Limit, Policy, Resource, Window};
    use crate::units::Amounts;

    fn layout() -> Layout {
        let limit =
            Limit::new("tokens", Scope::User, Resource::Tokens, 1 << 40, Window::Lifetime).expect("it is valid");
        Layout::new(&Policy::new(vec![limit]).expect("it is valid"), Scope::User, Duration::ZERO)
    }

    fn key(n: u64) -> Fingerprint {
        Key::new(Scope::User, &n.to_string()).fingerprint()
    }

    /// An account that holds so many tokens.
    fn account(layout: &Layout, tokens: u64) -> Account {
        let mut account = Account::new(layout);
        let amounts = Amounts { input: crate::units::Tokens::saturating(tokens), ..Amounts::ZERO };
        account.hold(layout, layout.set, &amounts, Moment::default());
        account
    }

    fn held(layout: &Layout, table: &mut Stepwise, n: u64) -> Option<u64> {
        let mut held = None;
        let account = table.find_account(key(n))?;
        account.standings(layout, layout.set, Moment::default(), |standing| held = Some(standing.held));
        held
    }

    #[test]
    fn every_account_is_found_at_every_step_of_growing() {
        let (layout, mut table) = (layout(), Stepwise::default());
        for n in 0..3_000 {
            table.step();
            table.insert(key(n), account(&layout, n));
            for other in [n, n / 2, n / 3, n / 7] {
                assert_eq!(held(&layout, &mut table, other), Some(other), "{other} of {n}");
            }
        }
        assert!((0..3_000).all(|n| held(&layout, &mut table, n) == Some(n)));
        assert_eq!(held(&layout, &mut table, 3_000), None);
    }

    #[test]
    fn no_step_moves_more_than_a_few_accounts() {
        let (layout, mut table) = (layout(), Stepwise::default());
        let mut most = 0;
        for n in 0..20_000 {
            let before = table.table.len();
            table.step();
            most = most.max(table.table.len() - before);
            table.insert(key(n), account(&layout, n));
        }
        assert_eq!(most, BUCKETS_PER_STEP);
    }

    #[test]
    fn what_comes_and_goes_does_not_make_the_table_grow() {
        let (layout, mut table) = (layout(), Stepwise::default());
        for n in 0..100_000 {
            table.step();
            let bucket = table.insert(key(n), account(&layout, n));
            assert_eq!(table.drop_if(bucket, |_| true), Some(true));
        }
        assert!(table.buckets() <= 16, "{} buckets", table.buckets());
    }
}
