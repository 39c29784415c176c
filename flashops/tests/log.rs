//! Which lines a log has.
#![cfg(feature = "log")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod observe;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashops::core::caller::Caller;
use flashops::core::health::{HealthObserver, Status, Transition};
use flashops::log::{ErrorHook, LogFormat};
use flashops::tower::health::HealthLog;
use http::Request;
use observe::Observer;
use serde_json::{Value, json};
use support::{CHAT, Desk, Script, ask, ask_with, get, read, stream, with_header, with_script, without_key};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Identity;

fn with_id<T>(request: Request<T>) -> Request<T> {
    with_header(request, "x-request-id", "req-1")
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

/// The words of these fields in each line.
fn told(lines: &[String], fields: &[&str]) -> Vec<String> {
    let word = |line: &Value, field: &str| line[field].to_string().trim_matches('"').to_owned();
    parsed(lines)
        .iter()
        .map(|line| fields.iter().map(|field| word(line, field)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_request_is_one_line_with_exactly_the_documented_fields() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    seen.see(|| desk.send(with_id(get("/whoami?token=secret"))));
    let line = concat!(
        r#"{"timestamp":"2026-11-25T12:00:00Z","level":"INFO","message":"request","duration_ms":0,"path":"/whoami","#,
        r#""method":"GET","status_code":200,"trace_id":"req-1","user_id":"ann","org_id":"acme"}"#
    );
    assert_eq!(seen.lines(), [line]);
}

#[test]
fn a_call_of_a_model_is_a_line_of_its_own_before_that_of_its_request() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    seen.see(|| desk.send(with_id(ask(CHAT))));
    // 5 tokens at 0.15 and 10 at 0.60 dollars a million.
    let line = concat!(
        r#"{"timestamp":"2026-11-25T12:00:00Z","level":"INFO","message":"call complete","model":"gpt-4o-mini","#,
        r#""prompt_tokens":5,"completion_tokens":10,"total_tokens":15,"cost":"0.00000675","duration_ms":0,"#,
        r#""trace_id":"req-1","user_id":"ann","org_id":"acme"}"#
    );
    let lines = seen.lines();
    assert_eq!((lines.len(), &*lines[0]), (2, line));
    assert_eq!(told(&lines[1..], &["message", "path", "status_code"]), ["request /v1/chat/completions 200"]);
}

#[test]
fn a_request_without_a_key_has_no_names_and_its_address_is_not_written() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    let peer = flashops::tower::client_ip::PeerAddr("192.0.2.7:4000".parse().unwrap());
    for mut request in
        [without_key(ask(CHAT)), without_key(get("/whoami")), with_header(get("/"), "x-api-key", "sk-no")]
    {
        request.extensions_mut().insert(peer);
        seen.see(|| desk.send(request));
    }
    let lines = seen.lines();
    assert_eq!(told(&lines, &["user_id", "org_id"]), ["null null"; 4]);
    assert_eq!(told(&lines[3..], &["level", "status_code"]), ["INFO 401"]);
    assert!(lines.iter().all(|line| !line.contains("192.0.2")));
}

#[test]
fn a_check_that_changes_is_a_line_as_bad_as_the_check() {
    let seen = Observer::json();
    let (from, output) = (Some(Status::Pass), Some("connection refused\n{\"level\":\"forged\"}"));
    let fails = Transition { check: "redis", from, to: Status::Fail, output };
    let warns = Transition { check: "disk", from: None, to: Status::Warn, output: None };
    let passes = Transition { to: Status::Pass, ..warns };
    seen.see(|| [fails, warns, passes].iter().for_each(|transition| HealthLog.changed(transition)));
    let lines = seen.lines();
    let expected = ["ERROR redis pass fail", "WARN disk unknown warn", "INFO disk unknown pass"];
    assert_eq!(told(&lines, &["level", "check", "from", "to"]), expected);
    assert_eq!(parsed(&lines)[0]["output"], output.unwrap());
}

#[test]
fn health_checks_are_not_logged_and_neither_is_anything_where_that_is_turned_off() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    for path in ["/livez", "/readyz", "/api/v1/health/detailed", "/api/v1/ai/health"] {
        seen.see(|| desk.send(get(path)));
    }
    assert_eq!((seen.lines().len(), seen.page().len()), (0, 0));
    let off = Desk::new("[observe]\nlog = false\nmetrics = false\n");
    seen.see(|| [off.send(ask(CHAT)), off.send(get("/whoami"))].map(|answer| assert_eq!(answer.status, 200)));
    assert_eq!((seen.lines().len(), seen.page().len()), (0, 0));
}

#[test]
fn a_request_that_takes_longer_than_the_configuration_says_is_a_warning() {
    let (desk, seen) = (Desk::new("[observe]\nslow = \"2s\"\n"), Observer::json());
    for (seconds, first) in [(2, "req-1"), (3, "req-2")] {
        seen.see(|| {
            let mut body = desk.open(with_header(stream(CHAT, 5, ""), "x-request-id", first)).into_body();
            read(&mut body, 1);
            desk.clock.advance(Duration::from_secs(seconds));
            read(&mut body, usize::MAX);
        });
    }
    let lines = told(&seen.lines(), &["level", "message", "duration_ms", "trace_id"]);
    let requests: Vec<_> = lines.iter().filter(|line| line.contains("request")).collect();
    assert_eq!(requests, ["INFO request 2000 req-1", "WARN slow request 3000 req-2"]);
}

#[test]
fn errors_reach_the_tracker_with_their_trace_id_and_nothing_else_does() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    let tracked = Arc::new(Mutex::new(Vec::new()));
    let tracker = Arc::clone(&tracked);
    let hook = ErrorHook::new(move |report| {
        tracker.lock().unwrap().push(format!("{}: {}", report.trace_id.unwrap_or("none"), report.message));
    });
    seen.see_with(LevelFilter::ERROR, hook, || {
        desk.send(get("/whoami"));
        desk.send(with_header(with_id(get("/whoami")), "x-panic", "now"));
    });
    assert_eq!(*tracked.lock().unwrap(), ["req-1: request failed"]);
    let lines = told(&seen.lines(), &["level", "message", "status_code", "trace_id", "user_id"]);
    assert_eq!(lines, ["ERROR request failed 500 req-1 ann"]);
}

#[test]
fn a_client_that_leaves_is_logged_with_what_was_charged_in_the_same_request() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    seen.see(|| desk.give_up(with_id(ask(CHAT))));
    seen.see(|| {
        let mut body = desk.open(with_id(stream(CHAT, 20, ""))).into_body();
        read(&mut body, 3);
    });
    let lines = told(&seen.lines(), &["level", "message", "status_code", "trace_id"]);
    assert_eq!(
        lines,
        [
            "WARN call failed null req-1",
            "INFO request null req-1",
            "WARN call cut null req-1",
            "INFO request 200 req-1"
        ]
    );
}

#[test]
fn a_call_that_a_deadline_ends_is_told_before_its_request_and_with_its_identity() {
    let desk = Desk::new("[http]\ndeadline = \"1s\"\nidle_timeout = \"1s\"");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let seen = Observer::json();
    let silent = with_script(with_id(ask(CHAT)), Script::DoesNotAnswer);
    assert_eq!(seen.see(|| runtime.block_on(desk.wait(silent))).status, 504);
    let stalled = with_script(with_id(stream(CHAT, 20, "")), Script::StopsAfter("data: {}\n\n".to_owned()));
    assert_eq!(seen.see(|| runtime.block_on(desk.wait(stalled))).status, 200);
    let lines = told(&seen.lines(), &["message", "trace_id"]);
    assert_eq!(lines, ["call failed req-1", "request failed req-1", "call cut req-1", "request req-1"]);
}

#[test]
fn lines_of_the_application_have_the_trace_id_of_their_request() {
    let seen = Observer::json();
    seen.see(|| {
        let _request = tracing::error_span!("request", trace_id = "req-1").entered();
        let _inner = tracing::info_span!("inner").entered();
        tracing::info!(pets = 3, share = 0.5, name = %"tom", "hello");
    });
    let expected = json!({
        "timestamp": "2026-11-25T12:00:00Z", "level": "INFO", "message": "hello", "target": "log",
        "pets": 3, "share": 0.5, "name": "tom", "trace_id": "req-1",
    });
    assert_eq!(parsed(&seen.lines()), [expected]);
}

#[test]
fn lines_of_calls_keep_their_trace_id_where_lines_of_requests_are_turned_off() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    let filter: Targets = "info,flashops::request=off".parse().unwrap();
    seen.see_with(filter, Identity::new(), || desk.send(with_id(ask(CHAT))));
    assert_eq!(told(&seen.lines(), &["message", "trace_id"]), ["call complete req-1"]);
}

/// What somebody writes who wants lines of his own, or another colour.
const EVIL: &str = "x\n{\"level\":\"ERROR\"}\r\n\x1b[31m\u{9b}2J\u{2028}\"}";

#[test]
fn no_text_of_a_client_begins_a_line_or_moves_a_terminal() {
    for format in [LogFormat::Json, LogFormat::Human] {
        let (desk, seen) = (Desk::new(""), Observer::new(format));
        let mut named = get("/%0a%1b[31m%0d%0a{}?q=%0a");
        named.extensions_mut().insert(Caller::new(EVIL, EVIL));
        let evil_model = ask_with(CHAT, json!({"model": EVIL, "max_tokens": 5, "messages": [{"content": EVIL}]}));
        let evil_id = with_header(get("/whoami"), "x-request-id", "a\"},{\"level\":\"ERROR");
        seen.see(|| {
            for request in [named, evil_model, evil_id] {
                desk.send(request);
            }
            tracing::error!(text = EVIL, "{EVIL}");
        });
        let lines = seen.lines();
        assert_eq!(lines.len(), 5, "three requests, a call, and one of the application: {lines:#?}");
        for line in &lines {
            let plain =
                ["\x1b[0m", "\x1b[2m", "\x1b[3m", "\x1b[31m ", "\x1b[31mERROR", "\x1b[32m INFO", "\x1b[33m WARN"]
                    .iter()
                    .fold(line.clone(), |line, colour| line.replace(colour, ""));
            assert!(!plain.chars().any(|letter| letter.is_control() || letter == '\u{2028}'), "{plain:?}");
        }
        if format == LogFormat::Json {
            assert_eq!(parsed(&lines)[0]["user_id"], EVIL);
            assert_eq!(parsed(&lines)[4]["message"], EVIL);
        }
    }
}

#[test]
fn what_clients_write_is_cut() {
    let (desk, seen) = (Desk::new(""), Observer::json());
    let long = "a".repeat(2_000);
    let mut request = Request::builder().method(&*long).uri(format!("/{long}")).body(Default::default()).unwrap();
    request.extensions_mut().insert(Caller::new(&long, &long));
    seen.see(|| {
        desk.send(request);
        tracing::info!(text = "é".repeat(50_000), "x");
    });
    let lines = parsed(&seen.lines());
    let length = |line: usize, field: &str| lines[line][field].as_str().unwrap().len();
    let fields = ["path", "method", "user_id", "org_id"];
    assert_eq!(fields.map(|field| length(0, field)), [512, 16, 128, 128]);
    assert_eq!(length(1, "text"), flashops::log::MAX_TEXT);
}

#[test]
fn a_line_for_people_says_the_same_in_words() {
    let (desk, seen) = (Desk::new(""), Observer::new(LogFormat::Human));
    seen.see(|| desk.send(with_script(with_id(ask(CHAT)), Script::used(7, 3))));
    let plain = |line: &String| {
        line.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>()
    };
    let lines: Vec<String> = seen.lines().iter().map(plain).collect();
    assert_eq!(
        lines[0],
        "2026-11-25T12:00:00Z  INFO call complete model=gpt-4o-mini prompt_tokens=7 completion_tokens=3 total_tokens=10 \
         cost=0.00000285 duration_ms=0 user_id=ann org_id=acme trace_id=req-1"
    );
}

#[test]
fn an_alert_is_a_line_of_the_log_unless_the_configuration_says_otherwise() {
    let limit = "[[limit]]\nname = \"tenant\"\nscope = \"org\"\nresource = \"tokens\"\namount = 10\nwindow = \"1h\"\n\
                 mode = \"warn\"\nthresholds = [1.0]\n";
    for (log, expected) in [("", 1), ("[alerts]\nlog = true", 1), ("[alerts]\nlog = false", 0)] {
        let (desk, seen) = (Desk::new(&format!("{limit}[observe]\nlog = false\n{log}")), Observer::json());
        seen.see(|| (0..3).for_each(|_| _ = desk.send(with_script(ask(CHAT), Script::used(0, 10)))));
        let alerts = seen.lines();
        assert_eq!(alerts.len(), expected, "{alerts:?}");
        let Some(line) = alerts.first() else { continue };
        let line: Value = serde_json::from_str(line).unwrap();
        let message = "tenant: org acme came up to 100 %: used 10 tokens of 10 tokens";
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("WARN"), Some(message)));
        let fields = ["alert", "severity", "limit", "scope", "key", "resource"].map(|field| line[field].as_str());
        assert_eq!(fields, ["threshold", "page", "tenant", "org", "acme", "tokens"].map(Some));
    }
}
