//! What happens to a stream that goes beyond its hold when no limit has room.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;

use bytes::Bytes;
use flashops_core::limit::{OnExhausted, Switches};
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use support::{Chunks, Fixture, ask, full, sse_frame, usage_frame};
use tower::ServiceExt;

/// Which is all that the fixture has for a user.
const BUDGET: u64 = 1_000_000;
const DONE: &str = "data: [DONE]\n\n";

fn fixture(max_tokens: u64, on_exhausted: OnExhausted) -> Fixture {
    let mut switches = Switches::default();
    switches.on_exhausted = on_exhausted;
    Fixture::with_switches(max_tokens, switches)
}

/// Holds all that is left of the budget but so much.
fn leave(fixture: &Fixture, left: u64) -> impl Drop + use<> {
    use flashops_core::units::{Amounts, Tokens};
    let rest = BUDGET - fixture.held() - left;
    let hold = Amounts { output: Tokens::saturating(rest), ..Amounts::ZERO };
    let all = fixture.budget.policy().select(|_| true);
    fixture.budget.try_reserve(&fixture.caller.scopes(), all, hold, Amounts::ZERO).unwrap()
}

fn words(count: usize) -> Vec<String> {
    (0..count).map(|n| sse_frame(&format!("w{n} "))).collect()
}

async fn rest(body: support::Layered) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_without_room_ends_in_its_own_format_after_what_is_held() {
    let fixture = fixture(10, OnExhausted::Cut);
    // The provider does not heed the cap.
    let body = fixture.run(|_| ready(Ok(Chunks::stream(words(100))))).await.unwrap().into_body();
    let input = fixture.held() - 10;
    let others = leave(&fixture, 0);
    let text = rest(body).await;
    let (content, ending) = text.split_at(words(11).concat().len());
    assert_eq!(content, words(11).concat(), "the eleventh word is the first beyond the ten that are held");
    assert!(ending.contains(r#""finish_reason":"length""#) && ending.ends_with(DONE), "{ending}");
    drop(others);
    assert_eq!((fixture.used().0, fixture.held()), (input + 11, 0), "the input bound and what has passed");
}

#[tokio::test]
async fn a_stream_with_room_goes_on_to_its_own_end() {
    let fixture = fixture(10, OnExhausted::Cut);
    let chunks = [words(100), vec![usage_frame(5, 100), DONE.to_owned()]].concat();
    let body = fixture.run(|_| ready(Ok(Chunks::stream(chunks)))).await.unwrap().into_body();
    let text = rest(body).await;
    assert_eq!(text, [words(100).concat(), DONE.to_owned()].concat());
    assert_eq!((fixture.used().0, fixture.held()), (105, 0));
}

#[tokio::test]
async fn a_stream_within_its_hold_is_not_cut_though_nothing_is_left() {
    let fixture = fixture(10, OnExhausted::Cut);
    let chunks = [words(10), vec![usage_frame(5, 10), DONE.to_owned()]].concat();
    let body = fixture.run(|_| ready(Ok(Chunks::stream(chunks)))).await.unwrap().into_body();
    let _others = leave(&fixture, 0);
    assert_eq!(rest(body).await, [words(10).concat(), DONE.to_owned()].concat());
}

#[tokio::test]
async fn room_that_came_back_since_the_first_refusal_is_used() {
    let fixture = fixture(10, OnExhausted::Cut);
    let body = fixture.run(|_| ready(Ok(Chunks::stream([words(30), vec![DONE.to_owned()]].concat())))).await;
    let mut body = body.unwrap().into_body();
    let others = leave(&fixture, 0);
    for word in words(9) {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }
    drop(others);
    assert_eq!(rest(body).await, [words(30)[9..].concat(), DONE.to_owned()].concat());
}

#[tokio::test]
async fn a_stream_goes_into_debt_where_the_policy_lets_it() {
    let fixture = fixture(10, OnExhausted::Continue);
    let chunks = [words(100), vec![usage_frame(5, 100), DONE.to_owned()]].concat();
    let body = fixture.run(|_| ready(Ok(Chunks::stream(chunks)))).await.unwrap().into_body();
    let others = leave(&fixture, 0);
    assert_eq!(rest(body).await, [words(100).concat(), DONE.to_owned()].concat());
    drop(others);
    assert_eq!(fixture.used().0, 105);
}

#[tokio::test]
async fn the_provider_is_left_as_soon_as_its_stream_is_cut() {
    struct Told(tokio::sync::oneshot::Sender<()>);
    let (gone, mut left) = tokio::sync::oneshot::channel::<()>();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Some(Told(gone))));
    let fixture = fixture(3, OnExhausted::Cut);
    let answer = move |_| {
        let told = kept.lock().unwrap().take().unwrap();
        let chunks: Vec<Bytes> = words(9).into_iter().map(Bytes::from).collect();
        ready(Ok(Chunks::hanging_stream(chunks).map(|body| {
            body.map_frame(move |frame| {
                let _kept = &told.0;
                frame
            })
            .boxed_unsync()
        })))
    };
    let mut body = fixture.run(answer).await.unwrap().into_body();
    let _others = leave(&fixture, 0);
    while let Some(frame) = body.frame().await {
        if frame.unwrap().into_data().unwrap().ends_with(DONE.as_bytes()) {
            break;
        }
    }
    assert!(body.is_end_stream());
    assert!((&mut left).now_or_never().is_some_and(|gone| gone.is_err()), "the inner body was dropped");
}

/// A provider that streams in a format of its own.
struct Provider {
    path: &'static str,
    /// A request for ten tokens.
    request: &'static str,
    content_type: &'static str,
    words: Vec<Vec<u8>>,
    /// What ends its stream behind some words.
    ending: Vec<u8>,
}

/// Amazon's frame of an event.
fn frame(name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] {
        headers.extend([&[key.len() as u8][..], key.as_bytes(), &[7, 0, value.len() as u8], value.as_bytes()].concat());
    }
    let length = (16 + headers.len() + payload.len()) as u32;
    let mut frame = [length.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend([&headers, payload.as_bytes()].concat());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn sse_providers() -> [Provider; 3] {
    let words =
        |word: &dyn Fn(usize) -> String| (0..100).map(|n| format!("data: {}\n\n", word(n)).into_bytes()).collect();
    [
        Provider {
            path: "/v1/completions",
            request: r#"{"model":"m","stream":true,"max_tokens":10,"prompt":"hi"}"#,
            content_type: "text/event-stream",
            words: words(&|n| format!(r#"{{"choices":[{{"index":0,"text":"w{n} "}}]}}"#)),
            ending: br#"data: {"object":"text_completion","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}

data: [DONE]

"#
            .to_vec(),
        },
        Provider {
            path: "/v1beta/models/m:streamGenerateContent",
            request: r#"{"contents":[],"generationConfig":{"maxOutputTokens":10}}"#,
            content_type: "text/event-stream",
            words: words(&|n| format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"w{n} "}}]}}}}]}}"#)),
            ending: format!("data: {GEMINI_END}\n\n").into_bytes(),
        },
        Provider {
            path: "/v2/chat",
            request: r#"{"model":"m","stream":true,"max_tokens":10}"#,
            content_type: "text/event-stream",
            words: words(&|n| format!(r#"{{"type":"content-delta","delta":{{"message":{{"content":{{"text":"w{n} "}}}}}}}}"#)),
            ending: br#"event: message-end
data: {"type":"message-end","delta":{"finish_reason":"MAX_TOKENS"}}

"#
            .to_vec(),
        },
    ]
}

const GEMINI_END: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}]}"#;

fn other_providers() -> [Provider; 3] {
    let element = |n: usize| {
        let comma = if n == 0 { "[" } else { ",\r\n" };
        format!(r#"{comma}{{"candidates":[{{"content":{{"parts":[{{"text":"w{n} "}}]}}}}]}}"#).into_bytes()
    };
    let line = |n| format!("{{\"model\":\"m\",\"message\":{{\"content\":\"w{n} \"}},\"done\":false}}\n").into_bytes();
    let delta = |n| frame("contentBlockDelta", &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"w{n} "}}}}"#));
    let stop = frame("contentBlockStop", r#"{"contentBlockIndex":0}"#);
    [
        Provider {
            path: "/v1beta/models/m:streamGenerateContent",
            request: r#"{"contents":[],"generationConfig":{"maxOutputTokens":10}}"#,
            content_type: "application/json; charset=UTF-8",
            words: (0..100).map(element).collect(),
            ending: format!(",\n{GEMINI_END}\n]\n").into_bytes(),
        },
        Provider {
            path: "/api/chat",
            request: r#"{"model":"m","options":{"num_predict":10}}"#,
            content_type: "application/x-ndjson",
            words: (0..100).map(line).collect(),
            ending: br#"{"model":"m","message":{"role":"assistant","content":""},"done_reason":"length","done":true}
"#
            .to_vec(),
        },
        Provider {
            path: "/model/m/converse-stream",
            request: r#"{"messages":[],"inferenceConfig":{"maxTokens":10}}"#,
            content_type: "application/vnd.amazon.eventstream",
            words: (0..100).map(delta).collect(),
            ending: [stop, frame("messageStop", r#"{"stopReason":"max_tokens"}"#)].concat(),
        },
    ]
}

#[tokio::test]
async fn the_stream_of_every_provider_ends_in_its_own_format() {
    for provider in sse_providers().into_iter().chain(other_providers()) {
        let Provider { path, request, content_type, words, ending } = provider;
        let fixture = fixture(10, OnExhausted::Cut);
        let frames: Vec<Bytes> = words.iter().map(|word| Bytes::from(word.clone())).collect();
        let service = fixture.service(move |_| {
            let mut answer = Chunks::frames(frames.into_iter().map(Frame::data).collect());
            answer.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
            ready(Ok(answer))
        });
        let body = service.oneshot(ask(path, full(request.to_owned()))).await.unwrap().into_body();
        let others = leave(&fixture, 0);
        let passed = body.collect().await.unwrap().to_bytes();
        drop(others);
        let expected = [words[..11].concat(), ending].concat();
        assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&expected), "{path}");
        assert_eq!((fixture.used().0, fixture.held()), (request.len() as u64 + 11, 0), "{path}");
    }
}

#[tokio::test]
async fn a_document_of_known_length_is_not_taken_for_a_stream() {
    let text = r#"[{"candidates":[{"content":{"parts":[{"text":"many words and more words"}]}}]}]"#;
    let fixture = fixture(1, OnExhausted::Cut);
    let service = fixture.service(move |_| {
        let mut answer = support::json(text.to_owned());
        answer.headers_mut().insert(CONTENT_LENGTH, text.len().into());
        ready(Ok(answer))
    });
    let request = r#"{"contents":[],"generationConfig":{"maxOutputTokens":1}}"#;
    let response = service.oneshot(ask("/v1beta/models/m:generateContent", full(request.to_owned()))).await.unwrap();
    let _others = leave(&fixture, 0);
    assert!(response.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(response.body().size_hint().exact(), Some(text.len() as u64));
    assert_eq!(rest(response.into_body()).await, text);
}
