use std::net::{IpAddr, Ipv4Addr};

use flashops_core::caller::Caller;
use http::request::Parts;

use super::IdentifyError;
use crate::client_ip::ClientAddr;

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
    match ClientAddr::of(&parts.extensions) {
        Some(client) => Caller::anonymous_at(client.place()),
        None => Caller::anonymous(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    }
}

/// The caller, at the address of the request unless it has one already.
pub(super) fn located(caller: Caller, parts: &Parts) -> Caller {
    if caller.has_ip() {
        return caller;
    }
    match ClientAddr::of(&parts.extensions) {
        Some(client) => caller.at_place(client.place()),
        None => caller,
    }
}
