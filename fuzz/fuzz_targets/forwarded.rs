//! `Forwarded` with any content: nothing panics, no stranger's header is believed, and no garbage hides what a trusted
//! proxy appends.
//!
//! Each line of the input is a line of the header. Run it with `cargo +nightly fuzz run forwarded`.
#![no_main]

use std::net::IpAddr;

use flashops_tower::client_ip::{Chain, Trust};
use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(FORWARDED, value);
        }
    }
    let [proxy, stranger] = ["10.0.0.1", "198.51.100.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let trust = Trust::Proxies { networks: "10.0.0.0/8".parse().unwrap(), chain: Chain::Forwarded };
    let found = trust.client(proxy, &headers).ip;
    assert_eq!(found, found.to_canonical());
    assert_eq!(trust.client(stranger, &headers).ip, stranger);

    let appended = HeaderValue::from_static("For=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2;by=10.0.0.1");
    headers.append(FORWARDED, appended);
    assert_eq!(trust.client(proxy, &headers).ip, "2001:db8::7".parse::<IpAddr>().unwrap());
});
