//! The readers of every provider and framing must not care how the bytes are split.
//!
//! The first bytes of the input choose the format, the framing and the length of the chunks; the rest is the body. For
//! Amazon's event stream it is also put into a frame whose checksums are right, where the fuzzer would never get by
//! itself. Run it with `cargo +nightly fuzz run framings`.
#![no_main]

use bytes::Bytes;
use flashops_tower::inspect::{Inspected, Rewrite, WireFormat};
use flashops_tower::usage::{BodyKind, Meter};
use libfuzzer_sys::fuzz_target;

const KINDS: [BodyKind; 4] = [
    BodyKind::Json,
    BodyKind::Sse,
    BodyKind::JsonLines,
    BodyKind::AmazonEvents,
];

fuzz_target!(|input: &[u8]| {
    let [format, kind, length, body @ ..] = input else {
        return;
    };
    let format = WireFormat::ALL[usize::from(*format) % WireFormat::ALL.len()];
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let length = usize::from(*length).max(1);
    same(format, kind, body, length);
    if kind == BodyKind::AmazonEvents {
        same(format, kind, &framed(body), length);
    }
    if let Ok(request) = Inspected::read(format, Bytes::copy_from_slice(body)) {
        let wanted = Rewrite {
            model: None,
            output_cap: request.output_cap().or(Some(flashops_core::units::Tokens::saturating(7))),
            include_usage: true,
        };
        let again = Inspected::read(format, request.rewrite(wanted)).expect("it can still be read");
        assert_eq!(again.output_cap().is_some(), format.has_output());
        assert!(!again.lacks_usage());
    }
});

fn same(format: WireFormat, kind: BodyKind, body: &[u8], length: usize) {
    let whole = read(format, kind, body, body.len().max(1));
    let split = read(format, kind, body, length);
    assert_eq!(split.usage(), whole.usage());
    assert_eq!(split.counted_output(), whole.counted_output());
    assert_eq!(
        (split.ended(), split.error_event()),
        (whole.ended(), whole.error_event())
    );
}

fn read(format: WireFormat, kind: BodyKind, body: &[u8], length: usize) -> Meter {
    let mut meter = Meter::new(format, kind);
    body.chunks(length).for_each(|chunk| meter.push(chunk));
    meter.finish();
    meter
}

/// A frame of which the first byte of the body says how many bytes are headers.
fn framed(body: &[u8]) -> Vec<u8> {
    let headers = body.first().map_or(0, |&byte| u32::from(byte).min(body.len() as u32));
    let mut frame = (body.len() as u32 + 16).to_be_bytes().to_vec();
    frame.extend_from_slice(&headers.to_be_bytes());
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame.extend_from_slice(body);
    let sum = crc32(&frame);
    frame.extend_from_slice(&sum.to_be_bytes());
    frame
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}
