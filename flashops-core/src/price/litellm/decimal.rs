//! A JSON number as a whole number of nano-units for 1,000,000 pieces, without floating point.

/// Decimal places between one unit of the currency and a nano-unit for a million.
pub(super) const PER_TOKEN: i64 = 15;

/// Decimal places between one unit of the currency and a nano-unit.
pub(super) const PER_PIECE: i64 = 9;

/// The most digits that a number may have.
const MAX_DIGITS: usize = 36;

/// A number times 10^`places`, rounded to the nearest whole number, half up; and whether that changed it.
///
/// `None` if it is no unsigned number, or too large, or too long to be a price.
pub(super) fn scaled(text: &str, places: i64) -> Option<(u64, bool)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, part].concat();
    if whole.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: u128 = digits.parse().ok()?;
    let shift = i64::from(exponent) - part.len() as i64 + places;
    let power = |shift: i64| u32::try_from(shift).ok().and_then(|shift| 10_u128.checked_pow(shift));
    if digits == 0 {
        return Some((0, false));
    }
    if shift >= 0 {
        let value = digits.checked_mul(power(shift)?)?;
        return Some((u64::try_from(value).ok()?, false));
    }
    // What is divided by more than any number here has digits is nothing.
    let Some(one) = power(-shift) else { return Some((0, true)) };
    let (quotient, rest) = (digits / one, digits % one);
    let value = quotient + u128::from(rest >= one.div_ceil(2));
    Some((u64::try_from(value).ok()?, rest != 0))
}
