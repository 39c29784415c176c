//! What can be wrong with a price book.

use std::fmt;

use crate::place::{Mistake, Place, one_line, shortened};
use crate::units::MoneyUnit;

/// Why there is no such price book.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PriceError {
    /// The text is not a price book.
    Invalid {
        /// The line of the mistake, from 1.
        line: usize,
        /// Its column in characters, from 1.
        column: usize,
        /// The line itself, with its key; at most 80 characters of it.
        text: String,
        /// What is wrong there.
        message: String,
    },
    /// The text is not a price file of the LiteLLM project.
    NotLiteLlm {
        /// What is wrong with it, with line and column.
        message: String,
    },
    /// The text is larger than [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    TooLong,
    /// The two books count in different units; money of different currencies is never mixed.
    OtherUnit {
        /// The unit of the book that was to be extended.
        ours: MoneyUnit,
        /// The unit of the extension.
        theirs: MoneyUnit,
    },
}

impl PriceError {
    /// A mistake in a text.
    pub(super) fn at(text: &str, (range, message): &Mistake) -> Self {
        let place = Place::of(text, range);
        Self::Invalid {
            line: place.line,
            column: place.column,
            text: shortened(place.text),
            message: one_line(message),
        }
    }
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { line, column, text, message } => {
                write!(f, "price book, line {line}, column {column}, `{text}`: {message}")
            }
            Self::NotLiteLlm { message } => write!(f, "LiteLLM's price file: {message}"),
            Self::TooLong => write!(f, "a price book is at most {} bytes long", super::MAX_TEXT_BYTES),
            Self::OtherUnit { ours, theirs } => write!(
                f,
                "a price book in {} with {} decimal places cannot be extended or replaced by one in {} with {}",
                ours.currency(),
                ours.scale(),
                theirs.currency(),
                theirs.scale()
            ),
        }
    }
}

impl std::error::Error for PriceError {}
