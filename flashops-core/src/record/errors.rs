//! How far estimates were off: a recorder of two histograms.

use super::{Event, Recorder};
use crate::sync::{AtomicU64, Ordering};
use crate::units::Tokens;
use crate::usage::Quality;

/// How many buckets an [`ErrorHistogram`] has.
const BUCKETS: usize = ErrorHistogram::BOUNDS.len() + 1;

/// Compares what was held at first with what the provider then reported, for input and for output.
///
/// ```
/// use flashops_core::record::{ErrorHistogram, EstimateErrors};
///
/// let errors = EstimateErrors::new();
/// let output = errors.output();
/// assert_eq!((output.calls(), output.unused, output.exceeded), (0, 0, 0));
/// assert_eq!(ErrorHistogram::BOUNDS[6], 1_000, "calls up to here used no more than was held for them");
/// ```
///
/// Only calls with exact usage count, and of these only those for which something was held. Top-ups are left out: this
/// is about the estimate, not about debt. It takes some 250 bytes, whatever happens.
#[derive(Debug, Default)]
pub struct EstimateErrors {
    input: Counters,
    output: Counters,
}

/// How often calls used which share of what was held for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorHistogram {
    /// How many calls used a share up to each of [`ErrorHistogram::BOUNDS`] and above the one before it, and as the
    /// last number how many used more.
    pub buckets: [u64; BUCKETS],
    /// Tokens that were held and not used.
    pub unused: u64,
    /// Tokens that were used beyond what was held.
    pub exceeded: u64,
}

impl ErrorHistogram {
    /// The upper bounds of the buckets: what was used as a share of what was held, in thousandths, rounded up.
    pub const BOUNDS: [u64; 12] = [100, 250, 500, 750, 900, 950, 1_000, 1_050, 1_100, 1_250, 1_500, 2_000];

    /// How many calls were compared.
    pub const fn calls(&self) -> u64 {
        let (mut calls, mut bucket) = (0_u64, 0);
        while bucket < BUCKETS {
            calls = calls.saturating_add(self.buckets[bucket]);
            bucket += 1;
        }
        calls
    }
}

#[derive(Debug, Default)]
struct Counters {
    buckets: [AtomicU64; BUCKETS],
    unused: AtomicU64,
    exceeded: AtomicU64,
}

impl Counters {
    fn count(&self, held: Tokens, used: Tokens) {
        let (held, used) = (held.get(), used.get());
        if held == 0 {
            return;
        }
        let share = (u128::from(used) * 1_000).div_ceil(u128::from(held));
        let bucket = ErrorHistogram::BOUNDS.partition_point(|&bound| u128::from(bound) < share);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.unused.fetch_add(held.saturating_sub(used), Ordering::Relaxed);
        self.exceeded.fetch_add(used.saturating_sub(held), Ordering::Relaxed);
    }

    fn read(&self) -> ErrorHistogram {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ErrorHistogram {
            buckets: self.buckets.each_ref().map(load),
            unused: load(&self.unused),
            exceeded: load(&self.exceeded),
        }
    }
}

impl EstimateErrors {
    /// Nothing compared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The errors of the input estimate.
    pub fn input(&self) -> ErrorHistogram {
        self.input.read()
    }

    /// The errors of what was held for output.
    pub fn output(&self) -> ErrorHistogram {
        self.output.read()
    }
}

impl Recorder for EstimateErrors {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event
            && settled.usage.quality == Quality::Exact
        {
            self.input.count(settled.estimate.input, settled.usage.total_input());
            self.output.count(settled.held_output, settled.usage.total_output());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(calls: &[(u64, u64)]) -> ErrorHistogram {
        let counters = Counters::default();
        for &(held, used) in calls {
            counters.count(Tokens::saturating(held), Tokens::saturating(used));
        }
        counters.read()
    }

    #[test]
    fn each_call_is_in_the_bucket_of_its_share() {
        let calls = [(100, 0), (100, 10), (100, 11), (100, 100), (1_000, 1_001), (100, 200), (100, 201)];
        let expected = [2, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1];
        assert_eq!(histogram(&calls).buckets, expected);
        assert_eq!(histogram(&calls).calls(), 7);
    }

    #[test]
    fn what_was_not_used_and_what_was_used_beyond_are_summed_apart() {
        let errors = histogram(&[(100, 30), (100, 130), (50, 50)]);
        assert_eq!((errors.unused, errors.exceeded), (70, 30));
    }

    #[test]
    fn a_call_for_which_nothing_was_held_has_no_share() {
        assert_eq!(histogram(&[(0, 0), (0, 5)]), ErrorHistogram::default());
        assert_eq!(histogram(&[(1, u64::MAX)]).buckets[BUCKETS - 1], 1);
    }
}
