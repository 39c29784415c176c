//! A process that is killed in the middle of a stream.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use flashops_core::store::{Extend, Extended, ReservationId, Reserve, Store};
use flashops_redis::RedisStore;
use flashops_testkit::redis_server::RedisServer;
use support::{AMOUNT, UnixClock, ann, open_with_clock, sums, tokens};

/// Tells the process that is to be killed where its server is.
const VICTIM: &str = "FLASHOPS_TEST_VICTIM";
const TEST: &str = "a_process_that_is_killed_in_mid_stream_is_charged_its_last_checkpoint";
const SAID: &str = "has said how far it is";
const LIFETIME: Duration = Duration::from_secs(60);

/// Holds 300, then 50 more with a checkpoint at 120, and goes on streaming until it is killed.
async fn streams(store: &RedisStore) {
    let (id, limits) = (ReservationId::from_bits(1), store.policy().select(|_| true));
    let (hold, checkpoint) = (tokens(300), tokens(10));
    let reserve = Reserve { id, scopes: &ann(), limits, hold, checkpoint, lifetime: LIFETIME, report: false };
    store.reserve(&reserve).await.expect("it answers").expect("there is room");
    let extend = Extend { id, more: tokens(50), checkpoint: tokens(120), lifetime: LIFETIME };
    assert_eq!(store.extend(&extend).await, Ok(Extended::Held));
    println!("\n{SAID}");
    std::future::pending::<()>().await;
}

/// The same test in a process of its own, killed with SIGKILL once its checkpoint is on the server.
fn kill_one_that_streams(address: &str) {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args([TEST, "--exact", "--nocapture"]).env(VICTIM, address).stdout(Stdio::piped());
    let mut victim = command.spawn().expect("it starts again");
    let mut lines = BufReader::new(victim.stdout.take().expect("it was piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == SAID)), "it ended by itself");
    victim.kill().expect("it is ours");
    victim.wait().expect("it is ours");
}

#[tokio::test]
async fn a_process_that_is_killed_in_mid_stream_is_charged_its_last_checkpoint() {
    let clock = UnixClock::new();
    if let Ok(address) = std::env::var(VICTIM) {
        streams(&open_with_clock(&address, &clock)).await;
    }
    let server = RedisServer::start();
    kill_one_that_streams(&server.address());
    let other = open_with_clock(&server.address(), &clock);
    assert_eq!(sums(&other).await, [1, 0, 350], "nobody says that it has ended");
    clock.advance(LIFETIME - Duration::from_micros(1));
    assert_eq!(sums(&other).await, [1, 0, 350], "it may live until its deadline");
    clock.advance(Duration::from_micros(1));
    let [requests, used, held] = sums(&other).await;
    println!("overshoot {}, {held} held, {used} used", used.saturating_sub(AMOUNT));
    assert_eq!([requests, used, held], [1, 120, 0]);
}
