//! Bad input: a clear answer in the route's dialect, nothing held, nobody called, nothing lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope};
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::MemoryStore;
use flashops_tower::budget::{ModelRoute, TokenBudgetLayer};
use flashops_tower::identify::ApiKeys;
use flashops_tower::inspect::WireFormat;
use flashops_tower::reject::Dialect;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::Value;
use support::{AnyBody, Chunks, Layered, complete, full, json, layered};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceExt};

const CHAT: &str = "/v1/chat/completions";
const ROUTES: [&str; 4] = [CHAT, "/v1/responses", "/v1/messages", "/api/v1/ai/rewrite"];
const INSPECT_BYTES: usize = 1_000;

struct Desk {
    budget: Budget<MemoryStore<ManualClock>>,
    service: BoxCloneService<Request<AnyBody>, Response<Layered>, BoxError>,
}

impl Desk {
    /// A service that ann may ask, whose first route speaks of problems, under limits on everything.
    fn new(called: bool) -> Self {
        let hour = Window::Sliding(Duration::from_secs(3_600));
        let limit = |name, scope, resource, amount| Limit::new(name, scope, resource, amount, hour.clone()).unwrap();
        let limits = vec![
            limit("requests", Scope::User, Resource::Requests, 1_000),
            limit("tokens", Scope::Global, Resource::Tokens, 1_000_000),
            limit("money", Scope::Org, Resource::Cost, 100_000_000_000),
        ];
        let budget = Budget::in_memory(Policy::new(limits).unwrap(), ManualClock::new());
        let keys = ApiKeys::new(|key: &str| (key == "sk-ann").then(|| Caller::new("ann", "acme")));
        let own = ModelRoute::new("/api/v1/ai/rewrite", WireFormat::OpenAiChat).unwrap();
        let mut routes = vec![own.with_dialect(Dialect::Problem)];
        routes.extend(ModelRoute::standard());
        let layer = TokenBudgetLayer::new(budget.clone(), keys).with_routes(routes).with_inspect_bytes(INSPECT_BYTES);
        let answer = move |_| {
            assert!(called, "nobody is called for bad input");
            ready(Ok(json(complete(1, 1))))
        };
        Self { budget, service: layered(layer, answer) }
    }

    fn send(&self, request: Request<AnyBody>) -> (u16, Value) {
        let answer = async {
            let response = self.service.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&body).expect("every refusal is JSON"))
        };
        answer.now_or_never().expect("nothing waits")
    }

    /// Everything that is used or held under any limit.
    fn standing(&self) -> u64 {
        let caller = Caller::new("ann", "acme");
        let keys = caller.scopes().with(Key::global());
        let all = self.budget.policy().select(|_| true);
        self.budget.store().standings_now(&keys, all).iter().map(|one| one.used + one.held).sum()
    }
}

fn request(path: &str, body: AnyBody) -> Request<AnyBody> {
    Request::post(path).header("x-api-key", "sk-ann").body(body).unwrap()
}

/// The code and message of an error in the dialect of its route.
fn said(path: &str, body: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{path}: {body}")).to_owned();
    match path {
        "/v1/messages" => {
            assert_eq!(body["type"], "error");
            (text(&body["error"]["type"]), text(&body["error"]["message"]))
        }
        "/api/v1/ai/rewrite" => {
            assert!(body["status"].is_u64());
            (text(&body["code"]), text(&body["detail"]))
        }
        _ => (text(&body["error"]["code"]), text(&body["error"]["message"])),
    }
}

/// Every route refuses this body with this status, and says this.
fn refused(body: &str, status: u16, code: &str, message: &str) {
    let desk = Desk::new(false);
    for path in ROUTES {
        let (got, answer) = desk.send(request(path, full(body.to_owned())));
        let (said_code, said_message) = said(path, &answer);
        assert_eq!(got, status, "{path}: {body}: {answer}");
        assert!(said_message.contains(message), "{path}: {said_message}");
        if path != "/v1/messages" {
            assert_eq!(said_code, code, "{path}: {body}");
        }
        assert_eq!(desk.standing(), 0, "{path}: {body}");
    }
}

#[test]
fn a_body_that_is_not_json_is_refused_with_the_place_of_the_mistake() {
    refused("", 400, "invalid_request", "ends too early at line 1, column 1");
    refused("{\n \"top_p\": }", 400, "invalid_request", "a value is expected at line 2, column 11");
    refused("{} trailing", 400, "invalid_request", "something follows");
    refused("[]", 400, "invalid_request", "must be a JSON object");
    refused("\u{feff}{}", 400, "invalid_request", "not valid JSON");
    refused(&"[".repeat(900), 400, "invalid_request", "JSON");
    refused(&format!(r#"{{"model":"gpt-4o","messages":{}"#, "[".repeat(900)), 400, "invalid_request", "JSON");
}

#[test]
fn counts_that_are_no_whole_numbers_are_refused_by_name() {
    for field in ["max_tokens", "max_completion_tokens", "max_output_tokens", "n"] {
        for (number, what) in [
            ("-1", "is negative"),
            ("1.5", "has a fraction or an exponent"),
            ("1e9", "has a fraction or an exponent"),
            ("99999999999999999999999", "is too large"),
            ("\"7\"", "must be a whole number"),
            ("true", "must be a whole number"),
            ("{}", "must be a whole number"),
        ] {
            let body = format!(r#"{{"model":"gpt-4o","{field}":{number}}}"#);
            refused(&body, 400, "invalid_request", &format!("{field} {what}"));
        }
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    refused(r#"{"messages":[]}"#, 400, "invalid_request", "names no model");
    refused(r#"{"model":7}"#, 400, "invalid_request", "model must be a string");
    refused(r#"{"model":"gpt-4o","model":"o1"}"#, 400, "invalid_request", "more than once");
    refused(r#"{"model":"gpt-4o","stream":"yes"}"#, 400, "invalid_request", "stream must be true or false");
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(300));
    refused(&long, 400, "invalid_request", "model");
}

#[test]
fn a_model_without_a_price_is_refused_where_money_is_counted() {
    refused(r#"{"model":"home-made"}"#, 400, "model_not_priced", "`home-made` has no price");
    refused(r#"{"model":""}"#, 400, "model_not_priced", "has no price");
    refused(r#"{"model":"\"},{<script>"}"#, 400, "model_not_priced", r#"`"},{<script>`"#);
}

#[test]
fn a_body_over_the_bound_is_refused_and_not_kept() {
    let padded = |length: usize| format!(r#"{{"model":"gpt-4o","x":"{}"}}"#, "a".repeat(length - 25));
    assert_eq!(padded(INSPECT_BYTES).len(), INSPECT_BYTES);
    refused(&padded(INSPECT_BYTES + 1), 413, "request_too_large", "longer than 1000 bytes");
    let desk = Desk::new(true);
    assert_eq!(desk.send(request(CHAT, full(padded(INSPECT_BYTES)))).0, 200);

    // Of a body in pieces, none is taken beyond the bound.
    let desk = Desk::new(false);
    let pieces = (0..=INSPECT_BYTES).map(|_| Bytes::from_static(b" "));
    assert_eq!(desk.send(request(CHAT, Chunks::hanging(pieces.collect()))).0, 413);
}

#[test]
fn a_body_that_breaks_off_is_refused() {
    let desk = Desk::new(false);
    let broken = Chunks::broken(vec![r#"{"model":"gpt-"#.to_owned()]).into_body();
    let (status, body) = desk.send(request(CHAT, broken));
    assert_eq!((status, said(CHAT, &body).1.as_str()), (400, "the body broke off"));
    assert_eq!(desk.standing(), 0);
}

#[test]
fn a_huge_cap_that_is_a_number_can_never_fit() {
    let body = r#"{"model":"gpt-4o","max_tokens":1000000000,"max_output_tokens":1000000000}"#;
    refused(body, 413, "request_too_large", "Waiting does not help");
    let choices = r#"{"model":"gpt-4o","n":1000000000,"max_tokens":1000000000,"max_output_tokens":1000000000}"#;
    refused(choices, 413, "request_too_large", "Waiting does not help");
}

#[test]
fn an_unknown_key_is_refused_before_anything_is_read() {
    let desk = Desk::new(false);
    for path in ROUTES {
        for (name, value) in [
            ("x-api-key", &b"sk-bob"[..]),
            ("x-api-key", b""),
            ("x-api-key", b"\xff\xfe"),
            ("x-api-key", &[b'k'; 5_000]),
            ("authorization", b"Bearer sk-bob"),
            ("authorization", b"Bearer"),
            ("authorization", b"Basic c2stYW5uOg=="),
            ("authorization", b"Bearer sk-ann\xff"),
        ] {
            let body = Chunks::hanging(Vec::new());
            let value = HeaderValue::from_bytes(value).unwrap();
            let request = Request::post(path).header(name, value).body(body).unwrap();
            let (status, answer) = desk.send(request);
            assert_eq!(status, 401, "{path}: {name}");
            assert!(!answer.to_string().contains("sk-"), "{answer}");
            said(path, &answer);
        }
        let two = Request::post(path).header("x-api-key", "sk-ann").header("authorization", "Bearer sk-eve");
        assert_eq!(desk.send(two.body(full(String::new())).unwrap()).0, 401);
    }
    assert_eq!(desk.standing(), 0);
}

#[test]
fn hostile_headers_change_no_answer() {
    let hostile: [(&str, &[u8]); 9] = [
        ("x-request-id", b"a\"b\\<>\xff"),
        ("x-request-id", &[b'x'; 4_000]),
        ("accept", b"\xff\xff;q=,,,;;;=application/problem+json"),
        ("content-type", b"\xff"),
        ("content-length", b"-1"),
        ("content-encoding", b"gzip"),
        ("transfer-encoding", b"chunked, chunked"),
        ("x-forwarded-for", b"' OR 1=1"),
        ("ratelimit", b"\"x\";r=999"),
    ];
    for (name, value) in hostile {
        let value = HeaderValue::from_bytes(value).unwrap();
        let with = |body: &str| {
            let mut request = request(CHAT, full(body.to_owned()));
            request.headers_mut().insert(HeaderName::from_static(name), value.clone());
            request
        };
        let (status, body) = Desk::new(false).send(with("{"));
        assert_eq!((status, said(CHAT, &body).0.as_str()), (400, "invalid_request"), "{name}");
        assert_eq!(Desk::new(true).send(with(r#"{"model":"gpt-4o"}"#)).0, 200, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_are_answered_and_what_is_refused_leaves_no_trace(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        inside in any::<bool>(),
        header in prop::collection::vec(any::<u8>(), 0..60),
        route in 0..ROUTES.len(),
    ) {
        let desk = Desk::new(true);
        let body = if inside { [br#"{"model":"gpt-4o","n":"#, &bytes[..], b"}"].concat() } else { bytes };
        let body = http_body_util::Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        let mut request = request(ROUTES[route], body);
        for name in ["accept", "x-request-id", "content-type", "authorization"] {
            if let Ok(value) = HeaderValue::from_bytes(&header) {
                request.headers_mut().insert(name, value);
            }
        }
        let (status, answer) = desk.send(request);
        prop_assert!(status == 200 || (400..500).contains(&status), "{status}: {answer}");
        if status != 200 {
            prop_assert_eq!(desk.standing(), 0);
        }
    }
}
