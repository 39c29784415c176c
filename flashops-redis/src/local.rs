//! What an instance may give out by itself while the store does not answer.
//!
//! Its share of a limit is a part of what was left when the store last said so, divided by the number of instances: so
//! all of them together give out no more than that part. Nothing is given out of what was never seen.

use std::collections::HashMap;
use std::time::Duration;

use flashops_core::clock::Tick;
use flashops_core::limit::LimitIndex;

/// The most limits of keys that are remembered.
const MOST_SEEN: usize = 1 << 17;

/// One limit of one key: the key as a hash.
pub(crate) type Place = (u128, LimitIndex);

/// What is asked of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) place: Place,
    pub(crate) amount: u64,
}

/// The shares of this instance.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// What was left, as the store last said; the older half goes when there are too many.
    newer: HashMap<Place, u64>,
    older: HashMap<Place, u64>,
    spent: HashMap<Place, u64>,
    /// Since when the store does not answer.
    since: Option<Tick>,
    instances: u64,
}

impl Shares {
    /// Notes what is left of a limit.
    pub(crate) fn see(&mut self, place: Place, left: u64) {
        if self.newer.len() >= MOST_SEEN / 2 && !self.newer.contains_key(&place) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(place, left);
    }

    /// Notes how many instances there are.
    pub(crate) fn count(&mut self, instances: u64) {
        self.instances = instances;
    }

    /// The store answers. Says whether it did not before.
    pub(crate) fn answered(&mut self) -> bool {
        let back = self.since.take().is_some();
        if back {
            self.spent = HashMap::new();
        }
        back
    }

    /// The store does not answer. Says whether it did before.
    pub(crate) fn unanswered(&mut self, now: Tick) -> bool {
        let new = self.since.is_none();
        self.since.get_or_insert(now);
        new
    }

    /// Whether the store does not answer.
    pub(crate) const fn is_local(&self) -> bool {
        self.since.is_some()
    }

    /// Takes what is asked out of the shares: all of it or nothing, and nothing after `longest`.
    pub(crate) fn take(&mut self, asks: &[Ask], part: u16, longest: Duration, now: Tick) -> bool {
        let in_time = self.since.is_none_or(|since| now.since(since) <= longest);
        let fits = |ask: &Ask| {
            let spent = self.spent.get(&ask.place).copied().unwrap_or(0);
            spent.saturating_add(ask.amount) <= self.share(ask.place, part)
        };
        if !in_time || !asks.iter().all(fits) {
            return false;
        }
        for ask in asks {
            *self.spent.entry(ask.place).or_insert(0) += ask.amount;
        }
        true
    }

    /// The share of this instance, as thousandths of what was left, divided by their number.
    fn share(&self, place: Place, part: u16) -> u64 {
        let seen = self.newer.get(&place).or_else(|| self.older.get(&place));
        let left = u128::from(seen.copied().unwrap_or(0));
        let share = left * u128::from(part.min(1_000)) / 1_000 / u128::from(self.instances.max(1));
        u64::try_from(share).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use flashops_core::key::Scope;
    use flashops_core::limit::{Limit, Policy, Resource, Window};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn places() -> [Place; 2] {
        let limit = |name: &str| Limit::new(name, Scope::Org, Resource::Tokens, 9, Window::Lifetime).unwrap();
        let policy = Policy::new(vec![limit("a"), limit("b")]).unwrap();
        let mut indexes = policy.indexed().map(|(index, _)| (7, index));
        [indexes.next().unwrap(), indexes.next().unwrap()]
    }

    fn seconds(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn all_instances_together_give_out_no_more_than_the_part_of_what_was_left() {
        let place = places()[0];
        let mut given = 0;
        for _ in 0..3 {
            let mut shares = Shares::default();
            shares.see(place, 1_000);
            shares.count(3);
            shares.unanswered(seconds(1));
            while shares.take(&[Ask { place, amount: 7 }], 500, LONGEST, seconds(2)) {
                given += 7;
            }
        }
        // A third of 500 is 166, and 23 sevens are 161.
        assert_eq!(given, 3 * 161);
    }

    #[test]
    fn what_was_never_seen_gives_nothing_and_one_limit_without_room_takes_from_none() {
        let [seen, unseen] = places();
        let mut shares = Shares::default();
        shares.see(seen, 100);
        let asks = [Ask { place: seen, amount: 50 }, Ask { place: unseen, amount: 1 }];
        assert!(!shares.take(&asks, 500, LONGEST, seconds(1)));
        assert!(shares.take(&asks[..1], 500, LONGEST, seconds(1)), "nothing was taken before");
        assert!(!shares.take(&asks[..1], 500, LONGEST, seconds(1)));
    }

    #[test]
    fn shares_are_new_after_the_store_has_answered_and_end_after_a_while_in_which_it_has_not() {
        let ask = [Ask { place: places()[0], amount: 50 }];
        let mut shares = Shares::default();
        shares.see(ask[0].place, 100);
        assert!(shares.unanswered(seconds(1)) && !shares.unanswered(seconds(30)));
        assert!(!shares.take(&ask, 500, LONGEST, seconds(62)));
        assert!(shares.take(&ask, 500, LONGEST, seconds(61)));
        assert!(!shares.take(&ask, 500, LONGEST, seconds(61)));
        assert!(shares.answered() && !shares.answered());
        assert!(shares.take(&ask, 500, LONGEST, seconds(70)));
    }

    #[test]
    fn the_number_of_keys_that_are_remembered_is_bounded() {
        let index = places()[0].1;
        let mut shares = Shares::default();
        for key in 0..3 * MOST_SEEN as u128 {
            shares.see((key, index), 1);
        }
        assert!(shares.newer.len() + shares.older.len() <= MOST_SEEN);
    }
}
