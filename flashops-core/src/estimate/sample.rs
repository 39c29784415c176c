//! What one kind of call used lately: a bounded sample that forgets, and that no caller fills alone.

use arrayvec::ArrayVec;

use crate::key::Fingerprint;

/// The most values that are kept: each new one takes the place of the oldest.
pub(super) const KEPT: usize = 256;

/// How many callers are remembered, the latest of those that were counted.
const CALLERS: usize = 16;

/// A caller that has so many of these counts more seldom.
const MANY: usize = CALLERS / 2;

/// Of such a caller, one observation in so many is counted.
const ONE_IN: u32 = 4;

/// The last values, with what follows from them.
#[derive(Debug)]
pub(super) struct Sample {
    /// How many of a thousand values may be above [`Sample::upper`].
    above: usize,
    values: Vec<u32>,
    oldest: usize,
    sum: u64,
    squares: u128,
    callers: ArrayVec<Fingerprint, CALLERS>,
    passed_over: u32,
    upper: Option<u32>,
}

impl Sample {
    pub(super) const fn new(above_in_thousand: usize) -> Self {
        Self {
            above: above_in_thousand,
            values: Vec::new(),
            oldest: 0,
            sum: 0,
            squares: 0,
            callers: ArrayVec::new_const(),
            passed_over: 0,
            upper: None,
        }
    }

    /// Notes what a call of this caller used.
    pub(super) fn observe(&mut self, caller: Fingerprint, value: u32) {
        if self.counts(caller) {
            self.insert(value);
            self.upper = self.nth_smallest();
        }
    }

    /// A value that the next one exceeds with a probability of at most `above` in a thousand, if it is drawn as these
    /// were; `None` if there are too few to say.
    pub(super) const fn upper(&self) -> Option<u32> {
        self.upper
    }

    /// The mean of the calls that are in flight at an instant, rounded up. Long answers take long, so they are met more
    /// often than they are begun: each value counts with itself as its weight.
    pub(super) fn mean_in_flight(&self) -> u32 {
        let mean = self.squares.div_ceil(u128::from(self.sum.max(1)));
        u32::try_from(mean).expect("a mean is not above the largest value")
    }

    /// Whether an observation of this caller is counted.
    fn counts(&mut self, caller: Fingerprint) -> bool {
        if self.callers.iter().filter(|&&other| other == caller).count() >= MANY {
            self.passed_over = (self.passed_over + 1) % ONE_IN;
            if self.passed_over != 0 {
                return false;
            }
        }
        if self.callers.is_full() {
            self.callers.remove(0);
        }
        self.callers.push(caller);
        true
    }

    fn insert(&mut self, value: u32) {
        if self.values.len() < KEPT {
            self.values.push(value);
        } else {
            let gone = u64::from(std::mem::replace(&mut self.values[self.oldest], value));
            self.oldest = (self.oldest + 1) % KEPT;
            self.sum -= gone;
            self.squares -= u128::from(gone).pow(2);
        }
        self.sum += u64::from(value);
        self.squares += u128::from(value).pow(2);
    }

    /// The k-th smallest of n values is exceeded by one more with probability (n + 1 − k) / (n + 1). This is the least
    /// k for which that is small enough.
    fn nth_smallest(&self) -> Option<u32> {
        let n = self.values.len();
        let k = ((n + 1) * (1_000 - self.above)).div_ceil(1_000);
        if k > n {
            return None;
        }
        let mut values: ArrayVec<u32, KEPT> = self.values.iter().copied().collect();
        Some(*values.select_nth_unstable(k - 1).1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{Key, Scope};

    fn caller(name: usize) -> Fingerprint {
        Key::new(Scope::User, &name.to_string()).fingerprint()
    }

    /// A sample of values that all come from different callers.
    fn sample(above: usize, values: impl IntoIterator<Item = u32>) -> Sample {
        let mut sample = Sample::new(above);
        for (index, value) in values.into_iter().enumerate() {
            sample.observe(caller(index), value);
        }
        sample
    }

    #[test]
    fn it_says_nothing_until_the_sample_is_large_enough_for_its_share() {
        assert_eq!(sample(50, 1..=18).upper(), None);
        assert_eq!(sample(50, 1..=19).upper(), Some(19), "a twentieth call is the largest one time in twenty");
        assert_eq!(sample(10, 1..=98).upper(), None);
        assert_eq!(sample(10, 1..=99).upper(), Some(99));
    }

    #[test]
    fn at_most_a_twentieth_of_a_full_sample_is_above_it() {
        // The 245th of 256, so that one more is above it with probability 12 / 257.
        assert_eq!(sample(50, 1..=256).upper(), Some(245));
        assert_eq!(sample(50, (1..=256).rev()).upper(), Some(245));
    }

    #[test]
    fn it_forgets_the_oldest_and_follows_change() {
        let grown = sample(50, std::iter::repeat_n(10, 256).chain(std::iter::repeat_n(900, 12)));
        assert_eq!(grown.upper(), Some(900), "twelve long answers are more than a twentieth of 257");
        let shrunk = sample(50, std::iter::repeat_n(900, 256).chain(std::iter::repeat_n(10, 244)));
        assert_eq!(shrunk.upper(), Some(900));
        let shrunk = sample(50, std::iter::repeat_n(900, 256).chain(std::iter::repeat_n(10, 245)));
        assert_eq!(shrunk.upper(), Some(10));
    }

    #[test]
    fn long_answers_count_more_among_those_in_flight() {
        // (100² + 300²) / (100 + 300).
        assert_eq!(sample(50, [100, 300]).mean_in_flight(), 250);
        assert_eq!(sample(50, [0, 0]).mean_in_flight(), 0);
        assert_eq!(sample(50, [u32::MAX; 300]).mean_in_flight(), u32::MAX);
    }

    #[test]
    fn short_answers_in_any_number_do_not_lower_the_mean_of_those_in_flight() {
        let before = sample(50, [400; 100]).mean_in_flight();
        assert_eq!(sample(50, [400; 100].into_iter().chain([0; 150])).mean_in_flight(), before);
    }

    #[test]
    fn a_caller_that_sends_most_calls_is_counted_one_time_in_four() {
        let mut alone = Sample::new(50);
        for _ in 0..8 + 4 * 20 {
            alone.observe(caller(1), 5);
        }
        assert_eq!(alone.values.len(), 28);
    }

    #[test]
    fn a_caller_of_four_fifths_of_the_traffic_is_about_half_of_the_sample() {
        let mut sample = Sample::new(50);
        for round in 0..2_000 {
            for _ in 0..4 {
                sample.observe(caller(0), 1);
            }
            sample.observe(caller(1 + round), 400);
        }
        let flooded = sample.values.iter().filter(|&&value| value == 1).count();
        assert!((KEPT * 2 / 5..=KEPT * 3 / 5).contains(&flooded), "{flooded} of {KEPT}");
        assert_eq!(sample.upper(), Some(400));
    }

    proptest! {
        #[test]
        fn it_is_the_order_statistic_of_the_last_values(
            values in prop::collection::vec(0_u32..2_000, 0..600), above in prop::sample::select(vec![10_usize, 50])
        ) {
            let sample = sample(above, values.iter().copied());
            let mut last = values[values.len().saturating_sub(KEPT)..].to_vec();
            last.sort_unstable();
            let n = last.len();
            // Counted from above: so many values may be larger.
            let larger = ((n + 1) * above / 1_000).checked_sub(1);
            prop_assert_eq!(sample.upper(), larger.map(|larger| last[n - 1 - larger]));
            let squares: u128 = last.iter().map(|&value| u128::from(value).pow(2)).sum();
            let sum: u128 = last.iter().map(|&value| u128::from(value)).sum();
            prop_assert_eq!(u128::from(sample.mean_in_flight()), squares.div_ceil(sum.max(1)));
        }
    }
}
