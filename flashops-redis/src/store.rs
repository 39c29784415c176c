use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use flashops_core::clock::{Clock, Moment, SystemClock};
use flashops_core::key::Scopes;
use flashops_core::limit::{Denied, LimitSet, Policy};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MAX_STANDINGS, Refused, ReservationId, Reserve, Reserved, Settle,
    Settled, Standing, Store, StoreError,
};
use tokio::sync::{mpsc, oneshot};

use crate::answer::{self, Answer};
use crate::driver::{self, Job, Shared};
use crate::link::Link;
use crate::options::Options;
use crate::plan::{self, Plan, amounts, micros, number, push};
use crate::reply::{Raw, amounts_text};
use crate::script::{Name, Scripts};

/// Accounts on a Redis or Valkey server, which all instances of a service share. Clones share the connection.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone)]
pub struct RedisStore {
    policy: Arc<Policy>,
    requests: LimitSet,
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Job>,
}

/// Why a store cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is not one of a server.
    Address(String),
    /// The prefix is not 1 to 64 letters, digits, `-`, `_`, `.` or `:`.
    Prefix(String),
    /// There is no tokio runtime here, which the connection needs.
    NoRuntime,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) => write!(f, "not the address of a Redis server: {why}"),
            Self::Prefix(prefix) => {
                write!(f, "{prefix:?} is not a prefix: 1 to 64 letters, digits, `-`, `_`, `.` or `:`")
            }
            Self::NoRuntime => f.write_str("a store on Redis is made within a tokio runtime"),
        }
    }
}

impl std::error::Error for OpenError {}

impl RedisStore {
    /// A store on the server at an address, such as `redis://127.0.0.1:6379`.
    ///
    /// It is connected in the background, and again whenever the connection breaks.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(policy: Arc<Policy>, address: &str, options: Options) -> Result<Self, OpenError> {
        Self::with_clocks(policy, address, options, Arc::new(SystemClock), None)
    }

    /// The same, deciding by a given clock and not by the server's: for tests of what happens when time passes.
    ///
    /// The clock's ticks are nanoseconds of any origin that its wall clock shares.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_with_clock(
        policy: Arc<Policy>,
        address: &str,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::with_clocks(policy, address, options, Arc::clone(&clock), Some(clock))
    }

    fn with_clocks(
        policy: Arc<Policy>,
        address: &str,
        options: Options,
        clock: Arc<dyn Clock>,
        given: Option<Arc<dyn Clock>>,
    ) -> Result<Self, OpenError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        let prefix = &options.prefix;
        if prefix.is_empty() || prefix.len() > Options::MAX_PREFIX || !prefix.bytes().all(fits) {
            return Err(OpenError::Prefix(options.prefix));
        }
        let client = redis::Client::open(address).map_err(|error| OpenError::Address(error.to_string()))?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let plan = Plan::new(&policy, &options.prefix, options.secret);
        let shared = Shared { plan, scripts: Scripts::new(), options, given, clock, ahead: AtomicI64::new(0) };
        let shared = Arc::new(shared);
        let (sender, jobs) = mpsc::unbounded_channel();
        let link = Link::open(client, Arc::clone(&shared));
        runtime.spawn(driver::drive(Arc::clone(&shared), link, jobs));
        let requests = policy.request_limits();
        Ok(Self { policy, requests, shared, jobs: sender })
    }

    fn submit(&self, name: Name, id: Option<ReservationId>, keys: Vec<String>, args: Vec<Vec<u8>>) -> Told {
        let (answer, told) = oneshot::channel();
        // Without a driver the answer is that the store was closed.
        let _closed = self.jobs.send(Job { name, id, keys, args, answer: Some(answer) });
        told
    }

    fn answer<T>(&self, told: Told, understand: fn(&Raw, &Policy) -> Result<T, StoreError>) -> Answer<T> {
        Answer::new(told, Arc::clone(&self.policy), understand)
    }

    /// The keys that all requests share.
    fn shared_keys(&self) -> Vec<String> {
        vec![self.shared.plan.shared_key(ROOT, "held"), self.shared.plan.shared_key(ROOT, "deadlines")]
    }

    /// For how long a settlement is remembered, in microseconds.
    fn span(&self) -> f64 {
        let twice = 2 * self.policy.switches().max_lifetime;
        number(micros(self.shared.options.remember_settled.max(twice).max(Duration::from_secs(60))))
    }
}

/// Where a job tells its answer.
type Told = oneshot::Receiver<Result<Raw, StoreError>>;

/// The hash tag of all keys.
const ROOT: &str = "all";

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

const fn told(report: bool) -> usize {
    if report { MAX_STANDINGS } else { 0 }
}

impl Store for RedisStore {
    type Admit = Answer<Result<Admitted, Denied>>;
    type Reserve = Answer<Result<Reserved, Refused>>;
    type Extend = Answer<Extended>;
    type Settle = Answer<Settled>;
    type Standings = Answer<Vec<Standing>>;

    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn now(&self) -> Moment {
        self.shared.now()
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        let limits = command.limits.intersection(self.requests);
        let accounts = self.shared.plan.accounts(ROOT, command.scopes, limits);
        let requests = command.requests.to_string().into_bytes();
        let report = told(command.report).to_string().into_bytes();
        self.answer(
            self.submit(Name::Admit, None, accounts.keys, vec![accounts.list, requests, report]),
            answer::admitted,
        )
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        let limits = command.limits.intersection(self.requests);
        let accounts = self.shared.plan.accounts(ROOT, command.scopes, limits);
        let requests = command.requests.to_string().into_bytes();
        let at = (command.receipt.at().tick.nanos() / 1_000).to_string().into_bytes();
        drop(self.submit(Name::GiveBack, None, accounts.keys, vec![accounts.list, requests, at]));
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        let switches = self.policy.switches();
        let accounts = self.shared.plan.accounts(ROOT, command.scopes, command.limits);
        let mut numbers = Vec::with_capacity(14 * 8);
        let [hold, mark] = [amounts(&command.hold), amounts(&command.checkpoint)];
        let rest = [
            number(micros(command.lifetime)),
            told(command.report) as f64,
            plan::on_expiry(switches.on_expiry),
            number(micros(switches.max_lifetime)),
            self.span(),
            number(self.shared.options.max_reservations),
        ];
        hold.iter().chain(&mark).chain(&rest).for_each(|one| push(&mut numbers, *one));
        let mut keys = self.shared_keys();
        keys.extend(accounts.keys);
        let id = command.id.bits().to_be_bytes().to_vec();
        self.answer(
            self.submit(Name::Reserve, Some(command.id), keys, vec![accounts.list, id, numbers]),
            answer::reserved,
        )
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        let mut numbers = Vec::with_capacity(8 * 8);
        let more = amounts(&command.more);
        let lifetime = number(micros(command.lifetime));
        more[1..]
            .iter()
            .chain(&amounts(&command.checkpoint))
            .chain([&lifetime])
            .for_each(|one| push(&mut numbers, *one));
        let id = command.id.bits().to_be_bytes().to_vec();
        self.answer(
            self.submit(Name::Extend, Some(command.id), self.shared_keys(), vec![id, numbers]),
            answer::extended,
        )
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        let mut numbers = Vec::with_capacity(5 * 8);
        amounts(&command.used).iter().chain([&self.span()]).for_each(|one| push(&mut numbers, *one));
        let (id, text) = (command.id.bits().to_be_bytes().to_vec(), amounts_text(&command.used).into_bytes());
        self.answer(
            self.submit(Name::Settle, Some(command.id), self.shared_keys(), vec![id, numbers, text]),
            answer::settled,
        )
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        let accounts = self.shared.plan.accounts(ROOT, scopes, limits);
        let mut keys = self.shared_keys();
        keys.extend(accounts.keys);
        self.answer(self.submit(Name::Standings, None, keys, vec![accounts.list]), answer::standings)
    }
}
