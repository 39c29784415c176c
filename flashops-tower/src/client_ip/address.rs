use std::net::{IpAddr, SocketAddr};

use flashops_core::caller::Place;
use flashops_core::network::V6Prefix;
use http::Extensions;

/// An extension of requests: the address that the connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// An extension of requests: the client's address, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client. An IPv4 address mapped into IPv6 is itself.
    pub ip: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Who says that it is the client.
    pub source: Source,
    /// How many bits of an IPv6 address are one client.
    pub prefix: V6Prefix,
}

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the peer's.
    Peer,
    /// A header that is trusted has it.
    Header,
    /// A header that is trusted has no address where the client's should be, so this is the last one on the way to it
    /// that is known. It counts for limits, and never for what only some addresses may do.
    Unreadable,
}

impl ClientAddr {
    pub(super) fn peer(peer: IpAddr) -> Self {
        let ip = peer.to_canonical();
        Self { ip, peer: ip, source: Source::Peer, prefix: V6Prefix::default() }
    }

    /// The client's address: what a [`ClientIpLayer`](super::ClientIpLayer) found, else the peer's; `None` if neither
    /// is known.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let found = extensions.get::<Self>().copied();
        found.or_else(|| extensions.get::<PeerAddr>().map(|PeerAddr(peer)| Self::peer(peer.ip())))
    }

    /// What its limits are counted by.
    pub const fn place(&self) -> Place {
        Place { ip: self.ip, prefix: self.prefix }
    }
}
