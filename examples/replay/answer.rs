//! What a client reads from an answer: words, reported usage, and whether it ended.

use serde_json::Value;

use super::plan::{Dialect, Planned};

/// The most bytes of one event; the stub's are far smaller.
const MAX_EVENT: usize = 1 << 20;

/// What came of one answer so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Words that the client has.
    pub(crate) words: u64,
    /// Prompt tokens, where the answer reports them.
    pub(crate) prompt: Option<u64>,
    /// Completion tokens, where the answer reports them at its end.
    pub(crate) completion: Option<u64>,
    /// The answer is whole.
    pub(crate) ended: bool,
    /// A usage chunk came, asked for or not.
    usage_chunk: bool,
}

impl Answer {
    /// Reads an answer that is not streamed.
    pub(crate) fn whole(dialect: Dialect, body: &[u8]) -> Result<Self, String> {
        let answer: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
        let (text, prompt, completion) = match dialect {
            Dialect::Anthropic => ("/content/0/text", "/usage/input_tokens", "/usage/output_tokens"),
            Dialect::OpenAi => ("/choices/0/message/content", "/usage/prompt_tokens", "/usage/completion_tokens"),
        };
        let text = answer.pointer(text).and_then(Value::as_str).ok_or("the answer has no text")?;
        let number = |place| answer.pointer(place).and_then(Value::as_u64);
        Ok(Self {
            words: words(text),
            prompt: Some(number(prompt).ok_or("the answer reports no prompt tokens")?),
            completion: Some(number(completion).ok_or("the answer reports no completion tokens")?),
            ended: true,
            usage_chunk: false,
        })
    }

    /// Whether a whole answer is what was planned; the error says what is not.
    pub(crate) fn check(&self, planned: &Planned) -> Result<(), String> {
        let differs = |what, seen, expected| Err(format!("{what}: {seen} instead of {expected}"));
        if !self.ended {
            return Err("the answer ended before its end".to_owned());
        }
        if self.words != planned.completion {
            return differs("words received", self.words, planned.completion);
        }
        match self.prompt {
            Some(seen) if seen != planned.prompt => {
                return differs("prompt tokens reported", seen, planned.prompt);
            }
            _ => {}
        }
        match self.completion {
            Some(seen) if seen != planned.completion => {
                return differs("completion tokens reported", seen, planned.completion);
            }
            _ => {}
        }
        if self.usage_chunk != planned.include_usage {
            return Err(format!("usage chunk: {} instead of {}", self.usage_chunk, planned.include_usage));
        }
        Ok(())
    }

    fn read_event(&mut self, dialect: Dialect, data: &str) -> Result<(), String> {
        if dialect == Dialect::OpenAi && data == "[DONE]" {
            self.ended = true;
            return Ok(());
        }
        let event: Value = serde_json::from_str(data).map_err(|error| format!("an event is not JSON: {error}"))?;
        if event.get("error").is_some_and(|error| !error.is_null()) {
            return Err(format!("an error in the stream: {data}"));
        }
        match dialect {
            Dialect::Anthropic => self.read_anthropic(&event),
            Dialect::OpenAi => self.read_open_ai(&event),
        }
        Ok(())
    }

    fn read_anthropic(&mut self, event: &Value) {
        let number = |place| event.pointer(place).and_then(Value::as_u64);
        match event["type"].as_str() {
            Some("message_start") => self.prompt = number("/message/usage/input_tokens"),
            Some("content_block_delta") => {
                self.words += event.pointer("/delta/text").and_then(Value::as_str).map_or(0, words);
            }
            Some("message_delta") => self.completion = number("/usage/output_tokens"),
            Some("message_stop") => self.ended = true,
            _ => {}
        }
    }

    fn read_open_ai(&mut self, event: &Value) {
        for choice in event["choices"].as_array().into_iter().flatten() {
            self.words += choice.pointer("/delta/content").and_then(Value::as_str).map_or(0, words);
        }
        if event["usage"].is_object() {
            self.usage_chunk = true;
            self.prompt = event["usage"]["prompt_tokens"].as_u64();
            self.completion = event["usage"]["completion_tokens"].as_u64();
        }
    }
}

/// Reads a stream as it comes, in any pieces.
#[derive(Debug)]
pub(crate) struct StreamReader {
    dialect: Dialect,
    /// The line that has not ended yet.
    line: Vec<u8>,
    answer: Answer,
}

impl StreamReader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, line: Vec::new(), answer: Answer::default() }
    }

    /// What came so far.
    pub(crate) const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Reads the next bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() > MAX_EVENT {
                return Err(format!("an event is longer than {MAX_EVENT} bytes"));
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = std::str::from_utf8(&line).map_err(|_| "the stream is not UTF-8")?;
                if let Some(data) = line.trim_end().strip_prefix("data:") {
                    self.answer.read_event(self.dialect, data.trim_start())?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a refusal's body is an error of its dialect.
pub(crate) fn is_refusal(dialect: Dialect, body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let shaped = match dialect {
        Dialect::Anthropic => body["type"] == "error",
        Dialect::OpenAi => true,
    };
    shaped && body["error"]["message"].is_string() && body["error"]["type"].is_string()
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use flashops_testkit::{stub, trace};
    use http_body_util::BodyExt;

    use super::super::{args, plan};
    use super::*;

    fn planned() -> Vec<Planned> {
        let line = "--trace t --url http://h --cut 0";
        let args = args::parse(line.split(' ').map(str::to_owned)).unwrap().unwrap();
        plan::plan(&trace::generate(5, 60, Duration::from_secs(1)), &args)
    }

    async fn answered(planned: &Planned) -> Bytes {
        let request = http::Request::post(planned.dialect.path()).body(Bytes::from(planned.body())).unwrap();
        stub::respond(request).into_body().collect().await.unwrap().to_bytes()
    }

    fn read(planned: &Planned, bytes: &[u8], piece: usize) -> Result<Answer, String> {
        if !planned.stream {
            return Answer::whole(planned.dialect, bytes);
        }
        let mut reader = StreamReader::new(planned.dialect);
        bytes.chunks(piece).try_for_each(|piece| reader.read(piece))?;
        Ok(reader.answer().clone())
    }

    #[tokio::test]
    async fn every_answer_of_the_stub_is_as_planned_whatever_its_pieces() {
        for planned in planned() {
            let bytes = answered(&planned).await;
            for piece in [1, 7, 4_096] {
                let answer = read(&planned, &bytes, piece).unwrap();
                assert_eq!(answer.check(&planned), Ok(()), "{planned:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_differs_in_any_number_is_found() {
        for planned in planned() {
            let answer = read(&planned, &answered(&planned).await, 100).unwrap();
            let wrong = [
                Answer { words: answer.words - 1, ..answer.clone() },
                Answer { prompt: Some(planned.prompt + 1), ..answer.clone() },
                Answer { completion: Some(planned.completion + 1), ..answer.clone() },
                Answer { ended: false, ..answer.clone() },
                Answer { usage_chunk: !answer.usage_chunk, ..answer.clone() },
            ];
            assert!(wrong.iter().all(|wrong| wrong.check(&planned).is_err()));
        }
    }

    #[test]
    fn an_error_in_a_stream_is_an_error() {
        let mut reader = StreamReader::new(Dialect::Anthropic);
        let error = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n";
        assert!(reader.read(error).is_err());
        assert!(StreamReader::new(Dialect::OpenAi).read(b"data: {nonsense\n").is_err());
        assert!(StreamReader::new(Dialect::OpenAi).read(&vec![b'x'; MAX_EVENT + 1]).is_err());
    }

    #[test]
    fn a_refusal_must_be_an_error_of_its_dialect() {
        let anthropic = br#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#;
        let open_ai = br#"{"error":{"message":"m","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
        assert!(is_refusal(Dialect::Anthropic, anthropic));
        assert!(!is_refusal(Dialect::Anthropic, open_ai));
        assert!(is_refusal(Dialect::OpenAi, open_ai));
        assert!(!is_refusal(Dialect::OpenAi, b"Too Many Requests"));
    }
}
