//! One account of tokens and requests, and what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Policy, Resource, Switches, Window};
use flashops_core::store::{Refused, ReservationId, Reserve, Reserved, Settle, Settled, Store, StoreError};
use flashops_core::units::{Amounts, Tokens};
use flashops_redis::{Options, RedisStore};
use flashops_testkit::redis_server::RedisServer;

pub(crate) const AMOUNT: u64 = 100_000;
pub(crate) const LIFETIME: Duration = Duration::from_secs(3_600);

pub(crate) fn policy() -> Policy {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let tokens = Limit::new("tokens", Scope::User, Resource::Tokens, AMOUNT, hour.clone()).expect("valid");
    let requests = Limit::new("requests", Scope::User, Resource::Requests, 1_000, hour).expect("valid");
    Policy::new(vec![requests, tokens]).expect("names differ").with_switches(Switches::default())
}

pub(crate) fn open(address: &str, deadline: Duration) -> RedisStore {
    let mut options = Options::default();
    options.deadline = deadline;
    RedisStore::open(Arc::new(policy()), address, options).expect("the address is one")
}

/// The same, deciding by a clock that moves when it is told to.
pub(crate) fn open_with_clock(address: &str, clock: &super::UnixClock) -> RedisStore {
    let mut options = Options::default();
    options.deadline = PATIENT;
    RedisStore::open_with_clock(Arc::new(policy()), address, options, Arc::new(clock.clone())).expect("it is one")
}

/// A plain connection to a server.
pub(crate) async fn plain(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.address()).expect("it is one");
    client.get_multiplexed_async_connection().await.expect("it runs")
}

/// Asks until the account stands like this: requests used, tokens used, and tokens held.
pub(crate) async fn until_it_stands(store: &RedisStore, wanted: [u64; 3]) {
    let stands = async {
        while sums(store).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), stands).await.is_err() {
        panic!("{:?} and not {wanted:?}", sums(store).await);
    }
}

/// Long enough that only what is in the way is seen, on any machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(5);
pub(crate) const HASTY: Duration = Duration::from_millis(50);

pub(crate) fn ann() -> Scopes<'static> {
    Scopes::new().with(Key::new(Scope::User, "ann"))
}

pub(crate) fn tokens(output: u64) -> Amounts {
    Amounts { output: Tokens::saturating(output), ..Amounts::ONE_REQUEST }
}

pub(crate) async fn reserve(store: &RedisStore, id: u128, hold: u64) -> Result<Result<Reserved, Refused>, StoreError> {
    let (id, limits) = (ReservationId::from_bits(id), store.policy().select(|_| true));
    let (hold, checkpoint) = (tokens(hold), tokens(0));
    store.reserve(&Reserve { id, scopes: &ann(), limits, hold, checkpoint, lifetime: LIFETIME, report: true }).await
}

pub(crate) async fn settle(store: &RedisStore, id: u128, used: u64) -> Settled {
    let command = Settle { id: ReservationId::from_bits(id), used: tokens(used) };
    tokio::time::timeout(Duration::from_secs(20), store.settle(&command)).await.expect("in time").expect("it answers")
}

/// Requests used, tokens used, and tokens held.
pub(crate) async fn sums(store: &RedisStore) -> [u64; 3] {
    let standings = store.standings(&ann(), store.policy().select(|_| true)).await.expect("it answers");
    [standings[0].used, standings[1].used, standings[1].held]
}

/// Asks until the server answers again.
pub(crate) async fn until_it_answers(store: &RedisStore) {
    let answered = async {
        while store.standings(&ann(), store.policy().select(|_| true)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("it comes back");
}

/// Until an instance has said that it lives.
pub(crate) async fn until_it_is_counted(server: &RedisServer) {
    let mut plain = plain(server).await;
    let counted = async {
        let count = || redis::cmd("ZCARD").arg("flashops:{all}:instances").to_owned();
        while count().query_async::<u64>(&mut plain).await.expect("it answers") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("it says so");
}

/// Less than any server has in use; and as much as there is.
pub(crate) const FULL: &str = "1";
pub(crate) const ENOUGH: &str = "0";

pub(crate) async fn limit_memory(server: &RedisServer, bytes: &str) {
    let (mut command, mut other) = (redis::cmd("CONFIG"), plain(server).await);
    command.arg("SET").arg("maxmemory").arg(bytes);
    let _set: String = command.query_async(&mut other).await.expect("it is ours");
}
