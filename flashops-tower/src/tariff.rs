//! The tariff that a request asks for, or that a response names.
//!
//! `OpenAI` and those that speak like it, Anthropic and Gemini have a word, Bedrock an object with a `type`. Gemini
//! writes its words in either case, and Vertex AI has another set of them.
//!
//! Edge cases: a word that names no tariff, such as `auto`, says nothing. Capacity that was bought in advance has no
//! price for a token, so it says nothing either.

use flashops_core::usage::ServiceTier;

use crate::json::{Cursor, Fault};

/// Where a request to Anthropic asks for its fast mode, and an answer says so.
pub(crate) const SPEED: &str = "speed";

/// Where a request to Anthropic asks for one country, and an answer says so.
pub(crate) const GEO: &str = "inference_geo";

/// Reads a value of [`SPEED`] or [`GEO`]: whether it makes tokens dearer; `None` for a value that nobody knows.
pub(crate) fn surcharge(cursor: &mut Cursor<'_>, field: &str) -> Result<Option<bool>, Fault> {
    if cursor.peek()? != b'"' {
        return cursor.skip().map(|()| None);
    }
    let (usual, dear) = if field == SPEED { ("standard", "fast") } else { ("global", "us") };
    let word = cursor.string()?;
    Ok(if word.is(dear) { Some(true) } else { word.is(usual).then_some(false) })
}

/// Vertex AI's words.
const TRAFFIC: [(&str, ServiceTier); 3] = [
    ("ON_DEMAND", ServiceTier::Standard),
    ("ON_DEMAND_FLEX", ServiceTier::Flex),
    ("ON_DEMAND_PRIORITY", ServiceTier::Priority),
];

/// Gemini's, in the case that its constants have.
const UPPER_CASE: [(&str, ServiceTier); 4] = [
    ("STANDARD", ServiceTier::Standard),
    ("BATCH", ServiceTier::Batch),
    ("FLEX", ServiceTier::Flex),
    ("PRIORITY", ServiceTier::Priority),
];

/// Reads a value that may name a tariff.
pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Option<ServiceTier>, Fault> {
    match cursor.peek()? {
        b'"' => Ok(cursor.string()?.decode().and_then(|word| of(&word))),
        b'{' => {
            let mut tariff = None;
            cursor.object(|cursor, key| {
                if key.is("type") && cursor.peek()? == b'"' {
                    tariff = cursor.string()?.decode().and_then(|word| of(&word));
                    return Ok(());
                }
                cursor.skip()
            })?;
            Ok(tariff)
        }
        _ => cursor.skip().map(|()| None),
    }
}

fn of(word: &str) -> Option<ServiceTier> {
    let mut others = TRAFFIC.iter().chain(&UPPER_CASE);
    ServiceTier::from_word(word).or_else(|| others.find(|(other, _)| *other == word).map(|(_, tariff)| *tariff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_providers_word_is_its_tariff_and_any_other_value_is_none() {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        for (text, tariff) in [
            (r#""default""#, Some(Standard)),
            (r#""standard""#, Some(Standard)),
            (r#""fle\u0078""#, Some(Flex)),
            (r#""batch""#, Some(Batch)),
            (r#""PRIORITY""#, Some(Priority)),
            (r#""ON_DEMAND""#, Some(Standard)),
            (r#""ON_DEMAND_FLEX""#, Some(Flex)),
            (r#""ON_DEMAND_PRIORITY""#, Some(Priority)),
            (r#"{"type":"priority"}"#, Some(Priority)),
            (r#"{"x":"flex","type":"default"}"#, Some(Standard)),
            (r#"{"type":["flex"]}"#, None),
            (r#""PROVISIONED_THROUGHPUT""#, None),
            (r#""scale""#, None),
            (r#""auto""#, None),
            (r#""Priority""#, None),
            ("null", None),
            ("7", None),
            (r#"["flex"]"#, None),
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!((read(&mut cursor), cursor.end()), (Ok(tariff), Ok(())), "{text}");
        }
    }
}
