//! Ends a stream before its provider does, so that clients take it for a whole one.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::inspect::WireFormat;
//! use flashops_tower::usage::{BodyKind, CutStream};
//!
//! let mut cut = CutStream::new(WireFormat::OpenAiChat, BodyKind::Sse).expect("it has an end");
//! let chunk = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"id\":\"c1\",\"cho";
//! let passed: Vec<Bytes> = cut.push(Bytes::from(chunk)).collect();
//! assert_eq!(passed.concat(), &chunk.as_bytes()[..chunk.len() - 21]);
//! let ending = cut.end_here(1);
//! assert!(ending.starts_with(b"data: {\"id\":\"c1\","));
//! assert!(ending.ends_with(b"\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"));
//! ```
//!
//! A stream can only be ended between two of its pieces (events, lines, elements, frames), so the unfinished one at
//! the end of each chunk is withheld until the rest of it has come. What ends the stream looks as if the output cap had
//! been reached, which every client knows:
//!
//! | format | the end |
//! | --- | --- |
//! | chat completions, of Mistral and xAI too; completions | `finish_reason` `length` for each open choice, `[DONE]` |
//! | responses | `response.incomplete` with the reason `max_output_tokens` |
//! | messages | the open block ends, `stop_reason` `max_tokens` with the output counted, `message_stop` |
//! | Gemini, as events and as an array | `finishReason` `MAX_TOKENS` for each open candidate, with the usage last reported |
//! | Cohere | the open block ends, `message-end` with the reason `MAX_TOKENS` |
//! | Ollama | a line with `done` and `done_reason` `length` |
//! | Bedrock's `ConverseStream` | the open block stops, `messageStop` with the reason `max_tokens` |
//!
//! Edge cases: an unfinished event above [`MAX_EVENT`] passes as it comes; if the stream is ended inside it, a blank
//! line ends the event first. In another framing a stream cannot be ended inside such a piece, nor where it cannot
//! be read ([`CutStream::can_end`]). A choice or block that has ended is not ended again. What the first events did not
//! say (an identity, a model) is left out. No usage is told that the provider did not report, except the output of
//! messages, which the format asks for; so Bedrock's `metadata` does not come.
//!
//! What this module does not do: decide that a stream ends, or end a response that is no stream, or one that comes in
//! another framing than its format has. Those go on, as debt.

mod bedrock;
mod chat;
mod choices;
mod cohere;
mod ends;
mod gemini;
mod messages;
mod ollama;
mod responses;
mod whole;

use bytes::Bytes;

use self::bedrock::Bedrock;
use self::chat::Chat;
use self::cohere::Cohere;
use self::ends::{ArrayEnds, Ends, FrameEnds};
use self::gemini::Gemini;
use self::messages::Messages;
use self::ollama::Ollama;
use self::responses::Responses;
use self::whole::Whole;
use super::events::{Events, Sink};
use super::frames::Frames;
use super::lines::Lines;
use super::pieces::{JsonArray, JsonLines};
use super::{BodyKind, MAX_EVENT, Passed};
use crate::inspect::WireFormat;

/// A filter that can end a stream at any time.
///
/// See the [module docs](self) for an example and for what it writes.
#[derive(Debug)]
pub struct CutStream {
    whole: Whole,
    pieces: Pieces,
    seen: Seen,
}

/// The reader of a framing.
#[derive(Debug)]
enum Pieces {
    Events(Events),
    Lines(JsonLines),
    Array(JsonArray),
    Frames(Frames),
}

/// What was seen of the stream, as far as its end depends on it.
#[derive(Debug)]
enum Seen {
    Chat(Chat),
    Messages(Messages),
    Responses(Box<Responses>),
    Gemini(Gemini),
    Cohere(Cohere),
    Ollama(Ollama),
    Bedrock(Bedrock),
}

impl CutStream {
    /// A filter at the start of a stream in this format and of this kind; `None` if it cannot write its end.
    ///
    /// A [`BodyKind::Json`] of Gemini's can be the array that it streams; one that turns out to be a single document
    /// passes, and cannot be ended.
    pub fn new(format: WireFormat, kind: BodyKind) -> Option<Self> {
        let seen = match (format, kind) {
            (WireFormat::OpenAiChat | WireFormat::MistralChat | WireFormat::XaiChat, BodyKind::Sse) => {
                Seen::Chat(Chat::new())
            }
            (WireFormat::OpenAiCompletions, BodyKind::Sse) => Seen::Chat(Chat::completions()),
            (WireFormat::OpenAiResponses, BodyKind::Sse) => Seen::Responses(Box::default()),
            (WireFormat::AnthropicMessages, BodyKind::Sse) => Seen::Messages(Messages::default()),
            (WireFormat::Gemini, BodyKind::Sse | BodyKind::Json) => Seen::Gemini(Gemini::new()),
            (WireFormat::CohereChat, BodyKind::Sse) => Seen::Cohere(Cohere::default()),
            (WireFormat::Ollama, BodyKind::JsonLines) => Seen::Ollama(Ollama::default()),
            (WireFormat::BedrockConverse, BodyKind::AmazonEvents) => Seen::Bedrock(Bedrock::default()),
            _ => return None,
        };
        let (ends, pieces) = match kind {
            BodyKind::Sse => (Ends::events(), Pieces::Events(Events::new())),
            BodyKind::Json => (Ends::Array(ArrayEnds::default()), Pieces::Array(JsonArray::default())),
            BodyKind::JsonLines => (Ends::Lines(Lines::new()), Pieces::Lines(JsonLines::default())),
            BodyKind::AmazonEvents => (Ends::Frames(FrameEnds::default()), Pieces::Frames(Frames::default())),
        };
        Some(Self { whole: Whole::new(ends), pieces, seen })
    }

    /// Takes the next bytes and gives those that may pass now.
    pub fn push(&mut self, chunk: Bytes) -> Passed {
        match &mut self.pieces {
            Pieces::Events(events) => events.push(&chunk, &mut self.seen),
            Pieces::Lines(lines) => lines.push(&chunk, &mut self.seen),
            Pieces::Array(array) => array.push(&chunk, &mut self.seen),
            Pieces::Frames(frames) => frames.push(&chunk, &mut self.seen),
        }
        self.whole.push(chunk)
    }

    /// Gives what is still withheld at the end of the stream.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.whole.finish()
    }

    /// Whether the stream can be ended now. Where it cannot, it may be possible after the next bytes.
    pub fn can_end(&self) -> bool {
        self.whole.can_end()
    }

    /// Drops what is withheld and gives the bytes that end the stream; `output` is what was counted of it, in tokens.
    ///
    /// Where [`CutStream::can_end`] does not hold, clients will not be able to read them.
    pub fn end_here(&mut self, output: u64) -> Bytes {
        let mut ending = String::new();
        if self.whole.is_inside_an_event() {
            ending.push_str("\n\n");
        }
        match &self.seen {
            Seen::Chat(chat) => chat.end(&mut ending),
            Seen::Messages(messages) => messages.end(output, &mut ending),
            Seen::Responses(responses) => responses.end(&mut ending),
            Seen::Gemini(gemini) => self.whole.end(gemini.end().as_deref(), &mut ending),
            Seen::Cohere(cohere) => cohere.end(&mut ending),
            Seen::Ollama(ollama) => ollama.end(&mut ending),
            Seen::Bedrock(bedrock) => return bedrock.end().into(),
        }
        ending.into()
    }
}

impl Sink for Seen {
    fn event(&mut self, payload: &[u8], _is_error: bool) {
        // What cannot be read says nothing; the client gets it as it is.
        let _unread = match self {
            Self::Chat(chat) => chat.see(payload),
            Self::Messages(messages) => messages.see(payload),
            Self::Responses(responses) => responses.see(payload),
            Self::Gemini(gemini) => gemini.see(payload),
            Self::Cohere(cohere) => cohere.see(payload),
            Self::Ollama(ollama) => ollama.see(payload),
            Self::Bedrock(bedrock) => bedrock.see(payload),
        };
    }

    fn oversize(&mut self, _: &[u8]) -> bool {
        false
    }

    fn more(&mut self, _: usize) {}
}

/// The event of a payload that is complete on one line.
fn write_event(name: Option<&str>, payload: &str, out: &mut String) {
    if let Some(name) = name {
        out.push_str("event: ");
        out.push_str(name);
        out.push('\n');
    }
    out.push_str("data: ");
    out.push_str(payload);
    out.push_str("\n\n");
}

/// The most bytes of a name or number that is repeated from an earlier event.
const MAX_WORD: usize = 256;

/// A JSON value as it was written, if it is a word or number and not too long.
fn word(payload: &[u8], (start, end): (usize, usize)) -> Option<Box<str>> {
    let raw = payload.get(start..end)?;
    let fits = raw.len() <= MAX_WORD && !matches!(raw.first(), Some(b'{' | b'[') | None);
    std::str::from_utf8(raw).ok().filter(|_| fits).map(Into::into)
}

/// A JSON text without line ends, which would end the line of an event.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests;
