//! An exact log of what was settled, held against the limits.
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_testkit::audit::WindowAudit;
//!
//! let minute = Window::Sliding(Duration::from_secs(60));
//! let policy = Policy::new(vec![Limit::new("tpm", Scope::Org, Resource::Tokens, 1_000, minute)?])?;
//! let audit = WindowAudit::new(policy);
//! // Give a clone of it to a budget as its recorder, let traffic pass, and then:
//! assert!(audit.findings().iter().all(|finding| finding.over == 0));
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! The audit writes down each settlement with its time, for every sliding limit on tokens or cost and for every key,
//! and recounts the window that ends there. It shares no code with the windows of the library.
//!
//! Edge cases: a settlement belongs to the instant at which it is recorded, a moment after the store counted it. Usage
//! above its reservation can honestly exceed an amount; traffic whose provider keeps to the cap cannot.
//!
//! What this module does not do: look at holds, requests, calendars or lifetimes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flashops_core::clock::Tick;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, LimitIndex, Policy, Resource, Window};
use flashops_core::record::{Event, Recorder, SettledCall};
use flashops_core::units::Cost;

/// The audit; clones share it. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct WindowAudit {
    policy: Arc<Policy>,
    logs: Arc<Mutex<BTreeMap<(LimitIndex, String), Log>>>,
}

/// What was settled for one key under one limit, in the window that ends with the last settlement.
#[derive(Debug, Default)]
struct Log {
    recent: VecDeque<(Tick, u64)>,
    settlements: u64,
    fullest: u128,
    over: u64,
}

/// What the audit found under one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The limit's name.
    pub limit: String,
    /// Its amount.
    pub amount: u64,
    /// How many keys were counted.
    pub keys: usize,
    /// How many settlements.
    pub settlements: u64,
    /// The most that any window of any key held.
    pub fullest: u128,
    /// How many windows held more than the amount.
    pub over: u64,
}

impl WindowAudit {
    /// An audit of a policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy: Arc::new(policy), logs: Arc::default() }
    }

    /// What was found, by limit.
    pub fn findings(&self) -> Vec<Finding> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let audited = self.policy.indexed().filter_map(|(index, limit)| window(limit).map(|_| (index, limit)));
        audited
            .map(|(index, limit)| {
                let of_limit: Vec<&Log> = logs.iter().filter(|((i, _), _)| *i == index).map(|(_, log)| log).collect();
                Finding {
                    limit: limit.name().to_owned(),
                    amount: limit.amount(),
                    keys: of_limit.len(),
                    settlements: of_limit.iter().map(|log| log.settlements).sum(),
                    fullest: of_limit.iter().map(|log| log.fullest).max().unwrap_or(0),
                    over: of_limit.iter().map(|log| log.over).sum(),
                }
            })
            .collect()
    }

    fn settle(&self, settled: &SettledCall<'_>) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        for index in self.policy.limits_on(&settled.call.route, true).iter() {
            let limit = self.policy.limit(index);
            let (Some(window), Some(key)) = (window(limit), key(limit.scope(), settled)) else { continue };
            let log = logs.entry((index, key)).or_default();
            log.add(settled.ended.tick, used(limit.resource(), settled), window, limit.amount());
        }
    }
}

impl Recorder for WindowAudit {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            self.settle(settled);
        }
    }
}

impl Log {
    fn add(&mut self, now: Tick, amount: u64, window: Duration, most: u64) {
        self.recent.push_back((now, amount));
        self.recent.retain(|(at, _)| at.after(window) > now);
        let held: u128 = self.recent.iter().map(|(_, amount)| u128::from(*amount)).sum();
        self.settlements += 1;
        self.fullest = self.fullest.max(held);
        self.over += u64::from(held > u128::from(most));
    }
}

fn window(limit: &Limit) -> Option<Duration> {
    match (limit.window(), limit.resource()) {
        (_, Resource::Requests | Resource::Concurrency) => None,
        (Some(Window::Sliding(window)), _) => Some(*window),
        _ => None,
    }
}

/// What tells the keys of a scope apart.
fn key(scope: Scope, settled: &SettledCall<'_>) -> Option<String> {
    let call = settled.call;
    match scope {
        Scope::User => Some(format!("{:?}", (call.caller.org(), call.caller.user()))),
        Scope::Org => Some(call.caller.org().to_owned()),
        Scope::Ip => call.caller.ip().map(str::to_owned),
        Scope::Route => Some(call.route.to_string()),
        Scope::Model => Some(call.model.to_string()),
        Scope::Provider => None,
        Scope::Global => Some(String::new()),
    }
}

fn used(resource: Resource, settled: &SettledCall<'_>) -> u64 {
    match resource {
        Resource::Tokens => settled.usage.total().get(),
        Resource::InputTokens => settled.usage.total_input().get(),
        Resource::OutputTokens => settled.usage.total_output().get(),
        Resource::Cost => settled.cost.map_or(0, Cost::get),
        Resource::Requests | Resource::Concurrency => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_holds_too_much_is_found_and_one_that_just_does_not_is_not() {
        let (mut log, second) = (Log::default(), |seconds: u64| Tick::from_nanos(seconds * 1_000_000_000));
        log.add(second(0), 600, Duration::from_secs(60), 1_000);
        log.add(second(60), 1_000, Duration::from_secs(60), 1_000);
        assert_eq!((log.fullest, log.over), (1_000, 0), "the first has just left");
        log.add(second(119), 1, Duration::from_secs(60), 1_000);
        assert_eq!((log.fullest, log.over, log.settlements), (1_001, 1, 3));
    }
}
