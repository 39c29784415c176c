use super::super::frames::{PRELUDE, Prelude};
use super::super::lines::Lines;
use super::super::pieces::Brackets;

/// Finds where the pieces of a stream end, in one framing.
#[derive(Debug)]
pub(super) enum Ends {
    Events {
        lines: Lines,
        /// The current line has bytes in earlier chunks.
        in_line: bool,
    },
    Lines(Lines),
    Array(ArrayEnds),
    Frames(FrameEnds),
}

/// The last end of a piece in a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastEnd {
    /// How many bytes of the chunk are before it.
    pub(super) at: usize,
    /// Whether a piece ends there. Otherwise it is the rest of a line end whose piece has passed.
    pub(super) ends: bool,
}

/// The elements of a JSON array; a body that is no array is one piece without an end.
#[derive(Debug, Default)]
pub(super) struct ArrayEnds {
    brackets: Brackets,
    standing: Array,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Array {
    /// Only white space has come.
    #[default]
    Unknown,
    /// It has begun, and no element of it has ended.
    Begun,
    /// Some elements have ended.
    Going,
    /// It has ended, or is none.
    Over,
}

/// The frames of Amazon's event stream.
#[derive(Debug, Default)]
pub(super) struct FrameEnds {
    prelude: Vec<u8>,
    /// Bytes of the current frame that are still to come, behind its prelude.
    left: usize,
    broken: bool,
}

impl Ends {
    pub(super) const fn events() -> Self {
        Self::Events { lines: Lines::new(), in_line: false }
    }

    /// Looks at the next chunk.
    pub(super) fn last(&mut self, chunk: &[u8]) -> LastEnd {
        match self {
            Self::Events { lines, in_line } => last_blank_line(lines, in_line, chunk),
            Self::Lines(lines) => last_line(lines, chunk),
            Self::Array(array) => array.last(chunk),
            Self::Frames(frames) => frames.last(chunk),
        }
    }

    /// Whether a stream in this framing can be ended between two pieces now.
    pub(super) fn can_end(&self) -> bool {
        match self {
            Self::Events { .. } | Self::Lines(_) => true,
            Self::Array(array) => matches!(array.standing, Array::Begun | Array::Going),
            Self::Frames(frames) => !frames.broken,
        }
    }
}

fn last_blank_line(lines: &mut Lines, in_line: &mut bool, chunk: &[u8]) -> LastEnd {
    let mut at = lines.leftover(chunk);
    let mut last = LastEnd { at, ends: false };
    while let Some(line) = lines.next(chunk, at) {
        at = line.next;
        let in_line = std::mem::take(in_line);
        if line.text.is_empty() && !in_line {
            last = LastEnd { at, ends: true };
        }
    }
    *in_line |= at < chunk.len();
    last
}

fn last_line(lines: &mut Lines, chunk: &[u8]) -> LastEnd {
    let mut last = LastEnd { at: lines.leftover(chunk), ends: false };
    while let Some(line) = lines.next(chunk, last.at) {
        last = LastEnd { at: line.next, ends: true };
    }
    last
}

impl ArrayEnds {
    pub(super) const fn standing(&self) -> Array {
        self.standing
    }

    fn last(&mut self, chunk: &[u8]) -> LastEnd {
        if self.standing == Array::Unknown {
            self.standing = match chunk.trim_ascii_start().first() {
                None => Array::Unknown,
                Some(b'[') => Array::Begun,
                Some(_) => Array::Over,
            };
        }
        let mut last = LastEnd { at: 0, ends: false };
        let mut at = 0;
        while self.standing != Array::Over {
            let Some(bracket) = self.brackets.next(chunk, at) else { return last };
            at = bracket.at + 1;
            if !bracket.opens && bracket.depth <= 1 {
                self.standing = if bracket.depth == 1 { Array::Going } else { Array::Over };
                last = LastEnd { at, ends: true };
            }
        }
        LastEnd { at: chunk.len(), ends: true }
    }
}

impl FrameEnds {
    fn last(&mut self, chunk: &[u8]) -> LastEnd {
        let mut last = LastEnd { at: 0, ends: false };
        let mut at = 0;
        while at < chunk.len() && !self.broken {
            if self.left == 0 {
                at += self.prelude(&chunk[at..]);
                continue;
            }
            let taken = self.left.min(chunk.len() - at);
            at += taken;
            self.left -= taken;
            if self.left == 0 {
                last = LastEnd { at, ends: true };
            }
        }
        match self.broken {
            true => LastEnd { at: chunk.len(), ends: true },
            false => last,
        }
    }

    /// Takes what belongs to a prelude; says how much that is.
    fn prelude(&mut self, rest: &[u8]) -> usize {
        let taken = rest.len().min(PRELUDE - self.prelude.len());
        self.prelude.extend_from_slice(&rest[..taken]);
        match Prelude::of(&self.prelude) {
            Prelude::Unfinished => {}
            Prelude::Length(length) => {
                self.left = length - PRELUDE;
                self.prelude.clear();
            }
            Prelude::Broken => self.broken = true,
        }
        taken
    }
}
