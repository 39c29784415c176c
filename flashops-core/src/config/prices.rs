//! `[prices]`.

use std::sync::Arc;

use jiff::civil::Date;

use super::schema::{RawPrices, Text};
use super::sources::Sources;
use crate::place::Mistake;
use crate::price::{Import, PriceBook, PriceError};

/// The prices, and what was read of LiteLLM's file for them.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) book: Arc<PriceBook>,
    pub(super) imported: Option<Arc<Import>>,
}

/// The embedded book, LiteLLM's file over it, and the own file over both.
pub(super) fn read(raw: &RawPrices, sources: &dyn Sources) -> Result<Read, Mistake> {
    let replace = raw.replace.as_ref().is_some_and(|replace| *replace.get_ref());
    let imported = import(raw, sources)?;
    let own = raw.file.as_ref().map(|path| Ok((path, own(path, sources)?))).transpose()?;
    let below = match (&imported, &own, &raw.replace) {
        (None, None, Some(place)) if replace => {
            return Err((place.span(), "`replace` needs a `file` to replace with".to_owned()));
        }
        (Some(imported), _, _) if replace => Some(imported.book.clone()),
        _ if replace => None,
        (Some(imported), _, _) => {
            let both = PriceBook::embedded().clone().extend(imported.book.clone());
            Some(both.expect("both are in nano-dollars"))
        }
        (None, _, _) => Some(PriceBook::embedded().clone()),
    };
    let book = match (below, own) {
        (Some(below), Some((path, own))) => below.extend(own).map_err(|error| (path.span(), in_words(&error)))?,
        (Some(book), None) | (None, Some((_, book))) => book,
        (None, None) => unreachable!("something replaces the embedded book"),
    };
    Ok(Read { book: Arc::new(book), imported: imported.map(Arc::new) })
}

fn own(path: &Text, sources: &dyn Sources) -> Result<PriceBook, Mistake> {
    PriceBook::from_toml(&content(path, sources)?).map_err(|error| (path.span(), error.to_string()))
}

fn import(raw: &RawPrices, sources: &dyn Sources) -> Result<Option<Import>, Mistake> {
    let (path, day) = match (&raw.litellm, &raw.litellm_as_of) {
        (None, None) => return Ok(None),
        (Some(path), Some(day)) => (path, day),
        (Some(path), None) => {
            return Err((path.span(), "`litellm` needs `litellm_as_of`, the day of its prices".to_owned()));
        }
        (None, Some(day)) => return Err((day.span(), "`litellm_as_of` needs a file, `litellm`".to_owned())),
    };
    let as_of: Date =
        day.get_ref().parse().map_err(|_| (day.span(), "expected a day, such as \"2026-11-20\"".to_owned()))?;
    let wrong = |error: PriceError| (path.span(), error.to_string());
    PriceBook::from_litellm(&content(path, sources)?, as_of).map(Some).map_err(wrong)
}

fn content(path: &Text, sources: &dyn Sources) -> Result<String, Mistake> {
    let unread = |error| (path.span(), format!("the prices cannot be read: {error}"));
    sources.file(path.get_ref()).map_err(unread)
}

fn in_words(error: &PriceError) -> String {
    match error {
        PriceError::OtherUnit { .. } => format!("{error}; `replace = true` leaves the embedded book out"),
        error => error.to_string(),
    }
}
