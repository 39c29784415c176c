//! OpenAI chat completions.

use serde_json::{Value, json};

use super::super::ask::{Ask, text, word};
use super::{CREATED, Stream, data};

/// The answer as one `chat.completion`.
pub(super) fn whole(ask: &Ask) -> Value {
    let choice = |index| {
        json!({
            "index": index,
            "message": {"role": "assistant", "content": text(ask.words), "refusal": null, "annotations": []},
            "logprobs": null,
            "finish_reason": finish_reason(ask),
        })
    };
    let mut answer = json!({
        "id": format!("chatcmpl-{}", ask.id),
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model,
        "choices": (0..ask.choices).map(choice).collect::<Vec<_>>(),
        "service_tier": "default",
        "system_fingerprint": "fp_stub",
    });
    if !ask.prompt.no_usage {
        answer["usage"] = usage(ask);
    }
    answer
}

/// The answer as `chat.completion.chunk` events.
#[derive(Debug)]
pub(super) struct ChatStream {
    ask: Ask,
    with_usage: bool,
    /// Everything of a chunk before its choices; serialised once, because each word needs it.
    head: String,
    /// Everything after them.
    tail: &'static str,
}

impl ChatStream {
    pub(super) fn new(ask: Ask) -> Self {
        let with_usage = ask.include_usage && !ask.prompt.no_usage;
        let head = format!(
            "{{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{},\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_stub\",\"choices\":[",
            ask.id,
            json!(ask.model),
        );
        let tail = if with_usage { r#"],"usage":null}"# } else { "]}" };
        Self { ask, with_usage, head, tail }
    }

    fn chunk(&self, index: u64, delta: &str, finish_reason: &str) -> String {
        let Self { head, tail, .. } = self;
        format!(
            "data: {head}{{\"index\":{index},\"delta\":{delta},\"logprobs\":null,\
             \"finish_reason\":{finish_reason}}}{tail}\n\n"
        )
    }
}

impl Stream for ChatStream {
    fn opening(&self) -> String {
        let delta = r#"{"role":"assistant","content":"","refusal":null}"#;
        (0..self.ask.choices).map(|index| self.chunk(index, delta, "null")).collect()
    }

    fn word(&self, n: u64) -> String {
        let delta = format!(r#"{{"content":"{}"}}"#, word(n / self.ask.choices));
        self.chunk(n % self.ask.choices, &delta, "null")
    }

    fn closing(&self) -> String {
        let finish = format!("\"{}\"", finish_reason(&self.ask));
        let mut events: String = (0..self.ask.choices).map(|index| self.chunk(index, "{}", &finish)).collect();
        if self.with_usage {
            events += &data(&json!({
                "id": format!("chatcmpl-{}", self.ask.id),
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": self.ask.model,
                "service_tier": "default",
                "system_fingerprint": "fp_stub",
                "choices": [],
                "usage": usage(&self.ask),
            }));
        }
        events + "data: [DONE]\n\n"
    }
}

fn finish_reason(ask: &Ask) -> &'static str {
    if ask.capped { "length" } else { "stop" }
}

fn usage(ask: &Ask) -> Value {
    json!({
        "prompt_tokens": ask.prompt.words,
        "completion_tokens": ask.all_words(),
        "total_tokens": ask.prompt.words + ask.all_words(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}
