//! Keys that differ from one that decides money by nothing but the case of their letters.
//!
//! Some providers take them for that key, such as Ollama and what else is written in Go, and others ignore or refuse
//! them. So nobody can say here what such a request asks for. No client writes them.

use super::InspectError;
use crate::json::Text;

/// The keys that decide what a request can cost, of every format and at every depth.
const NAMES: [&str; 44] = [
    "additionalModelRequestFields",
    "background",
    "best_of",
    "budget_tokens",
    "cachedContent",
    "cached_content",
    "candidateCount",
    "candidate_count",
    "contents",
    "conversation",
    "fallbacks",
    "generationConfig",
    "generation_config",
    "include_usage",
    "inferenceConfig",
    "inference_geo",
    "input",
    "inputs",
    "instructions",
    "maxOutputTokens",
    "maxTokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "max_uses",
    "messages",
    "model",
    "n",
    "num_predict",
    "options",
    "previous_response_id",
    "prompt",
    "search_parameters",
    "serviceTier",
    "service_tier",
    "speed",
    "stream",
    "stream_options",
    "thinking",
    "toolConfig",
    "tools",
    "type",
    "web_search_options",
];

/// Refuses a key that a provider could take for one that decides money.
pub(super) fn check(key: Text<'_>) -> Result<(), InspectError> {
    let raw = key.raw();
    let found = if raw.is_ascii() && !raw.contains(&b'\\') {
        NAMES.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(raw)).filter(|name| name.as_bytes() != raw)
    } else {
        key.decode().and_then(|text| NAMES.iter().find(|name| same(&text, name)).filter(|name| **name != text))
    };
    found.map_or(Ok(()), |&field| Err(InspectError::Misspelled { field }))
}

/// Whether two keys are the same but for the case of their letters. Two letters beyond ASCII have one in it as their
/// small form.
fn same(text: &str, name: &str) -> bool {
    let small = |char: char| match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    text.chars().map(small).eq(name.chars().map(|char| char.to_ascii_lowercase()))
}
