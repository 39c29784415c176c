//! `[store]`.

use std::fmt;

use toml::Spanned;

use super::schema::{RawStore, Text};
use super::sources::Sources;
use crate::place::Mistake;

/// The longest address, in bytes.
const MAX_URL: usize = 1_024;

/// Where the accounts of several instances are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The address of the server, which may hold a password.
    pub url: String,
    /// What the keys of this service begin with; `None` is the default of the store.
    pub prefix: Option<String>,
}

impl StoreConfig {
    /// A store at an address, with the default prefix.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: None }
    }
}

/// Shows no address: it may hold a password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(super) fn read(raw: Option<&Spanned<RawStore>>, sources: &dyn Sources) -> Result<Option<StoreConfig>, Mistake> {
    let Some(raw) = raw else { return Ok(None) };
    let (place, url) = url(raw, sources)?;
    let url = url.trim().to_owned();
    if !(1..=MAX_URL).contains(&url.len()) || url.contains(char::is_control) {
        return Err((place.span(), format!("an address has 1 to {MAX_URL} bytes, and no control characters")));
    }
    let prefix = raw.get_ref().prefix.as_ref().map(prefix).transpose()?;
    Ok(Some(StoreConfig { url, prefix }))
}

/// The address, and where it is written or referred to.
fn url<'r>(raw: &'r Spanned<RawStore>, sources: &dyn Sources) -> Result<(&'r Text, String), Mistake> {
    let store = raw.get_ref();
    match (&store.url, &store.url_file, &store.url_env) {
        (Some(url), None, None) => Ok((url, url.get_ref().clone())),
        (None, Some(path), None) => {
            let failed = |error| (path.span(), format!("the file cannot be read: {error}"));
            sources.file(path.get_ref()).map(|url| (path, url)).map_err(failed)
        }
        (None, None, Some(name)) => {
            let failed = |error| (name.span(), format!("the environment variable cannot be read: {error}"));
            sources.variable(name.get_ref()).map(|url| (name, url)).map_err(failed)
        }
        _ => Err((raw.span(), "the store has exactly one of `url`, `url_file` and `url_env`".to_owned())),
    }
}

fn prefix(raw: &Text) -> Result<String, Mistake> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    let text = raw.get_ref();
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        let message = "a prefix is 1 to 64 letters, digits, `-`, `_`, `.` or `:`".to_owned();
        return Err((raw.span(), message));
    }
    Ok(text.clone())
}
