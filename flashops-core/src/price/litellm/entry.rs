//! One entry of the file.

use std::sync::Arc;

use jiff::civil::Date;
use serde_json::value::RawValue;

use super::decimal::{PER_PIECE, PER_TOKEN, scaled};
use super::key::PriceKey;
use super::{Members, RoundedPrice};
use crate::clock::UnixSeconds;
use crate::price::TokenClass;
use crate::price::model::Model;
use crate::price::rates::{Price, PriceVersion};
use crate::price::raw::MAX_TIERS;
use crate::price::tariff::{Named, Sheet};
use crate::price::value::MAX_NAME_BYTES;
use crate::units::{MoneyUnit, Tokens};
use crate::usage::ServiceTier;

/// The provider whose thresholds include their bound.
const INCLUSIVE: &str = "xai";

/// The kinds of models that have no output.
const READERS: [&str; 2] = ["embedding", "rerank"];

const TIERS: [ServiceTier; 4] = [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority];

/// Decimal places of a multiplier.
const THOUSANDTHS: i64 = 3;

/// The largest multiplier, in thousandths, as in a price book.
const MOST_TIMES: u64 = 100_000;

/// What an entry came to.
pub(super) struct Read {
    pub(super) model: Model,
    pub(super) rounded: Vec<RoundedPrice>,
    pub(super) ignored: Vec<String>,
}

/// What is read from an entry, member by member.
#[derive(Default)]
struct Reader {
    /// In the order of [`TIERS`].
    sheets: [Sheet; 4],
    provider: String,
    mode: String,
    source: Option<String>,
    max_input: Option<u64>,
    max_output: Option<u64>,
    fast: Option<u64>,
    us: Option<u64>,
    per_request: u64,
    per_search: u64,
    rounded: Vec<RoundedPrice>,
    ignored: Vec<String>,
}

pub(super) fn read(name: &str, members: &Members<'_>, as_of: Date) -> Result<Read, String> {
    let mut reader = Reader { provider: text(members, "litellm_provider"), ..Reader::default() };
    for (key, value) in members {
        reader.member(name, key, value)?;
    }
    reader.finish(name, as_of)
}

/// A text of an entry; empty if it has none.
fn text(members: &Members<'_>, key: &str) -> String {
    members.get(key).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

/// A number, which may be written as a text.
fn number(value: &RawValue) -> &str {
    value.get().trim_matches('"')
}

impl Reader {
    fn member(&mut self, name: &str, key: &str, value: &RawValue) -> Result<(), String> {
        let whole = || number(value).parse::<u64>().ok();
        match key {
            "litellm_provider" => {}
            _ if value.get() == "null" => self.ignored.push(key.into()),
            "mode" | "source" if serde_json::from_str::<String>(value.get()).is_err() => self.ignored.push(key.into()),
            "mode" => {
                self.mode = serde_json::from_str(value.get()).unwrap_or_default();
                self.ignored.push(key.into());
            }
            "source" => self.source = serde_json::from_str(value.get()).ok(),
            "max_input_tokens" => self.max_input = whole().or(self.max_input),
            "max_output_tokens" => self.max_output = whole().or(self.max_output),
            "tiered_pricing" => self.tiered(name, value)?,
            "input_cost_per_request" => self.per_request = self.price(name, key, value, PER_PIECE)?,
            "input_cost_per_query" => self.per_search = self.price(name, key, value, PER_PIECE)?.max(self.per_search),
            "provider_specific_entry" if value.get().starts_with('{') => self.multipliers(value)?,
            "search_context_cost_per_query" => self.searches(name, key, value)?,
            _ => match PriceKey::read(key) {
                Some(of) => {
                    let nanos = self.price(name, key, value, PER_TOKEN)?;
                    self.set(of, nanos)?;
                }
                None => self.ignored.push(key.into()),
            },
        }
        Ok(())
    }

    fn price(&mut self, name: &str, key: &str, value: &RawValue, places: i64) -> Result<u64, String> {
        let text = number(value);
        let (nanos, changed) = scaled(text, places).ok_or_else(|| format!("`{key}` is no price: {text}"))?;
        if changed {
            self.rounded.push(RoundedPrice { model: name.into(), key: key.into(), text: text.into(), nanos });
        }
        Ok(nanos)
    }

    fn set(&mut self, of: PriceKey, nanos: u64) -> Result<(), String> {
        let inclusive = self.provider == INCLUSIVE;
        let sheet = &mut self.sheets[of.tier as usize];
        match of.above {
            None => sheet.base[of.class.index()] = Some(nanos),
            Some(above) => {
                let from = if inclusive { above } else { above.saturating_add(1) };
                tier(sheet, from.max(1))?[of.class.index()] = Some(nanos);
            }
        }
        Ok(())
    }

    /// `[{"range": [above, up to], "input_cost_per_token": …}]`; a prompt above all ranges is in the last.
    fn tiered(&mut self, name: &str, value: &RawValue) -> Result<(), String> {
        let tiers: Vec<Members<'_>> = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
        for members in &tiers {
            let range: Option<[&RawValue; 2]> = members.get("range").and_then(|v| serde_json::from_str(v.get()).ok());
            let start = range.and_then(|[start, _]| Some(scaled(start.get(), 0)?.0));
            let start = start.ok_or("`tiered_pricing` has a tier without `range`")?;
            for (key, value) in members.iter().filter(|(key, _)| *key != "range") {
                match PriceKey::read(key) {
                    Some(of) if of.above.is_none() => {
                        let nanos = self.price(name, key, value, PER_TOKEN)?;
                        self.set(PriceKey { above: (start > 0).then_some(start), ..of }, nanos)?;
                    }
                    _ => self.ignored.push(format!("tiered_pricing.{key}")),
                }
            }
        }
        Ok(())
    }

    /// `{"fast": 2.0, "us": 1.1}`, and what other providers have there.
    fn multipliers(&mut self, value: &RawValue) -> Result<(), String> {
        let members: Members<'_> = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
        for (key, value) in &members {
            let multiplier = scaled(number(value), THOUSANDTHS).filter(|&(thousandths, _)| thousandths <= MOST_TIMES);
            match (key.as_str(), multiplier) {
                ("fast", Some((thousandths, _))) => self.fast = Some(thousandths),
                ("us", Some((thousandths, _))) => self.us = Some(thousandths),
                ("fast" | "us", None) => return Err(format!("`{key}` is no multiplier: {value}")),
                _ => self.ignored.push(format!("provider_specific_entry.{key}")),
            }
        }
        Ok(())
    }

    /// `{"search_context_size_low": …}`: the dearest.
    fn searches(&mut self, name: &str, key: &str, value: &RawValue) -> Result<(), String> {
        let sizes: Members<'_> = serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
        for size in sizes.values() {
            self.per_search = self.price(name, key, size, PER_PIECE)?.max(self.per_search);
        }
        Ok(())
    }

    fn finish(mut self, name: &str, as_of: Date) -> Result<Read, String> {
        let [standard, special @ ..] = &mut self.sheets;
        if READERS.contains(&&*self.mode) && standard.base[TokenClass::Output.index()].is_none() {
            standard.base[TokenClass::Output.index()] = Some(0);
        }
        let below = standard.clone();
        let mut tariffs = Vec::new();
        for (of, sheet) in TIERS[1..].iter().zip(special) {
            if sheet.base.iter().any(Option::is_some) || !sheet.tiers.is_empty() {
                complete(*of, sheet, &below)?;
                tariffs.push((*of, sheet.over(&below).map_err(|class| format!("it has no price of `{class}`"))?));
            }
        }
        let tariff = below.tariff().map_err(|class| format!("it has no price of `{class}`"))?;
        let source: Arc<str> = self.source().into();
        let version =
            PriceVersion { source: Arc::clone(&source), as_of, effective_from: None, start: UnixSeconds(i64::MIN) };
        let price = Price {
            unit: MoneyUnit::NANO_USD,
            standard: tariff,
            special: tariffs,
            fast: self.fast,
            us: self.us,
            per_request: self.per_request,
            per_search: self.per_search,
            per_search_once: false,
            version,
        };
        let model = Model {
            max_media_tokens: None,
            name: name.into(),
            provider: self.provider.split('/').next().filter(|word| !word.is_empty()).unwrap_or("unknown").into(),
            aliases: Vec::new(),
            source,
            as_of,
            context_window: self.max_input.filter(|most| *most > 0).map(Tokens::saturating),
            max_output: self.max_output.map(Tokens::saturating),
            prices: vec![Arc::new(price)],
        };
        Ok(Read { model, rounded: self.rounded, ignored: self.ignored })
    }

    fn source(&self) -> &str {
        let fits =
            |source: &&str| (1..=MAX_NAME_BYTES).contains(&source.len()) && !source.chars().any(char::is_control);
        self.source.as_deref().filter(fits).unwrap_or("LiteLLM's price file")
    }
}

/// The tier of a sheet that begins there, made if need be.
fn tier(sheet: &mut Sheet, from: u64) -> Result<&mut Named, String> {
    let place = sheet.tiers.partition_point(|(earlier, _)| *earlier < from);
    if sheet.tiers.get(place).is_none_or(|(other, _)| *other != from) {
        if sheet.tiers.len() == MAX_TIERS {
            return Err(format!("it has more than {MAX_TIERS} tiers"));
        }
        sheet.tiers.insert(place, (from, [None; TokenClass::COUNT]));
    }
    Ok(&mut sheet.tiers[place].1)
}

/// What a tariff of the file leaves open, as its project fills it in: reasoning is output, and a price for large
/// prompts is the standard one for them, before it is the tariff's own for small ones. In a batch it is the batch's
/// own, and so are sounds and images.
fn complete(of: ServiceTier, sheet: &mut Sheet, standard: &Sheet) -> Result<(), String> {
    let alike: &[(TokenClass, TokenClass)] = match of {
        ServiceTier::Batch => &[
            (TokenClass::Reasoning, TokenClass::Output),
            (TokenClass::AudioIn, TokenClass::Input),
            (TokenClass::ImageIn, TokenClass::Input),
            (TokenClass::AudioOut, TokenClass::Output),
        ],
        _ => &[(TokenClass::Reasoning, TokenClass::Output)],
    };
    for (class, like) in alike {
        sheet.base[class.index()] = sheet.base[class.index()].or(sheet.base[like.index()]);
    }
    if of == ServiceTier::Batch {
        return Ok(());
    }
    for (from, named) in &standard.tiers {
        for class in TokenClass::ALL {
            if let (Some(price), Some(_)) = (named[class.index()], sheet.base[class.index()]) {
                tier(sheet, *from)?[class.index()].get_or_insert(price);
            }
        }
    }
    Ok(())
}
