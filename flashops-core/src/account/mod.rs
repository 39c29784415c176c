//! The arithmetic of one key: what is used and held under each of its limits.
//!
//! ```
//! use flashops_core::budget::Budget;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::key::{Key, Scope, Scopes};
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::units::{Amounts, Tokens};
//!
//! let limit = Limit::new("grant", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime)?;
//! let budget = Budget::in_memory(Policy::new(vec![limit])?, ManualClock::new());
//! let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
//! let hold = Amounts { output: Tokens::saturating(800), ..Amounts::ONE_REQUEST };
//! let all = budget.policy().select(|_| true);
//!
//! let guard = budget.try_reserve(&scopes, all, hold, Amounts::ZERO).expect("800 of 1000 fit");
//! assert!(budget.try_reserve(&scopes, all, hold, Amounts::ZERO).is_err(), "1600 do not");
//! guard.settle(Amounts { output: Tokens::saturating(150), ..Amounts::ONE_REQUEST });
//! assert!(budget.try_reserve(&scopes, all, hold, Amounts::ZERO).is_ok(), "150 + 800 fit");
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! Every function is pure: of the state, the limits, the time and its arguments. One account holds all limits of one
//! key, so that a decision over several windows and resources is one look at one place.
//!
//! Edge cases: what is asked of a resource in the amount of zero is not checked against it, even when it is in debt.
//! Limits that do not enforce are counted and held like others and never refuse. A refusal changes nothing.
//!
//! What this module does not do: find accounts, lock them, or remember reservations. A store does.

mod alarm;
mod carry;
mod cell;
mod layout;

use std::time::Duration;

pub(crate) use alarm::{Alarm, Once};
pub(crate) use carry::{Succession, continues};
use cell::Cell;
use layout::PairRules;
pub(crate) use layout::{Layout, Rule, Shape, Timing};

use crate::clock::Moment;
use crate::limit::{Denied, LimitSet, Resource, Retry};
use crate::store::{Crossing, Crossings, Standing};
use crate::units::Amounts;
use crate::window::{ExactLog, Head, RingSpan, SLOTS};

/// The state of one key under all limits of its scope.
#[derive(Clone, Debug)]
pub(crate) enum Account {
    Log(ExactLog),
    Pair(Pair),
    One(Cell),
    Cells { cells: Box<[Cell]>, alarms: Box<[Alarm]> },
}

/// The cells of an account, with their alarms.
struct Cells<'a> {
    cells: &'a mut [Cell],
    alarms: &'a mut [Alarm],
}

impl Cells<'_> {
    #[inline]
    fn add(&mut self, place: usize, rule: &Rule, amount: u64, now: Moment) {
        if !rule.thresholds.is_empty() {
            self.rearm(place, rule, now);
        }
        self.cells[place].add(rule, amount, now);
    }

    /// Between two additions usage only goes down, so nobody else needs to look how low it was.
    fn rearm(&mut self, place: usize, rule: &Rule, now: Moment) {
        let used = self.cells[place].used(rule, now);
        for (alarm, &threshold) in rule.alarms(self.alarms).iter_mut().zip(&rule.thresholds) {
            alarm.rearm(used, rule.level(threshold));
        }
    }
}

/// The rings of one or two limits on requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pair {
    heads: [Head<u32>; 2],
    slots: Option<Box<[u32; 2 * SLOTS]>>,
}

impl Pair {
    #[inline]
    fn used(&mut self, place: usize, span: RingSpan, now: Moment) -> u64 {
        let slots = &mut self.slots;
        self.heads[place].used(span, now.tick, |wanted| {
            if wanted && slots.is_none() {
                *slots = Some(Box::new([0; 2 * SLOTS]));
            }
            slots.as_deref_mut().map_or(&mut [][..], |all| part_mut(all, place))
        })
    }

    #[inline]
    fn fits(&mut self, rules: &PairRules, set: LimitSet, requests: u64, now: Moment) -> bool {
        for (place, rule) in rules.iter().enumerate() {
            if rule.is_in(set) && requests > 0 {
                let used = self.used(place, rule.span, now);
                if used.saturating_add(requests) > rule.amount {
                    return false;
                }
            }
        }
        true
    }

    /// Counts requests in the buckets that the last look moved to.
    #[inline]
    fn add(&mut self, rules: &PairRules, set: LimitSet, requests: u64) {
        for (place, rule) in rules.iter().enumerate() {
            if rule.is_in(set) {
                self.heads[place].add(requests);
            }
        }
    }
}

fn part_mut(slots: &mut [u32; 2 * SLOTS], place: usize) -> &mut [u32] {
    &mut slots[place * SLOTS..][..SLOTS]
}

impl Account {
    /// An account that nothing was counted in.
    pub(crate) fn new(layout: &Layout) -> Self {
        match layout.shape {
            Shape::Log(_) => Self::Log(ExactLog::default()),
            Shape::Pair(_) => Self::Pair(Pair::default()),
            Shape::One => Self::One(Cell::new(&layout.rules[0])),
            Shape::Cells => Self::Cells {
                cells: layout.rules.iter().map(Cell::new).collect(),
                alarms: vec![Alarm::default(); layout.alarms].into(),
            },
        }
    }

    #[inline]
    fn cells(&mut self) -> Option<Cells<'_>> {
        match self {
            Self::One(cell) => Some(Cells { cells: std::slice::from_mut(cell), alarms: &mut [] }),
            Self::Cells { cells, alarms } => Some(Cells { cells, alarms }),
            Self::Log(_) | Self::Pair(_) => None,
        }
    }

    /// Whether the amounts fit all enforced limits of the set.
    #[inline]
    pub(crate) fn fits(&mut self, layout: &Layout, set: LimitSet, asked: &Amounts, now: Moment) -> bool {
        if let (Self::Pair(pair), Shape::Pair(rules)) = (&mut *self, &layout.shape) {
            return pair.fits(rules, set, asked.requests, now);
        }
        if let Some(Cells { cells, .. }) = self.cells() {
            return layout.rules_in(set).all(|(place, rule)| {
                let (amount, cell) = (rule.resource.of(asked), &mut cells[place]);
                !rule.enforced
                    || amount == 0
                    || cell.used(rule, now).saturating_add(cell.held).saturating_add(amount) <= rule.amount
            });
        }
        layout.rules_in(set).all(|(place, rule)| !rule.enforced || self.fits_one(place, rule, asked, now))
    }

    #[inline]
    fn fits_one(&mut self, place: usize, rule: &Rule, asked: &Amounts, now: Moment) -> bool {
        let amount = rule.resource.of(asked);
        if amount == 0 {
            return true;
        }
        match (self, &rule.timing) {
            (Self::Log(log), Timing::Log { span, window }) => log.fits(*span, *window, rule.amount, amount, now.tick),
            (account, _) => {
                let taken = account.used(place, rule, now).saturating_add(account.held(place));
                taken.saturating_add(amount) <= rule.amount
            }
        }
    }

    /// Adds to a refusal each limit of the set that has no room for the amounts.
    #[cold]
    pub(crate) fn explain(
        &mut self,
        layout: &Layout,
        set: LimitSet,
        asked: &Amounts,
        now: Moment,
        denied: &mut Option<Denied>,
    ) {
        for (place, rule) in layout.rules_in(set) {
            if !rule.enforced || self.fits_one(place, rule, asked, now) {
                continue;
            }
            let amount = rule.resource.of(asked);
            let taken = self.used(place, rule, now).saturating_add(self.held(place));
            let this = Denied {
                limit: rule.index,
                violated: LimitSet::EMPTY,
                asked: amount,
                remaining: rule.amount.saturating_sub(taken),
                retry: self.retry(place, rule, amount, now),
            };
            let worst = denied.get_or_insert(this);
            let violated = worst.violated;
            if this.retry > worst.retry {
                *worst = this;
            }
            worst.violated = violated;
            worst.violated.insert(rule.index);
        }
    }

    fn retry(&mut self, place: usize, rule: &Rule, amount: u64, now: Moment) -> Retry {
        let Some(spare) = rule.amount.checked_sub(amount) else { return Retry::Never };
        let without_holds = self.down_to(place, rule, spare, now);
        let Some(room) = spare.checked_sub(self.held(place)) else { return without_holds.max(Retry::WHILE_HELD) };
        match self.down_to(place, rule, room, now) {
            // What never goes down would never have room beside the holds; but holds end.
            Retry::Never => without_holds.max(Retry::WHILE_HELD),
            retry => retry,
        }
    }

    /// Counts requests if they fit all enforced limits of the set.
    #[inline]
    pub(crate) fn count(&mut self, layout: &Layout, set: LimitSet, requests: u64, now: Moment) -> bool {
        if let (Self::Pair(pair), Shape::Pair(rules)) = (&mut *self, &layout.shape) {
            let fits = pair.fits(rules, set, requests, now);
            if fits {
                pair.add(rules, set, requests);
            }
            return fits;
        }
        let asked = Amounts { requests, ..Amounts::ZERO };
        let fits = self.fits(layout, set, &asked, now);
        if fits {
            self.hold(layout, set, &asked, now);
        }
        fits
    }

    /// Counts the request and holds the rest of the amounts under every limit of the set.
    #[inline]
    pub(crate) fn hold(&mut self, layout: &Layout, set: LimitSet, amounts: &Amounts, now: Moment) {
        match self {
            Self::Log(log) => {
                if let Shape::Log(span) = layout.shape
                    && !layout.set.intersection(set).is_empty()
                {
                    log.add(span, amounts.requests, now.tick);
                }
            }
            Self::Pair(pair) => {
                if let Shape::Pair(rules) = &layout.shape {
                    for (place, rule) in rules.iter().enumerate() {
                        pair.used(place, rule.span, now);
                    }
                    pair.add(rules, set, amounts.requests);
                }
            }
            Self::One(_) | Self::Cells { .. } => self.hold_in_cells(layout, set, amounts, now),
        }
    }

    #[inline]
    fn hold_in_cells(&mut self, layout: &Layout, set: LimitSet, amounts: &Amounts, now: Moment) {
        let Some(mut all) = self.cells() else { return };
        for (place, rule) in layout.rules_in(set) {
            let amount = rule.resource.of(amounts);
            match rule.resource {
                Resource::Requests => all.add(place, rule, amount, now),
                _ => all.cells[place].held = all.cells[place].held.saturating_add(amount),
            }
        }
    }

    /// Holds more tokens and money for a request that holds some already.
    pub(crate) fn top_up(&mut self, layout: &Layout, set: LimitSet, more: &Amounts) {
        let Some(Cells { cells, .. }) = self.cells() else { return };
        for (place, rule) in layout.rules_in(set) {
            if !matches!(rule.resource, Resource::Requests | Resource::Concurrency) {
                cells[place].held = cells[place].held.saturating_add(rule.resource.of(more));
            }
        }
    }

    /// Releases what was held and counts what was used. A request that used none (`used.requests` is 0) is given back.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        layout: &Layout,
        set: LimitSet,
        held: &Amounts,
        used: &Amounts,
        at: Moment,
        now: Moment,
    ) {
        if used.requests == 0 {
            self.give_back(layout, set, held.requests, at, now);
        }
        let Some(mut all) = self.cells() else { return };
        for (place, rule) in layout.rules_in(set) {
            let cell = &mut all.cells[place];
            match rule.resource {
                Resource::Requests => {}
                Resource::Concurrency => cell.held = cell.held.saturating_sub(1),
                resource => {
                    cell.held = cell.held.saturating_sub(resource.of(held));
                    all.add(place, rule, resource.of(used), now);
                }
            }
        }
    }

    /// Puts what was used in place of what was charged when the hold expired.
    pub(crate) fn correct(
        &mut self,
        layout: &Layout,
        set: LimitSet,
        (charged, charged_at): (&Amounts, Moment),
        used: &Amounts,
        admitted: Moment,
        now: Moment,
    ) {
        if used.requests == 0 && charged.requests > 0 {
            self.give_back(layout, set, charged.requests, admitted, now);
        }
        let Some(mut all) = self.cells() else { return };
        for (place, rule) in layout.rules_in(set) {
            if matches!(rule.resource, Resource::Requests | Resource::Concurrency) {
                continue;
            }
            let (before, after) = (rule.resource.of(charged), rule.resource.of(used));
            match after.checked_sub(before) {
                Some(more) => all.add(place, rule, more, now),
                None => all.cells[place].remove(rule, before - after, charged_at, now),
            }
        }
    }

    /// Gives back requests that were counted at an earlier moment.
    pub(crate) fn give_back(&mut self, layout: &Layout, set: LimitSet, requests: u64, at: Moment, now: Moment) {
        match self {
            Self::Log(log) => {
                if let Shape::Log(span) = layout.shape
                    && !layout.set.intersection(set).is_empty()
                {
                    log.remove(span, requests, at.tick);
                }
            }
            Self::Pair(pair) => {
                let Shape::Pair(rules) = &layout.shape else { return };
                for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.is_in(set)) {
                    pair.used(place, rule.span, now);
                    let slots = pair.slots.as_deref_mut().map_or(&mut [][..], |all| part_mut(all, place));
                    pair.heads[place].remove(rule.span, requests, at.tick, slots);
                }
            }
            Self::One(_) | Self::Cells { .. } => {
                let Some(Cells { cells, .. }) = self.cells() else { return };
                for (place, rule) in layout.rules_in(set).filter(|(_, rule)| rule.resource == Resource::Requests) {
                    cells[place].remove(rule, requests, at, now);
                }
            }
        }
    }

    /// The thresholds that settled usage has come up to since the last call.
    pub(crate) fn crossings(&mut self, layout: &Layout, set: LimitSet, now: Moment, found: &mut Crossings) {
        let Self::Cells { cells, alarms } = self else { return };
        if alarms.is_empty() {
            return;
        }
        for (place, rule) in layout.rules_in(set) {
            let cell = &mut cells[place];
            let used = cell.used(rule, now);
            let once = match (cell.sliding(now), cell.period()) {
                (Some(tick), _) => Once::Sliding { window: rule.window, now: tick },
                (None, Some(end)) => Once::PeriodEnding(end),
                (None, None) => Once::Ever,
            };
            for (alarm, &threshold) in rule.alarms(alarms).iter_mut().zip(&rule.thresholds) {
                if alarm.fires(used, rule.level(threshold), once) {
                    found.push(Crossing { limit: rule.index, threshold, used });
                }
            }
        }
    }

    /// How each limit of the set stands.
    pub(crate) fn standings(&mut self, layout: &Layout, set: LimitSet, now: Moment, mut found: impl FnMut(Standing)) {
        for (place, rule) in layout.rules_in(set) {
            let used = self.used(place, rule, now);
            let reset = match (&rule.timing, used) {
                (Timing::Held | Timing::Lifetime, _) => None,
                (_, 0) => Some(Duration::ZERO),
                (Timing::Calendar { .. }, _) => match &*self {
                    Self::One(cell) => cell.period().map(|end| end.since(now.unix)),
                    Self::Cells { cells, .. } => cells[place].period().map(|end| end.since(now.unix)),
                    Self::Log(_) | Self::Pair(_) => None,
                },
                _ => match self.down_to(place, rule, used - 1, now) {
                    Retry::After(wait) => Some(wait),
                    Retry::Never => None,
                },
            };
            found(Standing { limit: rule.index, used, held: self.held(place), amount: rule.amount, reset });
        }
    }

    /// Whether a new account would decide alike, so that this one can be dropped.
    pub(crate) fn is_idle(&mut self, layout: &Layout, now: Moment) -> bool {
        match self {
            Self::One(cell) => cell.is_idle(&layout.rules[0], now),
            Self::Cells { cells, alarms } => cells.iter_mut().zip(&layout.rules).all(|(cell, rule)| {
                cell.is_idle(rule, now) && !rule.alarms(alarms).iter().any(|alarm| alarm.is_spent(rule.window, now))
            }),
            _ => (0..layout.rules.len()).all(|place| self.used(place, &layout.rules[place], now) == 0),
        }
    }

    #[inline]
    fn used(&mut self, place: usize, rule: &Rule, now: Moment) -> u64 {
        match self {
            Self::Pair(pair) => match &rule.timing {
                Timing::Ring(span) => pair.used(place, *span, now),
                _ => 0,
            },
            Self::One(cell) => cell.used(rule, now),
            Self::Cells { cells, .. } => cells[place].used(rule, now),
            Self::Log(log) => match &rule.timing {
                Timing::Log { span, window } => log.used(*span, *window, now.tick),
                _ => 0,
            },
        }
    }

    #[inline]
    fn held(&self, place: usize) -> u64 {
        match self {
            Self::One(cell) => cell.held,
            Self::Cells { cells, .. } => cells[place].held,
            Self::Log(_) | Self::Pair(_) => 0,
        }
    }

    fn down_to(&mut self, place: usize, rule: &Rule, room: u64, now: Moment) -> Retry {
        match (self, &rule.timing) {
            (Self::One(cell), _) => cell.down_to(rule, room, now),
            (Self::Cells { cells, .. }, _) => cells[place].down_to(rule, room, now),
            (Self::Log(log), Timing::Log { span, window }) => {
                Retry::After(log.down_to(*span, *window, room, now.tick).since(now.tick))
            }
            (Self::Pair(pair), Timing::Ring(span)) => {
                pair.used(place, *span, now);
                let slots = pair.slots.as_deref().map_or(&[][..], |all| &all[place * SLOTS..][..SLOTS]);
                Retry::After(pair.heads[place].down_to(*span, room, now.tick, slots).since(now.tick))
            }
            _ => Retry::After(Duration::ZERO),
        }
    }
}
