use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use flashops_core::clock::{Clock, ManualClock, Moment, Tick};
use flashops_core::key::{Scope, Scopes};
use flashops_core::limit::{Denied, Limit, LimitSet, Policy, Resource, Retry};
use flashops_core::store::{
    Admit, Admitted, Bounds, Extend, Extended, GiveBack, MAX_STANDINGS, Receipt, Refused, Reserve, Reserved, Settle,
    Settled, Standing, Standings, Store, StoreError,
};
use flashops_core::units::{Amounts, Cost, Tokens};
use parking_lot::Mutex;

use super::account::Counting;
use super::flaw::Flaw;
use super::model::{Account, Keys, Live, Model, State};
use crate::conformance::Harness;

/// The model as a store: right by being simple, slow, and never forgetting. It can be given one [`Flaw`].
#[derive(Debug)]
pub struct ReferenceStore {
    policy: Policy,
    clock: ManualClock,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    model: Model,
    flaw: Option<Flaw>,
    bounds: Bounds,
    /// The texts of all keys, which are never freed.
    texts: BTreeSet<&'static str>,
    /// The users in the order in which they came, for the flaw that forgets them.
    seen: Vec<&'static str>,
    /// What was held under each identity, for the flaw that gives it back again.
    held_before: HashMap<u128, Live>,
    /// What was used before the last command, for the flaw that decides by it.
    used_before: HashMap<Account, u128>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("flaw", &self.flaw).finish_non_exhaustive()
    }
}

impl ReferenceStore {
    /// An empty store; without a flaw it is right.
    pub fn new(policy: Policy, clock: ManualClock, bounds: Bounds, flaw: Option<Flaw>) -> Self {
        let inner = Inner {
            model: Model::new(policy.clone(), clock.now(), Duration::from_nanos(1)),
            flaw,
            bounds,
            texts: BTreeSet::new(),
            seen: Vec::new(),
            held_before: HashMap::new(),
            used_before: HashMap::new(),
        };
        Self { policy, clock, inner: Arc::new(Mutex::new(inner)) }
    }
}

impl Inner {
    /// Runs a command at an instant, as if no other ran.
    fn at<T>(&mut self, now: Moment, command: impl FnOnce(&mut Self) -> T) -> T {
        self.model.now = now;
        self.model.observe();
        self.model.expire();
        let answer = command(self);
        self.model.expire();
        self.model.observe();
        answer
    }

    fn keys(&mut self, scopes: &Scopes<'_>) -> Keys {
        Keys::new(scopes.iter().map(|key| {
            let text = match self.texts.get(key.text()) {
                Some(text) => text,
                None => {
                    let text: &'static str = String::leak(key.text().to_owned());
                    self.texts.insert(text);
                    text
                }
            };
            (key.scope(), text)
        }))
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn admit(&mut self, keys: Keys, command: &Admit<'_>) -> Result<Admitted, Denied> {
        let limits = command.limits.intersection(self.model.policy.request_limits());
        let asked = Amounts { requests: command.requests, ..Amounts::ZERO };
        self.decide(keys, limits, &asked)?;
        self.model.count_requests(keys, limits, command.requests);
        let receipt = Receipt::new(self.model.now);
        let crossings = self.model.tell(keys, limits);
        Ok(Admitted { receipt, crossings, standings: self.report(keys, limits, command.report) })
    }

    fn give_back(&mut self, keys: Keys, command: &GiveBack<'_>) {
        let of = if self.has(Flaw::RefundIntoLaterWindow) { self.model.now } else { command.receipt.at() };
        let limits = command.limits.intersection(self.model.policy.request_limits());
        self.model.give_back(keys, limits, command.requests, of);
    }

    fn reserve(&mut self, keys: Keys, command: &Reserve<'_>) -> Result<Result<Reserved, Refused>, StoreError> {
        let (id, limits) = (command.id.bits(), command.limits);
        match self.model.states.get_mut(&id) {
            None => {}
            Some(State::Live(live)) if live.expired.is_none() => {
                if self.flaw == Some(Flaw::RetryHoldsTwice) {
                    live.hold = live.hold.saturating_add(Amounts { requests: 0, ..command.hold });
                }
                return Ok(Ok(Reserved { replayed: true, standings: self.report(keys, limits, command.report) }));
            }
            Some(_) => return Ok(Err(Refused::AlreadySettled)),
        }
        if self.model.live_ids().count() >= self.bounds.max_reservations {
            return Err(StoreError::Full);
        }
        if let Err(denied) = self.decide(keys, limits, &command.hold) {
            self.leak(keys, command, &denied);
            return Ok(Err(Refused::Denied(denied)));
        }
        self.hold(keys, command);
        Ok(Ok(Reserved { replayed: false, standings: self.report(keys, limits, command.report) }))
    }

    fn hold(&mut self, keys: Keys, command: &Reserve<'_>) {
        let lifetime = match self.flaw {
            Some(Flaw::HoldLostOnLongStream) => command.lifetime.min(Duration::from_secs(30)),
            _ => command.lifetime,
        };
        let live = self.model.live(keys, command.limits, command.hold, command.checkpoint, lifetime);
        self.model.hold(command.id.bits(), live);
    }

    /// What a flawed store does to one that it refused.
    fn leak(&mut self, keys: Keys, command: &Reserve<'_>, denied: &Denied) {
        if self.has(Flaw::DenialConsumes) {
            self.model.count_requests(keys, command.limits, command.hold.requests);
        }
        if self.has(Flaw::DenialLeaks) {
            let had_room = |limit: &Limit| limit.scope() < self.model.policy.limit(denied.limit).scope();
            let limits = self.model.policy.select(had_room).intersection(command.limits);
            let id = command.id.bits() ^ (1 << 100);
            let live = self.model.live(keys, limits, command.hold, command.checkpoint, command.lifetime);
            self.model.hold(id, live);
        }
    }

    fn extend(&mut self, command: &Extend) -> Extended {
        let deadline = self.model.deadline(command.lifetime);
        let more = Amounts { requests: 0, ..command.more };
        let (keys, limits) = match self.model.states.get_mut(&command.id.bits()) {
            Some(State::Live(live)) if live.expired.is_none() => {
                (live.checkpoint, live.deadline) = (command.checkpoint, deadline);
                (live.keys, live.limits)
            }
            _ => return Extended::NotHeld,
        };
        let countable = self.model.policy.select(|limit| limit.resource() != Resource::Concurrency);
        if let Err(denied) = self.decide(keys, limits.intersection(countable), &more) {
            return Extended::Denied(denied);
        }
        if let Some(State::Live(live)) = self.model.states.get_mut(&command.id.bits()) {
            live.hold = live.hold.saturating_add(more);
        }
        Extended::Held
    }

    fn settle(&mut self, command: &Settle) -> Settled {
        let mut command = *command;
        match self.model.states.get_mut(&command.id.bits()) {
            Some(State::Live(live)) => {
                self.held_before.insert(command.id.bits(), Live::clone(live));
                if self.flaw == Some(Flaw::RefundIntoLaterWindow) {
                    live.admitted = self.model.now;
                    live.expired = live.expired.map(|(charged, _)| (charged, self.model.now));
                }
            }
            Some(State::Settled(first)) if self.flaw == Some(Flaw::RefundTwice) => {
                let first = *first;
                self.refund_again(&command, &first);
            }
            _ => {}
        }
        self.forgive(&mut command);
        let (outcome, crossings) = self.model.settle(&command);
        Settled { outcome, crossings }
    }

    /// Gives back once more what was held and not used.
    fn refund_again(&mut self, command: &Settle, first: &Amounts) {
        if let Some(live) = self.held_before.get(&command.id.bits()).cloned() {
            let now = self.model.now;
            self.model.charge(&live, first, &live.hold, now);
        }
    }

    /// Forgets what was used above the hold, everywhere or in all scopes but the narrowest.
    fn forgive(&mut self, command: &mut Settle) {
        let in_one = self.has(Flaw::OverrunInOneScope);
        if !in_one && !self.has(Flaw::OverrunForgiven) {
            return;
        }
        let Some(State::Live(live)) = self.model.states.get(&command.id.bits()).cloned() else { return };
        let (all, clipped) = (command.used, no_more_than(&command.used, &live.hold));
        command.used = clipped;
        if in_one {
            let accounts = self.model.accounts(live.keys, live.limits);
            let narrowest = accounts.first().map(|(_, limit)| limit.scope());
            let limits = self.model.policy.select(|limit| Some(limit.scope()) == narrowest);
            let narrow = Live { limits: limits.intersection(live.limits), ..*live };
            let now = self.model.now;
            self.model.charge(&narrow, &all, &clipped, now);
        }
    }

    /// Whether there is room, or why not.
    fn decide(&mut self, keys: Keys, limits: LimitSet, asked: &Amounts) -> Result<(), Denied> {
        self.evict(keys);
        let violated = self.violated(keys, limits, asked);
        self.note_used(keys);
        let mut set = LimitSet::EMPTY;
        violated.iter().for_each(|(account, _)| set.insert(account.0));
        let mut worst: Option<Denied> = None;
        for (account, limit) in violated {
            let taken = self.model.used(account) + self.model.held(account);
            let retry = self.retry(account, &limit, asked);
            if worst.is_none_or(|worst| retry > worst.retry) {
                let remaining = u128::from(limit.amount()).saturating_sub(taken);
                let remaining = u64::try_from(remaining).expect("it is no more than the amount");
                let asked = limit.resource().of(asked);
                worst = Some(Denied { limit: account.0, violated: set, asked, remaining, retry });
            }
        }
        worst.map_or(Ok(()), Err)
    }

    fn violated(&self, keys: Keys, limits: LimitSet, asked: &Amounts) -> Vec<(Account, Arc<Limit>)> {
        let twice = self.has(Flaw::FirstRequestNeverFits);
        let asked = if twice { asked.saturating_add(*asked) } else { *asked };
        let mut violated = self.model.violated(keys, limits, &asked);
        if self.has(Flaw::UsedAndHeldApart) {
            violated.retain(|(account, limit)| {
                let used = self.used_before.get(account).copied().unwrap_or(0);
                let ask = u128::from(limit.resource().of(&asked));
                used + self.model.held(*account) + ask > u128::from(limit.amount())
            });
        }
        violated
    }

    /// Notes what is used now, to be read by the next command of the same keys.
    fn note_used(&mut self, keys: Keys) {
        for (account, _) in self.model.accounts(keys, self.model.policy.select(|_| true)) {
            self.used_before.insert(account, self.model.used(account));
        }
    }

    /// Forgets the oldest key beyond the bound, if this store has that flaw.
    fn evict(&mut self, keys: Keys) {
        let Some(user) = keys.of(Scope::User).filter(|_| self.has(Flaw::EvictionFreesBlocked)) else { return };
        if !self.seen.contains(&user) {
            self.seen.push(user);
        }
        if self.seen.len() > self.bounds.max_keys {
            let oldest = self.seen.remove(0);
            self.model.events.retain(|(_, key), _| *key != oldest);
        }
    }

    fn retry(&self, account: Account, limit: &Limit, asked: &Amounts) -> Retry {
        let ask = u128::from(limit.resource().of(asked));
        let Some(room) = u128::from(limit.amount()).checked_sub(ask) else { return Retry::Never };
        let Some(without_holds) = self.earliest(account, room) else { return Retry::Never };
        let beside = room.checked_sub(self.model.held(account)).and_then(|room| self.earliest(account, room));
        match beside {
            Some(wait) if !wait.is_zero() => Retry::After(wait),
            _ => Retry::After(without_holds).max(Retry::WHILE_HELD),
        }
    }

    /// When no more than so much is used: looked for by halving, since nothing is added meanwhile.
    fn earliest(&self, account: Account, room: u128) -> Option<Duration> {
        /// Two years of nanoseconds.
        const FARTHEST: u64 = 1 << 56;
        let counting = self.model.counting(account.0);
        let fits = |steps| self.model.used_at(account, self.model.after(counting.steps(steps))) <= room;
        if !fits(FARTHEST) {
            return None;
        }
        let (mut from, mut upto) = (0, FARTHEST);
        while from < upto {
            let middle = from + (upto - from) / 2;
            if fits(middle) { upto = middle } else { from = middle + 1 }
        }
        Some(counting.steps(upto))
    }

    fn report(&self, keys: Keys, limits: LimitSet, wanted: bool) -> Standings {
        let all = if wanted { self.standings(keys, limits) } else { Vec::new() };
        all.into_iter().take(MAX_STANDINGS).collect()
    }

    fn standings(&self, keys: Keys, limits: LimitSet) -> Vec<Standing> {
        let small = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX);
        let standing = |(account, limit): (Account, Arc<Limit>)| {
            let (used, held) = (self.model.used(account), self.model.held(account));
            let reset = match (self.model.counting(account.0), used) {
                (Counting::Held | Counting::Lifetime, _) => None,
                (_, 0) => Some(Duration::ZERO),
                (Counting::Days { .. }, _) => {
                    let left = 86_400 - self.model.now.unix.0.rem_euclid(86_400);
                    Some(Duration::from_secs(left.unsigned_abs()))
                }
                _ => self.earliest(account, used - 1),
            };
            Standing { limit: account.0, amount: limit.amount(), used: small(used), held: small(held), reset }
        };
        self.model.accounts(keys, limits).into_iter().map(standing).collect()
    }
}

fn no_more_than(used: &Amounts, held: &Amounts) -> Amounts {
    Amounts {
        requests: used.requests,
        input: Tokens::saturating(used.input.get().min(held.input.get())),
        output: Tokens::saturating(used.output.get().min(held.output.get())),
        cost: Cost::saturating(used.cost.get().min(held.cost.get())),
    }
}

impl Store for ReferenceStore {
    type Admit = Ready<Result<Result<Admitted, Denied>, StoreError>>;
    type Reserve = Ready<Result<Result<Reserved, Refused>, StoreError>>;
    type Extend = Ready<Result<Extended, StoreError>>;
    type Settle = SettleAnswer;
    type Standings = Ready<Result<Vec<Standing>, StoreError>>;

    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        ready(Ok(self.inner.lock().at(self.now(), |inner| {
            let keys = inner.keys(command.scopes);
            inner.admit(keys, command)
        })))
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        self.inner.lock().at(self.now(), |inner| {
            let keys = inner.keys(command.scopes);
            inner.give_back(keys, command);
        });
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        ready(self.inner.lock().at(self.now(), |inner| {
            let keys = inner.keys(command.scopes);
            inner.reserve(keys, command)
        }))
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        ready(Ok(self.inner.lock().at(self.now(), |inner| inner.extend(command))))
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        let (mut inner, now) = (self.inner.lock(), self.now());
        if inner.has(Flaw::DisconnectRefunds) {
            return SettleAnswer { settled: None, waiting: Some((Arc::clone(&self.inner), now, *command)) };
        }
        SettleAnswer { settled: Some(inner.at(now, |inner| inner.settle(command))), waiting: None }
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        ready(Ok(self.inner.lock().at(self.now(), |inner| {
            let keys = inner.keys(scopes);
            inner.standings(keys, limits)
        })))
    }
}

/// The answer of a [`ReferenceStore`] to a settlement.
#[derive(Debug)]
pub struct SettleAnswer {
    settled: Option<Settled>,
    /// What a flawed store does only when somebody waits for it.
    waiting: Option<(Arc<Mutex<Inner>>, Moment, Settle)>,
}

impl Future for SettleAnswer {
    type Output = Result<Settled, StoreError>;

    /// # Panics
    ///
    /// If it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((inner, now, command)) = self.waiting.take() {
            self.settled = Some(inner.lock().at(now, |inner| inner.settle(&command)));
        }
        Poll::Ready(Ok(self.settled.take().expect("a future is not polled after it was ready")))
    }
}

impl Drop for SettleAnswer {
    fn drop(&mut self) {
        if let Some((inner, now, command)) = self.waiting.take() {
            let void = Settle { used: Amounts::ZERO, ..command };
            let _nobody_asks = inner.lock().at(now, |inner| inner.settle(&void));
        }
    }
}

/// Reference stores, right or with a flaw, on a clock that moves when it is told to.
#[derive(Debug)]
pub struct ReferenceHarness {
    clock: ManualClock,
    flaw: Option<Flaw>,
}

impl ReferenceHarness {
    /// A harness for stores that are right.
    pub fn new() -> Self {
        let clock = ManualClock::new();
        // Nothing rounds here, but the model rounds like the store that it is a model of.
        clock.set_tick(Tick::from_nanos(1 << 60));
        Self { clock, flaw: None }
    }

    /// A harness for stores that all have one flaw.
    pub fn with_flaw(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..Self::new() }
    }
}

impl Default for ReferenceHarness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness for ReferenceHarness {
    type Store = ReferenceStore;

    async fn store(&self, policy: Policy, bounds: Bounds) -> Arc<Self::Store> {
        Arc::new(ReferenceStore::new(policy, self.clock.clone(), bounds, self.flaw))
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
