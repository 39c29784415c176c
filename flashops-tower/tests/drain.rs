//! What a stream is charged whose client leaves, when the provider is read to the end all the same.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use flashops_tower::drain::{DrainBody, DrainLayer};
use http::Response;
use http_body_util::BodyExt;
use support::{Answer, Chunks, Fixture, Layered, ask, full, sse_frame, usage_frame};
use tower::{BoxError, Layer, ServiceExt};

fn words(count: usize) -> Vec<String> {
    (0..count).map(|n| sse_frame(&format!("w{n} "))).collect()
}

fn whole(count: usize) -> Answer {
    Chunks::stream([words(count), vec![usage_frame(7, 333), "data: [DONE]\n\n".to_owned()]].concat())
}

/// The answer, through the token budget and the layer around it.
async fn answered(fixture: &Fixture, drain: &DrainLayer, answer: fn() -> Answer) -> Response<DrainBody<Layered>> {
    let service = drain.layer(fixture.service(move |_| ready(Ok::<_, BoxError>(answer()))));
    service.oneshot(ask("/v1/chat/completions", full(fixture.body.clone()))).await.unwrap()
}

/// Lets the tasks of the runtime run until they wait.
async fn settle_down() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_is_charged_what_the_provider_reports_at_its_end() {
    let fixture = Fixture::new(500);
    let mut body = answered(&fixture, &DrainLayer::new(), || whole(9)).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    settle_down().await;
    assert_eq!((fixture.used(), fixture.held()), ((340, 1), 0));
}

#[tokio::test]
async fn a_stream_of_which_nothing_was_read_is_drained_too() {
    let fixture = Fixture::new(500);
    drop(answered(&fixture, &DrainLayer::new(), || whole(9)).await);
    settle_down().await;
    assert_eq!(fixture.used(), (340, 1));
}

#[tokio::test]
async fn a_client_that_stays_gets_every_byte() {
    let fixture = Fixture::new(500);
    let body = answered(&fixture, &DrainLayer::new(), || whole(9)).await.into_body();
    let sent = [words(9).concat(), "data: [DONE]\n\n".to_owned()].concat();
    assert_eq!(body.collect().await.unwrap().to_bytes(), sent);
    assert_eq!(fixture.used(), (340, 1));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_left_when_the_time_is_over() {
    let fixture = Fixture::new(500);
    let drain = DrainLayer::new().with_max_time(Duration::from_secs(5));
    let hangs = || Chunks::hanging_stream(words(3).into_iter().map(Bytes::from).collect());
    drop(answered(&fixture, &drain, hangs).await);
    settle_down().await;
    assert!(fixture.held() > 0, "it is still waited for");
    tokio::time::advance(Duration::from_secs(6)).await;
    settle_down().await;
    assert_eq!(fixture.held(), 0);
    assert!(fixture.used().0 > 3, "the input and what came of the output");
}

#[tokio::test]
async fn a_long_response_is_left_at_the_bound_of_its_bytes() {
    let fixture = Fixture::new(500);
    let drain = DrainLayer::new().with_max_bytes(words(2).concat().len() as u64);
    drop(answered(&fixture, &drain, || whole(9)).await);
    settle_down().await;
    assert_eq!(fixture.held(), 0);
    assert_ne!(fixture.used().0, 340, "its usage was not reached");
}

#[tokio::test]
async fn no_more_responses_are_drained_at_once_than_there_are_places() {
    let (fixture, drain) = (Fixture::new(500), DrainLayer::new().with_max_drains(1));
    let hangs = || Chunks::hanging_stream(words(1).into_iter().map(Bytes::from).collect());
    let (first, second) = (answered(&fixture, &drain, hangs).await, answered(&fixture, &drain, hangs).await);
    let each = fixture.held() / 2;
    drop(first);
    settle_down().await;
    assert_eq!(fixture.held(), 2 * each, "the first is drained");
    drop(second);
    settle_down().await;
    assert_eq!(fixture.held(), each, "the second is dropped");
}

#[test]
fn a_body_that_is_dropped_outside_of_a_runtime_is_settled_as_cut() {
    let fixture = Fixture::new(500);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(answered(&fixture, &DrainLayer::new(), || whole(9)));
    drop(response);
    assert_eq!(fixture.held(), 0);
}
