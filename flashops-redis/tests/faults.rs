//! A server that is slow, cut off, killed, frozen, or forgetful: what is decided meanwhile, and that nothing is lost or
//! counted twice.

mod support;

use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Moment, Tick};
use flashops_core::health::{Check, Group, HealthRegistry, Status};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::{Admit, Extend, GiveBack, Outcome, ReservationId, Settle, Store, StoreError};
use flashops_core::units::Amounts;
use flashops_redis::{Options, RedisStore};
use flashops_testkit::redis_server::RedisServer;
use support::*;

/// What readiness is after a check was asked once.
async fn asked(check: Check) -> Status {
    let registry = HealthRegistry::new();
    registry.register(check).expect("there is room");
    assert!(registry.start_due(Tick::ZERO).is_empty());
    for mut run in registry.start_due(Tick::from_nanos(10_000_000_000)) {
        let finding = (&mut run).await;
        run.finish(finding, Moment::default());
    }
    registry.report().status(Group::Readiness)
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_nothing_is_held_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port()).await;
    let (store, direct) = (open(&proxy.address(), HASTY), open(&server.address(), PATIENT));
    until_it_answers(&store).await;
    proxy.set(Mode::SwallowAnswers);
    // Twice sent, twice unanswered: granted here, because the server may or may not have heard it. It has.
    assert!(reserve(&store, 1, 300).await.is_err(), "nothing was seen of this caller, so there is no share");
    assert_eq!(sums(&direct).await, [1, 0, 300]);
    proxy.set(Mode::Pass);
    until_it_answers(&store).await;
    assert!(reserve(&store, 1, 300).await.expect("it answers").expect("it is held").replayed);
    assert_eq!(settle(&store, 1, 40).await.outcome, Outcome::Applied);
    assert_eq!(sums(&direct).await, [1, 40, 0]);
}

#[tokio::test]
async fn a_settlement_whose_answers_are_lost_is_delivered_and_counts_once() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port()).await;
    let (store, direct) = (open(&proxy.address(), PATIENT), open(&server.address(), PATIENT));
    reserve(&store, 1, 300).await.expect("it answers").expect("there is room");
    proxy.set(Mode::SwallowAnswers);
    let delivered = store.settle(&Settle { id: ReservationId::from_bits(1), used: tokens(70) });
    assert_eq!(store.drain(Duration::from_millis(1_500)).await, 1, "it says what is left");
    assert_eq!(sums(&direct).await, [1, 70, 0], "it was applied the first time");
    proxy.set(Mode::Reset);
    assert_eq!(store.drain(Duration::from_millis(100)).await, 1);
    proxy.set(Mode::Pass);
    assert_eq!(delivered.await.expect("it answers").outcome, Outcome::Replayed);
    assert_eq!((store.drain(PATIENT).await, sums(&direct).await), (0, [1, 70, 0]));
}

#[tokio::test]
async fn answers_that_come_in_slices_or_late_are_answers() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port()).await;
    let store = open(&proxy.address(), PATIENT);
    for (id, mode) in [(1, Mode::Slices), (2, Mode::Delay(Duration::from_millis(120)))] {
        proxy.set(mode);
        reserve(&store, id, 300).await.expect("it answers").expect("there is room");
        assert_eq!(settle(&store, id, 10).await.outcome, Outcome::Applied);
    }
    assert_eq!(sums(&store).await, [2, 20, 0]);
}

#[tokio::test]
async fn without_the_server_a_share_of_what_was_left_is_given_out_and_settled_when_it_is_back() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port()).await;
    let direct = open(&server.address(), PATIENT);
    until_it_is_counted(&server).await;
    let store = open(&proxy.address(), HASTY);
    until_it_answers(&store).await;
    reserve(&store, 1, 20_000).await.expect("it answers").expect("there is room");
    settle(&store, 1, 20_000).await;
    // What was left when the server last said so: 80,000, of which two instances may give out half.
    proxy.set(Mode::Silence);
    let mut granted = 0;
    while reserve(&store, 100 + granted, 7_000).await.is_ok_and(|answer| answer.is_ok()) {
        granted += 1;
    }
    assert_eq!(granted, 2, "2 times 7,000 of 20,000");
    let stats = store.stats();
    assert!(!stats.answers && stats.granted_locally == 2 && stats.refused_locally == 1 && stats.faults > 0);
    for id in 0..granted {
        drop(store.settle(&Settle { id: ReservationId::from_bits(100 + id), used: tokens(6_000) }));
    }
    drop(store.settle(&Settle { id: ReservationId::from_bits(100 + granted), used: Amounts::ZERO }));
    proxy.set(Mode::Pass);
    assert_eq!(store.drain(Duration::from_secs(20)).await, 0);
    // The void of the refused one found nothing, or what the server had heard of it.
    assert_eq!(sums(&direct).await, [3, 32_000, 0]);
    until_it_answers(&store).await;
    assert!(store.stats().answers);
}

#[tokio::test]
async fn without_the_server_requests_are_admitted_and_tokens_that_were_never_seen_are_not() {
    let mut server = RedisServer::start();
    let store = open(&server.address(), HASTY);
    until_it_answers(&store).await;
    server.kill();
    let limits = store.policy().request_limits();
    let admit = Admit { scopes: &ann(), limits, requests: 1, report: true };
    store.admit(&admit).await.expect("it is allowed").expect("it is allowed");
    assert!(matches!(reserve(&store, 1, 5).await, Err(StoreError::Unavailable(_))));
    assert_eq!(asked(store.check("store")).await, Status::Warn, "the service goes on without");
    server.start_again();
    until_it_answers(&store).await;
    assert_eq!(asked(store.check("store")).await, Status::Pass);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_soon_not_asked_and_nobody_waits_for_it() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port()).await;
    let store = open(&proxy.address(), HASTY);
    until_it_answers(&store).await;
    proxy.set(Mode::Silence);
    let limits = store.policy().request_limits();
    let asked: Vec<_> =
        (0..40).map(|_| store.admit(&Admit { scopes: &ann(), limits, requests: 1, report: false })).collect();
    for answer in asked {
        assert!(answer.await.is_ok_and(|answer| answer.is_ok()));
    }
    assert_eq!((store.stats().asked, store.stats().breaker_opened), (false, 1));
    // One that had to wait for the deadline would not be in time.
    let quick = store.admit(&Admit { scopes: &ann(), limits, requests: 1, report: false });
    tokio::time::timeout(HASTY / 2, quick).await.expect("at once").expect("it is allowed").expect("it is allowed");
    proxy.set(Mode::Pass);
    until_it_answers(&store).await;
    assert!(store.stats().asked);
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let server = RedisServer::start();
    let store = open(&server.address(), PATIENT);
    let client = redis::Client::open(server.address()).expect("it is one");
    let mut plain = client.get_multiplexed_async_connection().await.expect("it runs");
    for id in 1..=5 {
        let _flushed: String = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut plain).await.expect("it is ours");
        reserve(&store, id, 10).await.expect("it answers").expect("there is room");
        let _flushed: String = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut plain).await.expect("it is ours");
        assert_eq!(settle(&store, id, 10).await.outcome, Outcome::Applied);
    }
    assert_eq!(sums(&store).await, [5, 50, 0]);
}

/// What stands in a documentation as the rights that are needed.
fn documented_rights() -> Vec<String> {
    let text = include_str!("../../docs/operations.md");
    let from = text.find("ACL SETUSER").expect("it names them");
    let rights = text[from..].split("```").next().expect("a block ends");
    rights.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_user_with_the_documented_rights_can_do_all_that_a_store_does() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.address()).expect("it is one");
    let mut plain = client.get_multiplexed_async_connection().await.expect("it runs");
    let rights = documented_rights();
    let mut command = redis::cmd(&rights[0]);
    rights[1..].iter().for_each(|word| {
        command.arg(word);
    });
    let _made: String = command.query_async(&mut plain).await.expect("the rights are well-formed");
    let lifetime = Limit::new("ever", Scope::User, Resource::Tokens, AMOUNT, Window::Lifetime).expect("valid");
    let policy = Policy::new([policy().limits().to_vec(), vec![lifetime]].concat()).expect("names differ");
    let mut options = Options::default();
    (options.prefix, options.deadline) = ("shop".to_owned(), PATIENT);
    let address = server.address().replace("redis://", "redis://flashops:secret@");
    let store = RedisStore::open(Arc::new(policy), &address, options).expect("the address is one");
    let limits = store.policy().request_limits();
    let admit = Admit { scopes: &ann(), limits, requests: 1, report: true };
    let admitted = store.admit(&admit).await.expect("it may").expect("there is room");
    store.give_back(&GiveBack { scopes: &ann(), limits, requests: 1, receipt: admitted.receipt });
    for id in 0..3 {
        reserve(&store, id, 100).await.expect("it may").expect("there is room");
        let id = ReservationId::from_bits(id);
        let lifetime = if id.bits() == 0 { Duration::ZERO } else { LIFETIME };
        let extend = Extend { id, more: tokens(5), checkpoint: tokens(5), lifetime };
        store.extend(&extend).await.expect("it may");
    }
    assert_eq!(sums(&store).await, [3, 5, 210], "one has expired");
    for id in 0..3 {
        settle(&store, id, 10).await;
    }
    assert_eq!(settle(&store, 2, 10).await.outcome, Outcome::Replayed);
    assert_eq!((sums(&store).await, store.stats().faults), ([3, 30, 0], 0));
}

#[tokio::test]
async fn a_server_that_is_killed_and_writes_every_command_to_its_disk_loses_nothing() {
    let mut server = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.address(), PATIENT);
    reserve(&store, 1, 300).await.expect("it answers").expect("there is room");
    reserve(&store, 2, 500).await.expect("it answers").expect("there is room");
    settle(&store, 1, 40).await;
    server.kill();
    let settling = store.settle(&Settle { id: ReservationId::from_bits(2), used: tokens(60) });
    server.start_again();
    assert_eq!(settling.await.expect("it answers").outcome, Outcome::Applied);
    until_it_answers(&store).await;
    assert_eq!(sums(&store).await, [2, 100, 0]);
    assert_eq!(settle(&store, 1, 40).await.outcome, Outcome::Replayed);
}

#[tokio::test]
async fn a_server_that_has_forgotten_everything_is_told_what_is_held() {
    let mut server = RedisServer::start();
    let store = open(&server.address(), PATIENT);
    for (id, hold) in [(1, 300), (2, 500), (3, 20)] {
        reserve(&store, id, hold).await.expect("it answers").expect("there is room");
    }
    settle(&store, 2, 70).await;
    server.kill();
    server.start_again();
    until_it_answers(&store).await;
    until_it_stands(&store, [2, 0, 320]).await;
    assert_eq!(settle(&store, 1, 40).await.outcome, Outcome::Applied);
    assert_eq!(settle(&store, 3, 5).await.outcome, Outcome::Applied);
    // What was settled before is lost: nobody has it any more.
    assert_eq!(sums(&store).await, [2, 45, 0]);
}

#[tokio::test]
async fn a_server_that_stands_still_for_a_while_loses_and_doubles_nothing() {
    let server = RedisServer::start();
    let store = open(&server.address(), HASTY);
    until_it_answers(&store).await;
    reserve(&store, 1, 10_000).await.expect("it answers").expect("there is room");
    signal(&server, "STOP");
    let mut granted = 0;
    for id in 2..30 {
        granted += u64::from(reserve(&store, id, 1_000).await.is_ok_and(|answer| answer.is_ok()));
    }
    // None was settled, and each may have reached the server.
    for id in 1..30 {
        drop(store.settle(&Settle { id: ReservationId::from_bits(id), used: tokens(if id == 1 { 10 } else { 100 }) }));
    }
    signal(&server, "CONT");
    assert_eq!(store.drain(Duration::from_secs(20)).await, 0);
    until_it_answers(&store).await;
    let [requests, used, held] = sums(&store).await;
    println!("{granted} granted without the server, {requests} requests and {used} tokens used, {held} held");
    assert_eq!(held, 0);
    assert_eq!(used, 10 + 100 * (requests - 1), "each that counts was charged once");
    assert!(requests > granted, "what was granted counts");
}

fn signal(server: &RedisServer, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &server.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
}
