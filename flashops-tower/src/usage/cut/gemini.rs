use super::choices::Choices;
use super::{on_one_line, word};
use crate::json::{Cursor, Fault};

/// The most bytes of a usage object that are kept to be repeated.
const MAX_USAGE: usize = 4_096;

/// What a stream of Gemini's has said of itself and of its candidates.
#[derive(Debug)]
pub(super) struct Gemini {
    model: Option<Box<str>>,
    id: Option<Box<str>>,
    /// The usage of the stream so far.
    usage: String,
    candidates: Choices,
}

impl Gemini {
    pub(super) const fn new() -> Self {
        Self { model: None, id: None, usage: String::new(), candidates: Choices::new() }
    }

    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            if key.raw() == b"candidates" && first == b'[' {
                return cursor.array(|cursor| self.candidates.see(cursor, payload, b"finishReason"));
            }
            let start = cursor.position();
            cursor.skip()?;
            let value = (start, cursor.position());
            match key.raw() {
                b"modelVersion" if self.model.is_none() => self.model = word(payload, value),
                b"responseId" if self.id.is_none() => self.id = word(payload, value),
                b"usageMetadata" if first == b'{' => {
                    let usage = payload.get(value.0..value.1).filter(|usage| usage.len() <= MAX_USAGE);
                    let usage = usage.and_then(|usage| std::str::from_utf8(usage).ok());
                    self.usage = usage.map_or_else(String::new, on_one_line);
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// The last event; `None` if every candidate has ended.
    pub(super) fn end(&self) -> Option<String> {
        let candidate = |index| {
            format!(
                "{{\"content\":{{\"parts\":[{{\"text\":\"\"}}],\"role\":\"model\"}},\"finishReason\":\"MAX_TOKENS\",\
                 \"index\":{index}}}"
            )
        };
        let candidates: Vec<String> = self.candidates.open().map(candidate).collect();
        let mut payload = format!("{{\"candidates\":[{}]", candidates.join(","));
        let usage = Some(self.usage.as_str()).filter(|usage| !usage.is_empty());
        for (name, said) in
            [("usageMetadata", usage), ("modelVersion", self.model.as_deref()), ("responseId", self.id.as_deref())]
        {
            if let Some(said) = said {
                payload.push_str(&format!(",\"{name}\":{said}"));
            }
        }
        payload.push('}');
        (!candidates.is_empty()).then_some(payload)
    }
}
