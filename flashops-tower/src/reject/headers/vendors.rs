//! The header families of vendors: limit, remaining and reset, each in a header of its own.

use std::cmp::Ordering;
use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use flashops_core::limit::{Mode, Resource};
use flashops_core::store::Standing;
use http::HeaderValue;
use jiff::Timestamp;

use super::Shown;
use super::names::{
    ANTHROPIC_INPUT_TOKENS, ANTHROPIC_OUTPUT_TOKENS, ANTHROPIC_REQUESTS, ANTHROPIC_TOKENS, LEGACY, OPENAI_REQUESTS,
    OPENAI_TOKENS, Trio,
};
use super::notice::Told;
use crate::reject::text::{Line, Text, whole_millis, whole_seconds};

/// Room for a number, a Go duration or a date.
type Value = Line<40>;

/// `X-RateLimit-*` for the request limit with least left, or for the limit of any kind with the smallest share left.
pub(super) fn legacy(out: &mut impl Told, shown: Shown<'_>, now: UnixSeconds) {
    let tightest = tightest(shown, Resource::Requests)
        .or_else(|| enforced(shown).map(|(standing, _)| standing).min_by(|a, b| by_share(a, b)));
    if let Some(standing) = tightest {
        trio(out, LEGACY, standing, |reset, out| out.number(unix(now, reset)));
    }
}

/// `x-ratelimit-*-requests` and `x-ratelimit-*-tokens`, with durations as Go writes them.
pub(super) fn open_ai(out: &mut impl Told, shown: Shown<'_>) {
    for (resource, names) in [(Resource::Requests, OPENAI_REQUESTS), (Resource::Tokens, OPENAI_TOKENS)] {
        if let Some(standing) = tightest(shown, resource) {
            trio(out, names, standing, |reset, out| out.go_duration(whole_millis(reset)));
        }
    }
}

/// `anthropic-ratelimit-*`, with instants of RFC 3339.
pub(super) fn anthropic(out: &mut impl Told, shown: Shown<'_>, now: UnixSeconds) {
    for (resource, names) in [
        (Resource::Requests, ANTHROPIC_REQUESTS),
        (Resource::Tokens, ANTHROPIC_TOKENS),
        (Resource::InputTokens, ANTHROPIC_INPUT_TOKENS),
        (Resource::OutputTokens, ANTHROPIC_OUTPUT_TOKENS),
    ] {
        if let Some(standing) = tightest(shown, resource) {
            trio(out, names, standing, |reset, out| rfc3339(unix(now, reset), out));
        }
    }
}

fn enforced<'s>(shown: Shown<'s>) -> impl Iterator<Item = (&'s Standing, Resource)> {
    let enforced = shown.iter().filter(|(_, advert)| advert.mode == Mode::Enforce);
    enforced.map(|(standing, advert)| (standing, advert.resource))
}

/// The limit on this resource with least left; of several, the one that stays so for longest.
fn tightest<'s>(shown: Shown<'s>, resource: Resource) -> Option<&'s Standing> {
    let of_resource = enforced(shown).filter(|(_, other)| *other == resource).map(|(standing, _)| standing);
    of_resource.min_by(|a, b| a.remaining().cmp(&b.remaining()).then(b.reset.cmp(&a.reset)))
}

/// By the share that is left: amounts of different resources cannot be compared otherwise.
fn by_share(a: &Standing, b: &Standing) -> Ordering {
    let product = |left: &Standing, whole: &Standing| u128::from(left.remaining()) * u128::from(whole.amount.max(1));
    product(a, b).cmp(&product(b, a))
}

fn trio(out: &mut impl Told, names: Trio, standing: &Standing, reset: impl Fn(Duration, &mut Value)) {
    let [limit, remaining, until] = names;
    out.vendor(limit, value(|out| out.number(standing.amount)));
    out.vendor(remaining, value(|out| out.number(standing.remaining())));
    if let Some(wait) = standing.reset {
        out.vendor(until, value(|out| reset(wait, out)));
    }
}

/// A value; none if nothing is written.
fn value(write: impl FnOnce(&mut Value)) -> Option<HeaderValue> {
    let mut line = Value::default();
    write(&mut line);
    HeaderValue::from_bytes(line.as_bytes()).ok().filter(|value| !value.is_empty())
}

/// The instant as seconds since 1970, rounded up.
fn unix(now: UnixSeconds, wait: Duration) -> u64 {
    u64::try_from(now.0).unwrap_or(0).saturating_add(whole_seconds(wait))
}

/// Writes an instant in UTC to the second; nothing beyond the year 9999.
fn rfc3339(seconds: u64, out: &mut Value) {
    if let Some(instant) = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        out.raw(&instant.to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(seconds: u64) -> String {
        let mut line = Value::default();
        rfc3339(seconds, &mut line);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    /// Counts through all years and months: too slow to be clever.
    fn by_counting(seconds: u64) -> String {
        let (mut days, mut year) = (seconds / 86_400, 1970);
        let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let mut month = 0;
        let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        while days >= lengths[month] {
            days -= lengths[month];
            month += 1;
        }
        let time = seconds % 86_400;
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, days + 1)
    }

    #[test]
    fn known_instants_are_written_as_the_provider_writes_them() {
        assert_eq!(written(1_755_780_059), "2025-08-21T12:40:59Z");
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(253_402_207_200), "9999-12-30T22:00:00Z");
        assert_eq!(written(u64::MAX), "");
    }

    proptest! {
        #[test]
        fn an_instant_is_the_one_that_counting_finds(seconds in 0..=253_402_207_200_u64) {
            prop_assert_eq!(written(seconds), by_counting(seconds));
        }
    }
}
