//! Several instances on one server: one budget, one alarm, and policies that differ for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashops_core::budget::{Budget, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::record::{Ending, Event, Recorder};
use flashops_core::store::{Refused, ReservationId, Reserve, Settle, Store, Succeed};
use flashops_core::units::{Amounts, Tokens};
use flashops_core::usage::Usage;
use flashops_redis::{OpenError, Options, RedisStore};
use flashops_testkit::redis_server::RedisServer;

const LIFETIME: Duration = Duration::from_secs(3_600);

fn policy(amount: u64) -> Policy {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let limit = Limit::new("tokens", Scope::Org, Resource::OutputTokens, amount, hour).expect("valid");
    Policy::new(vec![limit.with_thresholds([500]).expect("valid")]).expect("there is one")
}

fn open(server: &RedisServer, amount: u64) -> RedisStore {
    let mut options = Options::default();
    options.deadline = Duration::from_secs(10);
    RedisStore::open(Arc::new(policy(amount)), &server.address(), options).expect("the address is one")
}

fn acme() -> Scopes<'static> {
    Scopes::new().with(Key::new(Scope::Org, "acme"))
}

fn tokens(output: u64) -> Amounts {
    Amounts { output: Tokens::saturating(output), ..Amounts::ONE_REQUEST }
}

async fn reserve(store: &RedisStore, id: u128, hold: u64) -> bool {
    let (id, limits, hold) = (ReservationId::from_bits(id), store.policy().select(|_| true), tokens(hold));
    let command = Reserve { id, scopes: &acme(), limits, hold, checkpoint: hold, lifetime: LIFETIME, report: true };
    match store.reserve(&command).await.expect("it answers") {
        Ok(_) => true,
        Err(Refused::Denied(_)) => false,
        Err(Refused::AlreadySettled) => panic!("it is new"),
    }
}

/// Settles; says how many thresholds were reached.
async fn settle(store: &RedisStore, id: u128, used: u64) -> usize {
    let command = Settle { id: ReservationId::from_bits(id), used: tokens(used) };
    store.settle(&command).await.expect("it answers").crossings.len()
}

/// Used, held and the amount.
async fn standing(store: &RedisStore) -> [u64; 3] {
    let standings = store.standings(&acme(), store.policy().select(|_| true)).await.expect("it answers");
    [standings[0].used, standings[0].held, standings[0].amount]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_two_instances_holds_and_uses_no_more_than_the_amount_and_tells_a_threshold_once() {
    let server = RedisServer::start();
    let (stores, told) = ([open(&server, 1_000), open(&server, 1_000)], Arc::new(AtomicU64::new(0)));
    let callers = (0..64_u128).map(|caller| {
        let (store, told) = (stores[caller as usize % 2].clone(), Arc::clone(&told));
        tokio::spawn(async move {
            let mut used = 0;
            for call in 0..20 {
                let (id, hold) = (caller * 100 + call, 7 + (caller as u64 + call as u64) % 11);
                if reserve(&store, id, hold).await {
                    told.fetch_add(settle(&store, id, hold - 3).await as u64, Ordering::Relaxed);
                    used += hold - 3;
                }
            }
            used
        })
    });
    let mut used = 0;
    for caller in callers.collect::<Vec<_>>() {
        used += caller.await.expect("no caller panics");
    }
    println!("{used} of 1000 used");
    assert!(used <= 1_000 && used > 1_000 - 17, "{used}");
    assert_eq!(standing(&stores[0]).await, [used, 0, 1_000]);
    assert_eq!(standing(&stores[1]).await, [used, 0, 1_000]);
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_changed_amount_keeps_what_is_used_and_what_was_begun_before_is_settled() {
    let server = RedisServer::start();
    let before = open(&server, 1_000);
    assert!(reserve(&before, 1, 300).await && reserve(&before, 2, 200).await);
    settle(&before, 1, 250).await;
    let after = before.succeed(Arc::new(policy(600)));
    assert_eq!(standing(&after).await, [250, 200, 600]);
    assert!(!reserve(&after, 3, 151).await && reserve(&after, 3, 150).await);
    settle(&before, 2, 10).await;
    assert_eq!(standing(&after).await, [260, 150, 600]);
    assert_eq!(standing(&before).await, [260, 150, 1_000], "an instance that has not heard of it yet");
}

/// Counts the thresholds that it is told of.
#[derive(Debug, Default)]
struct Thresholds(tokio::sync::Notify);

#[derive(Clone, Debug)]
struct Told(Arc<Thresholds>);

impl Recorder for Told {
    fn record(&self, event: &Event<'_>) {
        if let Event::Threshold { call, crossing, .. } = event {
            assert_eq!((call.caller.org(), crossing.threshold, crossing.used), ("acme", 500, 60));
            self.0.0.notify_one();
        }
    }
}

#[tokio::test]
async fn a_threshold_that_the_server_tells_later_is_told_to_the_recorder_of_the_call() {
    let server = RedisServer::start();
    let told = Told(Arc::default());
    let store = Arc::new(open(&server, 100));
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), told.clone());
    let request = CallRequest {
        caller: Caller::new("ann", "acme"),
        route: "/v1/chat/completions".into(),
        model: "gpt-4o-mini".into(),
        estimate: Estimate::new(InputBound::bytes(30), OutputCap::new(Tokens::saturating(80))),
        limits: budget.policy().select(|_| true),
    };
    let mut call = budget.begin(request).await.expect("80 of 100 fit");
    call.dispatched();
    let mut usage = Usage::exact();
    usage.output = Tokens::saturating(60);
    call.settle(&usage, Ending::Complete);
    tokio::time::timeout(Duration::from_secs(10), told.0.0.notified()).await.expect("it is told");
}

#[tokio::test]
async fn a_store_says_at_once_what_is_wrong_with_its_address_or_its_prefix() {
    let open = |address: &str, prefix: &str| {
        let mut options = Options::default();
        options.prefix = prefix.to_owned();
        RedisStore::open(Arc::new(policy(1)), address, options).err()
    };
    assert!(matches!(open("http://127.0.0.1", "a"), Some(OpenError::Address(_))));
    for prefix in ["", "a b", "a{b}", &"a".repeat(65)] {
        assert_eq!(open("redis://127.0.0.1:1", prefix), Some(OpenError::Prefix(prefix.to_owned())));
    }
    assert_eq!(open("redis://127.0.0.1:1", "a:b-c_1.2"), None, "whether it answers is another question");
}
