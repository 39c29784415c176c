//! A call costs what the tariff costs that its provider served it at.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::estimate::Estimate;
use flashops_core::price::PriceBook;
use flashops_core::record::{Event, Recorder};
use flashops_core::store::MemoryStore;
use flashops_core::units::Tokens;
use flashops_core::usage::Surcharges;
use flashops_tower::budget::TokenBudgetLayer;
use http::StatusCode;
use http_body_util::BodyExt;
use support::{Answer, Chunks, Everybody, Fixture, ask, full, json, layered};
use tower::ServiceExt;

/// In thousands of nano-dollars a token: 4, with flex 2, with priority 8, in a batch 1. Of `fast` ten times as much in
/// the fast mode, and a quarter more in one country. Of
/// `dear` 40.
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
[[model]]
name = "dear"
provider = "p"
source = "made up"
as_of = "2026-01-01"
[[model.price]]
flat = "40"
[[model]]
name = "fast"
provider = "p"
source = "made up"
as_of = "2026-01-01"
[[model.price]]
flat = "4"
fast = "10"
us = "1.25"
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

fn budget(recorder: impl Recorder) -> Budget<MemoryStore<ManualClock>> {
    let policy = Fixture::new(1).budget.policy().clone();
    let store = Arc::new(MemoryStore::new(Arc::new(policy), ManualClock::new()));
    Budget::new(store, Arc::new(PriceBook::from_toml(BOOK).unwrap()), recorder)
}

/// What a call costs, in thousands of nano-dollars; of the answer only so many frames are read, or all.
async fn cost(path: &str, request: &str, answer: Answer, frames: Option<usize>) -> u64 {
    let costs = Costs::default();
    let layer = TokenBudgetLayer::new(budget(costs.clone()), Everybody(Caller::new("ann", "acme")));
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
async fn the_tariff_of_the_answer_is_charged_and_no_word_of_the_client_makes_a_call_cheaper() {
    for (request, answer, expected) in [
        ("", "", 40),
        ("", r#""service_tier":"default","#, 40),
        ("", r#""service_tier":"flex","#, 20),
        ("", r#""service_tier":"priority","#, 80),
        (r#""service_tier":"flex","#, "", 40),
        (r#""service_tier":"batch","#, "", 40),
        (r#""service_tier":"priority","#, "", 80),
        (r#""service_tier":"flex","#, r#""service_tier":null,"#, 40),
        (r#""service_tier":"flex","#, r#""service_tier":"scale","#, 40),
        (r#""service_tier":"flex","#, r#""service_tier":"flex","#, 20),
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

const MESSAGES: &str = "/v1/messages";

/// An answer of ten tokens whose usage says this.
fn message(member: &str) -> String {
    format!(r#"{{"usage":{{{member}"input_tokens":7,"output_tokens":3}}}}"#)
}

#[tokio::test]
async fn the_speed_and_the_place_of_an_answer_are_charged() {
    for (request, answer, expected) in [
        ("", "", 40),
        ("", r#""speed":"standard","inference_geo":"global","#, 40),
        ("", r#""speed":"fast","#, 400),
        ("", r#""inference_geo":"us","#, 50),
        ("", r#""inference_geo":"us","speed":"fast","#, 500),
        // A quarter of 50, rounded down by this test.
        ("", r#""service_tier":"batch","inference_geo":"us","#, 12),
        (r#""speed":"fast","#, "", 400),
        (r#""speed":"fast","#, r#""service_tier":"standard","#, 400),
        (r#""speed":"fast","#, r#""speed":"standard","#, 40),
        (r#""speed":"standard","#, "", 40),
        (r#""speed":null,"inference_geo":null,"#, "", 40),
        (r#""inference_geo":"us","#, "", 50),
        (r#""inference_geo":"us","#, r#""inference_geo":"not_available","#, 50),
        (r#""inference_geo":"us","#, r#""inference_geo":"global","#, 40),
        (r#""inference_geo":"global","#, "", 40),
        (r#""sp\u0065ed":"fas\u0074","#, "", 400),
        (r#""speed":"fast","speed":"standard","#, "", 400),
    ] {
        let asked = format!(r#"{{{request}"model":"fast","max_tokens":50}}"#);
        let cost = cost(MESSAGES, &asked, json(message(answer)), None).await;
        assert_eq!(cost, expected, "asked {request} answered {answer}");
    }
}

#[tokio::test]
async fn the_speed_and_the_place_are_read_from_a_stream_and_kept_when_it_is_cut() {
    let event = |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n");
    let usage = r#""message":{"usage":{"speed":"fast","inference_geo":"us","input_tokens":7,"output_tokens":1}}"#;
    let first = event("message_start", usage);
    let last = event("message_delta", r#""delta":{},"usage":{"output_tokens":3}"#);
    let request = r#"{"model":"fast","max_tokens":50,"stream":true}"#;
    let chunks = vec![first, last, event("message_stop", r#""x":0"#)];
    assert_eq!(cost(MESSAGES, request, Chunks::stream(chunks.clone()), None).await, 500);
    let cut = cost(MESSAGES, request, Chunks::stream(chunks), Some(1)).await;
    assert_eq!(cut, 50 * (request.len() as u64 + 1), "the bound of the input, and the output that was reported");
}

#[tokio::test]
async fn what_another_model_did_for_a_call_is_charged_at_its_own_price() {
    let part = |model: &str, tokens: u64| {
        format!(r#"{{"type":"advisor_message",{model}"input_tokens":{tokens},"output_tokens":{tokens}}}"#)
    };
    let own = r#"{"type":"message","input_tokens":7,"output_tokens":3}"#;
    let dear = part(r#""model":"dear","#, 5);
    for (iterations, expected) in [
        (own.to_owned(), 40),
        (format!("{own},{dear}"), 40 + 400),
        (format!("{dear},{own},{dear}"), 40 + 800),
        (format!(r#"{own},{}"#, part(r#""model":"m","#, 5)), 80),
        (format!(r#"{own},{}"#, part(r#""model":"p/de\u0061r","#, 5)), 440),
        (format!(r#"{own},{}"#, part(r#""model":null,"#, 5)), 80),
        // Nobody knows its price: it costs what the model costs that was asked.
        (format!(r#"{own},{}"#, part(r#""model":"unheard-of","#, 5)), 80),
    ] {
        let usage = format!(r#""usage":{{"input_tokens":7,"output_tokens":3,"iterations":[{iterations}]}}"#);
        let whole = json(format!("{{{usage}}}"));
        assert_eq!(cost(MESSAGES, &asked(""), whole, None).await, expected, "{iterations}");
        let event = |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n");
        let first = event("message_start", r#""message":{"usage":{"input_tokens":7,"output_tokens":1}}"#);
        let last = event("message_delta", &format!(r#""delta":{{}},{usage}"#));
        let stream = Chunks::stream(vec![first, last, event("message_stop", r#""x":0"#)]);
        assert_eq!(
            cost(MESSAGES, &asked(r#""stream":true,"#), stream, None).await,
            expected,
            "of a stream: {iterations}"
        );
    }
}

#[tokio::test]
async fn what_a_call_costs_more_in_the_fast_mode_or_in_one_country_is_held() {
    let book = PriceBook::from_toml(BOOK).unwrap();
    let price = book.price("fast", flashops_core::clock::UnixSeconds(0)).unwrap();
    let tokens = Tokens::new(10).unwrap();
    for (fast, us_only, most) in [(false, false, 40), (true, false, 400), (false, true, 50), (true, true, 500)] {
        let surcharges = Surcharges { fast: Some(fast), us_only: Some(us_only) };
        let bound = Estimate { input: tokens, surcharges, ..Estimate::default() };
        assert_eq!(price.most(&bound).get() / 1_000, most, "{surcharges:?}");
    }
}

#[tokio::test]
async fn a_speed_or_a_place_without_a_price_is_refused_by_its_name() {
    for (model, member, param) in [
        ("m", r#""speed":"fast""#, Some("speed")),
        ("m", r#""inference_geo":"us""#, Some("inference_geo")),
        ("fast", r#""inference_geo":"mars""#, Some("inference_geo")),
        ("fast", r#""speed":"warp""#, Some("speed")),
        ("fast", r#""speed":7"#, Some("speed")),
        ("m", r#""speed":"standard","inference_geo":"global""#, None),
        ("nobody-knows-it", r#""speed":"fast","inference_geo":"us""#, None),
    ] {
        let budget = budget(());
        let body = format!(r#"{{{member},"model":"{model}","max_tokens":50}}"#);
        let layer = TokenBudgetLayer::new(budget, Everybody(Caller::new("ann", "acme")));
        let service = layered(layer, |_| std::future::ready(Ok(json(message("")))));
        let response = service.oneshot(ask(MESSAGES, full(body))).await.unwrap();
        let expected = if param.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        assert_eq!(response.status(), expected, "{model} {member}");
        if let Some(param) = param {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(error["error"]["message"].as_str().unwrap().contains(param), "{error}");
        }
    }
}
