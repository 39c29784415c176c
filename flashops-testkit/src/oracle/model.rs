use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Moment, UnixSeconds};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, LimitIndex, LimitSet, Mode, OnExpiry, Policy, Resource, Window};
use flashops_core::store::{Crossing, Outcome, Settle};
use flashops_core::units::Amounts;

use super::account::{Counting, Event};

/// The keys of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys([Option<&'static str>; Scope::COUNT]);

impl Keys {
    pub(super) fn new(keys: impl IntoIterator<Item = (Scope, &'static str)>) -> Self {
        let mut texts = [None; Scope::COUNT];
        for (scope, text) in keys {
            texts[Scope::ALL.iter().position(|other| *other == scope).expect("every scope is there")] = Some(text);
        }
        Self(texts)
    }

    fn iter(self) -> impl Iterator<Item = (Scope, &'static str)> {
        Scope::ALL.into_iter().zip(self.0).filter_map(|(scope, text)| Some((scope, text?)))
    }

    pub(super) fn of(self, scope: Scope) -> Option<&'static str> {
        self.iter().find(|(other, _)| *other == scope).map(|(_, text)| text)
    }
}

/// One limit of one key.
pub(super) type Account = (LimitIndex, &'static str);

/// A reservation that is held, or expired and not forgotten.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) keys: Keys,
    pub(super) limits: LimitSet,
    pub(super) hold: Amounts,
    pub(super) checkpoint: Amounts,
    pub(super) admitted: Moment,
    pub(super) deadline: u128,
    /// What expiry charged, and when.
    pub(super) expired: Option<(Amounts, Moment)>,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model is plain before it is small")]
pub(super) enum State {
    Live(Box<Live>),
    Settled(Amounts),
}

/// A threshold: when it last fired, whether usage was low since, and whether it was below when it was last looked at,
/// or since then.
#[derive(Clone, Copy, Debug)]
struct Fired {
    at: Moment,
    low_since: bool,
    below: bool,
}

/// Everything that happened.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) policy: Policy,
    limits: Vec<Arc<Limit>>,
    countings: Vec<Counting>,
    pub(super) now: Moment,
    /// The unit in which the store counts instants.
    instant: Duration,
    pub(super) events: BTreeMap<Account, Vec<Event>>,
    pub(super) states: BTreeMap<u128, State>,
    fired: BTreeMap<(Account, u16), Fired>,
}

impl Model {
    pub(super) fn new(policy: Policy, now: Moment, instant: Duration) -> Self {
        let limits = policy.limits().iter().cloned().map(Arc::new).collect();
        let countings = policy.limits().iter().map(|limit| Counting::of(&policy, limit, instant)).collect();
        let (events, states, fired) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { policy, limits, countings, now, instant, events, states, fired }
    }

    /// The accounts that count for somebody under the limits of a set: by scope, then in the order of the policy.
    pub(super) fn accounts(&self, keys: Keys, limits: LimitSet) -> Vec<(Account, Arc<Limit>)> {
        let mut found = Vec::new();
        for (scope, key) in keys.iter() {
            for (index, limit) in self.policy.indexed() {
                if limit.scope() == scope && limits.contains(index) {
                    found.push(((index, key), Arc::clone(&self.limits[index.get()])));
                }
            }
        }
        found
    }

    /// What is held, or expired and not forgotten.
    pub(super) fn live_ids(&self) -> impl Iterator<Item = u128> {
        self.states.iter().filter(|(_, state)| matches!(state, State::Live(_))).map(|(id, _)| *id)
    }

    pub(super) fn counting(&self, index: LimitIndex) -> Counting {
        self.countings[index.get()]
    }

    pub(super) fn events(&self, account: Account) -> &[Event] {
        self.events.get(&account).map_or(&[], Vec::as_slice)
    }

    pub(super) fn used_at(&self, account: Account, then: Moment) -> u128 {
        self.counting(account.0).used(self.events(account), then)
    }

    pub(super) fn used(&self, account: Account) -> u128 {
        self.used_at(account, self.now)
    }

    /// The last moment, before this wait is over, that a limit can tell apart from its end.
    pub(super) fn just_before(&self, wait: Duration, counting: Counting) -> Moment {
        self.after(wait - counting.steps(1).max(self.instant))
    }

    /// The moment so much later.
    pub(super) fn after(&self, wait: Duration) -> Moment {
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        Moment { tick: self.now.tick.after(wait), unix: UnixSeconds(self.now.unix.0.saturating_add(seconds)) }
    }

    /// The sum of all holds that live.
    pub(super) fn held(&self, (index, key): Account) -> u128 {
        let limit = self.policy.limit(index);
        let holds = self.states.values().filter_map(|state| match state {
            State::Live(live) if live.expired.is_none() && live.limits.contains(index) => Some(&**live),
            _ => None,
        });
        let of = |live: &Live| match limit.resource() {
            _ if live.keys.of(limit.scope()) != Some(key) => 0,
            Resource::Requests => 0,
            resource => u128::from(resource.of(&live.hold)),
        };
        holds.map(of).sum()
    }

    /// The enforced limits that have no room for what is asked.
    pub(super) fn violated(&self, keys: Keys, limits: LimitSet, asked: &Amounts) -> Vec<(Account, Arc<Limit>)> {
        let mut accounts = self.accounts(keys, limits);
        accounts.retain(|(account, limit)| {
            let ask = u128::from(limit.resource().of(asked));
            let taken = self.used(*account) + self.held(*account);
            limit.mode() == Mode::Enforce && ask > 0 && taken + ask > u128::from(limit.amount())
        });
        accounts
    }

    /// Counts the requests of a command.
    pub(super) fn count_requests(&mut self, keys: Keys, limits: LimitSet, requests: u64) {
        for (account, limit) in self.accounts(keys, limits) {
            if limit.resource() == Resource::Requests {
                self.count(account, self.now, i128::from(requests));
            }
        }
    }

    /// Takes back requests that were counted at some time.
    pub(super) fn give_back(&mut self, keys: Keys, limits: LimitSet, requests: u64, of: Moment) {
        for (account, limit) in self.accounts(keys, limits) {
            if limit.resource() == Resource::Requests {
                self.count(account, of, -i128::from(requests));
            }
        }
    }

    pub(super) fn hold(&mut self, id: u128, live: Live) {
        self.count_requests(live.keys, live.limits, live.hold.requests);
        self.states.insert(id, State::Live(Box::new(live)));
        self.expire();
    }

    pub(super) fn live(
        &self,
        keys: Keys,
        limits: LimitSet,
        hold: Amounts,
        checkpoint: Amounts,
        lifetime: Duration,
    ) -> Live {
        let deadline = self.deadline(lifetime);
        Live { keys, limits, hold, checkpoint, admitted: self.now, deadline, expired: None }
    }

    pub(super) fn deadline(&self, lifetime: Duration) -> u128 {
        u128::from(self.now.tick.nanos()) + lifetime.as_nanos()
    }

    /// Settles; says what became of it, and which thresholds were reached.
    pub(super) fn settle(&mut self, settle: &Settle) -> (Outcome, Vec<Crossing>) {
        let id = settle.id.bits();
        let live = match self.states.get(&id) {
            None => return (Outcome::Unknown, Vec::new()),
            Some(State::Settled(first)) if *first == settle.used => return (Outcome::Replayed, Vec::new()),
            Some(State::Settled(first)) => return (Outcome::Conflict { first: *first }, Vec::new()),
            Some(State::Live(live)) => live.clone(),
        };
        self.states.insert(id, State::Settled(settle.used));
        let (charged, of) = live.expired.unwrap_or((Amounts::ZERO, self.now));
        if settle.used.requests == 0 {
            self.give_back(live.keys, live.limits, live.hold.requests, live.admitted);
        }
        self.charge(&live, &settle.used, &charged, of);
        let outcome = if live.expired.is_some() { Outcome::Late } else { Outcome::Applied };
        (outcome, self.tell(live.keys, live.limits))
    }

    /// Counts what was used above what was charged before, or takes back what was charged too much.
    pub(super) fn charge(&mut self, live: &Live, used: &Amounts, charged: &Amounts, of: Moment) {
        for (account, limit) in self.accounts(live.keys, live.limits) {
            let resource = limit.resource();
            if !matches!(resource, Resource::Requests | Resource::Concurrency) {
                let more = i128::from(resource.of(used)) - i128::from(resource.of(charged));
                self.count(account, if more < 0 { of } else { self.now }, more);
            }
        }
    }

    fn count(&mut self, account: Account, of: Moment, amount: i128) {
        let at = self.now;
        self.events.entry(account).or_default().push(Event { at, of, amount });
    }

    /// Charges every hold whose deadline has passed, and forgets what expired long ago.
    pub(super) fn expire(&mut self) {
        let now = u128::from(self.now.tick.nanos());
        for (id, state) in self.states.clone() {
            match state {
                State::Live(live) if live.deadline <= now && live.expired.is_none() => self.charge_expired(id, live),
                _ => {}
            }
        }
        let forgotten = |live: &Live| live.expired.is_some() && live.deadline <= now;
        self.states.retain(|_, state| !matches!(state, State::Live(live) if forgotten(live)));
    }

    fn charge_expired(&mut self, id: u128, mut live: Box<Live>) {
        let charged = match self.policy.switches().on_expiry {
            OnExpiry::Checkpoint => live.checkpoint,
            OnExpiry::Full => live.hold,
            OnExpiry::Release => Amounts::ZERO,
        };
        self.charge(&live, &charged, &Amounts::ZERO, self.now);
        live.expired = Some((charged, self.now));
        live.deadline = self.deadline(self.policy.switches().max_lifetime);
        self.states.insert(id, State::Live(live));
    }

    /// Looks at every threshold: to be called whenever something can have changed.
    pub(super) fn observe(&mut self) {
        let fired: Vec<(Account, u16)> = self.fired.keys().copied().collect();
        for (account, threshold) in fired {
            let (used, level) = (self.used(account), level(self.policy.limit(account.0), threshold));
            self.fired.entry((account, threshold)).and_modify(|fired| {
                fired.below |= used < level;
                fired.low_since |= used * 10 < level * 9;
            });
        }
    }

    /// The thresholds that are told to somebody now.
    pub(super) fn tell(&mut self, keys: Keys, limits: LimitSet) -> Vec<Crossing> {
        let (mut told, now) = (Vec::new(), self.now);
        for (account, limit) in self.accounts(keys, limits) {
            let used = self.used(account);
            for &threshold in limit.thresholds() {
                if used < level(&limit, threshold) {
                    continue;
                }
                let before = self.fired.get_mut(&(account, threshold));
                if before.is_none_or(|fired| fires_again(&limit, fired, now)) {
                    self.fired.insert((account, threshold), Fired { at: now, low_since: false, below: false });
                    let used = u64::try_from(used).expect("amounts are small");
                    told.push(Crossing { limit: account.0, threshold, used });
                }
            }
        }
        told
    }
}

/// Whether it fires for usage that is high now. Whatever is not told now is not told later.
fn fires_again(limit: &Limit, fired: &mut Fired, now: Moment) -> bool {
    let came_up = std::mem::replace(&mut fired.below, false);
    match limit.window() {
        Some(Window::Sliding(window)) => came_up && fired.low_since && now.tick.since(fired.at.tick) >= *window,
        Some(Window::Calendar(_)) => now.unix.0.div_euclid(86_400) > fired.at.unix.0.div_euclid(86_400),
        Some(Window::Lifetime) | None => false,
    }
}

fn level(limit: &Limit, threshold: u16) -> u128 {
    (u128::from(limit.amount()) * u128::from(threshold)).div_ceil(1_000).max(1)
}
