//! What one request can use at most, before it is sent.
//!
//! ```
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::units::Tokens;
//!
//! let input = InputBound::bytes(1_200).with_media(2, Tokens::new(1_600)?);
//! let output = OutputCap::new(Tokens::new(500)?).with_choices(3);
//! let estimate = Estimate::new(input, output);
//!
//! assert_eq!(estimate.input.get(), 1_200 + 2 * 1_600);
//! assert_eq!(estimate.output.get(), 3 * 500);
//! assert_eq!(estimate.total().get(), 5_900);
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! Edge cases: every sum and product stops at [`MAX_AMOUNT`](crate::units::MAX_AMOUNT), which is the refusing side.
//! Of several declared caps the largest counts, because a provider may follow any of them. A request without
//! any declared cap has no [`OutputCap`]: whoever builds the estimate decides on one, it is never taken for zero.
//!
//! What this module does not do: read a request, know a model's limits, or learn from earlier requests.

mod input;
mod output;

pub use input::InputBound;
pub use output::OutputCap;

use crate::units::Tokens;
use crate::usage::ServiceTier;

/// The upper bound for the tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The most input tokens.
    pub input: Tokens,
    /// The most output tokens, over all choices together.
    pub output: Tokens,
    /// The tariff that the request asks for; the response may name another.
    pub service_tier: ServiceTier,
}

impl Estimate {
    /// The bound that follows from what the request sends and from what it lets the model write.
    pub const fn new(input: InputBound, output: OutputCap) -> Self {
        Self { input: input.tokens(), output: output.tokens(), service_tier: ServiceTier::Standard }
    }

    /// The bound for a request that has no output, such as an embedding.
    pub const fn input_only(input: InputBound) -> Self {
        Self { input: input.tokens(), output: Tokens::ZERO, service_tier: ServiceTier::Standard }
    }

    /// Of a request that asks for this tariff.
    #[must_use]
    pub const fn with_service_tier(mut self, service_tier: ServiceTier) -> Self {
        self.service_tier = service_tier;
        self
    }

    /// Input and output together.
    pub const fn total(&self) -> Tokens {
        self.input.saturating_add(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MAX_AMOUNT;

    #[test]
    fn an_estimate_too_large_to_count_stops_at_the_largest_amount() {
        let most = Tokens::saturating(u64::MAX);
        let input = InputBound::bytes(u64::MAX).with_media(u64::MAX, most);
        let estimate = Estimate::new(input, OutputCap::new(most).with_choices(u64::MAX));
        assert_eq!(estimate.input.get(), MAX_AMOUNT);
        assert_eq!(estimate.output.get(), MAX_AMOUNT);
        assert_eq!(estimate.total().get(), MAX_AMOUNT);
    }

    #[test]
    fn a_request_without_output_holds_none() {
        let estimate = Estimate::input_only(InputBound::bytes(40));
        assert_eq!((estimate.input.get(), estimate.output.get()), (40, 0));
    }
}
