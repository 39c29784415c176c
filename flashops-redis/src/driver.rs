//! What sends commands: one task, in the order in which they came, and one after the other for each identity.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flashops_core::store::{ReservationId, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::decide::{TARGET, decide};
use crate::deliver::deliver;
use crate::link::Link;
use crate::reply::{Raw, Status};
use crate::script::Name;
use crate::shared::{Job, Shared};

/// The most commands that are on their way at a time, beside settlements.
const MOST_RUNNING: usize = 65_536;
/// How often an instance says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// How long the last settlements may take after every handle of the store is gone.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Runs jobs until nobody can send one any more, and those that came have ended or have had their time.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    link: Link,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mut beat: impl FnMut() -> Job,
) {
    let (mut running, mut order) = (FuturesUnordered::new(), Order::default());
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut open, mut end) = (true, Instant::now());
    let (mut newest, mut epoch) = (link.clone(), 0);
    while open || !running.is_empty() {
        tokio::select! {
            job = jobs.recv(), if open => match job {
                None => (open, end) = (false, Instant::now() + LAST_WORDS),
                Some(job) => {
                    let outbox = shared.counters.outbox.load(Ordering::Relaxed);
                    if let Some(job) = order.enter(&shared, job, running.len().saturating_sub(outbox)) {
                        running.push(run(&shared, link.clone(), job));
                    }
                }
            },
            Some(done) = running.next() => {
                if let Some(next) = order.leave(&shared, done) {
                    running.push(run(&shared, link.clone(), next));
                }
            },
            later = newest.epoch_after(epoch), if open => {
                epoch = later;
                let held = order.held();
                tracing::warn!(target: TARGET, holds = held.len(), "another server, or one that was restarted");
                for job in held {
                    if let Some(job) = order.enter(&shared, job, 0) {
                        running.push(run(&shared, link.clone(), job));
                    }
                }
            },
            _ = beats.tick(), if open => running.push(run(&shared, link.clone(), beat())),
            () = sleep_until(end), if !open => break,
        }
    }
    give_up(&shared);
}

fn give_up(shared: &Shared) {
    let left = shared.counters.outbox.load(Ordering::Relaxed);
    if left > 0 {
        shared.counters.lost.fetch_add(left as u64, Ordering::Relaxed);
        tracing::error!(target: TARGET, settlements = left, "the store was closed before it had settled everything");
    }
}

/// Who waits for whom, and who has to settle yet.
#[derive(Debug, Default)]
struct Order {
    /// The identities of running commands, with those that wait for them.
    waiting: HashMap<ReservationId, VecDeque<Job>>,
    /// What was reserved here, perhaps, and is not settled: each has room for its settlement.
    unsettled: HashMap<ReservationId, Held>,
}

/// What a server that has forgotten a hold is told again.
#[derive(Debug)]
struct Held {
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Order {
    /// A job that may run now; it waits, or was answered, if there is none.
    fn enter(&mut self, shared: &Shared, mut job: Job, running: usize) -> Option<Job> {
        let Some(id) = job.id else {
            return if running < MOST_RUNNING { Some(job) } else { refuse(&mut job) };
        };
        if job.name == Name::Reserve && !self.unsettled.contains_key(&id) {
            if self.unsettled.len() >= shared.options.max_unsettled {
                return refuse(&mut job);
            }
            self.unsettled.insert(id, Held { keys: job.keys.clone(), args: job.args.clone() });
            shared.counters.unsettled.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(queue) = self.waiting.get_mut(&id) {
            queue.push_back(job);
            return None;
        }
        self.waiting.insert(id, VecDeque::new());
        Some(job)
    }

    /// Everything that this instance holds, to be told again.
    fn held(&self) -> Vec<Job> {
        let job = |(id, held): (&ReservationId, &Held)| {
            let mut args = held.args.clone();
            args.push(b"again".to_vec());
            Job { name: Name::Reserve, id: Some(*id), keys: held.keys.clone(), args, local: None, answer: None }
        };
        self.unsettled.iter().map(job).collect()
    }

    /// A job has ended; tells the one that waited for it.
    fn leave(&mut self, shared: &Shared, done: Done) -> Option<Job> {
        let id = done.id?;
        if done.settled && self.unsettled.remove(&id).is_some() {
            shared.counters.unsettled.fetch_sub(1, Ordering::Relaxed);
        }
        let next = self.waiting.get_mut(&id).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.waiting.remove(&id);
        }
        next
    }
}

fn refuse(job: &mut Job) -> Option<Job> {
    if let Some(answer) = job.answer.take() {
        let _nobody = answer.send(Err(StoreError::Full));
    }
    None
}

/// A job that has ended.
struct Done {
    id: Option<ReservationId>,
    /// Whether nothing is held under its identity any more, as far as this instance knows.
    settled: bool,
}

/// Runs one job to its answer.
async fn run(shared: &Shared, mut link: Link, mut job: Job) -> Done {
    let settles = job.name == Name::Settle;
    let answer =
        if settles { deliver(shared, &mut link, &mut job).await } else { decide(shared, &mut link, &job).await };
    if settles {
        let left = shared.counters.outbox.fetch_sub(1, Ordering::Relaxed) - 1;
        metrics::gauge!("flashops_store_outbox").set(left as f64);
        shared.counters.delivered.notify_waiters();
    }
    if job.name == Name::Beat
        && let Ok(raw) = &answer
    {
        shared.shares.lock().count(raw.instances());
    }
    let settled = settles || job.name == Name::Reserve && is_refused(&answer);
    if let Some(told) = job.answer.take() {
        // Nobody may be waiting any more.
        let _nobody = told.send(answer);
    }
    Done { id: job.id, settled }
}

/// Whether a reservation was certainly not made.
fn is_refused(answer: &Result<Raw, StoreError>) -> bool {
    match answer {
        Ok(raw) => matches!(raw.status, Status::Denied | Status::Full | Status::AlreadySettled),
        Err(_) => false,
    }
}
