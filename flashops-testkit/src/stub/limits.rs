//! What an answer says of rate limits, by directive.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;

use super::ask::{Ask, Format};
use super::wire::CREATED;

/// The amount of each limit that answers speak of; what is left can be more.
pub const LIMIT: u64 = 1_000;

/// The seconds until a limit resets, unless `[reset S]` names them.
const DEFAULT_RESET: u64 = 60;

/// The longest reset and wait, in seconds: what a date of this millennium has room for.
const MAX_SECONDS: u64 = 1_000_000_000;

/// Adds the headers that the prompt asks for.
pub(super) fn tell(headers: &mut HeaderMap, ask: &Ask) {
    let prompt = &ask.prompt;
    if let Some(seconds) = prompt.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    let reset = prompt.reset.unwrap_or(DEFAULT_RESET).min(MAX_SECONDS);
    for (resource, left) in [("requests", prompt.requests_left), ("tokens", prompt.tokens_left)] {
        if let Some(left) = left {
            match ask.format {
                Format::Messages => anthropic(headers, resource, left, reset),
                Format::Chat | Format::Embeddings | Format::Responses => open_ai(headers, resource, left, reset),
            }
        }
    }
}

fn open_ai(headers: &mut HeaderMap, resource: &str, left: u64, reset: u64) {
    insert(headers, &format!("x-ratelimit-limit-{resource}"), &LIMIT.to_string());
    insert(headers, &format!("x-ratelimit-remaining-{resource}"), &left.to_string());
    let reset = if reset < 60 { format!("{reset}s") } else { format!("{}m{}s", reset / 60, reset % 60) };
    insert(headers, &format!("x-ratelimit-reset-{resource}"), &reset);
}

/// With an instant, which counts from the date of the answer: constant, as all dates are here.
fn anthropic(headers: &mut HeaderMap, resource: &str, left: u64, reset: u64) {
    let instant = |seconds: u64| Timestamp::from_second(seconds.try_into().unwrap_or(0)).unwrap_or_default();
    insert(headers, &format!("anthropic-ratelimit-{resource}-limit"), &LIMIT.to_string());
    insert(headers, &format!("anthropic-ratelimit-{resource}-remaining"), &left.to_string());
    insert(headers, &format!("anthropic-ratelimit-{resource}-reset"), &instant(CREATED + reset).to_string());
    insert(headers, "date", &instant(CREATED).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
