//! A server that is told to let every client wait.

mod support;

use flashops_core::store::{ReservationId, Settle, Store};
use flashops_core::units::Amounts;
use flashops_redis::RedisStore;
use flashops_testkit::redis_server::RedisServer;
use support::{
    AMOUNT, HASTY, PATIENT, open, plain, reserve, settle, sums, tokens, until_it_answers, until_it_is_counted,
};

const CALLS: u128 = 40;
const HOLD: u64 = 7_000;
const USED: u64 = 6_500;
/// Longer than any test needs to ask and to settle, and much longer than the deadline.
const PAUSE_MILLIS: u64 = 3_000;

/// Reserves for many calls at once, and settles each: what was granted, and nothing for the others, of which the server
/// may have heard. Says how many were granted.
async fn call_and_settle(store: &RedisStore) -> u64 {
    let reserve_one = |id| {
        let store = store.clone();
        (id, tokio::spawn(async move { reserve(&store, id, HOLD).await }))
    };
    let mut granted = 0;
    for (id, call) in (100..100 + CALLS).map(reserve_one).collect::<Vec<_>>() {
        let is_granted = call.await.expect("it does not panic").is_ok_and(|answer| answer.is_ok());
        granted += u64::from(is_granted);
        let used = if is_granted { tokens(USED) } else { Amounts::ZERO };
        drop(store.settle(&Settle { id: ReservationId::from_bits(id), used }));
    }
    granted
}

#[tokio::test]
async fn while_the_server_lets_all_wait_a_share_is_given_out_and_each_settlement_arrives_once_afterwards() {
    let server = RedisServer::start();
    let (store, direct) = (open(&server.address(), HASTY), open(&server.address(), PATIENT));
    until_it_answers(&store).await;
    until_it_is_counted(&server).await;
    reserve(&store, 1, 20_000).await.expect("it answers").expect("there is room");
    settle(&store, 1, 20_000).await;
    let (mut command, mut other) = (redis::cmd("CLIENT"), plain(&server).await);
    command.arg("PAUSE").arg(PAUSE_MILLIS).arg("ALL");
    let _paused: String = command.query_async(&mut other).await.expect("it is ours");
    let granted = call_and_settle(&store).await;
    assert!(!store.stats().answers && store.stats().undelivered > 0, "it still lets all wait");
    assert_eq!(store.stats().granted_locally, granted);
    assert_eq!(store.drain(PATIENT * 4).await, 0);
    let [requests, used, held] = sums(&direct).await;
    println!("{granted} granted by the share, overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    // Half of the 80,000 that were left is the share of all instances together.
    assert!(granted > 0 && granted * HOLD <= 40_000, "{granted}");
    assert_eq!([requests, used, held], [1 + granted, 20_000 + granted * USED, 0]);
}
