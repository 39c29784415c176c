//! What has happened so far, and a line about it every second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::client::{Outcome, Tokens};
use super::plan::Planned;

/// Failures whose messages are kept.
const MAX_MESSAGES: usize = 10;

/// What one tenant sent, and how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
    pub(crate) failed: u64,
    /// Of requests that were not cut.
    pub(crate) exact: Tokens,
    /// Of those that were cut, at least.
    pub(crate) cut_least: Tokens,
    /// Of those that were cut, at most.
    pub(crate) cut_most: Tokens,
}

impl Tenant {
    /// Adds another's numbers.
    pub(crate) fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.refused += other.refused;
        self.cut += other.cut;
        self.failed += other.failed;
        add(&mut self.exact, other.exact);
        add(&mut self.cut_least, other.cut_least);
        add(&mut self.cut_most, other.cut_most);
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Admitted(tokens) => {
                self.admitted += 1;
                add(&mut self.exact, *tokens);
            }
            Outcome::Cut { least, most } => {
                self.cut += 1;
                add(&mut self.cut_least, *least);
                add(&mut self.cut_most, *most);
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

/// The replay's own sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// By tenant, whether it sent something or not.
    pub(crate) tenants: Vec<Tenant>,
    /// The first failures, each with how often it came.
    pub(crate) messages: BTreeMap<String, u64>,
    /// How far behind its time the latest request started.
    pub(crate) latest: Duration,
    pub(crate) started: u64,
}

impl Sums {
    /// Over all tenants.
    pub(crate) fn all(&self) -> Tenant {
        let mut all = Tenant::default();
        self.tenants.iter().for_each(|tenant| all.add(tenant));
        all
    }
}

/// Where the requests report.
#[derive(Debug)]
pub(crate) struct Board {
    planned: usize,
    sums: Mutex<Sums>,
}

impl Board {
    pub(crate) fn new(tenants: usize, planned: usize) -> Self {
        let sums = Sums { tenants: vec![Tenant::default(); tenants], ..Sums::default() };
        Self { planned, sums: Mutex::new(sums) }
    }

    /// A request starts, so far behind its time.
    pub(crate) fn started(&self, behind: Duration) {
        let mut sums = self.lock();
        sums.started += 1;
        sums.latest = sums.latest.max(behind);
    }

    /// A request has ended.
    pub(crate) fn ended(&self, planned: &Planned, outcome: Outcome) {
        let mut sums = self.lock();
        sums.tenants[planned.tenant].count(&outcome);
        if let Outcome::Failed(message) = outcome {
            let room = sums.messages.len() < MAX_MESSAGES || sums.messages.contains_key(&message);
            let message = if room { message } else { "other failures".to_owned() };
            *sums.messages.entry(message).or_default() += 1;
        }
    }

    pub(crate) fn sums(&self) -> Sums {
        self.lock().clone()
    }

    fn line(&self, elapsed: Duration) -> String {
        let sums = self.lock();
        let Tenant { admitted, refused, cut, failed, .. } = sums.all();
        let (started, planned) = (sums.started, self.planned);
        let running = started - (admitted + refused + cut + failed);
        format!(
            "{:>4} s  started {started} of {planned}, running {running}, admitted {admitted}, refused {refused}, \
             cut {cut}, failed {failed}, latest start {} ms behind",
            elapsed.as_secs(),
            sums.latest.as_millis(),
        )
    }

    /// Numbers cannot be left half-written, so a panic elsewhere does not spoil them.
    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line every second until nobody holds the other end, and one at the end.
pub(crate) async fn report(board: std::sync::Arc<Board>, mut running: watch::Receiver<()>) {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut ticks = tokio::time::interval_at(start + second, second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => eprintln!("{}", board.line(start.elapsed())),
            _ = running.changed() => break,
        }
    }
    eprintln!("{}", board.line(start.elapsed()));
}

fn add(sum: &mut Tokens, tokens: Tokens) {
    sum.prompt += tokens.prompt;
    sum.completion += tokens.completion;
}
