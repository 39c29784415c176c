//! What the rate limit counts, refuses and gives back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashops_core::budget::RateLimiter;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Mode, Policy, Resource, RoutePatterns, Window};
use flashops_core::record::{Event, Recorder};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::ModelRoute;
use flashops_tower::identify::{ApiKeys, Identify};
use flashops_tower::inspect::WireFormat;
use flashops_tower::rate_limit::RateLimitLayer;
use flashops_tower::reject::{Dialect, NotDispatched, RefusableBody};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use support::{AnyBody, Everybody, Fixture, ask, complete, full, json};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

type Limiter = RateLimiter<MemoryStore<ManualClock>>;
type Service = BoxCloneService<Request<AnyBody>, Response<RefusableBody<AnyBody>>, BoxError>;

fn minute() -> Window {
    Window::Sliding(Duration::from_secs(60))
}

fn limit(name: &str, scope: Scope, amount: u64) -> Limit {
    Limit::new(name, scope, Resource::Requests, amount, minute()).unwrap()
}

fn limiter(limits: Vec<Limit>) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::new(Policy::new(limits).unwrap(), clock.clone()), clock)
}

fn ann() -> Everybody {
    Everybody(Caller::new("ann", "acme"))
}

fn ann_under(limits: Vec<Limit>) -> RateLimitLayer<MemoryStore<ManualClock>, Everybody> {
    RateLimitLayer::new(limiter(limits).0, ann())
}

/// The layer around a service that says hello, and to `/inner` that it refused.
fn hello<I: Identify + Send + Sync + 'static>(layer: RateLimitLayer<MemoryStore<ManualClock>, I>) -> Service {
    let inner = service_fn(|request: Request<AnyBody>| {
        let mut response = Response::new(full("hello".to_owned()));
        if request.uri().path() == "/inner" {
            response.extensions_mut().insert(NotDispatched);
        }
        ready(if request.uri().path() == "/error" { Err(BoxError::from("broken")) } else { Ok(response) })
    });
    ServiceBuilder::new().layer(layer).service(inner).boxed_clone()
}

async fn get(service: &Service, path: &str) -> Response<RefusableBody<AnyBody>> {
    let request = Request::get(path).body(full(String::new())).unwrap();
    service.clone().oneshot(request).await.unwrap()
}

async fn statuses(service: &Service, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(get(service, path).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn requests_up_to_the_amount_pass_in_any_window_and_no_more() {
    let (limiter, clock) = limiter(vec![limit("rpm", Scope::User, 2)]);
    let service = hello(RateLimitLayer::new(limiter, ann()));
    assert_eq!(statuses(&service, &["/a", "/b", "/c"]).await, [200, 200, 429]);
    clock.advance(Duration::from_secs(59));
    assert_eq!(statuses(&service, &["/a"]).await, [429]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(statuses(&service, &["/a", "/b", "/c"]).await, [200, 200, 429]);
}

#[tokio::test]
async fn headers_tell_of_all_limits_on_success_and_of_those_that_refused() {
    let warns = limit("soft", Scope::User, 1).with_mode(Mode::Warn);
    let service = hello(ann_under(vec![limit("rpm", Scope::User, 2), limit("all", Scope::Global, 9), warns]));
    let first = get(&service, "/").await;
    assert_eq!(first.headers()["ratelimit-policy"], r#""rpm";q=2;w=60, "soft";q=1;w=60, "all";q=9;w=60"#);
    assert_eq!(first.headers()["ratelimit"], r#""rpm";r=1;t=60, "soft";r=0;t=61, "all";r=8;t=60"#);
    assert!(!first.headers().contains_key("flashops-warning"));
    let second = get(&service, "/").await;
    assert_eq!(second.headers()["flashops-warning"], r#""soft""#);
    let refused = get(&service, "/").await;
    assert_eq!(refused.headers()["ratelimit-policy"], r#""rpm";q=2;w=60"#);
    assert_eq!(refused.headers()["ratelimit"], r#""rpm";r=0;t=60"#);
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(
        refused.body().size_hint().exact(),
        Some(refused.into_body().collect().await.unwrap().to_bytes().len() as u64)
    );
}

#[tokio::test]
async fn a_refused_request_counts_under_no_limit() {
    let (limiter, _) = limiter(vec![limit("user", Scope::User, 1), limit("all", Scope::Global, 9)]);
    let service = hello(RateLimitLayer::new(limiter.clone(), ann()));
    assert_eq!(statuses(&service, &["/", "/", "/"]).await, [200, 429, 429]);
    let global = limiter.store().standings_now(&Scopes::new().with(Key::global()), limiter.policy().select(|_| true));
    assert_eq!(global[0].used, 1);
}

#[tokio::test]
async fn what_was_refused_further_inside_is_given_back_and_what_failed_is_not() {
    let service = hello(ann_under(vec![limit("rpm", Scope::User, 2)]));
    let inner = get(&service, "/inner").await;
    assert!(!inner.headers().contains_key("ratelimit"), "its own limits are told by whoever refused");
    assert_eq!(statuses(&service, &["/inner", "/inner"]).await, [200, 200]);
    let request = Request::get("/error").body(full(String::new())).unwrap();
    assert_eq!(service.clone().oneshot(request).await.unwrap_err().to_string(), "broken");
    assert_eq!(statuses(&service, &["/", "/"]).await, [200, 429]);
}

#[tokio::test]
async fn around_a_token_budget_a_refused_call_counts_nowhere() {
    let fixture = Fixture::new(1);
    let (limiter, _) = limiter(vec![limit("rpm", Scope::User, 1)]);
    let inner = fixture.service(|_| ready(Ok(json(complete(1, 1)))));
    let service = ServiceBuilder::new().layer(RateLimitLayer::new(limiter, ann())).service(inner);
    let send = |body: String| service.clone().oneshot(ask("/v1/chat/completions", full(body)));
    let huge = fixture.body.replace("\"max_tokens\":1", "\"max_tokens\":9000000");
    for _ in 0..3 {
        let refused = send(huge.clone()).await.unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refused.extensions().get::<NotDispatched>().is_some());
    }
    assert_eq!(send(fixture.body.clone()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(send(fixture.body.clone()).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn routes_that_call_a_model_are_left_to_the_token_budget() {
    let everywhere = limit("everywhere", Scope::User, 1).with_routes(["/**"]).unwrap();
    let calls = limit("calls", Scope::User, 0);
    let service = hello(ann_under(vec![everywhere, calls]).with_model_routes(ModelRoute::standard()));
    for _ in 0..3 {
        let request = ask("/v1/chat/completions", full(String::new()));
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("ratelimit"));
    }
    assert_eq!(statuses(&service, &["/v1/chat/completions", "/pets"]).await, [200, 429], "a GET calls no model");
}

#[tokio::test]
async fn without_model_routes_limits_without_routes_count_everywhere() {
    let service = hello(ann_under(vec![limit("rpm", Scope::User, 2)]));
    assert_eq!(statuses(&service, &["/v1/chat/completions", "/pets", "/pets"]).await, [200, 200, 429]);
}

#[tokio::test]
async fn a_limit_on_what_calls_no_model_counts_any_other_method_on_its_route_and_no_call() {
    let others = limit("others", Scope::User, 2).with_calls_model(false).unwrap();
    let (limiter, _) = limiter(vec![others, limit("calls", Scope::User, 9)]);
    let service = hello(RateLimitLayer::new(limiter.clone(), ann()).with_model_routes(ModelRoute::standard()));
    for _ in 0..5 {
        let call = service.clone().oneshot(ask("/v1/chat/completions", full(String::new()))).await.unwrap();
        assert_eq!(call.status(), StatusCode::OK);
    }
    assert_eq!(statuses(&service, &["/v1/chat/completions", "/v1/none", "/pets"]).await, [200, 200, 429]);
    let standings = limiter.store().standings_now(&ann().0.scopes(), limiter.policy().select(|_| true));
    assert_eq!(standings.iter().map(|one| one.used).collect::<Vec<_>>(), [2, 0]);
}

#[tokio::test]
async fn without_model_routes_nothing_is_told_apart() {
    let others = limit("others", Scope::User, 2).with_calls_model(false).unwrap();
    let pets = limit("pets", Scope::Global, 9).with_routes(["/pets"]).unwrap();
    let service = hello(ann_under(vec![others, pets]));
    assert_eq!(statuses(&service, &["/v1/chat/completions", "/pets", "/pets"]).await, [200, 200, 429]);
}

#[tokio::test]
async fn exempt_paths_are_neither_counted_nor_identified_however_they_are_spelled() {
    let nobody = ApiKeys::new(|_: &str| None);
    let (limiter, _) = limiter(vec![limit("rpm", Scope::User, 0)]);
    let exempt = RoutePatterns::new(["/livez", "/health/**"]).unwrap();
    let service = hello(RateLimitLayer::new(limiter, nobody).with_exempt(exempt));
    let statuses = statuses(&service, &["/livez", "/health", "/health/live", "/livezz", "/health/../pets"]).await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let unknown = Request::get("/livez").header("x-api-key", "sk-bob").body(full(String::new())).unwrap();
    assert_eq!(service.oneshot(unknown).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_limit_for_each_route_counts_each_and_every_spelling_of_it() {
    let service = hello(ann_under(vec![limit("route", Scope::Route, 1)]));
    assert_eq!(statuses(&service, &["/a", "/b", "/a", "/a/", "//a", "/%61"]).await, [200, 200, 429, 429, 429, 429]);
    let service = hello(ann_under(vec![limit("route", Scope::Route, 1)]));
    assert_eq!(statuses(&service, &["/inner", "/inner"]).await, [200, 200], "it is given back on its route too");
}

#[tokio::test]
async fn an_unknown_key_is_refused_in_the_dialect_of_the_route_whatever_the_method() {
    let keys = ApiKeys::new(|_: &str| None);
    let (limiter, _) = limiter(vec![limit("rpm", Scope::User, 9)]);
    let chat = ModelRoute::new("/api/v1/ai/chat", WireFormat::OpenAiChat).unwrap().with_dialect(Dialect::OpenAi);
    let service = hello(RateLimitLayer::new(limiter, keys).with_model_routes(vec![chat]));
    for (path, pointer) in [("/api/v1/ai/chat", "/error/code"), ("/pets", "/code"), ("/v1/messages", "/error/type")] {
        let request = Request::builder().method(Method::DELETE).uri(path).header("x-api-key", "sk-bob");
        let response = service.clone().oneshot(request.body(full(String::new())).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body.pointer(pointer).is_some(), "{path}: {body}");
    }
}

#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Recorder for Notes {
    fn record(&self, event: &Event<'_>) {
        let note = match event {
            Event::Threshold { call, crossing, policy, .. } => {
                format!("{} at {}: {}", policy.limit(crossing.limit).name(), call.route, crossing.used)
            }
            Event::Exceeded { call, limit, policy } => {
                format!("{} exceeded at {}", policy.limit(*limit).name(), call.route)
            }
            Event::Denied { call, denied, policy } => {
                format!("{} refused {} on {}", policy.limit(denied.limit).name(), call.caller.user(), call.route)
            }
            _ => return,
        };
        self.0.lock().unwrap().push(note);
    }
}

#[tokio::test]
async fn each_refusal_is_told_once_and_never_by_a_path_that_the_client_chose() {
    let notes = Notes::default();
    let limiter = limiter(vec![limit("rpm", Scope::User, 1)]).0.with_recorder(Arc::new(notes.clone()));
    let service = hello(RateLimitLayer::new(limiter, ann()));
    assert_eq!(statuses(&service, &["/a", "/b", "/c"]).await, [200, 429, 429]);
    assert_eq!(*notes.0.lock().unwrap(), ["rpm refused ann on other"; 2]);
}

#[tokio::test]
async fn a_threshold_is_told_once() {
    let notes = Notes::default();
    let half = limit("rpm", Scope::User, 4).with_thresholds([500]).unwrap();
    let limiter = limiter(vec![half]).0.with_recorder(Arc::new(notes.clone()));
    let service = hello(RateLimitLayer::new(limiter, ann()));
    statuses(&service, &["/a", "/b", "/c", "/d", "/e"]).await;
    assert_eq!(*notes.0.lock().unwrap(), ["rpm at /b: 2", "rpm refused ann on other"]);
}

#[tokio::test]
async fn a_limit_that_only_warns_is_told_of_when_it_is_exceeded() {
    let notes = Notes::default();
    let soft = limit("soft", Scope::User, 1).with_mode(Mode::Warn);
    let limiter = limiter(vec![limit("hard", Scope::User, 2), soft]).0.with_recorder(Arc::new(notes.clone()));
    let service = hello(RateLimitLayer::new(limiter, ann()));
    assert_eq!(statuses(&service, &["/a", "/b", "/c"]).await, [200, 200, 429]);
    assert_eq!(*notes.0.lock().unwrap(), ["soft exceeded at /b", "hard refused ann on other"]);
}
