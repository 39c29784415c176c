//! Anthropic messages.

use serde_json::{Value, json};

use super::super::ask::{Ask, text, word};
use super::{Stream, event};

/// The answer as one `message`.
pub(super) fn whole(ask: &Ask) -> Value {
    let mut answer = message(ask);
    answer["content"] = json!([{"type": "text", "text": text(ask.words)}]);
    answer["stop_reason"] = json!(stop_reason(ask));
    if !ask.prompt.no_usage {
        answer["usage"] = usage(ask, ask.words);
    }
    answer
}

/// The answer as events.
#[derive(Debug)]
pub(super) struct MessageStream {
    ask: Ask,
}

impl MessageStream {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask }
    }
}

impl Stream for MessageStream {
    fn opening(&self) -> String {
        let mut message = message(&self.ask);
        if !self.ask.prompt.no_usage {
            // The real provider has sampled one token when it sends the head, and says so.
            message["usage"] = usage(&self.ask, self.ask.words.min(1));
        }
        let block = json!({"type": "text", "text": ""});
        [
            event("message_start", &json!({"type": "message_start", "message": message})),
            event("content_block_start", &json!({"type": "content_block_start", "index": 0, "content_block": block})),
            event("ping", &json!({"type": "ping"})),
        ]
        .concat()
    }

    fn word(&self, n: u64) -> String {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}}}\n\n",
            word(n)
        )
    }

    fn closing(&self) -> String {
        let mut delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(&self.ask), "stop_sequence": null},
        });
        if !self.ask.prompt.no_usage {
            delta["usage"] = json!({"output_tokens": self.ask.words});
        }
        [
            event("content_block_stop", &json!({"type": "content_block_stop", "index": 0})),
            event("message_delta", &delta),
            event("message_stop", &json!({"type": "message_stop"})),
        ]
        .concat()
    }
}

/// A message before its first word.
fn message(ask: &Ask) -> Value {
    json!({
        "id": format!("msg_{}", ask.id),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn stop_reason(ask: &Ask) -> &'static str {
    if ask.capped { "max_tokens" } else { "end_turn" }
}

fn usage(ask: &Ask, output: u64) -> Value {
    json!({
        "input_tokens": ask.prompt.words,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}
