//! The store in this process.

mod next_deadline;
mod records;
mod refusal;
mod stepwise;
mod succession;
mod table;

use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};

use arrayvec::ArrayVec;
use records::{Found, Held, Record, Records, Shard, State};
use refusal::Refusal;
use succession::Successor;
use table::{Locked, Table};

use super::{
    Admit, Admitted, Crossings, Extend, Extended, GiveBack, MAX_STANDINGS, Outcome, Receipt, Refused, Reserve,
    Reserved, Settle, Settled, Standing, Standings, Store, StoreError,
};
use crate::account::{Account, Layout};
use crate::clock::{Clock, Moment};
use crate::key::{Key, Scope, Scopes};
use crate::limit::{Denied, LimitSet, OnExpiry, Policy, Resource, Retry};
use crate::units::Amounts;

/// How many expired reservations one call settles.
const EXPIRED_PER_CALL: usize = 16;

/// How large a [`MemoryStore`] may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The most keys of each scope. A key beyond it shares one account with others of its kind until an idle key has
    /// gone.
    pub max_keys: usize,
    /// The most reservations held at a time. One beyond it is [`StoreError::Full`].
    pub max_reservations: usize,
}

impl Default for Bounds {
    /// 1,048,576 keys of each scope, and 1,048,576 reservations.
    fn default() -> Self {
        Self { max_keys: 1 << 20, max_reservations: 1 << 20 }
    }
}

/// Accounts in the memory of this process.
///
/// Every command is applied under the locks of the accounts that it touches, all of them at once, so that what is
/// used and what is held are always read together. Each scope has its own table in up to 2,048 shards.
///
/// Idle accounts, in which nothing is used or held, are dropped a few at a time by the calls that come along. No other
/// account is ever dropped: a flood of new keys cannot free a caller who is blocked. Once [`Bounds::max_keys`] live,
/// keys that nobody has seen before share one account in each shard, under the same limits.
///
/// A hold past its deadline is charged by the next calls that would be refused for it, sixteen at a time.
///
/// A million keys with one hit each, under two limits on requests, take 148 MB.
#[derive(Debug)]
pub struct MemoryStore<C> {
    policy: Arc<Policy>,
    clock: C,
    bounds: Bounds,
    /// A table for each scope that has a limit.
    tables: [Option<Table>; Scope::COUNT],
    requests: LimitSet,
    wall: bool,
    records: Records,
    /// Who goes on, once that is another store. It is set with all locks held, so whoever has one and sees nobody here
    /// is still in the right place.
    successor: OnceLock<Box<Successor<C>>>,
}

/// How large a [`MemoryStore`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Keys of all scopes.
    pub keys: usize,
    /// Reservations that are held, or expired and not yet forgotten.
    pub reservations: usize,
    /// How often a request was counted in the account that overflow callers share.
    pub overflowed: u64,
}

/// The accounts of one request, locked from the narrowest scope to the widest.
type LockedAll<'t> = ArrayVec<Locked<'t>, { Scope::COUNT }>;

impl<C: Clock> MemoryStore<C> {
    /// An empty store with the default bounds.
    pub fn new(policy: Arc<Policy>, clock: C) -> Self {
        Self::with_bounds(policy, clock, Bounds::default())
    }

    /// An empty store.
    pub fn with_bounds(policy: Arc<Policy>, clock: C, bounds: Bounds) -> Self {
        let table = |scope: Scope| {
            let layout = Layout::new(&policy, scope, clock.resolution());
            (!layout.set.is_empty()).then(|| Table::new(layout, &bounds))
        };
        let calendar = |limit: &crate::limit::Limit| matches!(limit.window(), Some(crate::limit::Window::Calendar(_)));
        Self {
            tables: Scope::ALL.map(table),
            requests: policy.request_limits(),
            wall: policy.limits().iter().any(calendar),
            records: Records::new(bounds.max_reservations),
            successor: OnceLock::new(),
            policy,
            clock,
            bounds,
        }
    }

    /// How large it is.
    pub fn stats(&self) -> MemoryStats {
        let tables = self.tables.iter().flatten();
        MemoryStats {
            keys: tables.clone().map(Table::len).sum(),
            reservations: self.records.live(),
            overflowed: tables.map(Table::overflowed).sum(),
        }
    }

    /// Counts requests, or refuses: [`Store::admit`] without a future around it.
    ///
    /// # Errors
    ///
    /// [`Denied`] if a limit has no room.
    #[inline]
    pub fn admit_now(&self, command: &Admit<'_>) -> Result<Admitted, Denied> {
        let now = self.moment();
        let limits = command.limits.intersection(self.requests);
        let asked = Amounts { requests: command.requests, ..Amounts::ZERO };
        if let Some(denied) = self.recall(command, limits, now) {
            return Err(denied);
        }
        let mut locked = LockedAll::new();
        self.lock_all(command.scopes, limits, now, &mut locked);
        if let Some(successor) = self.successor.get() {
            drop(locked);
            return successor.admit(command);
        }
        if !fit(&mut locked, limits, &asked, now) {
            return Err(self.refuse(locked, limits, command.requests, now));
        }
        take(&mut locked, limits, &asked, now);
        let overflow = locked.iter().map(|one| u8::from(one.is_overflow()) << one.table.layout.scope.index()).sum();
        let mut admitted = Admitted {
            receipt: Receipt { at: now, overflow },
            standings: Standings::new(),
            crossings: Crossings::new(),
        };
        if command.report {
            report(&mut locked, limits, now, &mut admitted.standings);
        }
        for one in &mut locked {
            let layout = &one.table.layout;
            one.account_or_new(now).crossings(layout, limits, now, &mut admitted.crossings);
        }
        Ok(admitted)
    }

    /// Counts one request of one key, or refuses: [`MemoryStore::admit_now`] without room for several keys, for reports
    /// or for crossings. Thresholds wait for a caller who is told of them.
    #[inline]
    pub(crate) fn check_now(&self, key: &Key<'_>) -> Result<(), Denied> {
        let Some(table) = self.table(key, self.requests) else { return Ok(()) };
        let (now, fingerprint) = (self.moment(), key.fingerprint());
        if let Some(denied) = table.recall(fingerprint, self.requests, 1, now.tick) {
            return Err(denied);
        }
        match table.count(fingerprint, self.requests, 1, now) {
            Ok(()) => Ok(()),
            Err(one) => self.check_slowly(key, one, now),
        }
    }

    #[cold]
    fn check_slowly(&self, key: &Key<'_>, one: Locked<'_>, now: Moment) -> Result<(), Denied> {
        if let Some(successor) = self.successor.get() {
            drop(one);
            let scopes = Scopes::new().with(*key);
            let command = Admit { scopes: &scopes, limits: self.requests, requests: 1, report: false };
            return successor.admit(&command).map(drop);
        }
        let mut locked = LockedAll::from_iter([one]);
        if !fit(&mut locked, self.requests, &Amounts::ONE_REQUEST, now) {
            return Err(self.refuse(locked, self.requests, 1, now));
        }
        take(&mut locked, self.requests, &Amounts::ONE_REQUEST, now);
        Ok(())
    }

    /// The answer again that the only key of a request got before, if nothing can have changed it.
    #[inline]
    fn recall(&self, command: &Admit<'_>, limits: LimitSet, now: Moment) -> Option<Denied> {
        let mut keys = command.scopes.iter().filter_map(|key| Some((key, self.table(key, limits)?)));
        let (Some((key, table)), None) = (keys.next(), keys.next()) else { return None };
        let fingerprint = key.fingerprint();
        table.recall(fingerprint, limits, command.requests, now.tick)
    }

    #[cold]
    fn refuse(&self, mut locked: LockedAll<'_>, limits: LimitSet, requests: u64, now: Moment) -> Denied {
        let asked = Amounts { requests, ..Amounts::ZERO };
        let denied = explain(&mut locked, limits, &asked, now);
        if let ([one], Retry::After(wait)) = (&locked[..], denied.retry)
            && !one.is_overflow()
        {
            let until = now.tick.after(wait);
            one.table.remember(&Refusal { key: one.key(), set: limits, until, denied });
        }
        denied
    }

    fn give_back_now(&self, command: &GiveBack<'_>) {
        let (now, limits) = (self.moment(), command.limits.intersection(self.requests));
        for key in command.scopes.iter() {
            let Some(table) = self.table(key, limits) else { continue };
            let mut locked = table.lock(key.fingerprint(), now);
            if let Some(successor) = self.successor.get() {
                drop(locked);
                successor.give_back(&GiveBack { scopes: &Scopes::new().with(*key), ..*command });
                continue;
            }
            if command.receipt.overflow >> key.scope().index() & 1 == 1 {
                locked.go_to_overflow();
            }
            if let Some(account) = locked.account() {
                account.give_back(&table.layout, limits, command.requests, command.receipt.at, now);
            }
            table.forget_refusal(key.fingerprint());
        }
    }

    /// Holds, or refuses: [`Store::reserve`] without a future around it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`].
    pub fn reserve_now(&self, command: &Reserve<'_>) -> Result<Result<Reserved, Refused>, StoreError> {
        let mut standings = Standings::new();
        let answer = self.hold_now(command, &mut standings)?;
        Ok(answer.map(|replayed| Reserved { replayed, standings }))
    }

    /// [`MemoryStore::reserve_now`] with the standings, if asked for, where the caller wants them. Says whether the
    /// same identity was held before.
    pub(crate) fn hold_now(
        &self,
        command: &Reserve<'_>,
        standings: &mut Standings,
    ) -> Result<Result<bool, Refused>, StoreError> {
        let now = self.moment();
        match self.try_reserve(command, now, standings) {
            // Holds past their deadline may be all that is in the way.
            Err(StoreError::Full) | Ok(Err(Refused::Denied(_))) if self.expire(now) => {
                self.try_reserve(command, now, standings)
            }
            answer => answer,
        }
    }

    fn try_reserve(
        &self,
        command: &Reserve<'_>,
        now: Moment,
        standings: &mut Standings,
    ) -> Result<Result<bool, Refused>, StoreError> {
        let mut shard = self.records.lock(command.id);
        if let Some(successor) = self.successor.get() {
            drop(shard);
            return successor.hold(command, standings);
        }
        if let Some(state) = shard.state(command.id) {
            return Ok(self.replay(&mut shard, state, command, now, standings));
        }
        if shard.is_full() {
            return Err(StoreError::Full);
        }
        let mut locked = LockedAll::new();
        self.lock_all(command.scopes, command.limits, now, &mut locked);
        if !fit(&mut locked, command.limits, &command.hold, now) {
            return Ok(Err(Refused::Denied(explain(&mut locked, command.limits, &command.hold, now))));
        }
        take(&mut locked, command.limits, &command.hold, now);
        if command.report {
            report(&mut locked, command.limits, now, standings);
        }
        write(shard.vacant(), command, now, &locked);
        // The shard of the reservation is still locked, so nobody can settle what is not entered yet.
        drop(locked);
        self.records.enter(&mut shard, command.id);
        Ok(Ok(false))
    }

    /// Answers for an identity that is known already.
    #[cold]
    fn replay(
        &self,
        shard: &mut Shard,
        state: State,
        command: &Reserve<'_>,
        now: Moment,
        standings: &mut Standings,
    ) -> Result<bool, Refused> {
        let State::Live(found) = state else { return Err(Refused::AlreadySettled) };
        if !is_held(shard.record(found), now) {
            return Err(Refused::AlreadySettled);
        }
        if command.report {
            standings.extend(self.look(command.scopes, command.limits).into_iter().take(MAX_STANDINGS));
        }
        Ok(true)
    }

    /// Holds more: [`Store::extend`] without a future around it.
    pub fn extend_now(&self, command: &Extend) -> Extended {
        let now = self.moment();
        match self.try_extend(command, now) {
            Extended::Denied(_) if self.expire(now) => self.try_extend(command, now),
            answer => answer,
        }
    }

    fn try_extend(&self, command: &Extend, now: Moment) -> Extended {
        let mut shard = self.records.lock(command.id);
        if let Some(successor) = self.successor.get() {
            drop(shard);
            return successor.extend(command);
        }
        let Some(State::Live(found)) = shard.state(command.id) else { return Extended::NotHeld };
        let record = shard.record(found);
        if !is_held(record, now) {
            return Extended::NotHeld;
        }
        record.checkpoint = command.checkpoint;
        record.deadline = now.tick.after(command.lifetime);
        let extended = self.top_up(record, &command.more, now);
        self.records.postpone(&mut shard, found);
        extended
    }

    fn top_up(&self, record: &mut Record, more: &Amounts, now: Moment) -> Extended {
        let more = Amounts { requests: 0, ..*more };
        let mut locked = LockedAll::new();
        self.lock_recorded(record, now, &mut locked);
        let limits = self.policy.select(|limit| limit.resource() != Resource::Concurrency).intersection(record.limits);
        if !fit(&mut locked, limits, &more, now) {
            return Extended::Denied(explain(&mut locked, limits, &more, now));
        }
        for one in &mut locked {
            let layout = &one.table.layout;
            one.account_or_new(now).top_up(layout, limits, &more);
        }
        // An account in which nothing was held may have gone, and its place too.
        for (account, one) in record.accounts.iter_mut().zip(&locked) {
            account.overflow = one.is_overflow();
        }
        record.held = record.held.saturating_add(more);
        Extended::Held
    }

    /// Settles: [`Store::settle`] without a future around it.
    pub fn settle_now(&self, command: &Settle) -> Settled {
        let now = self.moment();
        let mut shard = self.records.lock(command.id);
        if let Some(successor) = self.successor.get() {
            drop(shard);
            return successor.settle(command);
        }
        let mut crossings = Crossings::new();
        let outcome = match shard.state(command.id) {
            None => Outcome::Unknown,
            Some(State::Settled(first)) if first == command.used => Outcome::Replayed,
            Some(State::Settled(first)) => Outcome::Conflict { first },
            Some(State::Live(found)) => self.settle_live(&mut shard, found, &command.used, now, &mut crossings),
        };
        Settled { outcome, crossings }
    }

    /// Puts what was used in place of the hold, or of what expiry charged. Thresholds fire only where somebody is told.
    #[inline]
    fn settle_live(
        &self,
        shard: &mut Shard,
        found: Found,
        used: &Amounts,
        now: Moment,
        crossings: &mut Crossings,
    ) -> Outcome {
        let record = shard.record(found);
        if record.expired.is_none() && record.deadline <= now.tick {
            self.charge_expired(record, now);
        }
        let outcome = self.apply(record, used, now, Some(crossings));
        shard.close(found, *used);
        outcome
    }

    fn apply(&self, record: &Record, used: &Amounts, now: Moment, mut crossings: Option<&mut Crossings>) -> Outcome {
        let mut locked = LockedAll::new();
        self.lock_recorded(record, now, &mut locked);
        for one in &mut locked {
            let layout = &one.table.layout;
            let account = one.account_or_new(now);
            match record.expired.as_deref() {
                None => account.settle(layout, record.limits, &record.held, used, record.admitted, now),
                Some((charged, at)) => {
                    account.correct(layout, record.limits, (charged, *at), used, record.admitted, now);
                }
            }
            if let Some(crossings) = &mut crossings {
                account.crossings(layout, record.limits, now, crossings);
            }
            one.table.forget_refusal(one.key());
        }
        if record.expired.is_some() { Outcome::Late } else { Outcome::Applied }
    }

    /// Charges holds whose deadline has passed, and forgets those that were charged long ago; says whether there were
    /// any.
    fn expire(&self, now: Moment) -> bool {
        self.records.expire(now.tick, EXPIRED_PER_CALL, |record| self.charge_expired(record, now)) > 0
    }

    fn charge_expired(&self, record: &mut Record, now: Moment) {
        let switches = self.policy.switches();
        let charged = match switches.on_expiry {
            OnExpiry::Checkpoint => record.checkpoint,
            OnExpiry::Full => record.held,
            OnExpiry::Release => Amounts { requests: record.held.requests, ..Amounts::ZERO },
        };
        let kept = Amounts { requests: record.held.requests, ..charged };
        self.apply(record, &kept, now, None);
        record.expired = Some(Box::new((kept, now)));
        record.deadline = now.tick.after(switches.max_lifetime);
    }

    /// How limits stand: [`Store::standings`] without a future around it.
    pub fn standings_now(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Vec<Standing> {
        self.expire(self.moment());
        self.look(scopes, limits)
    }

    fn look(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Vec<Standing> {
        let now = self.moment();
        let mut found = Vec::new();
        for key in scopes.iter() {
            let Some(table) = self.table(key, limits) else { continue };
            let mut locked = table.lock(key.fingerprint(), now);
            if let Some(successor) = self.successor.get() {
                drop(locked);
                return successor.standings(scopes, limits);
            }
            locked.look_for_place();
            match locked.account() {
                Some(account) => account.standings(&table.layout, limits, now, |standing| found.push(standing)),
                None => {
                    let mut fresh = Account::new(&table.layout);
                    fresh.standings(&table.layout, limits, now, |standing| found.push(standing));
                }
            }
        }
        found
    }

    #[inline]
    fn table(&self, key: &Key<'_>, limits: LimitSet) -> Option<&Table> {
        self.tables[key.scope().index()].as_ref().filter(|table| !table.layout.set.intersection(limits).is_empty())
    }

    #[inline]
    fn lock_all<'t>(&'t self, scopes: &Scopes<'_>, limits: LimitSet, now: Moment, locked: &mut LockedAll<'t>) {
        for key in scopes.iter() {
            if let Some(table) = self.table(key, limits) {
                locked.push(table.lock(key.fingerprint(), now));
            }
        }
    }

    #[inline]
    fn lock_recorded<'t>(&'t self, record: &Record, now: Moment, locked: &mut LockedAll<'t>) {
        for held in &record.accounts {
            if let Some(table) = &self.tables[held.scope.index()] {
                let mut one = table.lock(held.key, now);
                if held.overflow {
                    one.go_to_overflow();
                }
                locked.push(one);
            }
        }
    }

    #[inline]
    fn moment(&self) -> Moment {
        if self.wall { self.clock.now() } else { Moment { tick: self.clock.tick(), ..Moment::default() } }
    }
}

/// Whether a live reservation still holds.
fn is_held(record: &Record, now: Moment) -> bool {
    record.expired.is_none() && record.deadline > now.tick
}

/// Writes what a reservation has to remember.
#[inline]
fn write(record: &mut Record, command: &Reserve<'_>, now: Moment, locked: &LockedAll<'_>) {
    record.accounts.clear();
    record.accounts.extend(locked.iter().map(|one| Held {
        scope: one.table.layout.scope,
        key: one.key(),
        overflow: one.is_overflow(),
    }));
    record.limits = command.limits;
    record.held = command.hold;
    record.checkpoint = command.checkpoint;
    record.admitted = now;
    record.deadline = now.tick.after(command.lifetime);
    record.expired = None;
}

/// Whether the amounts fit all the accounts. An account that does not exist is judged as a new one would be.
#[inline]
fn fit(locked: &mut LockedAll<'_>, limits: LimitSet, asked: &Amounts, now: Moment) -> bool {
    locked.iter_mut().all(|one| {
        one.find_place(now);
        let layout = &one.table.layout;
        match one.account() {
            Some(account) => account.fits(layout, limits, asked, now),
            None => layout.fits_new(limits, asked),
        }
    })
}

#[cold]
fn explain(locked: &mut LockedAll<'_>, limits: LimitSet, asked: &Amounts, now: Moment) -> Denied {
    let mut denied = None;
    for one in locked {
        let layout = &one.table.layout;
        match one.account() {
            Some(account) => account.explain(layout, limits, asked, now, &mut denied),
            None => Account::new(layout).explain(layout, limits, asked, now, &mut denied),
        }
    }
    denied.expect("a request that does not fit violates a limit")
}

/// Counts and holds in all the accounts.
#[inline]
fn take(locked: &mut LockedAll<'_>, limits: LimitSet, amounts: &Amounts, now: Moment) {
    for one in locked {
        let layout = &one.table.layout;
        one.table.forget_refusal(one.key());
        one.account_or_new(now).hold(layout, limits, amounts, now);
    }
}

/// How all the accounts stand.
fn report(locked: &mut LockedAll<'_>, limits: LimitSet, now: Moment, standings: &mut Standings) {
    for one in locked {
        let layout = &one.table.layout;
        one.account_or_new(now).standings(layout, limits, now, |standing| {
            // The answer has room for the first few; the others are to be asked for.
            let _full = standings.try_push(standing);
        });
    }
}

impl<C: Clock> Store for MemoryStore<C> {
    type Admit = Ready<Result<Result<Admitted, Denied>, StoreError>>;
    type Reserve = Ready<Result<Result<Reserved, Refused>, StoreError>>;
    type Extend = Ready<Result<Extended, StoreError>>;
    type Settle = Ready<Result<Settled, StoreError>>;
    type Standings = Ready<Result<Vec<Standing>, StoreError>>;

    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        ready(Ok(self.admit_now(command)))
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        self.give_back_now(command);
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        ready(self.reserve_now(command))
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        ready(Ok(self.extend_now(command)))
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        ready(Ok(self.settle_now(command)))
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        ready(Ok(self.standings_now(scopes, limits)))
    }
}
