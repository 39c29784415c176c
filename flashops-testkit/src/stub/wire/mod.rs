//! The wire formats: what an answer looks like, whole and streamed, and an error.

use std::fmt;

use serde_json::Value;

use super::ask::{Ask, Format};

mod chat;
pub(super) mod embeddings;
pub(super) mod error;
mod messages;
mod responses;

pub use embeddings::{DEFAULT_DIMENSIONS, MAX_DIMENSIONS, MAX_INPUTS};

/// All dates in answers: 2023-11-14T22:13:20Z.
pub(super) const CREATED: u64 = 1_700_000_000;

/// A streamed answer, in the pieces in which it is sent: opening, one for each word, closing.
pub(super) trait Stream: fmt::Debug + Send + Sync {
    /// The events before the first word.
    fn opening(&self) -> String;
    /// The event of one word, counted over all choices.
    fn word(&self, n: u64) -> String;
    /// The events after the last word.
    fn closing(&self) -> String;
}

/// The stream that answers a request.
pub(super) fn stream(ask: Ask) -> Box<dyn Stream> {
    match ask.format {
        Format::Chat => Box::new(chat::ChatStream::new(ask)),
        Format::Messages => Box::new(messages::MessageStream::new(ask)),
        // An embedding is never streamed; `Ask` reads it so.
        Format::Responses | Format::Embeddings => Box::new(responses::ResponseStream::new(ask)),
    }
}

/// The whole answer to a request; the error is a sentence for the client.
pub(super) fn whole(ask: &Ask) -> Result<Value, String> {
    match ask.format {
        Format::Chat => Ok(chat::whole(ask)),
        Format::Embeddings => embeddings::whole(ask),
        Format::Messages => Ok(messages::whole(ask)),
        Format::Responses => Ok(responses::whole(ask)),
    }
}

/// A server-sent event with a name, as Anthropic and OpenAI's responses have it.
fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// A server-sent event without a name, as OpenAI's chat has it.
fn data(data: &Value) -> String {
    format!("data: {data}\n\n")
}
