//! From a configuration to what is counted.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use flashops::Controls;
use flashops::core::config::{Config, NoSources};
use futures_util::FutureExt;
use http::{Method, StatusCode};
use serde_json::json;
use support::{CHAT, Desk, NONE_ANYWHERE, Notes, ask, ask_with, get, inner, with_header, without_key};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

#[test]
fn all_limits_of_a_call_are_counted_once_and_together() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 5
        window = "1m"
        routes = ["/**"]

        [[limit]]
        name = "grant"
        scope = "org"
        resource = "tokens"
        amount = 200
        window = "lifetime"
        "#,
    );
    let first = desk.send(ask(CHAT));
    assert_eq!((first.status, &first.json()["usage"]["total_tokens"]), (200, &json!(15)));
    assert_eq!(desk.used(), [1, 15]);
    assert_eq!(first.header("ratelimit").map(|told| told.matches("\"rpm\"").count()), Some(1));

    let mut refusals = 0;
    while desk.send(ask(CHAT)).status == 429 {
        refusals += 1;
        if refusals == 20 {
            break;
        }
    }
    let used = desk.used();
    assert!(used[0] <= 5, "{used:?}");
    let too_large = ask_with(CHAT, json!({"model": "gpt-4o-mini", "max_tokens": 300, "messages": []}));
    assert_eq!(desk.send(too_large).status, 413);
    assert_eq!(desk.used(), used, "who is refused by one limit is counted by none");
}

#[test]
fn other_routes_are_counted_by_the_limits_that_name_them_whatever_they_answer() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "pages"
        scope = "user"
        resource = "requests"
        amount = 3
        window = "1m"
        routes = ["/**", "!/v1/**"]

        [[limit]]
        name = "calls"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        "#,
    );
    assert_eq!(desk.send(get("/pets")).status, 404);
    assert_eq!(desk.send(get("/whoami")).status, 200);
    assert_eq!(desk.used(), [2, 0]);
    assert_eq!(desk.send(ask(CHAT)).status, 200);
    assert_eq!(desk.send(get(CHAT)).status, 405, "a GET calls no model");
    assert_eq!(desk.used(), [2, 1]);
    assert_eq!(desk.send(ask(CHAT)).status, 429);
    assert_eq!(desk.send(get("/pets")).status, 404);
    let refused = desk.send(get("/pets"));
    assert_eq!(refused.status, 429);
    let wait = Duration::from_millis(refused.header("retry-after-ms").unwrap().parse().unwrap());
    desk.clock.advance(wait - Duration::from_millis(1));
    assert_eq!(desk.send(get("/pets")).status, 429);
    desk.clock.advance(Duration::from_millis(1));
    assert_eq!(desk.send(get("/pets")).status, 404);
}

#[test]
fn every_refusal_is_in_the_tally_once_whichever_layer_refused() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "pages"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        routes = ["/**", "!/v1/**"]

        [[limit]]
        name = "calls"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        "#,
    );
    let statuses =
        [get("/whoami"), get("/a"), get("/b"), ask(CHAT), ask(CHAT)].map(|request| desk.send(request).status);
    assert_eq!(statuses, [200, 429, 429, 200, 429]);
    let refusals = desk.controls.tally().refusals_by_limit();
    assert_eq!(refusals, [("calls".into(), 1), ("pages".into(), 2)]);
    let rows = desk.controls.tally().row_keys();
    assert!(rows.iter().all(|row| ["other", CHAT].contains(&row.route())), "no path of the client's choice: {rows:?}");
}

#[test]
fn health_checks_are_neither_counted_nor_identified() {
    let desk = Desk::new(&format!("{NONE_ANYWHERE}[policy]\nanonymous = \"refuse\""));
    for path in [
        "/livez",
        "/livez/ping",
        "/readyz",
        "/readyz/disk",
        "/api/v1/health",
        "/api/v1/health/detailed",
        "/api/v1/health/liveness",
        "/api/v1/ai/health",
    ] {
        let response = desk.send(with_header(get(path), "x-api-key", "sk-nobody"));
        assert_eq!(response.status, 404, "{path} reached the service");
        assert!(response.headers.contains_key("x-request-id") && !response.headers.contains_key("ratelimit"));
    }
    for path in ["/livez/x/y", "/healthz", "/api/v1/healthy", "/api/v1/health/../ai/usage"] {
        assert_eq!(desk.send(get(path)).status, 429, "{path}");
    }
}

#[test]
fn every_threshold_is_told_exactly_once() {
    let notes = Notes::default();
    let desk = Desk::with(
        r#"
        [[limit]]
        name = "tokens"
        scope = "user"
        resource = "tokens"
        amount = 30000
        window = "1h"
        thresholds = [0.001]

        [[limit]]
        name = "pages"
        scope = "user"
        resource = "requests"
        amount = 100
        window = "1h"
        routes = ["/pets"]
        thresholds = [0.02]

        [policy]
        threshold_tokens = 40
        "#,
        notes.clone(),
    );
    for _ in 0..5 {
        assert_eq!(desk.send(ask(CHAT)).status, 200);
        assert_eq!(desk.send(get("/pets")).status, 404);
    }
    // Fifteen tokens each time: 30 after the second, 45 after the third.
    assert_eq!(*notes.0.lock().unwrap(), ["tokens at 1", "pages at 20", "acme used 45 tokens"]);
}

#[test]
fn money_is_told_in_its_own_unit() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "purse"
        scope = "user"
        resource = "cost"
        amount = "0.0001"
        window = "1h"
        "#,
    );
    let response = desk.send(ask(CHAT));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("ratelimit-policy"), Some(r#""purse";q=100000;qu="nano-usd";w=3600"#));
    while desk.send(ask(CHAT)).status == 200 {}
    let message = desk.send(ask(CHAT)).json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Limit 0.0001 USD"), "{message}");
}

#[test]
fn a_service_under_controls_goes_to_other_threads() {
    fn is_shared<T: Send + Clone + 'static>(_: &T) {}
    let config = Config::from_toml("", &NoSources).unwrap();
    let controls = Controls::new(&config);
    is_shared(&controls.layer());
    let service = ServiceBuilder::new()
        .layer(controls.layer())
        .service(service_fn(|request| async move { Ok::<_, BoxError>(inner(request).await) }));
    is_shared(&service);
    let mut request = without_key(ask(CHAT));
    *request.method_mut() = Method::DELETE;
    let thread = std::thread::spawn(move || service.oneshot(request).now_or_never().unwrap().unwrap().status());
    assert_eq!(thread.join().unwrap(), StatusCode::METHOD_NOT_ALLOWED);
}
