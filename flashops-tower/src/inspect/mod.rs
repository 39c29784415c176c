//! What a request asks for: its model, its output caps, and a bound for its input; and how its caps are changed.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_core::units::Tokens;
//! use flashops_tower::inspect::{Inspected, Rewrite, WireFormat};
//!
//! let body = Bytes::from_static(br#"{"model": "gpt-4o-mini", "max_tokens": 9000, "stream": true, "messages": []}"#);
//! let request = Inspected::read(WireFormat::OpenAiChat, body)?;
//! assert_eq!(request.model(), Some("gpt-4o-mini"));
//! assert_eq!(request.output_cap(), Some(Tokens::saturating(9_000)));
//!
//! let wanted = Rewrite { output_cap: Some(Tokens::saturating(2_000)), include_usage: true, ..Rewrite::default() };
//! assert_eq!(
//!     request.rewrite(wanted),
//!     r#"{"model": "gpt-4o-mini", "max_tokens": 2000, "stream": true, "messages": [],"stream_options":{"include_usage":true}}"#,
//! );
//! # Ok::<(), flashops_tower::inspect::InspectError>(())
//! ```
//!
//! The body is read once, in place, without building its values. Changes are spliced in where the values stand, so that
//! every other byte stays as the client wrote it.
//!
//! Edge cases: a key counts however its letters are escaped. A cap that is declared twice counts with its largest
//! value and is changed in both places; a model, a stream flag or stream options that stand there twice are an error,
//! since providers differ in which one they follow; and so is a key that is one of these but for the case of its
//! letters, which some providers take for it. Null is the same as absent. A cap of 0 is taken as 0. What is no
//! JSON object, and a number that is negative, fractional, in exponent form or above [`MAX_DECLARED`], is an
//! [`InspectError`].
//!
//! What this module does not do: bound the body's size (the caller collects at most [`DEFAULT_LIMIT`] or its own
//! number of bytes), know models or their limits, or validate what does not bear on the bound.

mod caps;
mod error;
mod holder;
mod media;
mod parts;
mod request;
mod rewrite;
mod scan;
mod searches;
mod spelling;
mod wire_format;

pub use caps::MAX_DECLARED;
pub use error::InspectError;
pub use request::{DEFAULT_LIMIT, Inspected, MAX_MODEL_NAME};
pub use rewrite::Rewrite;
pub use wire_format::WireFormat;
