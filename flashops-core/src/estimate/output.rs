//! The output side of an estimate.
//!
//! ```
//! use flashops_core::estimate::OutputCap;
//! use flashops_core::units::Tokens;
//!
//! let declared = [Some(Tokens::new(1)?), None, Some(Tokens::new(4_000)?)];
//! let cap = OutputCap::largest(declared.into_iter().flatten()).expect("two caps are declared");
//! assert_eq!(cap.with_choices(2).tokens().get(), 8_000);
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! Edge cases: no declared cap is `None` and not zero. Zero choices count as one, since a provider that reads a zero
//! answers once.
//!
//! What this module does not do: make a provider keep to the cap. The layer writes it into the request.

use crate::units::Tokens;

/// The most output tokens that a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCap(Tokens);

impl OutputCap {
    /// A cap on one answer.
    pub const fn new(per_answer: Tokens) -> Self {
        Self(per_answer)
    }

    /// The largest of the caps that a request declares: with a smaller one a request could use more than it holds.
    pub fn largest(declared: impl IntoIterator<Item = Tokens>) -> Option<Self> {
        declared.into_iter().max().map(Self)
    }

    /// The cap for so many answers (`n`, `best_of`), each up to this one.
    #[must_use]
    pub const fn with_choices(self, answers: u64) -> Self {
        let answers = if answers == 0 { 1 } else { answers };
        Self(self.0.saturating_mul(answers))
    }

    /// The cap.
    pub const fn tokens(self) -> Tokens {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undeclared_cap_is_not_zero() {
        assert_eq!(OutputCap::largest([]), None);
    }

    #[test]
    fn a_small_cap_beside_a_large_one_hides_nothing() {
        let tokens = |n| Tokens::saturating(n);
        let cap = OutputCap::largest([tokens(1), tokens(9_000), tokens(2)]);
        assert_eq!(cap, Some(OutputCap::new(tokens(9_000))));
    }

    #[test]
    fn zero_choices_still_answer_once() {
        let cap = OutputCap::new(Tokens::saturating(7));
        assert_eq!(cap.with_choices(0), cap);
    }
}
