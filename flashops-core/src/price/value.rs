//! The values in a price book, each checked where it is read, so that an error has its place.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::rates::{PRICE_SCALE, PRICED_TOKENS};
use crate::clock::UnixSeconds;
use crate::units::{Tokens, UnitError, parse_decimal};

/// The longest name of a model, a provider or a source, in bytes. A longer model name is unknown without a look.
pub const MAX_NAME_BYTES: usize = 256;

/// A price in nano-units of the currency, from a decimal string.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Nanos(pub(super) u64);

impl TryFrom<String> for Nanos {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let nanos = parse_decimal(&text, PRICE_SCALE).map_err(|error| match error {
            UnitError::TooManyDecimals => "a price has at most 9 decimal places",
            UnitError::TooLarge => "the price is too large",
            _ => "a price is an unsigned decimal number, such as \"0.15\"",
        })?;
        u64::try_from(nanos).map(Self).map_err(|_| "the price is too large")
    }
}

/// How many tokens a price is for.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Per(pub(super) u64);

impl Default for Per {
    fn default() -> Self {
        Self(PRICED_TOKENS)
    }
}

/// Only divisors, so that the price for 1,000,000 tokens is exact.
impl TryFrom<u64> for Per {
    type Error = &'static str;

    fn try_from(per: u64) -> Result<Self, Self::Error> {
        match PRICED_TOKENS.checked_rem(per) {
            Some(0) => Ok(Self(per)),
            _ => Err("`per` must divide 1000000 without remainder, such as 1, 1000 or 1000000"),
        }
    }
}

/// A factor in thousandths, from a decimal string.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Thousandths(pub(super) u64);

impl TryFrom<String> for Thousandths {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a multiplier is a decimal number up to 100 with at most 3 decimal places, such as \"0.5\"";
        let thousandths = parse_decimal(&text, 3).ok().and_then(|value| u64::try_from(value).ok());
        thousandths.filter(|value| *value <= 100_000).map(Self).ok_or(WRONG)
    }
}

/// A day, and its first second in UTC.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Day {
    pub(super) date: Date,
    pub(super) start: UnixSeconds,
}

impl TryFrom<String> for Day {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a date is a day of the calendar in quotes, such as \"2026-11-20\"";
        let form = |(at, byte): (usize, u8)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        if text.len() != 10 || !text.bytes().enumerate().all(form) {
            return Err(WRONG);
        }
        let date: Date = text.parse().map_err(|_| WRONG)?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| WRONG)?;
        Ok(Self { date, start: UnixSeconds(midnight.timestamp().as_second()) })
    }
}

/// A number of tokens.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct TokenCount(pub(super) Tokens);

impl TryFrom<u64> for TokenCount {
    type Error = UnitError;

    fn try_from(tokens: u64) -> Result<Self, Self::Error> {
        Tokens::new(tokens).map(Self)
    }
}

/// The name of a model.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control();
        match (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(fits) {
            true => Ok(Self(text)),
            false => Err("a name has 1 to 256 bytes, and no white space or control characters"),
        }
    }
}

/// The name of a provider: what stands before the first `/` of a model name.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Provider(pub(super) String);

impl TryFrom<String> for Provider {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match Name::try_from(text)? {
            Name(text) if text.contains('/') => Err("a provider has no `/` in its name"),
            Name(text) => Ok(Self(text)),
        }
    }
}

/// Where a price comes from.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Source(pub(super) String);

impl TryFrom<String> for Source {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=MAX_NAME_BYTES).contains(&text.trim().len());
        match fits && !text.chars().any(char::is_control) {
            true => Ok(Self(text)),
            false => Err("a source has 1 to 256 bytes, and no control characters"),
        }
    }
}
