//! Writing numbers, durations and JSON into bytes.

use std::time::Duration;

use arrayvec::ArrayVec;

/// Something that text is appended to.
pub(super) trait Text {
    /// Appends text as it is.
    fn raw(&mut self, text: &str);

    /// Appends a number in decimal.
    #[inline]
    fn number(&mut self, number: u64) {
        self.raw(itoa::Buffer::new().format(number));
    }

    /// Appends milliseconds as Go writes a duration: `12ms`, `1.5s`, `6m0s`, `1h0m0s`.
    fn go_duration(&mut self, millis: u64) {
        if millis == 0 {
            return self.raw("0s");
        }
        if millis < 1_000 {
            self.number(millis);
            return self.raw("ms");
        }
        let (seconds, part) = (millis / 1_000, millis % 1_000);
        if seconds >= 3_600 {
            self.number(seconds / 3_600);
            self.raw("h");
        }
        if seconds >= 60 {
            self.number(seconds / 60 % 60);
            self.raw("m");
        }
        self.number(seconds % 60);
        if part > 0 {
            let digits = [b'0' + (part / 100) as u8, b'0' + (part / 10 % 10) as u8, b'0' + (part % 10) as u8];
            let digits = std::str::from_utf8(&digits).unwrap_or_default();
            self.raw(".");
            self.raw(digits.trim_end_matches('0'));
        }
        self.raw("s");
    }
}

/// A header value that grows on the stack. What does not fit any more is left out whole.
#[derive(Default)]
pub(super) struct Line<const N: usize>(ArrayVec<u8, N>);

impl<const N: usize> Line<N> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Text for Line<N> {
    #[inline]
    fn raw(&mut self, text: &str) {
        let fits = self.0.try_extend_from_slice(text.as_bytes());
        debug_assert!(fits.is_ok(), "the room is computed from the longest item");
    }
}

/// A JSON text that grows on the heap.
pub(super) struct Json(Vec<u8>);

impl Json {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends the content of a JSON string: at most `most` bytes of the text, cut between characters.
    pub(super) fn quoted(&mut self, text: &str, most: usize) {
        let text = &text[..text.floor_char_boundary_at(most)];
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|b| b < 0x20 || matches!(b, b'"' | b'\\')) {
            self.raw(&rest[..at]);
            self.escape(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        self.raw(rest);
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
            b'\n' => self.0.extend_from_slice(b"\\n"),
            _ => {
                self.0.extend_from_slice(b"\\u00");
                self.0.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
}

impl Text for Json {
    #[inline]
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// `str::floor_char_boundary`, which is younger than the oldest supported compiler.
trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, most: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, most: usize) -> usize {
        let most = most.min(self.len());
        (0..=most).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

/// Milliseconds, rounded up.
pub(super) fn whole_millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Seconds, rounded up.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn go(millis: u64) -> String {
        let mut json = Json::with_capacity(0);
        json.go_duration(millis);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    /// Reads what Go's `time.ParseDuration` reads, as milliseconds.
    fn read_back(text: &str) -> u64 {
        let (mut total, mut rest) = (0, text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap();
            let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
            let unit = match &rest[digits..letters] {
                "h" => 3_600_000,
                "m" => 60_000,
                "s" => 1_000,
                "ms" => 1,
                other => panic!("no unit: {other:?}"),
            };
            let (whole, part) = rest[..digits].split_once('.').unwrap_or((&rest[..digits], "0"));
            total += whole.parse::<u64>().unwrap() * unit;
            total += part.parse::<u64>().unwrap() * unit / 10_u64.pow(u32::try_from(part.len()).unwrap());
            rest = &rest[letters..];
        }
        total
    }

    #[test]
    fn durations_look_as_the_provider_writes_them() {
        let known = [
            (0, "0s"),
            (12, "12ms"),
            (174, "174ms"),
            (1_000, "1s"),
            (7_660, "7.66s"),
            (90_951, "1m30.951s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (90_000_000, "25h0m0s"),
            (60_005, "1m0.005s"),
        ];
        for (millis, text) in known {
            assert_eq!(go(millis), text);
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_read_back_as_what_it_was(millis in prop_oneof![0..10_000_u64, 0..u64::MAX / 1_000_000]) {
            prop_assert_eq!(read_back(&go(millis)), millis);
        }

        #[test]
        fn any_text_in_a_json_string_is_read_back_as_it_was(text in any::<String>()) {
            let mut json = Json::with_capacity(0);
            json.raw("\"");
            json.quoted(&text, usize::MAX);
            json.raw("\"");
            prop_assert_eq!(serde_json::from_slice::<String>(&json.into_bytes()).unwrap(), text);
        }

        #[test]
        fn a_text_beyond_its_bound_is_cut_between_characters(text in "\\PC{0,40}", most in 0..60_usize) {
            let mut json = Json::with_capacity(0);
            json.raw("\"");
            json.quoted(&text, most);
            json.raw("\"");
            let cut = serde_json::from_slice::<String>(&json.into_bytes()).unwrap();
            prop_assert!(text.starts_with(&cut) && cut.len() <= most);
            prop_assert!(text[cut.len()..].chars().next().is_none_or(|next| cut.len() + next.len_utf8() > most));
        }

        #[test]
        fn rounding_up_is_never_early_and_never_a_whole_unit_late(nanos in any::<u64>()) {
            let wait = Duration::from_nanos(nanos);
            let (seconds, millis) = (u128::from(whole_seconds(wait)), u128::from(whole_millis(wait)));
            let nanos = u128::from(nanos);
            prop_assert!(seconds * 1_000_000_000 >= nanos && seconds * 1_000_000_000 < nanos + 1_000_000_000);
            prop_assert!(millis * 1_000_000 >= nanos && millis * 1_000_000 < nanos + 1_000_000);
        }
    }
}
