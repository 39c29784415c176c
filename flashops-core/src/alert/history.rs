//! What one caller used in the periods before, and in this one.

use std::collections::VecDeque;
use std::time::Duration;

use super::anomaly::Usual;
use super::rules::AnomalyRule;
use crate::clock::{Moment, Tick};

/// What is compared, in this order: tokens and money.
pub(super) const MEASURES: usize = 2;

/// The amounts of one period.
type Amounts = [u64; MEASURES];

/// The periods of one caller in which it used anything; at most as many as the rule says, and this one.
#[derive(Debug, Default)]
pub(super) struct History {
    past: VecDeque<(u64, Amounts)>,
    number: u64,
    used: Amounts,
    /// What is usual, computed when the period began.
    usual: [Option<Usual>; MEASURES],
    /// It was told in this period.
    told: [bool; MEASURES],
}

/// More than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusual {
    pub(super) used: u64,
    pub(super) usual: u64,
}

impl History {
    /// Counts amounts in the period of now; says of each whether it is out of the ordinary, once a period.
    ///
    /// A clock that steps back counts in the latest period.
    pub(super) fn count(&mut self, rule: &AnomalyRule, amounts: Amounts, now: Tick) -> [Option<Unusual>; MEASURES] {
        let number = number(rule.period, now);
        if number > self.number {
            self.begin(rule, number);
        }
        for (used, amount) in self.used.iter_mut().zip(amounts) {
            *used = used.saturating_add(amount);
        }
        if self.used[0] < rule.least {
            return [None; MEASURES];
        }
        std::array::from_fn(|measure| self.look(measure))
    }

    fn look(&mut self, measure: usize) -> Option<Unusual> {
        let (used, usual) = (self.used[measure], self.usual[measure]?);
        if used <= usual.level || std::mem::replace(&mut self.told[measure], true) {
            return None;
        }
        Some(Unusual { used, usual: usual.median })
    }

    /// Puts this period to those before, and begins another.
    fn begin(&mut self, rule: &AnomalyRule, number: u64) {
        if self.used != Amounts::default() {
            self.past.push_back((self.number, self.used));
        }
        let oldest = number.saturating_sub(rule.history as u64);
        while self.past.front().is_some_and(|(number, _)| *number < oldest) {
            self.past.pop_front();
        }
        let of = |measure: usize| {
            let amounts = self.past.iter().map(|(_, amounts)| amounts[measure]).filter(|&amount| amount > 0);
            Usual::of(amounts.collect(), rule.factor)
        };
        self.usual = std::array::from_fn(of);
        (self.number, self.used, self.told) = (number, Amounts::default(), [false; MEASURES]);
    }

    /// Whether all that is known of it is older than what is looked at.
    pub(super) fn is_idle(&self, rule: &AnomalyRule, now: Moment) -> bool {
        self.number.saturating_add(rule.history as u64) < number(rule.period, now.tick)
    }
}

/// Periods are counted from the origin of the monotonic clock, so that no wall clock can repeat one.
fn number(period: Duration, now: Tick) -> u64 {
    let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    now.nanos() / period
}

/// How much of the period of now is left.
pub(super) fn left(period: Duration, now: Tick) -> Duration {
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(nanos - now.nanos() % nanos)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    fn rule() -> AnomalyRule {
        AnomalyRule { least: 10, ..AnomalyRule::default() }
    }

    #[test]
    fn three_times_the_usual_hour_is_told_once_in_the_hour_that_is_so() {
        let mut history = History::default();
        let told: Vec<u64> = (0..48)
            .flat_map(|hour| (0..10).map(move |call| (hour, hour * HOUR + call * 300)))
            .filter(|&(hour, now)| {
                // A hundred in most hours; four hundred in the one after 30.
                let amount = if hour == 30 { 40 } else { 10 };
                history.count(&rule(), [amount, 0], at(now))[0].is_some()
            })
            .map(|(_, now)| now)
            .collect();
        // More than 300 with its eighth call.
        assert_eq!(told, [30 * HOUR + 7 * 300]);
    }

    #[test]
    fn a_caller_that_is_new_is_not_told_of_whatever_it_uses() {
        let mut history = History::default();
        for hour in 0..6 {
            assert_eq!(history.count(&rule(), [10_u64.pow(hour as u32 + 1); 2], at(hour * HOUR)), [None; 2]);
        }
    }

    #[test]
    fn idle_hours_are_no_part_of_what_is_usual() {
        let mut history = History::default();
        for hour in [0, 2, 4, 6, 8, 10] {
            assert_eq!(history.count(&rule(), [100, 0], at(hour * HOUR)), [None; 2]);
        }
        assert_eq!(history.count(&rule(), [300, 0], at(20 * HOUR)), [None; 2], "a median of zeros would be zero");
        let told = history.count(&rule(), [1, 0], at(20 * HOUR));
        assert_eq!(told, [Some(Unusual { used: 301, usual: 100 }), None]);
    }

    #[test]
    fn tokens_and_money_are_compared_each_with_its_own() {
        let mut history = History::default();
        for hour in 0..6 {
            history.count(&rule(), [100, 5_000], at(hour * HOUR));
        }
        // As many tokens as ever, of a dearer model.
        let told = history.count(&rule(), [100, 60_000], at(6 * HOUR));
        assert_eq!(told, [None, Some(Unusual { used: 60_000, usual: 5_000 })]);
    }

    #[test]
    fn a_few_tokens_are_never_out_of_the_ordinary() {
        let (mut history, rule) = (History::default(), AnomalyRule { least: 50, ..rule() });
        for hour in 0..6 {
            history.count(&rule, [10, 10], at(hour * HOUR));
        }
        assert_eq!(history.count(&rule, [49, 49], at(6 * HOUR)), [None; 2]);
        assert!(history.count(&rule, [1, 1], at(6 * HOUR)).iter().all(Option::is_some));
    }

    /// The rule in its own words, on all that was ever used.
    fn expected(log: &BTreeMap<u64, u64>, hour: u64) -> Option<(u64, u64)> {
        let mut past: Vec<u64> = log.range(hour.saturating_sub(24)..hour).map(|(_, used)| *used).collect();
        past.sort_unstable();
        let median = *past.get((past.len().max(6) - 1) / 2).filter(|_| past.len() >= 6)?;
        let mut distances: Vec<u64> = past.iter().map(|used| used.abs_diff(median)).collect();
        distances.sort_unstable();
        let level = (3 * median).max(median + 6 * distances[(past.len() - 1) / 2]);
        log.get(&hour).filter(|used| **used > level && **used >= 10).map(|used| (*used, median))
    }

    proptest! {
        #[test]
        fn a_list_of_all_hours_agrees(steps in prop::collection::vec((0_u64..9_000, 1_u64..100), 1..300)) {
            let (mut history, mut log, mut now, mut told) = (History::default(), BTreeMap::new(), 0, None);
            for (wait, amount) in steps {
                now += wait;
                let hour = now / HOUR;
                *log.entry(hour).or_insert(0) += amount;
                let wanted = expected(&log, hour).filter(|_| told != Some(hour));
                let found = history.count(&rule(), [amount, 0], at(now))[0];
                prop_assert_eq!(found.map(|found| (found.used, found.usual)), wanted, "at {}", now);
                told = if found.is_some() { Some(hour) } else { told };
                prop_assert!(history.past.len() <= 24);
            }
        }
    }

    #[test]
    fn what_is_left_of_a_period_ends_with_it() {
        let hour = Duration::from_secs(HOUR);
        assert_eq!(left(hour, at(HOUR)), hour);
        assert_eq!(left(hour, at(2 * HOUR - 1)), Duration::from_secs(1));
    }
}
