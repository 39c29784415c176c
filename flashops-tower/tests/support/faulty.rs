//! A store that fails on demand.

use std::future::{Ready, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flashops_core::clock::{ManualClock, Moment};
use flashops_core::key::Scopes;
use flashops_core::limit::{Denied, LimitSet, Policy};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MemoryStore, Refused, Reserve, Reserved, Settle, Settled, Standing,
    Store, StoreError,
};

/// How a store answers what would count or hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// As it should.
    None,
    /// It cannot be reached.
    Down,
    /// It does what it is told, and its answer gets lost.
    LostAnswer,
    /// It does what it is told, and its answer does not come.
    Silent,
}

/// A memory store with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore<ManualClock>,
    fault: AtomicU8,
}

impl Faulty {
    /// A store that works.
    pub(crate) fn new(policy: Policy) -> Self {
        let inner = MemoryStore::new(Arc::new(policy), ManualClock::new());
        Self { inner, fault: AtomicU8::new(Fault::None as u8) }
    }

    /// Breaks it, or mends it.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    fn answer<T: Send + 'static>(&self, answer: impl FnOnce() -> Result<T, StoreError>) -> Answer<T> {
        let is = |fault: Fault| self.fault.load(Ordering::Relaxed) == fault as u8;
        let unavailable = Err(StoreError::Unavailable("connection refused".to_owned()));
        if is(Fault::Down) {
            return Box::pin(ready(unavailable));
        }
        let answer = answer();
        if is(Fault::None) {
            Box::pin(ready(answer))
        } else if is(Fault::LostAnswer) {
            Box::pin(ready(unavailable))
        } else {
            Box::pin(pending())
        }
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

impl Store for Faulty {
    type Admit = Answer<Result<Admitted, Denied>>;
    type Reserve = Answer<Result<Reserved, Refused>>;
    type Extend = Ready<Result<Extended, StoreError>>;
    type Settle = Ready<Result<Settled, StoreError>>;
    type Standings = Ready<Result<Vec<Standing>, StoreError>>;

    fn policy(&self) -> &Policy {
        self.inner.policy()
    }

    fn now(&self) -> Moment {
        self.inner.now()
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        self.answer(|| Ok(self.inner.admit_now(command)))
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        self.inner.give_back(command);
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        self.answer(|| self.inner.reserve_now(command))
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        self.inner.extend(command)
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        self.inner.settle(command)
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        self.inner.standings(scopes, limits)
    }
}
