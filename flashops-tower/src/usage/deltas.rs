//! How much text an event brings, found without reading the event as JSON.
//!
//! A quote inside a JSON string is escaped, so the bytes `"delta"` are that key, or a string that happens to say so and
//! has no colon behind it. From there on only the value of the key is walked. Each format has its key; most have that
//! one. Text is measured as the client will see
//! it, escapes resolved, in bytes of UTF-8.
//!
//! Edge cases: a value that is not closed counts up to the end of the payload, so that a stream cut inside an event has
//! brought what it brought. What is inside a delta but no text of the model (roles, ids, signatures, padding) does not
//! count.
//!
//! What this module does not do: check that the event is valid JSON.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use crate::inspect::WireFormat;

/// Whether a member of a delta is written by the model.
fn is_of_delta(key: &[u8]) -> bool {
    matches!(
        key,
        b"content"
            | b"text"
            | b"arguments"
            | b"reasoning_content"
            | b"reasoning"
            | b"refusal"
            | b"thinking"
            | b"partial_json"
            | b"transcript"
            | b"name"
            | b"input"
            | b"tool_plan"
    )
}

/// Whether a member of a part of Gemini's, or of a message of Ollama's, is. The arguments of a tool call are JSON
/// there, whose keys can be any.
fn is_of_part(key: &[u8]) -> bool {
    !matches!(
        key,
        b"thoughtSignature"
            | b"mimeType"
            | b"data"
            | b"fileUri"
            | b"id"
            | b"role"
            | b"images"
            | b"finishReason"
            | b"tool_name"
    )
}

static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\""));
static CHOICES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"choices\""));
static PARTS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"parts\""));
static MESSAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message\""));
static RESPONSE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"response\""));
static THINKING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"thinking\""));
static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"done\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static GROUNDING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"groundingMetadata\""));
static USAGE_METADATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usageMetadata\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// The text in one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deltas {
    /// Deltas that bring text.
    pub(super) count: u64,
    /// Bytes of text in them.
    pub(super) bytes: u64,
    /// The payload ends inside a text.
    pub(super) open: bool,
}

impl Deltas {
    pub(super) fn of(format: WireFormat, payload: &[u8]) -> Self {
        match format {
            WireFormat::OpenAiCompletions => Self::below(&CHOICES, |key| key == b"text", payload),
            WireFormat::Gemini => Self::below(&PARTS, is_of_part, payload),
            // The lines of a chat have a message, those of a completion a response, and some of both only thoughts.
            WireFormat::Ollama => [&MESSAGE, &RESPONSE, &THINKING]
                .into_iter()
                .map(|key| Self::below(key, is_of_part, payload))
                .find(|deltas| deltas.count > 0)
                .unwrap_or_default(),
            _ => Self::below(&DELTA, is_of_delta, payload),
        }
    }

    /// The text in the values of a key, as far as it is below members that are text.
    fn below(key: &Finder<'_>, is_text: impl Fn(&[u8]) -> bool + Copy, payload: &[u8]) -> Self {
        let mut deltas = Self::default();
        let mut at = 0;
        while let Some(found) = next(key, payload, at) {
            at = found;
            let Some(start) = value_of(payload, at) else {
                continue;
            };
            let walk = match payload[start] {
                b'"' => Walk::string(payload, start),
                b'{' | b'[' => Walk::inside(payload, start, is_text),
                _ => continue,
            };
            at = walk.at;
            deltas.count += u64::from(walk.bytes > 0);
            deltas.bytes += walk.bytes;
            deltas.open = walk.open;
        }
        deltas
    }
}

/// Where the next occurrence of a key ends.
fn next(key: &Finder<'_>, payload: &[u8], at: usize) -> Option<usize> {
    let (rest, length) = (payload.get(at..)?, key.needle().len());
    // Behind a delta there are often only braces, and setting up a search is not free.
    if rest.len() <= length {
        return None;
    }
    Some(at + key.find(rest)? + length)
}

/// Whether an event that brings text may say more than that: usage, or that it is the last one.
pub(super) fn says_more(format: WireFormat, payload: &[u8]) -> bool {
    match format {
        // Each event has its usage.
        WireFormat::Gemini => true,
        WireFormat::Ollama => has(&DONE, payload, |first| first == b't'),
        _ => has_usage(payload),
    }
}

/// Whether what an event with text and usage says is said again by the next one: with Gemini and xAI each has the usage
/// of the stream so far, and the tariff if it says one.
pub(super) fn is_said_again(format: WireFormat, payload: &[u8]) -> bool {
    let has_usage = match format {
        // What was searched for is not said again.
        WireFormat::Gemini => USAGE_METADATA.find(payload).is_some() && GROUNDING.find(payload).is_none(),
        WireFormat::XaiChat => true,
        _ => false,
    };
    has_usage && ERROR.find(payload).is_none()
}

/// Whether a key `usage` has a value other than null, at whatever depth.
fn has_usage(payload: &[u8]) -> bool {
    has(&USAGE, payload, |first| first != b'n')
}

/// Whether a key has a value that begins so, at whatever depth.
fn has(key: &Finder<'_>, payload: &[u8], begins: fn(u8) -> bool) -> bool {
    let mut at = 0;
    while let Some(found) = next(key, payload, at) {
        at = found;
        if value_of(payload, at).is_some_and(|start| begins(payload[start])) {
            return true;
        }
    }
    false
}

/// Whether a key `usage` can be in this text at all.
pub(super) fn mentions_usage(text: &[u8]) -> bool {
    USAGE.find(text).is_some()
}

/// The offset of the value, if what ends at `at` is a key.
fn value_of(payload: &[u8], at: usize) -> Option<usize> {
    let colon = after_space(payload, at);
    if payload.get(colon) != Some(&b':') {
        return None;
    }
    let value = after_space(payload, colon + 1);
    (value < payload.len()).then_some(value)
}

fn after_space(payload: &[u8], mut at: usize) -> usize {
    while matches!(payload.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// A walk over one value.
#[derive(Clone, Copy, Debug)]
struct Walk {
    at: usize,
    bytes: u64,
    open: bool,
}

impl Walk {
    /// Over a string: all of it is text.
    fn string(payload: &[u8], quote: usize) -> Self {
        let string = Quoted::read(payload, quote);
        Self { at: string.end, bytes: string.bytes, open: !string.closed }
    }

    /// Over an object or a list: some of its strings are text.
    fn inside(payload: &[u8], brace: usize, is_text: impl Fn(&[u8]) -> bool) -> Self {
        let mut walk = Self { at: payload.len(), bytes: 0, open: false };
        let (mut at, mut depth, mut counts) = (brace, 0_usize, false);
        while let Some(&byte) = payload.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let string = Quoted::read(payload, at - 1);
                    if string.closed && value_of_is_next(payload, string.end) {
                        counts = is_text(&payload[at..string.end - 1]);
                    } else if counts {
                        walk.bytes += string.bytes;
                        walk.open = !string.closed;
                    }
                    at = string.end;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        walk.at = at;
                        break;
                    }
                }
                _ => {}
            }
        }
        walk
    }
}

fn value_of_is_next(payload: &[u8], at: usize) -> bool {
    payload.get(after_space(payload, at)) == Some(&b':')
}

/// A string from its quote to its end.
#[derive(Clone, Copy, Debug)]
struct Quoted {
    /// Behind the closing quote, or the end of the payload.
    end: usize,
    /// Its length in UTF-8, escapes resolved.
    bytes: u64,
    closed: bool,
}

impl Quoted {
    #[inline]
    fn read(payload: &[u8], quote: usize) -> Self {
        let start = quote + 1;
        let end = run_end(payload, start);
        match payload.get(end) {
            Some(b'"') => Self { end: end + 1, bytes: (end - start) as u64, closed: true },
            _ => Self::read_on(payload, start, end),
        }
    }

    /// The rest of a string that has an escape at `at`, or is not closed.
    #[inline(never)]
    fn read_on(payload: &[u8], start: usize, mut at: usize) -> Self {
        let mut bytes = (at - start) as u64;
        loop {
            match payload.get(at) {
                Some(b'"') => return Self { end: at + 1, bytes, closed: true },
                Some(_) => {
                    let (raw, decoded) = escape(&payload[at..]);
                    at = (at + raw).min(payload.len());
                    bytes += decoded;
                }
                None => return Self { end: at, bytes, closed: false },
            }
            let end = run_end(payload, at);
            bytes += (end - at) as u64;
            at = end;
        }
    }
}

/// Where the first quote or backslash from `at` on is. Keys and single words end within a few steps of eight bytes, for
/// which memchr is slow to start.
#[inline]
fn run_end(payload: &[u8], mut at: usize) -> usize {
    for _ in 0..SHORT_STEPS {
        let Some(chunk) = payload.get(at..).and_then(<[u8]>::first_chunk::<8>) else { break };
        let hits = quote_or_slash(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + long_run(payload.get(at..).unwrap_or_default())
}

#[inline(never)]
fn long_run(rest: &[u8]) -> usize {
    let run = if rest.len() < 8 {
        rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))
    } else {
        memchr2(b'"', b'\\', rest)
    };
    run.unwrap_or(rest.len())
}

const SHORT_STEPS: usize = 4;

/// The high bit of each byte that is a quote or a backslash; bits above the lowest one can be wrong.
const fn quote_or_slash(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    (quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash) & (ONES * 0x80)
}

/// How many bytes an escape takes, and how many it stands for. Half a surrogate pair stands for two of the four.
fn escape(text: &[u8]) -> (usize, u64) {
    if text.get(1) != Some(&b'u') {
        return (2, 1);
    }
    let digit = |&b: &u8| char::from(b).to_digit(16);
    let unit = text.get(2..6).map(|digits| digits.iter().filter_map(digit).fold(0, |n, d| n * 16 + d));
    match unit {
        Some(0..0x80) => (6, 1),
        Some(0x80..0x800 | 0xD800..0xE000) => (6, 2),
        Some(_) => (6, 3),
        None => (text.len(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(payload: &str) -> (u64, u64) {
        let deltas = Deltas::of(WireFormat::OpenAiChat, payload.as_bytes());
        (deltas.count, deltas.bytes)
    }

    #[test]
    fn only_the_text_of_the_model_counts() {
        let cases = [
            (r#"{"choices":[{"delta":{"content":"Hello"}}]}"#, (1, 5)),
            (r#"{"choices": [{"delta": {"content": "a", "role": "assistant"}}]}"#, (1, 1)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, (0, 0)),
            (r#"{"choices":[{"delta":{}}],"obfuscation":"padding"}"#, (0, 0)),
            (r#"{"choices":[{"delta":{"content":"ab"}},{"delta":{"content":"c"}}]}"#, (2, 3)),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"id":"x","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
                (1, 8),
            ),
            (r#"{"type":"response.output_text.delta","delta":"word","obfuscation":"zz"}"#, (1, 4)),
            (r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#, (1, 2)),
            (r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"AAAA"}}"#, (0, 0)),
            (r#"{"choices":[{"delta":{"content":"say \"delta\": no"}}]}"#, (1, 15)),
            (r#"{"choices":[{"delta":{"content":["ab",{"type":"text","text":"cd"}]}}]}"#, (1, 4)),
            (r#"{"a":"delta","b":1}"#, (0, 0)),
        ];
        for (payload, expected) in cases {
            assert_eq!(deltas(payload), expected, "{payload}");
        }
    }

    #[test]
    fn each_format_has_its_text_where_the_provider_puts_it() {
        let cases = [
            (WireFormat::OpenAiCompletions, r#"{"choices":[{"text":" Hi","logprobs":{"tokens":[" Hi"]}}]}"#, (1, 3)),
            (WireFormat::OpenAiCompletions, r#"{"choices":[],"usage":{}}"#, (0, 0)),
            (
                WireFormat::Gemini,
                r#"{"candidates":[{"content":{"parts":[{"text":"Hel"},{"text":"lo","thought":true,"thoughtSignature":"AAAA"}],"role":"model"}}]}"#,
                (1, 5),
            ),
            (
                WireFormat::Gemini,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":"abc"}}}]}}]}"#,
                (1, 4),
            ),
            (WireFormat::Gemini, r#"{"candidates":[{"content":{"parts":[{"inlineData":{"data":"AAAA"}}]}}]}"#, (0, 0)),
            (WireFormat::BedrockConverse, r#"{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abcd"}"#, (1, 2)),
            (WireFormat::BedrockConverse, r#"{"delta":{"toolUse":{"input":"{}"}}}"#, (1, 2)),
            (
                WireFormat::CohereChat,
                r#"{"type":"content-delta","delta":{"message":{"content":{"text":"Hi"}}}}"#,
                (1, 2),
            ),
            (WireFormat::CohereChat, r#"{"delta":{"message":{"tool_plan":"I"}}}"#, (1, 1)),
            (WireFormat::Ollama, r#"{"message":{"role":"assistant","content":"Hi"},"done":false}"#, (1, 2)),
            (WireFormat::Ollama, r#"{"response":"Hi","done":false}"#, (1, 2)),
            (WireFormat::Ollama, r#"{"response":"","thinking":"Hm","done":false}"#, (1, 2)),
            (WireFormat::Ollama, r#"{"message":{"tool_calls":[{"function":{"arguments":{"x":"ab"}}}]}}"#, (1, 2)),
        ];
        for (format, payload, expected) in cases {
            let deltas = Deltas::of(format, payload.as_bytes());
            assert_eq!((deltas.count, deltas.bytes), expected, "{payload}");
        }
    }

    #[test]
    fn escaped_text_has_the_length_that_the_client_sees() {
        for text in ["é", "سلام", "a\n\t\"", "\u{1F600}x", "\\u"] {
            let plain = serde_json::json!({"delta": text}).to_string();
            let escaped: String = plain
                .encode_utf16()
                .map(|unit| match unit {
                    32..=126 => char::from_u32(u32::from(unit)).unwrap().to_string(),
                    unit => format!("\\u{unit:04x}"),
                })
                .collect();
            assert_eq!(deltas(&plain).1, text.len() as u64);
            assert_eq!(deltas(&escaped).1, text.len() as u64);
        }
    }

    #[test]
    fn a_delta_that_is_cut_counts_up_to_the_cut() {
        let payload = br#"{"choices":[{"delta":{"content":"Hello wor"#;
        assert_eq!(Deltas::of(WireFormat::OpenAiChat, payload), Deltas { count: 1, bytes: 9, open: true });
        for end in 0..payload.len() {
            let _ = Deltas::of(WireFormat::OpenAiChat, &payload[..end]);
            let _ = Deltas::of(WireFormat::OpenAiChat, &[&payload[..end], b"\\"].concat());
            let _ = Deltas::of(WireFormat::OpenAiChat, &[&payload[..end], b"\\u12"].concat());
        }
    }

    #[test]
    fn a_null_usage_is_none() {
        assert!(!has_usage(br#"{"usage":null,"x":{"usage" : null}}"#));
        assert!(!has_usage(br#"{"x":"usage"}"#));
        assert!(has_usage(br#"{"usage":null,"message":{"usage" : {}}}"#));
    }
}
