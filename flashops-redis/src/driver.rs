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
use crate::deliver::{deliver, tell_again};
use crate::link::Link;
use crate::plan;
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
                order.forgotten(&shared);
                let held = order.untold(&shared);
                tracing::warn!(target: TARGET, holds = held.len(), "another server, or one that was restarted");
                running.extend(held.into_iter().map(|job| run(&shared, link.clone(), job)));
            },
            _ = beats.tick(), if open => {
                running.push(run(&shared, link.clone(), beat()));
                running.extend(order.untold(&shared).into_iter().map(|job| run(&shared, link.clone(), job)));
            },
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
    /// Whether nothing has to be told again, as far as this instance knows.
    told: bool,
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
            self.unsettled.insert(id, Held { keys: job.keys.clone(), args: job.args.clone(), told: true });
            shared.counters.unsettled.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(queue) = self.waiting.get_mut(&id) {
            queue.push_back(job);
            return None;
        }
        self.waiting.insert(id, VecDeque::new());
        Some(job)
    }

    /// The server may have forgotten everything that this instance holds.
    fn forgotten(&mut self, shared: &Shared) {
        let mut forgotten = shared.forgotten.lock();
        for (id, held) in &mut self.unsettled {
            held.told = false;
            forgotten.insert(*id, held.args[0].clone());
        }
    }

    /// What has to be told again. Where a command of the same identity is under way it is not known yet whether that
    /// is so: if it settles, nothing is held any more.
    fn untold(&mut self, shared: &Shared) -> Vec<Job> {
        let job = |(id, held): (&ReservationId, &Held)| {
            let mut args = held.args.clone();
            args.push(b"again".to_vec());
            Job { name: Name::Reserve, id: Some(*id), keys: held.keys.clone(), args, local: None, answer: None }
        };
        let free = |(id, held): &(&ReservationId, &Held)| !held.told && !self.waiting.contains_key(id);
        let jobs: Vec<_> = self.unsettled.iter().filter(free).map(job).collect();
        jobs.into_iter().filter_map(|job| self.enter(shared, job, 0)).collect()
    }

    /// A job has ended; tells the one that waited for it.
    fn leave(&mut self, shared: &Shared, done: Done) -> Option<Job> {
        let id = done.id?;
        if done.settled && self.unsettled.remove(&id).is_some() {
            shared.counters.unsettled.fetch_sub(1, Ordering::Relaxed);
            shared.forgotten.lock().remove(&id);
        }
        if let (Some((numbers, granted)), Some(held)) = (done.extended, self.unsettled.get_mut(&id)) {
            plan::extended(&mut held.args[2], &numbers, granted);
        }
        if let (Some(told), Some(held)) = (done.told, self.unsettled.get_mut(&id)) {
            held.told = told;
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
    /// Whether a server knows of it that was to be told again.
    told: Option<bool>,
    /// What it was extended by, and whether that was granted.
    extended: Option<(Vec<u8>, bool)>,
}

/// Runs one job to its answer.
async fn run(shared: &Shared, mut link: Link, mut job: Job) -> Done {
    let settles = job.name == Name::Settle;
    // Nobody waits for what is told again.
    let tells = job.name == Name::Reserve && job.answer.is_none();
    let answer = match job.name {
        Name::Settle => deliver(shared, &mut link, &mut job).await,
        Name::Reserve if tells => tell_again(shared, &mut link, &job).await,
        _ => decide(shared, &mut link, &job).await,
    };
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
    let told = tells.then_some(answer.is_ok());
    let extended = if job.name == Name::Extend { extension(&mut job, &answer) } else { None };
    if let Some(told) = job.answer.take() {
        // Nobody may be waiting any more.
        let _nobody = told.send(answer);
    }
    Done { id: job.id, settled, told, extended }
}

/// What an extension changed: one that is refused still says how far the stream is.
fn extension(job: &mut Job, answer: &Result<Raw, StoreError>) -> Option<(Vec<u8>, bool)> {
    let status = answer.as_ref().ok()?.status;
    matches!(status, Status::Done | Status::Denied).then(|| (job.args.swap_remove(1), status == Status::Done))
}

/// Whether a reservation was certainly not made.
fn is_refused(answer: &Result<Raw, StoreError>) -> bool {
    match answer {
        Ok(raw) => matches!(raw.status, Status::Denied | Status::Full | Status::AlreadySettled),
        Err(_) => false,
    }
}
