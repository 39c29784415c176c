//! Price books from the price file of the LiteLLM project (`model_prices_and_context_window.json`).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::value::RawValue;

use super::book::PriceBook;
use super::error::PriceError;
use super::schema::MAX_TEXT_BYTES;
use super::value::Name;
use crate::place::one_line;
use crate::units::MoneyUnit;

mod decimal;
mod entry;
mod key;

/// What stands in an entry, by key, as the file writes it.
type Members<'t> = BTreeMap<String, &'t RawValue>;

/// A price book that was imported, and all that was changed or left out on the way.
#[derive(Clone, Debug)]
pub struct Import {
    /// The book, in nano-dollars.
    pub book: PriceBook,
    /// The prices that had more than nine decimal places of a dollar for 1,000,000 tokens, and were rounded to the
    /// nearest.
    pub rounded: Vec<RoundedPrice>,
    /// The keys that were not used, and in how many of the models that were imported.
    pub ignored: BTreeMap<String, usize>,
    /// The entries that were left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// A price that the file had with noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundedPrice {
    /// The model.
    pub model: String,
    /// The key of the price.
    pub key: String,
    /// What the file says, in dollars for one token.
    pub text: String,
    /// What was taken, in nano-dollars for 1,000,000 tokens.
    pub nanos: u64,
}

impl PriceBook {
    /// Reads the price file of the LiteLLM project.
    ///
    /// Each entry with prices for tokens becomes a model of that name, from the source that it names, as of the given
    /// day. Prices are taken from the text, without going through floating point, and rounded to nine decimal places of
    /// a dollar for 1,000,000 tokens: that takes away the noise of prices such as `2.9999900000000002e-06`, and is told
    /// in [`Import::rounded`]. Used are the prices of every [`TokenClass`](super::TokenClass), above each size of the
    /// prompt, for batch, flex and priority; the multipliers for the fast mode and the United States; the fees for a
    /// request and for a search (of several, the dearest); and the largest input and output. Thresholds of xAI include
    /// their bound. Everything else is in [`Import::ignored`] or [`Import::skipped`].
    ///
    /// ```
    /// use flashops_core::price::PriceBook;
    ///
    /// let import = PriceBook::from_litellm(
    ///     r#"{"house/m": {
    ///         "litellm_provider": "house", "input_cost_per_token": 2.9999900000000002e-06,
    ///         "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token": 1.5e-05, "mode": "chat"
    ///     }}"#,
    ///     "2026-11-20".parse()?,
    /// )?;
    /// assert!(import.book.model("house/m").is_some());
    /// assert_eq!(import.rounded[0].nanos, 2_999_990_000);
    /// assert_eq!(import.ignored.into_keys().collect::<Vec<_>>(), ["mode"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PriceError::NotLiteLlm`] for a text that is no JSON object of objects; [`PriceError::TooLong`] above
    /// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES).
    pub fn from_litellm(text: &str, as_of: Date) -> Result<Import, PriceError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(PriceError::TooLong);
        }
        let wrong = |error: serde_json::Error| PriceError::NotLiteLlm { message: one_line(&error.to_string()) };
        let entries: BTreeMap<String, Members<'_>> = serde_json::from_str(text).map_err(wrong)?;
        let mut import = Import {
            book: Self::empty(MoneyUnit::NANO_USD),
            rounded: Vec::new(),
            ignored: BTreeMap::new(),
            skipped: Vec::new(),
        };
        for (name, members) in &entries {
            if let Err(why) = import.entry(name, members, as_of) {
                import.skipped.push((name.clone(), why));
            }
        }
        Ok(import)
    }
}

impl Import {
    fn entry(&mut self, name: &str, members: &Members<'_>, as_of: Date) -> Result<(), String> {
        let name = Name::try_from(name.to_owned())?.0;
        if name == "sample_spec" {
            return Err("it explains the file".to_owned());
        }
        let read = entry::read(&name, members, as_of)?;
        for key in read.ignored {
            *self.ignored.entry(key).or_default() += 1;
        }
        self.rounded.extend(read.rounded);
        self.book.push(read.model);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
