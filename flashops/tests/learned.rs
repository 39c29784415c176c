//! Holds that are learned, through a configuration.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use support::{CHAT, Desk, ask_with, length, read, stream};

const LEARNED: &str = r#"
    [[limit]]
    name = "tokens"
    scope = "user"
    resource = "tokens"
    amount = 1000000
    window = "1h"

    [policy]
    output_estimate = "learned"
"#;

/// The cap that every client declares.
const CAP: u64 = 1_000;

/// A kind is believed from 19 calls on, and of a caller who sends all of them one in four is counted.
const WARM: u64 = 100;

/// Calls of one kind whose answers have 10 words.
fn warmed_up() -> Desk {
    let desk = Desk::new(LEARNED);
    for call in 1..=WARM {
        assert_eq!(desk.send(stream(CHAT, CAP, "[reply 10]")).status, 200);
        assert_eq!(desk.used(), [call * 13], "three words in and ten out");
    }
    desk
}

/// What is held for the output of a request while it runs, with its answer, and what it was charged in the end.
fn held_and_charged(desk: &Desk, request: Request<Full<Bytes>>) -> (u64, String, u64) {
    let (input, before) = (length(&request), desk.used()[0]);
    let mut body = desk.open(request).into_body();
    let held = desk.held()[0] - input;
    let text = read(&mut body, usize::MAX);
    drop(body);
    assert_eq!(desk.held(), [0]);
    (held, text, desk.used()[0] - before)
}

#[test]
fn a_warmed_up_route_holds_what_its_calls_use_and_is_charged_exactly() {
    let cold = Desk::new(LEARNED);
    assert_eq!(held_and_charged(&cold, stream(CHAT, CAP, "[reply 10]")).0, CAP, "nothing is known yet");
    let desk = warmed_up();
    let (held, _, charged) = held_and_charged(&desk, stream(CHAT, CAP, "[reply 10]"));
    assert_eq!((held, charged), (10, 13), "all answers that were seen had ten words");
}

#[test]
fn an_answer_beyond_what_was_learned_comes_whole_and_is_charged_whole() {
    let desk = warmed_up();
    let (held, text, charged) = held_and_charged(&desk, stream(CHAT, CAP, "[reply 900]"));
    assert_eq!((held, charged), (10, 903), "the cap that the provider gets is the client's");
    assert!(text.contains(r#""finish_reason":"stop""#), "it is not cut");
}

#[test]
fn what_is_learned_of_one_route_and_model_is_not_held_for_another() {
    let desk = warmed_up();
    let message = json!([{"role": "user", "content": "say [reply 10]"}]);
    let other_model = ask_with(CHAT, json!({"model": "gpt-4o", "max_tokens": CAP, "messages": message}));
    assert_eq!(held_and_charged(&desk, other_model).0, CAP);
    assert_eq!(held_and_charged(&desk, stream("/v1/messages", CAP, "[reply 10]")).0, CAP);
}
