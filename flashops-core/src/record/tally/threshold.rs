use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Tally;
use crate::account::{Alarm, Once};
use crate::clock::{Moment, Tick};
use crate::window::{Ring, RingSpan};

/// How many tokens an organisation may settle in a window before somebody is told.
///
/// ```
/// use std::time::Duration;
/// use flashops_core::record::TokenThreshold;
///
/// let hourly = TokenThreshold::default();
/// assert_eq!((hourly.tokens(), hourly.window()), (100_000, Duration::from_secs(3_600)));
/// assert!(TokenThreshold::new(5_000_000, Duration::from_secs(7 * 86_400)).is_err(), "a tally remembers 24 hours");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenThreshold {
    tokens: u64,
    window: Duration,
}

/// Why a threshold is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenThresholdError {
    /// Zero tokens are always reached.
    NoTokens,
    /// The window is shorter than a second or longer than [`Tally::MAX_WINDOW`].
    WindowOutOfRange,
}

/// The usage of an organisation came up to the threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThresholdReached {
    /// The organisation, as its rows show it.
    pub org: Arc<str>,
    /// What it used in the window; at least `amount`.
    pub tokens: u64,
    /// The threshold, in tokens.
    pub amount: u64,
    /// The window.
    pub window: Duration,
    /// When it was reached.
    pub at: Moment,
}

impl TokenThreshold {
    /// The shortest window.
    pub const MIN_WINDOW: Duration = Duration::from_secs(1);

    /// A threshold on the tokens, input and output together, that an organisation settles in any interval of a length.
    ///
    /// # Errors
    ///
    /// [`TokenThresholdError`] if `tokens` is zero, or if the window is not between [`TokenThreshold::MIN_WINDOW`] and
    /// [`Tally::MAX_WINDOW`].
    pub fn new(tokens: u64, window: Duration) -> Result<Self, TokenThresholdError> {
        if tokens == 0 {
            return Err(TokenThresholdError::NoTokens);
        }
        if !(Self::MIN_WINDOW..=Tally::MAX_WINDOW).contains(&window) {
            return Err(TokenThresholdError::WindowOutOfRange);
        }
        Ok(Self { tokens, window })
    }

    /// The tokens; never zero.
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The window.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// What part of the threshold so many tokens are, in thousandths, rounded down.
    pub(super) fn share(&self, tokens: u64) -> u64 {
        u64::try_from(u128::from(tokens) * 1_000 / u128::from(self.tokens)).unwrap_or(u64::MAX)
    }
}

impl Default for TokenThreshold {
    /// 100,000 tokens in an hour.
    fn default() -> Self {
        Self { tokens: 100_000, window: Duration::from_secs(3_600) }
    }
}

impl fmt::Display for TokenThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTokens => "a threshold is at least one token",
            Self::WindowOutOfRange => "the window of a threshold is between one second and 24 hours",
        })
    }
}

impl std::error::Error for TokenThresholdError {}

/// Whether the threshold has fired for one organisation.
#[derive(Debug, Default)]
pub(super) struct OrgAlarm {
    ring: Ring,
    alarm: Alarm,
}

impl OrgAlarm {
    /// Counts tokens; says how many are in the window if the alarm fires.
    pub(super) fn count(&mut self, tokens: u64, threshold: &TokenThreshold, now: Tick) -> Option<u64> {
        let span = RingSpan::new(threshold.window);
        let once = Once::Sliding { window: threshold.window, now };
        // What left the window since the last call can have re-armed the alarm, even if this call alone fills it again.
        self.alarm.rearm(self.ring.used(span, now), threshold.tokens);
        self.ring.add(span, tokens, now);
        let used = self.ring.used(span, now);
        self.alarm.fires(used, threshold.tokens, once).then_some(used)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMOUNT: u64 = 1_000;
    const WINDOW: u64 = 3_600;

    fn hourly() -> TokenThreshold {
        TokenThreshold::new(AMOUNT, Duration::from_secs(WINDOW)).unwrap()
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    fn trailing(log: &[(u64, u64)], window: u64, now: u64) -> u64 {
        log.iter().filter(|(then, _)| then + window > now).map(|(_, tokens)| tokens).sum()
    }

    proptest! {
        #[test]
        fn it_fires_when_an_exact_log_says_so_and_never_twice_in_a_window(
            steps in prop::collection::vec((0_u64..3_000, 1_u64..600), 1..200)
        ) {
            let (mut alarm, mut log, mut fired, mut now) = (OrgAlarm::default(), Vec::new(), None::<u64>, 10_000);
            for (wait, tokens) in steps {
                now += wait;
                let quiet_before = trailing(&log, WINDOW + 93, now) < AMOUNT * 9 / 10;
                let below_before = trailing(&log, WINDOW, now) < AMOUNT;
                log.push((now, tokens));
                let allowed = fired.is_none_or(|then| now - then >= WINDOW);
                let must = quiet_before && allowed && trailing(&log, WINDOW, now) >= AMOUNT;
                let fires = alarm.count(tokens, &hourly(), at(now));
                if let Some(used) = fires {
                    prop_assert!(allowed, "twice in a window");
                    prop_assert!(below_before, "late");
                    prop_assert!(used >= AMOUNT && used >= trailing(&log, WINDOW, now));
                    prop_assert!(used <= trailing(&log, WINDOW + 93, now));
                    fired = Some(now);
                }
                prop_assert!(!must || fires.is_some(), "missed");
            }
        }
    }

    #[test]
    fn one_large_call_after_a_quiet_time_fires_again() {
        let mut alarm = OrgAlarm::default();
        assert_eq!(alarm.count(AMOUNT, &hourly(), at(1)), Some(AMOUNT));
        assert_eq!(alarm.count(AMOUNT, &hourly(), at(3 * WINDOW)), Some(AMOUNT));
    }

    #[test]
    fn usage_that_stays_high_fires_once() {
        let mut alarm = OrgAlarm::default();
        let fired: Vec<u64> = (0..500).filter(|&i| alarm.count(50, &hourly(), at(i * 60)).is_some()).collect();
        assert_eq!(fired, [19]);
    }

    #[test]
    fn a_share_is_rounded_down_and_does_not_overflow() {
        assert_eq!(hourly().share(999), 999);
        assert_eq!(TokenThreshold::default().share(99_999), 999);
        assert_eq!(TokenThreshold::default().share(100_000), 1_000);
        assert_eq!(TokenThreshold::new(1, Tally::MAX_WINDOW).unwrap().share(u64::MAX), u64::MAX);
    }
}
