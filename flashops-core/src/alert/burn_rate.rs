//! How fast a limit is used up, in two windows.

use std::time::Duration;

use super::rules::BurnRule;
use crate::account::{Alarm, Once};
use crate::clock::Tick;
use crate::window::{Ring, RingSpan};

/// One rule, for the limits of one amount and period.
#[derive(Clone, Copy, Debug)]
pub(super) struct BurnSpan {
    pub(super) rule: BurnRule,
    pub(super) slow: Reach,
    pub(super) fast: Reach,
}

/// One window: how long it is, and how much is too much in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) window: Duration,
    span: RingSpan,
    /// What would be used in it evenly is the first divided by the second: the amount times the window, and the period.
    even: (u128, u128),
    level: u64,
}

impl Reach {
    fn new(window: Duration, factor: u64, amount: u64, period: Duration) -> Self {
        // In milliseconds of 400 days there are 35 bits, in a factor 20, so that none of this overflows.
        let [times, per] = [window, period].map(|time| time.as_millis().max(1));
        let even = (u128::from(amount).max(1) * times, per);
        let level = (even.0 * u128::from(factor)).div_ceil(even.1 * 1_000);
        let level = u64::try_from(level).unwrap_or(u64::MAX).max(1);
        Self { window, span: RingSpan::new(window), even, level }
    }

    /// How many times as much as evenly, in thousandths.
    pub(super) fn rate(&self, used: u64) -> u64 {
        let rate = u128::from(used) * 1_000 * self.even.1 / self.even.0;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// How much of its level was used, in thousandths.
    fn share(&self, used: u64) -> u64 {
        u64::try_from(u128::from(used) * 1_000 / u128::from(self.level)).unwrap_or(u64::MAX)
    }
}

impl BurnSpan {
    pub(super) fn new(rule: BurnRule, amount: u64, period: Duration) -> Self {
        let reach = |window: Duration| Reach::new(scaled(window, period), rule.factor, amount, period);
        Self { rule, slow: reach(rule.slow), fast: reach(rule.fast) }
    }

    /// How near both windows are to their levels, in thousandths: 1,000 is there.
    fn share(&self, fast: u64, slow: u64) -> u64 {
        self.fast.share(fast).min(self.slow.share(slow))
    }
}

/// A window that is meant for 30 days, for another period.
fn scaled(window: Duration, period: Duration) -> Duration {
    let nanos = window.as_nanos().saturating_mul(period.as_nanos()) / BurnRule::PERIOD.as_nanos();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(BurnRule::MIN_WINDOW)
}

/// What one key used under one limit, in both windows of a rule.
#[derive(Debug, Default)]
pub(super) struct Burn {
    slow: Ring,
    fast: Ring,
    alarm: Alarm,
}

/// What was used in both windows of a rule that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burning {
    pub(super) slow: u64,
    pub(super) fast: u64,
}

impl Burn {
    /// Counts an amount; says how much was used if the rule fires: when both windows come up to their levels, again
    /// only after one of them was below nine tenths, and at most once in the slow window.
    pub(super) fn count(&mut self, span: &BurnSpan, amount: u64, now: Tick) -> Option<Burning> {
        let before = self.used(span, now);
        self.alarm.rearm(span.share(before.fast, before.slow), 1_000);
        self.slow.add(span.slow.span, amount, now);
        self.fast.add(span.fast.span, amount, now);
        let burning = self.used(span, now);
        let once = Once::Sliding { window: span.slow.window, now };
        self.alarm.fires(span.share(burning.fast, burning.slow), 1_000, once).then_some(burning)
    }

    fn used(&mut self, span: &BurnSpan, now: Tick) -> Burning {
        Burning { slow: self.slow.used(span.slow.span, now), fast: self.fast.used(span.fast.span, now) }
    }

    /// Whether forgetting it loses nothing.
    pub(super) fn is_idle(&mut self, span: &BurnSpan, now: crate::clock::Moment) -> bool {
        self.used(span, now.tick).slow == 0 && !self.alarm.is_spent(span.slow.window, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::Severity;

    const MONTH: u64 = 30 * 86_400;

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    /// The most urgent rule, on 720,000 in 30 days: evenly 1,000 in an hour.
    fn urgent() -> BurnSpan {
        BurnSpan::new(BurnRule::USUAL[0], 720_000, Duration::from_secs(MONTH))
    }

    #[test]
    fn the_figures_of_the_workbook_are_two_five_and_ten_percent_of_a_month() {
        let levels = BurnRule::USUAL.map(|rule| {
            let span = BurnSpan::new(rule, 1_000_000, Duration::from_secs(MONTH));
            (span.slow.window.as_secs(), span.slow.level, span.fast.window.as_secs(), span.fast.level)
        });
        // Of a million in 30 days, 2 % in an hour and a twelfth of that in five minutes; and so on.
        assert_eq!(
            levels,
            [(3_600, 20_000, 300, 1_667), (21_600, 50_000, 1_800, 4_167), (86_400, 100_000, 7_200, 8_334)]
        );
    }

    #[test]
    fn windows_are_in_the_measure_of_the_period_and_never_shorter_than_a_minute() {
        let windows = |days: u64| {
            let span = BurnSpan::new(BurnRule::USUAL[1], 1_000_000, Duration::from_secs(days * 86_400));
            (span.slow.window.as_secs(), span.fast.window.as_secs())
        };
        assert_eq!(windows(30), (21_600, 1_800));
        assert_eq!(windows(7), (5_040, 420));
        assert_eq!(windows(1), (720, 60));
    }

    #[test]
    fn it_fires_when_both_windows_are_above_and_not_when_one_is() {
        let (span, mut burn) = (urgent(), Burn::default());
        // 14,400 in the hour is the level of the slow window, and 1,200 in five minutes that of the fast one.
        assert_eq!(burn.count(&span, 1_300, at(0)), None, "only the fast one is");
        let steady: Vec<u64> = (1..=60).filter(|&i| burn.count(&span, 219, at(i * 60)).is_some()).collect();
        assert_eq!(steady, [60], "1,300 + 60 × 219 is above 14,400, and so is what came in the last five minutes");
        let mut burst = Burn::default();
        assert_eq!(burst.count(&span, 14_399, at(0)), None);
        assert_eq!(burst.count(&span, 1, at(600)), None, "it was ten minutes ago: it does not go on");
    }

    #[test]
    fn it_fires_once_as_long_as_it_burns_and_again_after_it_did_not() {
        let (span, mut burn) = (urgent(), Burn::default());
        let mut fired = Vec::new();
        for minute in 0..600 {
            let amount = if (200..300).contains(&minute) { 10 } else { 300 };
            if burn.count(&span, amount, at(minute * 60)).is_some() {
                fired.push(minute);
            }
        }
        // 48 minutes of 300 are 14,400.
        assert_eq!(fired, [47, 347]);
    }

    #[test]
    fn a_rate_is_how_many_times_as_much_as_evenly() {
        let span = urgent();
        assert_eq!((span.slow.rate(1_000), span.slow.rate(14_400), span.slow.rate(0)), (1_000, 14_400, 0));
        assert_eq!(span.slow.rate(u64::MAX), u64::MAX, "nothing overflows");
    }

    proptest! {
        #[test]
        fn an_exact_log_of_both_windows_agrees_but_for_one_bucket(
            steps in prop::collection::vec((0_u64..900, 1_u64..6_000), 1..200)
        ) {
            let (span, mut burn, mut log, mut now) = (urgent(), Burn::default(), Vec::<(u64, u64)>::new(), 10_000);
            let mut fired = None::<u64>;
            for (wait, amount) in steps {
                now += wait;
                let trailing = |log: &[(u64, u64)], window: u64| -> u64 {
                    log.iter().filter(|(then, _)| then + window > now).map(|(_, amount)| amount).sum()
                };
                let above = |log: &[(u64, u64)], slow, fast| {
                    trailing(log, slow) >= 14_400 && trailing(log, fast) >= 1_200
                };
                // Low enough, however the oldest bucket counts.
                let quiet = trailing(&log, 3_693) < 12_900 || trailing(&log, 308) < 1_050;
                log.push((now, amount));
                let early = fired.is_some_and(|then| now - then < 3_600);
                let must = quiet && !early && above(&log, 3_600, 300);
                let fires = burn.count(&span, amount, at(now)).is_some();
                prop_assert!(!fires || (!early && above(&log, 3_693, 308)), "fired at {}", now);
                prop_assert!(!must || fires, "missed at {}", now);
                fired = if fires { Some(now) } else { fired };
            }
        }

        #[test]
        fn no_numbers_overflow(
            factor in 1_u64..=1_000_000, amount in any::<u64>(), used in any::<u64>(), slow in 1_u64..=34_560_000,
            period in 1_u64..=34_560_000,
        ) {
            let [slow, period] = [slow, period].map(Duration::from_secs);
            let rule = BurnRule { factor, slow, fast: slow / 12, severity: Severity::Page };
            let span = BurnSpan::new(rule, amount, period);
            let mut burn = Burn::default();
            burn.count(&span, used, at(1));
            burn.count(&span, used, at(2));
            prop_assert!(span.slow.level >= 1);
            let _saturates = span.slow.rate(used);
        }
    }
}
