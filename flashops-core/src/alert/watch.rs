use std::time::Duration;

use super::alert::{AlertKind, Burned};
use super::burn_rate::{Burn, BurnSpan, Burning};
use super::projection::Seen;
use super::rules::{AlertRules, BurnRule, ProjectionRule, Severity};
use crate::account::{Alarm, Once};
use crate::clock::{Moment, UnixSeconds};
use crate::limit::{Limit, LimitIndex, Mode, Resource, Window};
use crate::window::Calendar;
use crate::window::calendar::CalendarUnit;

const DAY: Duration = Duration::from_secs(86_400);

/// How one limit is watched.
#[derive(Debug)]
pub(super) struct WatchRule {
    pub(super) index: LimitIndex,
    /// Tells it apart from every other that there was.
    pub(super) number: u32,
    /// Since when it is watched.
    pub(super) since: UnixSeconds,
    pub(super) limit: Limit,
    projection: Option<(ProjectionRule, Calendar)>,
    burns: Box<[BurnSpan]>,
}

impl WatchRule {
    /// `None` where there is nothing to watch: of limits without a period, of zero, and in shadow, and of those that
    /// count requests which are never settled.
    pub(super) fn new(
        index: LimitIndex,
        limit: &Limit,
        rules: &AlertRules,
        (number, since): (u32, UnixSeconds),
    ) -> Option<Self> {
        let settled = limit.resource() != Resource::Requests || limit.calls_model() == Some(true);
        if limit.amount() == 0 || limit.mode() == Mode::Shadow || !settled {
            return None;
        }
        let (calendar, period) = match limit.window()? {
            Window::Calendar(calendar) => (Some(calendar.clone()), nominal(calendar.unit())),
            Window::Sliding(length) => (None, *length),
            Window::Lifetime => return None,
        };
        let burning = rules.burn_rates.iter().filter(|_| period >= DAY);
        let burns: Box<[_]> = burning.map(|rule| BurnSpan::new(*rule, limit.amount(), period)).collect();
        let projection = rules.projection.zip(calendar);
        let is_watched = projection.is_some() || !burns.is_empty();
        is_watched.then(|| Self { index, number, since, limit: limit.clone(), projection, burns })
    }

    /// Whether it watches the same limit in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let rules = |rule: &Self| rule.burns.iter().map(|span| span.rule).collect::<Vec<_>>();
        let projects = |rule: &Self| rule.projection.as_ref().map(|(rule, _)| *rule);
        self.limit == other.limit && rules(self) == rules(other) && projects(self) == projects(other)
    }
}

/// How long a period is, as far as rates go.
const fn nominal(unit: CalendarUnit) -> Duration {
    match unit {
        CalendarUnit::Hour => Duration::from_secs(3_600),
        CalendarUnit::Day => DAY,
        CalendarUnit::Week => Duration::from_secs(7 * 86_400),
        CalendarUnit::Month => BurnRule::PERIOD,
    }
}

/// What one key used under one limit, and what was told of it.
#[derive(Debug)]
pub(super) struct Watch {
    /// Since when everything was seen.
    born: UnixSeconds,
    start: UnixSeconds,
    end: UnixSeconds,
    /// In the period.
    used: u64,
    projected: Alarm,
    burns: Box<[Burn]>,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: AlertKind,
    pub(super) severity: Severity,
    pub(super) until: UnixSeconds,
}

impl Watch {
    pub(super) fn new(rule: &WatchRule, born: UnixSeconds) -> Self {
        let never = UnixSeconds(i64::MIN);
        let burns = rule.burns.iter().map(|_| Burn::default()).collect();
        Self { born, start: never, end: never, used: 0, projected: Alarm::default(), burns }
    }

    /// Counts an amount, and says what is to be told.
    pub(super) fn count(&mut self, rule: &WatchRule, amount: u64, now: Moment, found: &mut Vec<Found>) {
        if let Some((projection, calendar)) = &rule.projection {
            self.roll(calendar, now.unix);
            self.used = self.used.saturating_add(amount);
            found.extend(self.project(*projection, rule.limit.amount(), now.unix));
        }
        for (burn, span) in self.burns.iter_mut().zip(&rule.burns) {
            if let Some(burning) = burn.count(span, amount, now.tick) {
                found.push(burned(span, burning, rule.limit.amount(), now));
            }
        }
    }

    /// Enters the period of now if the one before has ended. A wall clock that steps back keeps it.
    fn roll(&mut self, calendar: &Calendar, now: UnixSeconds) {
        if now >= self.end {
            let period = calendar.period(now);
            (self.start, self.end, self.used) = (period.start, period.end, 0);
        }
    }

    /// Once a period, and not of what is used up already: that is a threshold.
    fn project(&mut self, rule: ProjectionRule, amount: u64, now: UnixSeconds) -> Option<Found> {
        let seen = Seen { start: self.start, from: self.start.max(self.born), now, end: self.end };
        let projected = seen.projected(self.used, rule.after)?;
        if self.used >= amount || !self.projected.fires(projected, amount, Once::PeriodEnding(self.end)) {
            return None;
        }
        let kind = AlertKind::Projection { used: self.used, projected, amount };
        Some(Found { kind, severity: Severity::Ticket, until: self.end })
    }

    /// Whether forgetting it loses nothing.
    pub(super) fn is_idle(&mut self, rule: &WatchRule, now: Moment) -> bool {
        let over = rule.projection.is_none() || now.unix >= self.end;
        over && self.burns.iter_mut().zip(&rule.burns).all(|(burn, span)| burn.is_idle(span, now))
    }
}

fn burned(span: &BurnSpan, burning: Burning, amount: u64, now: Moment) -> Found {
    let (slow, fast) = (span.slow, span.fast);
    let kind = AlertKind::BurnRate {
        factor: span.rule.factor,
        slow: Burned { window: slow.window, rate: slow.rate(burning.slow) },
        fast: Burned { window: fast.window, rate: fast.rate(burning.fast) },
        amount,
    };
    Found { kind, severity: span.rule.severity, until: later(now.unix, slow.window) }
}

/// An instant so much later, in whole seconds.
pub(super) fn later(at: UnixSeconds, by: Duration) -> UnixSeconds {
    UnixSeconds(at.0.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
}
