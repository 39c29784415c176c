//! OpenAI responses.

use serde_json::{Value, json};

use super::super::ask::{Ask, text, word};
use super::{CREATED, Stream, event};

/// The answer as one `response`.
pub(super) fn whole(ask: &Ask) -> Value {
    response(ask, Some(&text(ask.words)))
}

/// The answer as events, numbered from 0.
#[derive(Debug)]
pub(super) struct ResponseStream {
    ask: Ask,
}

/// Events before the first word: created, in progress, item added, part added.
const OPENING_EVENTS: u64 = 4;

impl ResponseStream {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask }
    }

    /// One event that concerns the only part of the only item.
    fn part_event(&self, name: &str, number: u64, field: &str, value: Value) -> String {
        let mut data = json!({
            "type": name,
            "sequence_number": number,
            "item_id": item_id(&self.ask),
            "output_index": 0,
            "content_index": 0,
        });
        data[field] = value;
        if field != "part" {
            data["logprobs"] = json!([]);
        }
        event(name, &data)
    }
}

impl Stream for ResponseStream {
    fn opening(&self) -> String {
        let running = response(&self.ask, None);
        let item = json!({"id": item_id(&self.ask), "type": "message", "status": "in_progress",
            "role": "assistant", "content": []});
        [
            state_event("response.created", 0, &running),
            state_event("response.in_progress", 1, &running),
            item_event("response.output_item.added", 2, &item),
            self.part_event("response.content_part.added", 3, "part", part("")),
        ]
        .concat()
    }

    fn word(&self, n: u64) -> String {
        self.part_event("response.output_text.delta", OPENING_EVENTS + n, "delta", json!(word(n)))
    }

    fn closing(&self) -> String {
        let text = text(self.ask.words);
        let number = OPENING_EVENTS + self.ask.words;
        let last = if self.ask.capped { "response.incomplete" } else { "response.completed" };
        [
            self.part_event("response.output_text.done", number, "text", json!(text)),
            self.part_event("response.content_part.done", number + 1, "part", part(&text)),
            item_event("response.output_item.done", number + 2, &item(&self.ask, &text)),
            state_event(last, number + 3, &response(&self.ask, Some(&text))),
        ]
        .concat()
    }
}

fn state_event(name: &str, number: u64, response: &Value) -> String {
    event(name, &json!({"type": name, "sequence_number": number, "response": response}))
}

fn item_event(name: &str, number: u64, item: &Value) -> String {
    event(name, &json!({"type": name, "sequence_number": number, "output_index": 0, "item": item}))
}

/// The response object; without a text it is still running.
fn response(ask: &Ask, text: Option<&str>) -> Value {
    let details = (text.is_some() && ask.capped).then(|| json!({"reason": "max_output_tokens"}));
    json!({
        "id": format!("resp_{}", ask.id),
        "object": "response",
        "created_at": CREATED,
        "status": if text.is_some() { status(ask) } else { "in_progress" },
        "background": false,
        "error": null,
        "incomplete_details": details,
        "instructions": ask.fields.get("instructions"),
        "max_output_tokens": ask.fields.get("max_output_tokens"),
        "metadata": {},
        "model": ask.model,
        "output": text.map(|text| item(ask, text)).into_iter().collect::<Vec<_>>(),
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null},
        "store": false,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": text.filter(|_| !ask.prompt.no_usage).map(|_| usage(ask)),
        "user": null,
    })
}

fn item(ask: &Ask, text: &str) -> Value {
    json!({
        "id": item_id(ask),
        "type": "message",
        "status": status(ask),
        "role": "assistant",
        "content": [part(text)],
    })
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn item_id(ask: &Ask) -> String {
    format!("msg_{}", ask.id)
}

fn status(ask: &Ask) -> &'static str {
    if ask.capped { "incomplete" } else { "completed" }
}

fn usage(ask: &Ask) -> Value {
    json!({
        "input_tokens": ask.prompt.words,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": ask.words,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": ask.prompt.words + ask.words,
    })
}
