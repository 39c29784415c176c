//! The gate, from request to response.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::clock::{Moment, Tick};
use flashops_core::health::{Check, Finding, HealthRegistry};
use flashops_core::limit::RoutePatterns;
use flashops_tower::GateLayer;
use flashops_tower::budget::ModelRoute;
use flashops_tower::reject::NotDispatched;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A gate over a database that is up or down, and the calls that went through it.
struct Desk {
    health: HealthRegistry,
    down: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    asked: u64,
}

impl Desk {
    fn new(critical: bool) -> Self {
        let (health, down) = (HealthRegistry::new(), Arc::new(AtomicBool::new(false)));
        let state = Arc::clone(&down);
        let look = move || {
            let finding = if state.load(Ordering::Relaxed) { Finding::fail("refused") } else { Finding::pass() };
            std::future::ready(finding)
        };
        let check = Check::new("database", look).with_start_delay(Duration::ZERO);
        health.register(if critical { check } else { check.not_critical() }).unwrap();
        Self { health, down, calls: Arc::default(), asked: 0 }
    }

    /// The database goes up or down, and the check finds out.
    async fn turn(&mut self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
        self.asked += 3_600_000_000_000;
        let mut runs = self.health.start_due(Tick::from_nanos(self.asked));
        let mut run = runs.remove(0);
        let finding = (&mut run).await;
        run.finish(finding, Moment::default());
    }

    async fn send(&self, path: &str) -> Response<Bytes> {
        let calls = Arc::clone(&self.calls);
        let layer = GateLayer::new(self.health.clone())
            .with_exempt(RoutePatterns::new(["/readyz", "/readyz/*"]).unwrap())
            .with_routes(ModelRoute::standard());
        let service = ServiceBuilder::new().layer(layer).service(service_fn(move |_: Request<()>| {
            calls.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("served")))) }
        }));
        let request = Request::post(path).header("x-request-id", "r-1").body(()).unwrap();
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }
}

#[tokio::test]
async fn the_gate_sheds_while_a_critical_check_fails_and_lets_through_again() {
    let mut desk = Desk::new(true);
    assert_eq!(desk.send("/pets").await.status(), 200, "nothing is known yet");
    for (down, status) in [(false, 200), (true, 503), (false, 200), (true, 503)] {
        desk.turn(down).await;
        assert_eq!(desk.send("/pets").await.status(), status);
    }
    assert_eq!(desk.calls.load(Ordering::Relaxed), 3);
    for probe in ["/readyz", "/readyz/database", "//readyz/"] {
        assert_eq!(desk.send(probe).await.status(), 200, "{probe}");
    }
    assert_eq!(desk.send("/readyzz").await.status(), 503);
}

#[tokio::test]
async fn whoever_is_turned_away_is_told_in_the_dialect_of_the_route_and_counts_nowhere() {
    let mut desk = Desk::new(true);
    desk.turn(true).await;
    let message = r#""The service is overloaded. Please try again in 5s.""#;
    let openai = format!(
        r#"{{"error":{{"message":{message},"type":"server_error","param":null,"code":"overloaded","request_id":"r-1"}}}}"#
    );
    let anthropic =
        format!(r#"{{"type":"error","error":{{"type":"overloaded_error","message":{message}}},"request_id":"r-1"}}"#);
    for (path, body) in [("/v1/chat/completions", openai), ("/v1/messages", anthropic)] {
        let response = desk.send(path).await;
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"5".parse().unwrap()));
        assert!(response.extensions().get::<NotDispatched>().is_some());
        assert_eq!(response.into_body(), body, "{path}");
    }
}

#[tokio::test]
async fn a_check_that_is_not_critical_and_a_shutdown_close_nothing() {
    let mut desk = Desk::new(false);
    desk.turn(true).await;
    desk.health.shut_down();
    assert_eq!(desk.send("/pets").await.status(), 200);
}
