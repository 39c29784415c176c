//! Bytes that claim to be compressed: no decoder panics, hangs, or makes more of them than it may.
//!
//! The first bytes of the input choose the coding and the length of the chunks; the rest is the body. Run it with
//! `cargo +nightly fuzz run codings`.
#![no_main]

use flashops_tower::inspect::WireFormat;
use flashops_tower::usage::{BodyKind, ContentCoding, EncodedMeter, MAX_DECODED};
use libfuzzer_sys::fuzz_target;

const CODINGS: [ContentCoding; 4] = [
    ContentCoding::Gzip,
    ContentCoding::Deflate,
    ContentCoding::Brotli,
    ContentCoding::Zstd,
];

fuzz_target!(|input: &[u8]| {
    let [coding, length, body @ ..] = input else {
        return;
    };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    for kind in [BodyKind::Json, BodyKind::Sse] {
        let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, kind, coding);
        body.chunks(usize::from(*length).max(1))
            .for_each(|chunk| meter.push(chunk));
        meter.finish();
        let most = (MAX_DECODED + body.len() as u64).div_ceil(4) + MAX_DECODED;
        assert!(meter.meter().counted_output().get() <= most);
    }
});
