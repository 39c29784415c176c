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
//! # What is held
//!
//! The bound, unless the switches [`InputEstimate`] and [`OutputEstimate`] say otherwise. Then a budget learns from the
//! usage that providers report, by route and model (all models that the price book does not know are one), what the
//! next calls use, and holds that. What is sent to the provider is the client's cap in any case.
//!
//! - **Output.** Calls are told apart by the octave of their cap, since what was used within one cap says nothing about
//!   a larger one, and by the half octave of their input bound. Of the last 256 of a kind the 95th percentile is kept:
//!   the k-th smallest of n, with the least k for which one more call exceeds it with a probability of at most 5 %,
//!   (n + 1 − k) / (n + 1), if calls are exchangeable. A kind of which fewer than 19 were seen goes by those of any
//!   input; if these are too few as well, the cap is held.
//! - **Together.** [`OutputEstimate::Learned`] holds this for a call alone. For one of n calls in flight under the same
//!   key of the narrowest scope that limits its tokens or cost, it holds m + (p − m) / √n: the mean m of calls in
//!   flight (Σx² / Σx, since long answers are in flight for longer), and its part of what the sum of n independent
//!   calls spreads above that.
//! - **Input.** Tokens for a byte of text, the 99th percentile of the last 256 in the same way, from 99 calls on.
//!
//! Both follow change within at most 256 calls: up after 12 larger answers, or 2 requests with more tokens to a byte.
//! Only exact usage teaches. Calls that were cut do not, so where clients leave long answers, these are missing.
//!
//! A caller who sent 8 of the last 16 calls that were counted has one in four of the following counted. One who sends a
//! share f of the traffic is thus at most half of the sample, or f / (f + 4 (1 − f)) if that is more: 69 % for a caller
//! of nine tenths. With a share s of it, somebody who answers short on purpose brings the percentile p of the others
//! down to their (p − s) / (1 − s): with half of the sample from the 95th to the 90th, and the 99th to the 98th. The
//! mean of calls in flight hardly changes by short answers. Long answers raise what is held, up to the cap.
//!
//! What this module does not do: read a request, or know a model's limits.

mod input;
mod learner;
mod output;
mod pool;
mod sample;
mod switches;

pub use input::InputBound;
pub use output::OutputCap;
pub use switches::{InputEstimate, OutputEstimate};

pub(crate) use learner::{Expected, Learner, Lesson, Subject};

use crate::units::Tokens;
use crate::usage::{ServiceTier, Surcharges};

/// The upper bound for the tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The most input tokens.
    pub input: Tokens,
    /// The part of the input that is text, one token for each byte: what can be calibrated.
    pub text: Tokens,
    /// The most output tokens, over all choices together.
    pub output: Tokens,
    /// The tariff that the request asks for; the response may name another.
    pub service_tier: ServiceTier,
    /// What the request asks for that makes its tokens dearer.
    pub surcharges: Surcharges,
    /// The most searches that its provider bills one by one.
    pub searches: u64,
    /// How many of these every call makes that is answered, without its usage saying so.
    pub unreported_searches: u64,
}

impl Estimate {
    /// The bound that follows from what the request sends and from what it lets the model write.
    pub const fn new(input: InputBound, output: OutputCap) -> Self {
        let (service_tier, surcharges) = (ServiceTier::Standard, Surcharges { fast: None, us_only: None });
        let (input, text, output) = (input.tokens(), input.text(), output.tokens());
        Self { input, text, output, service_tier, surcharges, searches: 0, unreported_searches: 0 }
    }

    /// The bound for a request that has no output, such as an embedding.
    pub const fn input_only(input: InputBound) -> Self {
        Self::new(input, OutputCap::new(Tokens::ZERO))
    }

    /// Of a request that asks for this tariff.
    #[must_use]
    pub const fn with_service_tier(mut self, service_tier: ServiceTier) -> Self {
        self.service_tier = service_tier;
        self
    }

    /// Of a request that asks for what makes its tokens dearer.
    #[must_use]
    pub const fn with_surcharges(mut self, surcharges: Surcharges) -> Self {
        self.surcharges = surcharges;
        self
    }

    /// Of a request that lets the provider search, at most so often; `unreported` of these its usage will not name.
    #[must_use]
    pub const fn with_searches(mut self, most: u64, unreported: u64) -> Self {
        self.searches = most;
        self.unreported_searches = unreported;
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
