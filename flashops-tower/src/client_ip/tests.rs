use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;

use flashops_core::network::Networks;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::address::{ClientAddr, Source};
use super::trust::{Chain, Trust};
use super::walk::{self, MAX_BYTES, MAX_ENTRIES};
use crate::ip_allow::{AddressList, AddressRules};

const PROXY: &str = "10.0.0.1";

fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

fn proxies(chain: Chain) -> Trust {
    Trust::Proxies { networks: "10.0.0.0/8, 2001:db8:ffff::/48".parse().unwrap(), chain }
}

fn hops(count: u8) -> Trust {
    Trust::Hops { count: NonZeroU8::new(count).unwrap(), chain: Chain::XForwardedFor }
}

fn client(trust: &Trust, peer: &str, headers: &HeaderMap) -> String {
    trust.client(peer.parse().unwrap(), headers).ip.to_string()
}

fn by_x_forwarded_for(trust: &Trust, lines: &[&[u8]]) -> String {
    client(trust, PROXY, &headers("x-forwarded-for", lines))
}

fn by_forwarded(lines: &[&[u8]]) -> String {
    client(&proxies(Chain::Forwarded), PROXY, &headers("forwarded", lines))
}

#[test]
fn by_default_no_header_is_believed() {
    let mut all = headers("x-forwarded-for", &[b"192.0.2.7"]);
    for name in ["forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
        all.insert(name, HeaderValue::from_static("for=192.0.2.7"));
    }
    assert_eq!(client(&Trust::default(), "198.51.100.1", &all), "198.51.100.1");
}

#[test]
fn a_header_of_a_stranger_is_not_believed() {
    let spoofed = headers("x-forwarded-for", &[b"192.0.2.7"]);
    assert_eq!(client(&proxies(Chain::XForwardedFor), "198.51.100.1", &spoofed), "198.51.100.1");
    let trust = Trust::Header { name: HeaderName::from_static("x-real-ip"), peers: Networks::loopback() };
    assert_eq!(client(&trust, "198.51.100.1", &headers("x-real-ip", &[b"192.0.2.7"])), "198.51.100.1");
}

#[test]
fn the_nearest_stranger_is_the_client_whatever_it_wrote_itself() {
    let cidrs = proxies(Chain::XForwardedFor);
    for (lines, expected) in [
        (&[&b"6.6.6.6"[..], b"192.0.2.7"][..], "192.0.2.7"),
        (&[b"6.6.6.6", b"192.0.2.7,10.0.0.2"], "192.0.2.7"),
        (&[b"6.6.6.6, 192.0.2.7, 10.0.0.2", b"10.0.0.3"], "192.0.2.7"),
        (&[b"oh, hi,,127.0.0.1,,,, 203.0.113.9"], "203.0.113.9"),
        (&[b"203.0.113.9:56321"], "203.0.113.9"),
        (&[b"6.6.6.6, \t[2001:db8::7]:443 "], "2001:db8::7"),
        (&[b"6.6.6.6, 192.0.2.7, 2001:db8:ffff::1"], "192.0.2.7"),
        (&[b"6.6.6.6, 192.0.2.7, ::ffff:10.0.0.9"], "192.0.2.7"),
        (&[b"10.0.0.4, 10.0.0.5"], "10.0.0.4"),
    ] {
        assert_eq!(by_x_forwarded_for(&cidrs, lines), expected, "{lines:?}");
    }
}

#[test]
fn what_lies_behind_an_entry_that_is_no_address_is_not_believed() {
    let cidrs = proxies(Chain::XForwardedFor);
    for (lines, expected) in [
        (&[&b"6.6.6.6, unknown"[..]][..], PROXY),
        (&[b"6.6.6.6, , 10.0.0.2"], "10.0.0.2"),
        (&[b"6.6.6.6", b""], PROXY),
        (&[b"6.6.6.6,"], PROXY),
        (&[b"6.6.6.6, caf\xc3\xa9, 10.0.0.2"], "10.0.0.2"),
        (&[b"6.6.6.6, \xff\xfe"], PROXY),
        (&[b"6.6.6.6, 010.0.0.1"], PROXY),
        (&[b"6.6.6.6, 10.0.0.2:"], PROXY),
        (&[b"6.6.6.6, 10.0.0.2:65536"], PROXY),
        (&[b"6.6.6.6, 10.0.0.2:+1"], PROXY),
        (&[b"6.6.6.6, [10.0.0.2]"], PROXY),
        (&[b"6.6.6.6, [2001:db8:ffff::1]x"], PROXY),
        (&[b"6.6.6.6, 10.0.0.2 10.0.0.3"], PROXY),
        (&[], PROXY),
    ] {
        assert_eq!(by_x_forwarded_for(&cidrs, lines), expected, "{lines:?}");
    }
}

#[test]
fn what_a_client_can_put_between_quotes_is_no_entry_and_no_pair() {
    for header in [
        r#"for=8.8.8.8;host="a,b""#,
        r#"for=8.8.8.8;host="a,for=10.9.9.9;x=""#,
        r#"for=8.8.8.8;host="a;for=10.9.9.9""#,
        r#"for=1.1.1.1, for=8.8.8.8;host="a\",for=10.9.9.9;x=""#,
        r#"for=", for=8.8.8.8"#,
        r#"for="8.8.8.8";host=a"#,
    ] {
        assert_eq!(by_forwarded(&[header.as_bytes()]), "8.8.8.8", "{header}");
    }
}

#[test]
fn so_many_hops_are_counted_from_the_right_and_fewer_entries_are_the_peer() {
    let line: &[&[u8]] = &[b"6.6.6.6, 192.0.2.7", b"198.51.100.1"];
    for (count, expected) in [(1, "198.51.100.1"), (2, "192.0.2.7"), (3, "6.6.6.6"), (4, PROXY), (255, PROXY)] {
        assert_eq!(by_x_forwarded_for(&hops(count), line), expected, "{count}");
    }
    assert_eq!(by_x_forwarded_for(&hops(2), &[b"192.0.2.7"]), PROXY);
    assert_eq!(by_x_forwarded_for(&hops(1), &[b"192.0.2.7, unknown"]), PROXY);
}

#[test]
fn a_single_header_is_believed_if_it_comes_once_with_one_address() {
    let trust = Trust::Header { name: HeaderName::from_static("x-real-ip"), peers: "10.0.0.0/8".parse().unwrap() };
    let by = |lines: &[&[u8]]| client(&trust, PROXY, &headers("x-real-ip", lines));
    assert_eq!(by(&[b"192.0.2.7"]), "192.0.2.7");
    for bad in [&[&b"6.6.6.6"[..], b"192.0.2.7"][..], &[b"6.6.6.6, 192.0.2.7"], &[b"unknown"], &[b""], &[]] {
        assert_eq!(by(bad), PROXY, "{bad:?}");
    }
}

#[test]
fn forwarded_is_read_from_its_right_and_garbage_at_its_left_hides_nothing() {
    for (lines, expected) in [
        (&[&b"for=192.0.2.7;proto=https;by=10.0.0.1"[..]][..], "192.0.2.7"),
        (&[b"By=10.0.0.1; FOR=\"192.0.2.7:4711\""], "192.0.2.7"),
        (&[b"for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
        (&[b"for=\"1.1.1.1, for=192.0.2.7"], "192.0.2.7"),
        (&[b"for=6.6.6.6", b"for=192.0.2.7, for=10.0.0.2"], "192.0.2.7"),
        (&[b"for=6.6.6.6, for=unknown"], PROXY),
        (&[b"for=6.6.6.6, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (&[b"for=6.6.6.6, proto=https"], PROXY),
        (&[b"for=6.6.6.6, for=192.0.2.7;for=192.0.2.8"], PROXY),
        (&[b"for=6.6.6.6, for=\"192.0.2.7"], PROXY),
        (&[b"for=6.6.6.6, for=\"192.0.2.7\\\""], PROXY),
        (&[b"for=6.6.6.6, for"], PROXY),
        (&[b"for=6.6.6.6, for = 192.0.2.7"], PROXY),
    ] {
        assert_eq!(by_forwarded(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address_that_it_means() {
    let header = headers("x-forwarded-for", &[b"::ffff:192.0.2.7"]);
    let found = proxies(Chain::XForwardedFor).client("::ffff:10.0.0.1".parse().unwrap(), &header);
    assert_eq!((found.ip.to_string(), found.peer.to_string()), ("192.0.2.7".to_owned(), PROXY.to_owned()));
    assert_eq!(found.source, Source::Header);
}

#[test]
fn no_more_is_looked_at_than_the_bounds_say() {
    let cidrs = proxies(Chain::XForwardedFor);
    let far = |proxies: usize| format!("192.0.2.7{}", ", 10.0.0.2".repeat(proxies));
    assert_eq!(by_x_forwarded_for(&cidrs, &[far(MAX_ENTRIES - 1).as_bytes()]), "192.0.2.7");
    assert_eq!(by_x_forwarded_for(&cidrs, &[far(MAX_ENTRIES).as_bytes()]), "10.0.0.2");
    let padded = |spaces: usize| format!("192.0.2.7,{}10.0.0.2", " ".repeat(spaces));
    let room = MAX_BYTES - "192.0.2.7,10.0.0.2".len() - 1;
    assert_eq!(by_x_forwarded_for(&cidrs, &[padded(room).as_bytes()]), "192.0.2.7");
    assert_eq!(by_x_forwarded_for(&cidrs, &[padded(room + 1).as_bytes()]), "10.0.0.2");
    let flood = vec![b','; 8 * 1_024];
    assert_eq!(by_x_forwarded_for(&cidrs, &[&flood]), PROXY);
    assert_eq!(walk::from_the_right(std::iter::once(&flood[..])).count(), MAX_ENTRIES);
}

/// One entry that is an address, or is none.
fn entry() -> impl Strategy<Value = String> {
    let known = vec!["10.0.0.2", "10.0.0.3:80", "[2001:db8:ffff::1]", "192.0.2.7", "[2001:db8::7]:1", "::1", "", "x"];
    prop_oneof![
        5 => proptest::sample::select(known).prop_map(str::to_owned),
        1 => any::<IpAddr>().prop_map(|ip| ip.to_string()),
        1 => any::<SocketAddr>().prop_map(|ip| ip.to_string()),
        1 => "[ -~]{0,12}",
    ]
}

/// Reads one entry as the standard library would, in all the ways that it has.
fn oracle_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    let bare = entry.parse::<IpAddr>().ok();
    let with_port = || {
        let port = entry.rsplit_once(':')?.1;
        let ip = entry.parse::<SocketAddr>().ok()?.ip();
        port.bytes().all(|b| b.is_ascii_digit()).then_some(ip)
    };
    let in_brackets = || entry.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    bare.or_else(with_port).or_else(in_brackets).map(|ip| ip.to_canonical())
}

/// All entries of all lines in one list, and then a walk.
fn oracle_client(peer: IpAddr, lines: &[String], networks: &Networks) -> IpAddr {
    let joined = lines.join(",");
    let mut entries: Vec<&str> = if lines.is_empty() { Vec::new() } else { joined.split(',').collect() };
    let mut client = peer.to_canonical();
    while networks.contains(client) {
        match entries.pop().map(oracle_address) {
            Some(Some(ip)) => client = ip,
            Some(None) | None => break,
        }
    }
    client
}

proptest! {
    #[test]
    fn the_client_is_what_a_naive_walk_finds(
        lines in prop::collection::vec(prop::collection::vec(entry(), 0..6).prop_map(|line| line.join(",")), 0..5),
        peer in proptest::sample::select(vec!["10.0.0.1", "::ffff:10.0.0.1", "2001:db8:ffff::2", "192.0.2.9"]),
    ) {
        // Zones are the one thing that the standard library reads in another way.
        prop_assume!(lines.iter().all(|line| !line.contains('%')));
        let peer: IpAddr = peer.parse().unwrap();
        let Trust::Proxies { networks, chain } = proxies(Chain::XForwardedFor) else { unreachable!() };
        let bytes: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let found = Trust::Proxies { networks: networks.clone(), chain }.client(peer, &headers("x-forwarded-for", &bytes));
        prop_assert_eq!(found.ip, oracle_client(peer, &lines, &networks));
    }

    #[test]
    fn an_address_is_read_as_the_standard_library_reads_it(entry in entry()) {
        prop_assume!(!entry.contains('%') && !entry.contains(','));
        prop_assert_eq!(walk::address(entry.as_bytes()), oracle_address(&entry));
    }

    #[test]
    fn a_zone_is_dropped(ip: Ipv6Addr, zone in "[!-$&-Z\\\\^-~]{1,16}", port: u16) {
        prop_assume!(!zone.contains(','));
        let expected = Some(IpAddr::V6(ip).to_canonical());
        for text in [format!("{ip}%{zone}"), format!("[{ip}%{zone}]"), format!("[{ip}%{zone}]:{port}")] {
            prop_assert_eq!(walk::address(text.as_bytes()), expected, "{}", text);
        }
    }

    #[test]
    fn what_is_appended_by_a_proxy_wins_over_anything_before_it(
        before in prop::collection::vec(any::<u8>().prop_filter("a header", |b| *b >= 32 && *b != 127), 0..200),
        stranger in "192\\.0\\.2\\.[1-9]",
    ) {
        let line = [&before[..], b",", stranger.as_bytes()].concat();
        prop_assert_eq!(by_x_forwarded_for(&proxies(Chain::XForwardedFor), &[&line]), stranger.clone());
        let line = [&before[..], b",for=", stranger.as_bytes()].concat();
        prop_assert_eq!(by_forwarded(&[&line]), stranger);
    }
}

#[test]
fn without_the_layer_the_address_is_the_peers() {
    let mut extensions = http::Extensions::new();
    assert_eq!(ClientAddr::of(&extensions), None);
    extensions.insert(super::PeerAddr("[::ffff:192.0.2.7]:80".parse().unwrap()));
    let found = ClientAddr::of(&extensions).unwrap();
    assert_eq!((found.ip.to_string(), found.source), ("192.0.2.7".to_owned(), Source::Peer));
}

#[test]
fn where_an_address_cannot_be_read_the_last_one_before_it_counts_and_may_nothing_that_only_some_may() {
    let rules = AddressRules { allow: Some("10.0.0.0/8".parse().unwrap()), deny: Networks::default() };
    let list = AddressList::new(rules);
    let found = |trust: &Trust, lines: &[&[u8]]| {
        let client = trust.client(PROXY.parse().unwrap(), &headers("x-forwarded-for", lines));
        let mut extensions = http::Extensions::new();
        extensions.insert(client);
        (client.ip.to_string(), client.source, list.permits(&extensions))
    };
    let told = |ip: &str, source, permitted| (ip.to_owned(), source, permitted);
    let by_networks = proxies(Chain::XForwardedFor);
    for lines in [&b"unknown"[..], b"8.8.8.8, unknown", b"8.8.8.8:", b""] {
        assert_eq!(found(&by_networks, &[lines]), told(PROXY, Source::Unreadable, false));
        assert_eq!(found(&hops(1), &[lines]), told(PROXY, Source::Unreadable, false));
    }
    assert_eq!(found(&by_networks, &[b"unknown, 10.0.0.2"]), told("10.0.0.2", Source::Unreadable, false));
    assert_eq!(found(&by_networks, &[b"10.0.0.3, 10.0.0.2"]), told("10.0.0.3", Source::Header, true));
    assert_eq!(found(&by_networks, &[]), told(PROXY, Source::Peer, true));
    let header =
        Trust::Header { name: HeaderName::from_static("x-forwarded-for"), peers: "10.0.0.0/8".parse().unwrap() };
    assert_eq!(found(&header, &[b"unknown"]), told(PROXY, Source::Unreadable, false));
    assert_eq!(found(&header, &[]), told(PROXY, Source::Peer, true));
}
