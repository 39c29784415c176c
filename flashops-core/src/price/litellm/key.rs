//! What a key of the file is the price of.

use crate::price::TokenClass;
use crate::usage::ServiceTier;

/// The price of a token class, in a tariff, for prompts above a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PriceKey {
    pub(super) class: TokenClass,
    pub(super) tier: ServiceTier,
    /// The size of a prompt above which it holds.
    pub(super) above: Option<u64>,
}

const CLASSES: [(&str, TokenClass); 9] = [
    // Longer names before those that they begin with.
    ("cache_creation_input_token_cost_above_1hr", TokenClass::CacheWrite1h),
    ("cache_creation_input_token_cost", TokenClass::CacheWrite5m),
    ("cache_read_input_token_cost", TokenClass::CacheRead),
    ("input_cost_per_audio_token", TokenClass::AudioIn),
    ("input_cost_per_image_token", TokenClass::ImageIn),
    ("input_cost_per_token", TokenClass::Input),
    ("output_cost_per_audio_token", TokenClass::AudioOut),
    ("output_cost_per_reasoning_token", TokenClass::Reasoning),
    ("output_cost_per_token", TokenClass::Output),
];

const TARIFFS: [(&str, ServiceTier); 3] =
    [("_batches", ServiceTier::Batch), ("_flex", ServiceTier::Flex), ("_priority", ServiceTier::Priority)];

impl PriceKey {
    /// Reads `CLASS[_above_SIZE_tokens][_TARIFF]`, also with the tariff before the size.
    pub(super) fn read(key: &str) -> Option<Self> {
        let (rest, class) = CLASSES.iter().find_map(|(name, class)| Some((key.strip_prefix(name)?, *class)))?;
        let (rest, last) = tariff(rest, |rest, name| rest.strip_suffix(name));
        let (rest, first) = tariff(rest, |rest, name| rest.strip_prefix(name));
        let tier = match (first, last) {
            (Some(_), Some(_)) => return None,
            (one, other) => one.or(other).unwrap_or_default(),
        };
        let above = match rest {
            "" => None,
            _ => Some(size(rest.strip_prefix("_above_")?.strip_suffix("_tokens")?)?),
        };
        Some(Self { class, tier, above })
    }
}

fn tariff<'k>(rest: &'k str, strip: impl Fn(&'k str, &str) -> Option<&'k str>) -> (&'k str, Option<ServiceTier>) {
    let found = TARIFFS.iter().find_map(|(name, tier)| Some((strip(rest, name)?, *tier)));
    found.map_or((rest, None), |(rest, tier)| (rest, Some(tier)))
}

/// `200k` or `200000`.
fn size(text: &str) -> Option<u64> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1_000),
        None => text.parse().ok(),
    }
}
