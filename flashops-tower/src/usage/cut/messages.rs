use super::{word, write_event};
use crate::json::{Cursor, Fault};

/// What a stream of messages has said of its blocks.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The index of the content block that is open.
    open: Option<Box<str>>,
}

impl Messages {
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
            Some(b"\"content_block_start\"") => self.open = index,
            Some(b"\"content_block_stop\"") => self.open = None,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(&self, output: u64, out: &mut String) {
        if let Some(index) = &self.open {
            let stop = format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}");
            write_event(Some("content_block_stop"), &stop, out);
        }
        let delta = format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"max_tokens\",\"stop_sequence\":null}},\
             \"usage\":{{\"output_tokens\":{output}}}}}"
        );
        write_event(Some("message_delta"), &delta, out);
        write_event(Some("message_stop"), "{\"type\":\"message_stop\"}", out);
    }
}
