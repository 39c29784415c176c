//! What is out of the ordinary for a caller.

/// How many periods with use must be known before anything is said.
pub(super) const MIN_PERIODS: usize = 6;

/// So many times the usual distance from the usual amount are still in the ordinary.
const DEVIATIONS: u64 = 6;

/// What a caller usually uses in a period, and from where on it is out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usual {
    pub(super) median: u64,
    pub(super) level: u64,
}

impl Usual {
    /// Of the amounts of earlier periods, in any order; `None` of fewer than [`MIN_PERIODS`].
    ///
    /// The level is so many times the median (`factor`, in thousandths), but at least the median and six times the
    /// median distance from it: a caller whose hours differ much is not told of all the time. Neither is moved by a
    /// few periods, however large they were.
    pub(super) fn of(mut amounts: Vec<u64>, factor: u64) -> Option<Self> {
        if amounts.len() < MIN_PERIODS {
            return None;
        }
        let median = median(&mut amounts);
        let mut distances: Vec<u64> = amounts.iter().map(|amount| amount.abs_diff(median)).collect();
        let spread = self::median(&mut distances);
        let times = u64::try_from((u128::from(median) * u128::from(factor)).div_ceil(1_000)).unwrap_or(u64::MAX);
        let level = times.max(median.saturating_add(spread.saturating_mul(DEVIATIONS)));
        Some(Self { median, level })
    }
}

/// The middle one; of an even number, the lower of the two in the middle.
fn median(amounts: &mut [u64]) -> u64 {
    let middle = amounts.len().saturating_sub(1) / 2;
    amounts.sort_unstable();
    amounts.get(middle).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(amounts: &[u64]) -> Option<(u64, u64)> {
        Usual::of(amounts.to_vec(), 3_000).map(|usual| (usual.median, usual.level))
    }

    #[test]
    fn a_caller_of_few_periods_has_no_usual_amount() {
        assert_eq!(usual(&[100; 5]), None);
        assert_eq!(usual(&[]), None);
        assert_eq!(usual(&[100; 6]), Some((100, 300)));
    }

    #[test]
    fn a_few_large_periods_do_not_become_usual() {
        assert_eq!(usual(&[100, 100, 90, 110, 1_000_000, 100, 2_000_000]), Some((100, 300)));
    }

    #[test]
    fn where_periods_differ_much_more_is_in_the_ordinary() {
        // Distances from 100: 90, 80, 0, 200, 300, 400, 50; their median is 90.
        assert_eq!(usual(&[10, 20, 100, 300, 400, 500, 50]), Some((100, 640)));
    }

    #[test]
    fn no_numbers_overflow() {
        assert_eq!(usual(&[u64::MAX; 7]), Some((u64::MAX, u64::MAX)));
        assert_eq!(usual(&[0, 0, 0, 0, u64::MAX, u64::MAX, u64::MAX, u64::MAX]), Some((0, 0)));
    }
}
