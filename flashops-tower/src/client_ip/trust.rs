use std::net::IpAddr;
use std::num::NonZeroU8;

use flashops_core::network::Networks;
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::address::{ClientAddr, Source};
use super::walk;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom to believe about the client's address. See the [module docs](super).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: the client is the peer.
    #[default]
    Peer,
    /// Proxies in these networks, each of which appends the address that it got the request from.
    Proxies {
        /// Where they are.
        networks: Networks,
        /// The header that they write.
        chain: Chain,
    },
    /// So many proxies, wherever they are. Only right where nobody can come past them.
    Hops {
        /// How many; 1 where the peer is the only one.
        count: NonZeroU8,
        /// The header that they write.
        chain: Chain,
    },
    /// One header, from peers in these networks, which overwrite it.
    Header {
        /// Its name, such as `x-real-ip`.
        name: HeaderName,
        /// Where they are.
        peers: Networks,
    },
}

/// A header to which each proxy appends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chain {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

impl Chain {
    const fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        }
    }

    /// The addresses from the right; `None` for an entry that is none.
    fn entries(self, headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
        let read = match self {
            Self::XForwardedFor => walk::address,
            Self::Forwarded => walk::forwarded_for,
        };
        let lines = headers.get_all(self.name()).into_iter().rev();
        walk::from_the_right(lines.map(HeaderValue::as_bytes)).map(read)
    }
}

impl Trust {
    /// The client of a request with these headers.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddr {
        let client = ClientAddr::peer(peer);
        let found = match self {
            Self::Peer => Found::Nothing,
            Self::Proxies { networks, chain } if networks.contains(client.ip) => {
                nearest_stranger(client.ip, networks, *chain, headers)
            }
            Self::Hops { count, chain } => {
                let entry = chain.entries(headers).nth(usize::from(count.get()) - 1);
                entry.map_or(Found::Nothing, |entry| entry.map_or(Found::Unreadable(client.ip), Found::Address))
            }
            Self::Header { name, peers } if peers.contains(client.ip) && headers.contains_key(name) => {
                only(name, headers).map_or(Found::Unreadable(client.ip), Found::Address)
            }
            Self::Proxies { .. } | Self::Header { .. } => Found::Nothing,
        };
        match found {
            Found::Nothing => client,
            Found::Address(ip) => ClientAddr { ip, source: Source::Header, ..client },
            Found::Unreadable(ip) => ClientAddr { ip, source: Source::Unreadable, ..client },
        }
    }
}

/// What the headers say.
enum Found {
    /// No more than the connection.
    Nothing,
    /// This one.
    Address(IpAddr),
    /// There is no address where one should be; this is the last one before it.
    Unreadable(IpAddr),
}

/// The first address on the way to the client that is no proxy; the farthest proxy where the way ends.
fn nearest_stranger(peer: IpAddr, proxies: &Networks, chain: Chain, headers: &HeaderMap) -> Found {
    let mut farthest = Found::Nothing;
    let mut last = peer;
    for entry in chain.entries(headers) {
        let Some(ip) = entry else { return Found::Unreadable(last) };
        (farthest, last) = (Found::Address(ip), ip);
        if !proxies.contains(ip) {
            break;
        }
    }
    farthest
}

/// The one address of a header that comes once.
fn only(name: &HeaderName, headers: &HeaderMap) -> Option<IpAddr> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { walk::address(value.as_bytes()) }
}
