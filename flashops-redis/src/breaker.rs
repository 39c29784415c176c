//! When to stop asking a server that does not answer.
//!
//! Closed, it lets everything through and counts. When of at least [`LEAST`] commands within a second half have failed,
//! it opens: nobody waits for a server that is not there. After a while one command may try; if it is answered the
//! breaker closes, and if not the next while is twice as long.

use std::time::Duration;

use flashops_core::clock::Tick;

/// Over which time commands are counted.
const SPAN: Duration = Duration::from_secs(1);
/// How many commands there must have been.
const LEAST: u32 = 20;
/// How long it stays open at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// The breaker of one server.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        since: Tick,
        asked: u32,
        failed: u32,
    },
    /// How long it stays open, from when; and whether one command is trying.
    Open {
        since: Tick,
        pause: Duration,
        trying: bool,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { since: Tick::ZERO, asked: 0, failed: 0 }
    }
}

impl Breaker {
    /// Whether a command may be sent now. The one that is let through an open breaker must end in
    /// [`Breaker::answered`] or [`Breaker::failed`].
    pub(crate) fn admits(&mut self, now: Tick) -> bool {
        match &mut self.state {
            State::Closed { .. } => true,
            State::Open { since, pause, trying } => {
                let tries = !*trying && now.since(*since) >= *pause;
                *trying |= tries;
                tries
            }
        }
    }

    /// Whether it is open.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// A command was answered, whatever the answer.
    pub(crate) fn answered(&mut self, now: Tick) {
        match &mut self.state {
            State::Closed { .. } => self.count(now, false),
            State::Open { .. } => self.state = State::Closed { since: now, asked: 0, failed: 0 },
        }
    }

    /// A command was not answered. `jitter` is up to a thousand, and lengthens the pause by up to a quarter. Says
    /// whether the breaker opened now.
    pub(crate) fn failed(&mut self, now: Tick, jitter: u16) -> bool {
        match self.state {
            State::Closed { .. } => {
                self.count(now, true);
                let State::Closed { asked, failed, .. } = self.state else { return false };
                let opens = asked >= LEAST && 2 * failed >= asked;
                if opens {
                    self.state = State::Open { since: now, pause: lengthened(FIRST, jitter), trying: false };
                }
                opens
            }
            // One that was sent before it opened says nothing new.
            State::Open { trying: false, .. } => false,
            State::Open { pause, .. } => {
                let pause = lengthened((2 * pause).min(LONGEST), jitter);
                self.state = State::Open { since: now, pause, trying: false };
                false
            }
        }
    }

    fn count(&mut self, now: Tick, failure: bool) {
        if let State::Closed { since, asked, failed } = &mut self.state {
            if now.since(*since) >= SPAN {
                (*since, *asked, *failed) = (now, 0, 0);
            }
            *asked = asked.saturating_add(1);
            *failed = failed.saturating_add(u32::from(failure));
        }
    }
}

fn lengthened(pause: Duration, jitter: u16) -> Duration {
    pause + pause * u32::from(jitter.min(1_000)) / 4_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(10_000_000_000 + millis * 1_000_000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        assert!((1..LEAST).all(|_| !breaker.failed(at(0), 0)), "too few to say");
        assert!(breaker.failed(at(0), 0));
        breaker
    }

    #[test]
    fn half_of_twenty_within_a_second_open_it_and_fewer_do_not() {
        let mut breaker = Breaker::default();
        for n in 0..100 {
            breaker.answered(at(n * 40));
            breaker.answered(at(n * 40));
            assert!(!breaker.failed(at(n * 40), 0), "a third");
        }
        for n in 0..100 {
            assert!(!breaker.failed(at(10_000 + n * 60), 0), "sixteen in a second");
        }
        assert!(!breaker.is_open() && opened().is_open());
    }

    #[test]
    fn open_it_lets_nobody_wait_and_then_one_try() {
        let mut breaker = opened();
        assert!(!breaker.admits(at(999)));
        assert!(breaker.admits(at(1_000)));
        assert!(!breaker.admits(at(1_000)), "one tries already");
        breaker.answered(at(1_010));
        assert!(!breaker.is_open() && breaker.admits(at(1_010)));
    }

    #[test]
    fn each_try_in_vain_doubles_the_pause_up_to_half_a_minute() {
        let (mut breaker, mut now) = (opened(), 0);
        for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert!(!breaker.failed(at(now), 0), "an old command that fails does not count");
            assert!(!breaker.admits(at(now + pause - 1)));
            assert!(breaker.admits(at(now + pause)));
            now += pause;
            assert!(!breaker.failed(at(now), 0));
        }
        assert_eq!(lengthened(FIRST, 1_000), Duration::from_millis(1_250));
    }
}
