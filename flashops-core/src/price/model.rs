//! A model as a price book knows it.

use std::sync::Arc;

use jiff::civil::Date;

use super::rates::Price;
use crate::clock::UnixSeconds;
use crate::units::Tokens;

/// A model: its names, its bounds, and its prices by date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub(super) name: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) aliases: Vec<Arc<str>>,
    pub(super) source: Arc<str>,
    pub(super) as_of: Date,
    pub(super) context_window: Option<Tokens>,
    pub(super) max_output: Option<Tokens>,
    pub(super) max_media_tokens: Option<Tokens>,
    /// Never empty, the earliest first, no two from the same date.
    pub(super) prices: Vec<Arc<Price>>,
}

impl Model {
    /// Its name, without a date where the provider has both.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who serves it, in the word that may stand before its name: `openai` in `openai/gpt-4o`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Its other names.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(AsRef::as_ref)
    }

    /// Where its prices and bounds can be checked.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day of its figures.
    pub const fn as_of(&self) -> Date {
        self.as_of
    }

    /// The most tokens of one request, input and output together, if known; never zero.
    pub const fn context_window(&self) -> Option<Tokens> {
        self.context_window
    }

    /// The most output tokens of one request, if known; zero for a model that only reads.
    pub const fn max_output(&self) -> Option<Tokens> {
        self.max_output
    }

    /// The most input tokens of one image, if stated; zero for a model that reads none.
    pub const fn max_media_tokens(&self) -> Option<Tokens> {
        self.max_media_tokens
    }

    /// Its price at a time: the latest that is in effect. `None` before the first.
    pub fn price(&self, at: UnixSeconds) -> Option<&Arc<Price>> {
        let started = self.prices.partition_point(|price| price.version.start <= at);
        self.prices[..started].last()
    }

    /// All of its prices, the earliest first.
    pub fn prices(&self) -> &[Arc<Price>] {
        &self.prices
    }
}
