//! Values that a type alone does not describe.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::schema::{Text, Whole};
use super::wording::{choice, suggestion};
use crate::place::Mistake;

/// The units of a duration, the longest first, in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// One of several words.
pub(super) fn choose<T: Copy>(text: &Text, words: &[(&str, T)]) -> Result<T, Mistake> {
    let given = text.get_ref();
    words.iter().find(|(word, _)| word == given).map(|(_, value)| *value).ok_or_else(|| {
        let names = || words.iter().map(|(word, _)| *word);
        (text.span(), format!("expected {}{}", choice(names()), suggestion(given, names())))
    })
}

/// A whole number within bounds.
pub(super) fn bounded(number: &Whole, key: &str, bounds: RangeInclusive<u64>) -> Result<u64, Mistake> {
    match bounds.contains(number.get_ref()) {
        true => Ok(*number.get_ref()),
        false => Err((number.span(), format!("`{key}` is a number from {} to {}", bounds.start(), bounds.end()))),
    }
}

/// A duration within bounds.
pub(super) fn bounded_duration(text: &Text, key: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, Mistake> {
    match duration(text.get_ref()) {
        Some(duration) if bounds.contains(&duration) => Ok(duration),
        Some(_) => {
            let (least, most) = (written(*bounds.start()), written(*bounds.end()));
            Err((text.span(), format!("`{key}` is from \"{least}\" to \"{most}\"")))
        }
        None => Err((text.span(), format!("`{key}` is a number with ms, s, m, h, d or w, such as \"90s\""))),
    }
}

/// Reads a whole number with a unit; one beyond all bounds is the longest duration.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    Some(Duration::from_millis(number.saturating_mul(millis)))
}

/// The shortest text for a duration of whole milliseconds.
fn written(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let unit = UNITS.into_iter().find(|(_, unit)| millis % unit == 0);
    unit.map_or_else(String::new, |(name, unit)| format!("{}{name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("25ms", second / 40),
            ("30s", second * 30),
            ("1m", second * 60),
            ("1h", second * 3_600),
            ("7d", second * 604_800),
            ("2w", second * 1_209_600),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in ["", "1", "s", "-1s", "+1s", "1.5h", "1 h", "1H", "1mm", "1y", " 1s", "1s ", "1h30m", "١s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(millis in 0..u64::MAX) {
            let duration_written = Duration::from_millis(millis);
            prop_assert_eq!(duration(&written(duration_written)), Some(duration_written));
        }

        #[test]
        fn too_long_a_duration_is_very_long_and_never_short(number in (u64::MAX / 1_000).., unit in "(s|m|h|d|w)") {
            let most = Duration::from_millis(u64::MAX - 1_000);
            for text in [format!("{number}{unit}"), format!("{number}0{unit}")] {
                prop_assert!(duration(&text).unwrap() > most);
            }
        }
    }
}
