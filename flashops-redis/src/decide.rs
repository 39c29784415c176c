//! Commands that somebody waits for: answered by the server, or by this instance where the server does not answer.

use std::sync::atomic::Ordering;

use flashops_core::store::{Standing, StoreError};

use crate::exchange::{Fault, attempt};
use crate::link::Link;
use crate::reply::{Raw, Status};
use crate::script::Name;
use crate::shared::{Job, Local, Shared};

/// The target of events of the store.
pub(crate) const TARGET: &str = "flashops::store";

/// Runs a command to its answer.
pub(crate) async fn decide(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, StoreError> {
    let held_here = job.id.is_some_and(|id| shared.granted.lock().contains_key(&id));
    if held_here {
        return again(job.name);
    }
    match ask(shared, link, job).await {
        Ok(raw) => {
            learn(shared, job, &raw);
            Ok(raw)
        }
        Err(fault) => without_server(shared, job, &fault),
    }
}

/// Asks the server, unless it is known not to answer; a lost answer is asked for again once, where asking twice does
/// nothing twice.
async fn ask(shared: &Shared, link: &mut Link, job: &Job) -> Result<Raw, Fault> {
    if !shared.breaker.lock().admits(shared.clock.tick()) {
        return Err(Fault::not_run("it has not answered for a while"));
    }
    let deadline = shared.options.deadline;
    let answer = match attempt(shared, link, job, job.name, deadline).await {
        Err(fault) if fault.not_run || job.name.repeats() => attempt(shared, link, job, job.name, deadline).await,
        answer => answer,
    };
    let now = shared.clock.tick();
    match &answer {
        Ok(_) => {
            shared.breaker.lock().answered(now);
            if shared.shares.lock().answered() {
                metrics::gauge!("flashops_store_available").set(1.0);
                tracing::info!(target: TARGET, "the store answers again");
            }
        }
        Err(fault) => failed(shared, fault),
    }
    answer
}

fn failed(shared: &Shared, fault: &Fault) {
    let now = shared.clock.tick();
    shared.counters.faults.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("flashops_store_faults_total").increment(1);
    if shared.breaker.lock().failed(now, fastrand::u16(..=1_000)) {
        shared.counters.opened.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(target: TARGET, why = fault.why, "the store is not asked for a while");
    }
    if shared.shares.lock().unanswered(now) {
        metrics::gauge!("flashops_store_available").set(0.0);
        tracing::warn!(target: TARGET, why = fault.why, "the store does not answer: deciding by local shares");
    }
}

/// Remembers what is left, for the time when nobody can be asked.
fn learn(shared: &Shared, job: &Job, raw: &Raw) {
    let Some(local) = &job.local else { return };
    if shared.shared_out.is_empty() || !matches!(raw.status, Status::Done | Status::Replayed) {
        return;
    }
    let Ok((standings, _)) = raw.standings(&shared.policy) else { return };
    let mut shares = shared.shares.lock();
    for standing in standings.iter().filter(|standing| shared.shared_out.contains(standing.limit)) {
        if let Some(place) = shared.place(local, standing.limit) {
            shares.see(place, Standing::remaining(standing));
        }
    }
}

/// What an instance answers of a reservation that it granted by itself.
fn again(name: Name) -> Result<Raw, StoreError> {
    match name {
        Name::Reserve => Ok(Raw::local(Status::Replayed)),
        _ => Err(StoreError::Unavailable("it was reserved without the server".to_owned())),
    }
}

/// Decides by the policy for a server that does not answer.
fn without_server(shared: &Shared, job: &Job, fault: &Fault) -> Result<Raw, StoreError> {
    let unavailable = || StoreError::Unavailable(fault.why.clone());
    let Some(local) = &job.local else { return Err(unavailable()) };
    let granted = !local.refuses && takes_share(shared, local);
    let (counter, decision) =
        if granted { (&shared.counters.granted, "granted") } else { (&shared.counters.refused, "refused") };
    counter.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("flashops_store_local_decisions_total", "decision" => decision).increment(1);
    if !granted {
        return Err(unavailable());
    }
    if let (Name::Reserve, Some(id)) = (job.name, job.id) {
        shared.granted.lock().insert(id, job.args[0].clone());
    }
    Ok(Raw::local(Status::Done))
}

fn takes_share(shared: &Shared, local: &Local) -> bool {
    let options = &shared.options;
    shared.shares.lock().take(&local.asks, options.local_share, options.local_for, shared.clock.tick())
}
