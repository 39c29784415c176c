//! `traceparent` with any content: nothing panics, and what is read is written again as version 00 and read the same.
//!
//! Run it with `cargo +nightly fuzz run traceparent`.
#![no_main]

use flashops_tower::trace_id::TraceContext;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(context) = TraceContext::parse(input) else { return };
    assert!(context.trace_id() != 0 && context.span_id() != 0);
    let text = context.to_string();
    assert_eq!(text.len(), TraceContext::LENGTH);
    assert_eq!(context.header().as_bytes(), text.as_bytes());
    assert_eq!(TraceContext::parse(text.as_bytes()), Some(context));
    assert_eq!(&text.as_bytes()[2..52], &input[2..52], "identities are kept as they came");
    assert!(text.starts_with("00-") && !input.starts_with(b"ff"));
    let next = context.continued();
    assert_eq!((next.trace_id(), next.is_sampled()), (context.trace_id(), context.is_sampled()));
});
