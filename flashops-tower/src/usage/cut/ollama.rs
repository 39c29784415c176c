use super::word;
use crate::json::{Cursor, Fault};

/// What a stream of Ollama's has said of itself.
#[derive(Debug, Default)]
pub(super) struct Ollama {
    model: Option<Box<str>>,
    /// When the last line was made, by its own account.
    created_at: Option<Box<str>>,
    /// It is of a completion, whose text is in `response`, and not of a chat.
    is_completion: bool,
}

impl Ollama {
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            let said = || word(payload, (start, cursor.position()));
            match key.raw() {
                b"model" if self.model.is_none() => self.model = said(),
                b"created_at" => self.created_at = said(),
                b"response" => self.is_completion = true,
                _ => {}
            }
            Ok(())
        })
    }

    pub(super) fn end(&self, out: &mut String) {
        out.push('{');
        for (name, said) in [("model", &self.model), ("created_at", &self.created_at)] {
            if let Some(said) = said {
                out.push_str(&format!("\"{name}\":{said},"));
            }
        }
        out.push_str(match self.is_completion {
            true => "\"response\":\"\"",
            false => "\"message\":{\"role\":\"assistant\",\"content\":\"\"}",
        });
        out.push_str(",\"done_reason\":\"length\",\"done\":true}\n");
    }
}
