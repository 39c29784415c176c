//! What nobody waits for, and what may not be lost: settlements, each sent until it is answered, and holds that a
//! server has to be told again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use flashops_core::store::StoreError;
use tokio::time::sleep;

use crate::decide::TARGET;
use crate::exchange::attempt;
use crate::link::Link;
use crate::reply::{Raw, Status};
use crate::script::Name;
use crate::shared::{Job, Shared};

/// How long one attempt may take: longer than a decision, for which a client waits.
const ATTEMPT: Duration = Duration::from_secs(1);
/// What a settlement is told: its identity, its numbers, and the text by which it is recognised.
const SETTLE_ARGS: usize = 3;
/// Between two attempts: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends a settlement until the server has answered.
pub(crate) async fn deliver(shared: &Shared, link: &mut Link, job: &mut Job) -> Result<Raw, StoreError> {
    let mut pause = FIRST_PAUSE;
    let raw = loop {
        let name = name(shared, job);
        match attempt(shared, link, job, name, ATTEMPT).await {
            // It went to a server that has forgotten the hold, as is known by now.
            Ok(raw) if raw.status == Status::Unknown && name != self::name(shared, job) => continue,
            Ok(raw) => break raw,
            Err(fault) => {
                shared.counters.faults.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(target: TARGET, why = fault.why, "a settlement is not delivered yet");
            }
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    };
    if let Some(id) = job.id {
        shared.granted.lock().remove(&id);
    }
    Ok(raw)
}

/// Tells a server of a hold that it may not know: once, and also where it is not asked for a while, because there is a
/// new connection to it.
pub(crate) async fn tell_again(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, StoreError> {
    if job.id.is_some_and(|id| shared.granted.lock().contains_key(&id)) {
        // It was never the server's.
        return Ok(Raw::local(Status::Replayed));
    }
    let told = attempt(shared, link, job, job.name, ATTEMPT).await;
    told.map_err(|fault| {
        shared.counters.faults.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(target: TARGET, why = fault.why, "a hold is not told again yet");
        StoreError::Unavailable(fault.why)
    })
}

/// How it is settled: what no server may know of has to be told for whom it is.
fn name(shared: &Shared, job: &mut Job) -> Name {
    if job.args.len() == SETTLE_ARGS {
        let list = |id| shared.granted.lock().get(&id).or(shared.forgotten.lock().get(&id)).cloned();
        job.args.extend(job.id.and_then(list));
    }
    if job.args.len() == SETTLE_ARGS { Name::Settle } else { Name::Charge }
}
