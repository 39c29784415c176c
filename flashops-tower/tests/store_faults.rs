//! What the layers answer while their store does not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::store::{Bounds, MemoryStore};
use flashops_tower::budget::TokenBudgetLayer;
use flashops_tower::rate_limit::RateLimitLayer;
use flashops_tower::reject::NotDispatched;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use support::faulty::{Fault, Faulty};
use support::{Answer, AnyBody, Everybody, ask, complete, full, json, layered};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

const CHAT: &str = "/v1/chat/completions";

fn ann() -> Everybody {
    Everybody(Caller::new("ann", "acme"))
}

fn policy() -> Policy {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let tokens = Limit::new("tokens", Scope::User, Resource::Tokens, 10_000, hour.clone()).unwrap();
    let requests = Limit::new("requests", Scope::User, Resource::Requests, 10, hour).unwrap();
    Policy::new(vec![tokens, requests]).unwrap()
}

fn budgeted(store: Arc<Faulty>) -> BoxCloneService<Request<AnyBody>, Response<AnyBody>, BoxError> {
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), ());
    let service = layered(TokenBudgetLayer::new(budget, ann()), |_| ready(Ok(json(complete(9, 5)))));
    service.map_response(|response| response.map(BodyExt::boxed_unsync)).boxed_clone()
}

fn limited(store: Arc<Faulty>) -> BoxCloneService<Request<AnyBody>, Response<AnyBody>, BoxError> {
    let inner = service_fn(|_: Request<AnyBody>| ready(Ok::<_, BoxError>(json(complete(9, 5)))));
    let layer = RateLimitLayer::new(RateLimiter::with_store(store), ann());
    let service = ServiceBuilder::new().layer(layer).service(inner);
    service.map_response(|response| response.map(BodyExt::boxed_unsync)).boxed_clone()
}

fn request() -> Request<AnyBody> {
    ask(CHAT, full(r#"{"model":"gpt-4o","max_tokens":50}"#.to_owned()))
}

/// What is used and held under each limit.
fn standing(store: &Faulty) -> Vec<(u64, u64)> {
    let caller = Caller::new("ann", "acme");
    let standings = store.inner.standings_now(&caller.scopes(), policy().select(|_| true));
    standings.iter().map(|one| (one.used, one.held)).collect()
}

async fn body<B: Body<Data = Bytes>>(response: Response<B>) -> serde_json::Value
where
    B::Error: std::fmt::Debug,
{
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_store_that_is_down_refuses_with_503_and_works_again_when_it_is_up() {
    for layered in [budgeted, limited] {
        let store = Arc::new(Faulty::new(policy()));
        let service = layered(Arc::clone(&store));
        for fault in [Fault::Down, Fault::LostAnswer] {
            store.set(fault);
            let response = service.clone().oneshot(request()).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()["retry-after"], "1");
            assert!(response.extensions().get::<NotDispatched>().is_some());
            let body = body(response).await;
            assert_eq!(body["error"]["code"], "limiter_unavailable");
            assert!(!body.to_string().contains("connection refused"), "nothing of the inside is shown");
        }
        store.set(Fault::None);
        assert_eq!(service.oneshot(request()).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_reservation_whose_answer_was_lost_holds_nothing() {
    let store = Arc::new(Faulty::new(policy()));
    store.set(Fault::LostAnswer);
    budgeted(Arc::clone(&store)).oneshot(request()).await.unwrap();
    assert_eq!(standing(&store), [(0, 0), (0, 0)]);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_reservation_is_made_leaves_nothing_behind() {
    let store = Arc::new(Faulty::new(policy()));
    store.set(Fault::Silent);
    let mut call = Box::pin(budgeted(Arc::clone(&store)).oneshot(request()));
    assert!(futures_util::poll!(&mut call).is_pending());
    assert_ne!(standing(&store), [(0, 0), (0, 0)], "it was made");
    drop(call);
    assert_eq!(standing(&store), [(0, 0), (0, 0)]);
}

#[tokio::test]
async fn nobody_is_called_while_the_store_is_silent() {
    let store = Arc::new(Faulty::new(policy()));
    store.set(Fault::Silent);
    let budget = Budget::new(Arc::clone(&store), Arc::new(PriceBook::embedded().clone()), ());
    let budgeted = layered(TokenBudgetLayer::new(budget, ann()), |_| async { unreachable!("nobody was asked") });
    let limited = ServiceBuilder::new()
        .layer(RateLimitLayer::new(RateLimiter::with_store(store), ann()))
        .service_fn(|_: Request<AnyBody>| async { unreachable!("nobody was asked") as Result<Answer, BoxError> });
    let (mut first, mut second) = (Box::pin(budgeted.oneshot(request())), Box::pin(limited.oneshot(request())));
    for _ in 0..3 {
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
    }
}

#[tokio::test]
async fn a_full_store_is_an_overloaded_service() {
    let mut bounds = Bounds::default();
    bounds.max_reservations = 1;
    let store = Arc::new(MemoryStore::with_bounds(Arc::new(policy()), ManualClock::new(), bounds));
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), ());
    let service = layered(TokenBudgetLayer::new(budget, ann()), |_| std::future::pending());
    let mut first = Box::pin(service.clone().oneshot(request()));
    assert!(futures_util::poll!(&mut first).is_pending());
    let response = service.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(response).await["error"]["code"], "overloaded");
    drop(first);
    assert!(futures_util::poll!(&mut Box::pin(service.oneshot(request()))).is_pending(), "there is room again");
}
