//! Every provider's route through the layer: what it holds, what it sends, what it settles, what the client gets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::limit::Policy;
use flashops_core::price::PriceBook;
use flashops_core::record::{Event, Recorder, Tally};
use flashops_core::store::{MemoryStore, Store};
use flashops_core::usage::{Quality, Usage};
use flashops_tower::budget::{ModelRoute, TokenBudgetLayer};
use flashops_tower::inspect::WireFormat;
use futures_util::FutureExt;
use http::Request;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Frame;
use http_body_util::BodyExt;
use proptest::prelude::*;
use support::{Answer, Chunks, Everybody, Fixture, Visitors, ask, full, layered};
use tower::ServiceExt;

/// One exchange with a provider.
struct Exchange {
    path: &'static str,
    format: Option<WireFormat>,
    request: &'static str,
    /// The request as the provider gets it.
    sent: &'static str,
    /// The model that it counts for.
    model: &'static str,
    content_type: &'static str,
    answer: Vec<u8>,
    /// What the client gets, where that is not the answer.
    passed: Option<Vec<u8>>,
    /// The output that is held.
    cap: u64,
    input: u64,
    output: u64,
}

fn exchange(path: &'static str, request: &'static str, content_type: &'static str, answer: &[u8]) -> Exchange {
    Exchange {
        path,
        format: None,
        request,
        sent: request,
        model: "m",
        content_type,
        answer: answer.to_vec(),
        passed: None,
        cap: 50,
        input: 20,
        output: 7,
    }
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// A frame of Amazon's event stream. The checksums were made with another program's CRC-32.
fn metadata_frame() -> Vec<u8> {
    let payload = br#"{"metrics":{"latencyMs":9},"usage":{"inputTokens":20,"outputTokens":7,"totalTokens":27}}"#;
    let mut frame = 120_u32.to_be_bytes().to_vec();
    frame.extend_from_slice(&16_u32.to_be_bytes());
    frame.extend_from_slice(&PRELUDE_SUM.to_be_bytes());
    frame.extend_from_slice(b"\x0b:event-type\x07\x00\x01m");
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&FRAME_SUM.to_be_bytes());
    frame
}

const PRELUDE_SUM: u32 = 0xB137_6403;
const FRAME_SUM: u32 = 0x40CF_9463;

fn exchanges() -> Vec<Exchange> {
    openai_and_anthropic().into_iter().chain(google_and_amazon()).chain(others()).collect()
}

fn openai_and_anthropic() -> Vec<Exchange> {
    let chat = br#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27}}"#;
    let text: &[u8] = b"data: {\"choices\":[{\"text\":\"a\",\"index\":0}],\"usage\":null}\n\n";
    let usage: &[u8] =
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":7,\"total_tokens\":27}}\n\n";
    let done: &[u8] = b"data: [DONE]\n\n";
    vec![
        exchange("/v1/chat/completions", r#"{"model":"m","max_tokens":50}"#, JSON, chat),
        exchange("/v1/completions", r#"{"model":"m","max_tokens":50,"prompt":"a"}"#, JSON, chat),
        Exchange {
            sent: r#"{"model":"m","max_tokens":50,"stream":true,"stream_options":{"include_usage":true}}"#,
            passed: Some([text, done].concat()),
            ..exchange(
                "/v1/completions",
                r#"{"model":"m","max_tokens":50,"stream":true}"#,
                SSE,
                &[text, usage, done].concat(),
            )
        },
        exchange(
            "/v1/responses",
            r#"{"model":"m","max_output_tokens":50}"#,
            JSON,
            br#"{"usage":{"input_tokens":20,"output_tokens":7,"total_tokens":27}}"#,
        ),
        Exchange {
            cap: 0,
            output: 0,
            ..exchange(
                "/v1/embeddings",
                r#"{"model":"m","input":"a"}"#,
                JSON,
                br#"{"usage":{"prompt_tokens":20,"total_tokens":20}}"#,
            )
        },
        exchange(
            "/v1/messages",
            r#"{"model":"m","max_tokens":50}"#,
            JSON,
            br#"{"usage":{"input_tokens":5,"cache_read_input_tokens":15,"output_tokens":7}}"#,
        ),
    ]
}

fn google_and_amazon() -> Vec<Exchange> {
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":3,"thoughtsTokenCount":4,"totalTokenCount":27}}"#;
    let gemini_ask = r#"{"contents":[{"parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":50}}"#;
    let bedrock_ask = r#"{"messages":[],"inferenceConfig":{"maxTokens":50}}"#;
    vec![
        Exchange {
            model: "gemini-x",
            ..exchange("/v1beta/models/gemini-x:generateContent", gemini_ask, JSON, gemini.as_bytes())
        },
        Exchange {
            model: "gemini-x",
            ..exchange(
                "/v1/projects/p/locations/l/publishers/google/models/gemini-x:streamGenerateContent",
                gemini_ask,
                SSE,
                format!("data: {gemini}\r\n\r\n").as_bytes(),
            )
        },
        Exchange {
            model: "gemini-x",
            cap: 4_096,
            sent: r#"{"contents":[],"generationConfig":{"maxOutputTokens":4096}}"#,
            ..exchange(
                "/v1beta/models/gemini-x:streamGenerateContent",
                r#"{"contents":[]}"#,
                JSON,
                format!("[{gemini}\n]").as_bytes(),
            )
        },
        Exchange {
            model: "us.x/y:0",
            ..exchange(
                "/model/us.x%2Fy:0/converse",
                bedrock_ask,
                JSON,
                br#"{"usage":{"inputTokens":5,"outputTokens":7,"totalTokens":27,"cacheReadInputTokens":15}}"#,
            )
        },
        Exchange {
            model: "us.x",
            ..exchange(
                "/model/us.x/converse-stream",
                bedrock_ask,
                "application/vnd.amazon.eventstream",
                &metadata_frame(),
            )
        },
    ]
}

fn others() -> Vec<Exchange> {
    let done: &[u8] = b"data: [DONE]\n\n";
    let xai: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":3,\"completion_tokens_details\":{\"reasoning_tokens\":4}}}\n\ndata: [DONE]\n\n";
    let mistral: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":7,\"total_tokens\":27}}\n\ndata: [DONE]\n\n";
    let cohere: &[u8] = b"event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"usage\":{\"billed_units\":{\"input_tokens\":20.0,\"output_tokens\":7.0}}}}\n\n";
    let ollama: &[u8] = b"{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":20,\"eval_count\":7}\n";
    vec![
        Exchange {
            format: Some(WireFormat::MistralChat),
            ..exchange("/v1/chat/completions", r#"{"model":"m","max_tokens":50,"stream":true}"#, SSE, mistral)
        },
        Exchange {
            format: Some(WireFormat::XaiChat),
            sent: r#"{"model":"m","max_tokens":50,"stream":true,"stream_options":{"include_usage":true}}"#,
            passed: Some([&b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"[..], done].concat()),
            ..exchange("/v1/chat/completions", r#"{"model":"m","max_tokens":50,"stream":true}"#, SSE, xai)
        },
        exchange("/v2/chat", r#"{"model":"m","max_tokens":50,"stream":true}"#, SSE, cohere),
        Exchange {
            cap: 0,
            output: 0,
            ..exchange(
                "/v2/embed",
                r#"{"model":"m","texts":["a"]}"#,
                JSON,
                br#"{"meta":{"billed_units":{"input_tokens":20.0}}}"#,
            )
        },
        exchange("/api/chat", r#"{"model":"m","options":{"num_predict":50}}"#, "application/x-ndjson", ollama),
        Exchange {
            cap: 4_096,
            sent: r#"{"model":"m","stream":false,"options":{"num_predict":4096}}"#,
            ..exchange(
                "/api/generate",
                r#"{"model":"m","stream":false}"#,
                JSON,
                br#"{"response":"a","done":true,"prompt_eval_count":20,"eval_count":7}"#,
            )
        },
        Exchange {
            cap: 0,
            output: 0,
            ..exchange(
                "/api/embed",
                r#"{"model":"m","input":"a"}"#,
                JSON,
                br#"{"embeddings":[],"prompt_eval_count":20}"#,
            )
        },
    ]
}

/// Keeps the usage and the model of the last call.
#[derive(Debug, Default)]
struct Last(std::sync::Mutex<Option<(Usage, String)>>);

impl Recorder for Last {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            *self.0.lock().unwrap() = Some((*settled.usage, settled.call.model.to_string()));
        }
    }
}

/// A layer around one exchange, and who is told of it.
struct Desk {
    budget: Budget<MemoryStore<ManualClock>>,
    last: Arc<Last>,
    tally: Arc<Tally>,
}

impl Desk {
    fn new() -> Self {
        let (last, tally) = (Arc::new(Last::default()), Arc::new(Tally::new()));
        let limits = Fixture::new(1).budget.policy().indexed().map(|(_, limit)| limit.clone()).collect();
        let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(limits).unwrap()), ManualClock::new()));
        let prices = Arc::new(PriceBook::embedded().clone());
        let budget = Budget::new(store, prices, (Arc::clone(&last), Arc::clone(&tally)));
        Self { budget, last, tally }
    }

    /// What the client gets of an answer, and what the provider got.
    async fn run(&self, exchange: &Exchange, answer: Answer) -> (Vec<u8>, Visitors) {
        let mut layer = TokenBudgetLayer::new(self.budget.clone(), Everybody(Caller::new("ann", "acme")));
        if let Some(format) = exchange.format {
            layer = layer.with_routes(vec![ModelRoute::new(exchange.path, format).unwrap()]);
        }
        let visitors = Visitors::default();
        let (notes, answer) = (visitors.clone(), Arc::new(std::sync::Mutex::new(Some(answer))));
        let service = layered(layer, move |request: Request<_>| async move {
            notes.note(request).await;
            Ok(answer.lock().unwrap().take().unwrap())
        });
        let response = service.oneshot(ask(exchange.path, full(exchange.request.to_owned()))).await.unwrap();
        assert_eq!(self.held(), exchange.request.len() as u64 + exchange.cap, "{}", exchange.path);
        (response.into_body().collect().await.unwrap().to_bytes().to_vec(), visitors)
    }

    /// Tokens held.
    fn held(&self) -> u64 {
        let scopes = Caller::new("ann", "acme");
        self.budget.store().standings_now(&scopes.scopes(), self.budget.policy().select(|_| true))[0].held
    }

    fn last(&self) -> (Usage, String) {
        self.last.0.lock().unwrap().take().unwrap()
    }
}

fn answer(exchange: &Exchange, chunks: &[&[u8]]) -> Answer {
    let frames = chunks.iter().map(|chunk| Frame::data(Bytes::copy_from_slice(chunk))).collect();
    let mut response = Chunks::frames(frames);
    response.headers_mut().insert(CONTENT_TYPE, exchange.content_type.parse().unwrap());
    response
}

#[tokio::test]
async fn the_route_of_every_provider_is_metered_exactly_and_passes_what_came() {
    for exchange in exchanges() {
        let desk = Desk::new();
        let path = exchange.path;
        let (passed, visitors) = desk.run(&exchange, answer(&exchange, &[&exchange.answer])).await;
        assert_eq!(visitors.only().body, exchange.sent, "{path}");
        assert_eq!(passed, exchange.passed.unwrap_or(exchange.answer), "{path}");
        let (usage, model) = desk.last();
        assert_eq!(
            (usage.total_input().get(), usage.total_output().get()),
            (exchange.input, exchange.output),
            "{path}"
        );
        assert_eq!((usage.quality, model.as_str()), (Quality::Exact, exchange.model), "{path}");
    }
}

#[tokio::test]
async fn a_path_beside_those_of_the_models_passes_untouched() {
    for path in ["/v1beta/models/gemini-x:countTokens", "/v1/models/m", "/model/m/count-tokens"] {
        let desk = Desk::new();
        let exchange = Exchange { cap: 0, ..exchange(path, "", JSON, b"{}") };
        let (passed, visitors) = desk.run(&exchange, answer(&exchange, &[b"{}"])).await;
        assert_eq!((passed.as_slice(), visitors.only().body.as_str()), (&b"{}"[..], ""), "{path}");
        assert!(desk.last.0.lock().unwrap().is_none(), "{path}");
    }
}

#[tokio::test]
async fn an_older_completion_without_a_cap_keeps_the_one_of_its_provider() {
    let desk = Desk::new();
    let exchange = Exchange {
        cap: 2 * 16,
        sent: r#"{"model":"m","prompt":["a","b"],"max_tokens":16}"#,
        ..exchange("/v1/completions", r#"{"model":"m","prompt":["a","b"]}"#, JSON, b"{}")
    };
    let (_, visitors) = desk.run(&exchange, answer(&exchange, &[b"{}"])).await;
    assert_eq!(visitors.only().body, exchange.sent);
}

#[tokio::test]
async fn a_model_in_the_path_is_bounded_like_one_in_the_body() {
    let path = format!("/v1beta/models/{}:generateContent", "m".repeat(257));
    let fixture = Fixture::new(1);
    let service = fixture.service(|_| std::future::ready(Err("nobody is called".into())));
    let response = service.oneshot(ask(&path, full("{}".to_owned()))).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn numbers_that_contradict_each_other_are_charged_whole_and_counted() {
    let desk = Desk::new();
    let contradiction =
        br#"{"usage":{"prompt_tokens":20,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":21}}}"#;
    let exchange = exchange("/v1/chat/completions", r#"{"model":"m","max_tokens":50}"#, JSON, contradiction);
    desk.run(&exchange, answer(&exchange, &[&exchange.answer])).await;
    let (usage, _) = desk.last();
    assert_eq!((usage.total().get(), usage.quality, usage.inconsistent), (27, Quality::Estimated, true));
    let totals = desk.tally.report(None, desk.budget.store().now(), |_| true).totals;
    assert_eq!((totals.requests, totals.inconsistent_requests), (1, 1));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn usage_is_read_through_a_coding_and_the_client_gets_the_coded_bytes() {
    for exchange in exchanges() {
        let (desk, coded) = (Desk::new(), gzip(&exchange.answer));
        let mut answer = answer(&exchange, &coded.chunks(11).collect::<Vec<_>>());
        answer.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        answer.headers_mut().insert(CONTENT_LENGTH, coded.len().into());
        // Where the layer asked for usage, the event with it stays: it cannot be taken out of a coded stream.
        let (passed, _) = desk.run(&exchange, answer).await;
        assert_eq!(passed, coded, "{}", exchange.path);
        let (usage, _) = desk.last();
        assert_eq!((usage.total().get(), usage.quality), (exchange.input + exchange.output, Quality::Exact));
    }
}

#[tokio::test]
async fn a_coding_that_nobody_knows_passes_unread() {
    let (desk, exchange) = (Desk::new(), exchanges().swap_remove(0));
    for codings in [vec!["compress"], vec!["gzip, br"], vec!["gzip", "br"]] {
        let mut answer = answer(&exchange, &[&exchange.answer]);
        for coding in codings {
            answer.headers_mut().append(CONTENT_ENCODING, coding.parse().unwrap());
        }
        let (passed, _) = desk.run(&exchange, answer).await;
        assert_eq!(passed, exchange.answer);
        assert_eq!(desk.last().0.quality, Quality::Estimated);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_client_gets_exactly_what_the_provider_sent_however_it_is_split(
        which in 0..exchanges().len(), mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let exchange = exchanges().swap_remove(which);
        let body = &exchange.answer;
        let mut ends: Vec<usize> = cuts.drain(..).map(|cut| cut.index(body.len() + 1)).collect();
        ends.extend([0, body.len()]);
        ends.sort_unstable();
        let chunks: Vec<&[u8]> = ends.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
        let desk = Desk::new();
        let ran = desk.run(&exchange, answer(&exchange, &chunks)).now_or_never();
        let (passed, _) = ran.expect("nothing here waits");
        prop_assert_eq!(&passed, exchange.passed.as_ref().unwrap_or(body));
        let (usage, _) = desk.last();
        prop_assert_eq!((usage.total().get(), usage.quality), (exchange.input + exchange.output, Quality::Exact));
    }
}
