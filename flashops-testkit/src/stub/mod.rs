//! A provider that answers by rules instead of a model, in the wire formats of the real ones.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_testkit::stub;
//! use http::Request;
//! use http_body_util::BodyExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let body = r#"{"model":"m","max_tokens":2,"messages":[{"role":"user","content":"three short words"}]}"#;
//! let request = Request::post("/v1/chat/completions").body(Bytes::from(body)).unwrap();
//!
//! let answer = stub::respond(request).into_body().collect().await.unwrap().to_bytes();
//! let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
//! assert_eq!(answer["choices"][0]["message"]["content"], "w0 w1 ");
//! assert_eq!(answer["usage"]["prompt_tokens"], 3);
//! assert_eq!(answer["usage"]["completion_tokens"], 2);
//! # });
//! ```
//!
//! [`StubProvider`] serves the same answers over real sockets, and keeps a ledger of what it produced.
//!
//! # What it speaks
//!
//! `POST /v1/chat/completions`, `POST /v1/responses` and `POST /v1/embeddings` as OpenAI does, `POST /v1/messages` as
//! Anthropic does; the text formats whole or as server-sent events (`"stream": true`). OpenAI's chat stream ends with a
//! usage chunk only where `stream_options.include_usage` asks for it, and the other chunks then carry `"usage":null`.
//!
//! # Rules
//!
//! The same request always gets the same answer, byte for byte; ids are hashes of the request, dates are constant.
//!
//! - A prompt has as many tokens as whitespace-separated words, over all message contents, text parts, system prompts
//!   and instructions; for embeddings over all inputs, where a token id counts one.
//! - The answer has as many words as the request's output cap (`max_tokens`, `max_completion_tokens`,
//!   `max_output_tokens`; the largest, if there are several), at most as many as `[reply N]` in the prompt names.
//!   Without a cap it has the named number, without either [`DEFAULT_WORDS`]; never more than [`MAX_WORDS`].
//! - Where the cap made the answer shorter than `[reply N]`, or `[reply N]` is absent, it ends with `length`
//!   (`max_tokens`, `incomplete`); else with `stop` (`end_turn`, `completed`).
//! - One word is one delta and one token. Words are `w0 ` to `w99 ` and start again: never more than four bytes, so
//!   that an estimate of one token per four bytes does not exceed the number of words.
//! - `n` choices of a chat each have that many words; the usage is their sum.
//! - An embedding has `dimensions` components ([`DEFAULT_DIMENSIONS`] unless given), all of the same size.
//!
//! # Directives
//!
//! Written anywhere in the prompt; of each the last one counts. They are words of the prompt like others.
//!
//! | directive | effect |
//! | --- | --- |
//! | `[reply N]` | the answer has at most N words |
//! | `[cut N]` | after N words (over all choices) the connection breaks |
//! | `[hang N]` | after N words nothing more is sent; the connection stays until the client leaves |
//! | `[pace MS]` | waits so many milliseconds before each word; an answer that is not streamed, after all waits |
//! | `[fail 500]` | answers with this status, 400 to 599, and an error in the dialect of the format |
//! | `[no-usage]` | leaves the usage out |
//! | `[requests-left N]` | the headers of rate limits say that so many requests are left, of [`LIMIT`] |
//! | `[tokens-left N]` | the same of tokens |
//! | `[reset S]` | these limits reset in so many seconds; in 60 without it |
//! | `[retry-after S]` | the answer has this `Retry-After`; for `[fail 429]` and the like |
//!
//! The headers are those of OpenAI, for Anthropic's format those of Anthropic, whose instants count from the answer's
//! `Date`. The limits are told and not kept: the stub refuses nothing by them.
//!
//! Edge cases: an answer of at most N words that is cut or hung after N words lacks its end, its usage included; one of
//! fewer than N words is whole. An answer that is not streamed sends its head and the JSON up to the Nth word. When the
//! connection breaks, the N words have left for the client. A body that is not JSON, has no model or no messages, or a
//! cap that is no whole number is a 400; a body over [`MAX_BODY`] a 413; another path a 404; another method a 405.
//!
//! What this module does not do: check keys, count tokens as a tokenizer does, or answer with tools, media or
//! reasoning.

mod ask;
mod body;
mod connection;
mod ledger;
mod limits;
mod prompt;
mod respond;
mod server;
mod wire;

pub use ask::{DEFAULT_WORDS, MAX_CHOICES, MAX_WORDS};
pub use body::{Broken, StubBody};
pub use ledger::{MAX_PRODUCED, MAX_TAG, Produced, Requests, Sums};
pub use limits::LIMIT;
pub use respond::{MAX_BODY, respond};
pub use server::{MAX_CONNECTIONS, StubProvider};
pub use wire::{DEFAULT_DIMENSIONS, MAX_DIMENSIONS, MAX_INPUTS};
