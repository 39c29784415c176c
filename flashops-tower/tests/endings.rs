//! Every way in which a call can end, and what it is charged.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use flashops_tower::reject::NotDispatched;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use support::{Chunks, Fixture, ask, complete, json, sse_frame, usage_frame};
use tower::ServiceExt;

/// The input estimate of the requests that these tests send: one token for each byte of the body as it came.
fn input(fixture: &Fixture) -> u64 {
    fixture.body.len() as u64
}

#[tokio::test]
async fn a_complete_response_is_charged_what_the_provider_reported() {
    let fixture = Fixture::new(500);
    let response = fixture.run(|_| ready(Ok(json(complete(9, 5))))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (14, 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn a_complete_stream_is_charged_what_the_provider_reported() {
    let fixture = Fixture::new(500);
    let frames = vec![sse_frame("one "), sse_frame("two "), usage_frame(7, 2), "data: [DONE]\n\n".into()];
    let response = fixture.run(|_| ready(Ok(Chunks::stream(frames)))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (9, 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn a_rejected_call_without_usage_costs_no_tokens_and_keeps_its_request() {
    let fixture = Fixture::new(500);
    let answer = |_| {
        let mut response = json(r#"{"error":{"message":"bad"}}"#.to_owned());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        ready(Ok(response))
    };
    fixture.run(answer).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (0, 1));
}

#[tokio::test]
async fn a_complete_response_without_usage_is_charged_the_input_estimate_and_what_was_counted() {
    let fixture = Fixture::new(500);
    let frames = vec![sse_frame("one "), sse_frame("two "), "data: [DONE]\n\n".into()];
    let response = fixture.run(|_| ready(Ok(Chunks::stream(frames)))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (input(&fixture) + 2, 1));
}

#[tokio::test]
async fn an_error_after_sending_is_charged_the_input_estimate() {
    let fixture = Fixture::new(500);
    let error = fixture.run(|_| ready(Err("connection reset".into()))).await.unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert_eq!(fixture.used(), (input(&fixture), 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn a_request_that_was_not_sent_costs_nothing_and_is_given_back() {
    let fixture = Fixture::new(500);
    let answer = |_| {
        let mut response = json("{}".to_owned());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.extensions_mut().insert(NotDispatched);
        ready(Ok(response))
    };
    fixture.run(answer).await.unwrap();
    assert_eq!(fixture.used(), (0, 0));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn a_panic_of_the_inner_service_is_charged_the_input_estimate() {
    let fixture = Fixture::new(500);
    let run = AssertUnwindSafe(fixture.run(|_| async { panic!("inner") }));
    let outcome = futures_util::FutureExt::catch_unwind(run).await;
    assert!(outcome.is_err());
    assert_eq!(fixture.used(), (input(&fixture), 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn dropped_before_the_inner_service_is_called_it_costs_nothing_and_is_given_back() {
    let fixture = Fixture::new(500);
    let request = ask("/v1/chat/completions", Chunks::hanging(vec![Bytes::from_static(b"{\"model\":")]));
    let mut future = Box::pin(fixture.service(|_| ready(Ok(json(complete(1, 1))))).oneshot(request));
    assert!(futures_util::poll!(&mut future).is_pending());
    drop(future);
    assert_eq!(fixture.used(), (0, 0));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn dropped_while_the_inner_service_works_it_is_charged_the_input_estimate() {
    let fixture = Fixture::new(500);
    let mut future = Box::pin(fixture.run(|_| pending()));
    assert!(futures_util::poll!(&mut future).is_pending());
    assert_eq!(fixture.held(), input(&fixture) + 500);
    drop(future);
    assert_eq!(fixture.used(), (input(&fixture), 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn dropped_in_mid_stream_it_is_charged_the_input_estimate_and_the_output_counted() {
    let fixture = Fixture::new(500);
    let frames = (0..10).map(|_| sse_frame("word ")).collect();
    let response = fixture.run(|_| ready(Ok(Chunks::stream(frames)))).await.unwrap();
    let mut body = response.into_body();
    for _ in 0..4 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    assert_eq!(fixture.used(), (input(&fixture) + 5, 1), "four words of five bytes are twenty bytes");
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn an_upstream_that_resets_in_mid_stream_is_charged_the_input_estimate_and_the_output_counted() {
    let fixture = Fixture::new(500);
    let response =
        fixture.run(|_| ready(Ok(Chunks::broken(vec![sse_frame("word "), sse_frame("word ")])))).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "reset");
    assert_eq!(fixture.used(), (input(&fixture) + 3, 1));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn an_upstream_that_ends_without_its_end_marker_was_cut() {
    let fixture = Fixture::new(500);
    let response = fixture.run(|_| ready(Ok(Chunks::stream(vec![sse_frame("word ")])))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (input(&fixture) + 2, 1));
}

#[tokio::test]
async fn an_upstream_that_hangs_holds_the_reservation_until_the_client_leaves() {
    let fixture = Fixture::new(500);
    let hanging = |_| ready(Ok(Chunks::hanging_stream(vec![Bytes::from(sse_frame("word "))])));
    let mut body = fixture.run(hanging).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert!(futures_util::poll!(body.frame()).is_pending());
    assert_eq!(fixture.held(), input(&fixture) + 500);
    drop(body);
    assert_eq!(fixture.held(), 0);
    assert_eq!(fixture.used(), (input(&fixture) + 2, 1));
}

#[tokio::test]
async fn usage_seen_before_the_client_left_is_charged_exactly() {
    let fixture = Fixture::new(500);
    let frames = vec![sse_frame("one "), usage_frame(7, 1), "data: [DONE]\n\n".into()];
    let response = fixture.run(|_| ready(Ok(Chunks::stream(frames)))).await.unwrap();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if frame.unwrap().data_ref().is_some_and(|data| data.ends_with(b"[DONE]\n\n")) {
            break;
        }
    }
    drop(body);
    assert_eq!(fixture.used(), (8, 1));
}

#[tokio::test]
async fn usage_above_the_reservation_is_charged_in_full() {
    let fixture = Fixture::new(5);
    fixture.run(|_| ready(Ok(json(complete(1_000, 2_000))))).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (3_000, 1));
}

#[tokio::test]
async fn a_body_with_a_known_length_is_settled_with_its_last_frame() {
    let fixture = Fixture::new(500);
    let full = || http_body_util::Full::new(Bytes::from(complete(9, 5))).map_err(|never| match never {}).boxed_unsync();
    let answer = move |_| {
        let response = Response::builder().header("content-type", "application/json").body(full());
        ready(Ok(response.unwrap()))
    };
    let mut body = fixture.run(answer).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(fixture.used(), (14, 1));
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn trailers_pass_and_come_last() {
    let fixture = Fixture::new(500);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    let last = trailers.clone();
    let answer = move |_| {
        let data = [sse_frame("one "), usage_frame(7, 1), "data: [DONE]\n\n".to_owned()];
        let data = data.into_iter().map(|chunk| Frame::data(Bytes::from(chunk)));
        ready(Ok(Chunks::frames(data.chain([Frame::trailers(last)]).collect())))
    };
    let response = fixture.run(answer).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), [sse_frame("one ").as_str(), "data: [DONE]\n\n"].concat());
    assert_eq!(fixture.used(), (8, 1));
}

#[tokio::test]
async fn a_refused_call_reaches_nobody_and_leaves_no_trace() {
    let fixture = Fixture::new(2_000_000);
    let response = fixture.run(|_| async { unreachable!("it was refused") }).await.unwrap();
    assert!(response.status().is_client_error());
    assert!(response.extensions().get::<NotDispatched>().is_some());
    assert_eq!(fixture.used(), (0, 0));
    assert_eq!(fixture.held(), 0);
}

#[tokio::test]
async fn what_nobody_reported_is_not_charged_beyond_the_hold() {
    let long = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "word ".repeat(1_000));
    for media_type in ["application/json", "text/plain"] {
        let fixture = Fixture::new(5);
        let text = long.clone();
        let answer = move |_| {
            let mut response = json(text);
            response.headers_mut().insert("content-type", media_type.parse().unwrap());
            ready(Ok(response))
        };
        fixture.run(answer).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(fixture.used(), (input(&fixture) + 5, 1), "{media_type}");
    }
}

#[tokio::test]
async fn deltas_beyond_the_cap_were_sent_and_are_charged() {
    let fixture = Fixture::new(5);
    let frames = (0..8).map(|_| sse_frame("a long word ")).collect();
    let response = fixture.run(|_| ready(Ok(Chunks::stream(frames)))).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(fixture.used(), (input(&fixture) + 8, 1));
}
