//! What a shared budget costs its server, beside a plain INCRBY on the same connection in the same run.
//!
//! Reserve and settle in three scopes under five limits; the server's own `commandstats` say what they cost it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::store::{ReservationId, Reserve, Settle, Store};
use flashops_core::units::{Amounts, Cost, Tokens};
use flashops_core::window::{Calendar, CalendarUnit};
use flashops_redis::{Options, RedisStore};
use flashops_testkit::redis_server::RedisServer;
use redis::aio::MultiplexedConnection;

/// How many callers there are.
const USERS: u128 = 1_000;
/// How many commands are on their way at a time where it is not the latency that is measured.
const AT_ONCE: u128 = 16;

fn main() {
    let measured = std::env::args().any(|word| word == "--bench");
    let (calls, singles) = if measured { (30_000, 3_000) } else { (64, 16) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let server = RedisServer::start();
    runtime.block_on(run(&server.address(), calls, singles));
}

async fn run(address: &str, calls: u128, singles: u128) {
    let mut options = Options::default();
    options.deadline = Duration::from_secs(5);
    let store = RedisStore::open(Arc::new(policy()), address, options).expect("the address is one");
    let client = redis::Client::open(address).expect("the address is one");
    let mut plain = client.get_multiplexed_async_connection().await.expect("the server runs");
    each(calls.min(2_000), |n| reserve(&store, n + (1 << 64))).await;
    each(calls.min(2_000), |n| settle(&store, n + (1 << 64))).await;

    let before = memory(&mut plain).await;
    let (reserve_cost, settle_cost) = (
        cost(&mut plain, each(calls, |n| reserve(&store, n))).await,
        cost(&mut plain, each(calls, |n| settle(&store, n))).await,
    );
    let record = (memory(&mut plain).await - before) as f64 / calls as f64;
    println!("server time of a reserve: {reserve_cost:.1} us; of a settle: {settle_cost:.1} us");
    println!("both: {:.1} us (asked for: at most 45)", reserve_cost + settle_cost);
    println!("memory of a settled record: {record:.0} bytes (asked for: at most 160)");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..singles {
        let start = now();
        reserve(&store, n + (2 << 64)).await;
        ours.push(start.elapsed());
        settle(&store, n + (2 << 64)).await;
        let start = now();
        let _count: u64 = redis::cmd("INCRBY").arg("plain").arg(3).query_async(&mut plain).await.expect("it counts");
        theirs.push(start.elapsed());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("p50 of a reserve: {ours:.1?}; of an INCRBY: {theirs:.1?}; ratio {ratio:.2} (asked for: at most 1.5)");
}

fn policy() -> Policy {
    let minute = Window::Sliding(Duration::from_secs(60));
    let days = Calendar::new(CalendarUnit::Day, "Europe/Paris", None).expect("Paris has days");
    let limit = |name: &str, scope, resource, window| Limit::new(name, scope, resource, 1 << 50, window);
    let limits = [
        limit("user-rpm", Scope::User, Resource::Requests, minute.clone()),
        limit("user-tpm", Scope::User, Resource::Tokens, minute.clone()),
        limit("org-tpm", Scope::Org, Resource::Tokens, minute.clone()),
        limit("org-daily", Scope::Org, Resource::Cost, Window::Calendar(days)),
        limit("ip-rpm", Scope::Ip, Resource::Requests, minute),
    ];
    Policy::new(limits.into_iter().collect::<Result<_, _>>().expect("they are valid")).expect("names differ")
}

async fn reserve(store: &RedisStore, n: u128) {
    let (user, org, ip) = (format!("user-{}", n % USERS), format!("org-{}", n % 50), format!("10.0.0.{}", n % 200));
    let scopes = Scopes::new()
        .with(Key::new(Scope::User, &user))
        .with(Key::new(Scope::Org, &org))
        .with(Key::new(Scope::Ip, &ip));
    let hold =
        Amounts { requests: 1, input: Tokens::saturating(400), output: Tokens::saturating(1_000), cost: money() };
    let command = Reserve {
        id: id(n),
        scopes: &scopes,
        limits: store.policy().select(|_| true),
        hold,
        checkpoint: hold,
        lifetime: Duration::from_secs(3_600),
        report: true,
    };
    let answer = store.reserve(&command).await.expect("the server answers");
    assert!(answer.is_ok_and(|reserved| reserved.standings.len() == 5));
}

async fn settle(store: &RedisStore, n: u128) {
    let used = Amounts { requests: 1, input: Tokens::saturating(380), output: Tokens::saturating(312), cost: money() };
    store.settle(&Settle { id: id(n), used }).await.expect("the server answers");
}

fn money() -> Cost {
    Cost::saturating(1_230_000)
}

/// Random-looking and repeatable.
fn id(n: u128) -> ReservationId {
    ReservationId::from_bits(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

/// Runs so many commands, a few at a time.
async fn each<F: Future<Output = ()>>(calls: u128, mut command: impl FnMut(u128) -> F) {
    for first in (0..calls).step_by(AT_ONCE as usize) {
        futures_util::future::join_all((first..(first + AT_ONCE).min(calls)).map(&mut command)).await;
    }
}

/// The server's time for each script meanwhile, in microseconds.
async fn cost(plain: &mut MultiplexedConnection, work: impl Future<Output = ()>) -> f64 {
    let _: String = redis::cmd("CONFIG").arg("RESETSTAT").query_async(plain).await.expect("it is ours");
    work.await;
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(plain).await.expect("it is ours");
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).expect("scripts ran");
    let figure = line.split(',').find_map(|part| part.strip_prefix("usec_per_call=")).expect("it says so");
    figure.parse().expect("it is a number")
}

async fn memory(plain: &mut MultiplexedConnection) -> i64 {
    let info: String = redis::cmd("INFO").arg("memory").query_async(plain).await.expect("it is ours");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).expect("it says so");
    used.trim().parse().expect("it is a number")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn now() -> Instant {
    Instant::now()
}
