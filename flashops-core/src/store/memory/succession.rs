//! Another policy for the same accounts, while calls run.

use std::sync::Arc;

use super::MemoryStore;
use super::records::{Record, Shard};
use super::table::{Accounts, Table};
use crate::account::continues;
use crate::clock::Clock;
use crate::key::Scopes;
use crate::limit::{Denied, LimitIndex, LimitSet, Policy};
use crate::store::{
    Admit, Admitted, Crossings, Extend, Extended, GiveBack, Refused, Reserve, Settle, Settled, Standing, Standings,
    StoreError, Succeed,
};
use crate::sync::MutexGuard;

/// Where the accounts of a store went, and what its limits are called there.
#[derive(Debug)]
pub(super) struct Successor<C> {
    store: Arc<MemoryStore<C>>,
    /// The policy of whoever asks here.
    policy: Arc<Policy>,
    there: Places,
    back: Places,
}

/// For each limit of one policy, its place in another.
#[derive(Debug)]
struct Places([Option<LimitIndex>; Policy::MAX_LIMITS]);

/// A table, and all of its shards.
type Stopped<'t> = (&'t Table, Vec<MutexGuard<'t, Accounts>>);

impl<C: Clock + Clone> MemoryStore<C> {
    /// The store that goes on where this one is, under another policy.
    ///
    /// Whoever still has this store goes on using it: what is asked of it is answered by the new one, in terms of this
    /// policy. So calls under way are settled there. What was used and held stays:
    ///
    /// - A limit goes on in the one of the same name, scope and resource. If both count over time alike, as with
    ///   another amount in the same sliding window, it goes on exactly, and no threshold that fired fires again. Else
    ///   what is used counts from now on for the whole of the new window, longer than it should and never shorter.
    /// - A limit on at most 64 requests remembers no more of them than its amount, so what a larger one remembered before
    ///   is forgotten beyond that.
    /// - A limit without a successor is gone, and a new one begins empty, whatever is under way.
    /// - Bounds and the clock stay.
    ///
    /// Nobody is answered meanwhile: for a moment where no limit of a scope changes how it counts, else for a time that
    /// grows with the keys of that scope.
    #[must_use]
    pub fn succeed(&self, policy: Arc<Policy>) -> Arc<Self> {
        let mut records = self.records.lock_whole();
        let mut tables = self.tables.each_ref().map(|table| table.as_ref().map(|table| (table, table.lock_whole())));
        if let Some(successor) = self.successor.get() {
            let latest = Arc::clone(&successor.store);
            drop((records, tables));
            return latest.succeed(policy);
        }
        let mut store = Self::with_bounds(policy, self.clock.clone(), self.bounds);
        let (there, back) = (Places::new(&self.policy, &store.policy), Places::new(&store.policy, &self.policy));
        self.move_accounts(&mut tables, &mut store);
        move_records(&mut records, &mut store, &there);
        let store = Arc::new(store);
        let policy = Arc::clone(&self.policy);
        let successor = Successor { store: Arc::clone(&store), policy, there, back };
        self.successor.set(Box::new(successor)).expect("all locks are held, and there was none");
        store
    }

    fn move_accounts(&self, tables: &mut [Option<Stopped<'_>>], store: &mut Self) {
        let now = self.clock.now();
        for (from, to) in tables.iter_mut().zip(&mut store.tables) {
            let Some((from, shards)) = from else { continue };
            let left = from.leave(shards);
            if let Some(to) = to {
                to.enter(left, (&self.policy, &from.layout), &store.policy, now);
            }
        }
    }
}

impl<C: Clock + Clone> Succeed for MemoryStore<C> {
    fn succeed(&self, policy: Arc<Policy>) -> Arc<Self> {
        Self::succeed(self, policy)
    }
}

fn move_records<C>(records: &mut [MutexGuard<'_, Shard>], store: &mut MemoryStore<C>, there: &Places) {
    let MemoryStore { records: entered, tables, .. } = store;
    entered.enter_all(records, |record: &mut Record| {
        record.limits = there.set(record.limits);
        record.accounts.retain(|account| tables[account.scope.index()].is_some());
    });
}

impl Places {
    fn new(from: &Policy, to: &Policy) -> Self {
        let mut places = [None; Policy::MAX_LIMITS];
        for (index, limit) in from.indexed() {
            let same = to.indexed().find(|(_, other)| continues(other, limit));
            places[index.get()] = same.map(|(index, _)| index);
        }
        Self(places)
    }

    fn set(&self, limits: LimitSet) -> LimitSet {
        let mut set = LimitSet::EMPTY;
        limits.iter().filter_map(|index| self.0[index.get()]).for_each(|index| set.insert(index));
        set
    }

    fn denied(&self, denied: Denied) -> Denied {
        let limit = self.0[denied.limit.get()].expect("only limits that go on were asked");
        Denied { limit, violated: self.set(denied.violated), ..denied }
    }

    /// Only limits that go on were asked, so none is lost.
    fn standing(&self, standing: Standing) -> Option<Standing> {
        Some(Standing { limit: self.0[standing.limit.get()]?, ..standing })
    }

    fn crossings(&self, crossings: &mut Crossings) {
        crossings.retain_mut(|crossing| match self.0[crossing.limit.get()] {
            Some(limit) => {
                crossing.limit = limit;
                true
            }
            None => false,
        });
    }
}

impl<C: Clock> Successor<C> {
    #[cold]
    pub(super) fn admit(&self, command: &Admit<'_>) -> Result<Admitted, Denied> {
        let command = Admit { limits: self.there.set(command.limits), ..*command };
        let mut admitted = self.store.admit_now(&command).map_err(|denied| self.back.denied(denied))?;
        self.translate(&mut admitted.standings);
        self.back.crossings(&mut admitted.crossings);
        Ok(admitted)
    }

    #[cold]
    pub(super) fn give_back(&self, command: &GiveBack<'_>) {
        self.store.give_back_now(&GiveBack { limits: self.there.set(command.limits), ..*command });
    }

    #[cold]
    pub(super) fn hold(
        &self,
        command: &Reserve<'_>,
        standings: &mut Standings,
    ) -> Result<Result<bool, Refused>, StoreError> {
        let command = Reserve { limits: self.there.set(command.limits), ..*command };
        let answer = self.store.hold_now(&command, standings)?;
        self.translate(standings);
        Ok(answer.map_err(|refused| match refused {
            Refused::Denied(denied) => Refused::Denied(self.back.denied(denied)),
            Refused::AlreadySettled => Refused::AlreadySettled,
        }))
    }

    #[cold]
    pub(super) fn extend(&self, command: &Extend) -> Extended {
        match self.store.extend_now(command) {
            Extended::Denied(denied) => Extended::Denied(self.back.denied(denied)),
            answer => answer,
        }
    }

    #[cold]
    pub(super) fn settle(&self, command: &Settle) -> Settled {
        let mut settled = self.store.settle_now(command);
        self.back.crossings(&mut settled.crossings);
        settled
    }

    #[cold]
    pub(super) fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Vec<Standing> {
        let found = self.store.standings_now(scopes, self.there.set(limits));
        let mut found: Vec<_> = found.into_iter().filter_map(|standing| self.back.standing(standing)).collect();
        self.sort(&mut found);
        found
    }

    fn translate(&self, standings: &mut Standings) {
        *standings = standings.drain(..).filter_map(|standing| self.back.standing(standing)).collect();
        self.sort(standings);
    }

    /// In the order of scopes and of the policy of whoever asks.
    fn sort(&self, standings: &mut [Standing]) {
        standings.sort_by_key(|one| (self.policy.limit(one.limit).scope().index(), one.limit));
    }
}
