use super::choices::Choices;
use super::{word, write_event};
use crate::json::{Cursor, Fault};

/// What a stream of chat completions, or of the older ones, has said of itself and of its choices.
#[derive(Debug)]
pub(super) struct Chat {
    last: LastChoice,
    id: Option<Box<str>>,
    created: Option<Box<str>>,
    model: Option<Box<str>>,
    choices: Choices,
}

/// The last event of a choice: what its event is, and what stands in the choice.
#[derive(Clone, Copy, Debug)]
struct LastChoice {
    object: &'static str,
    members: &'static str,
}

impl Chat {
    pub(super) const fn new() -> Self {
        Self::with(LastChoice { object: "chat.completion.chunk", members: "\"delta\":{}" })
    }

    pub(super) const fn completions() -> Self {
        Self::with(LastChoice { object: "text_completion", members: "\"text\":\"\"" })
    }

    const fn with(last: LastChoice) -> Self {
        Self { last, id: None, created: None, model: None, choices: Choices::new() }
    }

    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            if key.raw() == b"choices" && first == b'[' {
                return cursor.array(|cursor| self.choices.see(cursor, payload, b"finish_reason"));
            }
            let start = cursor.position();
            cursor.skip()?;
            let said = || word(payload, (start, cursor.position()));
            match key.raw() {
                b"id" if self.id.is_none() => self.id = said(),
                b"created" if self.created.is_none() => self.created = said(),
                b"model" if self.model.is_none() => self.model = said(),
                _ => {}
            }
            Ok(())
        })
    }

    pub(super) fn end(&self, out: &mut String) {
        let mut payload = String::from("{");
        for (name, said) in [("id", &self.id), ("created", &self.created), ("model", &self.model)] {
            if let Some(said) = said {
                payload.push_str(&format!("\"{name}\":{said},"));
            }
        }
        let LastChoice { object, members } = self.last;
        let choice = |index| format!("{{\"index\":{index},{members},\"logprobs\":null,\"finish_reason\":\"length\"}}");
        let choices: Vec<String> = self.choices.open().map(choice).collect();
        payload.push_str(&format!("\"object\":\"{object}\",\"choices\":[{}]}}", choices.join(",")));
        if !choices.is_empty() {
            write_event(None, &payload, out);
        }
        write_event(None, "[DONE]", out);
    }
}
