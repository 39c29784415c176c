//! Health answers, word by word.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use flashops_axum::handler::{health, liveness, readiness};
use flashops_core::health::{Finding, Group, HealthRegistry};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

fn registry(cache: Finding) -> HealthRegistry {
    let registry = HealthRegistry::new();
    registry.register("ping", &[Group::Liveness, Group::Readiness], Finding::pass).unwrap();
    registry.register("cache", &[Group::Readiness], move || cache.clone()).unwrap();
    registry
}

async fn ask(registry: &HealthRegistry, path: &str) -> (u16, HeaderMap, String) {
    let app = Router::new()
        .route("/livez", get(liveness))
        .route("/readyz", get(readiness))
        .route("/health", get(health))
        .with_state(registry.clone());
    let response = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn text(registry: &HealthRegistry, path: &str) -> (u16, String) {
    let (status, headers, body) = ask(registry, path).await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    (status, body)
}

fn said(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test]
async fn probes_answer_as_those_of_kubernetes_do() {
    let well = registry(Finding::pass());
    assert_eq!(text(&well, "/readyz").await, said(200, "ok"));
    assert_eq!(text(&well, "/readyz?verbose").await, said(200, "[+]ping ok\n[+]cache ok\nreadyz check passed\n"));
    assert_eq!(text(&well, "/livez?a=b&verbose=true").await, said(200, "[+]ping ok\nlivez check passed\n"));

    let ill = registry(Finding::fail("redis://secret@host is down"));
    let failed = said(503, "[+]ping ok\n[-]cache failed: reason withheld\nreadyz check failed\n");
    assert_eq!(text(&ill, "/readyz").await, failed, "with details whether or not they are asked for");
    assert_eq!(text(&ill, "/readyz?verbose").await, failed);
    assert_eq!(text(&ill, "/livez").await, said(200, "ok"), "a restart would not help");
}

#[tokio::test]
async fn a_warning_keeps_the_traffic() {
    let warned = registry(Finding::warn("slow"));
    assert_eq!(text(&warned, "/readyz").await, said(200, "ok"));
    let (status, headers, body) = ask(&warned, "/health").await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"warn"}"#));
    assert_eq!(headers["content-type"], "application/health+json");
}

#[tokio::test]
async fn the_state_is_told_without_details() {
    let ill = registry(Finding::fail("redis://secret@host is down"));
    let (status, headers, body) = ask(&ill, "/health").await;
    assert_eq!((status, body.as_str()), (503, r#"{"status":"fail"}"#));
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_service_that_shuts_down_is_alive_and_gets_no_traffic() {
    let registry = registry(Finding::pass());
    registry.shut_down();
    let (status, body) = text(&registry, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("[-]shutdown failed: reason withheld"), "{body}");
    assert_eq!(text(&registry, "/livez").await, said(200, "ok"));
}
