use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use flashops_core::caller::Caller;
use http::request::Parts;

use super::IdentifyError;

/// An extension of requests: the address that the request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl PeerAddr {
    /// The address of a request, if it is known.
    pub(super) fn of(parts: &Parts) -> Option<IpAddr> {
        parts.extensions.get::<Self>().map(|peer| peer.0.ip())
    }
}

/// What becomes of a request without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Its caller is the anonymous one of its address.
    #[default]
    Admitted,
    /// It is refused.
    Refused,
}

impl Anonymous {
    pub(super) fn caller(self, parts: &Parts) -> Result<Caller, IdentifyError> {
        match self {
            Self::Admitted => Ok(anonymous(parts)),
            Self::Refused => Err(IdentifyError::Missing),
        }
    }
}

/// The anonymous caller at the address of the request; without one, the caller that all such requests share.
pub(super) fn anonymous(parts: &Parts) -> Caller {
    Caller::anonymous(PeerAddr::of(parts).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// The caller, at the address of the request unless it has one already.
pub(super) fn located(caller: Caller, parts: &Parts) -> Caller {
    match PeerAddr::of(parts) {
        Some(ip) if !caller.has_ip() => caller.at(ip),
        _ => caller,
    }
}
