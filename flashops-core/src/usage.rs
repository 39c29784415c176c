//! What a call used, in disjoint token classes.
//!
//! ```
//! use flashops_core::usage::{Quality, Usage};
//! use flashops_core::units::Tokens;
//!
//! let mut usage = Usage::exact();
//! usage.input = Tokens::new(93)?;
//! usage.cache_read = Tokens::new(1_024)?;
//! usage.output = Tokens::new(46)?;
//!
//! assert_eq!(usage.total_input().get(), 1_117);
//! assert_eq!(usage.total().get(), 1_163);
//! assert_eq!(usage.quality, Quality::Exact);
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! Edge cases: providers nest their numbers (cached input inside input, reasoning inside output); a reader subtracts,
//! so that here no token is in two classes and a sum over the classes counts each once. Where a part is larger than
//! its whole, or a total does not add up, the reader keeps the whole, says [`Quality::Estimated`], and sets
//! [`Usage::inconsistent`], which a tally counts. Absent is not zero: a usage that nobody
//! reported has [`Quality::Absent`], and what it costs is decided by the policy, never by its zeros.
//!
//! A tariff or a surcharge that the provider did not name is the one that the request asked for.
//!
//! What this module does not do: read a provider's payload, or price anything.

use std::sync::Arc;

use crate::units::Tokens;

/// The tokens of one call. Every token is in exactly one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Input text that was neither read from nor written to a cache.
    pub input: Tokens,
    /// Input read from the provider's cache.
    pub cache_read: Tokens,
    /// Input written to a cache that lives five minutes, or whose life is not reported.
    pub cache_write_5m: Tokens,
    /// Input written to a cache that lives one hour.
    pub cache_write_1h: Tokens,
    /// Input audio.
    pub audio_in: Tokens,
    /// Input images.
    pub image_in: Tokens,
    /// Output text that the client sees.
    pub output: Tokens,
    /// Output spent on reasoning.
    pub reasoning: Tokens,
    /// Output audio.
    pub audio_out: Tokens,
    /// Searches that the provider bills one by one.
    pub searches: u64,
    /// At which tariff the provider served the call; `None` where it did not say. It can be known where the numbers are
    /// absent.
    pub service_tier: Option<ServiceTier>,
    /// What makes its tokens dearer.
    pub surcharges: Surcharges,
    /// What the provider says that the call cost, in billionths of a US dollar, rounded up. It is told to recorders;
    /// what is charged is the price book's.
    pub provider_nano_usd: Option<u64>,
    /// How much the numbers can be trusted.
    pub quality: Quality,
    /// The provider's numbers cannot all be right: a part is larger than its whole, a total does not add up, or a
    /// number is none. The wholes were kept, and the quality is [`Quality::Estimated`].
    pub inconsistent: bool,
}

/// The part of a [`Usage`] that another model than the one that was asked for had in a call: one that it consulted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherModel {
    /// Its name, as the provider writes it.
    pub name: Arc<str>,
    /// What it used, which is in the usage of the call as well.
    pub usage: Usage,
}

/// How a [`Usage`] came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Nobody reported anything; the numbers mean nothing.
    Absent,
    /// Counted or estimated by us, or reported with an inconsistency.
    Estimated,
    /// Reported by the provider, complete and consistent.
    Exact,
}

/// At which of its tariffs a provider serves a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceTier {
    /// The usual one.
    #[default]
    Standard,
    /// In a batch, answered within hours.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
}

/// What makes every token of a call dearer, under any tariff; `None` where nobody said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surcharges {
    /// It is served in Anthropic's fast mode.
    pub fast: Option<bool>,
    /// It is served in the United States only.
    pub us_only: Option<bool>,
}

impl Surcharges {
    /// What these say, and what others say of the rest.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { fast: self.fast.or(others.fast), us_only: self.us_only.or(others.us_only) }
    }
}

impl ServiceTier {
    /// The tariffs that a price may have beside the standard one.
    pub const SPECIAL: [Self; 3] = [Self::Batch, Self::Flex, Self::Priority];

    /// The word for it in price books and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }

    /// What a provider means by a word in `service_tier`; `None` for `auto`, which is no tariff, and for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "default" | "standard" | "standard_only" => Some(Self::Standard),
            "batch" => Some(Self::Batch),
            "flex" => Some(Self::Flex),
            "priority" => Some(Self::Priority),
            _ => None,
        }
    }
}

impl Usage {
    /// Nothing used, as reported by the provider: the start for filling in the classes.
    pub const fn exact() -> Self {
        Self::with_quality(Quality::Exact)
    }

    /// Nothing known.
    pub const fn absent() -> Self {
        Self::with_quality(Quality::Absent)
    }

    /// So many plain input and output tokens, estimated.
    pub const fn estimated(input: Tokens, output: Tokens) -> Self {
        let mut usage = Self::with_quality(Quality::Estimated);
        usage.input = input;
        usage.output = output;
        usage
    }

    const fn with_quality(quality: Quality) -> Self {
        Self {
            input: Tokens::ZERO,
            cache_read: Tokens::ZERO,
            cache_write_5m: Tokens::ZERO,
            cache_write_1h: Tokens::ZERO,
            audio_in: Tokens::ZERO,
            image_in: Tokens::ZERO,
            output: Tokens::ZERO,
            reasoning: Tokens::ZERO,
            audio_out: Tokens::ZERO,
            searches: 0,
            service_tier: None,
            surcharges: Surcharges { fast: None, us_only: None },
            provider_nano_usd: None,
            quality,
            inconsistent: false,
        }
    }

    /// All input tokens, whatever their class: what providers call prompt tokens.
    pub const fn total_input(&self) -> Tokens {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.audio_in)
            .saturating_add(self.image_in)
    }

    /// All output tokens, whatever their class: what providers call completion tokens.
    pub const fn total_output(&self) -> Tokens {
        self.output.saturating_add(self.reasoning).saturating_add(self.audio_out)
    }

    /// This usage, and of each class so many tokens less as a part of it has; none where the part has more.
    #[must_use]
    pub fn without(&self, part: &Self) -> Self {
        let less = |all: Tokens, part: Tokens| Tokens::saturating(all.get().saturating_sub(part.get()));
        Self {
            input: less(self.input, part.input),
            cache_read: less(self.cache_read, part.cache_read),
            cache_write_5m: less(self.cache_write_5m, part.cache_write_5m),
            cache_write_1h: less(self.cache_write_1h, part.cache_write_1h),
            audio_in: less(self.audio_in, part.audio_in),
            image_in: less(self.image_in, part.image_in),
            output: less(self.output, part.output),
            reasoning: less(self.reasoning, part.reasoning),
            audio_out: less(self.audio_out, part.audio_out),
            searches: self.searches.saturating_sub(part.searches),
            ..*self
        }
    }

    /// All tokens.
    pub const fn total(&self) -> Tokens {
        self.total_input().saturating_add(self.total_output())
    }
}
