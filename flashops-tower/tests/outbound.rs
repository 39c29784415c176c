//! The layers around an HTTP client that calls a provider over a socket.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::RateLimiter;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::MemoryStore;
use flashops_testkit::stub::StubProvider;
use flashops_tower::RateLimitLayer;
use flashops_tower::budget::RequestBody;
use flashops_tower::provider_limits::{ProviderLimits, ProviderLimitsLayer};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use support::{Everybody, Fixture};
use tower::{Service, ServiceBuilder, ServiceExt};

type Limiter = RateLimiter<MemoryStore<ManualClock>>;

fn limiter(fixture: &Fixture, amount: u64) -> Limiter {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let limit = Limit::new("calls", Scope::User, Resource::Requests, amount, hour).unwrap();
    RateLimiter::new(Policy::new(vec![limit]).unwrap(), fixture.clock.clone())
}

/// A client with layers around it, which is called by its own type: nothing is boxed.
trait Layered: Service<Request<Full<Bytes>>, Response = Response<Self::Body>, Error = Error> + Clone {
    type Body: Body<Data = Bytes, Error: std::fmt::Debug>;
}

impl<S, B> Layered for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Error> + Clone,
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    type Body = B;
}

/// All layers around a client.
fn client(fixture: &Fixture, limiter: &Limiter, limits: &ProviderLimits<ManualClock>) -> impl Layered + use<> {
    let client: Client<HttpConnector, RequestBody<Full<Bytes>>> = Client::builder(TokioExecutor::new()).build_http();
    ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter.clone(), Everybody(fixture.caller.clone())))
        .layer(fixture.layer().with_held_extension().with_sent(|error: &Error| !error.is_connect()))
        .layer(ProviderLimitsLayer::new(limits.clone()))
        .service(client)
}

fn chat(base: &str, prompt: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"gpt-4o-mini","stream":{stream},"max_tokens":50,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    Request::post(format!("{base}/v1/chat/completions")).body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn around_a_client_calls_and_streams_are_metered_to_the_token() {
    let provider = StubProvider::start().await.unwrap();
    let fixture = Fixture::new(1);
    let (limiter, limits) = (limiter(&fixture, 100), ProviderLimits::new(fixture.clock.clone()));
    let client = client(&fixture, &limiter, &limits);
    for stream in [false, true] {
        let answer =
            client.clone().oneshot(chat(&provider.base_url(), "tell me more [reply 7]", stream)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers()["ratelimit"].to_str().unwrap().contains(r#""tokens";r="#), "how our own limits stand");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(stream, text.ends_with(b"data: [DONE]\n\n"));
        assert!(!stream || !text.windows(13).any(|part| part == b"prompt_tokens"), "nobody asked for the usage");
    }
    provider.idle().await;
    let sums = provider.sums();
    assert_eq!((sums.answers, sums.prompt_tokens, sums.completion_tokens), (2, 10, 14));
    assert_eq!((fixture.used(), fixture.held()), ((24, 2), 0));
}

#[tokio::test]
async fn what_a_layer_refuses_never_reaches_the_provider() {
    let provider = StubProvider::start().await.unwrap();
    let fixture = Fixture::new(1);
    let (limiter, limits) = (limiter(&fixture, 1), ProviderLimits::new(fixture.clock.clone()));
    let client = client(&fixture, &limiter, &limits);
    let call = || client.clone().oneshot(chat(&provider.base_url(), "hi [reply 1]", false));
    assert_eq!(call().await.unwrap().status(), StatusCode::OK);
    let refused = call().await.unwrap();
    assert_eq!((refused.status(), provider.requests().total()), (StatusCode::TOO_MANY_REQUESTS, 1));
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(br#"{"error":{"message":"Rate limit reached for calls"#), "in the provider's dialect");
}

#[tokio::test]
async fn what_a_provider_says_over_a_socket_holds_its_next_call_back() {
    let provider = StubProvider::start().await.unwrap();
    let fixture = Fixture::new(1);
    let (limiter, limits) = (limiter(&fixture, 100), ProviderLimits::new(fixture.clock.clone()));
    let client = client(&fixture, &limiter, &limits);
    let base = provider.base_url();
    let call = |prompt| client.clone().oneshot(chat(&base, prompt, true));
    let first = call("hi [reply 3] [requests-left 0] [reset 30]").await.unwrap();
    assert_eq!(first.headers()["x-ratelimit-reset-requests"], "30s");
    let refused = call("hi [reply 3]").await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"30".parse().unwrap())
    );
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(call("hi [fail 429] [retry-after 5]").await.unwrap().headers()["retry-after"], "5");
    assert_eq!(call("hi [reply 3]").await.unwrap().headers()["retry-after"], "5");
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(call("hi [reply 3]").await.unwrap().status(), StatusCode::OK);
    assert_eq!((provider.requests().total(), limits.stats().refused), (3, 2));
}

#[tokio::test]
async fn a_call_that_never_left_is_given_back_and_its_error_is_the_clients() {
    let fixture = Fixture::new(1);
    let (limiter, limits) = (limiter(&fixture, 100), ProviderLimits::new(fixture.clock.clone()));
    let provider = StubProvider::start().await.unwrap();
    let base = provider.base_url();
    provider.shutdown().await;
    let error = client(&fixture, &limiter, &limits).oneshot(chat(&base, "hi", false)).await.err().unwrap();
    assert!(error.is_connect(), "{error}");
    assert_eq!((fixture.used(), fixture.held()), ((0, 0), 0));
}
