//! `[[caller]]`.

use std::net::IpAddr;

use toml::Spanned;

use super::schema::{RawCaller, Text};
use super::sources::Sources;
use crate::caller::{Caller, CallerTable};
use crate::place::Mistake;

/// The longest name of a user or an organisation, in bytes.
const MAX_NAME: usize = 128;

pub(super) fn read(raw: &[Spanned<RawCaller>], sources: &dyn Sources) -> Result<CallerTable, Mistake> {
    let mut callers = CallerTable::new();
    for raw in raw {
        let (place, key) = key(raw, sources)?;
        let raw = raw.get_ref();
        let (user, org) = (name(&raw.user, "user")?, name(&raw.org, "org")?);
        let caller = if raw.admin { Caller::admin(user, org) } else { Caller::new(user, org) };
        callers.insert(key.trim(), caller).map_err(|error| (place.span(), error.to_string()))?;
    }
    Ok(callers)
}

/// The key, and where it is written or referred to.
fn key<'r>(raw: &'r Spanned<RawCaller>, sources: &dyn Sources) -> Result<(&'r Text, String), Mistake> {
    let caller = raw.get_ref();
    match (&caller.key, &caller.key_file, &caller.key_env) {
        (Some(key), None, None) => Ok((key, key.get_ref().clone())),
        (None, Some(path), None) => {
            let failed = |error| (path.span(), format!("the key file cannot be read: {error}"));
            sources.file(path.get_ref()).map(|key| (path, key)).map_err(failed)
        }
        (None, None, Some(name)) => {
            let failed = |error| (name.span(), format!("the environment variable cannot be read: {error}"));
            sources.variable(name.get_ref()).map(|key| (name, key)).map_err(failed)
        }
        _ => Err((raw.span(), "a caller has exactly one of `key`, `key_file` and `key_env`".to_owned())),
    }
}

/// A name of which no anonymous caller can have the account.
fn name<'r>(text: &'r Text, key: &str) -> Result<&'r str, Mistake> {
    let name: &str = text.get_ref();
    let wrong = |message: String| Err((text.span(), message));
    if !(1..=MAX_NAME).contains(&name.len()) || name.contains(char::is_control) {
        return wrong(format!("`{key}` has 1 to {MAX_NAME} bytes, and no control characters"));
    }
    if name.split_once('/').map_or(name, |(address, _)| address).parse::<IpAddr>().is_ok() {
        return wrong(format!("`{key}` cannot be an address: anonymous callers are counted by theirs"));
    }
    Ok(name)
}
