//! Readers for tests, too simple to be wrong: they have the whole stream, and parse all of it.

use proptest::prelude::prop::sample::Index;
use serde_json::Value;

/// The stream, cut at these places.
pub(super) fn split<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

/// The payloads of all events, and whether each is named `error`. What follows the last event counts as one more.
pub(super) fn events(stream: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let stream = String::from_utf8_lossy(stream);
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(&stream);
    let lines = stream.replace("\r\n", "\n").replace('\r', "\n") + "\n\n";
    let (mut events, mut data, mut name) = (Vec::new(), Vec::new(), "");
    for line in lines.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (line, field) {
            ("", _) => {
                if !data.is_empty() {
                    events.push((data.join("\n").into_bytes(), name == "error"));
                }
                (data, name) = (Vec::new(), "");
            }
            (_, "data") => data.push(value.to_owned()),
            (_, "event") => name = value,
            _ => {}
        }
    }
    events
}

/// The content deltas of a payload and the bytes of their text.
pub(super) fn deltas(payload: &Value) -> (u64, u64) {
    match payload {
        Value::Array(all) => all.iter().map(deltas).fold((0, 0), plus),
        Value::Object(all) => all
            .iter()
            .map(|(key, value)| match (key.as_str(), value) {
                ("delta", Value::String(text)) => (u64::from(!text.is_empty()), text.len() as u64),
                ("delta", Value::Object(_)) => {
                    let bytes = text(value, false);
                    (u64::from(bytes > 0), bytes)
                }
                _ => deltas(value),
            })
            .fold((0, 0), plus),
        _ => (0, 0),
    }
}

fn text(value: &Value, counts: bool) -> u64 {
    const KEYS: [&str; 5] = ["content", "text", "arguments", "thinking", "partial_json"];
    match value {
        Value::String(text) if counts => text.len() as u64,
        Value::Array(all) => all.iter().map(|value| text(value, counts)).sum(),
        Value::Object(all) => all.iter().map(|(key, value)| text(value, KEYS.contains(&key.as_str()))).sum(),
        _ => 0,
    }
}

fn plus(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}
