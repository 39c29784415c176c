use std::sync::Arc;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::key::{Key, Scopes};
use crate::limit::{Denied, LimitSet, Mode, Policy};
use crate::record::{CallInfo, Event, Recorder};
use crate::store::{Admit, Admitted, Crossing, GiveBack, MemoryStore, Receipt, ReservationId, Standing, Store};

/// Counts requests under the request limits of a policy, and refuses those beyond. Clones share the counts.
///
/// See the [module docs](super) and [`window`](crate::window) for an example.
#[derive(Debug)]
pub struct RateLimiter<S> {
    store: Arc<S>,
    /// The limits that do not refuse.
    lenient: LimitSet,
    recorder: Option<Arc<dyn Recorder>>,
}

/// The route of refused requests that call no model, in what a recorder is told.
pub const OTHER_ROUTES: &str = "other";

impl<S> Clone for RateLimiter<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), recorder: self.recorder.clone(), ..*self }
    }
}

impl<C: Clock> RateLimiter<MemoryStore<C>> {
    /// A limiter with accounts in memory.
    pub fn new(policy: Policy, clock: C) -> Self {
        Self::with_store(Arc::new(MemoryStore::new(Arc::new(policy), clock)))
    }

    /// Counts one request of a key under every request limit of its scope. Nobody is told of thresholds.
    ///
    /// # Errors
    ///
    /// [`Denied`] if a limit has no room; nothing is counted then.
    #[inline]
    pub fn check(&self, key: Key<'_>) -> Result<(), Denied> {
        self.store.check_now(&key)
    }
}

impl<S: Store> RateLimiter<S> {
    /// A limiter with accounts in a store.
    pub fn with_store(store: Arc<S>) -> Self {
        let lenient = store.policy().select(|limit| limit.mode() != Mode::Enforce);
        Self { store, lenient, recorder: None }
    }

    /// Tells this recorder of the thresholds that requests reach, and of the limits that warn and are exceeded.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The limits.
    pub fn policy(&self) -> &Policy {
        self.store.policy()
    }

    /// The store.
    pub const fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// Counts one request of all these keys under those limits of a set that count requests, and says how they stand.
    pub fn admit(&self, scopes: &Scopes<'_>, limits: LimitSet) -> S::Admit {
        self.store.admit(&Admit { scopes, limits, requests: 1, report: true })
    }

    /// Tells of the thresholds that a request reached, and of the limits that only warn, or are in shadow, and had no
    /// room for it. As a call it has no model, and an identity that no reservation has. `route` is asked for if there
    /// is something to tell.
    #[inline]
    pub fn tell(
        &self,
        caller: &Caller,
        route: impl FnOnce() -> Arc<str>,
        crossings: &[Crossing],
        standings: &[Standing],
    ) {
        let Some(recorder) = &self.recorder else { return };
        let exceeded = |one: &&Standing| self.lenient.contains(one.limit) && one.used > one.amount;
        if crossings.is_empty() && !standings.iter().any(|one| exceeded(&one)) {
            return;
        }
        let (call, policy) = (self.call(caller, route()), self.policy());
        for standing in standings.iter().filter(exceeded) {
            recorder.record(&Event::Exceeded { call: &call, limit: standing.limit, policy });
        }
        for &crossing in crossings {
            recorder.record(&Event::Threshold { call: &call, crossing, at: call.started, policy });
        }
    }

    /// Tells the recorder of a request that was refused. Its route is [`OTHER_ROUTES`], whatever its path: paths are
    /// the client's choice, and a recorder keeps what it is told by route.
    #[cold]
    pub fn tell_denied(&self, caller: &Caller, denied: &Denied) {
        let Some(recorder) = &self.recorder else { return };
        let (call, policy) = (self.call(caller, OTHER_ROUTES.into()), self.policy());
        recorder.record(&Event::Denied { call: &call, denied, policy });
    }

    fn call(&self, caller: &Caller, route: Arc<str>) -> CallInfo {
        let (id, caller, model) = (ReservationId::random(), caller.clone(), "".into());
        CallInfo { id, caller, route, model, started: self.store.now(), again: false }
    }

    /// Gives a request back that [`RateLimiter::admit`] counted.
    pub fn give_back(&self, scopes: &Scopes<'_>, limits: LimitSet, admitted: &Admitted) {
        self.give_back_receipt(scopes, limits, admitted.receipt);
    }

    /// Gives a request back, by the receipt of the answer.
    pub fn give_back_receipt(&self, scopes: &Scopes<'_>, limits: LimitSet, receipt: Receipt) {
        self.store.give_back(&GiveBack { scopes, limits, requests: 1, receipt });
    }
}
