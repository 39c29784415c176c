//! Server-sent events out of chunks, in place wherever an event lies whole in its chunk.

use super::lines::{Field, Lines, WholeEvent, without_bom};

/// The most bytes that one event may have, with its line ends: 1 MiB.
///
/// It bounds what a meter or a filter keeps of a stream. A larger event is passed on like any other; it is only not
/// read.
pub const MAX_EVENT: usize = 1 << 20;

/// What a reader of events is told.
pub(super) trait Sink {
    /// An event with a payload is complete. `is_error` tells that it is named `error`.
    fn event(&mut self, payload: &[u8], is_error: bool);

    /// The event is larger than [`MAX_EVENT`]; `start` is the payload up to there. The answer tells whether the bytes
    /// that follow on the same line shall be passed to [`Sink::more`].
    fn oversize(&mut self, start: &[u8]) -> bool;

    /// So many further bytes of an oversize event's line.
    fn more(&mut self, bytes: usize);
}

/// Splits a stream into events. It keeps at most one unfinished event.
#[derive(Clone, Debug)]
pub(super) struct Events {
    lines: Lines,
    /// The unfinished line of earlier chunks.
    line: Vec<u8>,
    /// The payload lines of the unfinished event, with LF between them.
    payload: Vec<u8>,
    has_payload: bool,
    is_error: bool,
    /// Bytes of the unfinished event's finished lines, one for each line end.
    size: usize,
    past_first_line: bool,
    excess: Excess,
}

/// What to do with the rest of an oversize event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    /// The event is not oversize.
    None,
    /// Its current line is reported byte by byte.
    Reported,
    /// It is dropped up to its end. The flag tells whether the current line has bytes, so that it is no end.
    Dropped { line_has_bytes: bool },
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            lines: Lines::new(),
            line: Vec::new(),
            payload: Vec::new(),
            has_payload: false,
            is_error: false,
            size: 0,
            past_first_line: false,
            excess: Excess::None,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let mut at = self.lines.leftover(chunk);
        // The first payload line of an event stays where it is as long as the event ends in this chunk.
        let mut first: Option<&[u8]> = None;
        loop {
            if self.is_between_events() {
                at = Self::whole_events(chunk, at, sink);
            }
            let Some(line) = self.lines.next(chunk, at) else { break };
            at = line.next;
            if self.line.is_empty() && self.excess == Excess::None {
                self.line(line.text, &mut first, sink);
            } else {
                self.append(line.text, &mut first, sink);
                self.end_appended_line(sink);
            }
        }
        self.append(&chunk[at..], &mut first, sink);
        self.keep(first.take());
    }

    /// Treats what is left as if the stream had ended its last event.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) {
        self.push(b"\n\n", sink);
    }

    /// Whether nothing of an event was seen yet, and no byte order mark can come.
    const fn is_between_events(&self) -> bool {
        self.size == 0 && self.line.is_empty() && matches!(self.excess, Excess::None) && self.past_first_line
    }

    /// Gives the events from `at` on that are of the usual form, and where the first one is that is not.
    fn whole_events(chunk: &[u8], mut at: usize, sink: &mut impl Sink) -> usize {
        while let Some(event) = WholeEvent::at(chunk, at).filter(|event| event.next - at < MAX_EVENT) {
            sink.event(event.payload, event.name == b"error");
            at = event.next;
        }
        at
    }

    /// A whole line of an event that is not oversize.
    fn line<'c>(&mut self, line: &'c [u8], first: &mut Option<&'c [u8]>, sink: &mut impl Sink) {
        if !line.is_empty() && self.size + line.len() >= MAX_EVENT {
            self.append(line, first, sink);
            return self.end_appended_line(sink);
        }
        self.size += line.len() + 1;
        let line = match self.past_first_line {
            true => line,
            false => without_bom(line),
        };
        self.past_first_line = true;
        match Field::of(line) {
            Field::End => self.dispatch(first.take(), sink),
            Field::Data(value) if first.is_none() && !self.has_payload => *first = Some(value),
            Field::Data(value) => {
                self.keep(first.take());
                self.keep(Some(value));
            }
            Field::Event(name) => self.is_error = name == b"error",
            Field::Comment | Field::Other => {}
        }
    }

    /// Adds bytes to the unfinished line; from the bound on they are not kept.
    fn append(&mut self, bytes: &[u8], first: &mut Option<&[u8]>, sink: &mut impl Sink) {
        if bytes.is_empty() {
            return;
        }
        match &mut self.excess {
            Excess::None => {}
            Excess::Reported => return sink.more(bytes.len()),
            Excess::Dropped { line_has_bytes } => return *line_has_bytes = true,
        }
        let room = MAX_EVENT - self.size - self.line.len();
        if bytes.len() < room {
            return self.line.extend_from_slice(bytes);
        }
        let (kept, rest) = bytes.split_at(room);
        self.line.extend_from_slice(kept);
        self.keep(first.take());
        self.overflow(rest.len(), sink);
    }

    fn overflow(&mut self, rest: usize, sink: &mut impl Sink) {
        let line = std::mem::take(&mut self.line);
        let line = match self.past_first_line {
            true => &line[..],
            false => without_bom(&line),
        };
        self.past_first_line = true;
        let in_payload = match Field::of(line) {
            Field::Data(value) => {
                self.keep(Some(value));
                true
            }
            _ => false,
        };
        let payload = std::mem::take(&mut self.payload);
        self.excess = match sink.oversize(&payload) && in_payload {
            true => Excess::Reported,
            false => Excess::Dropped { line_has_bytes: true },
        };
        if self.excess == Excess::Reported {
            sink.more(rest);
        }
    }

    fn end_appended_line(&mut self, sink: &mut impl Sink) {
        match self.excess {
            Excess::None => {
                let line = std::mem::take(&mut self.line);
                let mut first = None;
                self.line(&line, &mut first, sink);
                self.keep(first);
                self.line = line;
                self.line.clear();
            }
            Excess::Reported | Excess::Dropped { line_has_bytes: true } => {
                self.excess = Excess::Dropped { line_has_bytes: false };
            }
            Excess::Dropped { line_has_bytes: false } => self.reset(),
        }
    }

    fn dispatch(&mut self, first: Option<&[u8]>, sink: &mut impl Sink) {
        match first {
            Some(payload) => sink.event(payload, self.is_error),
            None if self.has_payload => sink.event(&self.payload, self.is_error),
            None => {}
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.payload.clear();
        self.has_payload = false;
        self.is_error = false;
        self.size = 0;
        self.excess = Excess::None;
    }

    /// Adds a line to the payload that is kept.
    fn keep(&mut self, line: Option<&[u8]>) {
        let Some(line) = line else { return };
        if std::mem::replace(&mut self.has_payload, true) {
            self.payload.push(b'\n');
        }
        self.payload.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::oracle;
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        events: Vec<(Vec<u8>, bool)>,
        oversize: Vec<(usize, usize)>,
    }

    impl Sink for Seen {
        fn event(&mut self, payload: &[u8], is_error: bool) {
            self.events.push((payload.to_vec(), is_error));
        }

        fn oversize(&mut self, start: &[u8]) -> bool {
            self.oversize.push((start.len(), 0));
            true
        }

        fn more(&mut self, bytes: usize) {
            self.oversize.last_mut().unwrap().1 += bytes;
        }
    }

    fn seen(chunks: &[&[u8]]) -> Seen {
        let (mut events, mut seen) = (Events::new(), Seen::default());
        for chunk in chunks {
            events.push(chunk, &mut seen);
        }
        events.finish(&mut seen);
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn events_are_those_of_a_reader_that_has_the_whole_stream(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "data", ":", " ", "x", "data: a", "data:b", "data", "event: error", "event:x", ": note", "id: 1",
                    "\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\u{feff}",
                ]),
                0..24,
            ),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = pieces.concat().into_bytes();
            let split = seen(&oracle::split(&stream, &cuts));
            prop_assert_eq!(split.events, oracle::events(&stream));
        }
    }

    #[test]
    fn an_oversize_event_is_dropped_at_the_same_byte_however_it_is_split() {
        let line = ["data: ".as_bytes(), &vec![b'x'; 2 * MAX_EVENT]].concat();
        let stream = [&b"data: a\n\n"[..], &line, b"\ndata: dropped\n\ndata: b\n\n"].concat();
        let whole = seen(&[&stream]);
        assert_eq!(whole.events, [(b"a".to_vec(), false), (b"b".to_vec(), false)]);
        assert_eq!(whole.oversize, [(MAX_EVENT - 6, MAX_EVENT + 6)]);
        for step in [1_000, 65_536, MAX_EVENT - 1, MAX_EVENT + 10] {
            assert_eq!(seen(&stream.chunks(step).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn an_event_of_exactly_the_bound_is_read_and_one_byte_more_is_not() {
        // Each line counts with one byte for its end: "id" with three, the payload's with its own length and seven.
        for (before, length, read) in
            [("", MAX_EVENT - 7, 1), ("", MAX_EVENT - 6, 0), ("id\n", MAX_EVENT - 10, 1), ("id\n", MAX_EVENT - 9, 0)]
        {
            let stream = [before.as_bytes(), b"data: ", &vec![b'x'; length], b"\n\n"].concat();
            assert_eq!(seen(&[&stream]).events.len(), read);
            let split = seen(&stream.chunks(7_919).collect::<Vec<_>>());
            assert_eq!(split.events.len(), read);
        }
    }

    #[test]
    fn a_line_that_never_ends_does_not_grow_what_is_kept() {
        let (mut events, mut seen) = (Events::new(), Seen::default());
        for _ in 0..64 {
            events.push(&[b'x'; 65_536], &mut seen);
            assert!(events.line.capacity() + events.payload.capacity() <= 4 * MAX_EVENT);
        }
        assert!(events.line.is_empty());
    }

    #[test]
    fn empty_data_lines_do_not_pass_the_bound() {
        let (mut events, mut seen) = (Events::new(), Seen::default());
        for _ in 0..MAX_EVENT {
            events.push(b"data:\n", &mut seen);
        }
        assert!(events.payload.capacity() <= 2 * MAX_EVENT);
        assert_eq!(seen.oversize.len(), 1);
    }
}
