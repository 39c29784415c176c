//! The identity of requests, from what a client sends to what it gets back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::convert::Infallible;

use bytes::Bytes;
use flashops_core::limit::RoutePatterns;
use flashops_tower::client_ip::PeerAddr;
use flashops_tower::trace_id::{MAX_TEXT, TraceId, TraceIdLayer, TrustIncoming};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt, service_fn};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// What the service inside saw.
    seen: HeaderMap,
    id: TraceId,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }
}

/// Sends a request through the layer to a service that answers like this.
fn send(layer: &TraceIdLayer, request: Request<()>, answer: Response<Full<Bytes>>) -> Answer {
    let mut answer = Some(answer);
    let mut seen = None;
    let service = service_fn(|request: Request<()>| {
        let id = request.extensions().get::<TraceId>().unwrap().clone();
        seen = Some((request.headers().clone(), id));
        let answer = answer.take().unwrap();
        async { Ok::<_, Infallible>(answer) }
    });
    let service = ServiceBuilder::new().layer(layer.clone()).service(service);
    let response = service.oneshot(request).now_or_never().unwrap().unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
    let (seen, id) = seen.unwrap();
    Answer { status: head.status, headers: head.headers, body, seen, id }
}

fn ask(path: &str, headers: &[(&str, &[u8])]) -> Request<()> {
    let mut request = Request::post(path).body(()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

fn error(status: u16, kind: Option<&str>, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if let Some(kind) = kind {
        response = response.header("content-type", kind).header("content-length", body.len());
    }
    response.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

fn ok() -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"fine")))
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn one_identity_is_inside_on_the_response_and_in_the_error_body() {
    let layer = TraceIdLayer::new();
    for (path, pointer, anthropic) in
        [("/v1/chat/completions", "/error/request_id", false), ("/v1/messages", "/request_id", true)]
    {
        for (given, value) in [("x-trace-id", "t-1"), ("x-request-id", "r.2"), ("x-pet", "no")] {
            let answer = send(&layer, ask(path, &[(given, value.as_bytes())]), error(404, None, ""));
            let id = answer.id.as_str().to_owned();
            assert_eq!(given == "x-pet", id.len() == 32, "{id}");
            assert_eq!((answer.header("x-request-id"), answer.header("x-trace-id")), (&*id, &*id));
            assert_eq!(answer.header("request-id"), if anthropic { &id } else { "" });
            assert_eq!(answer.json().pointer(pointer), Some(&json!(id)), "{path}");
            assert_eq!(
                (&answer.seen["x-request-id"], &answer.seen["x-trace-id"]),
                (answer.id.header(), answer.id.header())
            );
        }
    }
    let answer = send(&layer, ask("/pets", &[]), ok());
    assert_eq!((answer.header("x-trace-id"), &answer.body[..]), (answer.id.as_str(), &b"fine"[..]));
}

#[test]
fn a_trace_is_continued_inside_and_a_broken_one_is_not() {
    let layer = TraceIdLayer::new();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let state = ("tracestate", &b"vendor=1"[..]);
    let good = send(&layer, ask("/pets", &[("traceparent", parent.as_bytes()), state]), ok());
    let inside = good.seen["traceparent"].to_str().unwrap();
    assert!(inside.starts_with(&format!("00-{TRACE}-")) && inside.ends_with("-01") && inside != parent, "{inside}");
    assert_eq!(good.header("x-trace-id"), TRACE);
    assert_eq!(good.seen["tracestate"], "vendor=1");

    let broken = parent.replace("-01", "-1");
    let bad = send(&layer, ask("/pets", &[("traceparent", broken.as_bytes()), state]), ok());
    let inside = bad.seen["traceparent"].to_str().unwrap();
    assert!(inside.ends_with("-02") && !inside.contains(TRACE), "a new one, random and not sampled: {inside}");
    assert!(!bad.seen.contains_key("tracestate"));
}

#[test]
fn a_stranger_cannot_switch_sampling_on() {
    let layer = TraceIdLayer::new().with_trust(TrustIncoming::FromTrustedPeers("10.0.0.0/8".parse().unwrap()));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for (peer, continued) in [("10.0.0.1:1", true), ("192.0.2.7:1", false)] {
        let mut request = ask("/pets", &[("traceparent", parent.as_bytes()), ("x-trace-id", b"mine")]);
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        let answer = send(&layer, request, ok());
        assert_eq!(answer.id.context().is_sampled(), continued, "{peer}");
        assert_eq!(answer.header("x-trace-id") == "mine", continued, "{peer}");
    }
}

#[test]
fn none_of_4096_hostile_identities_reaches_a_log_a_header_or_a_body() {
    let layer = TraceIdLayer::new();
    let (mut tried, mut taken) = (0, 0);
    // Any byte, and one that ends lines, fields, texts or tags behind it, between two letters.
    let ends = *b"\r\n\0\t \"\\',;:={}<a";
    for (first, second) in (0..=255_u8).flat_map(|first| ends.map(|second| (first, second))) {
        tried += 1;
        let hostile = [b'a', first, second, b'z'];
        if HeaderValue::from_bytes(&hostile).is_err() {
            continue;
        }
        let name = if first & 1 == 0 { "x-trace-id" } else { "x-request-id" };
        let answer = send(&layer, ask("/v1/messages", &[(name, &hostile)]), error(405, None, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_plain = hostile.iter().all(|b| plain(*b));
        assert_eq!(answer.id.as_str().as_bytes() == hostile, is_plain, "{hostile:?}");
        taken += usize::from(is_plain);
        assert!(answer.id.as_str().bytes().all(plain));
        for headers in [&answer.headers, &answer.seen] {
            assert_eq!(headers["x-request-id"], answer.id.as_str());
            assert_eq!(headers["x-trace-id"], answer.id.as_str());
        }
        assert_eq!(answer.json()["request_id"], answer.id.as_str());
    }
    assert_eq!((tried, taken), (4_096, 65), "a letter, a digit or one of three signs before the one letter");
}

#[test]
fn a_flood_of_long_and_many_identities_costs_one_short_one_each() {
    let layer = TraceIdLayer::new();
    let mut ids = HashSet::new();
    for length in (0..10_000).map(|number| 129 + number % 8_000) {
        let long = vec![b'a'; length];
        let lines: Vec<(&str, &[u8])> = [("x-trace-id", &long[..]), ("traceparent", &long[..])].repeat(2);
        let answer = send(&layer, ask("/pets", &lines), ok());
        assert_eq!(answer.seen.get_all("x-trace-id").iter().count(), 1);
        assert_eq!(answer.seen.get_all("traceparent").iter().count(), 1);
        assert_eq!(answer.headers.iter().map(|(_, value)| value.len()).max(), Some(32));
        ids.insert(answer.id.as_str().to_owned());
    }
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn an_error_without_a_body_gets_one_in_the_dialect_of_the_route() {
    let layer = TraceIdLayer::new();
    for (status, open_ai, anthropic) in [
        (401, "invalid_api_key", "authentication_error"),
        (404, "not_found", "not_found_error"),
        (405, "method_not_allowed", "invalid_request_error"),
        (413, "request_too_large", "request_too_large"),
        (422, "invalid_request", "invalid_request_error"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (500, "internal_error", "api_error"),
        (503, "overloaded", "overloaded_error"),
        (504, "deadline_exceeded", "timeout_error"),
    ] {
        let answer = |path| send(&layer, ask(path, &[]), error(status, None, ""));
        let [chat, messages, pets] = ["/v1/chat/completions", "/v1/messages", "/pets"].map(answer);
        assert_eq!((chat.status.as_u16(), &chat.json()["error"]["code"]), (status, &json!(open_ai)));
        assert_eq!(messages.json()["error"]["type"], anthropic);
        assert_eq!((&pets.json()["status"], &pets.json()["code"]), (&json!(status), &json!(open_ai)));
        assert_eq!(pets.json()["instance"], format!("urn:flashops:request:{}", pets.id.as_str()));
        assert_eq!(pets.header("content-type"), "application/problem+json");
        assert_eq!((chat.header("content-type"), chat.header("cache-control")), ("application/json", "no-store"));
    }
}

#[test]
fn plain_text_becomes_the_message_of_a_client_error_and_of_no_other() {
    let layer = TraceIdLayer::new();
    let text = "Failed to deserialize: missing field `pet` \"<b>\"";
    let bad = send(&layer, ask("/pets", &[]), error(422, Some("text/plain; charset=utf-8"), text));
    assert_eq!((&bad.json()["detail"], bad.header("content-length")), (&json!(text), ""));
    let trace = "thread 'main' panicked at src/main.rs:7: password=hunter2";
    let broken = send(&layer, ask("/pets", &[]), error(500, Some("text/plain"), trace));
    assert_eq!(broken.json()["detail"], "The service failed to handle the request.");
    assert!(!std::str::from_utf8(&broken.body).unwrap().contains("hunter2"));
}

#[test]
fn what_says_something_itself_passes_byte_by_byte() {
    let layer = TraceIdLayer::new();
    let long = "x".repeat(MAX_TEXT + 1);
    for (path, status, kind, body) in [
        ("/pets", 200, Some("text/plain"), "fine"),
        ("/pets", 404, Some("application/json"), "{\"no\":\"pet\"}"),
        ("/pets", 500, Some("text/html"), "<h1>Oh</h1>"),
        ("/pets", 404, None, "of no kind"),
        ("/pets", 404, Some("text/plain"), &long),
        ("/v1/messages", 404, Some("text/plain"), "404 page not found"),
        ("/v1/chat/completions", 502, Some("text/plain"), "upstream"),
    ] {
        let answer = send(&layer, ask(path, &[]), error(status, kind, body));
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body.as_bytes()), "{path} {status}");
        assert_eq!(answer.header("x-request-id"), answer.id.as_str());
    }
    let probes = layer.clone().with_text_routes(RoutePatterns::new(["/readyz"]).unwrap());
    let ready = send(&probes, ask("/readyz", &[]), error(503, Some("text/plain"), "[-]database failed"));
    assert_eq!(ready.body, "[-]database failed");
    let mut head = ask("/pets", &[]);
    *head.method_mut() = Method::HEAD;
    assert!(send(&layer, head, error(404, None, "")).body.is_empty());
}
