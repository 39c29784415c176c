use bytes::{Bytes, BytesMut};

use super::super::lines::Lines;
use super::{MAX_EVENT, Passed};

/// Passes whole events, and withholds the one that is not finished.
#[derive(Debug, Default)]
pub(super) struct WholeEvents {
    lines: Lines,
    held: BytesMut,
    /// The current line has bytes in earlier chunks.
    in_line: bool,
    /// The unfinished event is too large to be withheld, and its start has passed.
    oversize: bool,
}

impl WholeEvents {
    pub(super) fn push(&mut self, chunk: Bytes) -> Passed {
        let mut at = self.lines.leftover(&chunk);
        // An LF that the last line end was still waiting for belongs to the event that has passed.
        let mut whole = if self.held.is_empty() { at } else { 0 };
        while let Some(line) = self.lines.next(&chunk, at) {
            at = line.next;
            let in_line = std::mem::take(&mut self.in_line);
            if line.text.is_empty() && !in_line {
                whole = at;
                self.oversize = false;
            }
        }
        self.in_line |= at < chunk.len();
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

    /// Whether the start of an event has passed and its end has not.
    pub(super) const fn is_inside_an_event(&self) -> bool {
        self.oversize
    }
}
