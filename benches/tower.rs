//! The rows of the table that the layers decide, with tower_governor in the same run.
//!
//! Each operation builds a request, makes a service ready, calls it, and drops the response, without a socket and
//! without a runtime: nothing here ever waits. The bare service does the same, and figures are what a layer adds to it.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

mod service;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use flashops_benches::keys::Keys;
use flashops_benches::measure::{Contestant, Figures, Times, race};
use flashops_benches::table::{Options, Row, Target};
use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::caller::Caller;
use flashops_core::clock::CoarseClock;
use flashops_core::health::{Check, Finding, HealthRegistry};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::store::MemoryStore;
use flashops_tower::identify::IdentifyError;
use flashops_tower::inspect::WireFormat;
use flashops_tower::usage::{BodyKind, Meter};
use flashops_tower::{RateLimitLayer, TokenBudgetLayer};
use governor::middleware::StateInformationMiddleware;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};
use tower_layer::Layer;
use tower_service::Service;

use service::{Provider, added, api_keys, exchange, fleet, kilobytes, pick};

/// More requests than any run makes, and few enough to be counted in 32 bits, as real limits are.
const MANY: u64 = 1 << 31;

fn main() {
    let options = Options::of_this_process();
    println!("What layers add to a bare service: medians, nanoseconds, one thread / two threads.\n");
    let keys = Keys::new(if options.smoke { 100 } else { 100_000 });
    if options.wants("rate-limit layer by API key, headers on") {
        println!("{}", rate_limit(&options, &keys));
    }
    if options.wants("refusal through the layer") {
        println!("{}", refusal(&options));
    }
    if options.wants("token-budget layer, 1 KB, three scopes") {
        println!("{}", token_budget(&options, &keys));
    }
    if options.wants("health probe") {
        println!("{}", health_probe(&options));
    }
    if options.wants("SSE meter") {
        meters(&options).iter().for_each(|row| println!("{row}"));
    }
}

/// The bare service: an empty response, at once.
#[derive(Clone)]
struct Empty;

impl<B> Service<Request<B>> for Empty {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<axum::body::Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(axum::body::Body::empty())))
    }
}

/// Calls a service once and drops its response; says its status.
fn call<S, B, R>(service: &mut S, request: Request<B>) -> StatusCode
where
    S: Service<Request<B>, Response = Response<R>>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let future = std::pin::pin!(service.call(request));
    match future.poll(&mut context) {
        Poll::Ready(Ok(response)) => response.status(),
        _ => unreachable!("nothing here waits or fails"),
    }
}

fn admitted(status: StatusCode) {
    assert_eq!(status, StatusCode::OK);
}

fn with_key(key: &str) -> Request<Full<Bytes>> {
    Request::get("/").header("x-api-key", key).body(Full::default()).expect("the key is a header value")
}

fn requests(name: &str, amount: u64, seconds: u64) -> Limit {
    let window = Window::Sliding(Duration::from_secs(seconds));
    Limit::new(name, Scope::User, Resource::Requests, amount, window).expect("the limit is valid")
}

fn limiter(per_minute: u64, per_hour: u64) -> RateLimiter<MemoryStore<CoarseClock>> {
    let limits = vec![requests("rpm", per_minute, 60), requests("rph", per_hour, 3_600)];
    RateLimiter::new(Policy::new(limits).expect("the names differ"), CoarseClock::new())
}

/// tower_governor's key: the header, as a string.
#[derive(Clone, Debug)]
struct ApiKey;

impl KeyExtractor for ApiKey {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok());
        key.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

fn governor(burst: u32) -> GovernorLayer<ApiKey, StateInformationMiddleware, axum::body::Body> {
    let config = GovernorConfigBuilder::default()
        .period(if burst > 5 { Duration::from_nanos(1) } else { Duration::from_secs(3_600) })
        .burst_size(burst)
        .key_extractor(ApiKey)
        .use_headers()
        .finish()
        .expect("the configuration is valid");
    GovernorLayer::new(Arc::new(config))
}

fn rate_limit(options: &Options, keys: &Keys) -> Row {
    let ours = RateLimitLayer::new(limiter(MANY, MANY), by_key_alone).layer(Empty);
    let of_a_table = RateLimitLayer::new(limiter(MANY, MANY), api_keys(keys)).layer(Empty);
    let peer = governor(1_000_000_000).layer(Empty);
    for key in keys.iter() {
        admitted(call(&mut ours.clone(), with_key(key)));
        admitted(call(&mut of_a_table.clone(), with_key(key)));
        admitted(call(&mut peer.clone(), with_key(key)));
    }
    let all = [
        admitting("ours", &ours, keys),
        admitting("ours, a table of callers", &of_a_table, keys),
        admitting("tower_governor", &peer, keys),
        admitting("bare", &Empty, keys),
    ];
    let figures = race(&all, &options.plan);
    let [ours, of_a_table, peer] = [0, 1, 2].map(|index| added(&figures[index], &figures[3]));
    let name = "rate-limit layer by API key, headers on, two windows";
    let target = Target::Ratio { one: 0.7, two: 0.7 };
    let ours = vec![
        ("ours, the key alone, as the peer (coarse clock)", ours),
        ("ours, the key looked up among 100,000 callers", of_a_table),
    ];
    Row::new(name, target, ours, vec![("tower_governor, one limit (quanta clock)", peer)])
}

/// Whoever has a key is a caller, as for tower_governor: nobody checks whether it is known.
fn by_key_alone(parts: &Parts) -> Result<Caller, IdentifyError> {
    let key = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok());
    key.map(|key| Caller::new(key, "")).ok_or(IdentifyError::Missing)
}

/// A service that admits everybody.
fn admitting<'s, S, R>(name: &'static str, service: &'s S, keys: &'s Keys) -> Contestant<'s>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Sync,
{
    Contestant::new(name, move |worker, operations| {
        let mut service = service.clone();
        (0..operations).for_each(|_| admitted(call(&mut service, with_key(pick(keys, worker)))));
    })
    .with_warm_up(keys.len())
}

fn refusal(options: &Options) -> Row {
    let keys = Keys::new(1);
    let key = keys.text(0);
    let ours = RateLimitLayer::new(limiter(5, 50), api_keys(&keys)).layer(Empty);
    let peer = governor(5).layer(Empty);
    let refused = |status: StatusCode| assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..6 {
        call(&mut ours.clone(), with_key(key));
        call(&mut peer.clone(), with_key(key));
    }
    let all = [
        Contestant::new("ours", |_, operations| {
            let mut service = ours.clone();
            (0..operations).for_each(|_| refused(call(&mut service, with_key(key))));
        }),
        Contestant::new("tower_governor", |_, operations| {
            let mut service = peer.clone();
            (0..operations).for_each(|_| refused(call(&mut service, with_key(key))));
        }),
        Contestant::new("bare", |_, operations| {
            (0..operations).for_each(|_| admitted(call(&mut Empty, with_key(key))));
        }),
    ];
    let figures = race(&all, &options.plan);
    let [ours, peer] = [0, 1].map(|index| added(&figures[index], &figures[2]));
    let name = "refusal through the layer, JSON body included";
    let target = Target::Ratio { one: 0.05, two: 0.05 };
    Row::new(name, target, vec![("ours, coarse clock", ours)], vec![("tower_governor (quanta clock)", peer)])
}

fn token_budget(options: &Options, keys: &Keys) -> Row {
    let store = Arc::new(MemoryStore::new(Arc::new(fleet()), CoarseClock::new()));
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), ());
    let (ask, answer) = kilobytes();
    let provider = Provider(answer);
    let layered = TokenBudgetLayer::new(budget, api_keys(keys)).layer(provider.clone());
    let request = |key: &str| {
        let request = Request::post("/v1/chat/completions").header("x-api-key", key);
        request.body(Full::new(ask.clone())).expect("the key is a header value")
    };
    keys.iter().for_each(|key| exchange(&mut layered.clone(), request(key)));
    let all = [
        Contestant::new("ours", |worker, operations| {
            let mut service = layered.clone();
            (0..operations).for_each(|_| exchange(&mut service, request(pick(keys, worker))));
        })
        .with_warm_up(keys.len()),
        Contestant::new("bare", |worker, operations| {
            let mut service = provider.clone();
            (0..operations).for_each(|_| exchange(&mut service, request(pick(keys, worker))));
        })
        .with_warm_up(keys.len()),
    ];
    let figures = race(&all, &options.plan);
    let ours = added(&figures[0], &figures[1]);
    let name = "token-budget layer, 1 KB request and response, three scopes, five limits";
    Row::new(name, Target::Nanos(4_000.0), vec![("ours, coarse clock", ours)], vec![])
}

/// A probe through axum's router, from the request to the dropped response; nothing is taken off.
fn health_probe(options: &Options) -> Row {
    let registry = HealthRegistry::new();
    registry.register(Check::ping()).expect("the name is free");
    let initial = || Check::new("database", std::future::pending::<Finding>).with_initial(Finding::pass());
    registry.register(initial()).expect("the name is free");
    let router: Router = Router::new().route("/readyz", get(flashops_axum::handler::readyz)).with_state(registry);
    let probe = || Request::get("/readyz").body(axum::body::Body::empty()).expect("the path is well-formed");
    let all = [Contestant::new("ours", |_, operations| {
        let mut service = router.clone();
        (0..operations).for_each(|_| admitted(call(&mut service, probe())));
    })];
    let ours = race(&all, &options.plan).remove(0);
    Row::new("health probe, /readyz through a router", Target::Nanos(2_000.0), vec![("ours", ours)], vec![])
}

/// Content as providers stream it, without usage but where each event has some.
fn content(format: WireFormat) -> (BodyKind, String) {
    let openai = concat!(
        r#"data: {"id":"chatcmpl-9aXb","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini","#,
        r#""choices":[{"index":0,"delta":{"content":" words"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        "\n\n"
    );
    let anthropic = concat!(
        "event: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" some more words"}}"#,
        "\n\n"
    );
    let gemini = concat!(
        r#"data: {"candidates": [{"content": {"parts": [{"text": " several words of an answer that comes in pieces"}],"#,
        r#""role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 10,"candidatesTokenCount": 4,"#,
        r#""totalTokenCount": 14,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 10}]},"#,
        r#""modelVersion": "gemini-2.5-flash","responseId": "q7cTacPYFPmL7M8P1ZbA2Ac"}"#,
        "\r\n\r\n"
    );
    let ollama = concat!(
        r#"{"model":"llama3.2","created_at":"2025-11-20T10:00:00.000000Z","#,
        r#""message":{"role":"assistant","content":" words"},"done":false}"#,
        "\n"
    );
    let xai = concat!(
        r#"data: {"id":"a3d1f0de-3f7b","object":"chat.completion.chunk","created":1700000000,"model":"grok-4","#,
        r#""choices":[{"index":0,"delta":{"content":" words"}}],"usage":{"prompt_tokens":32,"completion_tokens":9,"#,
        r#""total_tokens":135,"prompt_tokens_details":{"text_tokens":32,"audio_tokens":0,"image_tokens":0,"#,
        r#""cached_tokens":6},"completion_tokens_details":{"reasoning_tokens":94,"audio_tokens":0},"#,
        r#""num_sources_used":0},"system_fingerprint":"fp_1234567890"}"#,
        "\n\n"
    );
    let cohere = concat!(
        "event: content-delta\n",
        r#"data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":" words"}}}}"#,
        "\n\n"
    );
    let (kind, event) = match format {
        WireFormat::AnthropicMessages => (BodyKind::Sse, anthropic),
        WireFormat::Gemini => (BodyKind::Sse, gemini),
        WireFormat::Ollama => (BodyKind::JsonLines, ollama),
        WireFormat::XaiChat => (BodyKind::Sse, xai),
        WireFormat::CohereChat => (BodyKind::Sse, cohere),
        _ => (BodyKind::Sse, openai),
    };
    (kind, event.repeat(4_096 / event.len()))
}

fn meters(options: &Options) -> [Row; 6] {
    let formats = [
        ("SSE meter, OpenAI, a kilobyte (1 GB/s is 1000 ns)", WireFormat::OpenAiChat),
        ("SSE meter, Anthropic, a kilobyte", WireFormat::AnthropicMessages),
        ("SSE meter, Gemini, with usage in each event, a kilobyte", WireFormat::Gemini),
        ("SSE meter, xAI, with usage in each event, a kilobyte", WireFormat::XaiChat),
        ("SSE meter, Cohere, a kilobyte", WireFormat::CohereChat),
        ("meter of Ollama's lines, a kilobyte", WireFormat::Ollama),
    ];
    formats.map(|(name, format)| {
        let figures = metered(options, format);
        Row::new(name, Target::Nanos(1_000.0), vec![("ours", figures)], vec![])
    })
}

fn metered(options: &Options, format: WireFormat) -> Figures {
    let (kind, chunk) = content(format);
    let kilobytes = chunk.len() as f64 / 1_000.0;
    let all = [Contestant::new("ours", |_, operations| {
        let mut meter = Meter::new(format, kind);
        (0..operations).for_each(|_| meter.push(chunk.as_bytes()));
        assert!(meter.counted_output().get() > 0);
    })];
    let figures = race(&all, &options.plan).remove(0);
    let per_kilobyte = |times: &Times| Times(times.0.iter().map(|nanos| nanos / kilobytes).collect());
    Figures { one: per_kilobyte(&figures.one), two: per_kilobyte(&figures.two) }
}
