use std::sync::Arc;

use crate::clock::Clock;
use crate::key::{Key, Scopes};
use crate::limit::{Denied, LimitSet, Policy};
use crate::store::{Admit, Admitted, GiveBack, MemoryStore, Receipt, Store};

/// Counts requests under the request limits of a policy, and refuses those beyond. Clones share the counts.
///
/// See the [module docs](super) and [`window`](crate::window) for an example.
#[derive(Debug)]
pub struct RateLimiter<S> {
    store: Arc<S>,
    requests: LimitSet,
}

impl<S> Clone for RateLimiter<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), requests: self.requests }
    }
}

impl<C: Clock> RateLimiter<MemoryStore<C>> {
    /// A limiter with accounts in memory.
    pub fn new(policy: Policy, clock: C) -> Self {
        Self::with_store(Arc::new(MemoryStore::new(Arc::new(policy), clock)))
    }

    /// Counts one request of a key under every request limit of its scope.
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
        let requests = store.policy().request_limits();
        Self { store, requests }
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

    /// Gives a request back that [`RateLimiter::admit`] counted.
    pub fn give_back(&self, scopes: &Scopes<'_>, limits: LimitSet, admitted: &Admitted) {
        self.give_back_receipt(scopes, limits, admitted.receipt);
    }

    /// Gives a request back, by the receipt of the answer.
    pub fn give_back_receipt(&self, scopes: &Scopes<'_>, limits: LimitSet, receipt: Receipt) {
        self.store.give_back(&GiveBack { scopes, limits, requests: 1, receipt });
    }
}
