//! Routes that call a model, and the switches that reach the layers on them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flashops::Controls;
use flashops::core::caller::Caller;
use flashops::core::clock::ManualClock;
use flashops::core::config::{Config, NoSources};
use flashops::core::store::Store;
use flashops::tower::budget::{ModelRoute, OUTPUT_CAP};
use flashops::tower::inspect::WireFormat;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::{AI_CHAT, CALLERS, CHAT, Desk, ROUTES, ask, ask_with, full, get, inner};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

#[test]
fn routes_bound_the_output_and_name_the_model() {
    let desk = Desk::new(ROUTES);
    let wordy = json!([{"role": "user", "content": "go"}]);
    let capped = desk.send(ask_with(AI_CHAT, json!({"model": "gpt-4o-mini", "max_tokens": 20, "messages": wordy})));
    assert_eq!((capped.status, capped.header(OUTPUT_CAP.as_str())), (200, Some("15")));
    assert_eq!(capped.json()["usage"]["completion_tokens"], 15);
    let strict = ask_with("/api/v1/ai/strict", json!({"model": "gpt-4o-mini", "max_tokens": 30, "messages": wordy}));
    let strict = desk.send(strict);
    assert_eq!((strict.status, &strict.json()["code"]), (400, &json!("output_cap_exceeded")));
    let unnamed = desk.send(ask_with("/api/v1/ai/strict", json!({"messages": wordy})));
    assert_eq!(unnamed.status, 400, "only a route with a default model goes without");
}

#[test]
fn a_pattern_over_several_formats_reads_each_in_its_own() {
    let desk = Desk::new("[[route]]\npath = \"/v1/**\"\nmax_output = 8");
    let message = json!([{"role": "user", "content": "one two [reply 30]"}]);
    for (path, cap, usage) in [
        (CHAT, "max_tokens", "/usage/completion_tokens"),
        ("/v1/messages", "max_tokens", "/usage/output_tokens"),
        ("/v1/responses", "max_output_tokens", "/usage/output_tokens"),
    ] {
        let content = if path == "/v1/responses" { "input" } else { "messages" };
        let body = |stream| json!({"model": "gpt-4o-mini", "stream": stream, cap: 100, content: message});
        let response = desk.send(ask_with(path, body(false)));
        assert_eq!(response.json().pointer(usage), Some(&json!(8)), "{path}");
        assert_eq!(desk.send(ask_with(path, body(true))).status, 200, "{path}");
    }
    let report = desk.controls.tally().report(None, desk.controls.budget().store().now(), |_| true);
    assert_eq!((report.totals.requests, report.totals.estimated_requests), (6, 0), "all usage was read");
    assert_eq!(report.totals.completion_tokens, 48);
}

#[test]
fn the_switches_of_the_configuration_reach_the_layers() {
    let grant = r#"
        [[limit]]
        name = "grant"
        scope = "org"
        resource = "tokens"
        amount = 150
        window = "lifetime"

        [policy]
    "#;
    let spent = Desk::new(&format!("{grant}spent_status = 402"));
    while spent.send(ask(CHAT)).status == 200 {}
    let response = spent.send(ask(CHAT));
    assert_eq!((response.status, response.header("x-should-retry")), (402, Some("false")));
    assert_eq!(response.json()["error"]["code"], "insufficient_quota");

    let short = Desk::new("[policy]\ninspect_bytes = 50");
    assert_eq!(short.send(ask(CHAT)).status, 413);

    let stored =
        ask_with("/v1/responses", json!({"model": "gpt-4o-mini", "previous_response_id": "resp_1", "input": "a"}));
    let refusing = Desk::new("[policy]\nstored_content = \"refuse\"");
    assert_eq!(refusing.send(stored).json()["error"]["code"], "stored_content_not_supported");

    let rate = r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 9
        window = "1m"
        routes = ["/**"]

        [policy]
    "#;
    let families = Desk::new(&format!("{rate}headers = [\"legacy\", \"openai\", \"anthropic\"]"));
    for response in [families.send(get("/pets")), families.send(ask(CHAT))] {
        assert_eq!(response.header("x-ratelimit-limit"), Some("9"));
        assert_eq!(response.header("x-ratelimit-limit-requests"), Some("9"));
        assert_eq!(response.header("anthropic-ratelimit-requests-limit"), Some("9"));
        assert_eq!(response.header("ratelimit"), None);
    }
    let silent = Desk::new(&format!("{rate}headers = []"));
    assert!(silent.send(get("/pets")).headers.keys().all(|name| !name.as_str().contains("ratelimit")));
}

#[test]
fn a_route_of_the_services_own_is_counted_whatever_the_configuration_says_of_it() {
    let config = Config::from_toml(CALLERS, &NoSources).unwrap();
    let own = ModelRoute::new(AI_CHAT, WireFormat::OpenAiChat).unwrap().with_default_model("gpt-4o-mini");
    let controls = Controls::with_routes(&config, ManualClock::new(), (), vec![own]);
    let answered = async |request| Ok::<_, BoxError>(inner(request).await);
    let service = ServiceBuilder::new().layer(controls.layer()).service(service_fn(answered));
    let response = service.oneshot(ask(AI_CHAT)).now_or_never().unwrap().unwrap();
    drop(response.into_body().collect().now_or_never().unwrap());
    let seen = controls.tally().report(None, controls.budget().store().now(), |_| true);
    assert_eq!(seen.totals.requests, 1);
    assert_eq!(seen.rows[0].key.route(), AI_CHAT);
}

#[test]
fn a_call_of_a_model_that_nobody_meters_is_refused_unless_the_configuration_lets_it_pass() {
    let strict = Desk::new("");
    for path in ["/v1/images/generations", "/v1/audio//speech", "/v1/%69mages/edits"] {
        let refused = strict.send(ask(path));
        assert_eq!((refused.status, refused.header("retry-after")), (403, None), "{path}");
        assert!(String::from_utf8_lossy(&refused.body).contains("\"code\":\"unmetered_route\""), "{path}");
    }
    assert_eq!(strict.send(ask("/v1/messages/batches")).json()["error"]["type"], "permission_error");
    assert_eq!((strict.calls(), strict.held()), (0, vec![]));
    assert_eq!(strict.send(ask("/pets")).status, 404, "what is no call goes on to the service");
    let lenient = Desk::new("[policy]\nunmetered_routes = \"pass\"");
    assert_eq!(lenient.send(ask("/v1/images/generations")).status, 404);
    assert_eq!(lenient.calls(), 1);
}

/// What a provider of another format gets and what its answer is charged, on a route that is configured so.
fn exchange(route: &str, request: &str, content_type: &'static str, answer: &'static str) -> (Value, u64) {
    let limit = "[[limit]]\nname = \"t\"\nscope = \"user\"\nresource = \"tokens\"\namount = 100000\nwindow = \"1h\"\n";
    let config = Config::from_toml(&format!("{CALLERS}{limit}[[route]]\n{route}"), &NoSources).unwrap();
    let controls = Controls::with(&config, ManualClock::new(), ());
    let seen = Arc::new(Mutex::new(Value::Null));
    let sees = Arc::clone(&seen);
    let answered = move |request: Request<flashops::tower::budget::RequestBody<_>>| {
        let sees = Arc::clone(&sees);
        async move {
            let body: Bytes = BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            *sees.lock().unwrap() = serde_json::from_slice(&body).unwrap();
            let response = Response::builder().header("content-type", content_type).body(full(answer.to_owned()));
            Ok::<_, BoxError>(response.unwrap())
        }
    };
    let service = ServiceBuilder::new().layer(controls.layer()).service(service_fn(answered));
    let request = ask_with(CHAT, serde_json::from_str(request).unwrap());
    let response = service.oneshot(request).now_or_never().unwrap().unwrap();
    drop(response.into_body().collect().now_or_never().unwrap());
    let ann = Caller::new("ann", "acme");
    let budget = controls.budget();
    let used = budget.store().standings_now(&ann.scopes(), budget.policy().select(|_| true))[0].used;
    let sent = seen.lock().unwrap().clone();
    (sent, used)
}

#[test]
fn a_route_is_read_in_the_format_that_it_names_also_where_the_path_is_anothers() {
    let request = r#"{"model":"m","max_tokens":50,"stream":true,"messages":[]}"#;
    let path = "path = \"/v1/chat/completions\"\n";
    let mistral = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\
                   \"usage\":{\"prompt_tokens\":20,\"completion_tokens\":7,\"total_tokens\":27}}\n\ndata: [DONE]\n\n";
    let (sent, used) = exchange(&format!("{path}format = \"mistral-chat\""), request, "text/event-stream", mistral);
    assert_eq!(
        (sent.get("stream_options"), used),
        (None, 27),
        "it reports without being asked, and does not know the option"
    );
    let (sent, used) = exchange(path, request, "text/event-stream", mistral);
    assert_eq!((&sent["stream_options"]["include_usage"], used), (&json!(true), 27));

    let request = r#"{"model":"m","max_tokens":50,"messages":[]}"#;
    let xai = r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":4}}}"#;
    let (_, used) = exchange(&format!("{path}format = \"xai-chat\""), request, "application/json", xai);
    assert_eq!(used, 27, "reasoning is beside the completion");
    let (_, used) = exchange(path, request, "application/json", xai);
    assert_eq!(used, 23, "of OpenAI's it would be inside, and contradict");

    let gemini = r#"{"contents":[],"generationConfig":{"maxOutputTokens":50}}"#;
    let answer =
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":7,"totalTokenCount":27}}"#;
    let route = format!("{path}format = \"gemini\"\nmax_output = 30\ndefault_model = \"gemini-x\"");
    let (sent, used) = exchange(&route, gemini, "application/json", answer);
    assert_eq!((&sent["generationConfig"]["maxOutputTokens"], used), (&json!(30), 27));
}
