//! Counted quantities: tokens, money, and the amounts of one request.
//!
//! ```
//! use flashops_core::units::{Cost, MoneyUnit, Tokens};
//!
//! let tokens = Tokens::new(1_500)?;
//! assert_eq!(tokens.get(), 1_500);
//!
//! let usd = MoneyUnit::NANO_USD;
//! assert_eq!(usd.parse("12.50")?, Cost::new(12_500_000_000)?);
//! assert_eq!(usd.format(Cost::new(2_100)?), "0.0000021");
//! # Ok::<(), flashops_core::units::UnitError>(())
//! ```
//!
//! Edge cases: every quantity is an integer from 0 to [`MAX_AMOUNT`], so that a store whose numbers are binary
//! doubles (a Redis script) holds the same value. A larger one is an error where it enters. Adding saturates at the
//! bound, which is the refusing side: a saturated counter admits nothing.
//!
//! What this module does not do: convert currencies, or hold a negative amount. Debt is usage above a limit.

use std::fmt;

/// The largest amount of anything: 2⁵³ − 1, the largest integer that a binary double holds exactly.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// A number of tokens, at most [`MAX_AMOUNT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(u64);

impl Tokens {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// A number of tokens.
    ///
    /// # Errors
    ///
    /// [`UnitError::TooLarge`] above [`MAX_AMOUNT`].
    pub const fn new(tokens: u64) -> Result<Self, UnitError> {
        match tokens {
            0..=MAX_AMOUNT => Ok(Self(tokens)),
            _ => Err(UnitError::TooLarge),
        }
    }

    /// A number of tokens; one above the bound becomes [`MAX_AMOUNT`].
    pub const fn saturating(tokens: u64) -> Self {
        if tokens > MAX_AMOUNT { Self(MAX_AMOUNT) } else { Self(tokens) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, at most [`MAX_AMOUNT`].
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }

    /// The product, at most [`MAX_AMOUNT`].
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self::saturating(self.0.saturating_mul(factor))
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of money: a whole number of a [`MoneyUnit`], at most [`MAX_AMOUNT`].
///
/// The unit is not in the value; it belongs to the price book, and a policy uses one price book. In nano-dollars the
/// bound is 9.0 million dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u64);

impl Cost {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// A whole number of units.
    ///
    /// # Errors
    ///
    /// [`UnitError::TooLarge`] above [`MAX_AMOUNT`].
    pub const fn new(units: u64) -> Result<Self, UnitError> {
        match units {
            0..=MAX_AMOUNT => Ok(Self(units)),
            _ => Err(UnitError::TooLarge),
        }
    }

    /// A whole number of units; one above the bound becomes [`MAX_AMOUNT`], the refusing side.
    pub const fn saturating(units: u64) -> Self {
        if units > MAX_AMOUNT { Self(MAX_AMOUNT) } else { Self(units) }
    }

    /// The number of units.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, at most [`MAX_AMOUNT`].
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }
}

/// The unit that money is counted in: a currency and a number of decimal places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MoneyUnit {
    currency: [u8; 3],
    scale: u8,
}

impl MoneyUnit {
    /// US dollars with nine decimal places.
    pub const NANO_USD: Self = Self { currency: *b"USD", scale: 9 };

    /// The most decimal places a unit may have.
    pub const MAX_SCALE: u8 = 12;

    /// A unit of 10^-`scale` of the currency with this ISO 4217 code.
    ///
    /// # Errors
    ///
    /// [`UnitError::BadCurrency`] unless the code is three capital letters, [`UnitError::TooManyDecimals`] above
    /// [`MoneyUnit::MAX_SCALE`].
    pub fn new(currency: &str, scale: u8) -> Result<Self, UnitError> {
        let code: [u8; 3] = currency.as_bytes().try_into().map_err(|_| UnitError::BadCurrency)?;
        if !code.iter().all(u8::is_ascii_uppercase) {
            return Err(UnitError::BadCurrency);
        }
        if scale > Self::MAX_SCALE {
            return Err(UnitError::TooManyDecimals);
        }
        Ok(Self { currency: code, scale })
    }

    /// The ISO 4217 code.
    pub fn currency(&self) -> &str {
        std::str::from_utf8(&self.currency).unwrap_or("XXX")
    }

    /// The number of decimal places.
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// Reads a decimal number of the currency: digits, at most one point, no sign, no exponent.
    ///
    /// # Errors
    ///
    /// [`UnitError::NotDecimal`] for anything else, [`UnitError::TooManyDecimals`] if it is finer than the unit, and
    /// [`UnitError::TooLarge`] above [`MAX_AMOUNT`] units.
    pub fn parse(&self, text: &str) -> Result<Cost, UnitError> {
        let units = parse_decimal(text, u32::from(self.scale))?;
        Cost::new(u64::try_from(units).map_err(|_| UnitError::TooLarge)?)
    }

    /// The amount as a decimal number of the currency, without trailing zeros.
    pub fn format(&self, cost: Cost) -> String {
        let one = 10_u64.pow(u32::from(self.scale));
        let (whole, part) = (cost.get() / one, cost.get() % one);
        if part == 0 {
            return whole.to_string();
        }
        let digits = format!("{part:0width$}", width = usize::from(self.scale));
        format!("{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Debug for MoneyUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MoneyUnit({} 1e-{})", self.currency(), self.scale)
    }
}

/// Reads an unsigned decimal number as a whole number of 10^-`scale`, exactly.
pub(crate) fn parse_decimal(text: &str, scale: u32) -> Result<u128, UnitError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.len() <= 30 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(UnitError::NotDecimal);
    }
    let part = part.trim_end_matches('0');
    let missing = (scale as usize).checked_sub(part.len()).ok_or(UnitError::TooManyDecimals)?;
    format!("{whole}{part}{}", "0".repeat(missing)).parse().map_err(|_| UnitError::TooLarge)
}

/// What one request asks for, holds, or has used: one number for each resource that a limit can count.
///
/// `input` and `output` are tokens; a limit on total tokens counts their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests: 1 for a request, 0 to give one back.
    pub requests: u64,
    /// Input tokens.
    pub input: Tokens,
    /// Output tokens.
    pub output: Tokens,
    /// Money, in the unit of the policy's price book.
    pub cost: Cost,
}

impl Amounts {
    /// Nothing at all.
    pub const ZERO: Self = Self { requests: 0, input: Tokens::ZERO, output: Tokens::ZERO, cost: Cost::ZERO };

    /// One request without tokens or money.
    pub const ONE_REQUEST: Self = Self { requests: 1, ..Self::ZERO };

    /// The sum, each part at most [`MAX_AMOUNT`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cost: self.cost.saturating_add(other.cost),
        }
    }
}

/// Why a number is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitError {
    /// The currency code is not three capital letters.
    BadCurrency,
    /// The text is not an unsigned decimal number.
    NotDecimal,
    /// The number is above [`MAX_AMOUNT`].
    TooLarge,
    /// The number has more decimal places than the unit.
    TooManyDecimals,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadCurrency => "a currency is three capital letters (ISO 4217), such as USD",
            Self::NotDecimal => "an amount of money is an unsigned decimal number, such as 12.50",
            Self::TooLarge => "the number is above 9007199254740991",
            Self::TooManyDecimals => "the number has more decimal places than the money unit",
        })
    }
}

impl std::error::Error for UnitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_survives_a_round_trip_through_its_decimal_form() {
        for text in ["0", "12.5", "0.000000001", "9007199.254740991"] {
            assert_eq!(MoneyUnit::NANO_USD.format(MoneyUnit::NANO_USD.parse(text).unwrap()), text);
        }
    }

    #[test]
    fn money_that_is_not_an_unsigned_decimal_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "١"] {
            assert_eq!(MoneyUnit::NANO_USD.parse(text), Err(UnitError::NotDecimal), "{text}");
        }
        assert_eq!(MoneyUnit::NANO_USD.parse("0.0000000001"), Err(UnitError::TooManyDecimals));
        assert_eq!(MoneyUnit::NANO_USD.parse("9007199.254740992"), Err(UnitError::TooLarge));
    }

    #[test]
    fn adding_stops_at_the_largest_amount() {
        let most = Tokens::new(MAX_AMOUNT).unwrap();
        assert_eq!(most.saturating_add(most), most);
        assert_eq!(Tokens::new(MAX_AMOUNT + 1), Err(UnitError::TooLarge));
    }
}
