//! What tower asks of a middleware: readiness, clones, and errors that pass.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::{AlwaysSent, RequestBody, TokenBudget, TokenBudgetLayer};
use flashops_tower::rate_limit::{RateLimit, RateLimitLayer};
use futures_util::FutureExt;
use http::{Request, Response};
use support::{Answer, AnyBody, Everybody, ask, complete, full, json};
use tower::{BoxError, Layer, Service, ServiceExt};

const CHAT: &str = "/v1/chat/completions";

/// A service of which only an instance that was found ready may be called, and once.
struct Strict {
    ready: bool,
    gate: Arc<AtomicBool>,
}

impl Strict {
    fn new(open: bool) -> (Self, Arc<AtomicBool>) {
        let gate = Arc::new(AtomicBool::new(open));
        (Self { ready: false, gate: Arc::clone(&gate) }, gate)
    }
}

/// A clone is not ready.
impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, gate: Arc::clone(&self.gate) }
    }
}

impl<R> Service<R> for Strict {
    type Response = Answer;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = self.gate.load(Ordering::Relaxed);
        if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: R) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        std::future::ready(Ok(json(complete(1, 1))))
    }
}

/// A service that fails when asked whether it is ready.
#[derive(Clone)]
struct Broken;

impl<R> Service<R> for Broken {
    type Response = Answer;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("out of order".into()))
    }

    fn call(&mut self, _: R) -> Self::Future {
        unreachable!("it is never ready")
    }
}

type Store = MemoryStore<ManualClock>;

fn policy() -> Policy {
    let minute = Window::Sliding(Duration::from_secs(60));
    Policy::new(vec![Limit::new("rpm", Scope::User, Resource::Requests, 100, minute).unwrap()]).unwrap()
}

fn ann() -> Everybody {
    Everybody(Caller::new("ann", "acme"))
}

fn budget() -> TokenBudgetLayer<Store, Everybody> {
    TokenBudgetLayer::new(Budget::in_memory(policy(), ManualClock::new()), ann())
}

fn rate_limit() -> RateLimitLayer<Store, Everybody> {
    RateLimitLayer::new(RateLimiter::new(policy(), ManualClock::new()), ann())
}

/// Requests on a route that calls a model, and on one that does not.
fn requests() -> [Request<AnyBody>; 2] {
    [CHAT, "/pets"].map(|path| ask(path, full(r#"{"model":"gpt-4o"}"#.to_owned())))
}

fn is_ready<S>(service: &mut S) -> bool
where
    S: Service<Request<AnyBody>, Error = BoxError>,
{
    service.ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

async fn only_the_ready_instance_is_called<S, R>(mut service: S, gate: Arc<AtomicBool>)
where
    S: Service<Request<AnyBody>, Response = Response<R>, Error = BoxError> + Clone,
{
    assert!(!is_ready(&mut service), "it is ready when the inner service is");
    gate.store(true, Ordering::Relaxed);
    for request in requests().into_iter().chain(requests()) {
        assert!(is_ready(&mut service));
        let call = service.call(request);
        let [meanwhile, _] = requests();
        assert!(service.clone().oneshot(meanwhile).await.unwrap().status().is_success());
        assert!(call.await.unwrap().status().is_success());
    }
}

#[tokio::test]
async fn the_instance_that_was_ready_makes_the_call_and_no_other() {
    let (strict, gate) = Strict::new(false);
    only_the_ready_instance_is_called(budget().layer(strict), gate).await;
    let (strict, gate) = Strict::new(false);
    only_the_ready_instance_is_called(rate_limit().layer(strict), gate).await;
    let (strict, gate) = Strict::new(false);
    only_the_ready_instance_is_called(rate_limit().layer(budget().layer(strict)), gate).await;
}

#[tokio::test]
#[should_panic(expected = "called without having been ready")]
async fn a_clone_shares_no_readiness() {
    let (strict, _gate) = Strict::new(true);
    let mut service = budget().layer(strict);
    assert!(is_ready(&mut service));
    let mut copy = service.clone();
    let [request, _] = requests();
    let _ = copy.call(request).await;
}

#[tokio::test]
async fn an_inner_service_that_cannot_become_ready_says_so_itself() {
    let [request, other] = requests();
    assert_eq!(budget().layer(Broken).oneshot(request).await.unwrap_err().to_string(), "out of order");
    assert_eq!(rate_limit().layer(Broken).oneshot(other).await.unwrap_err().to_string(), "out of order");
}

#[test]
fn a_future_that_waits_keeps_the_instance_that_was_ready() {
    let (strict, gate) = Strict::new(true);
    let mut service = budget().layer(strict);
    assert!(is_ready(&mut service));
    let (sender, body) = channel();
    let mut call = Box::pin(service.call(ask(CHAT, body)));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending(), "the body is not there yet");
    // Others find the service busy meanwhile.
    gate.store(false, Ordering::Relaxed);
    assert!(!is_ready(&mut service));
    sender.set(r#"{"model":"gpt-4o"}"#).unwrap();
    assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(response)) if response.status().is_success()));
}

/// A body that comes when it is set.
fn channel() -> (Arc<std::sync::OnceLock<&'static str>>, AnyBody) {
    use http_body_util::{BodyExt, StreamBody};
    let cell = Arc::new(std::sync::OnceLock::new());
    let (waits, mut sent) = (Arc::clone(&cell), false);
    let frames = futures_util::stream::poll_fn(move |_| match waits.get() {
        None => Poll::Pending,
        Some(_) if std::mem::replace(&mut sent, true) => Poll::Ready(None),
        Some(text) => Poll::Ready(Some(Ok::<_, BoxError>(http_body::Frame::data(bytes::Bytes::from(*text))))),
    });
    (cell, StreamBody::new(frames).boxed_unsync())
}

fn is_send<T: Send>() {}
fn is_shared<T: Send + Sync + Clone>() {}

#[test]
fn futures_and_bodies_go_to_other_threads_and_services_are_shared() {
    type Budgeted = TokenBudget<Strict, Store, Everybody, AlwaysSent>;
    type Limited = RateLimit<Strict, Store, Everybody>;
    is_send::<<Budgeted as Service<Request<AnyBody>>>::Future>();
    is_send::<<Limited as Service<Request<AnyBody>>>::Future>();
    is_send::<<Budgeted as Service<Request<AnyBody>>>::Response>();
    is_send::<<Limited as Service<Request<AnyBody>>>::Response>();
    is_send::<RequestBody<AnyBody>>();
    is_shared::<Budgeted>();
    is_shared::<Limited>();
    is_shared::<TokenBudgetLayer<Store, Everybody>>();
    is_shared::<RateLimitLayer<Store, Everybody>>();
}

#[tokio::test]
async fn an_error_of_the_inner_service_passes_unchanged() {
    #[derive(Debug, PartialEq)]
    struct Failure(u8);
    let inner = || tower::service_fn(|_| std::future::ready(Err::<Answer, _>(Failure(7))));
    for request in requests() {
        assert_eq!(budget().layer(inner()).oneshot(request).await.unwrap_err(), Failure(7));
    }
    for request in requests() {
        let inner = tower::service_fn(|_: Request<AnyBody>| std::future::ready(Err::<Answer, _>(Failure(7))));
        assert_eq!(rate_limit().layer(inner).oneshot(request).await.unwrap_err(), Failure(7));
    }
}

#[tokio::test]
async fn whoever_knows_that_nothing_was_sent_gets_the_call_back() {
    let budget = Budget::in_memory(policy(), ManualClock::new());
    let used = || budget.store().standings_now(&ann().0.scopes(), budget.policy().select(|_| true))[0].used;
    let not_connected = |error: &std::io::Error| error.kind() != std::io::ErrorKind::ConnectionRefused;
    let layer = TokenBudgetLayer::new(budget.clone(), ann()).with_sent(not_connected);
    for (kind, expected) in [(std::io::ErrorKind::ConnectionRefused, 0), (std::io::ErrorKind::ConnectionReset, 1)] {
        let inner = tower::service_fn(move |_| std::future::ready(Err::<Answer, _>(std::io::Error::from(kind))));
        let [request, _] = requests();
        layer.layer(inner).oneshot(request).await.unwrap_err();
        assert_eq!(used(), expected, "{kind}");
    }
}
