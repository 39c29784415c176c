//! A server whose memory is full, and that evicts nothing.

mod support;

use flashops_core::store::{ReservationId, Settle, Store, StoreError};
use flashops_redis::RedisStore;
use flashops_testkit::redis_server::RedisServer;
use support::{
    AMOUNT, ENOUGH, FULL, PATIENT, ann, limit_memory, open, reserve, settle, sums, tokens, until_it_answers,
    until_it_is_counted,
};

/// Settles while nothing can be written, and says how many settlements are kept.
fn settle_later(store: &RedisStore, ids: &[u128], used: u64) -> usize {
    for &id in ids {
        drop(store.settle(&Settle { id: ReservationId::from_bits(id), used: tokens(used) }));
    }
    store.stats().undelivered
}

#[tokio::test]
async fn a_server_out_of_memory_decides_nothing_and_what_is_settled_meanwhile_arrives_when_there_is_memory() {
    let server = RedisServer::with(&["--maxmemory-policy", "noeviction"]);
    let store = open(&server.address(), PATIENT);
    until_it_answers(&store).await;
    until_it_is_counted(&server).await;
    reserve(&store, 1, 20_000).await.expect("it answers").expect("there is room");
    limit_memory(&server, FULL).await;
    // A share of what was left when it last said so, and no more.
    assert!(reserve(&store, 2, 30_000).await.is_ok_and(|answer| answer.is_ok()));
    let refused = reserve(&store, 3, 30_000).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("OOM")), "{refused:?}");
    assert_eq!((store.stats().granted_locally, store.stats().refused_locally), (1, 1));
    let standings = store.standings(&ann(), store.policy().select(|_| true)).await.expect("it can still be read");
    assert_eq!((standings[1].used, standings[1].held), (0, 20_000), "nothing was done by halves");
    let kept = settle_later(&store, &[1, 2], 25_000);
    assert_eq!((kept, store.drain(PATIENT / 10).await), (2, 2), "they are kept");
    limit_memory(&server, ENOUGH).await;
    assert_eq!(store.drain(PATIENT * 4).await, 0);
    settle(&store, 3, 0).await;
    let [requests, used, held] = sums(&store).await;
    println!("{kept} kept, overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [2, 50_000, 0]);
}
