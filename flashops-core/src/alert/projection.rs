//! What will be used at the end of a period.

use crate::clock::UnixSeconds;

/// A period of which a part was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When the period began.
    pub(super) start: UnixSeconds,
    /// Since when all use of it was seen: its beginning or later.
    pub(super) from: UnixSeconds,
    /// The present.
    pub(super) now: UnixSeconds,
    /// When the period ends.
    pub(super) end: UnixSeconds,
}

impl Seen {
    /// What will be used at the end if use goes on as it was since it was seen, rounded down; `None` before so many
    /// thousandths of the whole period were seen.
    pub(super) fn projected(&self, used: u64, after: u16) -> Option<u64> {
        let between = |from: UnixSeconds, to: UnixSeconds| u128::from(to.since(from).as_secs());
        let (seen, whole) = (between(self.from, self.now), between(self.start, self.end));
        if seen == 0 || seen * 1_000 < whole * u128::from(after) {
            return None;
        }
        // A clock beyond the end has seen all of it.
        let to_come = between(self.from, self.end).max(seen);
        Some(u64::try_from(u128::from(used) * to_come / seen).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(from: i64, now: i64) -> Seen {
        let at = |seconds| UnixSeconds(1_000_000 + seconds);
        Seen { start: at(0), from: at(from), now: at(now), end: at(1_000) }
    }

    #[test]
    fn a_projection_is_linear_by_the_elapsed_share() {
        for (used, now, expected) in [(50, 100, 500), (50, 250, 200), (333, 999, 333), (7, 1_000, 7), (0, 500, 0)] {
            assert_eq!(seen(0, now).projected(used, 100), Some(expected), "{used} at {now}");
        }
        // 40 in the 200 seconds from 600 on: 80 in the 400 until the end.
        assert_eq!(seen(600, 800).projected(40, 100), Some(80));
    }

    #[test]
    fn nothing_is_projected_before_a_tenth_of_the_period_was_seen() {
        assert_eq!(seen(0, 99).projected(1_000, 100), None);
        assert_eq!(seen(0, 100).projected(1_000, 100), Some(10_000));
        assert_eq!(seen(950, 1_000).projected(1_000, 100), None, "too little of it was ever seen");
        assert_eq!(seen(5, 5).projected(1_000, 0), None, "no time at all");
        assert_eq!(seen(9, 5).projected(1_000, 0), None, "a clock that stepped back");
    }

    proptest! {
        #[test]
        fn no_numbers_overflow_and_never_less_is_projected_than_was_used(
            used in any::<u64>(), start in any::<i64>(), from in any::<i64>(), now in any::<i64>(), end in any::<i64>(),
            after in 0_u16..=1_000
        ) {
            let at = UnixSeconds;
            let seen = Seen { start: at(start), from: at(from), now: at(now), end: at(end) };
            prop_assert!(seen.projected(used, after).is_none_or(|projected| projected >= used));
        }
    }
}
