use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use flashops_core::clock::{Clock, Moment, UnixSeconds};
use flashops_core::key::Scope;
use flashops_core::limit::{LimitIndex, LimitSet, Policy};
use flashops_core::store::{ReservationId, StoreError};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::breaker::Breaker;
use crate::local::{Ask, Shares};
use crate::options::Options;
use crate::plan::Plan;
use crate::reply::Raw;
use crate::script::{Name, Scripts};

/// A command on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: Name,
    /// Commands of one identity run one after the other.
    pub(crate) id: Option<ReservationId>,
    pub(crate) keys: Vec<String>,
    /// What follows the time and the periods.
    pub(crate) args: Vec<Vec<u8>>,
    /// What it takes to decide without the server, if that is possible.
    pub(crate) local: Option<Local>,
    pub(crate) answer: Option<oneshot::Sender<Result<Raw, StoreError>>>,
}

/// What an instance has to know to decide by itself.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// The hash of the key of each scope.
    pub(crate) hashes: [Option<u128>; Scope::COUNT],
    /// What is asked of limits of which there are shares.
    pub(crate) asks: Vec<Ask>,
    /// Whether a limit refuses without the server.
    pub(crate) refuses: bool,
}

/// What all jobs need.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) policy: Arc<Policy>,
    pub(crate) plan: Plan,
    pub(crate) scripts: Scripts,
    pub(crate) options: Options,
    /// The limits of which there are shares.
    pub(crate) shared_out: LimitSet,
    /// The clock that is sent in place of the server's.
    pub(crate) given: Option<Arc<dyn Clock>>,
    /// This system's clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The server's wall clock less ours, in seconds, when it last answered.
    pub(crate) ahead: AtomicI64,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) shares: Mutex<Shares>,
    /// What was granted without the server and is not settled: the accounts of each.
    pub(crate) granted: Mutex<HashMap<ReservationId, Vec<u8>>>,
    /// What the server may have forgotten since it was reserved, and is not settled: the accounts of each.
    pub(crate) forgotten: Mutex<HashMap<ReservationId, Vec<u8>>>,
    /// Shared with the stores that this one succeeded.
    pub(crate) counters: Arc<Counters>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Settlements that are not delivered.
    pub(crate) outbox: AtomicUsize,
    /// Reservations of this instance that are not settled.
    pub(crate) unsettled: AtomicUsize,
    pub(crate) faults: AtomicU64,
    pub(crate) granted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// Told whenever a settlement was delivered.
    pub(crate) delivered: Notify,
}

impl Shared {
    /// The time by the server's clock, as far as this instance knows it.
    pub(crate) fn now(&self) -> Moment {
        let now = self.clock.now();
        let ahead = self.ahead.load(Ordering::Relaxed);
        Moment { unix: UnixSeconds(now.unix.0.saturating_add(ahead)), ..now }
    }

    /// Learns how far the server's wall clock is ahead of ours.
    pub(crate) fn learn(&self, server: Moment) {
        if self.given.is_none() {
            let ahead = server.unix.0.saturating_sub(self.clock.now().unix.0);
            self.ahead.store(ahead, Ordering::Relaxed);
        }
    }

    /// Where what is left of a limit is remembered.
    pub(crate) fn place(&self, local: &Local, limit: LimitIndex) -> Option<(u128, LimitIndex)> {
        let scope = self.policy.limit(limit).scope();
        Some((local.hashes[scope as usize]?, limit))
    }
}
