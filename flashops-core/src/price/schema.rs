//! Price books as TOML.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::book::PriceBook;
use super::error::PriceError;
use super::model::Model;
use super::rates::{Price, PriceVersion};
use super::raw::RawPrice;
use super::value::{Day, Name, Provider, Source, TokenCount};
use crate::clock::UnixSeconds;
use crate::place::{self, Mistake};
use crate::units::MoneyUnit;

/// The longest text that is read as a price book, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 20;

pub(super) fn read(text: &str) -> Result<PriceBook, PriceError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(PriceError::TooLong);
    }
    place::parse(text).and_then(RawBook::into_book).map_err(|mistake| PriceError::at(text, &mistake))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBook {
    currency: Option<Spanned<String>>,
    scale: Option<Spanned<u8>>,
    #[serde(default)]
    model: Vec<RawModel>,
}

impl RawBook {
    fn into_book(self) -> Result<PriceBook, Mistake> {
        let mut book = PriceBook::empty(self.unit()?);
        for model in self.model {
            model.check_names(&book)?;
            let model = model.into_model(book.unit())?;
            book.push(model);
        }
        Ok(book)
    }

    /// Each half is checked with a good other half, so that the place is the right one.
    fn unit(&self) -> Result<MoneyUnit, Mistake> {
        let usual = MoneyUnit::NANO_USD;
        let mut unit = usual;
        if let Some(code) = &self.currency {
            unit = MoneyUnit::new(code.get_ref(), usual.scale()).map_err(|error| (code.span(), error.to_string()))?;
        }
        let Some(scale) = &self.scale else {
            return Ok(unit);
        };
        MoneyUnit::new(unit.currency(), *scale.get_ref())
            .map_err(|_| (scale.span(), format!("`scale` is at most {}", MoneyUnit::MAX_SCALE)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: Spanned<Name>,
    provider: Provider,
    #[serde(default)]
    aliases: Vec<Spanned<Name>>,
    source: Source,
    as_of: Day,
    context_window: Option<Spanned<TokenCount>>,
    max_output: Option<TokenCount>,
    max_media_tokens: Option<TokenCount>,
    price: Vec<Spanned<RawPrice>>,
}

impl RawModel {
    fn check_names(&self, book: &PriceBook) -> Result<(), Mistake> {
        let mut earlier = Vec::with_capacity(self.aliases.len());
        for name in std::iter::once(&self.name).chain(&self.aliases) {
            let text: &str = &name.get_ref().0;
            if book.knows(text) || earlier.contains(&text) {
                return Err((name.span(), format!("the name `{text}` is taken already")));
            }
            earlier.push(text);
        }
        Ok(())
    }

    fn into_model(self, unit: MoneyUnit) -> Result<Model, Mistake> {
        if let Some(window) = &self.context_window
            && window.get_ref().0.get() == 0
        {
            return Err((window.span(), "`context_window` is at least 1".to_owned()));
        }
        let source: Arc<str> = self.source.0.into();
        let prices = prices(unit, &source, self.as_of, self.price, &self.name)?;
        Ok(Model {
            name: self.name.into_inner().0.into(),
            provider: self.provider.0.into(),
            aliases: self.aliases.into_iter().map(|name| name.into_inner().0.into()).collect(),
            source,
            as_of: self.as_of.date,
            context_window: self.context_window.map(|window| window.into_inner().0),
            max_output: self.max_output.map(|most| most.0),
            max_media_tokens: self.max_media_tokens.map(|most| most.0),
            prices,
        })
    }
}

fn prices(
    unit: MoneyUnit,
    source: &Arc<str>,
    as_of: Day,
    raw: Vec<Spanned<RawPrice>>,
    name: &Spanned<Name>,
) -> Result<Vec<Arc<Price>>, Mistake> {
    let mut prices: Vec<Arc<Price>> = Vec::with_capacity(raw.len());
    for raw in raw {
        let price = price(unit, source, as_of, &raw)?;
        let start = price.version.start;
        let place = prices.partition_point(|price| price.version.start < start);
        if prices.get(place).is_some_and(|price| price.version.start == start) {
            let message = "another price of this model has the same `effective_from`";
            return Err((raw.span(), message.to_owned()));
        }
        prices.insert(place, Arc::new(price));
    }
    if prices.is_empty() {
        return Err((name.span(), "a model has at least one [[model.price]]".to_owned()));
    }
    Ok(prices)
}

fn price(unit: MoneyUnit, source: &Arc<str>, as_of: Day, raw: &Spanned<RawPrice>) -> Result<Price, Mistake> {
    let place = raw.span();
    let raw = raw.get_ref();
    let (standard, special) = raw.tariffs(&place)?;
    let version = PriceVersion {
        source: Arc::clone(source),
        as_of: as_of.date,
        effective_from: raw.effective_from.map(|day| day.date),
        start: raw.effective_from.map_or(UnixSeconds(i64::MIN), |day| day.start),
    };
    let (per_request, per_search, per_search_once) = (raw.per_request.0, raw.per_search.0, raw.per_search_once);
    let [fast, us] = [&raw.fast, &raw.us].map(|multiplier| multiplier.as_ref().map(|multiplier| multiplier.0));
    Ok(Price { unit, standard, special, fast, us, per_request, per_search, per_search_once, version })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::price::MAX_TIERS;

    /// Lines 1 to 6 are a whole model but for its price.
    const MODEL: &str = "[[model]]\nname = \"m\"\nprovider = \"p\"\naliases = [\"n\"]\n\
                         source = \"s\"\nas_of = \"2026-01-01\"\n";
    const PRICE: &str = "[[model.price]]\neffective_from = \"2026-01-01\"\ninput = \"1.5\"\noutput = \"2\"\n";

    fn error(text: &str) -> String {
        PriceBook::from_toml(text).unwrap_err().to_string()
    }

    /// The error of a model with this price, which starts at line 7.
    fn price_error(price: &str) -> String {
        error(&format!("{MODEL}[[model.price]]\n{price}"))
    }

    #[test]
    fn a_mistake_in_a_price_is_one_line_with_its_key_and_place() {
        for (price, expected) in [
            ("input = \"1\"\nouput = \"2\"", "line 9, column 1, `ouput = \"2\"`: unknown field `ouput`"),
            (
                "input = 0.15",
                "line 8, column 9, `input = 0.15`: invalid type: floating point `0.15`, expected a string",
            ),
            ("input = \"-1\"", "line 8, column 9, `input = \"-1\"`: a price is an unsigned decimal number"),
            ("input = \"1e3\"", "line 8, column 9, `input = \"1e3\"`: a price is an unsigned decimal number"),
            ("input = \"0.0000000001\"", "line 8, column 9, `input = \"0.0000000001\"`: a price has at most 9 decimal"),
            ("input = \"99999999999\"", "line 8, column 9, `input = \"99999999999\"`: the price is too large"),
            ("input = \"1\"", "line 7, column 1, `[[model.price]]`: a price needs `output`"),
            ("output = \"1\"", "line 7, column 1, `[[model.price]]`: a price needs `input`"),
            (
                "flat = \"1\"\ncache_read = \"1\"",
                "line 7, column 1, `[[model.price]]`: `flat` is the price of every class; `cache_read`",
            ),
            ("flat = \"1\"\nper = 3", "line 9, column 7, `per = 3`: `per` must divide 1000000"),
            ("flat = \"1\"\nper = 0", "line 9, column 7, `per = 0`: `per` must divide 1000000"),
            ("flat = \"18446744073\"\nper = 1", "line 7, column 1, `[[model.price]]`: a price is too large for"),
            (
                "flat = \"1\"\neffective_from = \"2026-02-30\"",
                "line 9, column 18, `effective_from = \"2026-02-30\"`: a date is a day",
            ),
            (
                "flat = \"1\"\neffective_from = \"2026-2-3\"",
                "line 9, column 18, `effective_from = \"2026-2-3\"`: a date is a day",
            ),
            (
                "flat = \"1\"\n[[model.price]]\nflat = \"2\"",
                "line 9, column 1, `[[model.price]]`: another price of this model has the same",
            ),
            ("flat = \"1", "line 8, column"),
        ] {
            let message = price_error(price);
            let start = format!("price book, {expected}");
            assert!(message.starts_with(&start), "{message}\n{start}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_mistake_in_a_tier_or_a_tariff_is_one_line_with_its_key_and_place() {
        for (price, expected) in [
            (
                "flat = \"1\"\n[[model.price.tier]]\nflat = \"2\"",
                "line 9, column 1, `[[model.price.tier]]`: a tier begins `above`",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nabove = 1\nfrom = 2\nflat = \"2\"",
                "line 9, column 1, `[[model.price.tier]]`: a tier begins `above`",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nfrom = 0\nflat = \"2\"",
                "line 9, column 1, `[[model.price.tier]]`: `from` is at least 1",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nabove = 9007199254740991\nflat = \"2\"",
                "line 9, column 1, `[[model.price.tier]]`: no prompt is `above`",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nabove = 5",
                "line 9, column 1, `[[model.price.tier]]`: a tier changes at least one",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nabove = 5\ninput = \"2\"\n\
                 [[model.price.tier]]\nfrom = 6\ninput = \"2\"",
                "line 12, column 1, `[[model.price.tier]]`: another tier begins at the same",
            ),
            (
                "flat = \"1\"\n[[model.price.tier]]\nabove = 5\nmultiplier = \"2\"",
                "line 11, column 1, `multiplier = \"2\"`: unknown field `multiplier`",
            ),
            ("flat = \"1\"\n[model.price.batch]", "line 9, column 1, `[model.price.batch]`: a tariff has a"),
            (
                "flat = \"1\"\n[model.price.flex]\nmultiplier = \"0.0005\"",
                "line 10, column 14, `multiplier = \"0.0005\"`: a multiplier is",
            ),
            (
                "flat = \"1\"\n[model.price.flex]\nmultiplier = \"100.1\"",
                "line 10, column 14, `multiplier = \"100.1\"`: a multiplier is",
            ),
            (
                "flat = \"999999999\"\n[model.price.flex]\nmultiplier = \"100\"",
                "line 9, column 1, `[model.price.flex]`: a price is too large",
            ),
        ] {
            let message = price_error(price);
            let start = format!("price book, {expected}");
            assert!(message.starts_with(&start), "{message}\n{start}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_mistake_in_a_model_is_one_line_with_its_key_and_place() {
        let flat = "[[model.price]]\nflat = \"1\"\n";
        let whole = format!("{MODEL}{flat}");
        let with = |from: &str, to: &str| whole.replacen(from, to, 1);
        for (text, expected) in [
            (with("name = \"m\"", "name = \"\""), "line 2, column 8, `name = \"\"`: a name has 1 to 256"),
            (with("name = \"m\"", "name = \"a b\""), "line 2, column 8, `name = \"a b\"`: a name has 1 to 256"),
            (with("name = \"m\"\n", ""), "line 1, column 1, `[[model]]`: missing field `name`"),
            (with("source = \"s\"\n", ""), "line 1, column 1, `[[model]]`: missing field `source`"),
            (with("\"s\"", "\" \""), "line 5, column 10, `source = \" \"`: a source has"),
            (with("\"p\"", "\"p/q\""), "line 3, column 12, `provider = \"p/q\"`: a provider has no `/`"),
            (with("\"n\"", "\"n\", \"m\""), "line 4, column 17, `aliases = [\"n\", \"m\"]`: the name `m` is taken"),
            (with("as_of", "max_output = -1\nas_of"), "line 6, column 14, `max_output = -1`: invalid value"),
            (
                with("as_of", "max_output = 9007199254740992\nas_of"),
                "line 6, column 14, `max_output = 9007199254740992`: the number is above",
            ),
            (
                with("as_of", "max_media_tokens = \"8192\"\nas_of"),
                "line 6, column 20, `max_media_tokens = \"8192\"`: invalid type: string",
            ),
            (
                with("as_of", "max_media_tokens = 9007199254740992\nas_of"),
                "line 6, column 20, `max_media_tokens = 9007199254740992`: the number is above",
            ),
            (
                with("as_of", "context_window = 0\nas_of"),
                "line 6, column 18, `context_window = 0`: `context_window` is at least 1",
            ),
            (with("as_of", "colour = 1\nas_of"), "line 6, column 1, `colour = 1`: unknown field `colour`"),
            (MODEL.to_owned(), "line 1, column 1, `[[model]]`: missing field `price`"),
            (format!("{MODEL}price = []"), "line 2, column 8, `name = \"m\"`: a model has at least one"),
            (format!("{whole}{}", with("\"m\"", "\"n\"")), "line 10, column 8, `name = \"n\"`: the name `n` is taken"),
            (format!("currency = \"usd\"\n{whole}"), "line 1, column 12, `currency = \"usd\"`: a currency is three"),
            (format!("scale = 13\n{whole}"), "line 1, column 9, `scale = 13`: `scale` is at most 12"),
            (format!("scale = 300\n{whole}"), "line 1, column 9, `scale = 300`: invalid value"),
            (format!("models = 1\n{whole}"), "line 1, column 1, `models = 1`: unknown field `models`"),
        ] {
            let message = error(&text);
            let start = format!("price book, {expected}");
            assert!(message.starts_with(&start), "{message}\n{start}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_tariff_has_a_bounded_number_of_tiers() {
        let tiers = |n: usize| (1..=n).map(|from| format!("[[model.price.tier]]\nfrom = {from}\ninput = \"2\"\n"));
        let text = |n| format!("{MODEL}[[model.price]]\nflat = \"1\"\n{}", tiers(n).collect::<String>());
        assert!(PriceBook::from_toml(&text(MAX_TIERS)).is_ok());
        let message = error(&text(MAX_TIERS + 1));
        assert!(message.ends_with("a tariff has at most 16 tiers"), "{message}");
    }

    #[test]
    fn a_text_beyond_the_bound_is_refused_unread() {
        let text = " ".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(PriceBook::from_toml(&text).unwrap_err(), PriceError::TooLong);
        assert!(PriceBook::from_toml(&text[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = PriceBook::from_toml(&text);
        }

        #[test]
        fn no_damage_to_a_book_makes_the_reader_panic(at in any::<prop::sample::Index>(), with in "\\PC{0,8}") {
            let mut text = format!("{MODEL}{PRICE}");
            let at = at.index(text.len());
            text.replace_range(at..=at, &with);
            let _ = PriceBook::from_toml(&text);
        }
    }
}
