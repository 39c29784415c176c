//! `X-Forwarded-For` with any content: nothing panics, no stranger's header is believed, and whatever a trusted proxy
//! appends is the client, whatever stands before it.
//!
//! Each line of the input is a line of the header. Run it with `cargo +nightly fuzz run x_forwarded_for`.
#![no_main]

use std::net::IpAddr;
use std::num::NonZeroU8;

use flashops_tower::client_ip::{Chain, Source, Trust};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(NAME, value);
        }
    }
    let [proxy, stranger, client] = ["10.0.0.1", "198.51.100.1", "192.0.2.7"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let networks = "10.0.0.0/8, 2001:db8::/32".parse().unwrap();
    let trust = Trust::Proxies { networks, chain: Chain::XForwardedFor };
    let found = trust.client(proxy, &headers);
    assert_eq!(found.ip, found.ip.to_canonical());
    assert!(found.source == Source::Header || found.ip == proxy);
    assert_eq!(trust.client(stranger, &headers).ip, stranger);

    headers.append(NAME, HeaderValue::from_static("192.0.2.7,10.0.0.2"));
    assert_eq!(trust.client(proxy, &headers).ip, client);
    let hops = |count| Trust::Hops { count: NonZeroU8::new(count).unwrap(), chain: Chain::XForwardedFor };
    assert_eq!(hops(2).client(stranger, &headers).ip, client);
    let _any = hops(3).client(stranger, &headers);
    let single = Trust::Header { name: NAME, peers: "10.0.0.0/8".parse().unwrap() };
    assert_eq!(single.client(proxy, &headers).ip, proxy, "a list is no single address");
});
