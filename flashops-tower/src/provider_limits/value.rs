//! Header values: numbers, durations, instants.

use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The most digits of a number before its point, and behind it: as many as RFC 9651 has before it.
const MAX_DIGITS: usize = 15;

const NANOS: u128 = 1;
const MICROS: u128 = 1_000;
const MILLIS: u128 = 1_000_000;
const SECONDS: u128 = 1_000_000_000;

pub(super) fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

/// A whole number, at least 0.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_number = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A duration as Go writes it, such as `6m0s` or `20ms`, or a number of seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Some(seconds) = decimal(text, SECONDS) {
        return Some(seconds);
    }
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !is_of_number(c))?;
        let (digits, tail) = rest.split_at(number);
        let end = tail.find(is_of_number).unwrap_or(tail.len());
        sum = sum.checked_add(decimal(digits, unit(&tail[..end])?)?)?;
        rest = &tail[end..];
    }
    Some(sum).filter(|_| !text.is_empty())
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

fn unit(name: &str) -> Option<u128> {
    Some(match name {
        "h" => 3_600 * SECONDS,
        "m" => 60 * SECONDS,
        "s" => SECONDS,
        "ms" => MILLIS,
        "us" => MICROS,
        "ns" => NANOS,
        _ => return None,
    })
}

/// A decimal number of milliseconds.
pub(super) fn millis(text: &str) -> Option<Duration> {
    decimal(text, MILLIS)
}

/// A decimal number of a unit in nanoseconds, rounded up.
fn decimal(text: &str, unit: u128) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let (whole, digits) = (number(whole)?, part.len());
    let part = u128::from(number(part)?) * unit;
    let nanos = u128::from(whole) * unit + part.div_ceil(10_u128.pow(u32::try_from(digits).ok()?));
    let seconds = u64::try_from(nanos / SECONDS).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % SECONDS).ok()?))
}

/// How long it is until an instant of RFC 3339, such as `2025-08-21T12:40:59Z`; nothing if it has passed.
pub(super) fn until_instant(text: &str, now: UnixSeconds) -> Option<Duration> {
    let instant: Timestamp = text.parse().ok()?;
    let seconds = instant.as_second().saturating_add(i64::from(instant.subsec_nanosecond() > 0));
    Some(UnixSeconds(seconds).since(now))
}

/// A date of HTTP, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn date(text: &str) -> Option<UnixSeconds> {
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(UnixSeconds(date.as_second()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("6m0s", 360_000_000_000),
            ("1s", 1_000_000_000),
            ("20ms", 20_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("1m30.951s", 90_951_000_000),
            ("7.66s", 7_660_000_000),
            ("0s", 0),
            ("250us", 250_000),
            ("1.0000000001s", 1_000_000_001),
            ("59", 59_000_000_000),
            ("0.5", 500_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in ["", "s", "1x", "-1s", "1s1", "1.s", ".5s", "1m-3s", "1 s", "1e3s", "1234567890123456s", "١s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn instants_and_dates_are_read_and_those_that_have_passed_are_no_wait() {
        let now = UnixSeconds(1_755_780_000);
        assert_eq!(until_instant("2025-08-21T12:40:59Z", now), Some(Duration::from_secs(59)));
        assert_eq!(until_instant("2025-08-21T12:40:58.001Z", now), Some(Duration::from_secs(59)));
        assert_eq!(until_instant("2025-08-21T12:39:00Z", now), Some(Duration::ZERO));
        assert_eq!(until_instant("tomorrow", now), None);
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(UnixSeconds(784_111_777)));
        assert_eq!(date("784111777"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "[0-9.hmsun:TZ-]{0,24}") {
            let _ = (duration(&text), until_instant(&text, UnixSeconds(0)), date(&text), number(&text), millis(&text));
        }

        #[test]
        fn a_number_of_milliseconds_is_that_many(millis in 0..10_000_000_u64) {
            prop_assert_eq!(super::millis(&millis.to_string()), Some(Duration::from_millis(millis)));
            let text = format!("{}m{}.{:03}s", millis / 60_000, millis / 1_000 % 60, millis % 1_000);
            prop_assert_eq!(duration(&text), Some(Duration::from_millis(millis)));
        }
    }
}
