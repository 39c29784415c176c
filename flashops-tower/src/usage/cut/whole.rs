use bytes::{Bytes, BytesMut};

use super::ends::{Array, Ends};
use super::{MAX_EVENT, Passed, write_event};

/// Passes whole pieces of a stream, and withholds the one that is not finished.
#[derive(Debug)]
pub(super) struct Whole {
    ends: Ends,
    held: BytesMut,
    /// The unfinished piece is too large to be withheld, and its start has passed.
    oversize: bool,
}

impl Whole {
    pub(super) fn new(ends: Ends) -> Self {
        Self { ends, held: BytesMut::new(), oversize: false }
    }

    pub(super) fn push(&mut self, chunk: Bytes) -> Passed {
        let last = self.ends.last(&chunk);
        self.oversize &= !last.ends;
        // An LF that the last line end was still waiting for belongs to the event that has passed.
        let whole = if last.ends || self.held.is_empty() { last.at } else { 0 };
        self.pass(chunk, whole)
    }

    fn pass(&mut self, mut chunk: Bytes, whole: usize) -> Passed {
        let mut passed = Passed::default();
        if whole > 0 {
            passed.add(self.held.split().freeze());
            passed.add(chunk.split_to(whole));
        }
        if self.oversize || self.held.len() + chunk.len() > MAX_EVENT {
            self.oversize = true;
            passed.add(self.held.split().freeze());
            passed.add(chunk);
        } else {
            self.held.extend_from_slice(&chunk);
        }
        passed
    }

    pub(super) fn finish(&mut self) -> Option<Bytes> {
        Some(self.held.split().freeze()).filter(|held| !held.is_empty())
    }

    /// Whether the stream can be ended here: an unfinished event can be ended by a blank line, and an unfinished piece
    /// in another framing cannot.
    pub(super) fn can_end(&self) -> bool {
        self.ends.can_end() && (!self.oversize || matches!(self.ends, Ends::Events { .. }))
    }

    /// Whether the start of an event has passed and its end has not.
    pub(super) const fn is_inside_an_event(&self) -> bool {
        self.oversize && matches!(self.ends, Ends::Events { .. })
    }

    /// Writes the last piece of a stream that comes as events or as an array, and what ends it.
    pub(super) fn end(&self, payload: Option<&str>, out: &mut String) {
        let Ends::Array(array) = &self.ends else {
            return payload.into_iter().for_each(|payload| write_event(None, payload, out));
        };
        match array.standing() {
            Array::Going if payload.is_some() => out.push_str(",\n"),
            Array::Going => {}
            _ => out.push('['),
        }
        out.push_str(payload.unwrap_or_default());
        out.push_str("\n]\n");
    }
}
