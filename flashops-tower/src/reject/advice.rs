//! When to come back: what `Retry-After` and its relatives say.

use std::time::Duration;

use flashops_core::limit::Retry;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};

use super::headers::{RETRY_AFTER_MS, X_SHOULD_RETRY, insert};
use super::text::{Line, Text, whole_millis};

/// What a client is told about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// The wait in milliseconds, at least 1; `None` if waiting does not help.
    pub(super) millis: Option<u64>,
    /// Whether the client is told not to wait and try again by itself.
    pub(super) gives_up: bool,
}

impl Advice {
    /// The advice for this answer. `noise` is anything from 0 to `u64::MAX`: it lengthens the wait by up to a tenth,
    /// but not beyond `max_wait`, above which clients are not asked to wait at all.
    pub(super) fn new(retry: Retry, max_wait: Duration, noise: u64) -> Self {
        match retry {
            Retry::Never => Self { millis: None, gives_up: true },
            Retry::After(wait) => {
                let millis = whole_millis(wait).max(1);
                let late = (u128::from(millis / 10) * u128::from(noise)) >> 64;
                let late = millis.saturating_add(u64::try_from(late).unwrap_or(0));
                let most = millis.max(u64::try_from(max_wait.as_millis()).unwrap_or(u64::MAX));
                Self { millis: Some(late.min(most)), gives_up: wait > max_wait }
            }
        }
    }

    pub(super) fn apply(self, headers: &mut HeaderMap) {
        if let Some(millis) = self.millis {
            insert(headers, RETRY_AFTER, number(millis.div_ceil(1_000)));
            insert(headers, RETRY_AFTER_MS, number(millis));
        }
        if self.gives_up {
            insert(headers, X_SHOULD_RETRY, Some(HeaderValue::from_static("false")));
        }
    }
}

fn number(number: u64) -> Option<HeaderValue> {
    let mut line = Line::<20>::default();
    line.number(number);
    HeaderValue::from_bytes(line.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn told(retry: Retry, noise: u64) -> (Option<u64>, Option<u64>, bool) {
        let mut headers = HeaderMap::new();
        Advice::new(retry, MINUTE, noise).apply(&mut headers);
        let number = |name| headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap().parse().unwrap());
        let give_up = headers.get(X_SHOULD_RETRY).is_some_and(|v| v == "false");
        (number(RETRY_AFTER), number(RETRY_AFTER_MS), give_up)
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_in_milliseconds_and_is_never_zero() {
        for (nanos, seconds, millis) in [
            (0, 1, 1),
            (1, 1, 1),
            (1_000_000, 1, 1),
            (999_999_999, 1, 1_000),
            (1_200_000_000, 2, 1_200),
            (12_000_000_000, 12, 12_000),
            (12_000_000_001, 13, 12_001),
        ] {
            let retry = Retry::After(Duration::from_nanos(nanos));
            assert_eq!(told(retry, 0), (Some(seconds), Some(millis), false), "{nanos}");
        }
    }

    #[test]
    fn clients_are_sent_away_when_the_wait_is_above_the_longest_or_does_not_help() {
        assert_eq!(told(Retry::After(MINUTE), 0), (Some(60), Some(60_000), false));
        let longer = MINUTE + Duration::from_nanos(1);
        assert_eq!(told(Retry::After(longer), 0), (Some(61), Some(60_001), true));
        assert_eq!(told(Retry::Never, 0), (None, None, true));
    }

    proptest! {
        #[test]
        fn noise_makes_nobody_early_and_nobody_more_than_a_tenth_late(
            millis in prop_oneof![1..100_000_000_u64, 50_000..70_000_u64], noise: u64
        ) {
            let retry = Retry::After(Duration::from_millis(millis));
            let (seconds, told_millis, gives_up) = told(retry, noise);
            let told_millis = told_millis.unwrap();
            prop_assert!(told_millis >= millis && told_millis <= millis + millis / 10);
            prop_assert_eq!(seconds.unwrap(), told_millis.div_ceil(1_000));
            prop_assert_eq!(gives_up, millis > 60_000);
            prop_assert!(gives_up || told_millis <= 60_000, "a longer wait would be ignored");
        }
    }
}
