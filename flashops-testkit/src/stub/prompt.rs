//! What a prompt says: how many words it has, and which directives.

use serde_json::Value;

/// Everything that the stub reads from the texts of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) words: u64,
    pub(super) reply: Option<u64>,
    pub(super) stop: Option<Stop>,
    pub(super) pace_ms: u64,
    pub(super) fail: Option<u16>,
    pub(super) no_usage: bool,
    pub(super) requests_left: Option<u64>,
    pub(super) tokens_left: Option<u64>,
    pub(super) reset: Option<u64>,
    pub(super) retry_after: Option<u64>,
}

/// Where an answer stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) after: u64,
    pub(super) how: How,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The connection breaks.
    Cut,
    /// Nothing more comes.
    Hang,
}

impl Prompt {
    /// Adds every text in a message content, a list of messages, a system prompt or an input.
    pub(super) fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                // A message has `content`, a part has `text`; ids, roles and tool names are not prompt.
                if let Some(text) = fields.get("text") {
                    self.add(text);
                }
                if let Some(content) = fields.get("content") {
                    self.add(content);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Adds one text.
    pub(super) fn add_text(&mut self, text: &str) {
        self.words += text.split_whitespace().count() as u64;
        let mut rest = text;
        while let Some(open) = rest.find('[') {
            rest = &rest[open + 1..];
            let end = rest.find(['[', ']']).unwrap_or(rest.len());
            if rest[end..].starts_with(']') {
                self.obey(&rest[..end]);
            }
            rest = &rest[end..];
        }
    }

    fn obey(&mut self, directive: &str) {
        if directive == "no-usage" {
            self.no_usage = true;
            return;
        }
        let Some((name, number)) = directive.split_once(' ') else {
            return;
        };
        let Ok(number) = number.trim().parse::<u64>() else {
            return;
        };
        match name {
            "reply" => self.reply = Some(number),
            "cut" => self.stop_after(number, How::Cut),
            "hang" => self.stop_after(number, How::Hang),
            "pace" => self.pace_ms = number,
            "requests-left" => self.requests_left = Some(number),
            "tokens-left" => self.tokens_left = Some(number),
            "reset" => self.reset = Some(number),
            "retry-after" => self.retry_after = Some(number),
            "fail" => {
                self.fail = u16::try_from(number).ok().filter(|status| (400..=599).contains(status));
            }
            _ => {}
        }
    }

    fn stop_after(&mut self, after: u64, how: How) {
        self.stop = Some(Stop { after, how });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.add(value);
        prompt
    }

    #[test]
    fn words_are_counted_over_strings_and_text_parts_and_nothing_else() {
        let messages = json!([
            {"role": "system", "content": "two words"},
            {"role": "user", "content": [
                {"type": "text", "text": " and three\nmore\t"},
                {"type": "image_url", "image_url": {"url": "not counted at all"}},
            ]},
            {"role": "tool", "tool_call_id": "x y z", "content": [{"type": "tool_result", "content": "one"}]},
        ]);
        assert_eq!(read(&messages).words, 2 + 3 + 1);
    }

    #[test]
    fn directives_are_read_wherever_they_stand_and_the_last_one_counts() {
        let prompt = read(&json!("x[reply 9] [cut 3][reply 7]\n[hang 4] [pace 20] [fail 503] [no-usage] [[reply 5]"));
        assert_eq!(prompt.reply, Some(5));
        assert_eq!(prompt.stop, Some(Stop { after: 4, how: How::Hang }));
        assert_eq!((prompt.pace_ms, prompt.fail, prompt.no_usage), (20, Some(503), true));
    }

    #[test]
    fn what_is_no_directive_is_text() {
        let prompt = read(&json!("[reply] [reply x] [reply -1] [fail 200] [fail 70000] [unknown 3] [cut 5 [pace"));
        assert_eq!(prompt, Prompt { words: 14, ..Prompt::default() });
    }

    proptest! {
        #[test]
        fn any_text_has_as_many_words_as_whitespace_separates(text in "[\\[\\] a-z0-9\\n\u{e9}]{0,64}") {
            prop_assert_eq!(read(&json!(text)).words as usize, text.split_whitespace().count());
        }
    }
}
