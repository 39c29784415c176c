//! One price, and what a usage costs at it.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;

use super::class::TokenClass;
use super::tariff::{Rates, Tariff};
use crate::clock::UnixSeconds;
use crate::estimate::Estimate;
use crate::units::{Cost, MoneyUnit, Tokens};
use crate::usage::{ServiceTier, Surcharges, Usage};

/// Decimal places of a price: a nano-unit of the currency.
pub(super) const PRICE_SCALE: u32 = 9;

/// The number of tokens that a price is for.
pub(super) const PRICED_TOKENS: u64 = 1_000_000;

/// The thousandths of one.
const THOUSAND: u64 = 1_000;

/// Decimal places of the exact sum: those of a price and those of a division by [`PRICED_TOKENS`].
const SUM_SCALE: u32 = PRICE_SCALE + 6;

/// The price of one model from one date on: a standard tariff, and special ones where the provider has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub(super) unit: MoneyUnit,
    pub(super) standard: Tariff,
    /// No tariff twice.
    pub(super) special: Vec<(ServiceTier, Tariff)>,
    /// What tokens cost in the fast mode, and in the United States only, in thousandths of what they cost otherwise.
    pub(super) fast: Option<u64>,
    pub(super) us: Option<u64>,
    pub(super) per_request: u64,
    pub(super) per_search: u64,
    /// The fee for searches is one for all of a request.
    pub(super) per_search_once: bool,
    pub(super) version: PriceVersion,
}

impl Price {
    /// What a usage costs: the exact sum over all classes, searches and the request itself, rounded up once to the
    /// book's unit. At most [`MAX_AMOUNT`](crate::units::MAX_AMOUNT) units, the refusing side.
    ///
    /// The tariff is that of [`Usage::service_tier`]: the standard one where the usage says none, or one that the price
    /// does not have. The size of the prompt, [`Usage::total_input`], rates all of its tokens.
    ///
    /// [`Usage::surcharges`] multiply what its tokens cost, as far as the price has them, and not the fees.
    ///
    /// The quality of the usage is not looked at. An absent one must be replaced by an estimate first.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let rates = self.tariff(usage.service_tier.unwrap_or_default()).at(usage.total_input());
        let tokens = TokenClass::ALL.into_iter().map(|class| exact(class.tokens(usage), rates[class.index()]));
        let tokens = self.surcharged(tokens.fold(0, u128::saturating_add), usage.surcharges);
        self.rounded(tokens.saturating_add(self.fees(usage.searches)))
    }

    /// The most that a request with this bound can cost, whatever the classes of its tokens: at the dearest of the
    /// prices that a prompt up to this size can get, input at the dearest input class, output at the dearest output
    /// class, and the fees for the request and for its searches.
    ///
    /// A provider may serve a request at the standard tariff although another was asked for, so it is never less than
    /// that of the standard tariff.
    pub fn most(&self, bound: &Estimate) -> Cost {
        let &Estimate { input, output, service_tier, surcharges, searches, .. } = bound;
        let tariffs = [Some(&self.standard), self.own_tariff(service_tier)].into_iter().flatten();
        let sums = tariffs.flat_map(|tariff| tariff.up_to(input)).map(|rates| {
            let (dearest_in, dearest_out) = (dearest(rates, true), dearest(rates, false));
            exact(input, dearest_in).saturating_add(exact(output, dearest_out))
        });
        let tokens = self.surcharged(sums.max().unwrap_or(0), surcharges);
        self.rounded(tokens.saturating_add(self.fees(searches)))
    }

    /// The price of a class in nano-units of the currency (10⁻⁹) for 1,000,000 tokens, under a tariff, for a prompt of
    /// so many tokens: its own, or the one it falls back to.
    pub fn rate(&self, class: TokenClass, tier: ServiceTier, prompt: Tokens) -> u64 {
        self.tariff(tier).at(prompt)[class.index()]
    }

    /// The fewest prompt tokens from which on a tariff has other prices, the smallest first; none if it has the same
    /// for every prompt.
    pub fn thresholds(&self, tier: ServiceTier) -> impl Iterator<Item = u64> {
        self.tariff(tier).thresholds()
    }

    /// Whether it has prices of its own for a tariff; otherwise the standard ones hold.
    pub fn has(&self, tier: ServiceTier) -> bool {
        tier == ServiceTier::Standard || self.special.iter().any(|(of, _)| *of == tier)
    }

    /// The fee for each request in nano-units of the currency (10⁻⁹), under any tariff.
    pub const fn per_request(&self) -> u64 {
        self.per_request
    }

    /// The fee for each search in nano-units of the currency (10⁻⁹), under any tariff; or for all of a request
    /// together, where [`Price::per_search_once`] says so.
    pub const fn per_search(&self) -> u64 {
        self.per_search
    }

    /// Whether a request pays for one search, however many it makes.
    pub const fn per_search_once(&self) -> bool {
        self.per_search_once
    }

    /// What tokens cost in the fast mode, in thousandths of what they cost otherwise; `None` if nobody said.
    pub const fn fast(&self) -> Option<u64> {
        self.fast
    }

    /// What tokens cost that are served in the United States only, in thousandths of what they cost otherwise; `None`
    /// if nobody said.
    pub const fn us(&self) -> Option<u64> {
        self.us
    }

    /// The unit of its costs: that of the book.
    pub const fn unit(&self) -> MoneyUnit {
        self.unit
    }

    /// Where the price comes from, for the record of what was charged.
    pub const fn version(&self) -> &PriceVersion {
        &self.version
    }

    /// What tokens cost with their surcharges, rounded up. A sum that saturates stays above the largest cost.
    fn surcharged(&self, tokens: u128, surcharges: Surcharges) -> u128 {
        let times = |tokens: u128, applies: Option<bool>, thousandths: Option<u64>| match thousandths {
            Some(thousandths) if applies == Some(true) => {
                tokens.saturating_mul(u128::from(thousandths)).div_ceil(u128::from(THOUSAND))
            }
            _ => tokens,
        };
        times(times(tokens, surcharges.fast, self.fast), surcharges.us_only, self.us)
    }

    /// What a request with so many searches costs besides its tokens, in 10^-[`SUM_SCALE`] of the currency.
    fn fees(&self, searches: u64) -> u128 {
        let billed = if self.per_search_once { searches.min(1) } else { searches };
        per_piece(self.per_search).saturating_mul(u128::from(billed)).saturating_add(per_piece(self.per_request))
    }

    fn tariff(&self, tier: ServiceTier) -> &Tariff {
        self.own_tariff(tier).unwrap_or(&self.standard)
    }

    /// The tariff that is not the standard one.
    fn own_tariff(&self, tier: ServiceTier) -> Option<&Tariff> {
        self.special.iter().find(|(of, _)| *of == tier).map(|(_, tariff)| tariff)
    }

    /// A sum that saturated is above 2¹²⁷ and therefore, in any unit, above the largest cost.
    fn rounded(&self, sum: u128) -> Cost {
        let one = 10_u128.pow(SUM_SCALE - u32::from(self.unit.scale()));
        Cost::saturating(u64::try_from(sum.div_ceil(one)).unwrap_or(u64::MAX))
    }
}

/// The dearest input class, or output class.
fn dearest(rates: &Rates, input: bool) -> u64 {
    let classes = TokenClass::ALL.into_iter().filter(|class| class.is_input() == input);
    classes.map(|class| rates[class.index()]).max().unwrap_or(0)
}

/// In 10^-[`SUM_SCALE`] of the currency. Below 2¹¹⁷, so that nine of them cannot overflow.
fn exact(tokens: Tokens, rate: u64) -> u128 {
    u128::from(tokens.get()) * u128::from(rate)
}

/// Where a [`Price`] comes from: what a record keeps, so that it can be explained later.
///
/// Its text is `https://example.org/pricing, as of 2026-11-20, effective from 2025-06-10`. Cloning it allocates
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceVersion {
    pub(super) source: Arc<str>,
    pub(super) as_of: Date,
    pub(super) effective_from: Option<Date>,
    /// The first second at which the price holds.
    pub(super) start: UnixSeconds,
}

impl PriceVersion {
    /// Who says so: the address of a pricing page, or the name of a contract.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day of the figures.
    pub const fn as_of(&self) -> Date {
        self.as_of
    }

    /// The day from whose midnight, UTC, on the price holds; `None` if it always held.
    pub const fn effective_from(&self) -> Option<Date> {
        self.effective_from
    }
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, as of {}", self.source, self.as_of)?;
        match self.effective_from {
            Some(date) => write!(f, ", effective from {date}"),
            None => Ok(()),
        }
    }
}

/// A fee in 10^-[`SUM_SCALE`] of the currency.
fn per_piece(fee: u64) -> u128 {
    u128::from(fee) * u128::from(PRICED_TOKENS)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::price::PriceBook;
    use crate::units::MAX_AMOUNT;

    /// A book with one model, `m`, with these lines as its price.
    fn price_of(head: &str, lines: &str) -> Arc<Price> {
        let text = format!(
            "{head}\n[[model]]\nname = \"m\"\nprovider = \"p\"\nsource = \"test\"\nas_of = \"2026-01-01\"\n\
             [[model.price]]\n{lines}"
        );
        let book = PriceBook::from_toml(&text).unwrap();
        Arc::clone(book.price("m", UnixSeconds(0)).unwrap())
    }

    fn usage_of(tokens: [u64; 9], searches: u64) -> Usage {
        let [input, cache_read, cache_write_5m, cache_write_1h, audio_in, image_in, output, reasoning, audio_out] =
            tokens.map(|n| Tokens::new(n).unwrap());
        Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            audio_in,
            image_in,
            output,
            reasoning,
            audio_out,
            searches,
            ..Usage::exact()
        }
    }

    fn bound(input: Tokens, output: Tokens, searches: u64) -> Estimate {
        Estimate { input, output, searches, ..Estimate::default() }
    }

    /// Nano-units as a decimal string of the currency.
    fn decimal(nanos: u64) -> String {
        format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }

    /// The table of the module's documentation, by position.
    fn own_or_fallback(own: [Option<u64>; 9]) -> [u64; 9] {
        let [input, cache_read, write_5m, write_1h, audio_in, image_in, output, reasoning, audio_out] = own;
        let (input, output) = (input.unwrap(), output.unwrap());
        let write_5m = write_5m.unwrap_or(input);
        [
            input,
            cache_read.unwrap_or(input),
            write_5m,
            write_1h.unwrap_or(write_5m),
            audio_in.unwrap_or(input),
            image_in.unwrap_or(input),
            output,
            reasoning.unwrap_or(output),
            audio_out.unwrap_or(output),
        ]
    }

    /// Counts up from the rounded-down quotient to the first number of units that covers the sum.
    fn smallest_cost_that_covers(sum: u128, one: u128) -> u64 {
        let mut units = sum / one;
        while units * one < sum {
            units += 1;
        }
        u64::try_from(units.min(u128::from(MAX_AMOUNT))).unwrap()
    }

    const KEYS: [&str; 9] = [
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "audio_in",
        "image_in",
        "output",
        "reasoning",
        "audio_out",
    ];

    fn lines(own: [Option<u64>; 9], request: u64, search: u64) -> String {
        let classes = KEYS
            .iter()
            .zip(own)
            .filter_map(|(key, price)| price.map(|price| format!("{key} = \"{}\"\n", decimal(price))));
        let fees = [("per_request", request), ("per_search", search)]
            .map(|(key, fee)| format!("{key} = \"{}\"\n", decimal(fee)));
        classes.chain(fees).collect()
    }

    fn own_prices() -> impl Strategy<Value = [Option<u64>; 9]> {
        let rate = prop_oneof![0..1_000_u64, 0..200_000_000_000_u64, 0..=u64::MAX];
        (vec(option::of(rate.clone()), 9), rate.clone(), rate).prop_map(|(own, input, output)| {
            let mut own: [Option<u64>; 9] = own.try_into().unwrap();
            own[0] = own[0].or(Some(input));
            own[6] = own[6].or(Some(output));
            own
        })
    }

    fn token_counts() -> impl Strategy<Value = [u64; 9]> {
        let tokens = prop_oneof![Just(0), 0..10_u64, 0..2_000_000_u64, 0..=MAX_AMOUNT / 9];
        vec(tokens, 9).prop_map(|tokens| tokens.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn a_cost_is_the_exact_sum_rounded_up_once(
            own in own_prices(),
            tokens in token_counts(),
            (request, search, searches) in (0..10_000_000_000_u64, 0..10_000_000_000_u64, 0..100_u64),
            scale in 0..=12_u32,
        ) {
            let head = format!("scale = {scale}");
            let price = price_of(&head, &lines(own, request, search));

            let by_class = own_or_fallback(own).into_iter().zip(tokens);
            let sum = by_class.map(|(rate, n)| u128::from(rate) * u128::from(n)).sum::<u128>()
                + u128::from(request) * 1_000_000
                + u128::from(search) * 1_000_000 * u128::from(searches);
            let one = 10_u128.pow(15 - scale);
            prop_assert_eq!(
                price.cost(&usage_of(tokens, searches)).get(),
                smallest_cost_that_covers(sum, one)
            );
        }

        #[test]
        fn no_usage_costs_more_than_the_most_of_its_tokens_and_searches(
            own in own_prices(),
            tokens in token_counts(),
            (request, search, searches) in (0..10_000_000_000_u64, 0..10_000_000_000_u64, 0..100_u64),
        ) {
            let price = price_of("", &lines(own, request, search));
            let usage = usage_of(tokens, searches);
            let most = price.most(&bound(usage.total_input(), usage.total_output(), usage.searches));
            prop_assert!(price.cost(&usage) <= most);
        }
    }

    #[test]
    fn the_most_is_what_the_dearest_classes_cost() {
        let price = price_of(
            "",
            "input = \"1\"\ncache_write_1h = \"2\"\noutput = \"3\"\naudio_out = \"7\"\nper_request = \"0.5\"",
        );
        let million = Tokens::new(1_000_000).unwrap();
        assert_eq!(price.unit().format(price.most(&bound(million, million, 0))), "9.5");
    }

    #[test]
    fn a_flat_rate_of_20_for_1000_tokens_makes_150000_tokens_cost_3000() {
        let price = price_of("currency = \"IRT\"\nscale = 2", "flat = \"20\"\nper = 1000");
        for class in 0..9 {
            let mut tokens = [0; 9];
            tokens[class] = 150_000;
            assert_eq!(price.cost(&usage_of(tokens, 0)).get(), 300_000, "{class}");
        }
    }

    #[test]
    fn the_smallest_usage_costs_at_least_one_unit() {
        let price = price_of("scale = 2", "input = \"0.000000001\"\noutput = \"0\"");
        let mut tokens = [0; 9];
        assert_eq!(price.cost(&usage_of(tokens, 0)), Cost::ZERO);
        tokens[0] = 1;
        assert_eq!(price.cost(&usage_of(tokens, 0)).get(), 1);
    }

    #[test]
    fn a_cost_beyond_the_bound_stops_at_the_bound() {
        let price = price_of(
            "scale = 12",
            "flat = \"18446744073.709551615\"\nper_request = \"18446744073.709551615\"\n\
             per_search = \"18446744073.709551615\"",
        );
        let usage = usage_of([MAX_AMOUNT; 9], u64::MAX);
        assert_eq!(price.cost(&usage).get(), MAX_AMOUNT);
        let most = Tokens::new(MAX_AMOUNT).unwrap();
        assert_eq!(price.most(&bound(most, most, u64::MAX)).get(), MAX_AMOUNT);
    }

    #[test]
    fn a_fee_for_the_searches_of_a_request_is_charged_and_held_once() {
        let price = price_of("", "flat = \"0\"\nper_search = \"0.035\"\nper_search_once = true");
        for (searches, cost) in [(0, 0), (1, 35_000_000), (7, 35_000_000)] {
            assert_eq!(price.cost(&usage_of([0; 9], searches)).get(), cost);
            assert_eq!(price.most(&bound(Tokens::ZERO, Tokens::ZERO, searches)).get(), cost);
        }
    }

    #[test]
    fn search_fees_that_overflow_a_u128_do_not_wrap_to_nothing() {
        // 2⁶² nano-units, so that the sum of 2⁶³ searches is a multiple of 2¹²⁸.
        let price = price_of("", "flat = \"0\"\nper_search = \"4611686018.427387904\"");
        assert_eq!(price.cost(&usage_of([0; 9], 1 << 63)).get(), MAX_AMOUNT);
    }

    #[test]
    fn every_class_is_counted_by_the_total_that_it_says() {
        for (index, class) in TokenClass::ALL.into_iter().enumerate() {
            let mut tokens = [0; 9];
            tokens[index] = 7;
            let usage = usage_of(tokens, 0);
            let expected = if class.is_input() { (7, 0) } else { (0, 7) };
            assert_eq!(class.name(), KEYS[index]);
            assert_eq!(class.tokens(&usage).get(), 7);
            assert_eq!((usage.total_input().get(), usage.total_output().get()), expected);
        }
    }
}
