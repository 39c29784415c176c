//! Nothing sensitive is told: not in lines, not in metrics, not in the bodies of refusals.
#![cfg(feature = "log")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod observe;
mod support;

use bytes::Bytes;
use flashops::log::LogFormat;
use flashops_testkit::exposition::series;
use http::{Method, Request};
use http_body_util::Full;
use observe::Observer;
use serde_json::json;
use support::{AI_CHAT, CHAT, Desk, Script, read, with_header, with_script};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Identity;

/// Stands wherever something is that nobody may learn.
const MARKER: &str = "xMARKERx";

const CONFIG: &str = r#"
    [[caller]]
    key = "sk-xMARKERx"
    user = "eve"
    org = "acme"

    [[limit]]
    name = "rpm"
    scope = "user"
    resource = "requests"
    amount = 30
    window = "1m"
    routes = ["/**"]

    [[limit]]
    name = "grant"
    scope = "org"
    resource = "tokens"
    amount = 100000
    window = "1h"
    thresholds = [0.001]

    [[route]]
    path = "/api/v1/ai/chat"
    dialect = "openai"
    fallback = ["gpt-4.1-nano"]

    [observe]
    gen_ai = ["latest", "v1.41"]
"#;

type Asked = Request<Full<Bytes>>;

/// A request that is full of secrets, with this body.
fn secret(method: &Method, path: &str, body: String) -> Asked {
    let request = Request::builder().method(method).uri(format!("{path}?key={MARKER}"));
    let request = request.header("cookie", format!("session={MARKER}")).header("x-custom", MARKER);
    request.body(Full::from(body)).unwrap()
}

/// Credentials that are known, unknown, ambiguous, of another scheme, and none.
fn credentials(request: impl Fn() -> Asked) -> Vec<Asked> {
    let bearer = |key: &str| format!("Bearer {key}");
    vec![
        with_header(request(), "x-api-key", &format!("sk-{MARKER}")),
        with_header(request(), "authorization", &bearer(&format!("sk-{MARKER}"))),
        with_header(request(), "authorization", &bearer(&format!("sk-{MARKER}-unknown"))),
        with_header(with_header(request(), "x-api-key", MARKER), "authorization", &bearer("another")),
        with_header(request(), "authorization", &format!("Basic {MARKER}")),
        request(),
    ]
}

fn bodies() -> Vec<String> {
    let with = |model: &str, cap: u64, stream: bool, more: &str| {
        let content = format!("{MARKER} {more}");
        let messages = json!([{"role": "user", "content": content}]);
        json!({"model": model, "max_tokens": cap, "stream": stream, "messages": messages, "input": content, "user": MARKER})
    };
    let good = [
        with("gpt-4o-mini", 5, false, ""),
        with("gpt-4o-mini", 5, true, ""),
        with("gpt-4o-mini", 5, true, "[cut 2]"),
        with("gpt-4o-mini", 5, false, "[fail 500]"),
        with("gpt-4o-mini", 5, false, "[fail 429]"),
        with("gpt-4o-mini", 5, false, "[no-usage]"),
        with("nobody-knows-it", 5, false, ""),
        with("gpt-4o-mini", 900_000, false, ""),
    ];
    let bad =
        [format!("{{\"model\": \"{MARKER}"), MARKER.to_owned(), format!("{{\"prompt\": \"{MARKER}\"}}"), String::new()];
    good.iter().map(ToString::to_string).chain(bad).collect()
}

/// Every path, credential, body, and way in which a service can answer.
fn requests() -> Vec<Asked> {
    let mut all = Vec::new();
    for path in [CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", AI_CHAT, "/nowhere", "/livez"] {
        for body in bodies() {
            all.extend(credentials(|| secret(&Method::POST, path, body.clone())));
        }
        all.extend(credentials(|| secret(&Method::GET, path, MARKER.to_owned())));
        let panics = || with_header(secret(&Method::POST, path, bodies().remove(0)), "x-panic", MARKER);
        all.extend(credentials(panics));
        let answer = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{MARKER}\"}}}}]}}");
        let says = || with_script(secret(&Method::POST, path, bodies().remove(0)), Script::Says(answer.clone()));
        all.extend(credentials(says));
    }
    all
}

/// Sends everything, and gives the bodies of refusals.
fn send_all(desk: &Desk) -> Vec<String> {
    let mut refusals = Vec::new();
    for (count, request) in requests().into_iter().enumerate() {
        // Room for some of them, so that some are admitted on every path and some are refused.
        if count % 20 == 0 {
            desk.clock.advance(std::time::Duration::from_secs(61));
        }
        let calls = desk.calls();
        let answer = desk.open(request);
        let (status, mut body) = (answer.status(), answer.into_body());
        let text = read(&mut body, usize::MAX);
        // What a provider says passes as it is.
        if desk.calls() == calls || status.as_u16() == 500 && !text.contains("stub") {
            refusals.push(format!("{status} {text}"));
        }
    }
    refusals
}

#[test]
fn no_key_prompt_or_body_is_in_a_line_a_metric_or_a_refusal() {
    for format in [LogFormat::Json, LogFormat::Human] {
        let (desk, seen) = (Desk::new(CONFIG), Observer::new(format));
        let refusals = seen.see_with(LevelFilter::TRACE, Identity::new(), || send_all(&desk));
        let (lines, page) = (seen.lines(), seen.page());
        let sent = requests().len();
        assert!(lines.len() > sent / 2 && series(&page).unwrap().len() > 100, "{} lines of {sent}", lines.len());
        assert!(desk.calls() > 50 && refusals.len() > 100, "{} calls, {} refusals", desk.calls(), refusals.len());
        for status in ["400", "401", "413", "429", "500"] {
            assert!(refusals.iter().any(|refusal| refusal.starts_with(status)), "{status} was not among them");
        }
        for text in lines.iter().chain(&refusals).chain([&page]) {
            assert!(!text.contains(MARKER), "{text}");
        }
    }
}
