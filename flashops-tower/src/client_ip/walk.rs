//! Reading lists of addresses from their right. Nothing here allocates, whatever the input.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most entries of a header that are looked at.
pub const MAX_ENTRIES: usize = 32;

/// The most bytes of a header that are looked at, counted from its right.
pub const MAX_BYTES: usize = 4_096;

/// No address with brackets, zone and port is longer.
const MAX_ADDRESS: usize = 96;

/// The entries of a header from its right, as its lines come from the last to the first.
pub(super) fn from_the_right<'h>(lines: impl Iterator<Item = &'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    let mut left = MAX_BYTES;
    lines
        .flat_map(|line| rsplit_unquoted(line, b','))
        .take_while(move |entry| {
            // The comma counts too, so that empty entries are not for nothing.
            let within = left.checked_sub(entry.len() + 1);
            left = within.unwrap_or(0);
            within.is_some()
        })
        .take(MAX_ENTRIES)
}

/// What stands between separators, from the right. Those within quotes are text: a proxy writes there what a client
/// sent. In `X-Forwarded-For` there are no quotes.
fn rsplit_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.rsplit(move |byte| {
        if *byte == b'"' && !is_escaped(text, byte) {
            quoted = !quoted;
        }
        *byte == separator && !quoted
    })
}

/// Whether an odd number of backslashes stands before a byte of a text.
fn is_escaped(text: &[u8], byte: &u8) -> bool {
    let at = std::ptr::from_ref(byte).addr() - text.as_ptr().addr();
    text[..at].iter().rev().take_while(|before| **before == b'\\').count() % 2 == 1
}

/// The address of one entry of `X-Forwarded-For`, with or without a port.
pub(super) fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(trimmed(entry)).ok().filter(|text| text.len() <= MAX_ADDRESS)?;
    let ip = match text.strip_prefix('[') {
        Some(rest) => bracketed(rest)?.into(),
        None => plain(text)?,
    };
    Some(ip.to_canonical())
}

/// The address in one element of `Forwarded`: the `for` of it, if it has one.
pub(super) fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut nodes = rsplit_unquoted(element, b';').filter_map(for_value);
    let node = nodes.next()?;
    if nodes.next().is_some() {
        return None;
    }
    match node {
        [b'"', inside @ .., b'"'] => address(inside),
        _ => address(node),
    }
}

/// The value of a pair whose name is `for`.
fn for_value(pair: &[u8]) -> Option<&[u8]> {
    let pair = trimmed(pair);
    let (name, value) = pair.split_at_checked(4)?;
    name.eq_ignore_ascii_case(b"for=").then_some(value)
}

/// What follows the opening bracket.
fn bracketed(rest: &str) -> Option<Ipv6Addr> {
    let (inside, after) = rest.split_once(']')?;
    let has_port = after.strip_prefix(':').map(is_port);
    (after.is_empty() || has_port == Some(true)).then(|| v6(inside)).flatten()
}

fn plain(text: &str) -> Option<IpAddr> {
    match text.split_once(':') {
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some((before, after)) if before.contains('.') => {
            let ip = before.parse::<Ipv4Addr>().ok()?;
            is_port(after).then_some(IpAddr::V4(ip))
        }
        Some(_) => v6(text).map(IpAddr::V6),
    }
}

/// An IPv6 address; a zone says nothing to others.
fn v6(text: &str) -> Option<Ipv6Addr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic()) => address,
        Some(_) => return None,
        None => text,
    };
    address.parse().ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Without the spaces and tabs around it.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
