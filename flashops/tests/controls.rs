//! From a configuration to what clients see.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flashops::Controls;
use flashops::core::caller::Caller;
use flashops::core::clock::ManualClock;
use flashops::core::config::{Config, NoSources};
use flashops::core::key::{Key, Scopes};
use flashops::core::record::{Event, Recorder};
use flashops::core::store::{Standing, Store};
use flashops::tower::budget::{ModelRoute, OUTPUT_CAP};
use flashops::tower::client_ip::PeerAddr;
use flashops::tower::inspect::WireFormat;
use flashops_testkit::stub;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

const CHAT: &str = "/v1/chat/completions";
const AI_CHAT: &str = "/api/v1/ai/chat";

const CALLERS: &str = r#"
[[caller]]
key = "sk-ann"
user = "ann"
org = "acme"

[[caller]]
key = "sk-namesake"
user = "ann"
org = "initech"

[[caller]]
key = "sk-root"
user = "root"
org = "ops"
admin = true
"#;

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A service under the controls of a configuration.
struct Desk {
    controls: Controls<ManualClock>,
    clock: ManualClock,
    service: BoxCloneService<Request<Full<Bytes>>, Response<AnyBody>, BoxError>,
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Desk {
    fn new(config: &str) -> Self {
        Self::with(config, ())
    }

    fn with(config: &str, recorder: impl Recorder) -> Self {
        let config = Config::from_toml(&format!("{CALLERS}{config}"), &NoSources).unwrap();
        let clock = ManualClock::new();
        let controls = Controls::with(&config, clock.clone(), recorder);
        let service = ServiceBuilder::new()
            .layer(controls.layer())
            .service(service_fn(|request| async move { Ok::<_, BoxError>(inner(request).await) }));
        let service = service.map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()));
        Self { controls, clock, service: service.boxed_clone() }
    }

    fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = async {
            let response = self.service.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: head.status.as_u16(), headers: head.headers, body }
        };
        answer.now_or_never().expect("nothing waits")
    }

    fn standings(&self, keys: &Scopes<'_>) -> Vec<Standing> {
        let budget = self.controls.budget();
        budget.store().standings_now(keys, budget.policy().select(|_| true))
    }

    /// What ann and everybody have used, by limit.
    fn used(&self) -> Vec<u64> {
        let ann = Caller::new("ann", "acme");
        self.standings(&ann.scopes().with(Key::global())).iter().map(|one| one.used).collect()
    }
}

/// The stub provider on the routes of models, a panic on demand, and nothing elsewhere.
async fn inner<B>(request: Request<B>) -> Response<AnyBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Debug,
{
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert!(!parts.headers.contains_key("x-panic"), "a panic on demand");
    if parts.uri.path() == "/whoami" {
        let caller = parts.extensions.get::<Caller>().unwrap();
        let text = format!("{} of {}, admin: {}", caller.user(), caller.org(), caller.is_admin());
        return Response::new(full(text));
    }
    if parts.uri.path() == AI_CHAT {
        parts.uri = CHAT.parse().unwrap();
    }
    let response = stub::respond(Request::from_parts(parts, body));
    response.map(|body| body.map_err(|error| BoxError::from(format!("{error:?}"))).boxed_unsync())
}

fn full(text: String) -> AnyBody {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("x-api-key", "sk-ann").body(Full::default()).unwrap()
}

/// A call of a model: five words in, and ten out.
fn ask(path: &str) -> Request<Full<Bytes>> {
    let message = json!({"role": "user", "content": "one two three [reply 10]"});
    ask_with(path, json!({"model": "gpt-4o-mini", "max_tokens": 20, "messages": [message]}))
}

fn ask_with(path: &str, body: Value) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from(body.to_string()));
    Request::post(path).header("x-api-key", "sk-ann").body(body).unwrap()
}

fn with_header<T>(mut request: Request<T>, name: &'static str, value: &str) -> Request<T> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn without_key<T>(mut request: Request<T>) -> Request<T> {
    request.headers_mut().remove("x-api-key");
    request
}

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
fn a_namesake_in_another_organisation_neither_uses_up_nor_sees_what_a_user_has() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        routes = ["/**"]
        "#,
    );
    let by_namesake = |request| with_header(request, "x-api-key", "sk-namesake");
    assert_eq!(desk.send(get("/pets")).status, 404);
    assert_eq!(desk.send(ask(CHAT)).status, 429);
    let other = desk.send(by_namesake(ask(CHAT)));
    assert_eq!((other.status, desk.used()), (200, vec![1]));
    assert_eq!(desk.send(by_namesake(get("/pets"))).status, 429);
}

const NONE_ANYWHERE: &str = r#"
    [[limit]]
    name = "none"
    scope = "user"
    resource = "requests"
    amount = 0
    window = "1m"
    routes = ["/**"]
"#;

#[test]
fn health_checks_are_neither_counted_nor_identified() {
    let desk = Desk::new(&format!("{NONE_ANYWHERE}[policy]\nanonymous = \"refuse\""));
    for path in [
        "/livez",
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
    for path in ["/livez/x", "/healthz", "/api/v1/healthy", "/api/v1/health/../ai/usage"] {
        assert_eq!(desk.send(get(path)).status, 429, "{path}");
    }
}

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

const ROUTES: &str = r#"
    [[route]]
    path = "/api/v1/ai/chat"
    dialect = "openai"
    max_output = 15
    default_model = "gpt-4o-mini"

    [[route]]
    path = "/api/v1/ai/claude"
    dialect = "anthropic"

    [[route]]
    path = "/api/v1/ai/strict"
    dialect = "problem"
    max_output = 25
    on_over = "refuse"
"#;

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

#[test]
fn without_a_key_a_caller_is_its_address() {
    let config = r#"
        [[limit]]
        name = "rpm"
        scope = "user"
        resource = "requests"
        amount = 1
        window = "1m"
        routes = ["/**"]
    "#;
    let at = |address: &str| {
        let mut request = without_key(get("/whoami"));
        request.extensions_mut().insert(PeerAddr(address.parse().unwrap()));
        request
    };
    let desk = Desk::new(config);
    let first = desk.send(at("192.0.2.7:1"));
    assert_eq!(&first.body[..], b"192.0.2.7 of 192.0.2.7, admin: false");
    assert_eq!(desk.send(at("192.0.2.7:2")).status, 429);
    assert_eq!(desk.send(at("192.0.2.8:1")).status, 200);
    assert_eq!(desk.send(without_key(get("/whoami"))).status, 200, "all without an address are one");
    assert_eq!(desk.send(without_key(get("/whoami"))).status, 429);

    let strict = Desk::new(&format!("{config}[policy]\nanonymous = \"refuse\""));
    for request in [at("192.0.2.7:1"), without_key(ask(CHAT))] {
        let refused = strict.send(request);
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    }
}

#[test]
fn an_unknown_key_is_refused_and_never_anonymous() {
    let desk = Desk::new("");
    for request in [get("/pets"), ask(CHAT)] {
        let refused = desk.send(with_header(request, "x-api-key", "sk-ann2"));
        assert_eq!(refused.status, 401);
        assert!(!std::str::from_utf8(&refused.body).unwrap().contains("sk-ann"));
    }
}

#[test]
fn a_caller_that_the_application_found_comes_before_any_key_and_has_its_address_too() {
    let desk = Desk::new(
        r#"
        [[limit]]
        name = "address"
        scope = "ip"
        resource = "requests"
        amount = 2
        window = "1m"
        routes = ["/**"]
        "#,
    );
    let from = |mut request: Request<Full<Bytes>>| {
        request.extensions_mut().insert(PeerAddr("192.0.2.7:1".parse().unwrap()));
        request
    };
    let by_extension = |path| {
        let mut request = with_header(from(get(path)), "x-api-key", "sk-nobody");
        request.extensions_mut().insert(Caller::admin("bob", "own"));
        request
    };
    let response = desk.send(by_extension("/whoami"));
    assert_eq!(&response.body[..], b"bob of own, admin: true");
    assert_eq!(
        &desk.send(with_header(from(get("/whoami")), "x-api-key", "sk-root")).body[..],
        b"root of ops, admin: true"
    );
    assert_eq!(desk.send(by_extension("/whoami")).status, 429);
    assert_eq!(desk.send(from(get("/whoami"))).status, 429);
}

#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Recorder for Notes {
    fn record(&self, event: &Event<'_>) {
        let note = match event {
            Event::Threshold { crossing, policy, .. } => {
                format!("{} at {}", policy.limit(crossing.limit).name(), crossing.threshold)
            }
            Event::OrgThreshold(reached) => format!("{} used {} tokens", reached.org, reached.tokens),
            _ => return,
        };
        self.0.lock().unwrap().push(note);
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
