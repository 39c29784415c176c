//! OpenAI embeddings.

use serde_json::{Map, Value, json};

use super::super::ask::Ask;
use super::super::prompt::Prompt;

/// Components of an embedding for which `dimensions` does not ask otherwise.
pub const DEFAULT_DIMENSIONS: u64 = 16;
/// The most components of an embedding.
pub const MAX_DIMENSIONS: u64 = 3_072;
/// The most inputs of one request.
pub const MAX_INPUTS: usize = 2_048;

/// Counts the tokens of an `input`: a text, a list of token ids, or a list of either.
pub(crate) fn read_input(input: Option<&Value>, prompt: &mut Prompt) -> Result<(), String> {
    const WRONG: &str = "Invalid 'input': expected a text, a list of token ids, or a list of either.";
    match input {
        Some(Value::String(text)) => prompt.add_text(text),
        Some(Value::Array(items)) if items.is_empty() => return Err(WRONG.to_owned()),
        Some(Value::Array(items)) if is_tokens(items) => prompt.words += items.len() as u64,
        Some(Value::Array(items)) if items.len() > MAX_INPUTS => {
            return Err(format!("Invalid 'input': more than {MAX_INPUTS} inputs."));
        }
        Some(Value::Array(items)) => {
            for item in items {
                match item {
                    Value::String(text) => prompt.add_text(text),
                    Value::Array(tokens) if is_tokens(tokens) => {
                        prompt.words += tokens.len() as u64;
                    }
                    _ => return Err(WRONG.to_owned()),
                }
            }
        }
        _ => return Err(WRONG.to_owned()),
    }
    Ok(())
}

/// The answer: one embedding for each input, in its order.
pub(super) fn whole(ask: &Ask) -> Result<Value, String> {
    let dimensions = dimensions(&ask.fields)?;
    let base64 = base64_wanted(&ask.fields)?;
    let inputs = match ask.fields.get("input") {
        Some(Value::Array(items)) if !is_tokens(items) => items.len(),
        _ => 1,
    };
    let embedding = |index: usize| {
        let vector = vector(index as u64, dimensions);
        let vector = if base64 { json!(base64_of(&vector)) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": vector})
    };
    let mut answer = json!({
        "object": "list",
        "data": (0..inputs).map(embedding).collect::<Vec<_>>(),
        "model": ask.model,
    });
    if !ask.prompt.no_usage {
        answer["usage"] = json!({"prompt_tokens": ask.prompt.words, "total_tokens": ask.prompt.words});
    }
    Ok(answer)
}

fn is_tokens(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(Value::is_u64)
}

fn dimensions(fields: &Map<String, Value>) -> Result<u64, String> {
    match fields.get("dimensions") {
        None | Some(Value::Null) => Ok(DEFAULT_DIMENSIONS),
        Some(value) => value
            .as_u64()
            .filter(|dimensions| (1..=MAX_DIMENSIONS).contains(dimensions))
            .ok_or_else(|| format!("Invalid 'dimensions': expected a whole number from 1 to {MAX_DIMENSIONS}.")),
    }
}

/// The official SDKs ask for base64 on their own and decode it for their user.
fn base64_wanted(fields: &Map<String, Value>) -> Result<bool, String> {
    match fields.get("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => Ok(false),
        Some(Some("base64")) => Ok(true),
        Some(_) => Err("Invalid 'encoding_format': expected 'float' or 'base64'.".to_owned()),
    }
}

/// A vector of length 1 whose signs are the bits of its index.
fn vector(index: u64, dimensions: u64) -> Vec<f32> {
    let size = 1.0 / (dimensions as f32).sqrt();
    let sign = |bit: u64| {
        if index >> (bit % 64) & 1 == 0 { size } else { -size }
    };
    (0..dimensions).map(sign).collect()
}

/// The little-endian bytes of a vector in base64, padded.
fn base64_of(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            let six = (group >> (18 - 6 * digit) & 63) as usize;
            text.push(if shown { char::from(DIGITS[six]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc_with_its_padding() {
        // The bytes of 1.0 are 00 00 80 3f; a vector of n components has 4n bytes, so all three paddings occur.
        assert_eq!(base64_of(&[]), "");
        assert_eq!(base64_of(&[1.0]), "AACAPw==");
        assert_eq!(base64_of(&[1.0, -1.0]), "AACAPwAAgL8=");
        assert_eq!(base64_of(&[1.0, -1.0, 0.5]), "AACAPwAAgL8AAAA/");
    }

    #[test]
    fn every_shape_of_input_is_counted_and_every_other_refused() {
        let count = |input: Value| {
            let mut prompt = Prompt::default();
            read_input(Some(&input), &mut prompt).map(|()| prompt.words)
        };
        assert_eq!(count(json!("three little words")), Ok(3));
        assert_eq!(count(json!(["one", "and two"])), Ok(3));
        assert_eq!(count(json!([101, 102, 103, 104])), Ok(4));
        assert_eq!(count(json!([[101, 102], [103]])), Ok(3));
        for wrong in [json!([]), json!(3), json!([-1]), json!([["text"]]), json!(null), json!([[]])] {
            assert!(count(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
