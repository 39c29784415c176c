use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::call::{Call, Open};
use super::reservation::Reservation;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::estimate::{Estimate, Expected, Learner, Subject};
use crate::key::{Key, Scope, ScopeSet, Scopes};
use crate::limit::{Denied, Limit, LimitSet, Mode, Policy, Resource, UnknownModel};
use crate::price::{Model, PriceBook, Prices};
use crate::record::{CallInfo, Event, Recorder};
use crate::store::{MemoryStore, Refused, ReservationId, Reserve, Reserved, Standing, Standings, Store, StoreError};
use crate::units::{Amounts, Tokens};

/// Budgets of tokens and money, and everything else that one request of a model is held to. Clones share it.
///
/// See the [module docs](super) for an example.
pub struct Budget<S: Store> {
    pub(super) shared: Arc<Shared<S>>,
}

/// The key of [`Scope::Provider`] for models that the price book does not know: they share one account.
pub const UNKNOWN_PROVIDER: &str = "unknown";

pub(super) struct Shared<S> {
    store: Arc<S>,
    prices: Prices,
    recorder: Arc<dyn Recorder>,
    /// The limits on cost that refuse.
    cost_limits: LimitSet,
    /// The scopes that have limits.
    limited: ScopeSet,
    /// The limits that do not refuse.
    lenient: LimitSet,
    /// What calls used, if that shall be known.
    learner: Option<Arc<Learner>>,
}

impl<S: Store> Clone for Budget<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: Store> fmt::Debug for Budget<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("recorder", &self.shared.recorder).finish_non_exhaustive()
    }
}

/// One call of a model that wants to be made.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Who asks.
    pub caller: Caller,
    /// On which route: a template or a path, from a bounded set.
    pub route: Arc<str>,
    /// For which model.
    pub model: Arc<str>,
    /// How much it may use.
    pub estimate: Estimate,
    /// Which limits count on the route, from [`Policy::limits_on`].
    pub limits: LimitSet,
}

/// Why a call may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginError {
    /// A limit has no room.
    Denied(Denied),
    /// The store cannot say yes or no.
    Store(StoreError),
    /// The model has no price, and a cost limit applies.
    UnknownModel,
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(_) => f.write_str("a limit has no room for the call"),
            Self::Store(error) => error.fmt(f),
            Self::UnknownModel => f.write_str("the model has no price, and a cost limit applies"),
        }
    }
}

impl std::error::Error for BeginError {}

impl<C: Clock> Budget<MemoryStore<C>> {
    /// A budget with accounts in memory, the embedded price book and no recorder.
    pub fn in_memory(policy: Policy, clock: C) -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(policy), clock));
        Self::new(store, Arc::new(PriceBook::embedded().clone()), ())
    }

    /// Holds amounts for keys: for work that no layer can see.
    ///
    /// `checkpoint` is what dropping the guard charges once it is dispatched.
    ///
    /// # Errors
    ///
    /// [`BeginError::Denied`] and [`BeginError::Store`].
    pub fn try_reserve(
        &self,
        scopes: &Scopes<'_>,
        limits: LimitSet,
        hold: Amounts,
        checkpoint: Amounts,
    ) -> Result<Reservation<MemoryStore<C>>, BeginError> {
        let id = ReservationId::random();
        let lifetime = self.policy().switches().max_lifetime;
        let command = Reserve { id, scopes, limits, hold, checkpoint, lifetime, report: false };
        match self.store().hold_now(&command, &mut Standings::new()) {
            Ok(Ok(_)) => Ok(Reservation::new(Arc::clone(self.store()), id, hold, checkpoint)),
            Ok(Err(refused)) => Err(refused_to_begin(refused)),
            Err(error) => Err(BeginError::Store(error)),
        }
    }

    /// [`Budget::begin`], answered at once.
    ///
    /// # Errors
    ///
    /// As [`Budget::begin`]; the inner result is the decision.
    pub fn begin_now(&self, request: CallRequest) -> Result<Result<Call<MemoryStore<C>>, Denied>, BeginError> {
        let begin = std::pin::pin!(self.begin(request));
        match begin.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(call)) => Ok(Ok(call)),
            Poll::Ready(Err(BeginError::Denied(denied))) => Ok(Err(denied)),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => unreachable!("a store in memory answers at once"),
        }
    }
}

impl<S: Store> Budget<S> {
    /// A budget with accounts in a store.
    ///
    /// Prices are a book, or a handle through which another book can take its place while calls run.
    pub fn new(store: Arc<S>, prices: impl Into<Prices>, recorder: impl Recorder) -> Self {
        let switches = store.policy().switches();
        let learner = Learner::new(switches.input_estimate, switches.output_estimate).map(Arc::new);
        Self::of(store, prices.into(), Arc::new(recorder), learner)
    }

    /// The same with accounts in another store: the same prices, and the same recorder. What was learned of calls stays
    /// where the policy of the other store estimates them in the same way.
    #[must_use]
    pub fn with_store(&self, store: Arc<S>) -> Self {
        let ways = |policy: &Policy| (policy.switches().input_estimate, policy.switches().output_estimate);
        let (before, after) = (ways(self.policy()), ways(store.policy()));
        let Shared { prices, recorder, learner, .. } = &*self.shared;
        let learner = if before == after { learner.clone() } else { Learner::new(after.0, after.1).map(Arc::new) };
        Self::of(store, prices.clone(), Arc::clone(recorder), learner)
    }

    fn of(store: Arc<S>, prices: Prices, recorder: Arc<dyn Recorder>, learner: Option<Arc<Learner>>) -> Self {
        let lenient = store.policy().select(|limit| limit.mode() != Mode::Enforce);
        let refuses = |limit: &Limit| limit.mode() == Mode::Enforce && limit.resource() == Resource::Cost;
        let cost_limits = store.policy().select(refuses);
        let limited = store.policy().limits().iter().map(Limit::scope).collect();
        Self { shared: Arc::new(Shared { store, prices, recorder, cost_limits, limited, lenient, learner }) }
    }

    /// The limits and switches.
    pub fn policy(&self) -> &Policy {
        self.shared.store.policy()
    }

    /// The store.
    pub fn store(&self) -> &Arc<S> {
        &self.shared.store
    }

    /// The prices as they are now.
    pub fn prices(&self) -> Arc<PriceBook> {
        self.shared.prices.book()
    }

    /// Where the prices come from, to replace them: calls that begin afterwards are reserved and settled at the new
    /// ones, and calls that run are settled at the price that they were reserved at.
    pub fn price_handle(&self) -> &Prices {
        &self.shared.prices
    }

    /// Who is told what happens.
    pub fn recorder(&self) -> &dyn Recorder {
        &*self.shared.recorder
    }

    /// Reserves a call: holds its estimate in every scope of the request, or refuses with nothing changed.
    ///
    /// The model's account is that of its name in the price book, whatever other name the request calls it by. A model
    /// that is not in the book has an account of its own, and shares that of [`UNKNOWN_PROVIDER`].
    ///
    /// # Errors
    ///
    /// The future ends in [`BeginError`].
    pub fn begin(&self, request: CallRequest) -> Begin<S> {
        self.begin_attempt(request, false)
    }

    /// [`Budget::begin`] for one of several attempts of a request; `again` says that the request itself was counted by
    /// an attempt before, so that only what this one uses is held and charged.
    pub fn begin_attempt(&self, request: CallRequest, again: bool) -> Begin<S> {
        let store = self.store();
        let started = store.now();
        let book = self.shared.prices.load();
        let known = book.model(&request.model);
        let price = known.and_then(|known| known.price(started.unix)).map(Arc::clone);
        let id = ReservationId::random();
        let CallRequest { caller, route, model, estimate, limits } = request;
        let info = CallInfo { id, caller, route, model, started, again };
        let limits = if price.is_some() { Some(limits) } else { self.without_price(limits) };
        let Some(limits) = limits else {
            let call = Open::new(self, info, Expected::bound(estimate), price);
            return Begin { reserve: None, call: Some(call) };
        };
        let expected = match &self.shared.learner {
            Some(learner) => {
                let scopes = scopes(&info, known, ScopeSet::ALL);
                self.expected(learner, &scopes, known.is_some(), limits, estimate)
            }
            None => Expected::bound(estimate),
        };
        let mut call = Open::new(self, info, expected, price);
        call.limits = limits;
        let (input, output) = (call.estimate.input, call.held);
        let hold = Amounts { requests: call.requests(), input, output, cost: call.most(input, output) };
        let checkpoint = Amounts { output: Tokens::ZERO, cost: call.most(input, Tokens::ZERO), ..hold };
        let lifetime = self.policy().switches().max_lifetime;
        let scopes = scopes(&call.info, known, self.shared.limited);
        let reserve = store.reserve(&Reserve { id, scopes: &scopes, limits, hold, checkpoint, lifetime, report: true });
        drop(scopes);
        Begin { reserve: Some(reserve), call: Some(call) }
    }

    /// What a call is expected to use.
    fn expected(
        &self,
        learner: &Learner,
        scopes: &Scopes<'_>,
        known: bool,
        limits: LimitSet,
        bound: Estimate,
    ) -> Expected {
        let spends =
            |limit: &Limit| matches!(limit.resource(), Resource::Tokens | Resource::OutputTokens | Resource::Cost);
        let limits = self.policy().indexed().filter(|(index, limit)| limits.contains(*index) && spends(limit));
        let narrowest = limits.map(|(_, limit)| limit.scope()).min().unwrap_or(Scope::User);
        let of = |scope| scopes.key(scope).map(Key::fingerprint);
        let model = if known { Scope::Model } else { Scope::Provider };
        let (Some(route), Some(model), Some(caller)) = (of(Scope::Route), of(model), of(Scope::User)) else {
            return Expected::bound(bound);
        };
        learner.expect(&Subject { route, model, caller, group: of(narrowest).unwrap_or(caller) }, bound)
    }

    /// The limits for a model that has no price; `None` if it is refused.
    fn without_price(&self, limits: LimitSet) -> Option<LimitSet> {
        let cost = limits.intersection(self.shared.cost_limits);
        match self.policy().switches().unknown_model {
            Some(UnknownModel::Deny) => None,
            None if !cost.is_empty() => None,
            Some(UnknownModel::TokensOnly) | None => {
                Some(self.policy().select(|limit| limit.resource() != Resource::Cost).intersection(limits))
            }
        }
    }

    /// How the limits of a caller stand, those for its user, organisation and address and those for everybody.
    pub fn standings(&self, caller: &Caller) -> S::Standings {
        self.store().standings(&caller.scopes().with(Key::global()), self.policy().select(|_| true))
    }
}

/// Whom a call is made for, and of the route, the model and its provider those that are `wanted`: to hash a name that
/// no limit counts for would be wasted.
pub(crate) fn scopes<'a>(info: &'a CallInfo, known: Option<&'a Model>, wanted: ScopeSet) -> Scopes<'a> {
    let mut scopes = Scopes::new();
    info.caller.add_scopes(ScopeSet::ALL, &mut scopes);
    let mut add = |scope, text| {
        if wanted.contains(scope) {
            scopes.push(Key::new(scope, text));
        }
    };
    add(Scope::Route, &*info.route);
    add(Scope::Model, known.map_or(&*info.model, Model::name));
    add(Scope::Provider, known.map_or(UNKNOWN_PROVIDER, Model::provider));
    scopes.push(Key::global());
    scopes
}

fn refused_to_begin(refused: Refused) -> BeginError {
    match refused {
        Refused::Denied(denied) => BeginError::Denied(denied),
        // Identities are drawn at random, so this is a store that answers for another request.
        Refused::AlreadySettled => {
            BeginError::Store(StoreError::Unavailable("the reservation was settled before it was made".to_owned()))
        }
    }
}

impl<S: Store> Open<S> {
    fn decide(
        mut self: Box<Self>,
        answer: Result<Result<Reserved, Refused>, StoreError>,
    ) -> Result<Call<S>, BeginError> {
        match answer {
            Ok(Ok(reserved)) => {
                self.standings = reserved.standings;
                self.budget.recorder().record(&Event::Reserved { call: &self.info });
                self.tell_exceeded();
                Ok(Call::new(self))
            }
            Ok(Err(refused)) => {
                if let Refused::Denied(denied) = &refused {
                    let (call, policy) = (&self.info, self.budget.policy());
                    self.budget.recorder().record(&Event::Denied { call, denied, policy });
                }
                Err(refused_to_begin(refused))
            }
            Err(error) => {
                // Nobody knows whether it was made; a void settles it in either case.
                drop(self.settle(Amounts::ZERO));
                Err(BeginError::Store(error))
            }
        }
    }

    fn tell_exceeded(&self) {
        let lenient = self.budget.shared.lenient;
        if lenient.is_empty() {
            return;
        }
        let exceeded = |standing: &&Standing| standing.used.saturating_add(standing.held) > standing.amount;
        for standing in self.standings.iter().filter(|one| lenient.contains(one.limit)).filter(exceeded) {
            let (call, policy) = (&self.info, self.budget.policy());
            self.budget.recorder().record(&Event::Exceeded { call, limit: standing.limit, policy });
        }
    }
}

pin_project! {
    /// The answer to [`Budget::begin`].
    pub struct Begin<S: Store> {
        #[pin]
        reserve: Option<S::Reserve>,
        call: Option<Box<Open<S>>>,
    }

    impl<S: Store> PinnedDrop for Begin<S> {
        /// A reservation that nobody waits for any more is voided, whether or not it was made.
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(call), true) = (this.call.take(), this.reserve.is_some()) {
                drop(call.settle(Amounts::ZERO));
                call.budget.recorder().record(&Event::Voided { call: &call.info });
            }
        }
    }
}

impl<S: Store> fmt::Debug for Begin<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begin").finish_non_exhaustive()
    }
}

impl<S: Store> Future for Begin<S> {
    type Output = Result<Call<S>, BeginError>;

    /// # Panics
    ///
    /// If it is polled after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.reserve.as_pin_mut() {
            Some(reserve) => Some(ready!(reserve.poll(cx))),
            None => None,
        };
        let call = this.call.take().expect("a future is not polled after it was ready");
        Poll::Ready(answer.map_or(Err(BeginError::UnknownModel), |answer| call.decide(answer)))
    }
}
