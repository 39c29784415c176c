use flashops_core::network::Networks;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::context::TraceContext;
use super::identity::{TraceId, TrustIncoming};
use crate::client_ip::PeerAddr;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn identity(pairs: &[(&str, &str)], trust: &TrustIncoming, extensions: &Extensions) -> (TraceId, bool) {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    TraceId::of(&headers, extensions, trust)
}

fn believed(pairs: &[(&str, &str)]) -> TraceId {
    identity(pairs, &TrustIncoming::Always, &Extensions::new()).0
}

fn is_new(id: &TraceId) -> bool {
    id.as_str() == format!("{:032x}", id.context().trace_id()) && id.as_str() != TRACE && !id.context().is_sampled()
}

#[test]
fn a_traceparent_is_read_as_the_standard_says() {
    let context = |text: &str| TraceContext::parse(text.as_bytes()).map(|context| context.to_string());
    let parent = |version: &str, flags: &str| format!("{version}-{TRACE}-00f067aa0ba902b7-{flags}");
    for (text, expected) in [
        (parent("00", "00"), parent("00", "00")),
        (parent("00", "01"), parent("00", "01")),
        (parent("00", "03"), parent("00", "03")),
        (parent("00", "ff"), parent("00", "03")),
        (parent("01", "01"), parent("00", "01")),
        (parent("fe", "09"), parent("00", "01")),
        (parent("cc", "01-what-the-future-will-be-like"), parent("00", "01")),
        (parent("cc", "01-"), parent("00", "01")),
    ] {
        assert_eq!(context(&text), Some(expected), "{text}");
    }
    for bad in [
        parent("ff", "00"),
        parent("00", "00-"),
        parent("00", "0"),
        parent("00", "0g"),
        parent("00", "00 "),
        parent("cc", "01.what"),
        parent("0", "00"),
        parent("0x", "00"),
        PARENT.to_uppercase(),
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00_{TRACE}-00f067aa0ba902b7-01"),
        format!("00-{TRACE}_00f067aa0ba902b7-01"),
        format!("00-{TRACE}-00f067aa0ba902b7_01"),
        String::new(),
    ] {
        assert_eq!(context(&bad), None, "{bad}");
    }
}

#[test]
fn a_trace_goes_on_with_a_span_of_its_own() {
    let (id, continues) = identity(&[("traceparent", PARENT)], &TrustIncoming::Always, &Extensions::new());
    assert!(continues);
    assert_eq!(id.as_str(), TRACE);
    assert!(id.context().is_sampled(), "flags go on");
    assert_ne!(id.context().span_id(), 0x00f0_67aa_0ba9_02b7);
}

#[test]
fn the_first_well_formed_identity_counts() {
    let id = |pairs: &[(&str, &str)]| believed(pairs).as_str().to_owned();
    assert_eq!(id(&[("x-request-id", "r"), ("x-trace-id", "t"), ("traceparent", PARENT)]), "t");
    assert_eq!(id(&[("x-request-id", "r"), ("x-trace-id", "a b"), ("traceparent", PARENT)]), "r");
    assert_eq!(id(&[("x-request-id", ""), ("traceparent", PARENT)]), TRACE);
    assert_eq!(id(&[("x-request-id", "first"), ("x-request-id", "second")]), "first");
    let both = believed(&[("x-trace-id", "t"), ("traceparent", PARENT)]);
    assert_eq!(format!("{:032x}", both.context().trace_id()), TRACE, "the trace goes on, whatever the name");
    let named = believed(&[("x-trace-id", TRACE)]);
    assert_eq!(format!("{:032x}", named.context().trace_id()), TRACE, "it could be one, so it is");
    for other in ["0".repeat(32), "F".repeat(32), "f".repeat(31)] {
        let id = believed(&[("x-trace-id", &other)]);
        assert_eq!(id.as_str(), other);
        assert_ne!(id.context().trace_id(), 0);
    }
}

#[test]
fn two_traceparents_are_none() {
    assert!(is_new(&believed(&[("traceparent", PARENT), ("traceparent", PARENT)])));
}

#[test]
fn whoever_is_not_trusted_gets_a_new_identity() {
    let all = [("x-request-id", "r"), ("x-trace-id", "t"), ("traceparent", PARENT)];
    let at = |peer: &str| {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddr(peer.parse().unwrap()));
        extensions
    };
    let by_peers = TrustIncoming::FromTrustedPeers("10.0.0.0/8".parse::<Networks>().unwrap());
    assert_eq!(identity(&all, &by_peers, &at("10.0.0.1:1")).0.as_str(), "t");
    assert_eq!(identity(&all, &by_peers, &at("[::ffff:10.0.0.1]:1")).0.as_str(), "t");
    for (trust, extensions) in
        [(&by_peers, at("192.0.2.7:1")), (&by_peers, Extensions::new()), (&TrustIncoming::Never, at("10.0.0.1:1"))]
    {
        let (id, continues) = identity(&all, trust, &extensions);
        assert!(is_new(&id) && !continues, "{trust:?}");
    }
}

#[test]
fn no_two_requests_of_a_hundred_thousand_share_an_identity() {
    let ids: std::collections::HashSet<String> = (0..100_000).map(|_| believed(&[]).as_str().to_owned()).collect();
    assert_eq!(ids.len(), 100_000);
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))));
}

/// As the standard's grammar reads, without any cleverness.
fn oracle(text: &str) -> Option<(String, String, u8)> {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let is_hex = |text: &str, length| text.len() == length && text.chars().all(|c| "0123456789abcdef".contains(c));
    let (version, trace, span, flags) = (parts.first()?, parts.get(1)?, parts.get(2)?, parts.get(3)?);
    let fits = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let known = *version != "ff" && (*version != "00" || parts.len() == 4);
    let named = trace.contains(|c| c != '0') && span.contains(|c| c != '0');
    let flags = u8::from_str_radix(flags, 16).ok()? & 3;
    (fits && known && named).then(|| ((*trace).to_owned(), (*span).to_owned(), flags))
}

proptest! {
    #[test]
    fn a_traceparent_is_read_as_a_naive_reader_reads_it(
        text in "(00|01|cc|ff|[0-9a-fA-F]{2})-([0-9a-f]{32}|0{32}|[0-9a-fA-G]{31,33})-([0-9a-f]{16}|0{16})-[0-9a-f]{2}(|-|-x|x)",
        cut in 0..70_usize,
    ) {
        for text in [&text[..], &text[..cut.min(text.len())]] {
            let read = TraceContext::parse(text.as_bytes());
            let read = read.map(|c| (format!("{:032x}", c.trace_id()), format!("{:016x}", c.span_id()), c.to_string()));
            let expected = oracle(text).map(|(trace, span, flags)| {
                let whole = format!("00-{trace}-{span}-{flags:02x}");
                (trace, span, whole)
            });
            prop_assert_eq!(read, expected, "{}", text);
        }
    }

    #[test]
    fn what_is_sent_on_is_what_is_read_again(trace in 1..u128::MAX, flags in 0..4_u8) {
        let context = TraceContext::of(trace, flags);
        let header = context.header();
        prop_assert_eq!(TraceContext::parse(header.as_bytes()), Some(context));
        prop_assert_eq!(header.to_str().unwrap(), context.to_string());
    }
}
