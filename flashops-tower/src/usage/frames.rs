//! Amazon's binary event stream: a prelude of two lengths and their checksum, headers, a payload, and a checksum of
//! all.
//!
//! Edge cases: a frame above [`MAX_EVENT`] is passed over by its length, and its bytes are reported. From a checksum
//! or length that is wrong on nothing is read, since nobody knows where the next frame begins; the bytes are reported.

use super::MAX_EVENT;
use super::events::Sink;

/// Two lengths and a checksum.
pub(super) const PRELUDE: usize = 12;

/// The checksum at the end.
const CHECKSUM: usize = 4;

/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// Splits a stream into its frames. It keeps at most one that is unfinished.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    kept: Vec<u8>,
    /// Bytes of an oversize frame that are still to come.
    skip: usize,
    broken: bool,
}

/// What a prelude says.
pub(super) enum Prelude {
    Unfinished,
    Length(usize),
    Broken,
}

impl Frames {
    pub(super) fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.broken {
                return sink.more(rest.len());
            }
            let skipped = self.skip.min(rest.len());
            if skipped > 0 {
                self.skip -= skipped;
                sink.more(skipped);
                rest = &rest[skipped..];
            } else if self.kept.is_empty() {
                rest = self.in_place(rest, sink);
            } else {
                rest = self.kept_on(rest, sink);
            }
        }
    }

    /// A frame that begins here; gives what follows it.
    fn in_place<'c>(&mut self, rest: &'c [u8], sink: &mut impl Sink) -> &'c [u8] {
        match Prelude::of(rest) {
            Prelude::Broken => self.broken = true,
            Prelude::Length(length) if length > MAX_EVENT => self.skip = length,
            Prelude::Length(length) if length <= rest.len() => {
                let (frame, after) = rest.split_at(length);
                return match self.frame(frame, sink) {
                    true => after,
                    false => rest,
                };
            }
            Prelude::Unfinished | Prelude::Length(_) => {
                self.kept.extend_from_slice(rest);
                return &[];
            }
        }
        rest
    }

    /// Goes on with a frame that began in an earlier chunk.
    fn kept_on<'c>(&mut self, rest: &'c [u8], sink: &mut impl Sink) -> &'c [u8] {
        let wanted = match Prelude::of(&self.kept) {
            Prelude::Unfinished => PRELUDE,
            Prelude::Length(length) => length,
            Prelude::Broken => return self.give_up(rest, sink),
        };
        let (taken, rest) = rest.split_at(rest.len().min(wanted - self.kept.len()));
        self.kept.extend_from_slice(taken);
        match Prelude::of(&self.kept) {
            Prelude::Unfinished => {}
            Prelude::Broken => return self.give_up(rest, sink),
            Prelude::Length(length) if length > MAX_EVENT => {
                self.skip = length - self.kept.len();
                sink.more(self.kept.len());
                self.kept = Vec::new();
            }
            Prelude::Length(length) if length > self.kept.len() => {}
            Prelude::Length(_) => {
                let frame = std::mem::take(&mut self.kept);
                let whole = self.frame(&frame, sink);
                self.kept = frame;
                if !whole {
                    return self.give_up(rest, sink);
                }
                self.kept.clear();
            }
        }
        rest
    }

    fn give_up<'c>(&mut self, rest: &'c [u8], sink: &mut impl Sink) -> &'c [u8] {
        self.broken = true;
        sink.more(std::mem::take(&mut self.kept).len());
        rest
    }

    /// Reads a whole frame, if it is sound.
    fn frame(&mut self, frame: &[u8], sink: &mut impl Sink) -> bool {
        let (covered, checksum) = frame.split_at(frame.len() - CHECKSUM);
        let headers = PRELUDE + number(&frame[4..8]);
        let is_error = covered.get(PRELUDE..headers).and_then(is_error);
        match is_error {
            Some(is_error) if crc32fast::hash(covered) as usize == number(checksum) => {
                sink.event(&covered[headers..], is_error);
                true
            }
            _ => {
                self.broken = true;
                false
            }
        }
    }
}

impl Prelude {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let Some(prelude) = bytes.first_chunk::<PRELUDE>() else {
            return Self::Unfinished;
        };
        let (length, headers) = (number(&prelude[..4]), number(&prelude[4..8]));
        let sound = crc32fast::hash(&prelude[..8]) as usize == number(&prelude[8..]);
        match length.checked_sub(PRELUDE + CHECKSUM) {
            Some(room) if sound && headers <= room => Self::Length(length),
            _ => Self::Broken,
        }
    }
}

/// Whether the headers say that this is no event but an exception or an error; `None` if they cannot be read.
fn is_error(mut headers: &[u8]) -> Option<bool> {
    let mut is_error = false;
    while !headers.is_empty() {
        let name = take_short(&mut headers, 1)?;
        let (&kind, after) = headers.split_first()?;
        headers = after;
        let value = match kind {
            0 | 1 => &[],
            2 => take(&mut headers, 1)?,
            3 => take(&mut headers, 2)?,
            4 => take(&mut headers, 4)?,
            5 | 8 => take(&mut headers, 8)?,
            6 | STRING => take_short(&mut headers, 2)?,
            9 => take(&mut headers, 16)?,
            _ => return None,
        };
        is_error |= name == b":message-type" && value != b"event";
    }
    Some(is_error)
}

/// Writes the frame of an event with a JSON payload. Name and payload are short.
pub(super) fn event_frame(name: &str, payload: &str, out: &mut Vec<u8>) {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(STRING);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let start = out.len();
    let length = PRELUDE + headers.len() + payload.len() + CHECKSUM;
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
}

/// Takes bytes behind a length of so many bytes.
fn take_short<'h>(headers: &mut &'h [u8], width: usize) -> Option<&'h [u8]> {
    let length = number(take(headers, width)?);
    take(headers, length)
}

fn take<'h>(headers: &mut &'h [u8], length: usize) -> Option<&'h [u8]> {
    let (taken, rest) = headers.split_at_checked(length)?;
    *headers = rest;
    Some(taken)
}

/// A number of at most four bytes, the most significant first.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixtures::frame;
    use super::super::oracle;
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        events: Vec<(Vec<u8>, bool)>,
        more: usize,
    }

    impl Sink for Seen {
        fn event(&mut self, payload: &[u8], is_error: bool) {
            self.events.push((payload.to_vec(), is_error));
        }

        fn oversize(&mut self, _: &[u8]) -> bool {
            true
        }

        fn more(&mut self, bytes: usize) {
            self.more += bytes;
        }
    }

    fn seen(chunks: &[&[u8]]) -> Seen {
        let (mut frames, mut seen) = (Frames::default(), Seen::default());
        chunks.iter().for_each(|chunk| frames.push(chunk, &mut seen));
        seen
    }

    #[test]
    fn a_frame_written_by_hand_is_read() {
        // The empty message of Amazon's own test vectors: no headers, no payload.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
        assert_eq!(seen(&[&empty]), Seen { events: vec![(vec![], false)], more: 0 });
    }

    #[test]
    fn a_frame_is_written_as_another_program_writes_it() {
        let mut written = b"before".to_vec();
        event_frame("messageStop", "{\"stopReason\":\"max_tokens\"}", &mut written);
        assert_eq!(written[6..], frame("event", "messageStop", b"{\"stopReason\":\"max_tokens\"}"));
    }

    #[test]
    fn an_exception_is_an_error_and_other_types_of_headers_are_passed_over() {
        let stream = [frame("event", "metadata", b"{}"), frame("exception", "throttlingException", b"{\"message\":1}")];
        assert_eq!(seen(&[&stream.concat()]).events, [(b"{}".to_vec(), false), (b"{\"message\":1}".to_vec(), true)]);
        let headers = b"\x01a\x00\x01b\x02\x07\x01c\x05abcdefgh\x01d\x06\x00\x02ab\x01e\x09aaaaaaaaaaaaaaaa";
        assert_eq!(is_error(headers), Some(false));
        assert_eq!(is_error(b"\x01a\x0a"), None);
        assert_eq!(is_error(b"\x09a"), None);
    }

    #[test]
    fn nothing_is_read_from_a_wrong_checksum_on() {
        let (first, second) = (frame("event", "x", b"{\"a\":1}"), frame("event", "y", b"{}"));
        let stream = [&first[..], &second, &second].concat();
        for at in 0..second.len() {
            let mut stream = stream.clone();
            stream[first.len() + at] ^= 1;
            let whole = seen(&[&stream]);
            assert_eq!(whole.events.len(), 1, "byte {at}");
            assert_eq!(whole.more, 2 * second.len(), "byte {at}");
            assert_eq!(seen(&stream.chunks(1).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn a_frame_above_the_bound_is_passed_over_and_the_next_one_is_read() {
        let large = frame("event", "x", &vec![b'x'; MAX_EVENT]);
        let stream = [large.clone(), frame("event", "y", b"{}")].concat();
        for step in [1, 5_000, 2 * MAX_EVENT] {
            let seen = seen(&stream.chunks(step).collect::<Vec<_>>());
            assert_eq!(seen, Seen { events: vec![(b"{}".to_vec(), false)], more: large.len() });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn any_split_of_frames_and_of_what_is_none_reads_the_same(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            flip in proptest::option::of(any::<prop::sample::Index>()),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let frames = payloads.iter().flat_map(|payload| frame("event", "x", payload));
            let mut stream: Vec<u8> = frames.chain(noise.iter().copied()).collect();
            if let Some(flip) = flip.filter(|_| !stream.is_empty()) {
                let at = flip.index(stream.len());
                stream[at] ^= 1;
            } else {
                let events = seen(&[&stream]).events;
                prop_assert_eq!(events.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>(), payloads);
            }
            prop_assert_eq!(seen(&oracle::split(&stream, &cuts)), seen(&[&stream]));
        }
    }
}
