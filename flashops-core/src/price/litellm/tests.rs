use std::sync::Arc;

use proptest::prelude::*;

use super::Import;
use super::decimal::{PER_PIECE, PER_TOKEN, scaled};
use super::key::PriceKey;
use crate::clock::UnixSeconds;
use crate::price::{Price, PriceBook, PriceError, TokenClass};
use crate::units::Tokens;
use crate::usage::ServiceTier;

const DAY: jiff::civil::Date = jiff::civil::date(2026, 11, 20);

fn import(text: &str) -> Import {
    PriceBook::from_litellm(text, DAY).unwrap()
}

/// The price of the only model, which has these members beside its provider.
fn price(provider: &str, members: &str) -> Arc<Price> {
    let import = import(&format!(r#"{{"m": {{"litellm_provider": "{provider}", {members}}}}}"#));
    assert_eq!(import.skipped, []);
    Arc::clone(import.book.price("m", UnixSeconds(0)).unwrap())
}

/// Dollars for 1,000,000 tokens, of prices that are whole.
fn dollars(price: &Price, class: TokenClass, tier: ServiceTier, prompt: u64) -> u64 {
    let nanos = price.rate(class, tier, Tokens::new(prompt).unwrap());
    assert_eq!(nanos % 1_000_000_000, 0);
    nanos / 1_000_000_000
}

#[test]
fn a_price_is_rounded_to_nine_decimals_of_a_million_tokens_and_told_if_that_changed_it() {
    for (text, expected) in [
        ("2.5e-06", Some((2_500_000_000, false))),
        ("0.0000025", Some((2_500_000_000, false))),
        ("2.9999900000000002e-06", Some((2_999_990_000, true))),
        ("9.499999999999999e-07", Some((950_000_000, true))),
        ("1e-15", Some((1, false))),
        ("5e-16", Some((1, true))),
        ("4.9e-16", Some((0, true))),
        ("1e-60", Some((0, true))),
        ("0", Some((0, false))),
        ("0.0", Some((0, false))),
        ("0e99", Some((0, false))),
        ("3E-6", Some((3_000_000_000, false))),
        ("1", Some((1_000_000_000_000_000, false))),
        ("18446.744073709551615", Some((u64::MAX, false))),
        ("18446.744073709551616", None),
        ("1e99", None),
        ("1e99999", None),
        ("-1e-6", None),
        ("", None),
        (".5", None),
        ("1e", None),
        ("nan", None),
        ("1111111111111111111111111111111111111", None),
    ] {
        assert_eq!(scaled(text, PER_TOKEN), expected, "{text}");
    }
    assert_eq!(scaled("0.01", PER_PIECE), Some((10_000_000, false)));
}

#[test]
fn a_key_is_the_price_of_a_class_in_a_tariff_above_a_size() {
    use ServiceTier::{Batch, Flex, Priority, Standard};
    use TokenClass::{AudioIn, CacheRead, CacheWrite1h, CacheWrite5m, Input, Output, Reasoning};
    for (key, expected) in [
        ("input_cost_per_token", Some((Input, Standard, None))),
        ("output_cost_per_token_flex", Some((Output, Flex, None))),
        ("output_cost_per_reasoning_token", Some((Reasoning, Standard, None))),
        ("input_cost_per_token_above_272k_tokens", Some((Input, Standard, Some(272_000)))),
        ("input_cost_per_token_above_128000_tokens", Some((Input, Standard, Some(128_000)))),
        ("input_cost_per_token_above_272k_tokens_priority", Some((Input, Priority, Some(272_000)))),
        ("input_cost_per_token_priority_above_272k_tokens", Some((Input, Priority, Some(272_000)))),
        ("cache_read_input_token_cost_batches", Some((CacheRead, Batch, None))),
        ("cache_creation_input_token_cost_above_200k_tokens", Some((CacheWrite5m, Standard, Some(200_000)))),
        ("cache_creation_input_token_cost_above_1hr", Some((CacheWrite1h, Standard, None))),
        ("cache_creation_input_token_cost_above_1hr_above_200k_tokens", Some((CacheWrite1h, Standard, Some(200_000)))),
        ("input_cost_per_audio_token_priority", Some((AudioIn, Priority, None))),
        ("cache_creation_input_token_cost_above_12hr", None),
        ("input_cost_per_token_ultrafast", None),
        ("input_cost_per_token_flex_priority", None),
        ("input_cost_per_token_cache_hit", None),
        ("input_cost_per_token_above_k_tokens", None),
        ("input_cost_per_token_above_99999999999999999999k_tokens", None),
        ("output_cost_per_image", None),
        ("", None),
    ] {
        let expected = expected.map(|(class, tier, above)| PriceKey { class, tier, above });
        assert_eq!(PriceKey::read(key), expected, "{key}");
    }
}

#[test]
fn a_threshold_leaves_its_bound_out_but_for_the_provider_that_includes_it() {
    let members = r#""input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
        "input_cost_per_token_above_200k_tokens": 3e-6"#;
    for (provider, at_the_bound) in [("openai", 1), ("xai", 3)] {
        let price = price(provider, members);
        let input = |prompt| dollars(&price, TokenClass::Input, ServiceTier::Standard, prompt);
        assert_eq!([199_999, 200_000, 200_001].map(input), [1, at_the_bound, 3], "{provider}");
    }
}

#[test]
fn a_table_of_ranges_is_tiers_of_the_whole_request() {
    let price = price(
        "dashscope",
        r#""tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
            {"range": [32e3, 1e6], "input_cost_per_token": 2e-6, "output_cost_per_token": 9e-6}
        ]"#,
    );
    let output = |prompt| dollars(&price, TokenClass::Output, ServiceTier::Standard, prompt);
    assert_eq!([0, 32_000, 32_001, 2_000_000].map(output), [5, 5, 9, 9]);
}

#[test]
fn a_tariff_takes_what_it_lacks_from_the_standard_prices() {
    let price = price(
        "openai",
        r#""input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6, "cache_read_input_token_cost": 1e-6,
        "output_cost_per_reasoning_token": 5e-6, "input_cost_per_audio_token": 7e-6,
        "input_cost_per_token_above_100k_tokens": 4e-6, "input_cost_per_token_batches": 1e-6,
        "input_cost_per_token_priority": 3e-6, "output_cost_per_token_priority": "16e-6""#,
    );
    let at = |class, tier| [1, 100_001].map(|prompt| dollars(&price, class, tier, prompt));
    assert_eq!(at(TokenClass::Input, ServiceTier::Priority), [3, 4]);
    assert_eq!(at(TokenClass::Output, ServiceTier::Priority), [16, 16]);
    assert_eq!(at(TokenClass::Reasoning, ServiceTier::Priority), [16, 16]);
    assert_eq!(at(TokenClass::CacheRead, ServiceTier::Priority), [1, 1]);
    assert_eq!(at(TokenClass::Input, ServiceTier::Batch), [1, 1]);
    assert_eq!(at(TokenClass::Output, ServiceTier::Batch), [8, 8]);
    assert_eq!(at(TokenClass::AudioIn, ServiceTier::Batch), [1, 1]);
    assert_eq!(at(TokenClass::AudioOut, ServiceTier::Batch), [8, 8]);
    assert_eq!(at(TokenClass::AudioIn, ServiceTier::Priority), [7, 7]);
    assert!(!price.has(ServiceTier::Flex));
}

#[test]
fn fees_are_the_dearest_that_the_file_names() {
    let price = price(
        "p",
        r#""input_cost_per_token": 0, "output_cost_per_token": 0.0, "input_cost_per_request": 0.005,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.0125}"#,
    );
    assert_eq!((price.per_request(), price.per_search()), (5_000_000, 12_500_000));
}

#[test]
fn what_is_not_used_is_told() {
    let import = import(
        r#"{"a": {"litellm_provider": "p", "mode": "embedding", "input_cost_per_token": 1.0000000000000001e-6,
                  "supports_vision": true, "max_output_tokens": null},
            "b": {"litellm_provider": "p", "mode": "embedding", "input_cost_per_token": 0, "supports_vision": 1},
            "c": {"litellm_provider": "p", "output_cost_per_image": 1},
            "d": {"litellm_provider": "p", "input_cost_per_token": -1, "output_cost_per_token": 1},
            "sample_spec": {}}"#,
    );
    let ignored: Vec<(&str, usize)> = import.ignored.iter().map(|(key, count)| (&**key, *count)).collect();
    assert_eq!(ignored, [("max_output_tokens", 1), ("mode", 2), ("supports_vision", 2)]);
    let [rounded] = &import.rounded[..] else { panic!("{:?}", import.rounded) };
    assert_eq!((&*rounded.model, &*rounded.text, rounded.nanos), ("a", "1.0000000000000001e-6", 1_000_000_000));
    let skipped: Vec<String> = import.skipped.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(
        skipped,
        [
            "c: it has no price of `input`",
            "d: `input_cost_per_token` is no price: -1",
            "sample_spec: it explains the file"
        ]
    );
    assert_eq!(import.book.models().len(), 2);
}

#[test]
fn a_text_that_is_no_such_file_is_refused_with_its_place() {
    for text in ["", "[]", "{\"m\": 1}", "{\"m\": {\"a\": 1}"] {
        let error = PriceBook::from_litellm(text, DAY).unwrap_err();
        assert!(matches!(error, PriceError::NotLiteLlm { .. }), "{text}");
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}

proptest! {
    #[test]
    fn a_number_that_is_written_out_is_read_as_it_stands(nanos in any::<u64>()) {
        let text = format!("{}.{:015}", nanos / 1_000_000_000_000_000, nanos % 1_000_000_000_000_000);
        prop_assert_eq!(scaled(&text, PER_TOKEN), Some((nanos, false)));
        prop_assert_eq!(scaled(&format!("{nanos}e-15"), PER_TOKEN), Some((nanos, false)));
    }

    #[test]
    fn no_text_makes_the_import_panic(value in "\\PC{0,20}", number in "[-+.eE0-9]{0,50}") {
        let _ = PriceBook::from_litellm(&value, DAY);
        for value in [&value, &number] {
            let text = format!(
                r#"{{"m": {{"input_cost_per_token": {value}, "output_cost_per_token": 1e-6, "tiered_pricing": {value}}}}}"#
            );
            let _ = PriceBook::from_litellm(&text, DAY);
        }
    }
}

#[test]
fn multipliers_for_a_speed_and_a_place_are_imported_and_what_else_stands_there_is_told() {
    let cost = r#""input_cost_per_token": 4e-06, "output_cost_per_token": 2e-05"#;
    let entry = |specific: &str| format!(r#"{{"m": {{{cost}, "provider_specific_entry": {specific}}}}}"#);
    for (specific, fast, us, ignored) in [
        (r#"{"us": 1.1, "fast": 2}"#, Some(2_000), Some(1_100), &[][..]),
        (r#"{"fast": "6.0"}"#, Some(6_000), None, &[]),
        (r#"{"free_images": 3}"#, None, None, &["provider_specific_entry.free_images"]),
        (r#""text""#, None, None, &["provider_specific_entry"]),
    ] {
        let import = import(&entry(specific));
        let price = import.book.price("m", UnixSeconds(0)).unwrap();
        assert_eq!((price.fast(), price.us()), (fast, us), "{specific}");
        assert_eq!(import.ignored.into_keys().collect::<Vec<_>>(), ignored, "{specific}");
    }
    for wrong in [r#"{"fast": -1}"#, r#"{"us": 1000}"#] {
        assert_eq!(import(&entry(wrong)).skipped.len(), 1, "{wrong}");
    }
}
