//! Who is asking: from a request to a [`Caller`].
//!
//! ```
//! use flashops_core::caller::Caller;
//! use flashops_tower::client_ip::PeerAddr;
//! use flashops_tower::identify::{ApiKeys, Identify, IdentifyError};
//! use http::Request;
//!
//! let keys = ApiKeys::new(|key: &str| (key == "sk-ann").then(|| Caller::new("ann", "acme")));
//! let request = |key: Option<&str>| {
//!     let mut request = Request::get("/").extension(PeerAddr("192.0.2.7:40000".parse().unwrap()));
//!     if let Some(key) = key {
//!         request = request.header("authorization", format!("Bearer {key}"));
//!     }
//!     request.body(()).unwrap().into_parts().0
//! };
//!
//! assert_eq!(keys.identify(&request(Some("sk-ann")))?.user(), "ann");
//! assert_eq!(keys.identify(&request(Some("sk-bob"))).unwrap_err(), IdentifyError::Unknown);
//! assert_eq!(keys.identify(&request(None))?.user(), "192.0.2.7", "anonymous, counted by its address");
//! # Ok::<(), IdentifyError>(())
//! ```
//!
//! | [`Identify`] | takes the caller from |
//! | --- | --- |
//! | [`ApiKeys`] | `Authorization: Bearer KEY` or `x-api-key: KEY`, by a table of yours |
//! | [`FromExtension`] | the [`Caller`] that your own authentication put into the request's extensions |
//! | [`ByPeer`] | the address alone |
//! | a closure | whatever it likes |
//!
//! Nobody escapes for want of a key: without credentials the caller is the anonymous one of its address, or refused if
//! [`Anonymous::Refused`] is chosen. Credentials that are present and unknown are refused always, so that a mistyped
//! key is noticed. A known caller gets its address too, for limits on addresses.
//!
//! Where the address comes from: [`ClientAddr::of`](crate::client_ip::ClientAddr::of), so what a
//! [`ClientIpLayer`](crate::client_ip::ClientIpLayer) found, else the peer's. Without any, all anonymous callers are
//! one, at `0.0.0.0`: they share one account rather than have none.
//!
//! Edge cases: a key that is empty, longer than [`ApiKeys::MAX_KEY`] or no UTF-8 is unknown, as is any other scheme
//! than `Bearer`. The same key in both headers is one; two different ones are [`IdentifyError::Ambiguous`].
//!
//! What this module does not do: wait. An authentication that asks a database runs before, as a layer of its own, and
//! leaves a [`Caller`] for [`FromExtension`].

mod anonymous;
mod api_keys;
mod by_peer;
mod from_extension;

use std::fmt;

use flashops_core::caller::Caller;
use http::request::Parts;

pub use anonymous::Anonymous;
pub use api_keys::ApiKeys;
pub use by_peer::ByPeer;
pub use from_extension::FromExtension;

/// Finds who is asking.
///
/// A closure from [`Parts`] to a result is one:
///
/// ```
/// use flashops_core::caller::Caller;
/// use flashops_tower::identify::{Identify, IdentifyError};
/// use http::request::Parts;
///
/// let by_team = |parts: &Parts| match parts.headers.get("x-team").and_then(|team| team.to_str().ok()) {
///     Some(team) => Ok(Caller::new(team, team)),
///     None => Err(IdentifyError::Missing),
/// };
/// let (parts, ()) = http::Request::get("/").header("x-team", "red").body(()).unwrap().into_parts();
/// assert_eq!(by_team.identify(&parts)?.org(), "red");
/// # Ok::<(), IdentifyError>(())
/// ```
pub trait Identify {
    /// The caller of a request.
    ///
    /// # Errors
    ///
    /// [`IdentifyError`], which is answered with 401.
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError>;
}

impl<F> Identify for F
where
    F: Fn(&Parts) -> Result<Caller, IdentifyError>,
{
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        self(parts)
    }
}

/// Why nobody knows who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentifyError {
    /// The request has no credentials, and needs some.
    Missing,
    /// The credentials belong to nobody.
    Unknown,
    /// The request has two different credentials.
    Ambiguous,
}

impl fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the request has no credentials",
            Self::Unknown => "the credentials are not known",
            Self::Ambiguous => "the request has two different credentials",
        })
    }
}

impl std::error::Error for IdentifyError {}

#[cfg(test)]
mod tests;
