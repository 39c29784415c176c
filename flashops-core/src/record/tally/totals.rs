use crate::record::{Ending, SettledCall};
use crate::units::{Cost, MoneyUnit};
use crate::usage::Quality;

/// What was counted, for one row or for several together.
///
/// Sums are exact up to 2⁶⁴ − 1, where they stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls that were made and have ended.
    pub requests: u64,
    /// Their input tokens, of all classes.
    pub prompt_tokens: u64,
    /// Their output tokens, of all classes.
    pub completion_tokens: u64,
    /// Those of them whose usage is not the provider's own exact number.
    pub estimated_requests: u64,
    /// Those of them whose provider reported numbers that contradict each other
    /// ([`Usage::inconsistent`](crate::usage::Usage::inconsistent)). They are in `estimated_requests` too.
    pub inconsistent_requests: u64,
    /// Those of them for which no price applied, so that [`Totals::cost`] does not have them.
    pub unpriced_requests: u64,
    /// Those of them that ended as [`Ending::Rejected`].
    pub rejected: u64,
    /// Those of them that ended as [`Ending::Failed`].
    pub failed: u64,
    /// Those of them that ended as [`Ending::Cut`] or [`Ending::Exhausted`].
    pub cut: u64,
    /// Requests that were refused. They are not in `requests`.
    pub refused: u64,
    /// Requests that were given back because they never reached the provider. They are not in `requests`.
    pub voided: u64,
    cost: u64,
}

impl Totals {
    pub(super) const REFUSED: Self = Self { refused: 1, ..Self::ZERO };
    pub(super) const VOIDED: Self = Self { voided: 1, ..Self::ZERO };

    const ZERO: Self = Self {
        requests: 0,
        prompt_tokens: 0,
        completion_tokens: 0,
        estimated_requests: 0,
        inconsistent_requests: 0,
        unpriced_requests: 0,
        rejected: 0,
        failed: 0,
        cut: 0,
        refused: 0,
        voided: 0,
        cost: 0,
    };

    pub(super) fn of(settled: &SettledCall<'_>) -> Self {
        let ended = |ending: Ending| u64::from(settled.ending == ending);
        Self {
            requests: u64::from(!settled.call.again),
            prompt_tokens: settled.usage.total_input().get(),
            completion_tokens: settled.usage.total_output().get(),
            // A refusal of the provider that names no usage has used nothing, and that is no estimate.
            estimated_requests: u64::from(
                settled.usage.quality != Quality::Exact
                    && (settled.ending != Ending::Rejected || settled.usage.total().get() > 0),
            ),
            inconsistent_requests: u64::from(settled.usage.inconsistent),
            unpriced_requests: u64::from(settled.cost.is_none()),
            rejected: ended(Ending::Rejected),
            failed: ended(Ending::Failed),
            cut: ended(Ending::Cut) + ended(Ending::Exhausted),
            refused: 0,
            voided: 0,
            cost: settled.cost.map_or(0, Cost::get),
        }
    }

    /// Input and output tokens together.
    pub const fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Calls that ended as [`Ending::Complete`].
    pub const fn complete(&self) -> u64 {
        self.requests.saturating_sub(self.rejected).saturating_sub(self.failed).saturating_sub(self.cut)
    }

    /// What the calls with a price cost together, in the unit of the price book; `None` if there was none.
    ///
    /// It may be larger than one [`Cost`](crate::units::Cost) can be.
    pub const fn cost(&self) -> Option<u64> {
        if self.requests > self.unpriced_requests { Some(self.cost) } else { None }
    }

    /// [`Totals::cost`] as a decimal number of the currency, without trailing zeros.
    pub fn cost_text(&self, unit: MoneyUnit) -> Option<String> {
        let one = 10_u64.pow(u32::from(unit.scale()));
        let cost = self.cost()?;
        let part = unit.format(Cost::saturating(cost % one));
        Some(format!("{}{}", cost / one, part.trim_start_matches('0')))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::ZERO
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.estimated_requests = self.estimated_requests.saturating_add(other.estimated_requests);
        self.inconsistent_requests = self.inconsistent_requests.saturating_add(other.inconsistent_requests);
        self.unpriced_requests = self.unpriced_requests.saturating_add(other.unpriced_requests);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.failed = self.failed.saturating_add(other.failed);
        self.cut = self.cut.saturating_add(other.cut);
        self.refused = self.refused.saturating_add(other.refused);
        self.voided = self.voided.saturating_add(other.voided);
        self.cost = self.cost.saturating_add(other.cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MAX_AMOUNT;

    fn priced(requests: u64, cost: u64) -> Totals {
        Totals { requests, cost, ..Totals::ZERO }
    }

    #[test]
    fn a_sum_beyond_the_largest_cost_is_written_out_to_the_last_digit() {
        let unit = MoneyUnit::NANO_USD;
        assert_eq!(priced(1, 2_100).cost_text(unit).unwrap(), "0.0000021");
        assert_eq!(priced(1, 0).cost_text(unit).unwrap(), "0");
        assert_eq!(priced(1, 7_000_000_000).cost_text(unit).unwrap(), "7");
        assert_eq!(priced(9, 2 * MAX_AMOUNT).cost_text(unit).unwrap(), "18014398.509481982");
        assert_eq!(priced(9, 12).cost_text(MoneyUnit::new("IRR", 0).unwrap()).unwrap(), "12");
    }

    #[test]
    fn calls_without_a_price_have_no_cost_and_do_not_hide_that_of_the_others() {
        let unpriced = Totals { requests: 2, unpriced_requests: 2, ..Totals::ZERO };
        assert_eq!(unpriced.cost(), None);
        assert_eq!(Totals::REFUSED.cost(), None);
        let mut mixed = unpriced;
        mixed.add(&priced(1, 5));
        assert_eq!((mixed.cost(), mixed.unpriced_requests), (Some(5), 2));
    }

    #[test]
    fn sums_stop_at_their_bound() {
        let mut most = priced(u64::MAX, u64::MAX);
        most.add(&priced(1, 1));
        assert_eq!(most, priced(u64::MAX, u64::MAX));
    }
}
