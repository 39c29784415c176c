//! What the layer does to a response on its way: nothing but what it must.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::limit::{MissingUsage, Switches};
use futures_util::FutureExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use proptest::prelude::*;
use support::{Answer, AnyBody, Chunks, Fixture, Layered, complete, full, json, sse_frame, usage_frame};

const DONE: &str = "data: [DONE]\n\n";

/// The frames that a client gets, and the error that they end with.
async fn taken(mut body: Layered) -> (Vec<Bytes>, Option<String>) {
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => frames.extend(frame.into_data().ok()),
            Err(error) => return (frames, Some(error.to_string())),
        }
    }
    (frames, None)
}

#[tokio::test]
async fn bytes_that_were_withheld_reach_the_client_before_the_error_of_its_upstream() {
    let fixture = Fixture::new(500);
    let chunks = vec![sse_frame("one "), r#"data: {"choices":[]"#.to_owned()];
    let sent = chunks.concat();
    let body = fixture.run(|_| ready(Ok(Chunks::broken(chunks)))).await.unwrap().into_body();
    let (frames, error) = taken(body).await;
    assert_eq!(frames.concat(), sent.as_bytes());
    assert_eq!(error.as_deref(), Some("reset"));
    assert_eq!(fixture.held(), 0);
}

/// A body that counts how often it gave a frame.
struct Counted {
    given: Arc<AtomicUsize>,
    chunks: std::vec::IntoIter<Bytes>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = tower::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tower::BoxError>>> {
        self.given.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(self.chunks.next().map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[tokio::test]
async fn each_frame_reaches_the_client_before_the_next_is_asked_for() {
    let fixture = Fixture::new(500);
    let given = Arc::new(AtomicUsize::new(0));
    let chunks: Vec<Bytes> = (0..5).map(|n| Bytes::from(sse_frame(&format!("w{n} ")))).collect();
    let (counter, frames) = (Arc::clone(&given), chunks.clone());
    let answer = move |_| {
        let body: AnyBody = Counted { given: counter, chunks: frames.into_iter() }.boxed_unsync();
        ready(Ok(Response::builder().header(CONTENT_TYPE, "text/event-stream").body(body).unwrap()))
    };
    let mut body = fixture.run(answer).await.unwrap().into_body();
    for (n, chunk) in chunks.iter().enumerate() {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, chunk, "in the very frames of the provider");
        assert_eq!(given.load(Ordering::Relaxed), n + 1);
    }
}

#[tokio::test]
async fn a_body_that_is_not_filtered_keeps_its_length() {
    let fixture = Fixture::new(500);
    let text = complete(9, 5);
    let length = text.len() as u64;
    let answer = move |_| {
        let mut response = json(text);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        ready(Ok(response))
    };
    let response = fixture.run(answer).await.unwrap();
    assert_eq!(response.headers()[CONTENT_LENGTH], length.to_string());
    assert_eq!(response.body().size_hint().exact(), Some(length));
}

#[tokio::test]
async fn a_stream_from_which_an_event_may_be_taken_has_no_length() {
    let fixture = Fixture::new(500);
    let answer = |_| {
        let text = [sse_frame("one "), usage_frame(7, 1), DONE.to_owned()].concat();
        let length = text.len();
        let response = Response::builder().header(CONTENT_TYPE, "text/event-stream").header(CONTENT_LENGTH, length);
        ready(Ok(response.body(full(text)).unwrap()))
    };
    let response = fixture.run(answer).await.unwrap();
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(response.body().size_hint().exact(), None);
    let (frames, _) = taken(response.into_body()).await;
    assert_eq!(frames.concat(), [sse_frame("one ").as_str(), DONE].concat().as_bytes());
}

#[tokio::test]
async fn a_filtered_body_has_ended_only_when_nothing_of_it_is_left() {
    let fixture = Fixture::new(500);
    // One frame with a known end, of which the last bytes are withheld until then.
    let text = [sse_frame("one ").as_str(), r#"data: {"choices":[]"#].concat();
    let sent = text.clone();
    let answer = |_| {
        let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
        ready(Ok(response.body(full(text)).unwrap()))
    };
    let mut body = fixture.run(answer).await.unwrap().into_body();
    let mut taken = Vec::new();
    while !body.is_end_stream() {
        let frame = body.frame().await.expect("it has not ended").unwrap();
        taken.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(taken, sent.as_bytes());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_call_is_settled_when_its_upstream_has_ended_whoever_takes_the_trailers() {
    let fixture = Fixture::with_switches(500, charge_reservation());
    let answer = |_| {
        let frames = vec![Frame::data(Bytes::from_static(b"?")), Frame::trailers(http::HeaderMap::new())];
        let mut response = Chunks::frames(frames);
        response.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        ready(Ok(response))
    };
    let mut body = fixture.run(answer).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    let trailers = body.frame().await.unwrap().unwrap();
    assert!(trailers.is_trailers());
    drop(body);
    assert_eq!(fixture.used(), (fixture.body.len() as u64 + 500, 1), "complete, and charged as such");
}

#[tokio::test]
async fn a_response_that_has_its_declared_length_is_complete_though_nobody_asks_for_its_end() {
    // As a proxy has it: a stream that does not know its end, under a length that the head declares.
    let page = "<html>Bad Gateway</html>";
    for (status, expected) in [(StatusCode::BAD_GATEWAY, None), (StatusCode::OK, Some(500))] {
        let fixture = Fixture::with_switches(500, charge_reservation());
        let answer = move |_| {
            let mut response = Chunks::stream(vec![page[..9].to_owned(), page[9..].to_owned()]);
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, "text/html".parse().unwrap());
            response.headers_mut().insert(CONTENT_LENGTH, page.len().into());
            ready(Ok(response))
        };
        let mut body = fixture.run(answer).await.unwrap().into_body();
        let sent: Vec<Bytes> = vec![body.frame().await.unwrap().unwrap(), body.frame().await.unwrap().unwrap()]
            .into_iter()
            .map(|frame| frame.into_data().unwrap())
            .collect();
        assert_eq!(sent.concat(), page.as_bytes());
        drop(body);
        let tokens = expected.map_or(0, |cap| fixture.body.len() as u64 + cap);
        assert_eq!(fixture.used(), (tokens, 1), "{status}");
    }
}

fn charge_reservation() -> Switches {
    let mut switches = Switches::default();
    switches.missing_usage = MissingUsage::ChargeReservation;
    switches
}

async fn used_after(fixture: &Fixture, answer: impl FnOnce() -> Answer + Clone + Send + Sync + 'static) -> (u64, u64) {
    let response = fixture.run(move |_| ready(Ok(answer()))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.held(), 0);
    fixture.used()
}

#[tokio::test]
async fn an_empty_success_is_complete_and_lacks_usage() {
    let fixture = Fixture::with_switches(500, charge_reservation());
    let hold = fixture.body.len() as u64 + 500;
    assert_eq!(used_after(&fixture, || json(String::new())).await, (hold, 1));
}

#[tokio::test]
async fn a_success_with_an_error_inside_lacks_usage() {
    let fixture = Fixture::with_switches(500, charge_reservation());
    let hold = fixture.body.len() as u64 + 500;
    assert_eq!(used_after(&fixture, || json(r#"{"error":{"message":"no"}}"#.to_owned())).await, (hold, 1));
}

#[tokio::test]
async fn a_redirect_costs_no_tokens() {
    let fixture = Fixture::new(500);
    let answer = || {
        let mut response = json(String::new());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response
    };
    assert_eq!(used_after(&fixture, answer).await, (0, 1));
}

#[tokio::test]
async fn a_response_that_cannot_be_decoded_passes_unread_and_lacks_usage() {
    for encodings in [&["gzip"][..], &["identity", "br"], &["identity, gzip"]] {
        let fixture = Fixture::new(500);
        let answer = move || {
            let mut response = json(complete(1, 1));
            for encoding in encodings {
                response.headers_mut().append(CONTENT_ENCODING, encoding.parse().unwrap());
            }
            response
        };
        let counted = (complete(1, 1).len() as u64).div_ceil(4);
        let input = fixture.body.len() as u64;
        assert_eq!(used_after(&fixture, answer).await, (input + counted, 1), "{encodings:?}");
    }
}

#[tokio::test]
async fn a_response_that_says_it_is_not_encoded_is_read() {
    let fixture = Fixture::new(500);
    let answer = || {
        let mut response = json(complete(9, 5));
        response.headers_mut().insert(CONTENT_ENCODING, "Identity".parse().unwrap());
        response
    };
    assert_eq!(used_after(&fixture, answer).await, (14, 1));
}

#[tokio::test]
async fn a_prompt_that_the_provider_did_not_count_is_charged_the_input_estimate() {
    for usage in [r#"{"completion_tokens":5}"#, r#"{"prompt_tokens":-3,"completion_tokens":5}"#] {
        let fixture = Fixture::new(500);
        let body = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let used = used_after(&fixture, move || json(body)).await;
        assert_eq!(used, (fixture.body.len() as u64 + 5, 1), "{usage}");
    }
}

/// A piece of a stream: what a client sees of it depends on whether it asked for usage.
#[derive(Clone, Debug)]
struct Piece {
    lines: Vec<String>,
    is_usage: bool,
}

fn piece() -> impl Strategy<Value = Piece> {
    let line = |text: String| Piece { lines: vec![text, String::new()], is_usage: false };
    let content = any::<String>().prop_map(move |content| {
        let text = serde_json::Value::from(content);
        line(format!(r#"data: {{"choices":[{{"index":0,"delta":{{"content":{text}}}}}],"usage":null}}"#))
    });
    let spread = Just(Piece {
        lines: ["event: message", "id: 7", r#"data: {"choices":[{"delta":{}}],"#, r#"data: "usage":null}"#, ""]
            .map(str::to_owned)
            .to_vec(),
        is_usage: false,
    });
    let other = prop::sample::select(vec![
        ": keep-alive",
        r#"data: {"choices":[],"prompt_filter_results":[]}"#,
        r#"data: {"choices":[],"usage":null}"#,
        r#"data:{"choices":[{"delta":{"content":"\"usage\":{}"},"finish_reason":"stop"}]}"#,
        "data: not JSON",
        "data",
        "unknown: field",
    ]);
    prop_oneof![4 => content, 1 => spread, 2 => other.prop_map(move |text| line(text.to_owned()))]
}

fn usage_piece(prompt: u64, completion: u64) -> Piece {
    let event = usage_frame(prompt, completion);
    Piece { lines: vec![event.trim_end().to_owned(), String::new()], is_usage: true }
}

fn written<'p>(pieces: impl Iterator<Item = &'p Piece>, line_end: &str) -> String {
    pieces.flat_map(|piece| &piece.lines).flat_map(|line| [line.as_str(), line_end]).collect()
}

/// The text in chunks that end at these places.
fn chunks(text: &str, cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| Bytes::copy_from_slice(&text.as_bytes()[start..end])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_client_gets_what_the_provider_sent_but_for_the_usage_that_only_the_layer_asked_for(
        pieces in prop::collection::vec(piece(), 0..12),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        (prompt, completion) in (0..10_000_u64, 0..10_000_u64),
        asked in any::<bool>(),
    ) {
        let mut fixture = Fixture::new(500);
        if asked {
            fixture.body = fixture.body.replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        }
        let end = Piece { lines: vec!["data: [DONE]".to_owned(), String::new()], is_usage: false };
        let all: Vec<Piece> = pieces.into_iter().chain([usage_piece(prompt, completion), end]).collect();
        let sent = written(all.iter(), line_end);
        let expected = written(all.iter().filter(|piece| asked || !piece.is_usage), line_end);

        let chunks = chunks(&sent, &cuts);
        let run = fixture.run(move |_| ready(Ok(Chunks::frames(chunks.into_iter().map(Frame::data).collect()))));
        let body = run.now_or_never().expect("nothing waits").unwrap().into_body();
        let (got, error) = taken(body).now_or_never().expect("nothing waits");

        prop_assert_eq!(String::from_utf8(got.concat()).unwrap(), expected);
        prop_assert_eq!(error, None);
        prop_assert_eq!(fixture.used(), (prompt + completion, 1));
        prop_assert_eq!(fixture.held(), 0);
    }
}

#[test]
fn a_size_hint_that_is_not_exact_passes_too() {
    let fixture = Fixture::new(500);
    let run = fixture.run(|_| {
        let response = Response::builder().header(CONTENT_TYPE, "application/json");
        ready(Ok(response.body(Hinted.boxed_unsync()).unwrap()))
    });
    let body = run.now_or_never().unwrap().unwrap().into_body();
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (3, Some(9)));
}

struct Hinted;

impl Body for Hinted {
    type Data = Bytes;
    type Error = tower::BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tower::BoxError>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(3);
        hint.set_upper(9);
        hint
    }
}
