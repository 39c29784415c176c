//! Searches that a provider bills one by one are held before the call, and settled after it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::store::MemoryStore;
use flashops_tower::budget::TokenBudgetLayer;
use http::StatusCode;
use http_body_util::BodyExt;
use support::{Answer, Chunks, Everybody, ask, full, json, layered};
use tower::ServiceExt;

/// Tokens cost nothing, and a search one unit of the book, so that a cost is a number of searches. Of `once` the fee is
/// for all searches of a request.
const BOOK: &str = r#"
[[model]]
name = "m"
provider = "p"
aliases = ["gpt-4o-search-preview"]
source = "made up"
as_of = "2026-01-01"
[[model.price]]
flat = "0"
per_search = "0.000000001"
[[model]]
name = "once"
provider = "p"
source = "made up"
as_of = "2026-01-01"
[[model.price]]
flat = "0"
per_search = "0.000000001"
per_search_once = true
"#;

struct Searches {
    budget: Budget<MemoryStore<ManualClock>>,
    caller: Caller,
    most: Option<u64>,
}

impl Searches {
    fn of_limit(amount: u64) -> Self {
        let cost = Limit::new("cost", Scope::User, Resource::Cost, amount, Window::Lifetime).unwrap();
        let policy = Arc::new(Policy::new(vec![cost]).unwrap());
        let store = Arc::new(MemoryStore::new(policy, ManualClock::new()));
        let budget = Budget::new(store, Arc::new(PriceBook::from_toml(BOOK).unwrap()), ());
        Self { budget, caller: Caller::new("ann", "acme"), most: None }
    }

    fn standing(&self) -> (u64, u64) {
        let policy = self.budget.policy();
        let standings = self.budget.store().standings_now(&self.caller.scopes(), policy.select(|_| true));
        (standings[0].held, standings[0].used)
    }

    /// The searches that are held while the call runs, and those that are charged at its end; of the answer only so
    /// many frames are read, or all.
    async fn call(self, path: &str, body: &str, answer: Answer, frames: Option<usize>) -> (StatusCode, u64, u64) {
        let mut layer = TokenBudgetLayer::new(self.budget.clone(), Everybody(self.caller.clone()));
        if let Some(most) = self.most {
            layer = layer.with_searches_per_call(most);
        }
        let (held, this) = (Arc::new(Mutex::new(0)), Arc::new(self));
        let answer = Arc::new(Mutex::new(Some(answer)));
        let (noted, inside) = (Arc::clone(&held), Arc::clone(&this));
        let service = layered(layer, move |_| {
            *noted.lock().unwrap() = inside.standing().0;
            std::future::ready(Ok(answer.lock().unwrap().take().unwrap()))
        });
        let response = service.oneshot(ask(path, full(body.to_owned()))).await.unwrap();
        let (status, mut body) = (response.status(), response.into_body());
        for _ in 0..frames.unwrap_or(usize::MAX) {
            if body.frame().await.is_none() {
                break;
            }
        }
        drop(body);
        let held = *held.lock().unwrap();
        (status, held, this.standing().1)
    }

    async fn held(path: &str, body: &str) -> u64 {
        Self::of_limit(1_000).call(path, body, json("{}".into()), None).await.1
    }
}

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";
const GEMINI: &str = "/v1beta/models/m:generateContent";

#[tokio::test]
async fn the_most_searches_that_a_request_allows_are_held() {
    for (path, body, held) in [
        (MESSAGES, r#"{"model":"m","max_tokens":5}"#, 0),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"name":"f","max_uses":3}]}"#, 0),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_fetch_20250910","max_uses":3}]}"#, 0),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_20250305","max_uses":3}]}"#, 3),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"max_uses":3,"type":"web_search_20260209"}]}"#, 3),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"max_\u0075ses":3,"type":"web\u005fsearch_1"}]}"#, 3),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1","max_uses":3,"max_uses":2}]}"#, 3),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1"}]}"#, 10),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1","max_uses":null}]}"#, 10),
        (MESSAGES, r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1","max_uses":2,"max_uses":1e3}]}"#, 10),
        (RESPONSES, r#"{"model":"m","tools":[{"type":"web_search"}]}"#, 10),
        (RESPONSES, r#"{"model":"m","tools":[{"type":"web_search_preview"}],"max_tool_calls":4}"#, 4),
        (RESPONSES, r#"{"max_tool_calls":40,"model":"m","tools":[{"type":"web_search"}]}"#, 40),
        (RESPONSES, r#"{"model":"m","tools":[{"type":"file_search"}],"max_tool_calls":4}"#, 0),
        (RESPONSES, r#"{"model":"m","tools":[{"type":"web_search"},{"type":"x_search"}]}"#, 20),
        (CHAT, r#"{"model":"m","web_search_options":{}}"#, 1),
        (CHAT, r#"{"model":"m","web_search_options":null}"#, 0),
        (CHAT, r#"{"model":"gpt-4o-search-preview"}"#, 1),
        (GEMINI, r#"{"tools":[{"functionDeclarations":[]}]}"#, 0),
        (GEMINI, r#"{"tools":[{"googleSearch":{}}]}"#, 10),
        (GEMINI, r#"{"tools":[{"google_search_retrieval":{}}]}"#, 10),
        ("/v1beta/models/once:generateContent", r#"{"tools":[{"googleSearch":{}}]}"#, 1),
    ] {
        assert_eq!(Searches::held(path, body).await, held, "{path} {body}");
    }
}

#[tokio::test]
async fn how_many_are_held_where_the_request_does_not_say_can_be_chosen() {
    let searching = r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1"}]}"#;
    let searches = Searches { most: Some(2), ..Searches::of_limit(1_000) };
    assert_eq!(searches.call(MESSAGES, searching, json("{}".into()), None).await.1, 2);
}

#[tokio::test]
async fn one_call_cannot_exceed_a_cost_limit_by_its_searches() {
    let searching = r#"{"model":"m","max_tokens":5,"tools":[{"type":"web_search_1","max_uses":4}]}"#;
    let (status, _, used) = Searches::of_limit(3).call(MESSAGES, searching, json("{}".into()), None).await;
    assert_eq!((status, used), (StatusCode::PAYLOAD_TOO_LARGE, 0));
    let answer = r#"{"usage":{"input_tokens":1,"output_tokens":1,"server_tool_use":{"web_search_requests":3}}}"#;
    let (status, held, used) = Searches::of_limit(4).call(MESSAGES, searching, json(answer.into()), None).await;
    assert_eq!((status, held, used), (StatusCode::OK, 4, 3));
}

#[tokio::test]
async fn searches_that_no_usage_names_are_charged() {
    let chat = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
    let searching = r#"{"model":"m","max_tokens":5,"web_search_options":{}}"#;
    assert_eq!(Searches::of_limit(9).call(CHAT, searching, json(chat.into()), None).await.2, 1);

    let queries = r#""groundingMetadata":{"webSearchQueries":["a","b"]}"#;
    let usage = r#""usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"totalTokenCount":10}"#;
    let grounded = format!(r#"{{"candidates":[{{"finishReason":"STOP",{queries}}}],{usage}}}"#);
    let request = r#"{"tools":[{"googleSearch":{}}]}"#;
    for (model, charged) in [("m", 2), ("once", 1)] {
        let path = format!("/v1beta/models/{model}:generateContent");
        let answer = json(grounded.clone());
        assert_eq!(Searches::of_limit(99).call(&path, request, answer, None).await.2, charged, "{model}");
    }
    let chunks = vec![
        format!("data: {{\"candidates\":[{{{queries}}}],{usage}}}\n\n"),
        format!("data: {{\"candidates\":[{{\"finishReason\":\"STOP\"}}],{usage}}}\n\n"),
    ];
    let said = r#"{"content":{"parts":[{"text":"so"}]}"#;
    let chunks_with_text = vec![
        format!("data: {{\"candidates\":[{said},{queries}}}],{usage}}}\n\n"),
        format!("data: {{\"candidates\":[{said}}}],{usage}}}\n\n"),
        format!("data: {{\"candidates\":[{said}}}],{usage}}}\n\n"),
        format!("data: {{\"candidates\":[{said},\"finishReason\":\"STOP\"}}],{usage}}}\n\n"),
    ];
    let path = "/v1beta/models/m:streamGenerateContent";
    let answer = Chunks::stream(chunks_with_text);
    assert_eq!(Searches::of_limit(99).call(path, request, answer, None).await.2, 2, "of a stream, beside its text");
    assert_eq!(Searches::of_limit(99).call(path, request, Chunks::stream(chunks), None).await.2, 2, "of a stream");

    let details = r#"{"usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10,
        "server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":1,"code_interpreter_calls":5}}}"#;
    let request = r#"{"model":"m","max_output_tokens":5,"tools":[{"type":"web_search"},{"type":"x_search"}]}"#;
    assert_eq!(Searches::of_limit(99).call(RESPONSES, request, json(details.into()), None).await.2, 3, "of xAI");
}

#[tokio::test]
async fn a_cut_call_is_charged_the_searches_that_it_could_have_made() {
    let started = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,\
                   \"output_tokens\":1}}}\n\n";
    let searching = r#"{"model":"m","max_tokens":5,"stream":true,"tools":[{"type":"web_search_1","max_uses":4}]}"#;
    let answer = Chunks::stream(vec![started.into(), "event: ping\ndata: {\"type\":\"ping\"}\n\n".into()]);
    assert_eq!(Searches::of_limit(4).call(MESSAGES, searching, answer, Some(1)).await.2, 4);
}
