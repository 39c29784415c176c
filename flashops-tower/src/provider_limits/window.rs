use std::time::Duration;

use arrayvec::ArrayVec;
use flashops_core::clock::Tick;
use flashops_core::limit::Resource;

use super::load::Load;
use super::standing::{InFlight, Short};
use super::told::{LimitId, MAX_WAIT, Said};

/// By how much the reset that a provider names may be rounded up.
const ROUNDING: Duration = Duration::from_secs(1);

/// The wait where only calls in flight are in the way: their answers may tell of room.
const SOON: Duration = Duration::from_secs(1);

/// The most statements on one limit that are kept apart. Beyond, two become one that is as strict as both.
const MAX_STATEMENTS: usize = 4;

/// One limit of a provider, as far as it said how that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    id: LimitId,
    resource: Resource,
    limit: Option<u64>,
    late_output: bool,
    /// Each is believed until its reset. They are in the order of these, and of what remains: the first says that least
    /// remains, and one that follows from a later one is not kept.
    said: ArrayVec<Statement, MAX_STATEMENTS>,
}

/// So much remains until a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statement {
    remaining: u64,
    /// The reset is not before this instant.
    from: Tick,
    /// And not after this one.
    until: Tick,
}

impl Window {
    /// A limit of which a response tells, to a request that was sent and answered then.
    pub(super) fn new(said: &Said, sent: Tick, now: Tick) -> Self {
        let Said { id, resource, limit, late_output, .. } = *said;
        Self { id, resource, limit, late_output, said: ArrayVec::from_iter([Statement::new(said, sent, now)]) }
    }

    pub(super) const fn id(&self) -> LimitId {
        self.id
    }

    /// Forgets what has reset; `false` if nothing is left.
    pub(super) fn is_left(&mut self, now: Tick) -> bool {
        self.said.retain(|said| said.until > now);
        !self.said.is_empty()
    }

    /// Takes what another response says, in whatever order they came.
    ///
    /// A provider never moves a reset back: the end of a fixed window is later with the next window, and a bucket is
    /// full later with every call. So of two resets that are certainly apart, the later one was said later and replaces
    /// the other. Where they may be the same, both hold until they have passed.
    pub(super) fn learn(&mut self, said: &Said, sent: Tick, now: Tick) {
        let new = Statement::new(said, sent, now);
        self.limit = said.limit.or(self.limit);
        if self.said.iter().any(|old| new.until < old.from || old.is_stricter(&new)) {
            return;
        }
        self.said.retain(|old| old.until >= new.from && !new.is_stricter(old));
        let place = self.said.iter().position(|old| old.until >= new.until);
        match (place, self.said.is_full()) {
            (_, false) => self.said.insert(place.unwrap_or(self.said.len()), new),
            (Some(place), true) => self.said[place].remaining = new.remaining,
            (None, true) => self.said[MAX_STATEMENTS - 1].until = new.until,
        }
    }

    /// The provider counted this, and did not say so.
    pub(super) fn charge(&mut self, call: &Load) {
        for said in &mut self.said {
            let left = u128::from(said.remaining).saturating_sub(call.of(self.resource));
            said.remaining = u64::try_from(left).unwrap_or(u64::MAX);
        }
    }

    /// The provider says itself when to come back.
    pub(super) fn ends_by(&mut self, instant: Tick) {
        for said in &mut self.said {
            said.until = said.until.min(instant);
            said.from = said.from.min(instant);
        }
    }

    /// What is missing for a call, and for how long; nothing if it fits beside those in flight.
    ///
    /// A call asks for no more than the whole limit: an estimate above it would never fit.
    pub(super) fn short(&self, call: &Load, flying: &InFlight, now: Tick) -> Option<Short> {
        let asked = call.of(self.resource).min(u128::from(self.limit.unwrap_or(u64::MAX)));
        let remaining = u128::from(self.said.first()?.remaining);
        let left = remaining.saturating_sub(flying.load(self.resource, self.late_output));
        if asked <= left {
            return None;
        }
        let too_little = self.said.iter().take_while(|said| u128::from(said.remaining) < asked);
        let wait = match too_little.last() {
            Some(last) => last.until.since(now),
            None => SOON,
        };
        let number = |amount| u64::try_from(amount).unwrap_or(u64::MAX);
        Some(Short { resource: Some(self.resource), asked: number(asked), remaining: number(left), wait })
    }
}

impl Statement {
    fn new(said: &Said, sent: Tick, now: Tick) -> Self {
        let reset = said.reset.min(MAX_WAIT);
        let (from, until) = (sent.after(reset.saturating_sub(ROUNDING)), now.after(reset));
        Self { remaining: said.remaining, from: from.min(until), until }
    }

    /// Whether no less follows from this one than from the other.
    fn is_stricter(&self, other: &Self) -> bool {
        self.until >= other.until && self.remaining <= other.remaining
    }
}
