//! The input side of an estimate.
//!
//! ```
//! use flashops_core::estimate::InputBound;
//! use flashops_core::units::Tokens;
//!
//! assert_eq!(InputBound::bytes(300).tokens().get(), 300);
//! assert_eq!(InputBound::bytes(300).with_media(1, Tokens::new(765)?).tokens().get(), 1_065);
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! Edge cases: an empty text is bounded by zero. The bytes of a media part are not text; they are left out of the
//! byte count and the part is charged its maximum.
//!
//! What this module does not do: count tokens. It bounds them.

use crate::units::Tokens;

/// The most input tokens that a request can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputBound {
    text: Tokens,
    /// Text and everything else.
    all: Tokens,
}

impl InputBound {
    /// One token per byte of text: no byte-level tokenizer makes more of it.
    pub const fn bytes(text: u64) -> Self {
        let text = Tokens::saturating(text);
        Self { text, all: text }
    }

    /// Adds so many media parts, each of at most `per_part` tokens.
    #[must_use]
    pub const fn with_media(self, parts: u64, per_part: Tokens) -> Self {
        self.with_referenced(per_part.saturating_mul(parts))
    }

    /// Adds input that the request only refers to, such as the model's whole context window.
    #[must_use]
    pub const fn with_referenced(self, most: Tokens) -> Self {
        Self { text: self.text, all: self.all.saturating_add(most) }
    }

    /// The bound.
    pub const fn tokens(self) -> Tokens {
        self.all
    }

    /// The part of it that is one token for each byte of text.
    pub const fn text(self) -> Tokens {
        self.text
    }
}
