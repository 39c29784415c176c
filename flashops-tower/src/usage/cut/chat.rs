use super::{word, write_event};
use crate::json::{Cursor, Fault};

/// The most choices that a request may ask for.
const MAX_CHOICES: usize = 128;

/// What a stream of chat completions has said of itself and of its choices.
#[derive(Debug, Default)]
pub(super) struct Chat {
    id: Option<Box<str>>,
    created: Option<Box<str>>,
    model: Option<Box<str>>,
    seen: u128,
    finished: u128,
}

impl Chat {
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            if key.raw() == b"choices" && first == b'[' {
                return cursor.array(|cursor| self.choice(cursor, payload));
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

    fn choice(&mut self, cursor: &mut Cursor<'_>, payload: &[u8]) -> Result<(), Fault> {
        let (mut index, mut finished) = (0, false);
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            match key.raw() {
                b"index" => {
                    let said = std::str::from_utf8(&payload[start..cursor.position()]).ok();
                    index = said.and_then(|said| said.parse().ok()).unwrap_or(MAX_CHOICES);
                }
                b"finish_reason" => finished = first == b'"',
                _ => {}
            }
            Ok::<_, Fault>(())
        })?;
        if index < MAX_CHOICES {
            self.seen |= 1 << index;
            self.finished |= u128::from(finished) << index;
        }
        Ok(())
    }

    pub(super) fn end(&self, out: &mut String) {
        let mut payload = String::from("{");
        for (name, said) in [("id", &self.id), ("created", &self.created), ("model", &self.model)] {
            if let Some(said) = said {
                payload.push_str(&format!("\"{name}\":{said},"));
            }
        }
        let open = if self.seen == 0 { 1 } else { self.seen & !self.finished };
        let choices = (0..MAX_CHOICES).filter(|index| open >> index & 1 == 1);
        let choices: Vec<String> = choices
            .map(|index| format!("{{\"index\":{index},\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"length\"}}"))
            .collect();
        payload.push_str(&format!("\"object\":\"chat.completion.chunk\",\"choices\":[{}]}}", choices.join(",")));
        if open != 0 {
            write_event(None, &payload, out);
        }
        write_event(None, "[DONE]", out);
    }
}
