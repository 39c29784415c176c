//! The readers of a response must not care how its bytes are split, and the filter must lose none of them.
//!
//! The first byte of the input says how long the chunks are; the rest is the stream. Run it with
//! `cargo +nightly fuzz run sse_reader`.
#![no_main]

use bytes::Bytes;
use flashops_core::units::Tokens;
use flashops_tower::inspect::{Inspected, WireFormat};
use flashops_tower::usage::{BodyKind, HideUsage, Meter};
use libfuzzer_sys::fuzz_target;

const FORMATS: [WireFormat; 4] = [
    WireFormat::OpenAiChat,
    WireFormat::OpenAiResponses,
    WireFormat::OpenAiEmbeddings,
    WireFormat::AnthropicMessages,
];

fuzz_target!(|input: &[u8]| {
    let Some((&length, stream)) = input.split_first() else {
        return;
    };
    let length = usize::from(length).max(1);
    for format in FORMATS {
        for kind in [BodyKind::Json, BodyKind::Sse] {
            let whole = read(format, kind, stream, stream.len().max(1));
            let split = read(format, kind, stream, length);
            assert_eq!(split.usage(), whole.usage());
            assert_eq!(split.usage_or(Tokens::ZERO), whole.usage_or(Tokens::ZERO));
            assert_eq!(split.counted_output(), whole.counted_output());
            assert_eq!(
                (split.ended(), split.error_event()),
                (whole.ended(), whole.error_event())
            );
        }
        let _ = Inspected::read(format, Bytes::copy_from_slice(stream));
    }
    let whole = passed(stream, stream.len().max(1));
    assert_eq!(passed(stream, length), whole);
    assert!(is_subsequence(&whole, stream));
});

fn read(format: WireFormat, kind: BodyKind, stream: &[u8], length: usize) -> Meter {
    let mut meter = Meter::new(format, kind);
    stream.chunks(length).for_each(|chunk| meter.push(chunk));
    meter.finish();
    meter
}

fn passed(stream: &[u8], length: usize) -> Vec<u8> {
    let mut hide = HideUsage::new();
    let mut passed = Vec::new();
    for chunk in stream.chunks(length) {
        hide.push(Bytes::copy_from_slice(chunk))
            .for_each(|bytes| passed.extend_from_slice(&bytes));
    }
    passed.extend_from_slice(&hide.finish().unwrap_or_default());
    passed
}

fn is_subsequence(part: &[u8], of: &[u8]) -> bool {
    let mut rest = of.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}
