//! What a response says about the tokens that it used, read while it passes by.
//!
//! ```
//! use flashops_core::usage::Quality;
//! use flashops_tower::inspect::WireFormat;
//! use flashops_tower::usage::{BodyKind, Meter};
//!
//! let mut meter = Meter::new(WireFormat::OpenAiChat, BodyKind::Sse);
//! meter.push(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}],\"usage\":null}\n\nda");
//! meter.push(b"ta: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n");
//! meter.push(b"data: [DONE]\n\n");
//! meter.finish();
//!
//! let usage = meter.usage();
//! assert_eq!((usage.input.get(), usage.output.get()), (9, 1));
//! assert_eq!(usage.quality, Quality::Exact);
//! assert!(meter.ended());
//! assert_eq!(meter.counted_output().get(), 1);
//! ```
//!
//! A [`Meter`] only looks at the bytes: it is given each chunk and hands nothing back. [`HideUsage`] is a filter:
//! it takes out the event that a client gets only because the layer asked the provider for usage. [`CutStream`] is
//! another, for streams that the layer may have to end.
//!
//! Edge cases: chunks may be split anywhere, inside a line end or a character too, and give the same result. Lines
//! end in LF, CRLF or CR; a byte order mark is skipped. An event above [`MAX_EVENT`] and a JSON body above
//! [`MAX_JSON_BODY`] are not read for usage, and counting goes on. Numbers that are negative, fractional, in exponent
//! form or above [`MAX_REPORTED`] are not used, and the usage is then [`Quality::Estimated`]; so it is where a part is
//! larger than its whole, or a total does not add up. A usage that never came is [`Quality::Absent`], not zero.
//!
//! Each framing that providers use is read: server-sent events, lines of JSON, the array that Gemini streams, and
//! Amazon's binary event stream with its checksums. How the numbers are nested follows from the format of the route,
//! or from their names where these are another provider's. [`EncodedMeter`] reads through gzip, deflate, brotli and
//! zstd.
//!
//! What this module does not do: settle anything, or change a response other than by [`HideUsage`] and
//! [`CutStream`], which work on bodies without a content coding only.
//!
//! [`Quality::Absent`]: flashops_core::usage::Quality::Absent
//! [`Quality::Estimated`]: flashops_core::usage::Quality::Estimated

mod classes;
mod count;
pub mod cut;
#[cfg(feature = "decompress")]
mod decode;
mod deltas;
mod encoded;
mod events;
mod frames;
mod hide;
mod lines;
mod meter;
mod others;
mod pieces;
mod put_off;
mod reading;
mod report;

pub use count::MAX_REPORTED;
pub use cut::CutStream;
#[cfg(feature = "decompress")]
pub use decode::MAX_DECODED;
pub use encoded::{ContentCoding, EncodedMeter};
pub use events::MAX_EVENT;
pub use hide::{HideUsage, Passed};
pub use meter::{BodyKind, MAX_JSON_BODY, Meter};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod oracle;
