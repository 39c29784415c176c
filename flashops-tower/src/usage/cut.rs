//! Ends a stream before its provider does, so that clients take it for a whole one.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::inspect::WireFormat;
//! use flashops_tower::usage::CutStream;
//!
//! let mut cut = CutStream::new(WireFormat::OpenAiChat).expect("it has an end");
//! let chunk = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"id\":\"c1\",\"cho";
//! let passed: Vec<Bytes> = cut.push(Bytes::from(chunk)).collect();
//! assert_eq!(passed.concat(), &chunk.as_bytes()[..chunk.len() - 21]);
//! let ending = cut.end_here(1);
//! assert!(ending.starts_with(b"data: {\"id\":\"c1\","));
//! assert!(ending.ends_with(b"\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"));
//! ```
//!
//! A stream can only be ended between two events, so the unfinished event at the end of each chunk is withheld until
//! the rest of it has come. What ends the stream looks as if the output cap had been reached, which every client knows:
//!
//! | format | last events |
//! | --- | --- |
//! | chat completions | `finish_reason` `length` for each open choice, `[DONE]` |
//! | responses | `response.incomplete` with the reason `max_output_tokens` |
//! | messages | the open block ends, `stop_reason` `max_tokens` with the output counted, `message_stop` |
//!
//! Edge cases: an unfinished event above [`MAX_EVENT`] passes as it comes; if the stream is ended inside it, a blank
//! line ends the event first. A choice or block that has ended is not ended again. What the first events did not say
//! (an identity, a model) is left out. No usage is told that the provider did not report, except the output of
//! messages, which the format asks for.
//!
//! What this module does not do: decide that a stream ends, or end a response that is no stream of events, or one of
//! another format. Those go on, as debt.

mod chat;
mod messages;
mod responses;
mod whole;

use bytes::Bytes;

use self::chat::Chat;
use self::messages::Messages;
use self::responses::Responses;
use self::whole::WholeEvents;
use super::events::{Events, Sink};
use super::{MAX_EVENT, Passed};
use crate::inspect::WireFormat;

/// A filter that can end a stream of events at any time.
///
/// See the [module docs](self) for an example and for what it writes.
#[derive(Debug)]
pub struct CutStream {
    whole: WholeEvents,
    events: Events,
    seen: Seen,
}

/// What was seen of the stream, as far as its end depends on it.
#[derive(Debug)]
enum Seen {
    Chat(Chat),
    Messages(Messages),
    Responses(Box<Responses>),
}

impl CutStream {
    /// A filter at the start of a stream in this format; `None` for a format whose end it cannot write.
    pub fn new(format: WireFormat) -> Option<Self> {
        let seen = match format {
            WireFormat::OpenAiChat | WireFormat::MistralChat | WireFormat::XaiChat => Seen::Chat(Chat::default()),
            WireFormat::OpenAiResponses => Seen::Responses(Box::default()),
            WireFormat::AnthropicMessages => Seen::Messages(Messages::default()),
            _ => return None,
        };
        Some(Self { whole: WholeEvents::default(), events: Events::new(), seen })
    }

    /// Takes the next bytes and gives those that may pass now.
    pub fn push(&mut self, chunk: Bytes) -> Passed {
        self.events.push(&chunk, &mut self.seen);
        self.whole.push(chunk)
    }

    /// Gives what is still withheld at the end of the stream.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.whole.finish()
    }

    /// Drops what is withheld and gives the events that end the stream; `output` is what was counted of it, in tokens.
    pub fn end_here(&mut self, output: u64) -> Bytes {
        let mut ending = String::new();
        if self.whole.is_inside_an_event() {
            ending.push_str("\n\n");
        }
        match &self.seen {
            Seen::Chat(chat) => chat.end(&mut ending),
            Seen::Messages(messages) => messages.end(output, &mut ending),
            Seen::Responses(responses) => responses.end(&mut ending),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::fixtures::{CHAT_STREAM, MESSAGES_STREAM, RESPONSES_STREAM, sse};
    use super::*;

    fn payloads(stream: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(stream).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    fn cut_after(format: WireFormat, stream: &[u8], output: u64) -> (Vec<u8>, Bytes) {
        let mut cut = CutStream::new(format).unwrap();
        let passed = cut.push(Bytes::copy_from_slice(stream)).collect::<Vec<_>>().concat();
        (passed, cut.end_here(output))
    }

    #[test]
    fn a_chat_ends_each_choice_that_is_open_and_no_other() {
        let stream = sse(&[
            r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}"#,
            r#"{"id":"c1","choices":[{"index":1,"delta":{"content":"b"}},{"index":2,"delta":{"content":"c"}}]}"#,
            r#"{"id":"c1","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
        ]);
        let (passed, ending) = cut_after(WireFormat::OpenAiChat, &stream, 3);
        assert_eq!(passed, stream);
        assert!(ending.ends_with(b"\n\ndata: [DONE]\n\n"));
        let event = json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [
                {"index": 0, "delta": {}, "logprobs": null, "finish_reason": "length"},
                {"index": 2, "delta": {}, "logprobs": null, "finish_reason": "length"},
            ],
        });
        assert_eq!(payloads(&ending), [event]);
    }

    #[test]
    fn a_chat_of_which_nothing_was_seen_ends_its_first_choice() {
        let (_, ending) = cut_after(WireFormat::OpenAiChat, b"data: {\"id\":", 0);
        assert_eq!(payloads(&ending)[0]["choices"][0]["finish_reason"], "length");
    }

    #[test]
    fn messages_end_their_open_block_and_then_themselves() {
        let (_, ending) = cut_after(WireFormat::AnthropicMessages, &sse(&MESSAGES_STREAM[..4]), 42);
        assert_eq!(
            payloads(&ending),
            [
                json!({"type": "content_block_stop", "index": 0}),
                json!({
                    "type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": null},
                    "usage": {"output_tokens": 42},
                }),
                json!({"type": "message_stop"}),
            ]
        );
        assert!(ending.starts_with(b"event: content_block_stop\ndata: "));
        let (_, ending) = cut_after(WireFormat::AnthropicMessages, &sse(&MESSAGES_STREAM[..6]), 42);
        assert_eq!(payloads(&ending)[0]["type"], "message_delta", "its block has ended");
    }

    #[test]
    fn a_response_ends_incomplete_as_it_began() {
        let stream = sse(&[
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"r1","status":"in_progress","incomplete_details":null,"model":"m","output":[],"usage":null}}"#,
            r#"{"type":"response.output_text.delta","sequence_number":4,"delta":"Hel"}"#,
        ]);
        let (_, ending) = cut_after(WireFormat::OpenAiResponses, &stream, 1);
        let response = json!({
            "id": "r1", "model": "m", "output": [], "usage": null,
            "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
        });
        let event = json!({"type": "response.incomplete", "sequence_number": 5, "response": response});
        assert_eq!(payloads(&ending), [event]);
        assert!(ending.starts_with(b"event: response.incomplete\n"));
        let (_, ending) = cut_after(WireFormat::OpenAiResponses, &sse(&RESPONSES_STREAM[1..2]), 1);
        assert_eq!(payloads(&ending)[0]["response"]["status"], "incomplete");
    }

    #[test]
    fn a_stream_that_is_ended_inside_an_oversize_event_ends_that_first() {
        let mut cut = CutStream::new(WireFormat::OpenAiChat).unwrap();
        let large = format!("data: {{\"x\":\"{}", "a".repeat(MAX_EVENT));
        assert_eq!(cut.push(Bytes::from(large.clone())).map(|passed| passed.len()).sum::<usize>(), large.len());
        assert!(cut.end_here(0).starts_with(b"\n\ndata: {"));
    }

    proptest! {
        #[test]
        fn what_passes_is_the_stream_up_to_the_end_of_an_event_however_it_is_split(
            format in prop_oneof![
                Just((WireFormat::OpenAiChat, CHAT_STREAM)),
                Just((WireFormat::AnthropicMessages, MESSAGES_STREAM)),
                Just((WireFormat::OpenAiResponses, RESPONSES_STREAM)),
            ],
            ends in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            splits in prop::collection::vec(1_usize..60, 1..80), up_to in 0_usize..2_000,
        ) {
            let (format, stream) = format;
            let stream = String::from_utf8(sse(stream)).unwrap().replace('\n', ends).into_bytes();
            let up_to = up_to.min(stream.len());
            let (mut cut, mut passed, mut at) = (CutStream::new(format).unwrap(), Vec::new(), 0);
            for split in splits.iter().cycle() {
                let end = (at + split).min(up_to);
                cut.push(Bytes::copy_from_slice(&stream[at..end])).for_each(|bytes| passed.extend_from_slice(&bytes));
                at = end;
                if at == up_to {
                    break;
                }
            }
            prop_assert!(stream[..up_to].starts_with(&passed));
            let blank = ends.repeat(2);
            // Of a CRLF that is split, the LF passes when it comes.
            let split = ends == "\r\n" && passed.ends_with(b"\r\n\r");
            prop_assert!(passed.is_empty() || split || passed.ends_with(blank.as_bytes()));
            let unfinished = &stream[passed.len()..up_to];
            let has_an_end = unfinished.windows(blank.len()).any(|window| window == blank.as_bytes());
            prop_assert!(!has_an_end, "all whole events have passed");
            if up_to == stream.len() {
                prop_assert_eq!(cut.finish(), None);
            } else {
                let ending = cut.end_here(1);
                prop_assert!(ending.ends_with(b"\n\n"));
                payloads(&ending);
            }
        }
    }
}
