use std::time::Duration;

use flashops_core::clock::{Clock, SystemClock};
use flashops_core::health::{HealthRegistry, Run};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Runs the checks of a registry in the background, until it is stopped or dropped.
///
/// What runs is stopped with it, and leaves what was found before. A check that is registered later is noticed within
/// [`Refresher::LOOK`].
#[derive(Debug)]
#[must_use = "dropping it stops the checks"]
pub struct Refresher {
    task: JoinHandle<()>,
}

impl Refresher {
    /// How often it looks for new checks at the latest.
    pub const LOOK: Duration = Duration::from_secs(1);

    /// Runs the checks on the runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(registry: HealthRegistry) -> Self {
        Self::with_clock(registry, SystemClock)
    }

    /// The same, with a clock for when checks are due and how long they took.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn with_clock(registry: HealthRegistry, clock: impl Clock + Clone) -> Self {
        Self { task: tokio::spawn(refresh(registry, clock)) }
    }

    /// Stops the checks, and waits until nothing of them runs.
    pub async fn stop(mut self) {
        self.task.abort();
        // What it says is that it was aborted.
        let _aborted = (&mut self.task).await;
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn refresh(registry: HealthRegistry, clock: impl Clock + Clone) {
    let mut running = JoinSet::new();
    loop {
        for run in registry.start_due(clock.tick()) {
            running.spawn(drive(run, clock.clone()));
        }
        let next = registry.next_due().map_or(Refresher::LOOK, |due| due.since(clock.tick()));
        let wait = next.min(Refresher::LOOK);
        if running.is_empty() {
            sleep(wait).await;
        } else {
            // Whichever comes first: an answer, after which its check may be due again, or the next check.
            let _either = timeout(wait, running.join_next()).await;
        }
    }
}

async fn drive(mut run: Run, clock: impl Clock) {
    match timeout(run.timeout(), &mut run).await {
        Ok(finding) => run.finish(finding, clock.now()),
        Err(_) => run.time_out(clock.now()),
    }
}
