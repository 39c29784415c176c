//! Where in a text something is wrong: what the readers of TOML share.

use std::ops::Range;

use serde::de::DeserializeOwned;

/// The most characters of a line or a key that an error shows.
const MAX_SHOWN: usize = 80;

/// The most characters of what an error says.
const MAX_MESSAGE: usize = 800;

/// A mistake: where in the text, in bytes, and what.
pub(crate) type Mistake = (Range<usize>, String);

/// A place as people count it.
pub(crate) struct Place<'t> {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
    /// The line itself, without white space around it.
    pub(crate) text: &'t str,
}

impl<'t> Place<'t> {
    /// The place where this range of the text begins.
    pub(crate) fn of(text: &'t str, range: &Range<usize>) -> Self {
        let before = text.get(..range.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            text: text[start..].lines().next().unwrap_or("").trim(),
        }
    }
}

/// Reads TOML.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))
}

/// The beginning of a text, safe to print in a line.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text as one line, at most [`MAX_MESSAGE`] characters of it.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.lines().collect::<Vec<_>>().join(", ");
    line.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
