use std::fmt;
use std::str::FromStr;

use tracing::{Level, Metadata};

use super::fields::{Fields, TRACE_ID, Value};

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// For people, in colours.
    Human,
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a format of log lines is `json` or `human`")
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        match word {
            "json" => Ok(Self::Json),
            "human" => Ok(Self::Human),
            _ => Err(UnknownFormat),
        }
    }
}

/// The targets whose lines have no target: those of these crates.
const OURS: &str = "flashops::";

/// The names that every line has by itself.
const RESERVED: [&str; 4] = ["timestamp", "level", "message", "target"];

/// What a line is made of.
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) metadata: &'a Metadata<'a>,
    pub(super) fields: &'a Fields,
    pub(super) trace_id: Option<&'a str>,
}

impl LogFormat {
    pub(super) fn line(self, line: &Line<'_>) -> String {
        match self {
            Self::Json => line.json(),
            Self::Human => line.human(),
        }
    }
}

impl Line<'_> {
    fn json(&self) -> String {
        let mut text = String::with_capacity(256);
        text.push_str("{\"timestamp\":");
        quote(self.time, &mut text);
        text.push_str(",\"level\":");
        quote(self.metadata.level().as_str(), &mut text);
        text.push_str(",\"message\":");
        quote(&self.fields.message, &mut text);
        if let Some(target) = self.target() {
            text.push_str(",\"target\":");
            quote(target, &mut text);
        }
        for (name, value) in self.fields.all.iter().filter(|(name, _)| !RESERVED.contains(name)) {
            text.push(',');
            quote(name, &mut text);
            text.push(':');
            match value {
                _ if *name == TRACE_ID => self.quote_trace_id(&mut text),
                Value::Missing => text.push_str("null"),
                Value::Plain(plain) => text.push_str(plain),
                Value::Text(value) => quote(value, &mut text),
            }
        }
        if !self.names_its_trace_id() {
            text.push_str(",\"trace_id\":");
            self.quote_trace_id(&mut text);
        }
        text.push_str("}\n");
        text
    }

    fn human(&self) -> String {
        let (level, colour) = (self.metadata.level(), colour(*self.metadata.level()));
        let mut text = format!("\x1b[2m{}\x1b[0m {colour}{level:>5}\x1b[0m ", self.time);
        if let Some(target) = self.target() {
            text.push_str("\x1b[2m");
            escape(target, &mut text);
            text.push_str(":\x1b[0m ");
        }
        escape(&self.fields.message, &mut text);
        let all = self.fields.all.iter().filter(|(name, _)| *name != TRACE_ID).map(|(name, value)| (*name, value));
        let trace_id = self.trace_id.map(|id| Value::Text(id.to_owned()));
        for (name, value) in all.chain(trace_id.iter().map(|id| (TRACE_ID, id))) {
            let value = match value {
                Value::Missing => continue,
                Value::Plain(text) | Value::Text(text) => text,
            };
            text.push_str(" \x1b[3m");
            escape(name, &mut text);
            text.push_str("\x1b[0m=");
            if value.is_empty() || value.contains([' ', '"', '=']) {
                quote(value, &mut text);
            } else {
                escape(value, &mut text);
            }
        }
        text.push('\n');
        text
    }

    fn target(&self) -> Option<&str> {
        Some(self.metadata.target()).filter(|target| !target.starts_with(OURS))
    }

    fn names_its_trace_id(&self) -> bool {
        self.fields.all.iter().any(|(name, _)| *name == TRACE_ID)
    }

    fn quote_trace_id(&self, text: &mut String) {
        match self.trace_id {
            Some(id) => quote(id, text),
            None => text.push_str("null"),
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Writes a text as JSON does, in quotes.
fn quote(text: &str, to: &mut String) {
    to.push('"');
    for letter in text.chars() {
        match letter {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            letter => push_harmless(letter, to),
        }
    }
    to.push('"');
}

/// Writes a text as it is, but for what moves or colours a terminal.
fn escape(text: &str, to: &mut String) {
    text.chars().for_each(|letter| push_harmless(letter, to));
}

/// Control characters, those of C1 too, which some terminals take for the beginning of a sequence, what ends a line
/// somewhere, and what has no width or turns the order of letters around. None of them is above U+FFFF.
fn push_harmless(letter: char, to: &mut String) {
    let is_unseen =
        matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
    if letter.is_control() || is_unseen {
        to.push_str(&format!("\\u{:04x}", u32::from(letter)));
    } else {
        to.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quoted_text_is_one_line_of_json_that_reads_as_the_text(text in any::<String>()) {
            let mut quoted = String::new();
            quote(&text, &mut quoted);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            prop_assert!(!quoted.chars().any(char::is_control));
        }
    }

    #[test]
    fn what_nobody_sees_or_what_turns_a_line_around_is_written_out() {
        let escaped = |text: &str| {
            let mut to = String::new();
            escape(text, &mut to);
            to
        };
        let unseen = "\u{202E}\u{2066}\u{200B}\u{FEFF}\u{2028}\u{1B}\u{9B}";
        assert_eq!(escaped(unseen), r"\u202e\u2066\u200b\ufeff\u2028\u001b\u009b");
        assert_eq!(escaped("é 日本 \u{1F600}"), "é 日本 \u{1F600}");
    }

    #[test]
    fn a_format_is_one_of_two_words() {
        assert_eq!(["json", "human"].map(str::parse), [Ok(LogFormat::Json), Ok(LogFormat::Human)]);
        assert_eq!("pretty".parse::<LogFormat>(), Err(UnknownFormat));
    }
}
