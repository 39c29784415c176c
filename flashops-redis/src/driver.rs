//! What sends commands: one task, in the order in which they came, and one after the other for each identity.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flashops_core::clock::{Clock, Moment, UnixSeconds};
use flashops_core::store::{ReservationId, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{mpsc, oneshot};

use crate::link::{Connection, Link};
use crate::options::Options;
use crate::plan::Plan;
use crate::reply::{Raw, Status};
use crate::script::{Name, Scripts};

/// How often the periods of calendars are computed anew for one command.
const OTHER_PERIODS: usize = 3;

/// A command on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: Name,
    /// Commands of one identity run one after the other.
    pub(crate) id: Option<ReservationId>,
    pub(crate) keys: Vec<String>,
    /// What follows the time and the periods.
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) answer: Option<oneshot::Sender<Result<Raw, StoreError>>>,
}

/// What all jobs need.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) scripts: Scripts,
    pub(crate) options: Options,
    /// The clock that is sent in place of the server's.
    pub(crate) given: Option<Arc<dyn Clock>>,
    /// This system's clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The server's wall clock less ours, in seconds, when it last answered.
    pub(crate) ahead: AtomicI64,
}

impl Shared {
    /// The time by the server's clock, as far as this instance knows it.
    pub(crate) fn now(&self) -> Moment {
        let now = self.clock.now();
        let ahead = self.ahead.load(Ordering::Relaxed);
        Moment { unix: UnixSeconds(now.unix.0.saturating_add(ahead)), ..now }
    }

    fn learn(&self, server: Moment) {
        let ahead = server.unix.0.saturating_sub(self.clock.now().unix.0);
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

/// Runs jobs until nobody can send one any more, and those that came have ended.
pub(crate) async fn drive(shared: Arc<Shared>, link: Link, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut running = FuturesUnordered::new();
    // The identities of running commands, with those that wait for them.
    let mut waiting: HashMap<ReservationId, VecDeque<Job>> = HashMap::new();
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            job = jobs.recv(), if open => match job {
                None => open = false,
                Some(job) => {
                    if let Some(id) = job.id {
                        if let Some(queue) = waiting.get_mut(&id) {
                            queue.push_back(job);
                            continue;
                        }
                        waiting.insert(id, VecDeque::new());
                    }
                    running.push(run(&shared, link.clone(), job));
                }
            },
            Some(id) = running.next() => {
                let Some(id) = id else { continue };
                match waiting.get_mut(&id).and_then(VecDeque::pop_front) {
                    Some(next) => running.push(run(&shared, link.clone(), next)),
                    None => { waiting.remove(&id); }
                }
            },
        }
    }
}

/// Runs one job to its answer; says whose turn is over.
async fn run(shared: &Shared, mut link: Link, mut job: Job) -> Option<ReservationId> {
    let answer = attempt_twice(shared, &mut link, &job).await;
    if let Some(told) = job.answer.take() {
        // Nobody may be waiting any more.
        let _nobody = told.send(answer);
    }
    job.id
}

/// A lost answer is asked for again once, where asking twice does nothing twice.
async fn attempt_twice(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, StoreError> {
    match attempt(shared, link, job).await {
        Ok(raw) => Ok(raw),
        Err(fault) if fault.not_run || job.name.repeats() => {
            attempt(shared, link, job).await.map_err(|fault| StoreError::Unavailable(fault.why))
        }
        Err(fault) => Err(StoreError::Unavailable(fault.why)),
    }
}

/// A command that was not answered.
struct Fault {
    /// The command was certainly not run.
    not_run: bool,
    why: String,
}

impl Fault {
    fn of(error: &RedisError) -> Self {
        let refused = matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::NoScript
            )
        );
        Self { not_run: refused, why: error.to_string() }
    }
}

async fn attempt(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, Fault> {
    let exchange = exchange(shared, link, job);
    match tokio::time::timeout(shared.options.deadline, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault { not_run: false, why: "no answer within the deadline".to_owned() }),
    }
}

async fn exchange(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, Fault> {
    let mut at = shared.now().unix;
    for _ in 0..OTHER_PERIODS {
        let Some(mut connection) = link.connection().await else {
            return Err(Fault { not_run: true, why: "the store was closed".to_owned() });
        };
        let value = match evaluate(shared, &mut connection, job, at).await {
            Ok(value) => value,
            Err(error) => {
                if error.is_unrecoverable_error() || error.is_io_error() {
                    link.is_broken(connection.number);
                }
                return Err(Fault::of(&error));
            }
        };
        let raw = Raw::read(value).map_err(|error| Fault { not_run: false, why: error.to_string() })?;
        if shared.given.is_none() {
            shared.learn(raw.moment());
        }
        if raw.status != Status::OtherPeriod {
            return Ok(raw);
        }
        at = raw.moment().unix;
    }
    Err(Fault { not_run: true, why: "the server's clock does not agree with itself about the period".to_owned() })
}

/// Sends the digest of the script, and its text where the server does not know it.
async fn evaluate(
    shared: &Shared,
    connection: &mut Connection,
    job: &Job,
    at: UnixSeconds,
) -> Result<Value, RedisError> {
    let script = shared.scripts.get(job.name);
    let known = command("EVALSHA", &script.digest, shared, job, at);
    let answer = connection.pipe.send_packed_command(&known).await.and_then(Value::extract_error);
    match answer {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            let whole = command("EVAL", &script.text, shared, job, at);
            connection.pipe.send_packed_command(&whole).await.and_then(Value::extract_error)
        }
        answer => answer,
    }
}

fn command(word: &str, script: &str, shared: &Shared, job: &Job, at: UnixSeconds) -> Cmd {
    let mut cmd = Cmd::new();
    cmd.arg(word).arg(script).arg(job.keys.len());
    for key in &job.keys {
        cmd.arg(key);
    }
    let given = shared.given.as_ref().map(|clock| (clock.now().tick.nanos() / 1_000).to_string());
    cmd.arg(given.unwrap_or_default()).arg(shared.plan.periods(at));
    for arg in &job.args {
        cmd.arg(&arg[..]);
    }
    cmd
}
