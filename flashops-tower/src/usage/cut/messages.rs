use super::{BlockEvent, block_event, write_event};
use crate::json::Fault;

/// What a stream of messages has said of its blocks.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The index of the content block that is open.
    open: Option<Box<str>>,
}

impl Messages {
    pub(super) fn see(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let BlockEvent { kind, index } = block_event(payload)?;
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
