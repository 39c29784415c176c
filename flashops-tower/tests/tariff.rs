//! A call costs what the tariff costs that its provider served it at.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::price::PriceBook;
use flashops_core::record::{Event, Recorder};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::TokenBudgetLayer;
use http_body_util::BodyExt;
use support::{Answer, Chunks, Everybody, Fixture, ask, full, json, layered};
use tower::ServiceExt;

/// In thousands of nano-dollars a token: 4, with flex 2, with priority 8, in a batch 1.
const BOOK: &str = r#"
[[model]]
name = "m"
provider = "p"
source = "made up"
as_of = "2026-01-01"
[[model.price]]
flat = "4"
flex = { multiplier = "0.5" }
priority = { multiplier = "2" }
batch = { multiplier = "0.25" }
"#;

#[derive(Clone, Debug, Default)]
struct Costs(Arc<Mutex<Vec<u64>>>);

impl Recorder for Costs {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            self.0.lock().unwrap().push(settled.cost.unwrap().get() / 1_000);
        }
    }
}

/// What a call costs, in thousands of nano-dollars; of the answer only so many frames are read, or all.
async fn cost(path: &str, request: &str, answer: Answer, frames: Option<usize>) -> u64 {
    let costs = Costs::default();
    let policy = Fixture::new(1).budget.policy().clone();
    let store = Arc::new(MemoryStore::new(Arc::new(policy), ManualClock::new()));
    let budget = Budget::new(store, Arc::new(PriceBook::from_toml(BOOK).unwrap()), costs.clone());
    let layer = TokenBudgetLayer::new(budget, Everybody(Caller::new("ann", "acme")));
    let answer = Arc::new(Mutex::new(Some(answer)));
    let service = layered(layer, move |_| std::future::ready(Ok(answer.lock().unwrap().take().unwrap())));
    let mut body = service.oneshot(ask(path, full(request.to_owned()))).await.unwrap().into_body();
    for _ in 0..frames.unwrap_or(usize::MAX) {
        if body.frame().await.is_none() {
            break;
        }
    }
    drop(body);
    let costs = costs.0.lock().unwrap();
    assert_eq!(costs.len(), 1);
    costs[0]
}

/// An answer of ten tokens that says this beside its usage.
fn answered(member: &str) -> Answer {
    json(format!(r#"{{{member}"choices":[],"usage":{{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}}}"#))
}

fn asked(member: &str) -> String {
    format!(r#"{{{member}"model":"m","max_tokens":50}}"#)
}

#[tokio::test]
async fn the_tariff_of_the_answer_is_charged_and_that_of_the_request_where_the_answer_names_none() {
    for (request, answer, expected) in [
        ("", "", 40),
        ("", r#""service_tier":"default","#, 40),
        ("", r#""service_tier":"flex","#, 20),
        ("", r#""service_tier":"priority","#, 80),
        (r#""service_tier":"flex","#, "", 20),
        (r#""service_tier":"flex","#, r#""service_tier":null,"#, 20),
        (r#""service_tier":"flex","#, r#""service_tier":"scale","#, 20),
        (r#""service_tier":"flex","#, r#""service_tier":"default","#, 40),
        (r#""service_tier":"priority","#, r#""service_tier":"default","#, 40),
        (r#""service_tier":"auto","#, r#""service_tier":"priority","#, 80),
    ] {
        let cost = cost("/v1/chat/completions", &asked(request), answered(answer), None).await;
        assert_eq!(cost, expected, "asked {request} answered {answer}");
    }
}

#[tokio::test]
async fn the_tariff_is_read_from_a_stream_and_kept_when_it_is_cut() {
    let event = |payload: &str| format!("data: {payload}\n\n");
    let first = event(r#"{"service_tier":"priority","choices":[{"delta":{"role":"assistant","content":""}}]}"#);
    let word = event(r#"{"choices":[{"delta":{"content":"word"}}]}"#);
    let last = event(
        r#"{"service_tier":"priority","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#,
    );
    let request = r#"{"model":"m","max_tokens":50,"stream":true}"#;
    let chunks = vec![first, word, last];
    let whole = cost("/v1/chat/completions", request, Chunks::stream(chunks.clone()), None).await;
    assert_eq!(whole, 80);
    let cut = cost("/v1/chat/completions", request, Chunks::stream(chunks), Some(2)).await;
    let input = request.len() as u64;
    assert_eq!(cut, 8 * (input + 1), "the bound of the input, and the word that came");
}

#[tokio::test]
async fn each_provider_names_its_tariff_in_its_own_place() {
    let messages = r#"{"usage":{"input_tokens":7,"output_tokens":3,"service_tier":"batch"}}"#;
    let responses = r#"{"service_tier":"flex","usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10}}"#;
    let gemini = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"totalTokenCount":10,"trafficType":"ON_DEMAND_PRIORITY"}}"#;
    let bedrock = r#"{"usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10},"serviceTier":{"type":"priority"}}"#;
    for (path, answer, expected) in [
        ("/v1/messages", messages, 10),
        ("/v1/responses", responses, 20),
        ("/v1beta/models/m:generateContent", gemini, 80),
        ("/model/m/converse", bedrock, 80),
    ] {
        assert_eq!(cost(path, &asked(""), json(answer.to_owned()), None).await, expected, "{path}");
    }
}
