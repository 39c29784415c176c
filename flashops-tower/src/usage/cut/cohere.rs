use super::{word, write_event};
use crate::json::{Cursor, Fault};

/// What a stream of Cohere's has said of its blocks.
#[derive(Debug, Default)]
pub(super) struct Cohere {
    /// The block that is open, and its index.
    open: Option<(Block, Box<str>)>,
}

/// What begins with `-start` and ends with `-end`.
#[derive(Clone, Copy, Debug)]
enum Block {
    Content,
    ToolCall,
}

impl Cohere {
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (mut kind, mut index) = (None, None);
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            let value = (start, cursor.position());
            match key.raw() {
                b"type" => kind = payload.get(value.0..value.1),
                b"index" => index = word(payload, value),
                _ => {}
            }
            Ok::<_, Fault>(())
        })?;
        match kind {
            Some(b"\"content-start\"") => self.open = index.map(|index| (Block::Content, index)),
            Some(b"\"tool-call-start\"") => self.open = index.map(|index| (Block::ToolCall, index)),
            Some(b"\"content-end\"" | b"\"tool-call-end\"") => self.open = None,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(&self, out: &mut String) {
        if let Some((block, index)) = &self.open {
            let name = match block {
                Block::Content => "content-end",
                Block::ToolCall => "tool-call-end",
            };
            write_event(Some(name), &format!("{{\"type\":\"{name}\",\"index\":{index}}}"), out);
        }
        write_event(
            Some("message-end"),
            "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"MAX_TOKENS\"}}",
            out,
        );
    }
}
