use std::time::Duration;

use crate::clock::{Moment, Tick, UnixSeconds};

/// Whether one threshold of one limit has fired.
///
/// In a calendar period it fires once. In a sliding window it fires when usage comes up to it, again only after usage
/// was below nine tenths of it, and at most once in the length of the window. In a lifetime it fires once.
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
    /// Fired at this tick, and since then usage was low enough or not.
    Sliding { at: Tick, low_since: bool },
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
        match (self.state, once) {
            (State::Ever, _) => return false,
            (State::Period(fired), Once::PeriodEnding(period)) if fired == period => return false,
            (State::Sliding { low_since: false, .. }, _) => return false,
            (State::Sliding { at, .. }, Once::Sliding { window, now }) if now.since(at) < window => return false,
            _ => {}
        }
        self.state = match once {
            Once::Ever => State::Ever,
            Once::PeriodEnding(period) => State::Period(period),
            Once::Sliding { now, .. } => State::Sliding { at: now, low_since: false },
        };
        true
    }

    /// Notes that usage was this low: a sliding window fires again only after that.
    pub(crate) fn rearm(&mut self, used: u64, level: u64) {
        if let State::Sliding { low_since, .. } = &mut self.state {
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
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

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
        assert!(alarm.fires(100, 100, sliding(125)));
    }
}
