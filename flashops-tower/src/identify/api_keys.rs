use std::fmt;

use flashops_core::caller::Caller;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::anonymous::{Anonymous, located};
use super::{Identify, IdentifyError};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Finds the caller by an API key: `Authorization: Bearer KEY` or `x-api-key: KEY`.
///
/// The table is any function from a key to its caller. It should not tell by its running time how much of a key is
/// right; a hash map keyed at random, or one of hashes, does not.
#[derive(Clone)]
pub struct ApiKeys<L> {
    lookup: L,
    anonymous: Anonymous,
}

impl ApiKeys<()> {
    /// The longest key that is looked up, in bytes.
    pub const MAX_KEY: usize = 4_096;
}

impl<L: Fn(&str) -> Option<Caller>> ApiKeys<L> {
    /// Callers by this table; without a key, the anonymous caller of the address.
    pub const fn new(lookup: L) -> Self {
        Self { lookup, anonymous: Anonymous::Admitted }
    }

    /// Changes what becomes of a request without a key.
    #[must_use]
    pub const fn with_anonymous(mut self, anonymous: Anonymous) -> Self {
        self.anonymous = anonymous;
        self
    }
}

impl<L: Fn(&str) -> Option<Caller>> Identify for ApiKeys<L> {
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        match presented(&parts.headers)? {
            Some(key) => (self.lookup)(key).map(|caller| located(caller, parts)).ok_or(IdentifyError::Unknown),
            None => self.anonymous.caller(parts),
        }
    }
}

/// Does not show the table.
impl<L> fmt::Debug for ApiKeys<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

/// The one key of a request; `None` if neither header is there.
///
/// One pass over all headers costs less than two look-ups by name; and nearly all requests have one key at most.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, IdentifyError> {
    let mut one = None;
    for (name, value) in headers {
        let read: fn(&HeaderValue) -> Option<&str> = match name {
            name if *name == AUTHORIZATION => bearer,
            name if *name == X_API_KEY => plain,
            _ => continue,
        };
        if one.is_some() {
            return one_of_several(headers).map(Some);
        }
        one = Some((read, value));
    }
    one.map(|(read, value)| read(value).ok_or(IdentifyError::Unknown)).transpose()
}

/// The key that all the headers have, the standard one first.
#[cold]
fn one_of_several(headers: &HeaderMap) -> Result<&str, IdentifyError> {
    let mut found = None;
    let bearer = headers.get_all(AUTHORIZATION).iter().map(bearer);
    for key in bearer.chain(headers.get_all(X_API_KEY).iter().map(plain)) {
        let key = key.ok_or(IdentifyError::Unknown)?;
        if found.is_some_and(|other| other != key) {
            return Err(IdentifyError::Ambiguous);
        }
        found = Some(key);
    }
    found.ok_or(IdentifyError::Missing)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.as_bytes().split_at_checked(6)?;
    let spaces = key.iter().take_while(|byte| **byte == b' ').count();
    (scheme.eq_ignore_ascii_case(b"bearer") && spaces > 0).then_some(&key[spaces..]).and_then(fit)
}

fn plain(value: &HeaderValue) -> Option<&str> {
    fit(value.as_bytes())
}

/// The key, if it is one that could be known.
fn fit(key: &[u8]) -> Option<&str> {
    let key = key.trim_ascii();
    let fits = (1..=ApiKeys::MAX_KEY).contains(&key.len());
    std::str::from_utf8(key).ok().filter(|_| fits)
}
