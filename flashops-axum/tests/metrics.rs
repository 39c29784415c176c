//! The page for Prometheus.
#![cfg(feature = "prometheus")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use flashops_axum::handler::{metrics, prometheus};
use flashops_axum::matched::matched_path;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::health::{HealthObserver, Status, Transition};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::{PriceBook, Prices};
use flashops_core::record::{Event, FallbackReason, FellBack};
use flashops_core::store::MemoryStore;
use flashops_testkit::exposition::series;
use flashops_testkit::stub;
use flashops_tower::TokenBudgetLayer;
use flashops_tower::app_metrics::{CacheHits, QueueLength};
use flashops_tower::call_metrics::{CallMetrics, GenAiNames};
use flashops_tower::health::HealthGauges;
use flashops_tower::http_metrics::HttpMetricsLayer;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// Where `cargo xtask test` finds the page, to show it to promtool.
const PAGE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt");

fn service() -> Router {
    let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
    let grant = Limit::new("grant", Scope::Org, Resource::Requests, 2, Window::Lifetime).unwrap();
    let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(vec![grant]).unwrap()), ManualClock::new()));
    let recorder = CallMetrics::new(prices.clone()).with_gen_ai([GenAiNames::LATEST, GenAiNames::V1_41]);
    let budget = Budget::new(store, prices, recorder);
    let fell = FellBack { route: "/", from: "a", to: "b", reason: FallbackReason::Provider };
    budget.recorder().record(&Event::FellBack(&fell));
    let ann = Caller::new("ann", "acme \"& sons\"\\\n");
    let budget = TokenBudgetLayer::new(budget, move |_: &http::request::Parts| Ok(ann.clone()));
    let model = |request: axum::extract::Request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        stub::respond(Request::from_parts(parts, body)).map(Body::new)
    };
    Router::new()
        .route("/v1/chat/completions", post(model))
        .route("/pets/{id}", get(|| async { "meow" }))
        .layer(budget)
        .layer(HttpMetricsLayer::new().with_route_of(matched_path))
}

async fn use_it(service: &Router) {
    for (stream, expected) in [(false, StatusCode::OK), (true, StatusCode::OK), (true, StatusCode::TOO_MANY_REQUESTS)] {
        let body = format!(
            r#"{{"model":"gpt-4o-mini","max_tokens":5,"stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let request = Request::post("/v1/chat/completions").body(Body::from(body)).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected);
        to_bytes(response.into_body(), usize::MAX).await.unwrap();
    }
    for path in ["/pets/7", "/pets/8", "/nowhere"] {
        let response = service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        to_bytes(response.into_body(), usize::MAX).await.unwrap();
    }
}

/// The page after some requests, with what the application counts itself.
fn page() -> (http::response::Parts, String) {
    let exporter = prometheus().build_recorder();
    let handle = exporter.handle();
    metrics::with_local_recorder(&exporter, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(use_it(&service()));
        let (cache, queue) = (CacheHits::new("answers"), QueueLength::new("invoices"));
        (0..3).for_each(|_| cache.hit());
        cache.miss();
        queue.set(4);
        let health = HealthGauges::new();
        for (check, to) in [("redis", Status::Fail), ("disk", Status::Warn), ("redis", Status::Pass)] {
            health.changed(&Transition { check, from: None, to, output: Some("why") });
        }
        metrics::describe_counter!("rag_query_total", "Queries of the application.");
        metrics::counter!("rag_query_total").increment(5);
        runtime.block_on(async {
            let page = Router::new().route("/api/v1/metrics", get(self::metrics)).with_state(handle);
            let asked = Request::get("/api/v1/metrics").body(Body::empty()).unwrap();
            let (head, body) = page.oneshot(asked).await.unwrap().into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            (head, String::from_utf8(body.to_vec()).unwrap())
        })
    })
}

#[test]
fn the_page_has_every_metric_in_the_text_format_and_promtool_gets_it() {
    let (head, text) = page();
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let series = series(&text).unwrap();
    let is_named = |name: &str| series.keys().any(|one| one.split('{').next() == Some(name));
    for name in [
        "openai_tokens_total",
        "openai_request_total",
        "ml_fallback_total",
        "flashops_cost_nanousd_total",
        "flashops_ratelimit_requests_total",
        "flashops_tokens_reserved_total",
        "flashops_tokens_settled_total",
        "flashops_estimate_used_ratio_bucket",
        "http_request_duration_seconds_bucket",
        "http_requests_in_flight",
        "flashops_health_status",
        "gen_ai_client_token_usage_bucket",
        "gen_ai_client_inference_usage_input_tokens_total",
        "gen_ai_client_inference_duration_seconds_bucket",
        "gen_ai_client_inference_time_to_first_chunk_seconds_bucket",
        "gen_ai_server_time_per_output_token_seconds_bucket",
    ] {
        assert!(is_named(name), "{name}\n{text}");
    }
    assert_eq!(series[r#"http_request_duration_seconds_count{method="GET",route="/pets/{id}",status="200"}"#], 2.0);
    fs::create_dir_all(Path::new(PAGE).parent().unwrap()).unwrap();
    fs::write(PAGE, text).unwrap();
}

#[test]
fn what_the_application_counts_is_on_the_same_page() {
    let series = series(&page().1).unwrap();
    assert_eq!(series["rag_query_total"], 5.0);
    let cache =
        |outcome: &str| series[&format!("flashops_cache_requests_total{{cache=\"answers\",outcome=\"{outcome}\"}}")];
    assert_eq!([cache("hit"), cache("miss")], [3.0, 1.0]);
    assert_eq!(series[r#"flashops_queue_length{queue="invoices"}"#], 4.0);
}

#[test]
fn the_gauge_of_a_check_is_what_it_changed_to_last() {
    let series = series(&page().1).unwrap();
    let gauge = |check: &str| series[&format!("flashops_health_status{{check=\"{check}\"}}")];
    assert_eq!([gauge("redis"), gauge("disk")], [1.0, 0.5]);
}

#[test]
fn buckets_reach_as_far_as_models_take_and_those_of_tokens_and_shares_are_their_own() {
    let series = series(&page().1).unwrap();
    let last = |name: &str| {
        let bounds = series.keys().filter(|one| one.starts_with(&format!("{name}_bucket")));
        let bound = |one: &String| one.rsplit_once("le=\"").unwrap().1.trim_end_matches("\"}").parse::<f64>().unwrap();
        bounds.map(bound).filter(|bound| bound.is_finite()).fold(0.0, f64::max)
    };
    assert_eq!(last("http_request_duration_seconds"), 327.68);
    assert_eq!(last("gen_ai_client_inference_duration_seconds"), 327.68);
    assert_eq!(last("gen_ai_client_token_usage"), 67_108_864.0);
    assert_eq!(last("gen_ai_server_time_per_output_token_seconds"), 2.5);
    assert_eq!(last("flashops_estimate_used_ratio"), 2.0);
}
