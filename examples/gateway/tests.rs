//! From a request to what clients see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use axum::Router;
use axum::body::{Body, to_bytes};
use flashops::core::config::{Config, NoSources};
use flashops_testkit::stub::StubProvider;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::json;
use tower::ServiceExt;

use super::admin::AdminAllow;
use super::app::app;
use super::provider::Providers;
use super::settings::{DEFAULTS, Settings, Upstream};

/// The gateway with the documented defaults, in front of providers at this address.
fn gateway(base_url: &str) -> Router {
    let upstream = || Upstream { base_url: Some(base_url.to_owned()), key: None };
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        config: Config::from_toml(DEFAULTS, &NoSources).unwrap(),
        openai: upstream(),
        anthropic: upstream(),
        admin: AdminAllow::loopback(),
        audit: false,
    };
    app(&settings, Providers::new(&settings, base_url).unwrap()).router
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
}

impl Answer {
    /// What the header of this name says, or nothing.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(gateway: &Router, method: Method, path: &str) -> Answer {
    let messages = json!([{"role": "user", "content": "one two [reply 3]"}]);
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 3, "messages": messages, "input": "one"}).to_string();
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
    let response = gateway.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: head.status, headers: head.headers }
}

#[tokio::test]
async fn whatever_calls_no_model_is_counted_by_the_default_limit_and_by_no_other() {
    let stub = StubProvider::start().await.unwrap();
    let gateway = gateway(&stub.base_url());
    let others = [
        (Method::GET, "/"),
        (Method::GET, "/docs"),
        (Method::GET, "/nowhere"),
        (Method::GET, "/api/v1/ai/usage"),
        (Method::GET, "/v1/chat/completions"),
        (Method::DELETE, "/v1/responses"),
        (Method::PUT, "/v1/embeddings"),
        (Method::GET, "/v1/messages"),
        (Method::GET, "/v1/models"),
        (Method::POST, "/v1/unknown"),
        (Method::GET, "/v1"),
        (Method::GET, "/api/v1/ai/chat"),
        (Method::PUT, "/api/v1/ai/rewrite"),
        (Method::GET, "/api/v1/ai//autocomplete"),
    ];
    for (count, (method, path)) in (1..).zip(&others) {
        let answer = send(&gateway, method.clone(), path).await;
        let left = format!("\"default-rpm\";r={};t=", 60 - count);
        let told = answer.header("ratelimit");
        assert!(told.starts_with(&left) && !told.contains(','), "{method} {path}: {told:?}");
    }
    for path in ["/livez", "/readyz", "/api/v1/health", "/api/v1/health/liveness", "/api/v1/ai/health"] {
        let answer = send(&gateway, Method::GET, path).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (StatusCode::OK, ""), "{path}");
    }
    for (path, left) in [("/v1/chat/completions", 4), ("/v1/messages", 3), ("/api/v1/ai/chat", 2)] {
        let answer = send(&gateway, Method::POST, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {:?}", answer.headers);
        let told = answer.header("ratelimit");
        assert!(told.contains(&format!("\"ai-rpm\";r={left};")) && !told.contains("default-rpm"), "{path}: {told}");
    }
    let left = 60 - others.len();
    for _ in 0..left {
        assert_eq!(send(&gateway, Method::GET, "/v1/messages").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(send(&gateway, Method::GET, "/v1/messages").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(&gateway, Method::GET, "/livez").await.status, StatusCode::OK);
    assert_eq!(send(&gateway, Method::POST, "/v1/messages").await.status, StatusCode::OK, "that is another limit");
    stub.shutdown().await;
}
