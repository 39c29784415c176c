use std::ptr;
use std::sync::Arc;

use super::rules::AlertRules;
use super::watch::WatchRule;
use crate::clock::UnixSeconds;
use crate::key::ScopeSet;
use crate::limit::{LimitSet, Policy};
use crate::record::SettledCall;

/// The limits of one policy, as far as they are watched.
#[derive(Debug)]
pub(super) struct Watched {
    policy: Arc<Policy>,
    pub(super) rules: Vec<WatchRule>,
    pub(super) set: LimitSet,
    pub(super) scopes: ScopeSet,
    /// The number of the next rule that is new.
    next: u32,
}

impl Watched {
    pub(super) fn new(policy: Arc<Policy>, rules: &AlertRules, since: UnixSeconds) -> Self {
        Self::after(None, policy, rules, since)
    }

    /// The limits of another policy. One that is the same goes on, with what was told of it.
    pub(super) fn followed_by(&self, policy: Arc<Policy>, rules: &AlertRules, now: UnixSeconds) -> Self {
        Self::after(Some(self), policy, rules, now)
    }

    fn after(before: Option<&Self>, policy: Arc<Policy>, rules: &AlertRules, now: UnixSeconds) -> Self {
        let mut next = before.map_or(0, |before| before.next);
        let mut watched = Vec::new();
        for (index, limit) in policy.indexed() {
            let Some(mut rule) = WatchRule::new(index, limit, rules, (next, now)) else { continue };
            match before.and_then(|before| before.rules.iter().find(|other| other.is_same(&rule))) {
                Some(same) => (rule.number, rule.since) = (same.number, same.since),
                None => next += 1,
            }
            watched.push(rule);
        }
        let mut set = LimitSet::EMPTY;
        watched.iter().for_each(|rule| set.insert(rule.index));
        let scopes = watched.iter().map(|rule| rule.limit.scope()).collect();
        Self { policy, rules: watched, set, scopes, next }
    }

    pub(super) const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The limits that are watched and counted a call, which may have begun under another policy.
    pub(super) fn counted(&self, settled: &SettledCall<'_>) -> LimitSet {
        if ptr::eq(settled.policy, Arc::as_ptr(&self.policy)) {
            return settled.limits.intersection(self.set);
        }
        let mut counted = LimitSet::EMPTY;
        for (_, limit) in settled.policy.indexed().filter(|(index, _)| settled.limits.contains(*index)) {
            let same = self.rules.iter().find(|rule| rule.limit.name() == limit.name());
            same.into_iter().for_each(|rule| counted.insert(rule.index));
        }
        counted
    }

    /// The rule of this number, if there is one still.
    pub(super) fn rule(&self, number: u32) -> Option<&WatchRule> {
        self.rules.iter().find(|rule| rule.number == number)
    }
}
