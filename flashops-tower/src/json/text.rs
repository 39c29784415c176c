//! A string inside a JSON text.

use std::borrow::Cow;

/// A string as it is written, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The bytes between the quotes.
    pub(crate) const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether the string, its escapes resolved, is this one.
    pub(crate) fn is(&self, other: &str) -> bool {
        if !self.escaped {
            return self.raw == other.as_bytes();
        }
        // An escape takes at most six bytes for one, so that a longer string needs no look.
        self.raw.len() <= 6 * other.len() && self.decode().is_some_and(|text| text == other)
    }

    /// The name of a key as most keys are written; the empty one if it has escapes and is not among `names`.
    pub(crate) fn among(&self, names: &[&'static str]) -> &'a [u8] {
        if !self.escaped {
            return self.raw;
        }
        let name = names.iter().find(|name| self.is(name));
        name.map_or(b"", |name| name.as_bytes())
    }

    /// The string with its escapes resolved; `None` if it is not Unicode.
    pub(crate) fn decode(&self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.raw).ok()?;
        if !self.escaped {
            return Some(Cow::Borrowed(text));
        }
        let mut decoded = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            decoded.push(match char {
                '\\' => escape(&mut chars)?,
                char => char,
            });
        }
        Some(Cow::Owned(decoded))
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = unit(chars)?;
            if !(0xD800..0xDC00).contains(&first) {
                return char::from_u32(u32::from(first));
            }
            let rest = chars.as_str().strip_prefix("\\u")?;
            *chars = rest.chars();
            let pair = [first, unit(chars)?];
            return char::decode_utf16(pair).next()?.ok();
        }
        plain => plain,
    })
}

fn unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits = chars.as_str().get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    *chars = chars.as_str()[4..].chars();
    Some(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Cursor;

    proptest! {
        #[test]
        fn a_string_reads_as_serde_json_reads_it(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "a", "é", "\\n", "\\\"", "\\/", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "😀",
                ]),
                0..6,
            ),
        ) {
            let text = format!("\"{}\"", pieces.concat());
            let read = Cursor::new(text.as_bytes()).string().unwrap();
            let oracle = serde_json::from_str::<String>(&text).ok();
            prop_assert_eq!(read.decode().map(std::borrow::Cow::into_owned), oracle.clone());
            if let Some(oracle) = oracle {
                prop_assert!(read.is(&oracle));
                prop_assert!(!read.is("something else"));
            }
        }
    }
}
