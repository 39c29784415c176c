//! Takes the one event out of a stream that a client did not ask for.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::usage::HideUsage;
//!
//! let mut hide = HideUsage::new();
//! let chunk = Bytes::from_static(
//!     b"data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
//! );
//! let passed: Vec<Bytes> = hide.push(chunk).collect();
//! assert_eq!(passed.concat(), b"data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\ndata: [DONE]\n\n");
//! assert_eq!(hide.finish(), None);
//! ```
//!
//! A chat provider that is asked for `stream_options.include_usage` sends one more event: its `choices` are empty and
//! its `usage` is not null. Where the layer asked and the client did not, this filter withholds that event and the
//! blank line that ends it. Every other byte passes unchanged and in order, in slices of the chunks that came in.
//!
//! Edge cases: the unfinished event at the end of a chunk is withheld only while it can still be that event. A content
//! delta is told from it by the first byte inside its `choices`, and passes from there on. An unfinished event that
//! grows above [`MAX_EVENT`] passes. Comments before an event pass at once, so that keep-alives do their work. Every
//! event of that form is withheld, should a provider send more than one.
//!
//! What this module does not do: take out the member `"usage":null` that the other events get by the same request. It
//! stays, since clients ignore it and the bytes of an event are not rewritten.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::MAX_EVENT;
use super::deltas::mentions_usage;
use super::lines::{Field, Lines, without_bom};
use crate::json::{Cursor, Fault};

/// Up to here an unfinished event is looked at with each chunk; above, each time that it has doubled.
const LOOK_ALWAYS: usize = 4_096;

/// A filter that withholds the usage event of a chat stream, for a client that did not ask for it.
///
/// It withholds each event with empty `choices` and a `usage` that is not null, and the blank line that ends it; every
/// other byte passes unchanged and in order. It keeps back at most one unfinished event of at most [`MAX_EVENT`]
/// bytes, and only while that can still be the one. The member `"usage":null` of the other events stays.
///
/// Use it where [`Inspected::lacks_usage`](crate::inspect::Inspected::lacks_usage) held and the request was rewritten.
/// Give each chunk to [`HideUsage::push`], and call [`HideUsage::finish`] at the end of the stream or at an error.
#[derive(Debug, Default)]
pub struct HideUsage {
    lines: Lines,
    /// The unfinished event, as far as earlier chunks brought it and as long as it may be the one.
    held: BytesMut,
    place: Place,
    /// The current line has bytes in earlier chunks.
    in_line: bool,
    /// The hidden event ended with a CR at the end of its chunk; an LF that follows belongs to it.
    hide_lf: bool,
    past_first_event: bool,
    /// The length of `held` when it was last looked at.
    looked_at: usize,
}

/// Where the stream stands between two chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In an event that may be the one, or between events.
    #[default]
    Open,
    /// In an event that is not.
    Passing,
    /// In a comment before an event.
    Comment,
}

/// A chunk while it is worked on.
struct Work<'a> {
    chunk: &'a Bytes,
    /// The first byte that was not yet passed or withheld.
    from: usize,
    /// Where the current event starts, or goes on, in this chunk.
    event: usize,
    passed: Passed,
}

/// The bytes that pass, in order. None of them is empty.
#[derive(Debug, Default)]
pub struct Passed {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
}

/// What an event is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    It,
    NotIt,
    /// It is too short to say.
    Open,
}

impl HideUsage {
    /// A filter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives those that may pass now.
    pub fn push(&mut self, chunk: Bytes) -> Passed {
        let mut at = self.lines.leftover(&chunk);
        let hidden = if at > 0 && self.hide_lf { at } else { 0 };
        self.hide_lf &= chunk.is_empty();
        let mut work = Work {
            chunk: &chunk,
            from: hidden,
            event: if self.held.is_empty() { at } else { 0 },
            passed: Passed::default(),
        };
        while let Some(line) = self.lines.next(&chunk, at) {
            let start = std::mem::replace(&mut at, line.next);
            let in_line = std::mem::take(&mut self.in_line);
            self.line(&mut work, start, line.text, line.next, in_line);
        }
        self.in_line |= at < chunk.len();
        self.tail(&mut work);
        work.pass_up_to(chunk.len());
        work.passed
    }

    /// Gives what is still withheld at the end of the stream, unless it is the event.
    pub fn finish(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        let passes = !held.is_empty() && self.verdict(&held) != Verdict::It;
        passes.then(|| held.freeze())
    }

    fn line(&mut self, work: &mut Work<'_>, start: usize, text: &[u8], next: usize, in_line: bool) {
        let blank = text.is_empty() && !in_line;
        match self.place {
            Place::Passing if !blank => {}
            Place::Passing | Place::Comment => {
                self.place = Place::Open;
                work.event = next;
            }
            Place::Open if blank => self.end(work, start, next),
            Place::Open => {
                let is_first = self.held.is_empty() && start == work.event;
                if is_first && Field::of(text) == Field::Comment {
                    work.event = next;
                }
            }
        }
    }

    /// An event that may be the one ends: its blank line starts at `start`.
    fn end(&mut self, work: &mut Work<'_>, start: usize, next: usize) {
        let here = &work.chunk[work.event..start];
        let hide = if self.held.is_empty() {
            self.is_it(here)
        } else {
            self.held.extend_from_slice(here);
            self.is_it(&self.held)
        };
        if !self.held.is_empty() {
            let event = self.held.split().freeze();
            work.from = if hide { next } else { start };
            work.passed.add(if hide { Bytes::new() } else { event });
        } else if hide {
            work.pass_up_to(work.event);
            work.from = next;
        }
        self.hide_lf = hide && next == work.chunk.len() && work.chunk[next - 1] == b'\r';
        self.past_first_event = true;
        work.event = next;
    }

    /// What follows the last line end of the chunk, and the lines of the unfinished event before it.
    fn tail(&mut self, work: &mut Work<'_>) {
        let tail = &work.chunk[work.event..];
        if self.place != Place::Open || tail.is_empty() {
            return;
        }
        if self.held.is_empty() {
            if tail[0] == b':' {
                self.place = Place::Comment;
            } else if tail.len() > MAX_EVENT || self.verdict(tail) == Verdict::NotIt {
                self.place = Place::Passing;
            } else {
                work.pass_up_to(work.event);
                self.hold(work, tail);
            }
            return;
        }
        self.hold(work, tail);
        let due = self.held.len() <= LOOK_ALWAYS || self.held.len() >= 2 * self.looked_at;
        let passes = self.held.len() > MAX_EVENT || due && self.verdict(&self.held) == Verdict::NotIt;
        if passes {
            work.passed.add(self.held.split().freeze());
            self.place = Place::Passing;
        } else if due {
            self.looked_at = self.held.len();
        }
    }

    fn hold(&mut self, work: &mut Work<'_>, tail: &[u8]) {
        if self.held.is_empty() {
            self.looked_at = tail.len();
        }
        self.held.extend_from_slice(tail);
        work.from = work.chunk.len();
    }

    fn is_it(&self, event: &[u8]) -> bool {
        event.len() <= MAX_EVENT && mentions_usage(event) && self.verdict(event) == Verdict::It
    }

    fn verdict(&self, event: &[u8]) -> Verdict {
        Verdict::of(&payload(event, !self.past_first_event))
    }
}

impl Work<'_> {
    fn pass_up_to(&mut self, end: usize) {
        if self.from < end {
            self.passed.add(self.chunk.slice(self.from..end));
            self.from = end;
        }
    }
}

impl Passed {
    pub(super) fn add(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        match self.first {
            None => self.first = Some(bytes),
            Some(_) => self.rest.push_back(bytes),
        }
    }
}

impl Iterator for Passed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let length = usize::from(self.first.is_some()) + self.rest.len();
        (length, Some(length))
    }
}

impl FromIterator<Bytes> for Passed {
    fn from_iter<I: IntoIterator<Item = Bytes>>(bytes: I) -> Self {
        let mut passed = Self::default();
        bytes.into_iter().for_each(|bytes| passed.add(bytes));
        passed
    }
}

impl ExactSizeIterator for Passed {}

impl std::iter::FusedIterator for Passed {}

/// Why a payload was not read to its end.
enum Stop {
    NotIt,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Verdict {
    fn of(payload: &[u8]) -> Self {
        let (mut no_choices, mut usage) = (false, false);
        let mut cursor = Cursor::new(payload);
        let read = cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            match (key.raw(), first) {
                (b"choices", b'[') => {
                    no_choices = true;
                    cursor.array(|_| Err(Stop::NotIt))
                }
                (b"choices", _) | (b"usage", b'n') => Err(Stop::NotIt),
                (b"usage", _) => {
                    usage = true;
                    Ok(cursor.skip()?)
                }
                _ => Ok(cursor.skip()?),
            }
        });
        match read.and_then(|()| Ok(cursor.end()?)) {
            Ok(()) if no_choices && usage => Self::It,
            Err(Stop::Fault(fault)) if fault.at >= payload.len() => Self::Open,
            Ok(()) | Err(_) => Self::NotIt,
        }
    }
}

/// The payload of an event, whose last line may be unfinished.
fn payload(event: &[u8], has_bom: bool) -> Cow<'_, [u8]> {
    let event = if has_bom { without_bom(event) } else { event };
    let (mut lines, mut at) = (Lines::new(), 0);
    let mut payload: Option<Cow<'_, [u8]>> = None;
    while at < event.len() {
        let line = match lines.next(event, at) {
            Some(line) => {
                at = line.next;
                line.text
            }
            None => &event[std::mem::replace(&mut at, event.len())..],
        };
        let Field::Data(value) = Field::of(line) else {
            continue;
        };
        match &mut payload {
            None => payload = Some(Cow::Borrowed(value)),
            Some(payload) => {
                payload.to_mut().push(b'\n');
                payload.to_mut().extend_from_slice(value);
            }
        }
    }
    payload.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::fixtures::{CHAT_STREAM, sse};
    use super::super::oracle;
    use super::*;

    /// What passes, chunk by chunk, and at the end.
    fn passed(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut hide = HideUsage::new();
        let mut passed: Vec<Vec<u8>> =
            chunks.iter().map(|chunk| hide.push(Bytes::copy_from_slice(chunk)).collect::<Vec<_>>().concat()).collect();
        passed.push(hide.finish().unwrap_or_default().to_vec());
        passed
    }

    fn text(chunks: &[&[u8]]) -> String {
        String::from_utf8(passed(chunks).concat()).unwrap()
    }

    #[test]
    fn only_the_event_with_usage_and_without_choices_is_withheld() {
        let others: Vec<&str> = CHAT_STREAM.iter().copied().filter(|p| *p != CHAT_STREAM[4]).collect();
        assert_eq!(text(&[&sse(CHAT_STREAM)]).as_bytes(), sse(&others));
        for kept in [
            r#"{"choices":[],"prompt_filter_results":[]}"#,
            r#"{"choices":[],"usage":null}"#,
            r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":1}}"#,
            r#"{"x":{"choices":[],"usage":{}}}"#,
            r#"{"choices":[],"usage":{}"#,
            r#"{"choices":[],"usage":{}} 1"#,
        ] {
            assert_eq!(text(&[&sse(&[kept])]).as_bytes(), sse(&[kept]), "{kept}");
        }
    }

    #[test]
    fn a_content_delta_is_not_kept_back_once_its_choices_begin() {
        let event = br#"data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hello"#;
        assert_eq!(passed(&[event]), [event.to_vec(), vec![]]);
        let (start, rest) = event.split_at(24);
        assert_eq!(passed(&[start, rest]), [vec![], event.to_vec(), vec![]]);
        assert_eq!(passed(&[b"data: [DON"])[0], b"data: [DON");
        assert_eq!(passed(&[b": keep-al", b"ive\n", b"\n"])[..2], [b": keep-al".to_vec(), b"ive\n".to_vec()]);
    }

    #[test]
    fn the_line_feed_of_the_hidden_blank_line_is_hidden_too() {
        let event = format!("data: {}\r\n\r", CHAT_STREAM[4]);
        assert_eq!(text(&[event.as_bytes(), b"\n", b"data: [DONE]\r\n\r\n"]), "data: [DONE]\r\n\r\n");
        assert_eq!(text(&[event.as_bytes(), b"", b"\ndata: [DONE]"]), "data: [DONE]");
        assert_eq!(text(&[event.as_bytes(), b"data: [DONE]"]), "data: [DONE]");
    }

    #[test]
    fn a_whole_chunk_passes_without_a_copy() {
        let chunk = Bytes::from(sse(&CHAT_STREAM[..4]));
        let passed: Vec<Bytes> = HideUsage::new().push(chunk.clone()).collect();
        assert_eq!(passed.len(), 1);
        assert_eq!(passed[0].as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn an_unfinished_event_above_the_bound_passes() {
        let mut hide = HideUsage::new();
        let start = Bytes::from_static(b"data: {\"choices\":[],\"usage\":{},\"x\":\"");
        assert_eq!(hide.push(start).len(), 0);
        let chunk = Bytes::from(vec![b'x'; 65_536]);
        let mut out = 0;
        for _ in 0..32 {
            out += hide.push(chunk.clone()).map(|bytes| bytes.len()).sum::<usize>();
            assert!(hide.held.len() <= MAX_EVENT);
        }
        assert_eq!(out, 36 + 32 * 65_536);
        let rest: Vec<Bytes> = hide.push(Bytes::from(sse(&["\"}", CHAT_STREAM[4], "[DONE]"]))).collect();
        assert_eq!(rest.concat(), b"data: \"}\n\ndata: [DONE]\n\n");
    }

    #[test]
    fn the_event_is_withheld_up_to_the_bound_and_passes_above_it_however_it_is_split() {
        let frame = "data: {\"choices\":[],\"usage\":{},\"x\":\"\"}\n".len();
        for (length, withheld) in [(MAX_EVENT - frame, true), (MAX_EVENT - frame + 1, false)] {
            let padding = "x".repeat(length);
            let event = sse(&[&format!("{{\"choices\":[],\"usage\":{{}},\"x\":\"{padding}\"}}")]);
            for size in [event.len(), 65_537, MAX_EVENT] {
                let chunks: Vec<&[u8]> = event.chunks(size).collect();
                assert_eq!(passed(&chunks).concat().is_empty(), withheld, "{size}");
            }
        }
    }

    #[test]
    fn byte_by_byte_chunks_of_a_large_event_do_not_cost_its_square() {
        let mut hide = HideUsage::new();
        let event = format!("data: {{\"choices\":[],\"x\":\"{}", "y".repeat(300_000));
        let mut looks = 0;
        let mut looked_at = 0;
        for byte in event.bytes() {
            assert_eq!(hide.push(Bytes::copy_from_slice(&[byte])).len(), 0);
            looks += usize::from(hide.looked_at != looked_at);
            looked_at = hide.looked_at;
        }
        assert!(looks < LOOK_ALWAYS + 16, "{looks}");
    }

    /// The stream without the event, found by taking it apart line by line.
    fn oracle(stream: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(stream.to_vec()).unwrap();
        let marked = text.replace("\r\n", "\u{1}").replace('\r', "\u{2}").replace('\n', "\u{3}");
        let (mut kept, mut event, mut bom) = (String::new(), String::new(), marked.starts_with('\u{feff}'));
        for line in marked.split_inclusive(['\u{1}', '\u{2}', '\u{3}']) {
            if event.is_empty() && line.starts_with(':') {
                kept += line;
                continue;
            }
            event += line;
            if line.trim_end_matches(['\u{1}', '\u{2}', '\u{3}']).is_empty() {
                kept += if is_it(&event, bom) { "" } else { &event };
                (event, bom) = (String::new(), false);
            }
        }
        kept += if is_it(&event, bom) { "" } else { &event };
        kept.replace('\u{1}', "\r\n").replace('\u{2}', "\r").replace('\u{3}', "\n").into_bytes()
    }

    fn is_it(event: &str, bom: bool) -> bool {
        let event = event.strip_prefix('\u{feff}').filter(|_| bom).unwrap_or(event);
        let data: Vec<&str> =
            event.split(['\u{1}', '\u{2}', '\u{3}']).filter_map(|line| line.strip_prefix("data:")).collect();
        let value: Value = serde_json::from_str(&data.join("\n")).unwrap_or_default();
        value["choices"] == serde_json::json!([]) && !value["usage"].is_null()
    }

    fn event() -> impl Strategy<Value = String> {
        let payloads =
            [CHAT_STREAM, &[r#"{"choices" : [ ] , "usage": {"a":[1]}, "n":null, "t":true,"s":"\u00e9"}"#]].concat();
        let before = proptest::sample::select(vec!["", ": note\n", "\n", "event: x\n", "id: 3\n: note\n"]);
        (proptest::sample::select(payloads), any::<bool>(), before).prop_map(|(payload, pretty, before)| {
            let payload = match serde_json::from_str::<Value>(payload) {
                Ok(value) if pretty => serde_json::to_string_pretty(&value).unwrap(),
                _ => payload.to_owned(),
            };
            let lines: String = payload.lines().map(|line| format!("data: {line}\n")).collect();
            format!("{before}{lines}\n")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn what_passes_is_the_stream_without_that_event_however_it_is_split(
            events in proptest::collection::vec(event(), 0..6),
            end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
            bom in any::<bool>(),
            lost in 0_usize..60,
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream = [if bom { "\u{feff}" } else { "" }, &events.concat().replace('\n', end)].concat();
            let stream = &stream.as_bytes()[..stream.len().saturating_sub(lost.saturating_sub(30))];
            prop_assume!(std::str::from_utf8(stream).is_ok());
            let kept = passed(&oracle::split(stream, &cuts)).concat();
            prop_assert_eq!(String::from_utf8(kept), String::from_utf8(oracle(stream)));
        }

        #[test]
        fn bytes_without_that_event_pass_unchanged(
            bytes in proptest::collection::vec(proptest::sample::select(b"\r\n:d{}[]\"ata \xFFx".to_vec()), 0..80),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            prop_assert_eq!(passed(&oracle::split(&bytes, &cuts)).concat(), bytes);
        }
    }
}
