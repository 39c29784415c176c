//! What a client sees of a service under controls, whatever goes wrong inside: an identity, a dialect, no secrets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use http::Request;
use serde_json::json;
use support::{AI_CHAT, CHAT, Desk, NONE_ANYWHERE, ROUTES, ask, ask_with, get, with_header};

#[test]
fn every_response_has_the_identity_of_its_request() {
    let desk = Desk::new(NONE_ANYWHERE);
    let free = Desk::new("");
    let unknown = with_header(get("/pets"), "x-api-key", "sk-nobody");
    for (desk, request, status) in [
        (&free, ask(CHAT), 200),
        (&free, get("/pets"), 404),
        (&free, ask_with(CHAT, json!([])), 400),
        (&free, with_header(get("/pets"), "x-panic", "1"), 500),
        (&free, with_header(ask(CHAT), "x-panic", "1"), 500),
        (&desk, get("/pets"), 429),
        (&desk, ask("/v1/messages"), 429),
        (&desk, unknown, 401),
    ] {
        let (path, method) = (request.uri().path().to_owned(), request.method().clone());
        let again = Request::builder().method(method).uri(&path);
        let (head, body) = request.into_parts();
        let mut given = again.body(body.clone()).unwrap();
        *given.headers_mut() = head.headers.clone();
        let given = with_header(given, "x-request-id", "req-7.a_B");

        let drawn = desk.send(Request::from_parts(head, body));
        assert_eq!(drawn.status, status, "{path}");
        let id = drawn.header("x-request-id").expect("it has one");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        if status != 200 && status != 404 {
            assert!(std::str::from_utf8(&drawn.body).unwrap().contains(id), "{path}: the body has it too");
        }
        assert_eq!(desk.send(given).header("x-request-id"), Some("req-7.a_B"), "{path}");
    }
}

#[test]
fn an_identity_that_could_do_harm_is_replaced() {
    let desk = Desk::new("");
    for hostile in ["a b", "\"", "<script>", &"x".repeat(129)] {
        let response = desk.send(with_header(get("/pets"), "x-request-id", hostile));
        assert_eq!(response.header("x-request-id").unwrap().len(), 32, "{hostile}");
    }
}

#[test]
fn a_configured_route_answers_in_its_dialect_whatever_goes_wrong() {
    let desk = Desk::new(&format!("{NONE_ANYWHERE}{ROUTES}"));
    let free = Desk::new(ROUTES);
    let routes = [(AI_CHAT, "/error/type"), ("/api/v1/ai/claude", "/error/type"), ("/api/v1/ai/strict", "/detail")];
    for (path, pointer) in routes {
        let unknown = with_header(ask(path), "x-api-key", "sk-nobody");
        let unknown_get = with_header(get(path), "x-api-key", "sk-nobody");
        for (desk, request, status) in [
            (&free, ask_with(path, json!("no object")), 400),
            (&free, with_header(ask(path), "x-panic", "1"), 500),
            (&free, with_header(get(path), "x-panic", "1"), 500),
            (&desk, ask(path), 429),
            (&desk, get(path), 429),
            (&desk, unknown, 401),
            (&desk, unknown_get, 401),
        ] {
            let response = desk.send(request);
            assert_eq!(response.status, status, "{path}");
            assert!(response.json().pointer(pointer).is_some(), "{path}: {:?}", response.json());
            assert_eq!(response.json()["type"] == "error", path == "/api/v1/ai/claude", "{path}");
            assert_eq!(response.headers.contains_key("request-id"), path == "/api/v1/ai/claude", "{path}");
        }
    }
}

#[test]
fn a_panic_shows_nothing_of_itself_and_is_charged() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "grant"
        scope = "org"
        resource = "tokens"
        amount = 100000
        window = "lifetime"
        "#,
    );
    let request = ask(CHAT);
    let input = http_body::Body::size_hint(request.body()).exact().unwrap();
    let response = desk.send(with_header(request, "x-panic", "1"));
    assert_eq!(response.status, 500);
    assert_eq!(response.json()["error"]["code"], "internal_error");
    assert!(!std::str::from_utf8(&response.body).unwrap().contains("on demand"));
    assert!(response.header("ratelimit").unwrap().starts_with("\"grant\""), "the limits are told all the same");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(desk.used(), [input]);
}
