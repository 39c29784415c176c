use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flashops_core::clock::{Clock, Moment, SystemClock, Tick};
use flashops_core::config::OnStoreError;
use flashops_core::health::{Check, Component, Finding};
use flashops_core::key::{Scope, Scopes};
use flashops_core::limit::{Denied, Limit, LimitSet, Mode, Policy};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MAX_STANDINGS, Refused, ReservationId, Reserve, Reserved, Settle,
    Settled, Standing, Store, StoreError, Succeed,
};
use flashops_core::units::Amounts;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::answer::{self, Answer};
use crate::driver;
use crate::link::Link;
use crate::local::Ask;
use crate::options::Options;
use crate::plan::{self, Plan, amounts, micros, number, push};
use crate::reply::{Raw, amounts_text};
use crate::script::{Name, Scripts};
use crate::shared::{Counters, Job, Local, Shared};

/// Accounts on a Redis or Valkey server, which all instances of a service share. Clones share the connection.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone)]
pub struct RedisStore {
    policy: Arc<Policy>,
    requests: LimitSet,
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Job>,
    client: redis::Client,
    runtime: Handle,
}

/// How a [`RedisStore`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Whether the server answered the last command; if not, this instance decides by itself.
    pub answers: bool,
    /// Whether the server is asked; it is not for a while when it does not answer.
    pub asked: bool,
    /// Settlements on their way.
    pub undelivered: usize,
    /// Reservations of this instance that are not settled.
    pub unsettled: usize,
    /// Commands that were not answered.
    pub faults: u64,
    /// Requests that were admitted without the server.
    pub granted_locally: u64,
    /// Requests that were refused because the server did not answer.
    pub refused_locally: u64,
    /// How often the server was found not to answer at all.
    pub breaker_opened: u64,
    /// Settlements that were given up when the store was closed.
    pub lost: u64,
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
        let runtime = Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        Ok(Self::start(policy, client, options, (clock, given), Arc::default(), runtime))
    }

    fn start(
        policy: Arc<Policy>,
        client: redis::Client,
        options: Options,
        (clock, given): (Arc<dyn Clock>, Option<Arc<dyn Clock>>),
        counters: Arc<Counters>,
        runtime: Handle,
    ) -> Self {
        let shares = |limit: &Limit| options.on_store_error_for(limit.resource()) == OnStoreError::LocalShareThenDeny;
        let shared = Arc::new(Shared {
            plan: Plan::new(&policy, &options.prefix, options.secret),
            shared_out: policy.select(|limit| limit.mode() == Mode::Enforce && shares(limit)),
            policy: Arc::clone(&policy),
            scripts: Scripts::new(),
            options,
            given,
            clock,
            ahead: AtomicI64::new(0),
            breaker: Mutex::default(),
            shares: Mutex::default(),
            granted: Mutex::default(),
            forgotten: Mutex::default(),
            counters,
        });
        let (sender, jobs) = mpsc::unbounded_channel();
        let link = Link::open(&runtime, client.clone(), Arc::clone(&shared));
        let beat = beats(shared.plan.shared_key(ROOT, "instances"));
        runtime.spawn(driver::drive(Arc::clone(&shared), link, jobs, beat));
        let requests = policy.request_limits();
        Self { policy, requests, shared, jobs: sender, client, runtime }
    }

    /// How it goes; the numbers are those of all stores that succeeded each other.
    pub fn stats(&self) -> StoreStats {
        let Counters { outbox, unsettled, faults, granted, refused, opened, lost, .. } = &*self.shared.counters;
        StoreStats {
            answers: !self.shared.shares.lock().is_local(),
            asked: !self.shared.breaker.lock().is_open(),
            undelivered: outbox.load(Ordering::Relaxed),
            unsettled: unsettled.load(Ordering::Relaxed),
            faults: faults.load(Ordering::Relaxed),
            granted_locally: granted.load(Ordering::Relaxed),
            refused_locally: refused.load(Ordering::Relaxed),
            breaker_opened: opened.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
        }
    }

    /// Waits until every settlement is delivered, at most so long: for the end of a service, when no request runs any
    /// more. Says how many are not.
    pub async fn drain(&self, within: Duration) -> usize {
        let undelivered = || self.shared.counters.outbox.load(Ordering::Relaxed);
        let all = async {
            loop {
                let delivered = self.shared.counters.delivered.notified();
                if undelivered() == 0 {
                    return;
                }
                delivered.await;
            }
        };
        // What is left then is the answer.
        let _in_time = tokio::time::timeout(within, all).await;
        undelivered()
    }

    /// A health check that asks the server. It warns and does not fail: without the server the service decides by
    /// itself, for a while.
    pub fn check(&self, name: &str) -> Check {
        let store = self.clone();
        let ask = move || {
            let answer = store.standings(&Scopes::new(), LimitSet::EMPTY);
            async move {
                match answer.await {
                    Ok(_) => Finding::pass(),
                    Err(error) => Finding::fail(error.to_string()),
                }
            }
        };
        Check::new(name, ask).with_component(Component::Datastore).not_critical()
    }

    fn submit(&self, name: Name, id: Option<ReservationId>, keys: Vec<String>, args: Vec<Vec<u8>>) -> Told {
        self.submit_with(name, id, keys, args, None)
    }

    fn submit_with(
        &self,
        name: Name,
        id: Option<ReservationId>,
        keys: Vec<String>,
        args: Vec<Vec<u8>>,
        local: Option<Local>,
    ) -> Told {
        let (answer, told) = oneshot::channel();
        // Without a driver the answer is that the store was closed.
        let _closed = self.jobs.send(Job { name, id, keys, args, local, answer: Some(answer) });
        told
    }

    /// What it takes to decide without the server.
    fn local(&self, hashes: [Option<u128>; Scope::COUNT], limits: LimitSet, asked: &Amounts) -> Option<Local> {
        let mut local = Local { hashes, asks: Vec::new(), refuses: false };
        for (index, limit) in self.policy.indexed().filter(|(index, _)| limits.contains(*index)) {
            let amount = limit.resource().of(asked);
            if limit.mode() != Mode::Enforce || amount == 0 || hashes[limit.scope() as usize].is_none() {
                continue;
            }
            match self.shared.options.on_store_error_for(limit.resource()) {
                OnStoreError::Deny => local.refuses = true,
                OnStoreError::LocalShareThenDeny => {
                    let place = self.shared.place(&local, index)?;
                    local.asks.push(Ask { place, amount });
                }
                OnStoreError::LocalThenAllow | OnStoreError::Allow => {}
            }
        }
        Some(local)
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

/// What says that this instance lives, under a name of its own.
fn beats(key: String) -> impl FnMut() -> Job {
    let name = format!("{:032x}", fastrand::u128(..)).into_bytes();
    let span = driver::BEAT.as_micros().to_string().into_bytes();
    move || Job {
        name: Name::Beat,
        id: None,
        keys: vec![key.clone()],
        args: vec![name.clone(), span.clone()],
        local: None,
        answer: None,
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
        let asked = Amounts { requests: command.requests, ..Amounts::ZERO };
        let local = self.local(accounts.hashes, limits, &asked);
        let requests = command.requests.to_string().into_bytes();
        let report = told(command.report).to_string().into_bytes();
        let args = vec![accounts.list, requests, report];
        self.answer(self.submit_with(Name::Admit, None, accounts.keys, args, local), answer::admitted)
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        if command.receipt.at().tick == Tick::ZERO {
            // It was admitted without the server, which did not count it.
            return;
        }
        let limits = command.limits.intersection(self.requests);
        let accounts = self.shared.plan.accounts(ROOT, command.scopes, limits);
        let requests = command.requests.to_string().into_bytes();
        let at = (command.receipt.at().tick.nanos() / 1_000).to_string().into_bytes();
        drop(self.submit(Name::GiveBack, None, accounts.keys, vec![accounts.list, requests, at]));
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        let switches = self.policy.switches();
        let accounts = self.shared.plan.accounts(ROOT, command.scopes, command.limits);
        let local = self.local(accounts.hashes, command.limits, &command.hold);
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
        let args = vec![accounts.list, id, numbers];
        self.answer(self.submit_with(Name::Reserve, Some(command.id), keys, args, local), answer::reserved)
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
        self.shared.counters.outbox.fetch_add(1, Ordering::Relaxed);
        let mut numbers = Vec::with_capacity(6 * 8);
        let keep = number(micros(self.policy.switches().max_lifetime));
        amounts(&command.used).iter().chain([&self.span(), &keep]).for_each(|one| push(&mut numbers, *one));
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

    fn tell_settled(&self, settle: Self::Settle, told: impl FnOnce(Settled) + Send + 'static) {
        self.runtime.spawn(async move {
            if let Ok(settled) = settle.await {
                told(settled);
            }
        });
    }
}

impl Succeed for RedisStore {
    /// The same accounts under another policy, over a connection of its own: a limit goes on in the one of the same
    /// name, resource and way to count, whatever its amount, and any other begins anew. This one settles what it began.
    fn succeed(&self, policy: Arc<Policy>) -> Arc<Self> {
        let Shared { options, clock, given, counters, .. } = &*self.shared;
        let (clocks, counters) = ((Arc::clone(clock), given.clone()), Arc::clone(counters));
        let (client, runtime) = (self.client.clone(), self.runtime.clone());
        Arc::new(Self::start(policy, client, options.clone(), clocks, counters, runtime))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use flashops_core::clock::{ManualClock, UnixSeconds};
    use flashops_core::key::Key;
    use flashops_core::limit::{Resource, Window};
    use flashops_core::window::{Calendar, CalendarUnit};
    use flashops_testkit::redis_server::RedisServer;

    use super::*;

    fn by_the_hour() -> Arc<Policy> {
        let hours = Calendar::new(CalendarUnit::Hour, "UTC", None).expect("UTC has hours");
        let limit = Limit::new("hourly", Scope::User, Resource::Requests, 2, Window::Calendar(hours)).expect("valid");
        Arc::new(Policy::new(vec![limit]).expect("there is one"))
    }

    #[tokio::test]
    async fn an_instance_whose_wall_clock_is_wrong_counts_in_the_period_of_the_server() {
        let server = RedisServer::start();
        let store = |seconds: i64| {
            let clock = ManualClock::new();
            clock.set_unix(UnixSeconds(seconds));
            let options = Options { deadline: Duration::from_secs(10), ..Options::default() };
            RedisStore::with_clocks(by_the_hour(), &server.address(), options, Arc::new(clock), None).expect("it opens")
        };
        let (early, late) = (store(0), store(8_000_000_000));
        let (scopes, limits) = (Scopes::new().with(Key::new(Scope::User, "ann")), early.requests);
        let admit = Admit { scopes: &scopes, limits, requests: 1, report: true };
        let first = early.admit(&admit).await.expect("it answers").expect("there is room");
        let second = late.admit(&admit).await.expect("it answers").expect("there is room");
        // Nearly an hour may lie between them if this runs at its end, and then a new hour has begun.
        let of_one_hour = first.receipt.at().unix.0 / 3_600 == second.receipt.at().unix.0 / 3_600;
        assert_eq!(second.standings[0].used, if of_one_hour { 2 } else { 1 });
        let end = (first.receipt.at().unix.0 / 3_600 + 1) * 3_600;
        let reset = first.standings[0].reset.expect("an hour ends");
        assert_eq!(reset.as_secs(), u64::try_from(end - first.receipt.at().unix.0).expect("it is later"));
        assert_eq!(early.now().unix, first.receipt.at().unix, "it has learned what time it is there");
    }
}
