//! What clients see of the limits through the token budget: whole responses, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::time::Duration;

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Mode, Policy, Resource, Window};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::{CallFailed, ModelRoute, TokenBudgetLayer};
use flashops_tower::inspect::WireFormat;
use flashops_tower::reject::headers::{Family, Headers};
use flashops_tower::reject::{Dialect, NotDispatched};
use http::{Request, Response};
use http_body_util::BodyExt;
use support::{AnyBody, Everybody, Layered, ask, complete, full, json, layered};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceExt};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const REWRITE: &str = "/api/v1/ai/rewrite";

type Service = BoxCloneService<Request<AnyBody>, Response<Layered>, BoxError>;

fn minute() -> Window {
    Window::Sliding(Duration::from_secs(60))
}

fn limits() -> Vec<Limit> {
    vec![
        Limit::new("rpm", Scope::User, Resource::Requests, 2, minute()).unwrap(),
        Limit::new("tpm", Scope::Org, Resource::Tokens, 10_000, minute()).unwrap(),
        Limit::new("soft", Scope::User, Resource::Tokens, 50, minute()).unwrap().with_mode(Mode::Warn),
        Limit::new("dark", Scope::User, Resource::Tokens, 10, minute()).unwrap().with_mode(Mode::Shadow),
    ]
}

fn layer(limits: Vec<Limit>) -> TokenBudgetLayer<MemoryStore<ManualClock>, Everybody> {
    let budget = Budget::in_memory(Policy::new(limits).unwrap(), ManualClock::new());
    let rewrite = ModelRoute::new(REWRITE, WireFormat::OpenAiChat).unwrap().with_dialect(Dialect::Problem);
    let routes = [vec![rewrite], ModelRoute::standard()].concat();
    TokenBudgetLayer::new(budget, Everybody(Caller::new("ann", "acme"))).with_routes(routes)
}

fn service(limits: Vec<Limit>) -> Service {
    layered(layer(limits), |_| ready(Ok(json(complete(30, 10)))))
}

async fn send(service: &Service, path: &str) -> Response<Layered> {
    let mut request = ask(path, full(r#"{"model":"gpt-4o","max_tokens":100}"#.to_owned()));
    request.headers_mut().insert("x-request-id", "req-7".parse().unwrap());
    service.clone().oneshot(request).await.unwrap()
}

/// A whole response as text: status, headers by name, body.
async fn golden(response: Response<Layered>) -> String {
    let mut headers: Vec<String> =
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    format!("{status}\n{}\n\n{}", headers.join("\n"), str::from_utf8(&body).unwrap())
}

#[tokio::test]
async fn a_success_tells_of_every_limit_but_those_in_shadow() {
    let response = send(&service(limits()), CHAT).await;
    // The request has 35 bytes and asks for 100 tokens: 135 are held, of which the one that warns has 50.
    assert_eq!(
        golden(response).await,
        r#"200
content-type: application/json
flashops-warning: "soft"
ratelimit-policy: "rpm";q=2;w=60, "soft";q=50;qu="tokens";w=60, "tpm";q=10000;qu="tokens";w=60
ratelimit: "rpm";r=1;t=60, "soft";r=0;t=60, "tpm";r=9865;t=60

{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":30,"completion_tokens":10,"total_tokens":40}}"#
    );
}

async fn refused(path: &str) -> String {
    let service = service(limits());
    for _ in 0..2 {
        send(&service, path).await.into_body().collect().await.unwrap();
    }
    golden(send(&service, path).await).await
}

#[tokio::test]
async fn a_refusal_for_a_client_of_openai() {
    assert_eq!(
        refused(CHAT).await,
        r#"429
cache-control: no-store
content-type: application/json
ratelimit-policy: "rpm";q=2;w=60
ratelimit: "rpm";r=0;t=60
retry-after-ms: 60000
retry-after: 60
x-request-id: req-7

{"error":{"message":"Rate limit reached for rpm on requests per user: Limit 2, Used 2, Requested 1. Please try again in 1m0s.","type":"requests","param":null,"code":"rate_limit_exceeded","request_id":"req-7"}}"#
    );
}

#[tokio::test]
async fn a_refusal_for_a_client_of_anthropic() {
    assert_eq!(
        refused(MESSAGES).await,
        r#"429
cache-control: no-store
content-type: application/json
ratelimit-policy: "rpm";q=2;w=60
ratelimit: "rpm";r=0;t=60
request-id: req-7
retry-after-ms: 60000
retry-after: 60
x-request-id: req-7

{"type":"error","error":{"type":"rate_limit_error","message":"Rate limit reached for rpm on requests per user: Limit 2, Used 2, Requested 1. Please try again in 1m0s."},"request_id":"req-7"}"#
    );
}

#[tokio::test]
async fn a_refusal_as_a_problem() {
    assert_eq!(
        refused(REWRITE).await,
        r#"429
cache-control: no-store
content-type: application/problem+json
ratelimit-policy: "rpm";q=2;w=60
ratelimit: "rpm";r=0;t=60
retry-after-ms: 60000
retry-after: 60
x-request-id: req-7

{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"detail":"Rate limit reached for rpm on requests per user: Limit 2, Used 2, Requested 1. Please try again in 1m0s.","instance":"urn:flashops:request:req-7","code":"rate_limit_exceeded","violated-policies":["rpm"]}"#
    );
}

#[tokio::test]
async fn a_spent_budget_is_no_rate_and_asks_for_no_retry() {
    let month = Limit::new("grant", Scope::Org, Resource::Tokens, 150, Window::Lifetime).unwrap();
    let service = service(vec![month]);
    send(&service, CHAT).await.into_body().collect().await.unwrap();
    let response = golden(send(&service, CHAT).await).await;
    assert!(response.starts_with("429\n") && response.contains("insufficient_quota"), "{response}");
    assert!(response.contains("x-should-retry: false") && !response.contains("retry-after"), "{response}");
}

#[tokio::test]
async fn requests_in_progress_beyond_their_number_are_told_that_the_service_is_crowded() {
    let limits = vec![Limit::concurrency("streams", Scope::User, 1).unwrap()];
    let service = layered(layer(limits), |_| std::future::pending());
    let mut first = Box::pin(send(&service, CHAT));
    assert!(futures_util::poll!(&mut first).is_pending());
    let response = golden(send(&service, CHAT).await).await;
    assert!(response.starts_with("503\n") && response.contains("retry-after: 1\n"), "{response}");
    drop(first);
    assert!(futures_util::poll!(Box::pin(send(&service, CHAT))).is_pending(), "there is room again");
}

#[tokio::test]
async fn a_service_chooses_its_families() {
    let policy = Policy::new(limits()).unwrap();
    let headers = Headers::new(&policy, [Family::Legacy, Family::OpenAi, Family::Anthropic]);
    let service = layered(layer(limits()).with_headers(headers), |_| ready(Ok(json(complete(30, 10)))));
    let response = send(&service, CHAT).await;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("ratelimit"), None);
    assert_eq!(header("x-ratelimit-limit"), Some("2"));
    assert_eq!(header("x-ratelimit-reset"), Some("1767225660"));
    assert_eq!(header("x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(header("x-ratelimit-remaining-tokens"), Some("9865"));
    assert_eq!(header("anthropic-ratelimit-requests-reset"), Some("2026-01-01T00:01:00Z"));
}

#[tokio::test]
async fn a_refusal_further_inside_tells_of_its_own_limits_only() {
    let answer = |_| {
        let mut response = json("{}".to_owned());
        response.headers_mut().insert("ratelimit", r#""inner";r=0"#.parse().unwrap());
        response.extensions_mut().insert(NotDispatched);
        ready(Ok(response))
    };
    let response = send(&layered(layer(limits()), answer), CHAT).await;
    let told: Vec<_> = response.headers().get_all("ratelimit").iter().collect();
    assert_eq!(told, [r#""inner";r=0"#]);
    assert!(!response.headers().contains_key("flashops-warning"));
}

#[tokio::test]
async fn a_call_that_somebody_inside_caught_failing_is_charged_as_sent() {
    let layer = layer(limits());
    let answer = |_| {
        let mut response = json("{}".to_owned());
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response.extensions_mut().insert(CallFailed);
        ready(Ok(response))
    };
    let service = layered(layer, answer);
    send(&service, CHAT).await;
    let second = send(&service, CHAT).await;
    // Two requests, of which the first cost its 35 bytes and the second holds 135 tokens.
    assert!(second.headers()["ratelimit"].to_str().unwrap().contains(r#""tpm";r=9830"#));
}
