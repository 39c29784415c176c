use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config::MAX_TEXT_BYTES;
use super::schema::PUBLIC_KEYS;
use super::wording::is_plain_name;
use crate::place::{Mistake, Place, one_line, shortened};

/// Why there is no such configuration. It never contains an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not a configuration.
    Invalid {
        /// The line of the mistake, from 1.
        line: usize,
        /// Its column in characters, from 1.
        column: usize,
        /// The line itself, as far as it cannot hold a secret; at most 80 characters of it.
        text: String,
        /// The limit or the route that it is part of, such as `limit "ai-rpm"`.
        part: Option<String>,
        /// What is wrong there, and what to do.
        message: String,
    },
    /// The text is larger than [`MAX_TEXT_BYTES`].
    TooLong,
    /// The configuration file could not be read.
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    /// A mistake in a text.
    pub(super) fn at(text: &str, (range, message): &Mistake) -> Self {
        let place = Place::of(text, range);
        Self::Invalid {
            line: place.line,
            column: place.column,
            text: shown(place.text),
            part: part(text, range.start),
            message: one_line(message),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { line, column, text, part, message } => {
                write!(f, "configuration, line {line}, column {column}, `{text}`")?;
                if let Some(part) = part {
                    write!(f, ", in {part}")?;
                }
                write!(f, ": {message}")
            }
            Self::TooLong => write!(f, "a configuration is at most {MAX_TEXT_BYTES} bytes long"),
            Self::Unreadable { path, reason } => write!(f, "the configuration {path:?} cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What may be shown of a line: all of it only if it is a section's header, or one key of which no secret is the value.
fn shown(line: &str) -> String {
    if line.starts_with('[') && is_plain_name(line.trim_matches(['[', ']'])) {
        return shortened(line);
    }
    let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value));
    let value = value.split_once(" #").map_or(value, |(value, _)| value).trim();
    if PUBLIC_KEYS.contains(&key) && !value.is_empty() && !value.contains('=') {
        return shortened(&format!("{key} = {value}"));
    }
    if key.len() < line.len() && is_plain_name(key) { format!("{key} = …") } else { "…".to_owned() }
}

/// The limit or the route whose section has this place.
fn part(text: &str, at: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?.into_inner();
    [("limit", "name"), ("route", "path")].into_iter().find_map(|(section, key)| {
        let mut entries = document.get(section)?.get_ref().as_array()?.iter();
        let entry = entries.find(|entry| is_inside(entry, at))?;
        let name = entry.get_ref().as_table()?.get(key)?.get_ref().as_str()?;
        Some(format!("{section} {:?}", shortened(name)))
    })
}

/// Whether a table has this place: in its header, or in one of its keys or values.
fn is_inside(table: &Spanned<DeValue<'_>>, at: usize) -> bool {
    let keys = table.get_ref().as_table().into_iter().flatten();
    let mut spans = keys.flat_map(|(key, value)| [key.span(), value.span()]).chain([table.span()]);
    spans.any(|span| span.contains(&at))
}
