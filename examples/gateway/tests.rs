//! From a request to what clients see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use flashops::axum::handler::prometheus;
use flashops::core::alert::WebhookUrl;
use flashops::core::caller::Caller;
use flashops::core::clock::{Moment, Tick};
use flashops::core::config::{Config, NoSources};
use flashops::core::health::{Group, HealthRegistry, Status};
use flashops_testkit::redis_server::RedisServer;
use flashops_testkit::stub::StubProvider;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::channel;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower::ServiceExt;

use super::app::{App, app};
use super::provider::Providers;
use super::settings::{DEFAULTS, Settings, Upstream};

/// The gateway with the documented defaults and more, in front of providers at this address.
fn gateway(more: &str, base_url: &str) -> Router {
    started(more, base_url, "").router
}

/// The same with what it depends on.
fn started(more: &str, base_url: &str, depends_on: &str) -> App {
    configured(&format!("{DEFAULTS}{more}"), base_url, depends_on)
}

fn configured(config: &str, base_url: &str, depends_on: &str) -> App {
    started_with(Config::from_toml(config, &NoSources).unwrap(), base_url, depends_on)
}

fn started_with(config: Config, base_url: &str, depends_on: &str) -> App {
    let upstream = || Upstream { base_url: Some(base_url.to_owned()), key: None };
    let settings = Settings {
        config,
        dependencies: depends_on.split_whitespace().map(|text| text.parse().unwrap()).collect(),
        ..settings_of(upstream(), upstream())
    };
    let exporter = prometheus().build_recorder().handle();
    app(&settings, Providers::new(&settings, base_url).unwrap(), exporter).unwrap()
}

/// The settings of a gateway with the documented defaults in front of these providers.
fn settings_of(openai: Upstream, anthropic: Upstream) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        config: Config::from_toml(DEFAULTS, &NoSources).unwrap(),
        openai,
        anthropic,
        audit: false,
        log_format: None,
        log_filter: None,
        dependencies: Vec::new(),
        shutdown_grace: Duration::ZERO,
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    /// What the header of this name says, or nothing.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(gateway: &Router, method: Method, path: &str) -> Answer {
    ask(gateway, method, path, "one two [reply 3]").await
}

async fn ask(gateway: &Router, method: Method, path: &str, prompt: &str) -> Answer {
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 3, "messages": messages, "input": "one"}).to_string();
    answered(gateway, Request::builder().method(method).uri(path).body(Body::from(body)).unwrap()).await
}

async fn answered(gateway: &Router, request: Request<Body>) -> Answer {
    let response = gateway.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, body }
}

#[tokio::test]
async fn whatever_calls_no_model_is_counted_by_the_default_limit_and_by_no_other() {
    let stub = StubProvider::start().await.unwrap();
    let gateway = gateway("", &stub.base_url());
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
    let probes = [
        "/livez",
        "/livez/ping",
        "/readyz",
        "/readyz/openai",
        "/api/v1/health",
        "/api/v1/health/detailed",
        "/api/v1/health/liveness",
        "/api/v1/health/readiness",
        "/api/v1/ai/health",
    ];
    for path in probes {
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

/// A budget of one organisation, on a server: 1,000 output tokens in an hour.
fn one_budget(address: &str) -> String {
    format!(
        r#"
        [[caller]]
        key = "sk-ann"
        user = "ann"
        org = "acme"

        [[limit]]
        name = "org-tokens"
        scope = "org"
        resource = "output-tokens"
        amount = 1000
        window = "1h"

        [policy]
        store_deadline = "10s"

        [store]
        url = "{address}"
        "#
    )
}

async fn call(gateway: &Router) -> Answer {
    let messages = json!([{"role": "user", "content": "one two [reply 3]"}]);
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 3, "messages": messages}).to_string();
    let request = Request::post("/v1/chat/completions").header("x-api-key", "sk-ann").body(Body::from(body)).unwrap();
    answered(gateway, request).await
}

#[tokio::test]
async fn two_instances_on_one_budget_spend_it_to_the_last_token_and_none_above_it() {
    let (stub, server) = (StubProvider::start().await.unwrap(), RedisServer::start());
    let config = one_budget(&server.address());
    let instances = [(); 2].map(|()| configured(&config, &stub.base_url(), ""));
    let flood = (0..500).map(|n| {
        let gateway = instances[n % 2].router.clone();
        tokio::spawn(async move { call(&gateway).await })
    });
    let (mut served, mut refused) = (0, 0);
    for answer in flood.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        match answer.status {
            StatusCode::OK => served += answer.body["usage"]["completion_tokens"].as_u64().unwrap(),
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => panic!("{other} {}", answer.body),
        }
    }
    assert!(served + 3 > 1_000 && served <= 1_000 && refused > 0, "{served} tokens, {refused} refused");
    for instance in &instances {
        assert_eq!(instance.controls.budget().store().drain(Duration::from_secs(10)).await, 0);
        let usage = Request::get("/api/v1/ai/usage").header("x-api-key", "sk-ann").body(Body::empty()).unwrap();
        let limit = answered(&instance.router, usage).await.body["limits"][0].clone();
        assert_eq!((&limit["used"], &limit["held"]), (&json!(served), &json!(0)), "{limit}");
    }
    stub.shutdown().await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_a_502_in_the_dialect_of_the_route() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let problem = "[[route]]\npath = \"/v1/responses\"\ndialect = \"problem\"\n";
    let [open_ai, anthropic] = ["/error/code", "/error/type"];
    let routes = [
        ("/v1/chat/completions", open_ai, "provider_unreachable", "/error/request_id"),
        ("/v1/embeddings", open_ai, "provider_unreachable", "/error/request_id"),
        ("/v1/messages", anthropic, "api_error", "/request_id"),
        ("/v1/responses", "/code", "provider_unreachable", "/instance"),
        ("/api/v1/ai/chat", open_ai, "provider_unreachable", "/error/request_id"),
    ];
    // One that hangs up after it got the request, and then none at all.
    let hangs_up = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _some = socket.read(&mut [0; 64]).await.unwrap();
        }
    });
    for (counted, tokens) in [(true, "more than none"), (false, "none")] {
        let gateway = gateway(problem, &base_url);
        for (path, member, expected, id) in routes {
            let answer = send(&gateway, Method::POST, path).await;
            let (body, text) = (&answer.body, |pointer| answer.body.pointer(pointer).and_then(Value::as_str));
            assert_eq!((answer.status, text(member)), (StatusCode::BAD_GATEWAY, Some(expected)), "{path}: {body}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            let own = answer.header("x-request-id");
            assert!(own.len() == 32 && text(id).unwrap().ends_with(own), "{path}: {own} {body}");
            assert_eq!(answer.header("request-id") == own, path == "/v1/messages", "{path}");
        }
        let usage = send(&gateway, Method::GET, "/api/v1/ai/usage").await.body;
        assert_eq!(usage["totals"]["requests"] == routes.len(), counted, "{usage}");
        assert_eq!(usage["totals"]["total_tokens"] != 0, counted, "{tokens}: {usage}");
        hangs_up.abort();
        while !hangs_up.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn metrics_are_for_administrators_and_networks_that_may_see_everything() {
    let stub = StubProvider::start().await.unwrap();
    let gateway = gateway("", &stub.base_url());
    let from = |peer: &str, caller: Option<Caller>| {
        let mut request = Request::get("/api/v1/metrics").body(Body::empty()).unwrap();
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        caller.map(|caller| request.extensions_mut().insert(caller));
        request
    };
    let (near, far) = ("127.0.0.1:4000", "192.0.2.7:4000");
    for (request, expected) in [
        (from(near, None), StatusCode::OK),
        (from(far, None), StatusCode::FORBIDDEN),
        (from(far, Some(Caller::admin("root", "ops"))), StatusCode::OK),
        (from(near, Some(Caller::new("ann", "acme"))), StatusCode::FORBIDDEN),
    ] {
        let response = gateway.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected);
        let media_type = response.headers()["content-type"].clone();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        if expected == StatusCode::OK {
            assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
        } else {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert!(body["instance"].is_string(), "the identity of the request is in every error: {body}");
        }
    }
    stub.shutdown().await;
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_is_not_called_and_nobody_is_charged_for_it() {
    let stub = StubProvider::start().await.unwrap();
    let problem = "[[route]]\npath = \"/v1/chat/completions\"\ndialect = \"problem\"\n";
    let gateway = gateway(problem, &stub.base_url());
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    let told = ask(&gateway, Method::POST, chat, "[fail 429] [retry-after 30]").await;
    assert_eq!((told.status, told.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"));
    let held_back = send(&gateway, Method::POST, chat).await;
    assert_eq!((held_back.status, held_back.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "30"));
    assert_eq!(held_back.body["violated-policies"], json!(["provider-requests"]), "{}", held_back.body);
    assert_eq!(held_back.header("x-request-id").len(), 32);
    let left = send(&gateway, Method::POST, messages).await;
    assert_eq!(left.status, StatusCode::TOO_MANY_REQUESTS, "it is the same host, account and model");
    assert_eq!(stub.requests().total(), 1);
    let usage = send(&gateway, Method::GET, "/api/v1/ai/usage").await.body;
    assert_eq!((&usage["totals"]["requests"], &usage["totals"]["total_tokens"]), (&json!(1), &json!(0)), "{usage}");
    stub.shutdown().await;
}

/// What a provider at this address is sent as a body that ends with a brace; it answers nothing.
async fn body_of(listener: TcpListener) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut sent = Vec::new();
    while !sent.ends_with(b"}") {
        assert!(socket.read_buf(&mut sent).await.unwrap() > 0);
    }
    let sent = String::from_utf8(sent).unwrap();
    sent.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_chat_without_a_model_gets_one_and_every_other_byte_stays() {
    const MODEL: &str = r#""model":"gpt-4o-mini""#;
    for (asked, sent) in [
        (r#"{ "seed" : 1.10e0,"messages":[ ],"max_tokens":3 ,"seed":2}"#, None),
        (
            r#"{"model":null,"messages":[],"max_tokens":3}"#,
            Some(format!(r#"{{{MODEL},"messages":[],"max_tokens":3}}"#)),
        ),
    ] {
        let expected = sent.unwrap_or_else(|| asked.replace("\"seed\":2}", &format!("\"seed\":2,{MODEL}}}")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = gateway("", &format!("http://{}", listener.local_addr().unwrap()));
        let seen = tokio::spawn(body_of(listener));
        answered(&gateway, Request::post("/api/v1/ai/chat").body(Body::from(asked)).unwrap()).await;
        assert_eq!(seen.await.unwrap(), expected);
    }
}

/// What a provider at this address is sent as a head; it answers nothing.
async fn head_of(listener: TcpListener) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(socket.read_buf(&mut head).await.unwrap() > 0);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test]
async fn a_provider_gets_the_query_and_no_credential_of_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway("", &format!("http://{}", listener.local_addr().unwrap()));
    let seen = tokio::spawn(head_of(listener));
    let secrets = ["cookie", "proxy-authorization", "api-key", "x-goog-api-key"];
    let mut request = Request::post("/v1/messages?beta=true").header("anthropic-beta", "b");
    for name in secrets {
        request = request.header(name, "sk-secret");
    }
    let body = json!({"model": "claude-haiku-4-5", "max_tokens": 5, "messages": []});
    let request = request.body(Body::from(body.to_string())).unwrap();
    assert_eq!(answered(&gateway, request).await.status, StatusCode::BAD_GATEWAY);
    let head = seen.await.unwrap();
    assert!(head.starts_with("post /v1/messages?beta=true http/1.1\r\n"), "{head}");
    assert!(head.contains("anthropic-beta: b") && !head.contains("sk-secret"), "{head}");
}

#[tokio::test]
async fn a_provider_that_cannot_be_called_is_refused_when_the_gateway_starts() {
    let wrong = |url: &str| format!("OPENAI_BASE_URL: {url:?} is no URL such as https://api.example.com");
    for url in ["ftp://127.0.0.1", "https://", "api.example.com"] {
        assert_eq!(refusal_of(url), Some(wrong(url)));
    }
    for (url, port) in
        [("https://host:443443", "443443"), ("http://user:secret@[::1]:65536/v1", "65536"), ("http://host:", "")]
    {
        let shown = url.replace("user:secret@", "…@");
        let expected =
            format!("OPENAI_BASE_URL: {shown:?} has {port:?} as its port, which is a number from 1 to 65535");
        assert_eq!(refusal_of(url), Some(expected));
    }
    for url in
        ["https://host:65535/v1", "http://[::1]", "http://[::1]:80", "http://127.0.0.1:1/", "http://user:pw@host"]
    {
        assert_eq!(refusal_of(url), None, "{url}");
    }
}

/// Why the gateway does not start with a provider at this address.
fn refusal_of(base_url: &str) -> Option<String> {
    let upstream = || Upstream { base_url: Some(base_url.to_owned()), key: None };
    let settings = settings_of(upstream(), upstream());
    Providers::new(&settings, "http://127.0.0.1:1").err().map(|error| error.to_string())
}

/// Runs all checks once; `hour` is greater by two each time.
async fn check(registry: &HealthRegistry, hour: u64) {
    let at = |hour: u64| Tick::from_nanos(hour * 3_600_000_000_000);
    let waiting = registry.start_due(at(hour));
    for mut run in waiting.into_iter().chain(registry.start_due(at(hour + 1))) {
        let finding = (&mut run).await;
        run.finish(finding, Moment::default());
    }
}

/// A probe by whoever is at this address, with this key or none.
async fn probe(gateway: &Router, peer: &str, key: Option<&str>, path: &str) -> Answer {
    let peer: SocketAddr = format!("{peer}:9").parse().unwrap();
    let mut request = Request::get(path).extension(ConnectInfo(peer));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    answered(gateway, request.body(Body::empty()).unwrap()).await
}

const STRANGER: &str = "192.0.2.1";

#[tokio::test]
async fn a_provider_whose_calls_fail_is_a_warning_for_the_service_and_a_failure_of_its_own() {
    let stub = StubProvider::start().await.unwrap();
    let app = started("", &stub.base_url(), "");
    stub.shutdown().await;
    for path in ["/api/v1/health", "/api/v1/ai/health"] {
        assert_eq!(probe(&app.router, STRANGER, None, path).await.body, json!({"status": "pass"}), "{path}");
    }
    for _ in 0..10 {
        assert_eq!(send(&app.router, Method::POST, "/v1/embeddings").await.status, StatusCode::BAD_GATEWAY);
    }
    for registry in [&app.health.service, &app.health.models] {
        check(registry, 1).await;
    }
    let (service, models) = ("/api/v1/health", "/api/v1/ai/health");
    for (path, status, told) in [(service, StatusCode::OK, "warn"), (models, StatusCode::SERVICE_UNAVAILABLE, "fail")] {
        let answer = probe(&app.router, STRANGER, None, path).await;
        assert_eq!((answer.status, answer.body), (status, json!({ "status": told })), "{path}");
    }
    let details = probe(&app.router, "127.0.0.1", None, models).await.body;
    assert_eq!(details["checks"]["openai:responseTime"][0]["output"], "10 of 10 calls failed", "{details}");
    assert_eq!(details["checks"]["anthropic:responseTime"][0]["status"], "pass", "{details}");
    assert_eq!(send(&app.router, Method::POST, "/v1/embeddings").await.status, StatusCode::BAD_GATEWAY, "no gate");
}

#[tokio::test]
async fn details_are_for_admins_by_their_key_or_network_and_for_nobody_else() {
    let callers = |key: &str, admin: bool| {
        format!("[[caller]]\nkey = \"{key}\"\nuser = \"{key}\"\norg = \"acme\"\nadmin = {admin}\n")
    };
    let more = callers("sk-root", true) + &callers("sk-ann", false);
    let app = started(&more, "http://127.0.0.1:1", "");
    check(&app.health.service, 1).await;
    for (peer, key, sees) in [
        (STRANGER, None, false),
        (STRANGER, Some("sk-ann"), false),
        (STRANGER, Some("sk-unknown"), false),
        (STRANGER, Some("sk-root"), true),
        ("127.0.0.1", None, true),
        ("127.0.0.1", Some("sk-ann"), false),
        ("127.0.0.1", Some("sk-unknown"), false),
    ] {
        for path in ["/api/v1/health/detailed", "/api/v1/ai/health"] {
            let answer = probe(&app.router, peer, key, path).await;
            assert_eq!(answer.body["status"], "pass", "{peer} {key:?} {path}");
            assert_eq!(answer.body.get("checks").is_some(), sees, "{peer} {key:?} {path}: {}", answer.body);
        }
        let usage = probe(&app.router, peer, key, "/api/v1/ai/usage").await;
        assert_eq!(usage.body.get("fallbacks").is_some(), sees, "{peer} {key:?}: the usage report has the same admins");
    }
}

#[tokio::test]
async fn the_gateway_sheds_while_something_that_it_depends_on_fails_and_lets_through_again() {
    let (stub, listener) = (StubProvider::start().await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let web = format!("search?={}/", stub.base_url());
    let depends_on = format!("redis=tcp://{address} cache?=tcp://127.0.0.1:1 {web} disk?=disk:/");
    let app = started("", &stub.base_url(), &depends_on);
    let post = || send(&app.router, Method::POST, "/v1/chat/completions");
    assert_eq!(probe(&app.router, STRANGER, None, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(listener);
    check(&app.health.service, 1).await;
    let shed = post().await;
    assert_eq!((shed.status, &shed.body["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")));
    let details = probe(&app.router, "127.0.0.1", None, "/api/v1/health/detailed").await;
    let status = |check: &str| details.body["checks"][format!("{check}:responseTime")][0]["status"].clone();
    assert_eq!((status("redis"), status("cache")), (json!("fail"), json!("warn")), "{}", details.body);
    assert_eq!((status("ping"), status("search")), (json!("pass"), json!("warn")), "the stub has no front page");

    let _again = TcpListener::bind(address).await.unwrap();
    check(&app.health.service, 3).await;
    let redis = probe(&app.router, STRANGER, None, "/readyz/redis").await;
    assert_eq!(redis.status, StatusCode::OK);
    assert_eq!(post().await.status, StatusCode::OK);
    stub.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_to_stop_flips_readiness_before_anything_else() {
    let app = started("", "http://127.0.0.1:1", "");
    let (stop, signal) = oneshot::channel::<()>();
    let signal = async { drop(signal.await) };
    let mut drained = std::pin::pin!(app.health.clone().drained(signal, Duration::from_secs(5)));
    assert!(timeout(Duration::from_secs(60), &mut drained).await.is_err(), "nobody has sent one");
    assert_eq!(probe(&app.router, STRANGER, None, "/readyz").await.status, StatusCode::OK);
    stop.send(()).unwrap();
    assert!(timeout(Duration::from_secs(4), &mut drained).await.is_err(), "it goes on serving");
    assert_eq!(app.health.service.report().status(Group::Readiness), Status::Fail);
    assert_eq!(probe(&app.router, STRANGER, None, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(probe(&app.router, STRANGER, None, "/livez").await.status, StatusCode::OK);
    assert_eq!(probe(&app.router, STRANGER, None, "/").await.status, StatusCode::OK, "what still comes is served");
    assert!(timeout(Duration::from_secs(2), &mut drained).await.is_ok());
}

/// The gateway with its defaults, in front of nobody.
fn alone(more: &str) -> Router {
    gateway(more, "http://127.0.0.1:9")
}

async fn from(gateway: &Router, peer: &str, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let peer: std::net::SocketAddr = peer.parse().unwrap();
    let mut request = Request::get(path).extension(axum::extract::ConnectInfo(peer)).body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let (head, body) = gateway.clone().oneshot(request).await.unwrap().into_parts();
    let body = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap_or_default();
    Answer { status: head.status, headers: head.headers, body }
}

#[tokio::test]
async fn every_answer_has_its_identity_and_its_security_headers_the_routers_own_too() {
    let gateway = alone("");
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::GET, "/livez", 200),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/v1/messages", 405),
        (Method::POST, "/v1/embeddings", 502),
    ] {
        let answer = send(&gateway, method, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        let id = answer.header("x-trace-id");
        assert!(id.len() == 32 && answer.header("x-request-id") == id, "{path}");
        assert!(status < 400 || answer.body.to_string().contains(id), "{path}: {}", answer.body);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "max-age=63072000; includeSubDomains", "{path}");
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.starts_with("default-src 'self'"), path == "/", "{path}: {policy}");
    }
    let nowhere = send(&gateway, Method::GET, "/nowhere").await;
    assert_eq!(nowhere.body["detail"], "There is no such route; /docs has all.");
}

#[tokio::test]
async fn everybodys_usage_is_shown_to_the_networks_of_administrators_behind_a_proxy_too() {
    let stub = StubProvider::start().await.unwrap();
    let http = "trusted_proxies = [\"127.0.0.1\"]\nadmin_allow = [\"192.0.2.0/24\"]\n";
    let gateway = gateway(http, &stub.base_url());
    assert_eq!(send(&gateway, Method::POST, "/v1/chat/completions").await.status, StatusCode::OK);
    let client = [("x-forwarded-for", "198.51.100.7")];
    let administrator = [("x-forwarded-for", "6.6.6.6, 192.0.2.9")];
    for (peer, headers, key, seen) in [
        ("127.0.0.1:1", &client, "198.51.100.7", 0),
        ("127.0.0.1:1", &administrator, "192.0.2.9", 1),
        ("192.0.2.9:1", &client, "192.0.2.9", 1),
        ("198.51.100.8:1", &administrator, "198.51.100.8", 0),
    ] {
        let body = from(&gateway, peer, "/api/v1/ai/usage", headers).await.body;
        assert_eq!(body["totals"]["requests"], seen, "{peer}: {body}");
        assert!(body["limits"].to_string().contains(&format!("\"key\":\"{key}\"")), "{peer}: {body}");
    }
    stub.shutdown().await;
}

#[tokio::test]
async fn alerts_go_to_the_webhooks_that_are_configured_and_the_month_is_in_the_report() {
    let stub = StubProvider::start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, mut hooks) = channel(8);
    let hook = move |request: Request<Body>| {
        let told = told.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            told.send((head.uri.path().to_owned(), serde_json::from_slice::<Value>(&body).unwrap())).await.unwrap();
        }
    };
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(hook)).await });
    let limit = "[[limit]]\nname = \"few\"\nscope = \"global\"\nresource = \"tokens\"\namount = 1000\nwindow = \"1d\"\n\
                 thresholds = [0.001]\n";
    let mut config = Config::from_toml(&format!("{DEFAULTS}{limit}"), &NoSources).unwrap();
    let mut alerts = config.alerts().clone();
    alerts.alertmanager = WebhookUrl::new(&format!("http://{address}"));
    alerts.slack = WebhookUrl::new(&format!("http://{address}/slack"));
    config = config.with_alerts(alerts);
    let app = started_with(config, &stub.base_url(), "");
    assert_eq!(send(&app.router, Method::POST, "/v1/chat/completions").await.status, StatusCode::OK);
    let mut got = Vec::new();
    for _ in 0..2 {
        got.push(timeout(Duration::from_secs(30), hooks.recv()).await.unwrap().unwrap());
    }
    got.sort_by(|one, other| one.0.cmp(&other.0));
    let summary = "few: all together came up to 0.1 %: used 7 tokens of 1000 tokens";
    assert_eq!((got[0].0.as_str(), &got[0].1[0]["annotations"]["summary"]), ("/api/v2/alerts", &json!(summary)));
    assert_eq!(got[1], ("/slack".to_owned(), json!({ "text": format!("[ticket] {summary}") })));
    let mut request = Request::get("/api/v1/ai/usage").body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4_000))));
    let report = answered(&app.router, request).await;
    assert_eq!(report.body["month"]["active_users"], 1);
    server.abort();
    stub.shutdown().await;
}

#[tokio::test]
async fn another_configuration_holds_for_every_route_without_a_restart() {
    let stub = StubProvider::start().await.unwrap();
    let app = started("", &stub.base_url(), "");
    let usage = probe(&app.router, STRANGER, None, "/api/v1/ai/usage").await;
    assert_eq!(usage.status, StatusCode::OK);
    let text = r#"
        [[caller]]
        key = "sk-new"
        user = "ann"
        org = "acme"
        admin = true

        [[limit]]
        name = "fresh"
        scope = "user"
        resource = "requests"
        amount = 7
        window = "1m"
        routes = ["/**"]

        [[route]]
        path = "/api/v1/ai/chat"
        dialect = "openai"
        default_model = "gpt-4.1-nano"

        [policy]
        anonymous = "refuse"
    "#;
    app.controls.reload(&Config::from_toml(text, &NoSources).unwrap()).unwrap();
    assert_eq!(probe(&app.router, STRANGER, None, "/api/v1/ai/usage").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(probe(&app.router, STRANGER, Some("sk-new"), "/api/v1/metrics").await.status, StatusCode::OK);
    let chat = Request::post("/api/v1/ai/chat").header("x-api-key", "sk-new");
    let body = json!({"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let chat = answered(&app.router, chat.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(chat.body["model"], "gpt-4.1-nano");
    let usage = probe(&app.router, STRANGER, Some("sk-new"), "/api/v1/ai/usage").await.body;
    assert_eq!((&usage["limits"][0]["name"], &usage["limits"][0]["used"]), (&json!("fresh"), &json!(3)));
    stub.shutdown().await;
}

#[tokio::test]
async fn a_provider_gets_the_key_that_was_rotated_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = |key: &str| Upstream {
        base_url: Some(format!("http://{}", listener.local_addr().unwrap())),
        key: Some(key.to_owned()),
    };
    let settings = settings_of(upstream("sk-old"), upstream("sk-old"));
    let providers = Providers::new(&settings, "http://127.0.0.1:1").unwrap();
    providers.rotate(&upstream("sk-new"), &upstream("sk-new")).unwrap();
    let seen = tokio::spawn(head_of(listener));
    let request = Request::post("/v1/chat/completions").body(Body::empty()).unwrap();
    assert!(providers.openai(request, "/v1/chat/completions").await.is_err(), "it answers nothing");
    let head = seen.await.unwrap();
    assert!(head.contains("authorization: bearer sk-new") && !head.contains("sk-old"), "{head}");
}
