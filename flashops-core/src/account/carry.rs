//! What an account of one layout is under another.

use super::{Account, Alarm, Layout, Rule, Shape, Timing};
use crate::clock::Moment;
use crate::limit::{Limit, Policy};

/// Which limits of one layout go on in another, and how.
///
/// A limit goes on in the one of its name, its scope and its resource. Where the two count over time alike, nothing
/// changes but the amount. Else what is used counts anew from now on, for the whole of the new window: too long rather
/// than too short.
pub(crate) struct Succession<'a> {
    from: &'a Layout,
    to: &'a Layout,
    /// For each rule of the new layout, the place of the one that it continues.
    places: Box<[Option<usize>]>,
    whole: bool,
}

impl<'a> Succession<'a> {
    /// From the layout of one policy to that of another, for the same scope.
    pub(crate) fn new((old, from): (&Policy, &'a Layout), (new, to): (&Policy, &'a Layout)) -> Self {
        let goes_on = |rule: &Rule| {
            let limit = new.limit(rule.index);
            from.rules.iter().position(|before| continues(limit, old.limit(before.index)))
        };
        let places: Box<[_]> = to.rules.iter().map(goes_on).collect();
        let whole = is_whole(from, to, &places);
        Self { from, to, places, whole }
    }

    /// Whether an account stays as it is.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The account under the new layout.
    pub(crate) fn carry(&self, old: &mut Account, now: Moment) -> Account {
        let mut account = Account::new(self.to);
        if let (Account::Log(log), Account::Log(new)) = (&*old, &mut account)
            && let (Shape::Log(before), Shape::Log(span)) = (&self.from.shape, &self.to.shape)
            && self.places.iter().any(Option::is_some)
        {
            log.replay(*before, |tick| new.add(*span, 1, tick));
            return account;
        }
        for (place, from) in self.places.iter().enumerate() {
            if let Some(from) = *from {
                self.carry_limit((old, from), (&mut account, place), now);
            }
        }
        account
    }

    fn carry_limit(&self, (old, from): (&mut Account, usize), (account, place): (&mut Account, usize), now: Moment) {
        let (before, rule) = (&self.from.rules[from], &self.to.rules[place]);
        if let (Account::Log(log), Timing::Log { span, .. }) = (&*old, &before.timing)
            && !matches!(account, Account::Log(_))
            && rule.timing.is_sliding()
        {
            log.replay(*span, |tick| account.count_again(self.to, place, 1, Moment { tick, ..Moment::default() }));
            return;
        }
        if let (Some(old), Some(new)) = (old.cells(), account.cells())
            && let Some(cell) = old.cells[from].under(before, rule)
        {
            new.cells[place] = cell;
            carry_alarms((before, old.alarms), (rule, new.alarms));
            return;
        }
        let (used, held) = (old.used(from, before, now), old.held(from));
        account.count_again(self.to, place, used, now);
        if let Some(all) = account.cells() {
            all.cells[place].held = held;
        }
    }
}

/// Whether a limit is what another was before.
pub(crate) fn continues(limit: &Limit, before: &Limit) -> bool {
    (limit.name(), limit.scope(), limit.resource()) == (before.name(), before.scope(), before.resource())
}

fn is_whole(from: &Layout, to: &Layout, places: &[Option<usize>]) -> bool {
    let same_shape = match (&from.shape, &to.shape) {
        (Shape::Log(a), Shape::Log(b)) => a == b,
        (Shape::Pair(_), Shape::Pair(_)) | (Shape::One, Shape::One) | (Shape::Cells, Shape::Cells) => true,
        _ => false,
    };
    let same = |(place, from_place): (usize, &Option<usize>)| {
        let (before, rule) = (&from.rules[place], &to.rules[place]);
        *from_place == Some(place) && before.timing == rule.timing && before.thresholds == rule.thresholds
    };
    same_shape && from.rules.len() == to.rules.len() && places.iter().enumerate().all(same)
}

/// What fired before does not fire again.
fn carry_alarms((before, fired): (&Rule, &mut [Alarm]), (rule, alarms): (&Rule, &mut [Alarm])) {
    let fired = before.alarms(fired);
    for (alarm, threshold) in rule.alarms(alarms).iter_mut().zip(&rule.thresholds) {
        if let Some(place) = before.thresholds.iter().position(|one| one == threshold) {
            *alarm = fired[place];
        }
    }
}

impl Account {
    /// Counts in an account that is new what was counted before, whether or not it fits.
    fn count_again(&mut self, layout: &Layout, place: usize, amount: u64, at: Moment) {
        match (&mut *self, &layout.shape) {
            (Self::Log(log), Shape::Log(span)) => {
                // The limits share the log, so what one of them has counted is not counted again.
                let counted = log.used(*span, span.longest(), at.tick);
                log.add(*span, amount.saturating_sub(counted), at.tick);
            }
            (Self::Pair(pair), Shape::Pair(rules)) => {
                pair.used(place, rules[place].span, at);
                pair.heads[place].add(amount);
            }
            _ => {
                if let Some(all) = self.cells() {
                    all.cells[place].add(&layout.rules[place], amount, at);
                }
            }
        }
    }
}
