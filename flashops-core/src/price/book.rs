//! The price book: models by name.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

use super::error::PriceError;
use super::model::Model;
use super::rates::Price;
use super::schema;
use super::value::MAX_NAME_BYTES;
use crate::clock::UnixSeconds;
use crate::units::MoneyUnit;

/// Prices by model, in one currency.
///
/// A model is found by its name or a declared alias, exactly as written, which takes one look into a hash map and
/// allocates nothing. Failing that, by the name without a final `-YYYY-MM-DD` or `-YYYYMMDD`; failing that, by the name
/// without a leading `provider/`, if that provider is the model's own. A reseller's prices are its own, so
/// `reseller/gpt-4o` is unknown until a book names it.
#[derive(Clone, Debug)]
pub struct PriceBook {
    unit: MoneyUnit,
    models: Vec<Model>,
    /// Every name and alias, each once, with the place of its model.
    names: HashMap<Arc<str>, usize, RandomState>,
}

impl PriceBook {
    /// The book in this crate: published list prices in nano-dollars, each with its source and date.
    pub fn embedded() -> &'static Self {
        static BOOK: OnceLock<PriceBook> = OnceLock::new();
        BOOK.get_or_init(|| {
            Self::from_toml(include_str!("../../data/prices.toml"))
                .expect("the embedded price book is valid; a test reads it")
        })
    }

    /// Reads a book.
    ///
    /// ```
    /// use flashops_core::clock::UnixSeconds;
    /// use flashops_core::price::PriceBook;
    /// use flashops_core::units::Tokens;
    /// use flashops_core::usage::{ServiceTier, Usage};
    ///
    /// let book = PriceBook::from_toml(r#"
    ///     currency = "IRT"                # default "USD"; three capital letters
    ///     scale = 2                       # default 9; decimal places of a cost, at most 12
    ///
    ///     [[model]]
    ///     name = "house"
    ///     provider = "us"
    ///     aliases = ["house-latest"]      # default none
    ///     source = "contract 12"
    ///     as_of = "2026-11-20"
    ///     context_window = 32768          # default unknown
    ///     max_output = 4096               # default unknown
    ///     max_media_tokens = 1600         # of one image; default 8192
    ///
    ///     [[model.price]]                 # until the end of 2025: 20 for 1,000 tokens of any class
    ///     flat = "20"
    ///     per = 1000                      # default 1000000; it must divide that
    ///
    ///     [[model.price]]
    ///     effective_from = "2026-01-01"   # default: always; from midnight, UTC
    ///     input = "15000"                 # decimal strings, at most 9 decimal places
    ///     cache_read = "1500.5"           # also cache_write_5m, cache_write_1h, audio_in, image_in
    ///     output = "45000"                # also reasoning, audio_out
    ///     fast = "2"                      # multiplies tokens in Anthropic's fast mode; default: nobody knows
    ///     us = "1.1"                      # the same, of what is served in the United States only
    ///     per_request = "5"               # default 0; fees are the same in every tariff
    ///     per_search = "100"              # default 0
    ///     per_search_once = true          # default false: the fee is for all searches of a request together
    ///
    ///     [[model.price.tier]]            # what changes for the whole of a request with a larger prompt, at most 16
    ///     above = 16000                   # a prompt of more than 16,000 tokens; or `from`, of 16,000 or more
    ///     input = "30000"                 # or `flat`; what it does not name costs as for smaller prompts
    ///
    ///     [model.price.batch]             # also `flex`, `priority`; without one the standard prices hold
    ///     multiplier = "0.5"              # of the standard prices, its tiers too; at most 3 decimal places, rounded up
    ///     output = "20000"                # or prices of its own, with [[model.price.batch.tier]]
    /// "#)?;
    ///
    /// let usage = Usage { input: Tokens::new(100_000)?, ..Usage::exact() };
    /// let price = book.price("house", UnixSeconds(1_700_000_000)).expect("it is listed");
    /// assert_eq!(book.unit().format(price.cost(&usage)), "2000");
    /// let price = book.price("house", UnixSeconds(1_800_000_000)).expect("it is listed");
    /// assert_eq!(book.unit().format(price.cost(&usage)), "3005");
    /// let batch = Usage { service_tier: Some(ServiceTier::Batch), ..usage };
    /// assert_eq!(book.unit().format(price.cost(&batch)), "1505");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PriceError::Invalid`] with line and column for anything that is not in this schema, unknown keys, names that
    /// are taken and dates that stand twice included; [`PriceError::TooLong`] above
    /// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    pub fn from_toml(text: &str) -> Result<Self, PriceError> {
        schema::read(text)
    }

    /// This book with another one over it.
    ///
    /// A model whose name the other book knows, as a name or as an alias, is replaced, prices and source together; its
    /// aliases, context window, largest output and largest image stay where the other book says nothing about them. An
    /// alias that the other book knows is the other book's.
    ///
    /// # Errors
    ///
    /// [`PriceError::OtherUnit`] unless both have the same [`PriceBook::unit`].
    pub fn extend(self, other: Self) -> Result<Self, PriceError> {
        if self.unit != other.unit {
            return Err(PriceError::OtherUnit { ours: self.unit, theirs: other.unit });
        }
        let mut book = other;
        for mut model in self.models {
            model.aliases.retain(|alias| !book.names.contains_key(alias));
            match book.names.get(&model.name) {
                Some(&place) => book.inherit(place, model),
                None => book.push(model),
            }
        }
        Ok(book)
    }

    /// The price of a model at a time; `None` if the book does not know the model, or none of its prices had begun.
    pub fn price(&self, model: &str, at: UnixSeconds) -> Option<&Arc<Price>> {
        self.model(model)?.price(at)
    }

    /// The model with this name, found as [`PriceBook`] describes.
    pub fn model(&self, name: &str) -> Option<&Model> {
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        self.dated(name).or_else(|| {
            let (provider, name) = name.split_once('/')?;
            self.dated(name).filter(|model| model.provider() == provider)
        })
    }

    /// Every model, in no particular order.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Model> {
        self.models.iter()
    }

    /// The unit of every cost from this book.
    pub const fn unit(&self) -> MoneyUnit {
        self.unit
    }

    pub(super) fn empty(unit: MoneyUnit) -> Self {
        Self { unit, models: Vec::new(), names: HashMap::default() }
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Adds a model whose names are all free.
    pub(super) fn push(&mut self, model: Model) {
        let place = self.models.len();
        let names = std::iter::once(&model.name).chain(&model.aliases);
        self.names.extend(names.map(|name| (Arc::clone(name), place)));
        self.models.push(model);
    }

    /// Gives what is known about a replaced model to the one that replaces it.
    fn inherit(&mut self, place: usize, old: Model) {
        self.names.extend(old.aliases.iter().map(|alias| (Arc::clone(alias), place)));
        let new = &mut self.models[place];
        new.aliases.extend(old.aliases);
        new.context_window = new.context_window.or(old.context_window);
        new.max_output = new.max_output.or(old.max_output);
        new.max_media_tokens = new.max_media_tokens.or(old.max_media_tokens);
    }

    fn dated(&self, name: &str) -> Option<&Model> {
        let place = self.names.get(name).or_else(|| self.names.get(undated(name)?))?;
        self.models.get(*place)
    }
}

/// The name without its final date, if it has one.
fn undated(name: &str) -> Option<&str> {
    ["-YYYY-MM-DD", "-YYYYMMDD"].into_iter().find_map(|form| {
        let (start, end) = name.split_at_checked(name.len().checked_sub(form.len())?)?;
        let fits = |(given, form): (u8, u8)| match form {
            b'-' => given == b'-',
            _ => given.is_ascii_digit(),
        };
        end.bytes().zip(form.bytes()).all(fits).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::price::TokenClass;
    use crate::units::{Tokens, UnitError};
    use crate::usage::Usage;

    /// 2026-11-20T00:00:00Z.
    const NOW: UnixSeconds = UnixSeconds(1_795_132_800);

    fn model(name: &str, more: &str, prices: &str) -> String {
        format!(
            "[[model]]\nname = \"{name}\"\nprovider = \"p\"\nsource = \"test\"\nas_of = \"2026-01-01\"\n\
             {more}\n{prices}\n"
        )
    }

    fn flat(price: u64) -> String {
        format!("[[model.price]]\nflat = \"{price}\"")
    }

    fn book(text: &str) -> PriceBook {
        PriceBook::from_toml(text).unwrap()
    }

    /// The standard price of input for the smallest prompts.
    fn standard(price: &Price) -> u64 {
        price.rate(TokenClass::Input, crate::usage::ServiceTier::Standard, Tokens::ZERO)
    }

    /// The flat price in whole units of the currency for 1,000,000 tokens.
    fn found(book: &PriceBook, name: &str) -> Option<u64> {
        let price = book.price(name, NOW)?;
        Some(standard(price) / 1_000_000_000)
    }

    #[test]
    fn the_embedded_book_has_150_models_of_ten_providers_with_source_date_and_bounds() {
        let book = PriceBook::embedded();
        assert!(book.models().len() >= 150, "{}", book.models().len());
        let mut providers = HashSet::new();
        for model in book.models() {
            let name = model.name();
            assert!(model.source().starts_with("https://"), "{name}");
            assert_eq!(model.as_of().year(), 2026, "{name}");
            assert!(model.context_window().is_some(), "{name}");
            assert!(model.max_output() <= model.context_window(), "{name}");
            assert!(model.max_output().is_some(), "{name}");
            assert!(model.price(NOW).is_some(), "{name}");
            providers.insert(model.provider());
        }
        let expected = [
            "openai",
            "anthropic",
            "google",
            "mistral",
            "xai",
            "cohere",
            "deepseek",
            "bedrock",
            "groq",
            "dashscope",
            "perplexity",
        ];
        assert_eq!(providers, HashSet::from(expected));
    }

    #[test]
    fn the_embedded_book_has_the_tiers_and_tariffs_that_providers_publish() {
        use crate::usage::ServiceTier::{Batch, Priority, Standard};
        let book = PriceBook::embedded();
        // Dollars for a million prompt tokens, at the bound of the tier and one token above it.
        for (name, tier, bound, expected) in [
            ("gpt-6.1-sol", Standard, 272_000, [2_000, 4_000]),
            ("gpt-6.1-sol", Batch, 272_000, [1_000, 2_000]),
            ("gpt-6.1-sol", Priority, 272_000, [4_000, 8_000]),
            ("gemini-2.5-pro", Standard, 200_000, [1_250, 2_500]),
            ("claude-sonnet-4-5", Standard, 200_000, [3_000, 6_000]),
            ("grok-4.7", Standard, 199_999, [2_000, 4_000]),
            ("gpt-4o", Batch, 200_000, [1_250, 1_250]),
        ] {
            let price = book.price(name, NOW).unwrap();
            let rate = |prompt| price.rate(TokenClass::Input, tier, Tokens::new(prompt).unwrap()) / 1_000_000;
            assert_eq!([bound, bound + 1].map(rate), expected, "{name}");
        }
    }

    #[test]
    fn well_known_models_cost_what_their_providers_publish() -> Result<(), UnitError> {
        let usd = |text| MoneyUnit::NANO_USD.parse(text);
        // Dollars for a million tokens of prompts below every tier: input, cache read, five-minute cache write,
        // one-hour cache write, output.
        let known = [
            ("gpt-4o", ["2.5", "1.25", "2.5", "2.5", "10"]),
            ("gpt-4o-2024-05-13", ["5", "5", "5", "5", "15"]),
            ("gpt-4o-mini", ["0.15", "0.075", "0.15", "0.15", "0.6"]),
            ("gpt-4.1-nano", ["0.1", "0.025", "0.1", "0.1", "0.4"]),
            ("gpt-5", ["1.25", "0.125", "1.25", "1.25", "10"]),
            ("text-embedding-3-small", ["0.02", "0.02", "0.02", "0.02", "0"]),
            ("claude-3-haiku", ["0.25", "0.03", "0.3", "0.5", "1.25"]),
            ("claude-sonnet-4-5", ["3", "0.3", "3.75", "6", "15"]),
            ("claude-opus-4-1-20250805", ["15", "1.5", "18.75", "30", "75"]),
            ("gemini-2.5-flash", ["0.3", "0.03", "0.3", "0.3", "2.5"]),
            ("mistral-large-2411", ["2", "2", "2", "2", "6"]),
            ("grok-3", ["3", "0.75", "3", "3", "15"]),
        ];
        let tenth = Tokens::new(100_000)?;
        for (name, figures) in known {
            let price = PriceBook::embedded().price(name, NOW).unwrap();
            for (class, figure) in figures.into_iter().enumerate() {
                let mut usage = Usage::exact();
                *[
                    &mut usage.input,
                    &mut usage.cache_read,
                    &mut usage.cache_write_5m,
                    &mut usage.cache_write_1h,
                    &mut usage.output,
                ][class] = tenth;
                assert_eq!(price.cost(&usage).get() * 10, usd(figure)?.get(), "{name} {class}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_price_holds_from_midnight_utc_of_its_day() {
        let o3 = |at| {
            let price = PriceBook::embedded().price("o3", UnixSeconds(at)).unwrap();
            (standard(price), price.version().to_string())
        };
        // 2025-06-10T00:00:00Z.
        let start = 1_749_513_600;
        let page = "https://platform.openai.com/docs/pricing, as of 2026-11-20";
        assert_eq!(o3(start - 1), (10_000_000_000, page.to_owned()));
        assert_eq!(o3(start), (2_000_000_000, format!("{page}, effective from 2025-06-10")));
    }

    #[test]
    fn a_model_before_its_first_price_is_unknown() {
        let prices = "[[model.price]]\neffective_from = \"2026-11-21\"\nflat = \"1\"";
        let book = book(&model("m", "", prices));
        assert!(book.model("m").is_some());
        assert!(book.price("m", NOW).is_none());
        assert!(book.price("m", UnixSeconds(NOW.0 + 86_400)).is_some());
        assert!(book.price("m", UnixSeconds(i64::MIN)).is_none());
    }

    #[test]
    fn prices_stand_in_any_order() {
        let dated = |year: u32| format!("[[model.price]]\neffective_from = \"{year}-01-01\"\nflat = \"{year}\"\n");
        let prices = [dated(2026), flat(1) + "\n", dated(2027), dated(2025)].concat();
        assert_eq!(found(&book(&model("m", "", &prices)), "m"), Some(2026));
    }

    #[test]
    fn a_name_is_found_exactly_then_without_its_date_then_without_its_provider() {
        let text = [
            model("m", "aliases = [\"m-latest\"]", &flat(1)),
            model("m-2024-05-13", "", &flat(2)),
            model("house/m", "", &flat(3)),
        ]
        .concat();
        let book = book(&text);
        for (name, expected) in [
            ("m", Some(1)),
            ("m-latest", Some(1)),
            ("m-2024-05-13", Some(2)),
            ("m-2024-05-14", Some(1)),
            ("m-20240513", Some(1)),
            ("m-latest-20240513", Some(1)),
            ("p/m", Some(1)),
            ("p/m-2024-05-13", Some(2)),
            ("p/m-2024-05-14", Some(1)),
            ("house/m", Some(3)),
            ("house/m-2024-05-14", Some(3)),
            ("p/house/m", Some(3)),
            ("reseller/m", None),
            ("reseller/p/m", None),
            ("M", None),
            ("m-2024-05", None),
            ("m-2024-5-13", None),
            ("m-0513", None),
            ("m-2024051", None),
            ("m20240513", None),
            ("m-2024-05-13-2024-05-13", Some(2)),
            ("-2024-05-13", None),
            ("2024-05-13", None),
            ("é-2024-05-1é", None),
            ("m-٢٠٢٤", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(found(&book, name), expected, "{name}");
        }
        assert_eq!(found(&book, &format!("p/{}", "m".repeat(1 << 20))), None);
    }

    #[test]
    fn an_extension_wins_by_name_and_keeps_what_it_does_not_say() {
        let ours = book(
            &[
                model(
                    "a",
                    "aliases = [\"a1\", \"a2\"]\ncontext_window = 10\nmax_output = 5\nmax_media_tokens = 3",
                    &flat(1),
                ),
                model("b", "aliases = [\"b1\"]", &flat(2)),
                model("c", "", &flat(3)),
            ]
            .concat(),
        );
        let theirs = book(
            &[model("a", "max_output = 7", &flat(10)), model("d", "aliases = [\"a2\", \"b1\", \"c\"]", &flat(20))]
                .concat(),
        );
        let book = ours.extend(theirs).unwrap();
        let prices = ["a", "a1", "a2", "b", "b1", "c", "d"].map(|name| found(&book, name).unwrap());
        assert_eq!(prices, [10, 10, 20, 2, 20, 20, 20]);

        let a = book.model("a1").unwrap();
        assert_eq!(a.aliases().collect::<Vec<_>>(), ["a1"]);
        assert_eq!(a.context_window().map(Tokens::get), Some(10));
        assert_eq!((a.max_output().map(Tokens::get), a.max_media_tokens().map(Tokens::get)), (Some(7), Some(3)));
        assert_eq!(book.model("b").unwrap().aliases().count(), 0);
        let names: HashSet<&str> = book.models().map(Model::name).collect();
        assert_eq!(names, HashSet::from(["a", "b", "d"]));
    }

    #[test]
    fn money_of_different_units_is_never_mixed() {
        let usd = PriceBook::embedded().clone();
        for head in ["currency = \"EUR\"", "scale = 6"] {
            let other = book(head);
            let error = usd.clone().extend(other.clone()).unwrap_err();
            assert_eq!(error, PriceError::OtherUnit { ours: usd.unit(), theirs: other.unit() });
        }
    }
}
