use super::layout::{Rule, Timing};
use crate::clock::{Moment, Tick, UnixSeconds};
use crate::limit::Retry;
use crate::window::{Approximate, CalendarState, ExactLog, Gcra, Ring};

/// The state of one limit for one key, without its alarms, which few limits have.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) held: u64,
    count: Count,
}

#[derive(Clone, Debug)]
enum Count {
    Approximate(Approximate),
    Calendar(CalendarState),
    Gcra(Gcra),
    Held,
    Lifetime(u64),
    Log(ExactLog),
    Ring(Ring),
}

/// Small enough to stand in the entry of its key.
const _: () = assert!(size_of::<Cell>() == 48);

/// A state and a timing come from the same layout, so they are of the same kind.
const SAME_KIND: &str = "an account is read with the layout that made it";

impl Cell {
    pub(crate) fn new(rule: &Rule) -> Self {
        let count = match &rule.timing {
            Timing::Approximate(_) => Count::Approximate(Approximate::default()),
            Timing::Calendar { .. } => Count::Calendar(CalendarState::default()),
            Timing::Gcra(_) => Count::Gcra(Gcra::default()),
            Timing::Held => Count::Held,
            Timing::Lifetime => Count::Lifetime(0),
            Timing::Log { .. } => Count::Log(ExactLog::default()),
            Timing::Ring(_) => Count::Ring(Ring::default()),
        };
        Self { held: 0, count }
    }

    /// The cell of another rule that goes on where this one is, if that can be known exactly.
    pub(crate) fn under(&self, before: &Rule, rule: &Rule) -> Option<Self> {
        if before.timing == rule.timing {
            return Some(self.clone());
        }
        let (Count::Log(log), Timing::Log { span, .. }) = (&self.count, &before.timing) else { return None };
        if !rule.timing.is_sliding() {
            return None;
        }
        let mut cell = Self { held: self.held, ..Self::new(rule) };
        log.replay(*span, |tick| cell.add(rule, 1, Moment { tick, ..Moment::default() }));
        Some(cell)
    }

    /// What is used in the window that ends now, holds not included.
    #[inline]
    pub(crate) fn used(&mut self, rule: &Rule, now: Moment) -> u64 {
        if let (Count::Ring(ring), Timing::Ring(span)) = (&mut self.count, &rule.timing) {
            return ring.used(*span, now.tick);
        }
        self.used_otherwise(rule, now)
    }

    fn used_otherwise(&mut self, rule: &Rule, now: Moment) -> u64 {
        match (&mut self.count, &rule.timing) {
            (Count::Ring(ring), Timing::Ring(span)) => ring.used(*span, now.tick),
            (Count::Log(log), Timing::Log { span, window }) => log.used(*span, *window, now.tick),
            (Count::Lifetime(used), _) => *used,
            (Count::Held, _) => 0,
            (Count::Calendar(state), Timing::Calendar { calendar, carry }) => {
                state.roll(calendar, *carry, rule.amount, now.unix);
                state.used()
            }
            (Count::Approximate(state), Timing::Approximate(span)) => state.used(span, now.tick),
            (Count::Gcra(state), Timing::Gcra(span)) => state.used(span, now.tick),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Counts an amount in the current window or period.
    #[inline]
    pub(crate) fn add(&mut self, rule: &Rule, amount: u64, now: Moment) {
        match (&mut self.count, &rule.timing) {
            (Count::Ring(ring), Timing::Ring(span)) => ring.add(*span, amount, now.tick),
            _ => self.add_otherwise(rule, amount, now),
        }
    }

    fn add_otherwise(&mut self, rule: &Rule, amount: u64, now: Moment) {
        match (&mut self.count, &rule.timing) {
            (Count::Ring(ring), Timing::Ring(span)) => ring.add(*span, amount, now.tick),
            (Count::Log(log), Timing::Log { span, .. }) => log.add(*span, amount, now.tick),
            (Count::Lifetime(used), _) => *used = used.saturating_add(amount),
            (Count::Held, _) => {}
            (Count::Calendar(state), Timing::Calendar { calendar, carry }) => {
                state.roll(calendar, *carry, rule.amount, now.unix);
                state.add(amount);
            }
            (Count::Approximate(state), Timing::Approximate(span)) => state.add(span, amount, now.tick),
            (Count::Gcra(state), Timing::Gcra(span)) => state.add(span, amount, now.tick),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// Gives back an amount that was counted at an earlier moment, in the window or period in which it was counted
    /// and in no other.
    pub(crate) fn remove(&mut self, rule: &Rule, amount: u64, at: Moment, now: Moment) {
        match (&mut self.count, &rule.timing) {
            (Count::Ring(ring), Timing::Ring(span)) => ring.remove(*span, amount, at.tick),
            (Count::Log(log), Timing::Log { span, .. }) => log.remove(*span, amount, at.tick),
            (Count::Lifetime(used), _) => *used = used.saturating_sub(amount),
            (Count::Held, _) => {}
            (Count::Calendar(state), Timing::Calendar { calendar, carry }) => {
                state.roll(calendar, *carry, rule.amount, now.unix);
                state.remove(calendar, amount, at.unix);
            }
            (Count::Approximate(state), Timing::Approximate(span)) => state.remove(span, amount, at.tick, now.tick),
            (Count::Gcra(state), Timing::Gcra(span)) => state.remove(span, amount, at.tick, now.tick),
            _ => unreachable!("{SAME_KIND}"),
        }
    }

    /// When at most `room` is used. Zero if that is now.
    pub(crate) fn down_to(&mut self, rule: &Rule, room: u64, now: Moment) -> Retry {
        let sliding = |then: Option<Tick>| then.expect("what is in a sliding window leaves it");
        let tick = match (&mut self.count, &rule.timing) {
            (Count::Ring(ring), Timing::Ring(span)) => ring.down_to(*span, room, now.tick),
            (Count::Log(log), Timing::Log { span, window }) => log.down_to(*span, *window, room, now.tick),
            (Count::Approximate(state), Timing::Approximate(span)) => sliding(state.fits_at(span, room, now.tick)),
            (Count::Gcra(state), Timing::Gcra(span)) => sliding(state.fits_at(span, room, now.tick)),
            (Count::Calendar(state), Timing::Calendar { calendar, carry }) => {
                let then = state.fits_at(calendar, *carry, rule.amount, room, now.unix);
                return then.map_or(Retry::Never, |then| Retry::After(then.since(now.unix)));
            }
            (Count::Lifetime(used), _) if *used > room => return Retry::Never,
            (Count::Lifetime(_) | Count::Held, _) => now.tick,
            _ => unreachable!("{SAME_KIND}"),
        };
        Retry::After(tick.since(now.tick))
    }

    /// Whether nothing is used or held, so that a new cell would decide alike.
    pub(crate) fn is_idle(&mut self, rule: &Rule, now: Moment) -> bool {
        self.held == 0
            && match (&self.count, &rule.timing) {
                (Count::Approximate(state), Timing::Approximate(span)) => state.is_idle(span, now.tick),
                (Count::Calendar(state), Timing::Calendar { calendar, carry }) => {
                    state.is_idle(calendar, *carry, rule.amount, now.unix)
                }
                (Count::Gcra(state), Timing::Gcra(span)) => state.is_idle(span, now.tick),
                _ => self.used(rule, now) == 0,
            }
    }

    /// The end of the current calendar period.
    pub(crate) fn period(&self) -> Option<UnixSeconds> {
        match &self.count {
            Count::Calendar(state) => Some(state.period_end()),
            _ => None,
        }
    }

    /// The tick of now if this cell counts in a sliding window.
    pub(crate) fn sliding(&self, now: Moment) -> Option<Tick> {
        matches!(self.count, Count::Approximate(_) | Count::Gcra(_) | Count::Log(_) | Count::Ring(_))
            .then_some(now.tick)
    }
}
