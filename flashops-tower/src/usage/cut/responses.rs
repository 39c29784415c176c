use super::{on_one_line, word, write_event};
use crate::json::{Cursor, Fault};

/// The most bytes of a response object that are kept to be repeated: it has the tools and instructions of the request.
const MAX_RESPONSE: usize = 256 << 10;

/// What a stream of a response has said of it.
#[derive(Debug, Default)]
pub(super) struct Responses {
    /// The members of the response as it was created, without those that tell how it stands.
    members: String,
    sequence: u64,
}

impl Responses {
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            if key.raw() == b"response" && first == b'{' && self.members.is_empty() && payload.len() <= MAX_RESPONSE {
                return self.created(cursor, payload);
            }
            let start = cursor.position();
            cursor.skip()?;
            if key.raw() == b"sequence_number" {
                let said = word(payload, (start, cursor.position()));
                self.sequence = said.and_then(|said| said.parse().ok()).unwrap_or(self.sequence);
            }
            Ok(())
        })
    }

    fn created(&mut self, cursor: &mut Cursor<'_>, payload: &[u8]) -> Result<(), Fault> {
        let mut members = String::new();
        cursor.object(|cursor, key| {
            cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            let value = payload.get(start..cursor.position()).and_then(|value| std::str::from_utf8(value).ok());
            let name = std::str::from_utf8(key.raw()).ok();
            if let (Some(name), Some(value), false) = (name, value, tells_how_it_stands(key.raw())) {
                members.push_str(&format!("\"{name}\":{value},"));
            }
            Ok::<_, Fault>(())
        })?;
        self.members = on_one_line(&members);
        Ok(())
    }

    pub(super) fn end(&self, out: &mut String) {
        let sequence = self.sequence.saturating_add(1);
        let members = &self.members;
        let payload = format!(
            "{{\"type\":\"response.incomplete\",\"sequence_number\":{sequence},\"response\":{{{members}\
             \"status\":\"incomplete\",\"incomplete_details\":{{\"reason\":\"max_output_tokens\"}}}}}}"
        );
        write_event(Some("response.incomplete"), &payload, out);
    }
}

fn tells_how_it_stands(name: &[u8]) -> bool {
    matches!(name, b"status" | b"incomplete_details")
}
