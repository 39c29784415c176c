//! `[prices]`.

use std::sync::Arc;

use super::schema::RawPrices;
use super::sources::Sources;
use crate::place::Mistake;
use crate::price::{PriceBook, PriceError};

pub(super) fn read(raw: &RawPrices, sources: &dyn Sources) -> Result<Arc<PriceBook>, Mistake> {
    let replace = raw.replace.as_ref().is_some_and(|replace| *replace.get_ref());
    let Some(path) = &raw.file else {
        return match &raw.replace {
            Some(place) if replace => Err((place.span(), "`replace` needs a `file` to replace with".to_owned())),
            _ => Ok(Arc::new(PriceBook::embedded().clone())),
        };
    };
    let wrong = |message: String| (path.span(), message);
    let text = sources.file(path.get_ref()).map_err(|error| wrong(format!("the prices cannot be read: {error}")))?;
    let book = PriceBook::from_toml(&text).map_err(|error| wrong(error.to_string()))?;
    if replace {
        return Ok(Arc::new(book));
    }
    PriceBook::embedded().clone().extend(book).map(Arc::new).map_err(|error| match error {
        PriceError::OtherUnit { .. } => wrong(format!("{error}; `replace = true` leaves the embedded book out")),
        error => wrong(error.to_string()),
    })
}
