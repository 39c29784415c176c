use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::clock::UnixSeconds;
use crate::estimate::Estimate;
use crate::price::{Price, PriceBook, TokenClass};
use crate::units::Tokens;
use crate::usage::{ServiceTier, Usage};

const SPECIAL: [ServiceTier; 3] = ServiceTier::SPECIAL;

fn price_of(lines: &str) -> Arc<Price> {
    let model = "[[model]]\nname = \"m\"\nprovider = \"p\"\nsource = \"test\"\nas_of = \"2026-01-01\"\n";
    let book = PriceBook::from_toml(&format!("{model}[[model.price]]\n{lines}")).unwrap();
    Arc::clone(book.price("m", UnixSeconds(0)).unwrap())
}

/// What so many tokens cost, in nano-units.
fn cost(price: &Price, tier: Option<ServiceTier>, tokens: [u64; 3]) -> u64 {
    let [input, cache_read, output] = tokens.map(|n| Tokens::new(n).unwrap());
    price.cost(&Usage { input, cache_read, output, service_tier: tier, ..Usage::exact() }).get()
}

#[test]
fn a_tier_above_a_prompt_rates_the_whole_request_beyond_it() {
    let price = price_of(
        "input = \"2\"\ncache_read = \"0.2\"\noutput = \"10\"\n\
         [[model.price.tier]]\nabove = 200000\ninput = \"4\"\ncache_read = \"0.4\"\noutput = \"15\"",
    );
    // 2000 nano-dollars for each token, until the tier has begun; then all of them cost more.
    assert_eq!(cost(&price, None, [200_000, 0, 10]), 200_000 * 2_000 + 10 * 10_000);
    assert_eq!(cost(&price, None, [200_001, 0, 10]), 200_001 * 4_000 + 10 * 15_000);
    // Cached tokens are of the prompt, output tokens are not.
    assert_eq!(cost(&price, None, [1, 200_000, 10]), 4_000 + 200_000 * 400 + 10 * 15_000);
    assert_eq!(cost(&price, None, [1, 0, 300_000]), 2_000 + 300_000 * 10_000);
}

#[test]
fn a_tier_from_a_prompt_on_rates_the_whole_request_at_it_too() {
    let price = price_of("flat = \"2\"\n[[model.price.tier]]\nfrom = 200000\nflat = \"4\"");
    assert_eq!(cost(&price, None, [199_999, 0, 1]), 200_000 * 2_000);
    assert_eq!(cost(&price, None, [200_000, 0, 1]), 200_001 * 4_000);
    assert!(price.thresholds(ServiceTier::Standard).eq([200_000]));
}

#[test]
fn what_a_tier_does_not_name_costs_as_for_smaller_prompts() {
    let price = price_of(
        "input = \"1\"\ncache_read = \"0.5\"\noutput = \"2\"\n\
         [[model.price.tier]]\nfrom = 20\noutput = \"4\"\n\
         [[model.price.tier]]\nfrom = 10\ninput = \"3\"",
    );
    let at = |prompt| {
        let rate = |class| price.rate(class, ServiceTier::Standard, Tokens::new(prompt).unwrap()) / 100_000_000;
        [TokenClass::Input, TokenClass::CacheRead, TokenClass::AudioIn, TokenClass::Output].map(rate)
    };
    assert_eq!(at(9), [10, 5, 10, 20]);
    assert_eq!(at(10), [30, 5, 30, 20]);
    assert_eq!(at(20), [30, 5, 30, 40]);
}

#[test]
fn a_multiplier_takes_the_standard_prices_and_tiers_and_leaves_the_fees() {
    let price = price_of(
        "input = \"3\"\noutput = \"5\"\nper_request = \"0.000001\"\n\
         [[model.price.tier]]\nabove = 100\noutput = \"7\"\n\
         [model.price.batch]\nmultiplier = \"0.5\"\n\
         [model.price.priority]\nmultiplier = \"2\"\n[[model.price.priority.tier]]\nabove = 50\ninput = \"9\"",
    );
    let batch = Some(ServiceTier::Batch);
    assert_eq!(cost(&price, batch, [100, 0, 10]), 150_000 + 25_000 + 1_000);
    assert_eq!(cost(&price, batch, [101, 0, 10]), 151_500 + 35_000 + 1_000);
    let priority = Some(ServiceTier::Priority);
    assert_eq!(cost(&price, priority, [50, 0, 10]), 300_000 + 100_000 + 1_000);
    assert_eq!(cost(&price, priority, [51, 0, 10]), 459_000 + 100_000 + 1_000);
    assert_eq!(cost(&price, priority, [101, 0, 10]), 909_000 + 140_000 + 1_000);
    assert!(price.has(ServiceTier::Batch) && !price.has(ServiceTier::Flex));
}

#[test]
fn a_tariff_that_a_price_does_not_have_costs_the_standard_price() {
    let price = price_of("flat = \"2\"\n[model.price.batch]\nflat = \"1\"");
    for tier in [None, Some(ServiceTier::Standard), Some(ServiceTier::Flex), Some(ServiceTier::Priority)] {
        assert_eq!(cost(&price, tier, [10, 0, 10]), 40_000, "{tier:?}");
    }
    assert_eq!(cost(&price, Some(ServiceTier::Batch), [10, 0, 10]), 20_000);
}

#[test]
fn a_multiplied_price_is_rounded_up() {
    let price = price_of("flat = \"0.000000003\"\n[model.price.flex]\nmultiplier = \"0.5\"");
    assert_eq!(price.rate(TokenClass::Input, ServiceTier::Flex, Tokens::ZERO), 2);
}

#[test]
fn a_hold_for_a_dear_tariff_covers_it_and_one_for_a_cheap_tariff_covers_the_standard_one() {
    let price = price_of("flat = \"2\"\n[model.price.flex]\nflat = \"1\"\n[model.price.priority]\nflat = \"4\"");
    let million = Tokens::new(1_000_000).unwrap();
    let most = |tier| {
        price.most(&Estimate { input: million, service_tier: tier, ..Estimate::default() }).get() / 1_000_000_000
    };
    assert_eq!([ServiceTier::Standard, SPECIAL[0], SPECIAL[1], SPECIAL[2]].map(most), [2, 2, 2, 4]);
}

/// Input, cache read and output of one layer, in millionths, as the text of a price.
type Layer = [Option<u32>; 3];

fn lines(layer: Layer) -> String {
    let named = ["input", "cache_read", "output"].into_iter().zip(layer);
    named.filter_map(|(key, price)| Some(format!("{key} = \"{}\"\n", price?))).collect()
}

/// Tiers that name something, by the prompt from which on they hold; the lowest first.
fn tiers() -> impl Strategy<Value = Vec<(u64, Layer)>> {
    let layer = vec(option::of(0..50_u32), 3).prop_map(|layer| -> Layer { layer.try_into().unwrap() });
    let layer = layer.prop_filter("a tier changes something", |layer| layer.iter().any(Option::is_some));
    vec((1..40_u64, layer), 0..4).prop_map(|mut tiers| {
        tiers.sort_by_key(|(from, _)| *from);
        tiers.dedup_by_key(|(from, _)| *from);
        tiers
    })
}

fn text(table: &str, tiers: &[(u64, Layer)]) -> String {
    tiers.iter().map(|(from, layer)| format!("[[{table}.tier]]\nfrom = {from}\n{}", lines(*layer))).collect()
}

/// Lays one layer after the other, the general ones first, and sees what is on top.
fn naive(prompt: u64, base: [u32; 3], tiers: &[(u64, Layer)], more: &[(u64, Layer)]) -> [u64; 3] {
    let mut now = base;
    for (from, layer) in tiers.iter().chain(more) {
        for (price, named) in now.iter_mut().zip(layer) {
            if let (true, Some(named)) = (*from <= prompt, named) {
                *price = *named;
            }
        }
    }
    now.map(u64::from)
}

proptest! {
    #[test]
    fn the_price_is_the_last_word_of_all_tiers_that_the_prompt_reaches(
        base in [0..50_u32, 0..50, 0..50],
        standard in tiers(),
        priority in tiers(),
        tokens in [0..30_u64, 0..30, 0..30],
    ) {
        let mut book = format!("{}{}", lines(base.map(Some)), text("model.price", &standard));
        if !priority.is_empty() {
            book += "[model.price.priority]\n";
            book += &text("model.price.priority", &priority);
        }
        let price = price_of(&book);
        let sum = |rates: [u64; 3]| rates.into_iter().zip(tokens).map(|(rate, n)| rate * n * 1_000).sum::<u64>();
        let prompt = tokens[0] + tokens[1];
        prop_assert_eq!(cost(&price, None, tokens), sum(naive(prompt, base, &standard, &[])));
        prop_assert_eq!(
            cost(&price, Some(ServiceTier::Priority), tokens),
            sum(naive(prompt, base, &standard, &priority))
        );
    }

    #[test]
    fn no_usage_within_an_estimate_costs_more_than_its_hold_in_any_tier(
        base in [0..50_u32, 0..50, 0..50],
        standard in tiers(),
        priority in tiers(),
        tokens in [0..30_u64, 0..30, 0..30],
        (more_input, more_output) in (0..30_u64, 0..30_u64),
    ) {
        let mut book = format!("{}{}", lines(base.map(Some)), text("model.price", &standard));
        if !priority.is_empty() {
            book += "[model.price.priority]\n";
            book += &text("model.price.priority", &priority);
        }
        let price = price_of(&book);
        let input = Tokens::new(tokens[0] + tokens[1] + more_input).unwrap();
        let output = Tokens::new(tokens[2] + more_output).unwrap();
        for tier in [ServiceTier::Standard, ServiceTier::Priority] {
            let most = price.most(&Estimate { input, output, service_tier: tier, ..Estimate::default() }).get();
            // What was asked for, or the standard one instead.
            prop_assert!(cost(&price, Some(tier), tokens) <= most);
            prop_assert!(cost(&price, Some(ServiceTier::Standard), tokens) <= most);
        }
    }
}
