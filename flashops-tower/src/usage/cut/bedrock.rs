use super::super::frames::event_frame;
use super::word;
use crate::json::{Cursor, Fault};

/// What a `ConverseStream` has said of its blocks.
#[derive(Debug, Default)]
pub(super) struct Bedrock {
    /// The index of the content block that is open.
    open: Option<Box<str>>,
}

impl Bedrock {
    /// The name of an event is in the headers of its frame, but what it is shows in its members too: a block that
    /// starts has a `start`, one that goes on a `delta`, and one that stops only its index.
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let (mut index, mut goes_on) = (None, false);
        let mut cursor = Cursor::new(payload);
        cursor.object(|cursor, key| {
            cursor.peek()?;
            let start = cursor.position();
            cursor.skip()?;
            match key.raw() {
                b"contentBlockIndex" => index = word(payload, (start, cursor.position())),
                b"start" | b"delta" => goes_on = true,
                _ => {}
            }
            Ok::<_, Fault>(())
        })?;
        if index.is_some() {
            self.open = index.filter(|_| goes_on);
        }
        Ok(())
    }

    pub(super) fn end(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(index) = &self.open {
            event_frame("contentBlockStop", &format!("{{\"contentBlockIndex\":{index}}}"), &mut out);
        }
        event_frame("messageStop", "{\"stopReason\":\"max_tokens\"}", &mut out);
        out
    }
}
