//! A meter behind a decoder, for bodies with a content coding.

use super::{BodyKind, Meter};
use crate::inspect::WireFormat;

/// A content coding of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentCoding {
    /// None.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`: zlib, or the bare stream that some servers send by that name.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl ContentCoding {
    /// The coding by its name in `content-encoding`; `None` for one that is unknown, and without the feature
    /// `decompress` for all but `identity`.
    pub fn of(name: &str) -> Option<Self> {
        const NAMES: [(&str, ContentCoding); 6] = [
            ("identity", ContentCoding::Identity),
            ("gzip", ContentCoding::Gzip),
            ("x-gzip", ContentCoding::Gzip),
            ("deflate", ContentCoding::Deflate),
            ("br", ContentCoding::Brotli),
            ("zstd", ContentCoding::Zstd),
        ];
        let coding = NAMES.iter().find(|(other, _)| name.trim().eq_ignore_ascii_case(other))?.1;
        (coding == Self::Identity || cfg!(feature = "decompress")).then_some(coding)
    }
}

/// A [`Meter`] that is given the bytes of a body as they are sent, in a content coding.
///
/// It decodes for itself alone. What it decodes is bounded by [`MAX_DECODED`](super::MAX_DECODED); from there on,
/// and from the first byte that cannot be decoded, nothing is read, and the bytes as they are sent count as text.
#[derive(Debug)]
pub struct EncodedMeter {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain(Meter),
    #[cfg(feature = "decompress")]
    Decoding(super::decode::Decoder),
}

impl EncodedMeter {
    /// A meter for a response in this format, of this kind, and in this coding.
    pub fn new(format: WireFormat, kind: BodyKind, coding: ContentCoding) -> Self {
        let meter = Meter::new(format, kind);
        let state = match coding {
            #[cfg(feature = "decompress")]
            ContentCoding::Gzip | ContentCoding::Deflate | ContentCoding::Brotli | ContentCoding::Zstd => {
                State::Decoding(super::decode::Decoder::new(meter, coding))
            }
            _ => State::Plain(meter),
        };
        Self { state }
    }

    /// Looks at the next bytes of the body as they are sent.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Plain(meter) => meter.push(bytes),
            #[cfg(feature = "decompress")]
            State::Decoding(decoder) => decoder.push(bytes),
        }
    }

    /// Reads what is left, as [`Meter::finish`].
    pub fn finish(&mut self) {
        match &mut self.state {
            State::Plain(meter) => meter.finish(),
            #[cfg(feature = "decompress")]
            State::Decoding(decoder) => decoder.finish(),
        }
    }

    /// What was read and counted.
    pub fn meter(&self) -> &Meter {
        match &self.state {
            State::Plain(meter) => meter,
            #[cfg(feature = "decompress")]
            State::Decoding(decoder) => decoder.meter(),
        }
    }
}
