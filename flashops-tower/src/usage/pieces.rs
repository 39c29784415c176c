//! The pieces of a stream that are JSON one by one: the lines of NDJSON, the elements of an array.

use memchr::memchr2;

use super::MAX_EVENT;
use super::events::Sink;
use super::lines::Lines;

/// One unfinished piece, of which at most [`MAX_EVENT`] bytes are kept.
#[derive(Clone, Debug, Default)]
struct Piece {
    kept: Vec<u8>,
    excess: Excess,
}

/// What to do with the rest of a piece that is too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Excess {
    /// It is not.
    #[default]
    None,
    /// It is reported byte by byte.
    Reported,
    /// It is dropped.
    Dropped,
}

impl Piece {
    fn append(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        match self.excess {
            Excess::None => {}
            Excess::Reported => return sink.more(bytes.len()),
            Excess::Dropped => return,
        }
        let room = MAX_EVENT - self.kept.len();
        if bytes.len() <= room {
            return self.kept.extend_from_slice(bytes);
        }
        let (start, rest) = bytes.split_at(room);
        self.kept.extend_from_slice(start);
        let kept = std::mem::take(&mut self.kept);
        self.excess = if sink.oversize(&kept) { Excess::Reported } else { Excess::Dropped };
        self.append(rest, sink);
    }

    /// The piece ends with these bytes; one that is whole in its chunk is not copied.
    fn end(&mut self, last: &[u8], sink: &mut impl Sink) {
        if self.kept.is_empty() && self.excess == Excess::None && last.len() <= MAX_EVENT {
            return event(last, sink);
        }
        self.append(last, sink);
        if self.excess == Excess::None {
            event(&self.kept, sink);
        }
        self.kept.clear();
        self.excess = Excess::None;
    }
}

fn event(piece: &[u8], sink: &mut impl Sink) {
    if !piece.trim_ascii().is_empty() {
        sink.event(piece, false);
    }
}

/// Splits NDJSON into its lines.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonLines {
    lines: Lines,
    piece: Piece,
}

impl JsonLines {
    pub(super) fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let mut at = self.lines.leftover(chunk);
        while let Some(line) = self.lines.next(chunk, at) {
            at = line.next;
            self.piece.end(line.text, sink);
        }
        self.piece.append(&chunk[at..], sink);
    }

    /// Treats what is left as if its line had ended.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) {
        self.piece.end(b"", sink);
    }
}

/// Follows the brackets of a JSON text, those inside strings left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Brackets {
    /// Open brackets of both kinds.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// One bracket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bracket {
    /// Its place in the chunk.
    pub(super) at: usize,
    pub(super) opens: bool,
    /// How many are open behind it.
    pub(super) depth: usize,
}

impl Brackets {
    /// The next one of the chunk from `at` on.
    pub(super) fn next(&mut self, chunk: &[u8], mut at: usize) -> Option<Bracket> {
        while at < chunk.len() {
            if self.in_string {
                at = self.string(chunk, at);
                continue;
            }
            match chunk[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    return Some(Bracket { at, opens: true, depth: self.depth });
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    return Some(Bracket { at, opens: false, depth: self.depth });
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// Goes on in a string; gives where to go on.
    fn string(&mut self, chunk: &[u8], at: usize) -> usize {
        if std::mem::take(&mut self.escaped) {
            return at + 1;
        }
        match memchr2(b'"', b'\\', &chunk[at..]) {
            None => chunk.len(),
            Some(run) => {
                self.escaped = chunk[at + run] == b'\\';
                self.in_string = self.escaped;
                at + run + 1
            }
        }
    }
}

/// Splits a JSON array into the objects in it, without waiting for its end.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonArray {
    brackets: Brackets,
    piece: Piece,
}

/// The depth at which an element is open.
const IN_ELEMENT: usize = 2;

impl JsonArray {
    pub(super) fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let (mut at, mut start) = (0, 0);
        while let Some(bracket) = self.brackets.next(chunk, at) {
            at = bracket.at + 1;
            if bracket.opens && bracket.depth == IN_ELEMENT {
                start = bracket.at;
            } else if !bracket.opens && bracket.depth == IN_ELEMENT - 1 {
                self.piece.end(&chunk[start..at], sink);
            }
        }
        if self.brackets.depth >= IN_ELEMENT {
            self.piece.append(&chunk[start..], sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::oracle;
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        events: Vec<Vec<u8>>,
        oversize: Vec<(usize, usize)>,
    }

    impl Sink for Seen {
        fn event(&mut self, payload: &[u8], _: bool) {
            self.events.push(payload.to_vec());
        }

        fn oversize(&mut self, start: &[u8]) -> bool {
            self.oversize.push((start.len(), 0));
            true
        }

        fn more(&mut self, bytes: usize) {
            self.oversize.last_mut().unwrap().1 += bytes;
        }
    }

    fn lines(chunks: &[&[u8]]) -> Seen {
        let (mut lines, mut seen) = (JsonLines::default(), Seen::default());
        chunks.iter().for_each(|chunk| lines.push(chunk, &mut seen));
        lines.finish(&mut seen);
        seen
    }

    fn elements(chunks: &[&[u8]]) -> Seen {
        let (mut array, mut seen) = (JsonArray::default(), Seen::default());
        chunks.iter().for_each(|chunk| array.push(chunk, &mut seen));
        seen
    }

    fn objects() -> impl Strategy<Value = Vec<Value>> {
        let text = proptest::sample::select(vec!["", "a", "\"", "\\", "]}", "[{", "\n", "é\u{1F600}"]);
        let object = (text, any::<bool>())
            .prop_map(|(text, nested)| if nested { json!({"a": [{"b": text}]}) } else { json!({text: text}) });
        proptest::collection::vec(object, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn the_elements_of_an_array_are_those_of_a_parser_however_it_is_split(
            objects in objects(), pretty in any::<bool>(),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text = if pretty { serde_json::to_string_pretty(&objects) } else { serde_json::to_string(&objects) };
            let text = text.unwrap();
            let seen = elements(&oracle::split(text.as_bytes(), &cuts));
            let values: Vec<Value> = seen.events.iter().map(|event| serde_json::from_slice(event).unwrap()).collect();
            prop_assert_eq!(values, objects);
        }

        #[test]
        fn the_lines_of_ndjson_are_those_of_a_parser_however_it_is_split(
            objects in objects(), end in proptest::sample::select(vec!["\n", "\r\n", "\n\n"]),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let text: Vec<String> = objects.iter().map(Value::to_string).collect();
            let text = text.join(end);
            let seen = lines(&oracle::split(text.as_bytes(), &cuts));
            let values: Vec<Value> = seen.events.iter().map(|event| serde_json::from_slice(event).unwrap()).collect();
            prop_assert_eq!(values, objects);
        }
    }

    #[test]
    fn a_piece_above_the_bound_is_not_kept_and_the_next_one_is_read() {
        let line = vec![b'x'; MAX_EVENT + 10];
        let stream = [&line[..], b"\n{}\n"].concat();
        let array = [&b"[{\""[..], &line, b"\"},{}]"].concat();
        for step in [1_000, MAX_EVENT, 4 * MAX_EVENT] {
            let seen = lines(&stream.chunks(step).collect::<Vec<_>>());
            assert_eq!((seen.events, seen.oversize), (vec![b"{}".to_vec()], vec![(MAX_EVENT, 10)]));
            let seen = elements(&array.chunks(step).collect::<Vec<_>>());
            assert_eq!((seen.events, seen.oversize), (vec![b"{}".to_vec()], vec![(MAX_EVENT, 14)]));
        }
    }

    #[test]
    fn a_piece_of_exactly_the_bound_is_read() {
        for (length, read) in [(MAX_EVENT, 1), (MAX_EVENT + 1, 0)] {
            let stream = [&vec![b'x'; length][..], b"\n"].concat();
            assert_eq!(lines(&[&stream]).events.len(), read);
            assert_eq!(lines(&stream.chunks(7_919).collect::<Vec<_>>()).events.len(), read);
        }
    }
}
