//! When a check is due and what it found last: a function of time and answers.

use std::time::Duration;

use super::check::Timing;
use super::{Finding, Status};
use crate::clock::{Tick, UnixSeconds};

/// Waits are up to this part of them shorter or longer, so that the instances of a fleet do not ask all at once.
const JITTER: u32 = 5;

/// One answer of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What it found; no worse than a warning if the check is not critical.
    pub finding: Finding,
    /// When the answer came.
    pub time: UnixSeconds,
    /// How long it took.
    pub took: Duration,
}

/// Where a check stands.
#[derive(Debug, Default)]
pub(super) struct State {
    /// `None` until somebody looks for the first time.
    due: Option<Tick>,
    running: bool,
    last: Option<Reading>,
}

impl State {
    /// Starts the check if it is due and not running. `noise` is anything from 0 to `u64::MAX`.
    pub(super) fn start(&mut self, timing: Timing, now: Tick, noise: u64) -> bool {
        let due = *self.due.get_or_insert_with(|| now.after(jittered(timing.delay, noise)));
        if self.running || now < due {
            return false;
        }
        self.running = true;
        self.due = Some(now.after(jittered(timing.interval, noise)));
        true
    }

    /// When it is to be started next; `None` while it runs.
    pub(super) fn next(&self) -> Option<Tick> {
        self.due.filter(|_| !self.running)
    }

    /// Keeps an answer, and says what the status was before if it is another now.
    pub(super) fn answer(&mut self, reading: Reading) -> Option<Option<Status>> {
        let to = reading.finding.status;
        let from = self.last.replace(reading).map(|before| before.finding.status);
        (from != Some(to)).then_some(from)
    }

    /// It runs no more, whether or not it has answered.
    pub(super) fn release(&mut self) {
        self.running = false;
    }

    pub(super) const fn last(&self) -> Option<&Reading> {
        self.last.as_ref()
    }
}

/// A wait from four to six fifths of this, as `noise` is from 0 to `u64::MAX`.
fn jittered(wait: Duration, noise: u64) -> Duration {
    let spread = wait / JITTER;
    let nanos = (spread * 2).as_nanos().saturating_mul(u128::from(noise)) >> u64::BITS;
    (wait - spread).saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMING: Timing = Timing { timeout: SECOND, interval: Duration::from_secs(30), delay: Duration::from_secs(5) };

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn waits_spread_over_a_fifth_to_either_side_and_no_further() {
        assert_eq!(jittered(SECOND * 10, 0), SECOND * 8);
        assert_eq!(jittered(SECOND * 10, u64::MAX / 2 + 1), SECOND * 10);
        assert_eq!(jittered(SECOND * 10, u64::MAX).as_millis(), 11_999);
        assert_eq!(jittered(Duration::ZERO, u64::MAX), Duration::ZERO);
        let tenths = (0..1_000).map(|i| jittered(SECOND * 10, u64::MAX / 1_000 * i).as_millis() / 400);
        let mut counts = [0; 10];
        tenths.for_each(|tenth| counts[usize::try_from(tenth).unwrap() - 20] += 1);
        assert!(counts.iter().all(|count| (99..=101).contains(count)), "{counts:?}");
        assert!(jittered(Duration::MAX, u64::MAX) >= Duration::MAX / 5 * 4, "and it never overflows");
    }

    #[test]
    fn the_first_start_is_after_the_delay_and_the_next_after_the_interval() {
        let mut state = State::default();
        let middle = u64::MAX / 2 + 1;
        assert_eq!(state.next(), None);
        assert!(!state.start(TIMING, at(100), middle));
        assert_eq!(state.next(), Some(at(105)));
        assert!(!state.start(TIMING, at(104), middle));
        assert!(state.start(TIMING, at(105), middle));
        assert_eq!(state.next(), None, "it runs");
        assert!(!state.start(TIMING, at(1_000), middle), "whatever is due, it is not started while it runs");
        state.release();
        assert_eq!(state.next(), Some(at(135)));
        assert!(state.start(TIMING, at(1_000), middle));
    }

    #[test]
    fn a_change_is_told_once_and_what_stays_is_not() {
        let mut state = State::default();
        let mut answer = |finding| state.answer(Reading { finding, time: UnixSeconds(0), took: SECOND });
        assert_eq!(answer(Finding::pass()), Some(None));
        assert_eq!(answer(Finding::pass()), None);
        assert_eq!(answer(Finding::fail("a")), Some(Some(Status::Pass)));
        assert_eq!(answer(Finding::fail("b")), None);
        assert_eq!(answer(Finding::warn("c")), Some(Some(Status::Fail)));
    }
}
