use std::fmt;
use std::future::Ready;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Clock, CoarseClock, Moment};
use flashops_core::config::{Config, Share};
use flashops_core::health::Check;
use flashops_core::key::Scopes;
use flashops_core::limit::{Denied, LimitSet, Policy};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MemoryStore, Refused, Reserve, Reserved, Settle, Settled, Standing,
    Store, StoreError, Succeed,
};
use flashops_redis::{Answer, OpenError, Options, RedisStore};
use futures_util::future::Either;

/// The store that a configuration names: on a server where it has a table `[store]`, else in memory.
#[derive(Debug)]
pub enum ConfiguredStore<C: Clock + Clone = CoarseClock> {
    /// In memory.
    Memory(Arc<MemoryStore<C>>),
    /// On a server.
    Redis(RedisStore),
}

/// Why the store of a configuration cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// The server's part of it is wrong.
    Redis(OpenError),
    /// A limit of this name is to be leased, which no store can do.
    Leased(String),
}

impl fmt::Display for StoreOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(error) => error.fmt(f),
            Self::Leased(name) => {
                write!(f, "the limit \"{name}\" cannot be leased: `share = \"exact\"` is what there is")
            }
        }
    }
}

impl std::error::Error for StoreOpenError {}

impl ConfiguredStore {
    /// The store of a configuration. One on a server is connected in the background.
    ///
    /// # Errors
    ///
    /// [`StoreOpenError`]; never that the server does not answer, which decides what happens to requests.
    pub fn open(config: &Config) -> Result<Self, StoreOpenError> {
        let policy = Arc::new(config.policy().clone());
        let Some(store) = config.store() else {
            let memory = MemoryStore::with_bounds(policy, CoarseClock::new(), config.options().bounds);
            return Ok(Self::Memory(Arc::new(memory)));
        };
        if let Some((_, limit)) = policy.indexed().find(|(index, _)| config.share(*index) == Share::Leased) {
            return Err(StoreOpenError::Leased(limit.name().to_owned()));
        }
        let mut options = Options::default();
        options.deadline = config.options().store_deadline;
        options.on_store_error = config.options().on_store_error;
        if let Some(prefix) = &store.prefix {
            options.prefix.clone_from(prefix);
        }
        RedisStore::open(policy, &store.url, options).map(Self::Redis).map_err(StoreOpenError::Redis)
    }
}

impl<C: Clock + Clone> ConfiguredStore<C> {
    /// A health check of the server, if there is one. It warns and does not fail.
    pub fn check(&self, name: &str) -> Option<Check> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(store) => Some(store.check(name)),
        }
    }

    /// Waits until every settlement is delivered, at most so long; says how many are not.
    pub async fn drain(&self, within: Duration) -> usize {
        match self {
            Self::Memory(_) => 0,
            Self::Redis(store) => store.drain(within).await,
        }
    }
}

/// An answer that is there, or that comes from a server.
type Eventually<T> = Either<Ready<Result<T, StoreError>>, Answer<T>>;

impl<C: Clock + Clone> Store for ConfiguredStore<C> {
    type Admit = Eventually<Result<Admitted, Denied>>;
    type Reserve = Eventually<Result<Reserved, Refused>>;
    type Extend = Eventually<Extended>;
    type Settle = Eventually<Settled>;
    type Standings = Eventually<Vec<Standing>>;

    fn policy(&self) -> &Policy {
        match self {
            Self::Memory(store) => store.policy(),
            Self::Redis(store) => store.policy(),
        }
    }

    fn now(&self) -> Moment {
        match self {
            Self::Memory(store) => store.now(),
            Self::Redis(store) => store.now(),
        }
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        match self {
            Self::Memory(store) => Either::Left(store.admit(command)),
            Self::Redis(store) => Either::Right(store.admit(command)),
        }
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        match self {
            Self::Memory(store) => store.give_back(command),
            Self::Redis(store) => store.give_back(command),
        }
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        match self {
            Self::Memory(store) => Either::Left(store.reserve(command)),
            Self::Redis(store) => Either::Right(store.reserve(command)),
        }
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        match self {
            Self::Memory(store) => Either::Left(store.extend(command)),
            Self::Redis(store) => Either::Right(store.extend(command)),
        }
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        match self {
            Self::Memory(store) => Either::Left(store.settle(command)),
            Self::Redis(store) => Either::Right(store.settle(command)),
        }
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        match self {
            Self::Memory(store) => Either::Left(store.standings(scopes, limits)),
            Self::Redis(store) => Either::Right(store.standings(scopes, limits)),
        }
    }

    fn tell_settled(&self, settle: Self::Settle, told: impl FnOnce(Settled) + Send + 'static) {
        if let (Self::Redis(store), Either::Right(settle)) = (self, settle) {
            store.tell_settled(settle, told);
        }
    }
}

impl<C: Clock + Clone> Succeed for ConfiguredStore<C> {
    fn succeed(&self, policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(match self {
            Self::Memory(store) => Self::Memory(Succeed::succeed(&**store, policy)),
            Self::Redis(store) => Self::Redis(RedisStore::clone(&Succeed::succeed(store, policy))),
        })
    }
}
