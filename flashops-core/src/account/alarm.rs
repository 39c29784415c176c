use std::time::Duration;

use crate::clock::{Moment, Tick, UnixSeconds};

/// Whether one threshold of one limit has fired.
///
/// In a calendar period it fires once. In a sliding window it fires when usage comes up to it, again only after usage
/// was below nine tenths of it, and at most once in the length of the window. When usage comes up to it too early after
/// the last time it does not fire, and not later either: only when usage comes up to it once more. In a lifetime it
/// fires once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarm {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Armed,
    /// Fired in the calendar period that ends then.
    Period(UnixSeconds),
    /// Fired at this tick; since then usage was low enough or not, and since the last look it was below the level or
    /// not.
    Sliding { at: Tick, low_since: bool, below: bool },
    /// Fired for good.
    Ever,
}

/// Over what an alarm fires once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Once {
    Ever,
    PeriodEnding(UnixSeconds),
    Sliding { window: Duration, now: Tick },
}

impl Alarm {
    /// Looks at the usage; says whether the alarm fires now.
    pub(crate) fn fires(&mut self, used: u64, level: u64, once: Once) -> bool {
        if used < level {
            self.rearm(used, level);
            return false;
        }
        match (&mut self.state, once) {
            (State::Ever, _) => return false,
            (State::Period(fired), Once::PeriodEnding(period)) if *fired == period => return false,
            (State::Sliding { at, low_since, below }, Once::Sliding { window, now }) => {
                let came_up = std::mem::replace(below, false);
                if !came_up || !*low_since || now.since(*at) < window {
                    return false;
                }
            }
            _ => {}
        }
        self.state = match once {
            Once::Ever => State::Ever,
            Once::PeriodEnding(period) => State::Period(period),
            Once::Sliding { now, .. } => State::Sliding { at: now, low_since: false, below: false },
        };
        true
    }

    /// Notes how low usage was: a sliding window fires again only if that was low enough.
    pub(crate) fn rearm(&mut self, used: u64, level: u64) {
        if let State::Sliding { low_since, below, .. } = &mut self.state {
            *below |= used < level;
            *low_since |= u128::from(used) * 10 < u128::from(level) * 9;
        }
    }

    /// Whether it may not fire now because it has fired, so that forgetting it would let it.
    pub(crate) fn is_spent(&self, window: Duration, now: Moment) -> bool {
        match self.state {
            State::Armed => false,
            State::Period(end) => now.unix < end,
            State::Sliding { at, .. } => now.tick.since(at) < window,
            State::Ever => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    /// The rule in the words of the design, on a log of all that was ever used, added up anew each time: on the upward
    /// crossing, re-armed below nine tenths of the level, at most once a window.
    #[derive(Default)]
    struct Exact {
        log: Vec<(u64, u64)>,
        /// The least that was used before each addition since it last fired. In between usage only goes down.
        least: u64,
        fired: Option<u64>,
    }

    impl Exact {
        fn used(&self, now: u64) -> u64 {
            self.log.iter().filter(|(then, _)| then + WINDOW.as_secs() > now).map(|(_, amount)| amount).sum()
        }

        fn add(&mut self, now: u64, amount: u64, level: u64) -> bool {
            let before = self.used(now);
            self.least = self.least.min(before);
            self.log.push((now, amount));
            let crosses = before < level && self.used(now) >= level;
            let is_armed = self.least * 10 < level * 9;
            let is_early = self.fired.is_some_and(|then| now - then < WINDOW.as_secs());
            let fires = crosses && is_armed && !is_early;
            if fires {
                (self.least, self.fired) = (u64::MAX, Some(now));
            }
            fires
        }
    }

    proptest! {
        #[test]
        fn it_fires_when_usage_comes_up_to_the_level_and_at_no_other_time(
            steps in prop::collection::vec((0_u64..40, 0_u64..70), 1..150)
        ) {
            let (mut alarm, mut exact, mut now) = (Alarm::default(), Exact::default(), 1_000);
            for (wait, amount) in steps {
                now += wait;
                alarm.rearm(exact.used(now), 100);
                let wanted = exact.add(now, amount, 100);
                prop_assert_eq!(alarm.fires(exact.used(now), 100, sliding(now)), wanted, "at {}", now);
            }
        }
    }

    fn sliding(seconds: u64) -> Once {
        Once::Sliding { window: WINDOW, now: Tick::from_nanos(seconds * 1_000_000_000) }
    }

    #[test]
    fn a_period_fires_once_and_the_next_one_again() {
        let mut alarm = Alarm::default();
        let first = Once::PeriodEnding(UnixSeconds(100));
        assert!(!alarm.fires(79, 80, first));
        assert!(alarm.fires(80, 80, first));
        assert!(!alarm.fires(200, 80, first));
        assert!(!alarm.fires(0, 80, first));
        assert!(!alarm.fires(90, 80, first));
        assert!(alarm.fires(81, 80, Once::PeriodEnding(UnixSeconds(200))));
    }

    #[test]
    fn a_sliding_window_fires_on_the_way_up_once_a_window_and_only_after_it_was_low() {
        let mut alarm = Alarm::default();
        assert!(alarm.fires(100, 100, sliding(0)));
        assert!(!alarm.fires(95, 100, sliding(61)), "95 is below the level");
        assert!(!alarm.fires(100, 100, sliding(62)), "it was never below 90");
        assert!(!alarm.fires(89, 100, sliding(63)));
        assert!(alarm.fires(100, 100, sliding(64)));
        assert!(!alarm.fires(10, 100, sliding(65)));
        assert!(!alarm.fires(100, 100, sliding(66)), "a window has not passed");
        assert!(!alarm.fires(100, 100, sliding(125)), "it only stayed");
        assert!(!alarm.fires(99, 100, sliding(126)));
        assert!(alarm.fires(100, 100, sliding(127)), "it was below 90 since the last time");
    }
}
