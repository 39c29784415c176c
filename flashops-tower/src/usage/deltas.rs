//! How much text an event brings, found without reading the event as JSON.
//!
//! A quote inside a JSON string is escaped, so the bytes `"delta"` are that key, or a string that happens to say so and
//! has no colon behind it. From there on only the value of the key is walked. Text is measured as the client will see
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

/// The members of a delta that are written by the model.
const TEXT_KEYS: [&[u8]; 11] = [
    b"content",
    b"text",
    b"arguments",
    b"reasoning_content",
    b"reasoning",
    b"refusal",
    b"thinking",
    b"partial_json",
    b"transcript",
    b"name",
    b"input",
];

static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

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
    pub(super) fn of(payload: &[u8]) -> Self {
        let mut deltas = Self::default();
        let mut at = 0;
        while let Some(found) = DELTA.find(&payload[at..]) {
            at += found + DELTA.needle().len();
            let Some(start) = value_of(payload, at) else {
                continue;
            };
            let walk = match payload[start] {
                b'"' => Walk::string(payload, start),
                b'{' => Walk::object(payload, start),
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

/// Whether a key `usage` has a value other than null, at whatever depth.
pub(super) fn has_usage(payload: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = USAGE.find(&payload[at..]) {
        at += found + USAGE.needle().len();
        if value_of(payload, at).is_some_and(|start| payload[start] != b'n') {
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

    /// Over an object: the strings below the keys of [`TEXT_KEYS`] are text.
    fn object(payload: &[u8], brace: usize) -> Self {
        let mut walk = Self { at: brace, bytes: 0, open: false };
        let (mut depth, mut counts) = (0_usize, false);
        while let Some(&byte) = payload.get(walk.at) {
            match byte {
                b'"' => walk.string_inside(payload, &mut counts),
                b'{' | b'[' => {
                    depth += 1;
                    walk.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    walk.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => walk.at += 1,
            }
        }
        walk
    }

    fn string_inside(&mut self, payload: &[u8], counts: &mut bool) {
        let string = Quoted::read(payload, self.at);
        let start = self.at + 1;
        self.at = string.end;
        if string.closed && value_of_is_next(payload, string.end) {
            let name = &payload[start..string.end - 1];
            *counts = TEXT_KEYS.contains(&name);
        } else if *counts {
            self.bytes += string.bytes;
            self.open = !string.closed;
        }
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
    fn read(payload: &[u8], quote: usize) -> Self {
        let (mut at, mut bytes) = (quote + 1, 0);
        loop {
            let rest = payload.get(at..).unwrap_or_default();
            let Some(run) = memchr2(b'"', b'\\', rest) else {
                return Self { end: payload.len(), bytes: bytes + rest.len() as u64, closed: false };
            };
            bytes += run as u64;
            at += run;
            if payload[at] == b'"' {
                return Self { end: at + 1, bytes, closed: true };
            }
            let (raw, decoded) = escape(&payload[at..]);
            at += raw;
            bytes += decoded;
        }
    }
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
        let deltas = Deltas::of(payload.as_bytes());
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
        assert_eq!(Deltas::of(payload), Deltas { count: 1, bytes: 9, open: true });
        for end in 0..payload.len() {
            let _ = Deltas::of(&payload[..end]);
            let _ = Deltas::of(&[&payload[..end], b"\\"].concat());
            let _ = Deltas::of(&[&payload[..end], b"\\u12"].concat());
        }
    }

    #[test]
    fn a_null_usage_is_none() {
        assert!(!has_usage(br#"{"usage":null,"x":{"usage" : null}}"#));
        assert!(!has_usage(br#"{"x":"usage"}"#));
        assert!(has_usage(br#"{"usage":null,"message":{"usage" : {}}}"#));
    }
}
