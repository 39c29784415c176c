//! Why a request cannot be inspected.

use std::fmt;

use super::{MAX_DECLARED, MAX_MODEL_NAME};
use crate::json::Fault;

/// Why a request body is refused. Each is the client's fault, and its text is written for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InspectError {
    /// The body is not JSON.
    InvalidJson {
        /// The line of the first byte that does not fit, from 1.
        line: usize,
        /// Its place in that line, in bytes from 1.
        column: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The body is JSON, but no object.
    NotAnObject,
    /// A number is negative, fractional, in exponent form, or too large.
    BadNumber {
        /// The field, with its parents: `thinking.budget_tokens`.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A field has a value of another type.
    WrongType {
        /// The field, with its parents.
        field: &'static str,
        /// The type that it must have.
        expected: &'static str,
    },
    /// A field is given more often than can be followed.
    Repeated {
        /// The field, with its parents.
        field: &'static str,
    },
    /// A field asks for an answer that cannot be metered: one that comes later, or from another model.
    Unmetered {
        /// The field.
        field: &'static str,
    },
    /// A field asks for something that nobody knows the price of.
    Unpriced {
        /// The field.
        field: &'static str,
    },
    /// A key differs from one that decides what the request costs by the case of its letters, and providers differ in
    /// whether they take it for that one.
    Misspelled {
        /// The key as it is spelled.
        field: &'static str,
    },
    /// The model's name is longer than [`MAX_MODEL_NAME`] bytes.
    ModelTooLong,
}

impl InspectError {
    /// The field that is wrong, where the body is JSON: the `param` of `OpenAI`'s error objects.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadNumber { field, .. } | Self::WrongType { field, .. } | Self::Repeated { field } => Some(field),
            Self::Unmetered { field } | Self::Unpriced { field } | Self::Misspelled { field } => Some(field),
            Self::ModelTooLong => Some("model"),
            Self::InvalidJson { .. } | Self::NotAnObject => None,
        }
    }

    pub(super) fn invalid(body: &[u8], fault: Fault) -> Self {
        let before = &body[..fault.at.min(body.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        Self::InvalidJson {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before.len() - line_start + 1,
            what: fault.what,
        }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidJson { line, column, what } => {
                write!(f, "the body is not valid JSON: {what} at line {line}, column {column}")
            }
            Self::NotAnObject => f.write_str("the body must be a JSON object"),
            Self::BadNumber { field, what } => {
                write!(f, "{field} {what}; it must be a whole number from 0 to {MAX_DECLARED}")
            }
            Self::WrongType { field, expected } => write!(f, "{field} must be {expected}"),
            Self::Repeated { field } => write!(f, "{field} is given more than once"),
            Self::Unmetered { field } => write!(f, "{field} is not served here, since what it leads to is not metered"),
            Self::Misspelled { field } => {
                write!(f, "{field} must be spelled exactly so, in small and capital letters too")
            }
            Self::Unpriced { field } => write!(f, "{field} is not served here with this value, which has no price"),
            Self::ModelTooLong => {
                write!(f, "the model's name is longer than {MAX_MODEL_NAME} bytes")
            }
        }
    }
}

impl std::error::Error for InspectError {}
