//! Sends a trace of requests through a running gateway and compares what both sides counted.
//!
//! ```sh
//! FLASHOPS_CONFIG=examples/replay.toml cargo run --release --example gateway
//! cargo run --release --example replay -- --trace examples/traces/small.csv --url http://127.0.0.1:8080
//! ```
//!
//! The gateway must use the stub provider, have the callers of `replay.toml`, and serve nobody else meanwhile. The
//! trace keeps its arrival times, divided by the speed. At the end the replay prints its own sums beside the gateway's
//! and exits with 1 on any difference: requests that were not cut are compared exactly, cut ones as intervals.
//!
//! Edge cases: what the gateway had counted before the run is subtracted. A request that ends neither as an answer nor
//! as a refusal nor as a cut that the replay made itself is a failure, and a failure is a difference.
//!
//! What it does not do: measure latency, or speak TLS.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use flashops_testkit::trace;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

mod replay {
    pub(crate) mod answer;
    pub(crate) mod args;
    pub(crate) mod client;
    #[cfg(test)]
    pub(crate) mod fake;
    pub(crate) mod plan;
    pub(crate) mod progress;
    pub(crate) mod report;
    pub(crate) mod usage;
}

use replay::args::{self, Args};
use replay::client::Gateway;
use replay::plan::{self, Planned};
use replay::progress::{self, Board};
use replay::report::{self, Verdict};

/// Requests that are under way at a time; further ones start late, and the progress says how late.
const MAX_IN_FLIGHT: usize = 512;
/// How long the gateway may take, after the last answer, to settle what was cut.
const SETTLING: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("replay: {mistake}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match run(&args).await {
        Ok(verdict) => {
            print!("{verdict}");
            ExitCode::from(u8::from(!verdict.is_clean()))
        }
        Err(problem) => {
            eprintln!("replay: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Verdict, String> {
    let mut requests = trace::load(&args.trace).map_err(|error| format!("{}: {error}", args.trace))?;
    requests.truncate(args.limit);
    let plan = plan::plan(&requests, args);
    let gateway = Arc::new(Gateway::new(&args.url));
    let before = gateway.usage().await?;

    let board = Arc::new(Board::new(args.tenants, plan.len()));
    let (done, running) = watch::channel(());
    let reporter = tokio::spawn(progress::report(Arc::clone(&board), running));
    send(plan, &gateway, &board).await;
    drop(done);
    // The reporter ends by itself once nobody holds the other end; a panic in it is no result of the replay.
    let _ = reporter.await;

    settled(&gateway, &before, &board).await
}

/// Sends every request at its time and waits for all of them.
async fn send(plan: Vec<Planned>, gateway: &Arc<Gateway>, board: &Arc<Board>) {
    let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut under_way = JoinSet::new();
    let start = Instant::now();
    for planned in plan {
        tokio::time::sleep_until(start + planned.at).await;
        let place = Arc::clone(&places).acquire_owned().await;
        board.started(start.elapsed().saturating_sub(planned.at));
        let (gateway, board) = (Arc::clone(gateway), Arc::clone(board));
        under_way.spawn(async move {
            let outcome = gateway.send(&planned).await;
            board.ended(&planned, outcome);
            drop(place);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

/// Asks for the gateway's usage until it agrees and holds nothing, or until it had time enough.
async fn settled(gateway: &Gateway, before: &replay::usage::Snapshot, board: &Board) -> Result<Verdict, String> {
    let give_up = Instant::now() + SETTLING;
    loop {
        let now = gateway.usage().await?;
        let verdict = report::compare(&board.sums(), before, &now);
        if verdict.is_clean() || Instant::now() > give_up {
            return Ok(verdict);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::replay::fake::FakeGateway;
    use super::*;

    async fn replayed(gateway: &FakeGateway) -> Verdict {
        let trace = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/small.csv");
        let line =
            format!("--trace {trace} --url {} --tenants 4 --cut 0.5 --pace 1 --speed 1000 --limit 80", gateway.url());
        let args = args::parse(line.split(' ').map(str::to_owned));
        run(&args.unwrap().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_run_against_a_gateway_that_counts_right_is_clean_also_the_second_time() {
        let gateway = FakeGateway::start().await;
        for _ in 0..2 {
            let verdict = replayed(&gateway).await;
            assert!(verdict.is_clean(), "{verdict}");
            let all = verdict.all();
            assert!(all.admitted > 0 && all.refused > 0 && all.cut > 0, "{verdict}");
            assert_eq!(all.admitted + all.refused + all.cut, 80, "{verdict}");
        }
    }

    #[test]
    fn the_small_trace_is_what_the_generator_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/small.csv");
        let made = trace::write(&trace::generate(2026, 300, Duration::from_secs(600)));
        if std::env::var_os("FLASHOPS_WRITE_TRACE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert_eq!(made, committed, "FLASHOPS_WRITE_TRACE=1 writes it anew");
    }
}
