//! `[http]` of a configuration, from a request to what clients see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use flashops::Controls;
use flashops::core::caller::Caller;
use flashops::core::clock::ManualClock;
use flashops::core::config::{Config, NoSources};
use flashops::core::network::Networks;
use flashops::core::store::MemoryStore;
use flashops::tower::client_ip::PeerAddr;
use flashops::tower::ip_allow::AddressRules;
use flashops::tower::trace_id::TraceId;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Every request counts, twice in a minute for each caller.
const TWICE: &str = r#"
[[limit]]
name = "rpm"
scope = "user"
resource = "requests"
amount = 2
window = "1m"
routes = ["/**"]
"#;

const CHAT: &str = "/v1/chat/completions";

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// `None` if it broke off.
    body: Option<Bytes>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

fn controls(config: &str) -> Controls<MemoryStore<ManualClock>> {
    Controls::with(&Config::from_toml(config, &NoSources).unwrap(), ManualClock::new(), ())
}

async fn send(controls: &Controls<MemoryStore<ManualClock>>, request: Request<AnyBody>) -> Answer {
    let service = ServiceBuilder::new()
        .layer(controls.layer())
        .service(service_fn(|request| async move { Ok::<_, Infallible>(inner(request).await) }));
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
    Answer { status: head.status, headers: head.headers, body }
}

/// Does what the path says.
async fn inner<B: http_body::Body<Data = Bytes>>(request: Request<B>) -> Response<AnyBody> {
    let (parts, body) = request.into_parts();
    let text = match parts.uri.path() {
        "/whoami" => parts.extensions.get::<Caller>().unwrap().user().to_owned(),
        "/trace" => parts.extensions.get::<TraceId>().unwrap().as_str().to_owned(),
        "/panic" => panic!("the password is hunter2"),
        "/hang" => std::future::pending().await,
        "/pause" => return Response::new(paused()),
        "/read" => match body.collect().await {
            Ok(body) => body.to_bytes().len().to_string(),
            Err(_) => return status(StatusCode::UNPROCESSABLE_ENTITY),
        },
        "/readyz" => return text(StatusCode::SERVICE_UNAVAILABLE, "[-]database failed"),
        "/broken" => return text(StatusCode::SERVICE_UNAVAILABLE, "the password is hunter2"),
        "/pets" => "rex".to_owned(),
        CHAT => r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#.to_owned(),
        _ => return status(StatusCode::NOT_FOUND),
    };
    Response::new(any(Full::from(text)))
}

/// One word, and then nothing for ever.
fn paused() -> AnyBody {
    let word = stream::iter([Ok(Frame::data(Bytes::from_static(b"word")))]);
    StreamBody::new(futures_util::StreamExt::chain(word, stream::pending())).boxed_unsync()
}

fn status(status: StatusCode) -> Response<AnyBody> {
    let mut response = Response::new(any(Full::default()));
    *response.status_mut() = status;
    response
}

fn text(code: StatusCode, text: &'static str) -> Response<AnyBody> {
    let mut response = status(code).map(|_| any(Full::from(text)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    response
}

fn any(body: Full<Bytes>) -> AnyBody {
    body.map_err(|never| match never {}).boxed_unsync()
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<AnyBody> {
    let mut request = Request::get(path).body(any(Full::default())).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn from(peer: &str, path: &str, headers: &[(&str, &str)]) -> Request<AnyBody> {
    let mut request = get(path, headers);
    request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    request
}

#[tokio::test]
async fn e1_every_response_has_the_security_headers_unless_they_are_switched_off() {
    let usual = controls(TWICE);
    for (path, code) in [("/pets", 200), ("/nowhere", 404), ("/pets", 429)] {
        let answer = send(&usual, get(path, &[])).await;
        assert_eq!(answer.status.as_u16(), code);
        for name in [
            "content-security-policy",
            "x-frame-options",
            "x-content-type-options",
            "referrer-policy",
            "permissions-policy",
        ] {
            assert!(answer.headers.contains_key(name), "{code} {name}");
        }
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
    let forced = send(&controls("[http]\nsecurity_headers = \"html\"\nhsts = true"), get("/pets", &[])).await;
    assert_eq!(forced.header("strict-transport-security"), "max-age=63072000; includeSubDomains");
    assert_eq!(forced.header("cross-origin-opener-policy"), "same-origin");
    let none = send(&controls("[http]\nsecurity_headers = \"none\"\nhsts = true"), get("/pets", &[])).await;
    assert_eq!((none.header("x-frame-options"), none.header("strict-transport-security")), ("", ""));
}

#[tokio::test]
async fn e2_pages_of_the_list_may_call_and_a_preflight_counts_nowhere() {
    let desk = controls(&format!("{TWICE}[http]\ncors_origins = [\"https://app.example.com\"]"));
    for _ in 0..10 {
        let mut preflight = get(
            "/pets",
            &[
                ("origin", "https://app.example.com"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "x-api-key,content-type"),
            ],
        );
        *preflight.method_mut() = Method::OPTIONS;
        let answer = send(&desk, preflight).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
        assert_eq!(answer.header("access-control-allow-headers"), "x-api-key,content-type");
        assert_eq!(answer.header("access-control-allow-methods"), "POST");
        assert!(!answer.header("x-request-id").is_empty() && !answer.header("x-content-type-options").is_empty());
    }
    let own = send(&desk, get("/pets", &[("origin", "https://app.example.com")])).await;
    assert_eq!((own.status, own.header("access-control-allow-origin")), (StatusCode::OK, "https://app.example.com"));
    let exposed = own.header("access-control-expose-headers");
    assert!(["retry-after", "x-trace-id", "ratelimit"].iter().all(|name| exposed.contains(name)), "{exposed}");
    let other = send(&desk, get("/pets", &[("origin", "https://evil.example.com")])).await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (StatusCode::OK, ""));
    let refused = send(&desk, get("/pets", &[("origin", "https://app.example.com")])).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("access-control-allow-origin"), "https://app.example.com", "a page can read the refusal");
    let any = send(&controls("[http]\ncors_origins = [\"*\"]"), get("/pets", &[("origin", "https://a.example")])).await;
    assert_eq!(any.header("access-control-allow-origin"), "*");
    assert_eq!(send(&controls(""), get("/pets", &[("origin", "https://a.example")])).await.header("vary"), "");
}

#[tokio::test]
async fn e3_administrators_come_from_their_networks_and_the_list_changes_while_it_runs() {
    let desk = controls("[http]\nadmin_routes = [\"/pets\"]\nadmin_allow = [\"10.0.0.0/8\"]\ndeny = [\"10.6.0.0/16\"]");
    let code = async |peer: &str, path: &str| send(&desk, from(peer, path, &[])).await.status.as_u16();
    assert_eq!(code("10.0.0.1:1", "/pets").await, 200);
    assert_eq!(code("192.0.2.7:1", "/pets").await, 403);
    assert_eq!(code("192.0.2.7:1", "/trace").await, 200);
    assert_eq!(code("10.6.0.1:1", "/trace").await, 403);
    assert_eq!(send(&desk, get("/pets", &[])).await.status, StatusCode::FORBIDDEN, "from nowhere");
    let allow = Some("192.0.2.0/24".parse::<Networks>().unwrap());
    desk.addresses().replace(AddressRules { allow, ..AddressRules::default() });
    assert_eq!(code("192.0.2.7:1", "/pets").await, 200);
    assert_eq!(code("10.0.0.1:1", "/pets").await, 403);
}

#[tokio::test]
async fn e3_x_forwarded_for_is_believed_from_trusted_proxies_only() {
    let desk = controls("[http]\ntrusted_proxies = [\"10.0.0.0/8\"]\nipv6_prefix = 56");
    let spoofed = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7, 10.0.0.2")];
    let user = async |request| String::from_utf8(send(&desk, request).await.body.unwrap().to_vec()).unwrap();
    assert_eq!(user(from("10.0.0.1:1", "/whoami", &spoofed)).await, "192.0.2.7");
    assert_eq!(user(from("198.51.100.1:1", "/whoami", &spoofed)).await, "198.51.100.1");
    let wide = [("x-forwarded-for", "2001:db8:1:2ff::7")];
    assert_eq!(user(from("10.0.0.1:1", "/whoami", &wide)).await, "2001:db8:1:200::/56");
    let usual = controls("");
    let peer = send(&usual, from("10.0.0.1:1", "/whoami", &spoofed)).await;
    assert_eq!(peer.body.unwrap(), "10.0.0.1");
    let hops = controls("[http]\nclient_ip = \"forwarded\"\ntrusted_hops = 1");
    let nearest = [("forwarded", "for=6.6.6.6, for=\"192.0.2.9:1\"")];
    assert_eq!(send(&hops, from("203.0.113.1:1", "/whoami", &nearest)).await.body.unwrap(), "192.0.2.9");
    let real = controls("[http]\nclient_ip = \"x-real-ip\"\ntrusted_proxies = [\"loopback\"]");
    let answer = send(&real, from("127.0.0.1:1", "/whoami", &[("x-real-ip", "192.0.2.8")])).await;
    assert_eq!(answer.body.unwrap(), "192.0.2.8");
}

#[tokio::test]
async fn e3_a_limit_of_anonymous_callers_is_not_escaped_by_headers() {
    let desk = controls(&format!("{TWICE}[http]\ntrusted_proxies = [\"10.0.0.0/8\"]"));
    let mut admitted = 0;
    for number in 0..1_000 {
        let line = format!("198.51.{}.{}, 192.0.2.7", number / 256, number % 256);
        let answer = send(&desk, from("10.0.0.1:1", "/pets", &[("x-forwarded-for", &line)])).await;
        admitted += u32::from(answer.status == StatusCode::OK);
    }
    assert_eq!(admitted, 2, "of a thousand");
}

#[tokio::test]
async fn e4_the_trace_id_is_inside_on_every_response_and_in_every_error_body() {
    let desk = controls(&format!("{TWICE}[http]\nadmin_routes = [\"/admin\"]\nmax_body = 10"));
    let inside = send(&desk, get("/trace", &[("x-trace-id", "t-1")])).await;
    assert_eq!((inside.body.as_deref(), inside.header("x-trace-id")), (Some(&b"t-1"[..]), "t-1"));
    assert_eq!(inside.header("x-request-id"), "t-1");
    let long = |path: &str| {
        let request = get(path, &[("x-trace-id", "t-1")]);
        request.map(|_| any(Full::from("eleven bytes")))
    };
    for (request, code) in [
        (get("/nowhere", &[("x-trace-id", "t-1")]), 404),
        (get("/pets", &[("x-trace-id", "t-1")]), 429),
        (get("/admin", &[("x-trace-id", "t-1")]), 403),
        (get("/pets", &[("x-trace-id", "t-1"), ("x-api-key", "sk-eve")]), 401),
        (long("/read"), 413),
    ] {
        let answer = send(&desk, request).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-trace-id")), (code, "t-1"));
        assert_eq!(answer.json()["instance"], "urn:flashops:request:t-1", "{code}");
    }
    let never = controls("[http]\ntrust_request_ids = \"never\"");
    assert_eq!(send(&never, get("/trace", &[("x-trace-id", "t-1")])).await.body.unwrap().len(), 32);
    let proxied = controls("[http]\ntrust_request_ids = \"trusted-proxies\"\ntrusted_proxies = [\"10.0.0.0/8\"]");
    for (peer, id) in [("10.0.0.1:1", Some(&b"t-1"[..])), ("192.0.2.7:1", None)] {
        let answer = send(&proxied, from(peer, "/trace", &[("x-trace-id", "t-1")])).await;
        assert_eq!(answer.body.as_deref().filter(|id| id.len() < 32), id, "{peer}");
    }
}

#[tokio::test]
async fn e5_a_panic_is_a_clean_body_with_the_trace_id_and_nothing_of_it() {
    let answer = send(&controls(""), get("/panic", &[("x-trace-id", "t-1")])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (500, &Value::from("internal_error")));
    assert_eq!(answer.json()["instance"], "urn:flashops:request:t-1");
    assert!(!format!("{answer:?}").contains("hunter2"));
    let text = send(&controls(""), get("/broken", &[])).await;
    assert_eq!((text.status.as_u16(), &text.json()["code"]), (503, &Value::from("overloaded")));
    assert!(!format!("{text:?}").contains("hunter2"));
    let probe = send(&controls(""), get("/readyz", &[])).await;
    assert_eq!((probe.status.as_u16(), probe.body.as_deref()), (503, Some(&b"[-]database failed"[..])));
}

fn ask(headers: &[(&str, &str)], body: String) -> Request<AnyBody> {
    let mut request = get(CHAT, headers).map(|_| any(Full::from(body)));
    *request.method_mut() = Method::POST;
    request
}

/// The same body without a declared length.
fn in_chunks(request: Request<AnyBody>) -> Request<AnyBody> {
    request.map(|body| {
        let frames = stream::unfold(body, |mut body| async { body.frame().await.map(|frame| (frame, body)) });
        StreamBody::new(Box::pin(frames)).boxed_unsync()
    })
}

#[tokio::test]
async fn a11_and_e8_a_body_beyond_the_bound_is_a_413_in_the_dialect_of_the_route() {
    let desk = controls("[http]\nmax_body = 100");
    let body = |length: usize| {
        let start = r#"{"model":"gpt-4o-mini","max_tokens":1,"messages":[],"user":""#;
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    for (request, code) in [
        (ask(&[], body(100)), 200),
        (ask(&[], body(101)), 413),
        (in_chunks(ask(&[], body(100))), 200),
        (in_chunks(ask(&[], body(101))), 413),
    ] {
        let answer = send(&desk, request).await;
        assert_eq!(answer.status.as_u16(), code, "{answer:?}");
        if code == 413 {
            assert_eq!(answer.json()["error"]["code"], "request_too_large");
            assert_eq!(answer.json()["error"]["request_id"], answer.header("x-request-id"));
        }
    }
    let mut pets = in_chunks(ask(&[], body(101)));
    *pets.uri_mut() = "/read".parse().unwrap();
    let pets = send(&desk, pets).await;
    assert_eq!((pets.status.as_u16(), pets.header("content-type")), (413, "application/problem+json"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_ends_at_its_deadline_in_the_dialect_of_the_route() {
    let desk = controls("[http]\ndeadline = \"30s\"");
    let begun = tokio::time::Instant::now();
    let answer = send(&desk, get("/hang", &[("x-trace-id", "t-1")])).await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (504, &Value::from("deadline_exceeded")));
    assert_eq!(answer.header("x-trace-id"), "t-1");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_pauses_or_goes_on_for_too_long_is_cut() {
    for (keys, seconds) in [
        ("idle_timeout = \"20s\"", 20),
        ("response_deadline = \"50s\"", 50),
        ("idle_timeout = \"20s\"\nresponse_deadline = \"50s\"", 20),
        ("idle_timeout = \"50s\"\nresponse_deadline = \"20s\"", 20),
    ] {
        let desk = controls(&format!("[http]\n{keys}"));
        let begun = tokio::time::Instant::now();
        let answer = send(&desk, get("/pause", &[])).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, None), "{keys}");
        assert_eq!(begun.elapsed(), Duration::from_secs(seconds), "{keys}");
        let whole = send(&desk, get("/pets", &[])).await;
        assert_eq!(whole.body.as_deref(), Some(&b"rex"[..]), "{keys}");
        assert_eq!(send(&desk, get("/nowhere", &[])).await.json()["code"], "not_found", "{keys}");
    }
}

#[test]
fn without_deadlines_no_runtime_is_needed() {
    let answer = futures_util::FutureExt::now_or_never(send(&controls(""), get("/pets", &[])));
    assert_eq!(answer.expect("nothing waits").status, StatusCode::OK);
}

#[test]
fn e7_no_key_of_a_caller_is_shown_by_any_debug_output() {
    struct Secrets;
    impl flashops::core::config::Sources for Secrets {
        fn file(&self, _: &str) -> std::io::Result<String> {
            Ok("sk-hunter2-file".to_owned())
        }

        fn variable(&self, _: &str) -> std::io::Result<String> {
            Ok("sk-hunter2-env".to_owned())
        }
    }
    let callers = "[[caller]]\nkey = \"sk-hunter2\"\nuser = \"a\"\norg = \"o\"\n\
                   [[caller]]\nkey_file = \"f\"\nuser = \"b\"\norg = \"o\"\n\
                   [[caller]]\nkey_env = \"E\"\nuser = \"c\"\norg = \"o\"\n";
    let config = Config::from_toml(callers, &Secrets).unwrap();
    let controls = Controls::with(&config, ManualClock::new(), ());
    let service = controls.layer();
    let shown = format!("{config:?} {controls:?} {service:?} {:?} {:#?}", config.callers(), config.http());
    assert!(!shown.contains("hunter2"), "{shown}");
    let known = ["sk-hunter2", "sk-hunter2-file", "sk-hunter2-env"];
    assert!(known.iter().all(|key| config.callers().find(key.as_bytes()).is_some()));
}
