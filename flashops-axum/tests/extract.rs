//! Who is asking, and what a handler does with its budget.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use flashops_axum::extract::{CallerBudget, CurrentCaller};
use flashops_axum::peer::peer_addr;
use flashops_axum::response::Refused;
use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::record::Ending;
use flashops_core::store::{MemoryStore, Standing};
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use flashops_tower::identify::{ApiKeys, IdentifyError};
use flashops_tower::rate_limit::RateLimitLayer;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

type Memory = MemoryStore<ManualClock>;

async fn whoami(CurrentCaller(caller): CurrentCaller) -> String {
    caller.user().to_owned()
}

async fn perhaps(caller: Option<CurrentCaller>) -> String {
    caller.map_or("nobody".to_owned(), |caller| caller.user().to_owned())
}

/// What is left of ann's tightest limit.
async fn left(budget: CallerBudget<Memory>) -> String {
    let standings = budget.standings().await.unwrap();
    format!("{} has {}", budget.caller().user(), standings.iter().map(Standing::remaining).min().unwrap())
}

/// A job of 100 tokens in and as many out as the body says, which uses 7.
async fn job(budget: CallerBudget<Memory>, body: String) -> Result<String, Refused> {
    let output = OutputCap::new(Tokens::saturating(body.parse().unwrap()));
    let estimate = Estimate::new(InputBound::bytes(100), output);
    let reserved = budget.reserve("/jobs", "gpt-4o-mini", estimate).await;
    let mut call = reserved.map_err(|error| budget.refused(&error))?;
    call.dispatched();
    call.settle(&Usage::estimated(Tokens::saturating(3), Tokens::saturating(4)), Ending::Complete);
    Ok("done".to_owned())
}

/// A job that nobody finishes.
async fn abandoned(budget: CallerBudget<Memory>) -> Result<String, Refused> {
    let estimate = Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(50)));
    let call = budget.reserve("/jobs", "gpt-4o-mini", estimate).await;
    call.map(|_| "never sent".to_owned()).map_err(|error| budget.refused(&error))
}

fn budget() -> Budget<Memory> {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let tokens = Limit::new("tokens", Scope::User, Resource::Tokens, 1_000, hour.clone()).unwrap();
    let cost = Limit::new("cost", Scope::Org, Resource::Cost, 1_000_000_000, hour).unwrap();
    Budget::in_memory(Policy::new(vec![tokens, cost]).unwrap(), ManualClock::new())
}

fn app(budget: Budget<Memory>) -> Router {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/perhaps", get(perhaps))
        .route("/left", get(left))
        .route("/jobs", post(job))
        .route("/v1/messages", post(job))
        .route("/abandoned", post(abandoned))
        .with_state(budget)
}

fn as_ann(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Caller::new("ann", "acme"));
    request
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn ask_for(path: &str, output: u64) -> Request<Body> {
    as_ann(Request::post(path).header("x-request-id", "req-7").body(Body::from(output.to_string())).unwrap())
}

async fn text(app: &Router, request: Request<Body>) -> (u16, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn problem(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn said(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn a_handler_gets_the_caller_that_a_layer_identified() {
    let limiter = RateLimiter::new(Policy::new(vec![]).unwrap(), ManualClock::new());
    let keys = ApiKeys::new(|key: &str| (key == "sk-ann").then(|| Caller::new("ann", "acme")));
    let app = app(budget()).layer(RateLimitLayer::new(limiter, keys).with_caller_extension());
    let mut with_key = request("/whoami");
    with_key.headers_mut().insert("x-api-key", "sk-ann".parse().unwrap());
    assert_eq!(text(&app, with_key).await, said(200, "ann"));
    assert_eq!(text(&app, request("/perhaps")).await, said(200, "0.0.0.0"));
}

#[tokio::test]
async fn without_a_layer_there_is_no_caller_and_that_is_a_fault_of_the_service() {
    let app = app(budget());
    assert_eq!(text(&app, request("/perhaps")).await, said(200, "nobody"));
    for path in ["/whoami", "/left"] {
        let (status, body) = text(&app, request(path)).await;
        assert_eq!(status, 500);
        assert!(body.contains("put it behind a flashops layer"), "{body}");
    }
}

#[tokio::test]
async fn the_address_that_axum_knows_is_that_of_an_anonymous_caller() {
    let limiter = RateLimiter::new(Policy::new(vec![]).unwrap(), ManualClock::new());
    let keys = ApiKeys::new(|_: &str| None);
    let app = app(budget()).layer(RateLimitLayer::new(limiter, keys).with_caller_extension()).layer(from_fn(peer_addr));
    let mut request = request("/whoami");
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>("192.0.2.7:1".parse().unwrap()));
    assert_eq!(text(&app, request).await, said(200, "192.0.2.7"));
}

#[tokio::test]
async fn a_job_by_hand_is_held_settled_and_seen() {
    let app = app(budget());
    assert_eq!(text(&app, as_ann(request("/left"))).await, said(200, "ann has 1000"));
    assert_eq!(text(&app, ask_for("/jobs", 900)).await, said(200, "done"));
    assert_eq!(text(&app, as_ann(request("/left"))).await, said(200, "ann has 993"));
}

#[tokio::test]
async fn a_job_that_is_never_sent_costs_nothing() {
    let app = app(budget());
    assert_eq!(text(&app, ask_for("/abandoned", 0)).await, said(200, "never sent"));
    assert_eq!(text(&app, as_ann(request("/left"))).await, said(200, "ann has 1000"));
}

#[tokio::test]
async fn a_refused_job_is_answered_like_a_layer_would() {
    let app = app(budget());
    let response = app.clone().oneshot(ask_for("/jobs", 901)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert_eq!(response.headers()["x-request-id"], "req-7");
    assert_eq!(response.headers()["ratelimit"], r#""tokens";r=1000"#);
    let body = problem(response).await;
    assert_eq!((body["status"].as_u64(), body["violated-policies"][0].as_str()), (Some(413), Some("tokens")));

    let response = app.oneshot(ask_for("/v1/messages", 901)).await.unwrap();
    assert_eq!(response.headers()["request-id"], "req-7");
    assert_eq!(problem(response).await["error"]["type"], "request_too_large", "in the dialect of its route");
}

#[tokio::test]
async fn a_rate_limit_around_a_handler_that_refuses_gives_its_count_back() {
    let minute = Window::Sliding(Duration::from_secs(60));
    let rpm = Limit::new("rpm", Scope::User, Resource::Requests, 1, minute).unwrap();
    let limiter = RateLimiter::new(Policy::new(vec![rpm]).unwrap(), ManualClock::new());
    let extension = |parts: &Parts| parts.extensions.get::<Caller>().cloned().ok_or(IdentifyError::Missing);
    let app = app(budget()).layer(RateLimitLayer::new(limiter, extension).with_caller_extension());
    for (output, status) in [(901, 413), (901, 413), (10, 200), (10, 429)] {
        assert_eq!(text(&app, ask_for("/jobs", output)).await.0, status);
    }
}

#[tokio::test]
async fn a_refusal_shows_its_status_when_it_is_debugged_and_nothing_else() {
    let budget = budget();
    let (mut parts, ()) = Request::get("/jobs").extension(Caller::new("ann", "acme")).body(()).unwrap().into_parts();
    let budget = CallerBudget::<Memory>::from_request_parts(&mut parts, &budget).await.unwrap();
    let estimate = Estimate::new(InputBound::bytes(5_000), OutputCap::new(Tokens::ZERO));
    let error = budget.reserve("/jobs", "gpt-4o-mini", estimate).await.unwrap_err();
    let refused = budget.refused(&error);
    assert_eq!(format!("{refused:?}"), "Refused(413)");
    assert_eq!(refused.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!format!("{budget:?}").contains("ann"));
}
