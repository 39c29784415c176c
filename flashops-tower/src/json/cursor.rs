//! The cursor: a position in a JSON text and the grammar.

use super::Text;

/// The most arrays and objects inside each other; the limit of most parsers that a provider uses is no smaller.
pub(crate) const MAX_DEPTH: u8 = 128;

/// Where a text is not JSON, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset of the byte that does not fit; the length of the text if it ends too early.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: &'static str,
}

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    depth: u8,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The offset of the next byte that was not read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Skips white space and looks at the first byte of what follows.
    pub(crate) fn peek(&mut self) -> Result<u8, Fault> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(self.fault("the text ends too early")),
            }
        }
    }

    /// Checks that only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(self.fault("something follows the value")),
        }
    }

    /// Reads an object. `member` gets each key with the cursor at its value, and must read the value.
    pub(crate) fn object<E: From<Fault>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        if self.peek()? == b'}' {
            self.close();
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.fault("a key is expected").into());
            }
            let key = self.string()?;
            if self.peek()? != b':' {
                return Err(self.fault("a colon is expected").into());
            }
            self.at += 1;
            self.peek()?;
            member(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(self.fault("a comma or } is expected").into()),
            }
        }
        self.close();
        Ok(())
    }

    /// Reads an array. `element` is called with the cursor at each element, and must read it.
    pub(crate) fn array<E: From<Fault>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[')?;
        if self.peek()? == b']' {
            self.close();
            return Ok(());
        }
        loop {
            self.peek()?;
            element(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(self.fault("a comma or ] is expected").into()),
            }
        }
        self.close();
        Ok(())
    }

    /// Reads a string; the cursor must be at its quote.
    pub(crate) fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = plain_end(self.text, self.at);
            match self.text.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text::new(raw, escaped));
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => return Err(self.fault("a control character is in a string")),
                None => return Err(self.fault("the text ends inside a string")),
            }
        }
    }

    /// Reads a number and returns it as it is written.
    pub(crate) fn number(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        self.accept(b"-");
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.fault("a digit is expected")),
        }
        if self.accept(b".") {
            self.some_digits()?;
        }
        if self.accept(b"eE") {
            self.accept(b"+-");
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads any value and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|cursor, _| cursor.skip()),
            b'[' => self.array(Self::skip),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(self.fault("a value is expected")),
        }
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek()? != bracket {
            return Err(self.fault("an object or array is expected"));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.fault("the nesting is deeper than 128 levels"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    const fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn accept(&mut self, any_of: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|b| any_of.contains(b));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at) {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            _ => Err(self.fault("a digit is expected")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        for &byte in word {
            if !self.accept(&[byte]) {
                return Err(self.fault("a value is expected"));
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.text.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.fault("four hexadecimal digits are expected"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.fault("the escape is unknown")),
        }
        Ok(())
    }
}

/// The offset of the first quote, backslash or control character from `at` on.
///
/// Most strings are short keys and words, which end within a few steps of eight bytes. The text of prompts and answers
/// is long, and there memchr finds the end, and a pass that compilers turn into vector instructions finds whether a
/// control character comes before it.
fn plain_end(text: &[u8], mut at: usize) -> usize {
    for _ in 0..SHORT_STEPS {
        let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else { break };
        let hits = special(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let plain = &rest[..end];
    if plain.iter().fold(u8::MAX, |least, &b| least.min(b)) < 0x20 {
        return at + plain.iter().position(|&b| b < 0x20).unwrap_or(end);
    }
    at + end
}

const SHORT_STEPS: usize = 4;

/// The high bit of each byte that is a quote, a backslash or below 0x20; bits above the lowest one can be wrong.
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    (control | quote | slash) & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &[u8]) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    /// Texts near JSON: pieces of it in any order.
    fn near_json() -> impl Strategy<Value = String> {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\"a\"",
            "\"\\n\"",
            "\"\\u0041\"",
            "\\",
            "\"\\x\"",
            "\u{1}",
            "0",
            "-",
            "12",
            ".5",
            "1e9",
            "-0.5E+3",
            "true",
            "null",
            "nul",
            "\"long enough for one step\"",
            "{\"a\":1}",
            "[1,2]",
            "é",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn it_accepts_what_serde_json_accepts_and_nothing_else(text in near_json()) {
            let oracle = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(text.as_bytes()), oracle, "{}", text);
        }

        #[test]
        fn it_finds_the_end_of_any_plain_run(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let oracle = text.iter().position(|&b| b < 32 || b == b'"' || b == b'\\').unwrap_or(text.len());
            prop_assert_eq!(plain_end(&text, 0), oracle);
        }
    }

    #[test]
    fn nesting_beyond_the_bound_is_a_fault_and_not_a_crash() {
        let deep = |levels| accepts(["[".repeat(levels), "]".repeat(levels)].concat().as_bytes());
        assert!(deep(usize::from(MAX_DEPTH)));
        assert!(!deep(usize::from(MAX_DEPTH) + 1));
        assert!(!deep(1_000_000));
    }

    #[test]
    fn a_text_that_only_ends_too_early_has_its_fault_at_the_end() {
        let text = br#"{"a":[true,false,null,-0.5e+7,"x\u00e9\n"],"b":{}}"#;
        for end in 0..text.len() {
            let fault = Cursor::new(&text[..end]).skip().map_err(|fault| fault.at);
            assert_eq!(fault, Err(end));
        }
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let mut cursor = Cursor::new(b"{\"a\": tru}");
        assert_eq!(cursor.skip().map_err(|fault| fault.at), Err(9));
    }
}
