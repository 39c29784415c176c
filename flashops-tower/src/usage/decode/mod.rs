//! Decoders that write what they decode into a meter.
//!
//! Edge cases: a few bytes can decode to gigabytes. No decoder keeps what it has decoded, but for the window that its
//! coding needs (zstd at most [`MAX_WINDOW`], brotli 16 MiB, the others 32 KiB), and all of it together is bounded by
//! [`MAX_DECODED`]. What follows the end of the coded body is ignored. The checksums at the end are not compared:
//! the client compares them.

mod zstd;

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};

use self::zstd::ZstdDecoder;
use super::{ContentCoding, Meter};

/// The most bytes that are decoded of one response: 64 MiB. The longest answers of models are a few megabytes.
pub const MAX_DECODED: u64 = 64 << 20;

/// The largest window of a zstd stream: 8 MiB, the most that RFC 9659 allows for a content coding.
const MAX_WINDOW: u64 = 8 << 20;

/// How much brotli hands on at a time.
const BROTLI_BUFFER: usize = 4_096;

/// A decoder and the meter behind it.
#[derive(Debug)]
pub(super) struct Decoder {
    coded: Coded,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Decoding,
    /// The coded body has ended.
    Ended,
    /// It cannot be decoded, or not further.
    Broken,
}

#[allow(clippy::large_enum_variant, reason = "beside this one stands a meter in place, which is as large")]
enum Coded {
    Gzip(Box<GzDecoder<Target>>),
    Zlib(Box<ZlibDecoder<Target>>),
    Deflate(Box<DeflateDecoder<Target>>),
    Brotli(Box<DecompressorWriter<Target>>),
    Zstd(Box<ZstdDecoder>),
    /// A deflate stream whose first byte will say which of the two it is.
    Undecided(Option<Target>),
}

/// Where decoded bytes go.
#[derive(Debug)]
struct Target {
    meter: Meter,
    decoded: u64,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.decoded = self.decoded.saturating_add(bytes.len() as u64);
        if self.decoded > MAX_DECODED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.meter.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    pub(super) fn new(meter: Meter, coding: ContentCoding) -> Self {
        let target = Target { meter, decoded: 0 };
        let coded = match coding {
            ContentCoding::Gzip => Coded::Gzip(Box::new(GzDecoder::new(target))),
            ContentCoding::Brotli => Coded::Brotli(Box::new(DecompressorWriter::new(target, BROTLI_BUFFER))),
            ContentCoding::Zstd => Coded::Zstd(Box::new(ZstdDecoder::new(target))),
            ContentCoding::Deflate | ContentCoding::Identity => Coded::Undecided(Some(target)),
        };
        Self { coded, state: State::Decoding }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self.state {
            State::Ended => {}
            State::Broken => self.target_mut().meter.pass_over(bytes.len()),
            State::Decoding => match self.coded.decode(bytes) {
                Ok(true) => self.state = State::Ended,
                Ok(false) => {}
                Err(_) => {
                    self.state = State::Broken;
                    self.target_mut().meter.pass_over(bytes.len());
                }
            },
        }
    }

    pub(super) fn finish(&mut self) {
        if let (Coded::Zstd(decoder), State::Decoding) = (&mut self.coded, self.state) {
            decoder.finish();
        }
        self.target_mut().meter.finish();
    }

    pub(super) fn meter(&self) -> &Meter {
        let target = match &self.coded {
            Coded::Gzip(decoder) => decoder.get_ref(),
            Coded::Zlib(decoder) => decoder.get_ref(),
            Coded::Deflate(decoder) => decoder.get_ref(),
            Coded::Brotli(decoder) => decoder.get_ref(),
            Coded::Zstd(decoder) => &decoder.target,
            Coded::Undecided(target) => target.as_ref().expect(KEPT),
        };
        &target.meter
    }

    fn target_mut(&mut self) -> &mut Target {
        match &mut self.coded {
            Coded::Gzip(decoder) => decoder.get_mut(),
            Coded::Zlib(decoder) => decoder.get_mut(),
            Coded::Deflate(decoder) => decoder.get_mut(),
            Coded::Brotli(decoder) => decoder.get_mut(),
            Coded::Zstd(decoder) => &mut decoder.target,
            Coded::Undecided(target) => target.as_mut().expect(KEPT),
        }
    }
}

const KEPT: &str = "the target is taken only to be put into a decoder";

impl Coded {
    /// Decodes what these bytes bring; says whether the coded body has ended.
    fn decode(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Some(&first) = bytes.first() else {
            return Ok(false);
        };
        if let Self::Undecided(target) = self {
            let target = target.take().expect(KEPT);
            // In a bare stream, a first byte like this is a block that is stored behind padding that is not zero.
            *self = match first & 0x0F {
                8 => Self::Zlib(Box::new(ZlibDecoder::new(target))),
                _ => Self::Deflate(Box::new(DeflateDecoder::new(target))),
            };
        }
        match self {
            Self::Gzip(decoder) => write_all(decoder, bytes),
            Self::Zlib(decoder) => write_all(decoder, bytes),
            Self::Deflate(decoder) => write_all(decoder, bytes),
            Self::Brotli(decoder) => write_all(decoder, bytes),
            Self::Zstd(decoder) => decoder.push(bytes).map(|()| false),
            Self::Undecided(_) => Ok(false),
        }
    }
}

/// Writes until the decoder takes no more, which is the end of its stream, and lets out what was decoded.
fn write_all(decoder: &mut impl Write, mut bytes: &[u8]) -> io::Result<bool> {
    while !bytes.is_empty() {
        match decoder.write(bytes)? {
            0 => {
                decoder.flush()?;
                return Ok(true);
            }
            written => bytes = &bytes[written..],
        }
    }
    decoder.flush().map(|()| false)
}

impl fmt::Debug for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Zlib(_) => "Zlib",
            Self::Deflate(_) => "Deflate",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
            Self::Undecided(_) => "Undecided",
        })
    }
}

#[cfg(test)]
mod tests;
