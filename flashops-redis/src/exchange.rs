//! One command, sent once: the digest of its script, within a deadline.

use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use crate::link::{Connection, Link};
use crate::reply::{Raw, Status};
use crate::script::Name;
use crate::shared::{Job, Shared};

/// How often the periods of calendars are computed anew for one command.
const OTHER_PERIODS: usize = 3;

/// A command that was not answered.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The command was certainly not run.
    pub(crate) not_run: bool,
    pub(crate) why: String,
}

impl Fault {
    pub(crate) fn of(error: &RedisError) -> Self {
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

    pub(crate) fn not_run(why: &str) -> Self {
        Self { not_run: true, why: why.to_owned() }
    }
}

/// Sends a command as another script than its own, perhaps, and waits for its answer.
pub(crate) async fn attempt(
    shared: &Shared,
    link: &mut Link,
    job: &Job,
    name: Name,
    deadline: Duration,
) -> Result<Raw, Fault> {
    match tokio::time::timeout(deadline, exchange(shared, link, job, name)).await {
        Ok(answer) => answer,
        Err(_) => {
            link.is_late();
            Err(Fault { not_run: false, why: "no answer within the deadline".to_owned() })
        }
    }
}

async fn exchange(shared: &Shared, link: &mut Link, job: &Job, name: Name) -> Result<Raw, Fault> {
    let mut at = shared.now().unix;
    for _ in 0..OTHER_PERIODS {
        let Some(mut connection) = link.connection().await else {
            return Err(Fault::not_run("the store was closed"));
        };
        let value = match evaluate(shared, &mut connection, job, name, at).await {
            Ok(value) => {
                connection.heard();
                value
            }
            Err(error) => {
                // A server that became a replica, or is going away, is not the one that we want.
                let other = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
                if error.is_unrecoverable_error() || error.is_io_error() || other {
                    link.is_broken(&connection);
                }
                return Err(Fault::of(&error));
            }
        };
        let raw = Raw::read(value).map_err(|error| Fault { not_run: false, why: error.to_string() })?;
        shared.learn(raw.moment());
        if raw.status != Status::OtherPeriod {
            return Ok(raw);
        }
        at = raw.moment().unix;
    }
    Err(Fault::not_run("the server's clock and the calendar do not agree about the period"))
}

/// Sends the digest of the script, and its text where the server does not know it.
async fn evaluate(
    shared: &Shared,
    connection: &mut Connection,
    job: &Job,
    name: Name,
    at: UnixSeconds,
) -> Result<Value, RedisError> {
    let script = shared.scripts.get(name);
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
