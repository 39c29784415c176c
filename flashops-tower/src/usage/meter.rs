//! The meter: one for each response.

use flashops_core::estimate::Estimate;
use flashops_core::units::Tokens;
use flashops_core::usage::{OtherModel, Quality, Usage};

use super::deltas::{Deltas, is_said_again, says_more};
use super::events::{Events, Sink};
use super::frames::Frames;
use super::pieces::{JsonArray, JsonLines};
use super::put_off::{MAX_PUT_OFF, PutOff};
use super::reading::Reading;
use crate::inspect::WireFormat;

/// The largest JSON body that is kept to be read at its end: 8 MiB.
pub const MAX_JSON_BODY: usize = 8 << 20;

/// How the bytes of a response body are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One JSON document (`application/json`); of Gemini also an array that is a stream.
    Json,
    /// Server-sent events (`text/event-stream`).
    Sse,
    /// JSON documents, one a line (`application/x-ndjson`).
    JsonLines,
    /// Amazon's binary event stream (`application/vnd.amazon.eventstream`).
    AmazonEvents,
}

impl BodyKind {
    /// The kind of a body with this `content-type`, if it is one that can be read. Parameters are ignored.
    pub fn of(content_type: &str) -> Option<Self> {
        const TYPES: [(&str, BodyKind); 7] = [
            ("text/event-stream", BodyKind::Sse),
            ("application/json", BodyKind::Json),
            ("application/x-ndjson", BodyKind::JsonLines),
            ("application/ndjson", BodyKind::JsonLines),
            ("application/jsonl", BodyKind::JsonLines),
            ("application/json-lines", BodyKind::JsonLines),
            ("application/vnd.amazon.eventstream", BodyKind::AmazonEvents),
        ];
        let media_type = content_type.split(';').next()?.trim();
        TYPES.iter().find_map(|(name, kind)| media_type.eq_ignore_ascii_case(name).then_some(*kind))
    }
}

/// Reads the usage of one response from its bytes.
///
/// See the [module docs](super) for an example and for what is bounded.
#[derive(Clone, Debug)]
pub struct Meter {
    format: WireFormat,
    body: Body,
    tally: Tally,
}

#[derive(Clone, Debug)]
enum Body {
    Json { kept: Vec<u8>, oversize: bool, size: u64 },
    Array(JsonArray),
    Sse(Events),
    Lines(JsonLines),
    Frames(Frames),
}

/// What was read and counted.
#[derive(Clone, Debug)]
struct Tally {
    format: WireFormat,
    /// Of all events but those that are put off.
    reading: Reading,
    put_off: PutOff,
    deltas: u64,
    text_bytes: u64,
}

impl Meter {
    /// A meter for a response in this format and of this kind.
    pub fn new(format: WireFormat, kind: BodyKind) -> Self {
        let body = match kind {
            BodyKind::Json => Body::Json { kept: Vec::new(), oversize: false, size: 0 },
            BodyKind::Sse => Body::Sse(Events::new()),
            BodyKind::JsonLines => Body::Lines(JsonLines::default()),
            BodyKind::AmazonEvents => Body::Frames(Frames::default()),
        };
        Self { format, body, tally: Tally::new(format) }
    }

    /// Looks at the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_gemini_array(bytes) {
            self.body = Body::Array(JsonArray::default());
        }
        match &mut self.body {
            Body::Sse(events) => events.push(bytes, &mut self.tally),
            Body::Array(array) => array.push(bytes, &mut self.tally),
            Body::Lines(lines) => lines.push(bytes, &mut self.tally),
            Body::Frames(frames) => frames.push(bytes, &mut self.tally),
            Body::Json { kept, oversize, size } => {
                *size += bytes.len() as u64;
                *oversize |= *size > MAX_JSON_BODY as u64;
                if *oversize {
                    *kept = Vec::new();
                } else {
                    kept.extend_from_slice(bytes);
                }
            }
        }
    }

    /// Whether a body of Gemini's turns out to be the array that it streams when nobody asks for events.
    fn is_gemini_array(&self, bytes: &[u8]) -> bool {
        let Body::Json { kept, oversize: false, .. } = &self.body else {
            return false;
        };
        self.format == WireFormat::Gemini
            && bytes.trim_ascii_start().first() == Some(&b'[')
            && kept.trim_ascii().is_empty()
    }

    /// Counts so many bytes of the body that cannot be read: they are text, for all that is known.
    #[cfg(feature = "decompress")]
    pub(super) fn pass_over(&mut self, bytes: usize) {
        match &mut self.body {
            Body::Json { size, .. } => *size += bytes as u64,
            _ => self.tally.text_bytes += bytes as u64,
        }
    }

    /// Reads what is left when no more bytes will come, be it the proper end or not.
    ///
    /// A JSON body is read here and not before. Finishing twice does nothing more.
    pub fn finish(&mut self) {
        match &mut self.body {
            Body::Sse(events) => events.finish(&mut self.tally),
            Body::Lines(lines) => lines.finish(&mut self.tally),
            // What is unfinished here is no event.
            Body::Array(_) | Body::Frames(_) => {}
            Body::Json { kept, .. } => {
                let body = std::mem::take(kept);
                self.tally.reading.body(&body);
            }
        }
    }

    /// What the provider has reported so far.
    ///
    /// [`Quality::Absent`] when it has reported nothing that can be used. [`Quality::Estimated`] when a number was
    /// invalid or missing, when the numbers contradict each other, and when the report was sent before the output was
    /// complete. An output that was not reported is then [`Meter::counted_output`]; an input that was not reported is
    /// zero, and [`Meter::usage_within`] fills it in.
    pub fn usage(&self) -> Usage {
        self.tally.read().usage(self.format, Tokens::ZERO, self.counted_output())
    }

    /// [`Meter::usage`], with what was estimated in place of an input that was not reported, and
    /// [`Meter::counted_within`] the estimate in place of an output that was not.
    pub fn usage_within(&self, estimate: Estimate) -> Usage {
        self.tally.read().usage(self.format, estimate.input, self.counted_within(estimate.output))
    }

    /// The parts of the usage that other models than the one that was asked for had, at most eight models.
    pub fn other_models(&self) -> Vec<OtherModel> {
        self.tally.read().others()
    }

    /// What to charge for a response that was cut or reported nothing: what was reported, or the input estimate with
    /// the counted output, whichever is more.
    ///
    /// A report that is [`Quality::Exact`] is the provider's last word and is returned as it is. Anything else comes
    /// back [`Quality::Estimated`], with the estimate in place of an input that was not reported.
    pub fn usage_or(&self, input_estimate: Tokens) -> Usage {
        let reported = self.tally.read().usage(self.format, input_estimate, self.counted_output());
        let counted = Usage::estimated(input_estimate, self.counted_output());
        let counted = Usage { service_tier: reported.service_tier, ..counted };
        match reported.quality {
            Quality::Exact => reported,
            Quality::Estimated if reported.total() >= counted.total() => reported,
            Quality::Estimated | Quality::Absent => counted,
        }
    }

    /// An estimate of the output that has passed: of the number of content deltas and a quarter of the bytes of text,
    /// rounded up, the larger.
    ///
    /// One JSON document counts with all its bytes, since where its text begins is not known before it is complete. An
    /// embedding has no output. It can be below the real number: tokens that a provider keeps to itself are not in the
    /// bytes.
    pub fn counted_output(&self) -> Tokens {
        let (deltas, bytes) = self.counted();
        Tokens::saturating(deltas.max(bytes.div_ceil(4)))
    }

    /// [`Meter::counted_output`], where the provider was asked for no more than so many tokens: what the bytes make of
    /// it beyond that is not believed, and what the deltas do is.
    pub fn counted_within(&self, cap: Tokens) -> Tokens {
        let (deltas, bytes) = self.counted();
        Tokens::saturating(deltas.max(bytes.div_ceil(4).min(cap.get())))
    }

    /// Content deltas and bytes of text.
    const fn counted(&self) -> (u64, u64) {
        match &self.body {
            _ if !self.format.has_output() => (0, 0),
            Body::Json { size, .. } => (0, *size),
            _ => (self.tally.deltas, self.tally.text_bytes),
        }
    }

    /// Whether the body is a stream, whose output is counted while it comes; one JSON document is not.
    pub const fn is_stream(&self) -> bool {
        !matches!(self.body, Body::Json { .. })
    }

    /// Whether the body is complete by its own account: the stream's last event was seen, or, after
    /// [`Meter::finish`], the JSON was whole.
    pub fn ended(&self) -> bool {
        self.tally.read().ended
    }

    /// Whether the provider reported an error inside the body.
    pub fn error_event(&self) -> bool {
        self.tally.read().error
    }
}

impl Tally {
    fn new(format: WireFormat) -> Self {
        Self { format, reading: Reading::new(), put_off: PutOff::default(), deltas: 0, text_bytes: 0 }
    }

    /// All that was learnt so far.
    fn read(&self) -> Reading {
        let mut reading = self.reading.clone();
        self.put_off.payloads().for_each(|payload| reading.event(self.format, payload));
        reading
    }

    /// Reads what was put off.
    fn catch_up(&mut self) {
        if !self.put_off.is_empty() {
            self.reading = self.read();
            self.put_off.clear();
        }
    }

    fn count(&mut self, payload: &[u8]) -> Deltas {
        let deltas = Deltas::of(self.format, payload);
        self.deltas += deltas.count;
        self.text_bytes += deltas.bytes;
        deltas
    }
}

impl Sink for Tally {
    fn event(&mut self, payload: &[u8], is_error: bool) {
        self.reading.error |= is_error;
        if payload.first() == Some(&b'[') && payload.trim_ascii() == b"[DONE]" {
            self.catch_up();
            self.reading.ended = true;
            return;
        }
        // Almost every event is content without usage, and nothing else is looked at in it.
        let has_text = self.count(payload).count > 0;
        if has_text && !says_more(self.format, payload) {
            return;
        }
        if has_text && payload.len() <= MAX_PUT_OFF && is_said_again(self.format, payload) {
            return self.put_off.put(payload);
        }
        self.catch_up();
        self.reading.event(self.format, payload);
    }

    fn oversize(&mut self, start: &[u8]) -> bool {
        self.count(start).open
    }

    fn more(&mut self, bytes: usize) {
        self.text_bytes += bytes as u64;
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
