//! Health answers, word by word.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use flashops_axum::handler::{
    SeesAll, health, health_detailed, health_liveness, health_readiness, livez, livez_check, readyz, readyz_check,
};
use flashops_core::caller::Caller;
use flashops_core::clock::{Moment, Tick, UnixSeconds};
use flashops_core::health::{Check, Component, Finding, Group, HealthRegistry};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// 2026-11-20T10:23:43Z.
const THEN: UnixSeconds = UnixSeconds(1_795_170_223);

const SECRET: &str = "redis://secret@host is down";

/// `ping` in all groups, and more checks for readiness that have answered this.
async fn registry<const N: usize>(found: [(&'static str, Finding); N]) -> HealthRegistry {
    let registry = HealthRegistry::new();
    registry.register(Check::ping()).unwrap();
    for (name, finding) in found {
        let check = Check::new(name, move || std::future::ready(finding.clone()));
        registry.register(check.with_start_delay(Duration::ZERO).with_affected(["/v1/chat/{anything}"])).unwrap();
    }
    for mut run in registry.start_due(Tick::ZERO) {
        let finding = (&mut run).await;
        run.finish(finding, Moment { tick: Tick::from_nanos(3_100_000), unix: THEN });
    }
    registry
}

fn app(registry: &HealthRegistry) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/livez/{name}", get(livez_check))
        .route("/readyz/{name}", get(readyz_check))
        .route("/health", get(health))
        .route("/health/detailed", get(health_detailed))
        .route("/health/liveness", get(health_liveness))
        .route("/health/readiness", get(health_readiness))
        .with_state(registry.clone())
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn ask(registry: &HealthRegistry, request: Request<Body>) -> (u16, HeaderMap, String) {
    let (head, body) = app(registry).oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn text(registry: &HealthRegistry, path: &str) -> (u16, String) {
    let (status, headers, body) = ask(registry, request(path)).await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    (status, body)
}

async fn json(registry: &HealthRegistry, request: Request<Body>) -> (u16, Value) {
    let (status, headers, body) = ask(registry, request).await;
    assert_eq!(
        (&headers["content-type"], &headers["cache-control"]),
        (&"application/health+json".parse().unwrap(), &"no-store".parse().unwrap())
    );
    (status, serde_json::from_str(&body).unwrap())
}

fn said(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn probes_answer_as_those_of_kubernetes_do() {
    let well = registry([("bad", Finding::pass())]).await;
    for (path, expected) in [
        ("/readyz", "ok"),
        ("/readyz?verbose", "[+]ping ok\n[+]bad ok\nreadyz check passed\n"),
        ("/livez?a=b&verbose=true", "[+]ping ok\nlivez check passed\n"),
        ("/readyz?exclude=bad", "ok"),
        ("/readyz/bad", "ok"),
        ("/livez/ping", "ok"),
    ] {
        assert_eq!(text(&well, path).await, said(200, expected), "{path}");
    }
    for path in ["/livez/bad", "/readyz/nope", "/readyz/a%20b"] {
        assert_eq!(text(&well, path).await, said(404, "404 page not found\n"), "{path}: it is not in this group");
    }
}

#[tokio::test]
async fn a_probe_that_fails_names_the_checks_and_withholds_the_reason() {
    let ill = registry([("bad", Finding::fail(SECRET))]).await;
    let failed = said(503, "[+]ping ok\n[-]bad failed: reason withheld\nreadyz check failed\n");
    assert_eq!(text(&ill, "/readyz").await, failed, "with details whether or not they are asked for");
    assert_eq!(text(&ill, "/readyz?verbose").await, failed);
    assert_eq!(text(&ill, "/livez").await, said(200, "ok"), "a restart would not help");
    assert_eq!(text(&ill, "/readyz/ping").await, said(200, "ok"));
    assert_eq!(text(&ill, "/readyz/bad").await, said(503, "internal server error: reason withheld\n"));
    let mut by_operator = request("/readyz/bad");
    by_operator.extensions_mut().insert(SeesAll);
    let (status, _, body) = ask(&ill, by_operator).await;
    assert_eq!((status, body), said(503, &format!("internal server error: {SECRET}\n")));
}

#[tokio::test]
async fn an_excluded_check_does_not_count_and_one_that_is_not_there_is_told() {
    let ill = registry([("bad", Finding::fail(SECRET))]).await;
    assert_eq!(text(&ill, "/readyz?exclude=bad").await, said(200, "ok"));
    let excluded = "[+]ping ok\n[+]bad excluded: ok\nreadyz check passed\n";
    assert_eq!(text(&ill, "/readyz?verbose=true&exclude=bad").await, said(200, excluded));
    let both = "[+]ping excluded: ok\n[+]bad excluded: ok\nreadyz check passed\n";
    assert_eq!(text(&ill, "/readyz?verbose&exclude=bad&exclude=ping").await, said(200, both));

    let well = registry([]).await;
    let warned =
        "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"nope\"\nreadyz check passed\n";
    assert_eq!(text(&well, "/readyz?verbose=true&exclude=nope").await, said(200, warned));
    let (_, hostile) = text(&well, "/readyz?verbose&exclude=%0A%22x&exclude=b").await;
    assert!(hostile.contains("no matches for \"\\n\\\"x\",\"b\"\n"), "{hostile}");
}

#[tokio::test]
async fn a_warning_keeps_the_traffic() {
    let warned = registry([("cache", Finding::warn("slow"))]).await;
    assert_eq!(text(&warned, "/readyz").await, said(200, "ok"));
    for path in ["/health", "/health/readiness"] {
        assert_eq!(json(&warned, request(path)).await, (200, json!({"status": "warn"})), "{path}");
    }
    assert_eq!(json(&warned, request("/health/liveness")).await, (200, json!({"status": "pass"})));
}

#[tokio::test]
async fn the_state_is_told_to_everybody_without_details() {
    let ill = registry([("redis", Finding::fail(SECRET))]).await;
    for path in ["/health", "/health/readiness", "/health/detailed"] {
        assert_eq!(json(&ill, request(path)).await, (503, json!({"status": "fail"})), "{path}");
    }
    let mut by_a_user = request("/health/detailed");
    by_a_user.extensions_mut().insert(Caller::new("ann", "acme"));
    assert_eq!(json(&ill, by_a_user).await, (503, json!({"status": "fail"})));
    assert_eq!(json(&ill, request("/health/liveness")).await, (200, json!({"status": "pass"})));
}

#[tokio::test]
async fn those_who_may_see_every_check_with_its_state_and_latency() {
    let ill = registry([("redis", Finding::fail(SECRET)), ("disk", Finding::pass())]).await;
    ill.register(Check::new("new", std::future::pending::<Finding>).with_component(Component::System)).unwrap();
    let (mut by_network, mut by_key) = (request("/health/detailed"), request("/health/detailed"));
    by_network.extensions_mut().insert(SeesAll);
    by_key.extensions_mut().insert(Caller::admin("root", "ops"));
    let reading = json!({"componentType": "component", "observedValue": 3.1, "observedUnit": "ms", "time": "2026-11-20T10:23:43Z"});
    let with = |more: Value| {
        let mut all = reading.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let expected = json!({"status": "fail", "checks": {
        "ping": [{"componentType": "component", "status": "pass"}],
        "redis:responseTime": [with(json!({"status": "fail", "output": SECRET, "affectedEndpoints": ["/v1/chat/{anything}"]}))],
        "disk:responseTime": [with(json!({"status": "pass"}))],
        "new": [{"componentType": "system", "status": "fail", "output": "it has not been asked yet"}],
    }});
    assert_eq!(json(&ill, by_network).await, (503, expected.clone()));
    assert_eq!(json(&ill, by_key).await, (503, expected));
}

#[tokio::test]
async fn a_service_that_shuts_down_is_alive_and_gets_no_traffic() {
    let registry = registry([]).await;
    registry.shut_down();
    let failed = said(503, "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n");
    assert_eq!(text(&registry, "/readyz").await, failed);
    assert_eq!(text(&registry, "/livez").await, said(200, "ok"));
    assert_eq!(registry.report().status(Group::Startup), flashops_core::health::Status::Pass);
}
