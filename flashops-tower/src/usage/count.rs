//! One number of a usage report.

use crate::json::{Cursor, Fault};

/// The largest number that is believed of a provider, in tokens or searches; a larger one is a fault of its.
pub const MAX_REPORTED: u64 = 1_000_000_000;

/// A number as a provider reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Count {
    /// Not reported, or null.
    #[default]
    Missing,
    /// A whole number up to [`MAX_REPORTED`].
    Valid(u64),
    /// Something else: negative, fractional, in exponent form, too large, or no number.
    Invalid,
}

impl Count {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        match cursor.peek()? {
            b'-' | b'0'..=b'9' => Ok(Self::parse(cursor.number()?)),
            b'n' => cursor.skip().map(|()| Self::Missing),
            _ => cursor.skip().map(|()| Self::Invalid),
        }
    }

    /// The same, for numbers that a provider sends as decimal fractions. What is not whole is rounded up.
    pub(super) fn read_decimal(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        if !matches!(cursor.peek()?, b'-' | b'0'..=b'9') {
            return Self::read(cursor);
        }
        let number = cursor.number()?;
        let (whole, fraction) = match number.iter().position(|&byte| byte == b'.') {
            Some(point) => (&number[..point], &number[point + 1..]),
            None => (number, &b""[..]),
        };
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Ok(Self::Invalid);
        }
        let part = u64::from(fraction.iter().any(|&digit| digit != b'0'));
        Ok(match Self::parse(whole) {
            Self::Valid(_) if whole.starts_with(b"-") => Self::Invalid,
            whole => whole.plus(Self::Valid(part)),
        })
    }

    pub(super) const fn valid(self) -> Option<u64> {
        match self {
            Self::Valid(number) => Some(number),
            Self::Missing | Self::Invalid => None,
        }
    }

    /// The later report of the same number, if there is one.
    pub(super) const fn or_newer(self, newer: Self) -> Self {
        match newer {
            Self::Missing => self,
            Self::Valid(_) | Self::Invalid => newer,
        }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Invalid, _) | (_, Self::Invalid) => Self::Invalid,
            (Self::Missing, count) | (count, Self::Missing) => count,
            (Self::Valid(a), Self::Valid(b)) if a + b <= MAX_REPORTED => Self::Valid(a + b),
            (Self::Valid(_), Self::Valid(_)) => Self::Invalid,
        }
    }

    fn parse(number: &[u8]) -> Self {
        let text = std::str::from_utf8(number).unwrap_or_default();
        match text.parse() {
            Ok(number) if number <= MAX_REPORTED => Self::Valid(number),
            _ => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_number_within_the_bound_is_believed() {
        let read = |text: &str| Count::read(&mut Cursor::new(text.as_bytes())).unwrap();
        assert_eq!(read("0"), Count::Valid(0));
        assert_eq!(read("1000000000"), Count::Valid(MAX_REPORTED));
        assert_eq!(read("null"), Count::Missing);
        for text in ["1000000001", "-1", "-0", "1.0", "1e3", "99999999999999999999", "\"7\"", "true", "{}", "[1]"] {
            assert_eq!(read(text), Count::Invalid, "{text}");
        }
    }

    #[test]
    fn a_decimal_fraction_is_read_without_floats_and_rounded_up() {
        let read = |text: &str| Count::read_decimal(&mut Cursor::new(text.as_bytes())).unwrap();
        for (text, number) in [("5.0", 5), ("418", 418), ("0.25", 1), ("7.000", 7), ("999999999.9", MAX_REPORTED)] {
            assert_eq!(read(text), Count::Valid(number), "{text}");
        }
        assert_eq!(read("null"), Count::Missing);
        for text in ["-1.0", "-0.5", "1e3", "1.5e3", "1000000000.1", "\"7\""] {
            assert_eq!(read(text), Count::Invalid, "{text}");
        }
    }

    #[test]
    fn a_sum_with_an_invalid_number_is_invalid() {
        assert_eq!(Count::Valid(1).plus(Count::Invalid), Count::Invalid);
        assert_eq!(Count::Missing.plus(Count::Valid(2)), Count::Valid(2));
        assert_eq!(Count::Valid(MAX_REPORTED).plus(Count::Valid(1)), Count::Invalid);
    }
}
