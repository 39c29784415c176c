//! What the headers of a response say about the limits of its provider.

use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use flashops_core::limit::Resource;
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::list;
use super::told::{LimitId, Said, Told};
use super::value;
use crate::reject::headers::RETRY_AFTER_MS;

/// A limit that has three headers of its own.
struct Trio {
    resource: Resource,
    /// Limit, remaining and reset.
    names: [HeaderName; 3],
    late_output: bool,
}

const fn open_ai(resource: Resource, names: [&'static str; 3]) -> Trio {
    Trio { resource, names: headers(names), late_output: false }
}

/// Anthropic counts output as it is produced.
const fn anthropic(resource: Resource, names: [&'static str; 3]) -> Trio {
    let late_output = matches!(resource, Resource::Tokens | Resource::OutputTokens);
    Trio { resource, names: headers(names), late_output }
}

const fn headers([limit, remaining, reset]: [&'static str; 3]) -> [HeaderName; 3] {
    [HeaderName::from_static(limit), HeaderName::from_static(remaining), HeaderName::from_static(reset)]
}

static TRIOS: [Trio; 7] = [
    open_ai(
        Resource::Requests,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ),
    open_ai(Resource::Tokens, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
    open_ai(
        Resource::Tokens,
        [
            "x-ratelimit-limit-project-tokens",
            "x-ratelimit-remaining-project-tokens",
            "x-ratelimit-reset-project-tokens",
        ],
    ),
    anthropic(
        Resource::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    anthropic(
        Resource::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    anthropic(
        Resource::InputTokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    anthropic(
        Resource::OutputTokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

/// Reads the headers of a response with this status. Instants are taken as the provider's own clock has them, where the
/// response says its date; else as ours does.
pub(super) fn read(headers: &HeaderMap, status: StatusCode, now: UnixSeconds) -> Told {
    let mut told = Told::default();
    let now = headers.get(DATE).and_then(value::text).and_then(value::date).unwrap_or(now);
    for (place, trio) in (0..).zip(&TRIOS) {
        trio.read(LimitId(place), headers, now, &mut told);
    }
    list::read(headers, &mut told);
    if asks_to_wait(status) {
        told.retry = retry(headers, now, &mut told.malformed);
    }
    told
}

/// 529 is Anthropic's word for 503.
fn asks_to_wait(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 503 | 529)
}

impl Trio {
    /// What says no number, or not how long, says nothing.
    fn read(&self, id: LimitId, headers: &HeaderMap, now: UnixSeconds, told: &mut Told) {
        let [limit, remaining, until] = &self.names;
        let (Some(remaining), Some(until)) = (headers.get(remaining), headers.get(until)) else { return };
        let number = |value| value::text(value).and_then(value::number);
        let (Some(remaining), Some(reset)) = (number(remaining), reset(until, now)) else {
            told.malformed += 1;
            return;
        };
        let limit = headers.get(limit).map(number);
        told.malformed += u64::from(limit == Some(None));
        let Self { resource, late_output, .. } = *self;
        told.limits.push(Said { id, resource, limit: limit.flatten(), remaining, reset, late_output });
    }
}

/// A duration, or how long it is until an instant: who writes which header is not asked.
fn reset(value: &HeaderValue, now: UnixSeconds) -> Option<Duration> {
    let text = value::text(value)?;
    value::duration(text).or_else(|| value::until_instant(text, now))
}

/// `retry-after-ms`, else `Retry-After`, in seconds or as a date; nothing if that has passed.
fn retry(headers: &HeaderMap, now: UnixSeconds, malformed: &mut u64) -> Option<Duration> {
    let seconds = |text: &str| value::duration(text).or_else(|| Some(value::date(text)?.since(now)));
    let mut read = |name, understand: &dyn Fn(&str) -> Option<Duration>| {
        let wait = value::text(headers.get(name)?).and_then(understand);
        *malformed += u64::from(wait.is_none());
        wait
    };
    read(RETRY_AFTER_MS, &value::millis).or_else(|| read(RETRY_AFTER, &seconds)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2025-08-21T12:40:00Z.
    const NOW: UnixSeconds = UnixSeconds(1_755_780_000);

    fn told(status: u16, lines: &[(&str, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        read(&headers, StatusCode::from_u16(status).unwrap(), NOW)
    }

    fn numbers(told: &Told) -> Vec<(Resource, Option<u64>, u64, u64)> {
        told.limits.iter().map(|said| (said.resource, said.limit, said.remaining, said.reset.as_secs())).collect()
    }

    #[test]
    fn what_open_ai_says_is_read() {
        let told = told(
            200,
            &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
                ("x-ratelimit-limit-project-tokens", "9000"),
                ("x-ratelimit-remaining-project-tokens", "8000"),
                ("x-ratelimit-reset-project-tokens", "3s"),
            ],
        );
        let expected = [
            (Resource::Requests, Some(60), 59, 1),
            (Resource::Tokens, Some(150_000), 149_984, 360),
            (Resource::Tokens, Some(9_000), 8_000, 3),
        ];
        assert_eq!((numbers(&told), told.retry, told.malformed), (expected.to_vec(), None, 0));
        assert!(told.limits.iter().all(|said| !said.late_output));
    }

    #[test]
    fn what_anthropic_says_is_read() {
        let told = told(
            200,
            &[
                ("anthropic-ratelimit-requests-limit", "1000"),
                ("anthropic-ratelimit-requests-remaining", "999"),
                ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:01Z"),
                ("anthropic-ratelimit-tokens-limit", "96000"),
                ("anthropic-ratelimit-tokens-remaining", "95000"),
                ("anthropic-ratelimit-tokens-reset", "2025-08-21T12:40:59Z"),
                ("anthropic-ratelimit-input-tokens-limit", "80000"),
                ("anthropic-ratelimit-input-tokens-remaining", "80000"),
                ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:00Z"),
                ("anthropic-ratelimit-output-tokens-limit", "16000"),
                ("anthropic-ratelimit-output-tokens-remaining", "15000"),
                ("anthropic-ratelimit-output-tokens-reset", "2025-08-21T12:41:00Z"),
            ],
        );
        let expected = [
            (Resource::Requests, Some(1_000), 999, 1),
            (Resource::Tokens, Some(96_000), 95_000, 59),
            (Resource::InputTokens, Some(80_000), 80_000, 0),
            (Resource::OutputTokens, Some(16_000), 15_000, 60),
        ];
        assert_eq!((numbers(&told), told.malformed), (expected.to_vec(), 0));
        assert_eq!(told.limits.iter().map(|said| said.late_output).collect::<Vec<_>>(), [false, true, false, true]);
    }

    #[test]
    fn an_instant_counts_from_the_date_of_the_response_whatever_our_clock_says() {
        let lines = |date| {
            [
                ("date", date),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2025-08-21T12:40:30Z"),
                ("retry-after", "Thu, 21 Aug 2025 12:40:31 GMT"),
            ]
        };
        let told = told(429, &lines("Thu, 21 Aug 2025 12:39:50 GMT"));
        assert_eq!((told.limits[0].reset.as_secs(), told.retry), (40, Some(Duration::from_secs(41))));
        let told = super::tests::told(429, &lines("whenever"));
        assert_eq!((told.limits[0].reset.as_secs(), told.retry), (30, Some(Duration::from_secs(31))));
    }

    #[test]
    fn a_wait_is_read_of_refusals_only_and_milliseconds_come_first() {
        let wait = |status, lines: &[(&str, &str)]| told(status, lines).retry.map(|wait| wait.as_millis());
        assert_eq!(wait(429, &[("retry-after", "20")]), Some(20_000));
        assert_eq!(wait(503, &[("retry-after", "20"), ("retry-after-ms", "1200")]), Some(1_200));
        assert_eq!(wait(529, &[("retry-after", "20"), ("retry-after-ms", "soon")]), Some(20_000));
        assert_eq!(wait(429, &[("retry-after", "Thu, 21 Aug 2025 12:00:00 GMT")]), None, "it has passed");
        assert_eq!(wait(429, &[("retry-after", "0")]), None);
        for status in [200, 301, 400, 500] {
            assert_eq!(wait(status, &[("retry-after", "20")]), None, "{status}");
        }
    }

    #[test]
    fn what_is_malformed_says_nothing_and_is_counted() {
        let trio = |limit, remaining, reset| {
            let told = told(
                200,
                &[
                    ("x-ratelimit-limit-requests", limit),
                    ("x-ratelimit-remaining-requests", remaining),
                    ("x-ratelimit-reset-requests", reset),
                ],
            );
            (told.limits.len(), told.malformed)
        };
        assert_eq!(trio("60", "59", "1s"), (1, 0));
        for (remaining, reset) in [("-1", "1s"), ("", "1s"), ("1.5", "1s"), ("many", "1s"), ("1", "later"), ("1", "")] {
            assert_eq!(trio("60", remaining, reset), (0, 1), "{remaining} {reset}");
        }
        assert_eq!(trio("none", "59", "1s"), (1, 1), "the rest of it is right");
        let told = told(429, &[("retry-after", "soon"), ("ratelimit", "r=1")]);
        assert_eq!((told.retry, told.malformed), (None, 2));
    }

    #[test]
    fn what_says_not_how_long_says_nothing() {
        let told = told(200, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-tokens", "1s")]);
        assert_eq!(told, Told::default());
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_counted(remaining in "[ -~]{0,12}", reset in "[ -~]{0,12}") {
            let told = told(429, &[
                ("x-ratelimit-remaining-tokens", &remaining),
                ("x-ratelimit-reset-tokens", &reset),
            ]);
            prop_assert_eq!(told.limits.len() as u64 + told.malformed, 1);
        }
    }
}
