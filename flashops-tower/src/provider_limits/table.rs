use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flashops_core::clock::{Clock, CoarseClock, Tick};
use flashops_core::key::{Fingerprint, Key, Scope};
use http::{HeaderMap, StatusCode};

use super::load::Load;
use super::parse;
use super::standing::{Short, Standing};

/// The most providers that are remembered; those beyond share one standing, so that the strictest counts for all.
pub const MAX_PROVIDERS: usize = 1_024;

/// What providers said of their limits, for all clients of a process that call them. Clones share it.
pub struct ProviderLimits<C = CoarseClock> {
    table: Arc<Table>,
    clock: Arc<C>,
}

/// The standings, by provider.
#[derive(Default)]
pub(super) struct Table {
    standings: Mutex<HashMap<Fingerprint, Standing>>,
    refused: AtomicU64,
    malformed: AtomicU64,
    overflowed: AtomicU64,
}

/// How much was learned, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderStats {
    /// Providers that are remembered: see [what is one](super#what-is-one-provider).
    pub providers: usize,
    /// Calls that were refused here because their provider would have.
    pub refused: u64,
    /// Headers of limits that could not be understood, and changed nothing.
    pub malformed: u64,
    /// Calls that had to share a standing with other providers, because too many were known.
    pub overflowed: u64,
}

impl<C: Clock> ProviderLimits<C> {
    /// Nothing is known yet.
    pub fn new(clock: C) -> Self {
        Self { table: Arc::default(), clock: Arc::new(clock) }
    }

    /// The numbers so far.
    pub fn stats(&self) -> ProviderStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Table { refused, malformed, overflowed, .. } = &*self.table;
        let providers = self.table.lock().len();
        ProviderStats { providers, refused: load(refused), malformed: load(malformed), overflowed: load(overflowed) }
    }

    pub(super) fn clock(&self) -> &C {
        &self.clock
    }

    /// Counts a call as in flight, if its provider has room.
    pub(super) fn admit(&self, provider: Fingerprint, call: Load) -> Result<Ticket, Short> {
        let now = self.clock.tick();
        let mut standings = self.table.lock();
        let provider = self.table.place(&mut standings, provider, now);
        if let Err(short) = standings.entry(provider).or_default().admit(&call, now) {
            self.table.refused.fetch_add(1, Ordering::Relaxed);
            return Err(short);
        }
        drop(standings);
        Ok(Ticket { table: Arc::clone(&self.table), provider, call, sent: now, stage: Stage::Waiting })
    }
}

impl<C> Clone for ProviderLimits<C> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table), clock: Arc::clone(&self.clock) }
    }
}

impl<C: Clock> fmt::Debug for ProviderLimits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderLimits").field(&self.stats()).finish()
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a provider stands. A new one has a place of its own, if there is one.
    fn place(&self, standings: &mut HashMap<Fingerprint, Standing>, provider: Fingerprint, now: Tick) -> Fingerprint {
        if standings.contains_key(&provider) || standings.len() < MAX_PROVIDERS {
            return provider;
        }
        standings.retain(|_, standing| !standing.is_idle(now));
        if standings.len() < MAX_PROVIDERS {
            return provider;
        }
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        // No provider has an empty name.
        Key::new(Scope::Provider, "").fingerprint()
    }

    fn change(&self, provider: Fingerprint, change: impl FnOnce(&mut Standing)) {
        if let Some(standing) = self.lock().get_mut(&provider) {
            change(standing);
        }
    }
}

/// A call in flight. Dropping it says how it ended.
pub(super) struct Ticket {
    table: Arc<Table>,
    provider: Fingerprint,
    call: Load,
    sent: Tick,
    stage: Stage,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Streaming,
    Over,
}

impl Ticket {
    /// The head of the answer is here.
    pub(super) fn answered(&mut self, headers: &HeaderMap, status: StatusCode, clock: &impl Clock) {
        let now = clock.now();
        let told = parse::read(headers, status, now.unix);
        self.table.malformed.fetch_add(told.malformed, Ordering::Relaxed);
        self.stage = Stage::Streaming;
        let (call, sent) = (self.call, self.sent);
        self.table.change(self.provider, |standing| standing.answered(&call, &told, sent, now.tick));
    }

    /// The call was refused further inside.
    pub(super) fn not_sent(mut self) {
        self.stage = Stage::Over;
        self.table.change(self.provider, |standing| standing.not_sent(&self.call));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let change = match self.stage {
            Stage::Waiting => Standing::unanswered,
            Stage::Streaming => Standing::ended,
            Stage::Over => return,
        };
        self.table.change(self.provider, |standing| change(standing, &self.call));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flashops_core::clock::ManualClock;
    use http::HeaderValue;

    use super::*;

    const ONE: Load = Load::unknown();

    fn provider(number: usize) -> Fingerprint {
        Key::new(Scope::Provider, &number.to_string()).fingerprint()
    }

    fn spent(seconds: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static(seconds))])
    }

    #[test]
    fn a_flood_of_providers_stays_within_the_bound_and_frees_none_that_is_held_back() {
        let clock = ManualClock::new();
        let limits = ProviderLimits::new(clock.clone());
        let most = MAX_PROVIDERS;
        let mut first = limits.admit(provider(0), ONE).unwrap();
        first.answered(&spent("20"), StatusCode::TOO_MANY_REQUESTS, &clock);
        drop(first);
        let tickets: Vec<Ticket> = (1..=most + 10).map(|n| limits.admit(provider(n), ONE).unwrap()).collect();
        assert_eq!(limits.stats().providers, most + 1, "and the one that the last eleven share");
        assert_eq!(limits.stats().overflowed, 11);
        assert!(limits.admit(provider(0), ONE).is_err());
        drop(tickets);
        for n in 0..3 * most {
            assert_eq!(limits.admit(provider(n), ONE).is_err(), n == 0);
            assert!(limits.stats().providers <= most + 1);
        }
        clock.advance(Duration::from_secs(20));
        assert!(limits.admit(provider(0), ONE).is_ok());
    }

    #[test]
    fn every_ending_of_a_call_takes_it_out_of_flight() {
        let clock = ManualClock::new();
        let limits = ProviderLimits::new(clock.clone());
        drop(limits.admit(provider(1), ONE).unwrap());
        limits.admit(provider(1), ONE).unwrap().not_sent();
        let mut answered = limits.admit(provider(1), ONE).unwrap();
        answered.answered(&HeaderMap::new(), StatusCode::OK, &clock);
        drop(answered);
        assert!(limits.table.lock().values_mut().all(|standing| standing.is_idle(clock.tick())));
    }
}
