//! Holds that a server has to be told again, when that is not as easy as it should be.

mod support;

use std::time::Duration;

use flashops_core::store::{Admit, Extend, ReservationId, Settle, Store};
use flashops_testkit::redis_server::RedisServer;
use support::{
    AMOUNT, ENOUGH, FULL, HASTY, LIFETIME, PATIENT, UnixClock, ann, limit_memory, open, open_with_clock, reserve,
    settle, sums, tokens, until_it_answers, until_it_stands,
};

#[tokio::test]
async fn an_instance_that_does_not_ask_for_a_while_tells_what_it_holds_as_soon_as_there_is_a_server() {
    let mut server = RedisServer::start();
    let store = open(&server.address(), HASTY);
    until_it_answers(&store).await;
    reserve(&store, 1, 300).await.expect("it answers").expect("there is room");
    server.kill();
    let limits = store.policy().request_limits();
    let ask = |_| store.admit(&Admit { scopes: &ann(), limits, requests: 1, report: false });
    for answer in (0..40).map(ask).collect::<Vec<_>>() {
        answer.await.expect("it is allowed").expect("it is allowed");
    }
    assert!(!store.stats().asked);
    server.start_again();
    let other = open(&server.address(), PATIENT);
    // Nothing is asked of this instance now, so that nothing but what it holds can be seen.
    until_it_stands(&other, [1, 0, 300]).await;
    settle(&store, 1, 40).await;
    let [requests, used, held] = sums(&other).await;
    println!("overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [1, 40, 0]);
}

#[tokio::test]
async fn a_hold_that_cannot_be_told_again_at_once_is_told_when_it_can() {
    let mut server = RedisServer::with(&["--maxmemory-policy", "noeviction", "--maxmemory", FULL]);
    limit_memory(&server, ENOUGH).await;
    let store = open(&server.address(), PATIENT);
    reserve(&store, 1, 300).await.expect("it answers").expect("there is room");
    server.kill();
    let faults = store.stats().faults;
    server.start_again();
    let in_vain = async {
        while store.stats().faults == faults {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENT * 4, in_vain).await.expect("it tries at once");
    assert_eq!(sums(&store).await, [0, 0, 0], "the server has no memory for it");
    limit_memory(&server, ENOUGH).await;
    until_it_stands(&store, [1, 0, 300]).await;
    settle(&store, 1, 40).await;
    let [requests, used, held] = sums(&store).await;
    println!("overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [1, 40, 0]);
}

#[tokio::test]
async fn what_is_being_settled_while_a_server_forgets_is_charged_and_not_held_again() {
    let mut server = RedisServer::start();
    let store = open(&server.address(), PATIENT);
    for id in [1, 2] {
        reserve(&store, id, 300).await.expect("it answers").expect("there is room");
    }
    server.kill();
    drop(store.settle(&Settle { id: ReservationId::from_bits(1), used: tokens(70) }));
    server.start_again();
    assert_eq!(store.drain(PATIENT * 4).await, 0);
    until_it_stands(&store, [2, 70, 300]).await;
    settle(&store, 2, 40).await;
    let [requests, used, held] = sums(&store).await;
    println!("overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [2, 110, 0]);
}

#[tokio::test]
async fn what_is_told_again_is_all_that_was_held_with_its_last_checkpoint() {
    let (mut server, clock) = (RedisServer::start(), UnixClock::new());
    let store = open_with_clock(&server.address(), &clock);
    reserve(&store, 1, 300).await.expect("it answers").expect("there is room");
    let id = ReservationId::from_bits(1);
    for (more, checkpoint) in [(50, 120), (AMOUNT, 130)] {
        let extend = Extend { id, more: tokens(more), checkpoint: tokens(checkpoint), lifetime: LIFETIME / 60 };
        store.extend(&extend).await.expect("it answers");
    }
    server.kill();
    server.start_again();
    until_it_answers(&store).await;
    until_it_stands(&store, [1, 0, 350]).await;
    clock.advance(LIFETIME / 60);
    let [requests, used, held] = sums(&store).await;
    println!("overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [1, 130, 0], "what was refused did not grow it, and had a checkpoint too");
}
