//! What happens to a stream that goes beyond its hold when no limit has room.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;

use bytes::Bytes;
use flashops_core::limit::{OnExhausted, Switches};
use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;
use support::{Chunks, Fixture, sse_frame, usage_frame};

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
