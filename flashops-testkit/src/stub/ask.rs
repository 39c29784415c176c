//! A request, read: which format, how many words, and how the answer goes wrong.

use serde_json::{Map, Value};

use super::prompt::Prompt;

/// Words of an answer when neither a cap nor `[reply N]` names a number.
pub const DEFAULT_WORDS: u64 = 16;
/// The most words of an answer, over all its choices.
pub const MAX_WORDS: u64 = 1_000_000;
/// The most choices of a chat.
pub const MAX_CHOICES: u64 = 128;

/// The wire formats, one for each path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Chat,
    Embeddings,
    Messages,
    Responses,
}

impl Format {
    /// The format spoken on a path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/messages" => Some(Self::Messages),
            "/v1/responses" => Some(Self::Responses),
            _ => None,
        }
    }

    fn cap_fields(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["max_tokens", "max_completion_tokens"],
            Self::Embeddings => &[],
            Self::Messages => &["max_tokens"],
            Self::Responses => &["max_output_tokens"],
        }
    }

    fn prompt_fields(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["messages"],
            Self::Embeddings => &[],
            Self::Messages => &["system", "messages"],
            Self::Responses => &["instructions", "input"],
        }
    }
}

/// One request, understood.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) format: Format,
    /// Sixteen hex digits, the same for the same request.
    pub(super) id: String,
    pub(super) model: String,
    pub(super) prompt: Prompt,
    /// Words of each choice.
    pub(super) words: u64,
    pub(super) choices: u64,
    /// The cap ended the answer.
    pub(super) capped: bool,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) user: Option<String>,
    /// The body, for what only one format reads.
    pub(super) fields: Map<String, Value>,
}

impl Ask {
    /// Reads a body; the error is a sentence for the client.
    pub(super) fn read(format: Format, body: &[u8]) -> Result<Self, String> {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err("The body of the request is not a JSON object.".to_owned());
        };
        let Some(Value::String(model)) = fields.get("model") else {
            return Err("You must provide a model parameter.".to_owned());
        };
        let model = model.clone();
        let prompt = prompt(format, &fields)?;
        let choices = choices(format, &fields)?;
        let (words, capped) = words(format, &fields, &prompt, choices)?;
        Ok(Self {
            format,
            id: format!("{:016x}", hash(format, body)),
            model,
            prompt,
            words,
            choices,
            capped,
            stream: flag(&fields, "stream")? && format != Format::Embeddings,
            include_usage: include_usage(format, &fields)?,
            user: user(&fields),
            fields,
        })
    }

    /// Words over all choices.
    pub(super) const fn all_words(&self) -> u64 {
        self.words * self.choices
    }
}

/// The nth word of a choice.
pub(super) fn word(n: u64) -> String {
    format!("w{} ", n % 100)
}

/// The whole text of a choice.
pub(super) fn text(words: u64) -> String {
    (0..words).map(word).collect()
}

fn prompt(format: Format, fields: &Map<String, Value>) -> Result<Prompt, String> {
    let wants_messages = matches!(format, Format::Chat | Format::Messages);
    if wants_messages && !matches!(fields.get("messages"), Some(Value::Array(_))) {
        return Err("Missing required parameter: 'messages', a list.".to_owned());
    }
    let mut prompt = Prompt::default();
    for field in format.prompt_fields() {
        if let Some(value) = fields.get(*field) {
            prompt.add(value);
        }
    }
    if format == Format::Embeddings {
        super::wire::embeddings::read_input(fields.get("input"), &mut prompt)?;
    }
    Ok(prompt)
}

fn choices(format: Format, fields: &Map<String, Value>) -> Result<u64, String> {
    if format != Format::Chat {
        return Ok(1);
    }
    match number(fields, "n")? {
        None => Ok(1),
        Some(n) if (1..=MAX_CHOICES).contains(&n) => Ok(n),
        Some(n) => Err(format!("Invalid 'n': {n} is not between 1 and {MAX_CHOICES}.")),
    }
}

fn words(format: Format, fields: &Map<String, Value>, prompt: &Prompt, choices: u64) -> Result<(u64, bool), String> {
    if format == Format::Embeddings {
        return Ok((0, false));
    }
    let mut cap = None;
    for field in format.cap_fields() {
        // The largest, so that a cap which somebody wrote into only one of two fields shows.
        cap = cap.max(number(fields, field)?);
    }
    let (wanted, capped) = match (cap, prompt.reply) {
        (Some(cap), Some(reply)) => (cap.min(reply), reply > cap),
        (Some(cap), None) => (cap, true),
        (None, reply) => (reply.unwrap_or(DEFAULT_WORDS), false),
    };
    let most = MAX_WORDS / choices;
    Ok((wanted.min(most), capped || wanted > most))
}

fn include_usage(format: Format, fields: &Map<String, Value>) -> Result<bool, String> {
    match fields.get("stream_options") {
        Some(Value::Object(options)) if format == Format::Chat => flag(options, "include_usage"),
        _ => Ok(false),
    }
}

/// Who asks, by OpenAI's `user` or Anthropic's `metadata.user_id`.
fn user(fields: &Map<String, Value>) -> Option<String> {
    let metadata = fields.get("metadata").and_then(|metadata| metadata.get("user_id"));
    Some(fields.get("user").or(metadata)?.as_str()?.to_owned())
}

fn number(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("Invalid type for '{name}': expected a whole number, at least 0.")),
        },
    }
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("Invalid type for '{name}': expected true or false.")),
    }
}

/// FNV-1a: an id needs no secrecy, only to be the same for the same request.
fn hash(format: Format, body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325 ^ format as u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(rest: &str) -> Result<Ask, String> {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi [reply 9]"}}]{rest}}}"#);
        Ask::read(Format::Chat, body.as_bytes())
    }

    #[test]
    fn an_answer_has_the_words_of_the_cap_but_at_most_those_of_the_reply_directive() {
        let words = |rest| chat(rest).map(|ask| (ask.words, ask.capped));
        assert_eq!(words(""), Ok((9, false)));
        assert_eq!(words(r#","max_tokens":4"#), Ok((4, true)));
        assert_eq!(words(r#","max_completion_tokens":40"#), Ok((9, false)));
        assert_eq!(words(r#","max_tokens":3,"max_completion_tokens":5"#), Ok((5, true)));
        assert_eq!(words(r#","max_tokens":0"#), Ok((0, true)));
        assert_eq!(words(r#","max_tokens":null"#), Ok((9, false)));
    }

    #[test]
    fn without_cap_and_directive_an_answer_has_the_default_number_of_words() {
        let body = br#"{"model":"m","input":"hello there"}"#;
        let ask = Ask::read(Format::Responses, body).unwrap();
        assert_eq!((ask.words, ask.capped, ask.prompt.words), (DEFAULT_WORDS, false, 2));
    }

    #[test]
    fn no_answer_is_longer_than_the_bound_over_all_its_choices() {
        let body = br#"{"model":"m","messages":[],"max_tokens":18446744073709551615,"n":128}"#;
        let ask = Ask::read(Format::Chat, body).unwrap();
        assert_eq!((ask.words, ask.capped), (MAX_WORDS / 128, true));
        assert!(ask.all_words() <= MAX_WORDS);
    }

    #[test]
    fn counts_that_are_no_whole_numbers_are_refused() {
        for bad in ["-1", "1.5", "\"7\"", "1e30", "true"] {
            assert!(chat(&format!(r#","max_tokens":{bad}"#)).is_err(), "{bad}");
        }
        assert!(chat(r#","n":0"#).is_err());
        assert!(chat(r#","n":129"#).is_err());
        assert!(chat(r#","stream":1"#).is_err());
    }

    #[test]
    fn every_word_fits_four_bytes() {
        assert!((0..1_000).all(|n| word(n).len() <= 4));
        assert_eq!(text(3), "w0 w1 w2 ");
    }

    #[test]
    fn the_same_request_has_the_same_id_and_another_one_another() {
        let id = |rest| chat(rest).map(|ask| ask.id);
        assert_eq!(id(""), id(""));
        assert_ne!(id(""), id(r#","n":1"#));
    }
}
