//! What a provider says of its limits lowers what it is sent, until it resets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::RateLimiter;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_tower::RateLimitLayer;
use flashops_tower::budget::{ModelRoute, RequestBody};
use flashops_tower::fallback::{FALLBACK, FallbackLayer};
use flashops_tower::inspect::WireFormat;
use flashops_tower::provider_limits::{HeldBack, ProviderLimits, ProviderLimitsLayer, ResponseBody};
use flashops_tower::reject::{DefaultReject, Dialect, NotDispatched, Refusal, RefusalContext, Reject};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use support::{Answer, AnyBody, Chunks, Everybody, Fixture, ask, complete, full, json, usage_frame};
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

const CHAT: &str = "https://api.example.com/v1/chat/completions";

/// A provider that gives the answers in turn, and counts the calls.
#[derive(Clone, Default)]
struct Provider {
    answers: Arc<Mutex<Vec<Answer>>>,
    calls: Arc<Mutex<u64>>,
}

impl Provider {
    /// A provider whose answers say this; those after them say nothing.
    fn saying(answers: &[&[(&str, &str)]]) -> Self {
        Self::new(answers.iter().rev().map(|headers| says(200, headers)).collect())
    }

    fn new(answers: Vec<Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers)), calls: Arc::default() }
    }

    fn answer(&self) -> Answer {
        *self.calls.lock().unwrap() += 1;
        self.answers.lock().unwrap().pop().unwrap_or_else(|| says(200, &[]))
    }

    fn calls(&self) -> u64 {
        *self.calls.lock().unwrap()
    }
}

fn says(status: u16, headers: &[(&str, &str)]) -> Answer {
    let mut answer = json(complete(1, 1));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        answer.headers_mut().append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    answer
}

type Client = BoxCloneService<Request<AnyBody>, Response<ResponseBody<AnyBody>>, BoxError>;

struct Layered {
    provider: Provider,
    limits: ProviderLimits<ManualClock>,
    clock: ManualClock,
    client: Client,
}

/// The layer around a provider.
fn around(provider: Provider) -> Layered {
    let clock = ManualClock::new();
    let limits = ProviderLimits::new(clock.clone());
    let inner = {
        let provider = provider.clone();
        service_fn(move |_: Request<AnyBody>| ready(Ok::<_, BoxError>(provider.answer())))
    };
    let client = ServiceBuilder::new().layer(ProviderLimitsLayer::new(limits.clone())).service(inner).boxed_clone();
    Layered { provider, limits, clock, client }
}

impl Layered {
    async fn send(&self, request: Request<AnyBody>) -> Response<ResponseBody<AnyBody>> {
        self.client.clone().oneshot(request).await.unwrap()
    }

    async fn status(&self, url: &str) -> u16 {
        self.send(ask(url, full(String::new()))).await.status().as_u16()
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

async fn text<B: Body<Data = Bytes, Error: std::fmt::Debug>>(response: Response<B>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const NONE_LEFT: &[(&str, &str)] = &[
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "0"),
    ("x-ratelimit-reset-requests", "20s"),
];

#[tokio::test]
async fn a_provider_with_nothing_left_is_left_alone_until_its_reset() {
    let layered = around(Provider::saying(&[NONE_LEFT]));
    assert_eq!(layered.status(CHAT).await, 200);
    let refused = layered.send(ask(CHAT, full(String::new()))).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "20");
    assert!(refused.extensions().get::<NotDispatched>().is_some());
    assert!(refused.extensions().get::<HeldBack>().is_some());
    let body = concat!(
        r#"{"error":{"message":"Rate limit reached for provider-requests on requests per provider: Remaining 0, "#,
        r#"Requested 1. Please try again in 20s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
    );
    assert_eq!(refused.body().size_hint().exact(), Some(body.len() as u64));
    assert_eq!(text(refused).await, body);
    layered.advance(19_999);
    assert_eq!(layered.status(CHAT).await, 429);
    assert_eq!((layered.provider.calls(), layered.limits.stats().refused), (1, 2));
    layered.advance(1);
    assert_eq!(layered.status(CHAT).await, 200);
}

#[tokio::test]
async fn a_refusal_is_in_the_dialect_of_the_provider_and_names_the_limit() {
    let messages = "https://api.example.com/v1/messages";
    let headers: &[(&str, &str)] = &[
        ("date", "Thu, 21 Aug 2025 12:40:00 GMT"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-08-21T12:40:07Z"),
    ];
    let layered = around(Provider::saying(&[headers]));
    layered.status(messages).await;
    let refused = layered.send(ask(messages, full(String::new()))).await;
    assert_eq!(refused.headers()["retry-after"], "7");
    let body = text(refused).await;
    assert!(body.contains(r#""type":"rate_limit_error","message":"Rate limit reached for provider-input-tokens on input-tokens per provider: "#), "{body}");
    let mut problem = ask(messages, full(String::new()));
    problem.extensions_mut().insert(Dialect::Problem);
    let body = text(layered.send(problem).await).await;
    assert!(body.ends_with(r#""code":"rate_limit_exceeded","violated-policies":["provider-input-tokens"]}"#), "{body}");
}

#[tokio::test]
async fn a_wait_that_comes_with_429_503_or_529_holds_everything_back() {
    for (status, header, value, millis) in
        [(429, "retry-after", "3", 3_000), (503, "retry-after-ms", "250", 250), (529, "retry-after", "2", 2_000)]
    {
        let layered = around(Provider::new(vec![says(status, &[(header, value)])]));
        assert_eq!(layered.status(CHAT).await, status);
        layered.advance(millis - 1);
        let refused = layered.send(ask(CHAT, full(String::new()))).await;
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after-ms"]), (429, &"1".parse().unwrap()));
        assert!(text(refused).await.contains("The provider of the model asked to wait. Please try again in 1ms."));
        layered.advance(1);
        assert_eq!(layered.status(CHAT).await, 200);
    }
    let layered = around(Provider::new(vec![says(500, &[("retry-after", "3")])]));
    assert_eq!((layered.status(CHAT).await, layered.status(CHAT).await), (500, 200), "it asked nobody to wait");
}

#[tokio::test]
async fn concurrent_calls_cannot_overrun_what_remains() {
    let clock = ManualClock::new();
    let limits = ProviderLimits::new(clock.clone());
    let calls = Arc::new(Mutex::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        service_fn(move |_: Request<AnyBody>| {
            *calls.lock().unwrap() += 1;
            let first = *calls.lock().unwrap() == 1;
            let headers = [("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "1m0s")];
            async move { if first { Ok::<_, BoxError>(says(200, &headers)) } else { pending().await } }
        })
    };
    let mut client = ServiceBuilder::new().layer(ProviderLimitsLayer::new(limits)).service(inner).boxed_clone();
    client.ready().await.unwrap().call(ask(CHAT, full(String::new()))).await.unwrap();
    let mut waiting = Vec::new();
    for place in 0..10 {
        let mut call = client.ready().await.unwrap().call(ask(CHAT, full(String::new())));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => waiting.push(call),
            Poll::Ready(refused) => {
                let refused = refused.unwrap();
                assert!(place >= 3 && refused.status() == StatusCode::TOO_MANY_REQUESTS, "{place}");
                assert_eq!(refused.headers()["retry-after"], "1", "an answer may tell of room");
            }
        }
    }
    assert_eq!((waiting.len(), *calls.lock().unwrap()), (3, 4));
    drop(waiting);
    let refused = client.ready().await.unwrap().call(ask(CHAT, full(String::new()))).now_or_never();
    let refused = refused.expect("what was left was sent, so it is counted until the reset").unwrap();
    assert_eq!(refused.headers()["retry-after"], "60");
}

#[tokio::test]
async fn other_providers_accounts_and_models_are_unaffected() {
    let layered = around(Provider::saying(&[NONE_LEFT]));
    let keyed = |key: &str| {
        let mut request = ask(CHAT, full(String::new()));
        request.headers_mut().insert("authorization", key.parse().unwrap());
        request
    };
    assert_eq!(layered.send(keyed("Bearer a")).await.status().as_u16(), 200);
    assert_eq!(layered.send(keyed("Bearer a")).await.status().as_u16(), 429);
    assert_eq!(layered.send(keyed("Bearer b")).await.status().as_u16(), 200);
    assert_eq!(layered.status("https://api.example.org/v1/chat/completions").await, 200);
    assert_eq!(layered.limits.stats().providers, 3);
    assert_eq!(
        layered.send(keyed("Bearer a")).await.status().as_u16(),
        429,
        "and what they say is not said of the first"
    );
}

#[tokio::test]
async fn malformed_headers_change_nothing_and_are_counted() {
    let malformed: &[(&str, &str)] = &[
        ("x-ratelimit-remaining-requests", "none"),
        ("x-ratelimit-reset-requests", "1s"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-reset", "soon"),
        ("ratelimit", "limit=1, remaining=0, reset=9"),
        ("retry-after", "a while"),
    ];
    let layered = around(Provider::new(vec![says(429, malformed), says(200, malformed)]));
    assert_eq!(layered.status(CHAT).await, 200);
    assert_eq!(layered.limits.stats().malformed, 3, "a wait is looked for in refusals only");
    assert_eq!(layered.status(CHAT).await, 429);
    assert_eq!(layered.limits.stats().malformed, 7);
    assert_eq!((layered.status(CHAT).await, layered.limits.stats().refused), (200, 0));
}

#[tokio::test]
async fn a_call_that_was_refused_further_inside_is_not_counted() {
    let mut not_sent = says(503, &[("retry-after", "9")]);
    not_sent.extensions_mut().insert(NotDispatched);
    let last = says(200, &[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "20s")]);
    let layered = around(Provider::new(vec![not_sent, last]));
    assert_eq!((layered.status(CHAT).await, layered.status(CHAT).await), (200, 503));
    assert_eq!((layered.status(CHAT).await, layered.status(CHAT).await), (200, 429));
}

#[tokio::test]
async fn a_hook_writes_the_refusal() {
    let clock = ManualClock::new();
    let usual = DefaultReject::new();
    let reject = move |refusal: &Refusal<'_>, context: &RefusalContext<'_>| {
        let mut response = usual.reject(refusal, context);
        if let Refusal::ProviderLimited { .. } = refusal {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    };
    let provider = Provider::saying(&[NONE_LEFT]);
    let inner = service_fn(move |_: Request<AnyBody>| ready(Ok::<_, BoxError>(provider.answer())));
    let layer = ProviderLimitsLayer::new(ProviderLimits::new(clock)).with_reject(reject);
    let client = ServiceBuilder::new().layer(layer).service(inner);
    client.clone().oneshot(ask(CHAT, full(String::new()))).await.unwrap();
    let refused = client.oneshot(ask(CHAT, full(String::new()))).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// The whole stack around a provider: rate limit, token budget, provider limits.
fn stacked(
    fixture: &Fixture,
    rpm: u64,
    provider: &Provider,
) -> (RateLimiter<flashops_core::store::MemoryStore<ManualClock>>, impl Outbound) {
    let minute = Window::Sliding(Duration::from_secs(60));
    let limit = Limit::new("rpm", Scope::User, Resource::Requests, rpm, minute).unwrap();
    let limiter = RateLimiter::new(Policy::new(vec![limit]).unwrap(), fixture.clock.clone());
    let provider = provider.clone();
    let inner = service_fn(move |_: Request<RequestBody<AnyBody>>| ready(Ok::<_, BoxError>(provider.answer())));
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter.clone(), Everybody(fixture.caller.clone())))
        .layer(fixture.layer().with_held_extension())
        .layer(ProviderLimitsLayer::new(ProviderLimits::new(fixture.clock.clone())))
        .service(inner);
    (limiter, service)
}

trait Outbound: Service<Request<AnyBody>, Response = Response<Self::Body>, Error = BoxError> + Clone {
    type Body: Body<Data = Bytes, Error: std::fmt::Debug>;
}

impl<S, B> Outbound for S
where
    S: Service<Request<AnyBody>, Response = Response<B>, Error = BoxError> + Clone,
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    type Body = B;
}

#[tokio::test]
async fn a_call_that_is_held_back_counts_in_no_limit_of_ours() {
    let fixture = Fixture::new(5);
    let provider = Provider::saying(&[NONE_LEFT]);
    let (limiter, service) = stacked(&fixture, 2, &provider);
    let call = || service.clone().oneshot(ask(CHAT, full(fixture.body.clone())));
    let first = call().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    text(first).await;
    for _ in 0..3 {
        assert_eq!(call().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!((fixture.used(), fixture.held()), ((2, 1), 0));
    let keys = fixture.caller.scopes();
    assert_eq!(limiter.store().standings_now(&keys, limiter.policy().select(|_| true))[0].used, 1);
    fixture.clock.advance(Duration::from_secs(20));
    assert_eq!(call().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_call_counts_as_the_tokens_that_the_budget_holds_for_it() {
    let fixture = Fixture::new(500);
    let needed = fixture.body.len() as u64 + 500;
    for (left, admitted) in [(needed, true), (needed - 1, false)] {
        let left = left.to_string();
        let headers: &[(&str, &str)] = &[
            ("x-ratelimit-limit-tokens", "1000000"),
            ("x-ratelimit-remaining-tokens", &left),
            ("x-ratelimit-reset-tokens", "9s"),
        ];
        let provider = Provider::saying(&[headers]);
        let (_, service) = stacked(&fixture, 100, &provider);
        let call = || service.clone().oneshot(ask(CHAT, full(fixture.body.clone())));
        text(call().await.unwrap()).await;
        let second = call().await.unwrap();
        assert_eq!(second.status().is_success(), admitted, "{left}");
        let other = fixture.body.replace("gpt-4o-mini", "gpt-4.1-nano");
        let other = service.clone().oneshot(ask(CHAT, full(other))).await.unwrap();
        assert!(other.status().is_success(), "providers count for each model");
    }
}

#[tokio::test]
async fn a_fallback_tries_the_next_model_where_a_provider_is_held_back() {
    let fixture = Fixture::new(5);
    let provider = Provider::new(vec![says(200, &[]), says(429, &[("retry-after", "9")])]);
    let route = ModelRoute::new("/v1/chat/completions", WireFormat::OpenAiChat).unwrap();
    let fallback = FallbackLayer::new(fixture.budget.clone(), vec![route.with_fallback(["gpt-4.1-nano"])]);
    let (_, service) = stacked(&fixture, 100, &provider);
    let service = ServiceBuilder::new().layer(fallback).service(unwrapped(service));
    for calls in [2, 3] {
        let answer = service.clone().oneshot(ask(CHAT, full(fixture.body.clone()))).await.unwrap();
        assert_eq!(answer.headers()[FALLBACK], "gpt-4.1-nano; reason=provider");
        assert_eq!(provider.calls(), calls, "the first model was called once");
    }
}

/// A service for the bodies that a fall-back sends.
fn unwrapped<S: Outbound>(
    service: S,
) -> impl Service<Request<RequestBody<AnyBody>>, Response = S::Response, Error = BoxError, Future = S::Future> + Clone {
    tower::util::MapRequest::new(service, |request: Request<RequestBody<AnyBody>>| {
        request.map(|body| body.map_err(Into::into).boxed_unsync())
    })
}

#[tokio::test]
async fn output_that_counts_as_it_is_produced_is_in_flight_until_its_stream_ends_or_is_left() {
    let fixture = Fixture::new(500);
    let headers = [
        ("anthropic-ratelimit-output-tokens-remaining", "999"),
        ("anthropic-ratelimit-output-tokens-reset", "2125-08-21T12:40:07Z"),
    ];
    let streams = || {
        let mut answer = Chunks::stream(vec![usage_frame(1, 1)]);
        for (name, value) in headers {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    };
    for reads in [true, false] {
        let provider = Provider::new(vec![streams(), streams()]);
        let (_, service) = stacked(&fixture, 100, &provider);
        let call = || service.clone().oneshot(ask(CHAT, full(fixture.body.clone())));
        let first = call().await.unwrap();
        assert_eq!(call().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS, "500 of 999 are on their way");
        let mut first = Some(Box::pin(first.into_body()));
        if reads {
            while first.as_mut().unwrap().frame().await.is_some() {}
        } else {
            first = None;
        }
        assert_eq!(call().await.unwrap().status(), StatusCode::OK);
        drop(first);
    }
}
