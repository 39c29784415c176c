//! The client's address, where proxies stand between it and the service.
//!
//! ```
//! use flashops_tower::client_ip::{Chain, ClientAddr, Source, Trust};
//! use http::HeaderMap;
//!
//! let trust = Trust::Proxies { networks: "10.0.0.0/8".parse()?, chain: Chain::XForwardedFor };
//! let mut headers = HeaderMap::new();
//! headers.append("x-forwarded-for", "6.6.6.6".parse()?); // as the client wrote it
//! headers.append("x-forwarded-for", "192.0.2.7, 10.0.0.2".parse()?); // as two proxies did
//!
//! let client = trust.client("10.0.0.1".parse()?, &headers);
//! assert_eq!(client.ip.to_string(), "192.0.2.7");
//! assert_eq!(client.source, Source::Header);
//! let direct = trust.client("198.51.100.1".parse()?, &headers);
//! assert_eq!(direct.ip.to_string(), "198.51.100.1", "no proxy of ours wrote that header");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ClientIpLayer`] puts the [`ClientAddr`] into the request's extensions. Everything of this crate that asks for an
//! address, callers without a key above all, takes it from there ([`ClientAddr::of`]), and only without one from
//! [`PeerAddr`], which stays the socket's.
//!
//! | [`Trust`] | the client is |
//! | --- | --- |
//! | `Peer`, the default | the peer; no header is believed |
//! | `Proxies` | the nearest address, walking from the peer through the header from its right, that is no proxy of ours |
//! | `Hops` | the n-th entry of the header from its right: as many proxies of ours add one each |
//! | `Header` | what one header says, which a trusted peer sets anew on each request |
//!
//! The header is `X-Forwarded-For` or `Forwarded` (RFC 7239), by choice and never both: whichever of them the proxies
//! do not write, clients do. All of its lines are one list. It is split at commas, whatever stands in quotes, and only
//! as far as it is trusted, so that garbage at its left cannot hide what a proxy wrote at its right.
//!
//! An entry is `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`; a zone (`%eth0`)
//! is dropped. An IPv4 address mapped into IPv6 is itself.
//!
//! Edge cases: at an entry that is no address, an empty one too, the walk ends, and the last address that was found
//! counts; what lies behind is not believed. So it is after [`MAX_ENTRIES`] entries or [`MAX_BYTES`] bytes. If all are
//! proxies, the left-most counts. With fewer entries than hops, or something else in that place, the peer counts. A
//! `Header` that comes twice or has a list is not believed. Where something else than an address stands in the place
//! that decides, the client is [`Source::Unreadable`]: it counts as the last address before, and is on no list of those
//! who may come. A request without [`PeerAddr`] gets no address: nobody knows then who wrote the header.
//!
//! What this module does not do: resolve names, keep the chain, or change a header. Without a list of proxies that is
//! right, no header is worth anything.

mod address;
mod layer;
mod service;
mod trust;
mod walk;

pub use address::{ClientAddr, PeerAddr, Source};
pub use layer::ClientIpLayer;
pub use service::ClientIp;
pub use trust::{Chain, Trust};
pub use walk::{MAX_BYTES, MAX_ENTRIES};

#[cfg(test)]
mod tests;
