use std::collections::HashSet;

use super::alert::AlertKind;
use super::projection::Seen;
use super::rules::{MonthRule, Severity};
use super::watch::Found;
use crate::account::{Alarm, Once};
use crate::clock::UnixSeconds;
use crate::key::Fingerprint;
use crate::limit::Resource;
use crate::units::Cost;
use crate::window::Calendar;

/// The most active users that are told apart. Beyond it the cost of each is reckoned too high, never too low.
pub const MAX_ACTIVE_USERS: usize = 100_000;

/// What part of a month must have been seen before it is projected, in thousandths: three days, about.
const SEEN: u16 = 100;

/// What the present calendar month in UTC has cost, and will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonthProjection {
    /// When the month began.
    pub start: UnixSeconds,
    /// When it ends.
    pub end: UnixSeconds,
    /// Since when its calls were seen: its beginning, or that of this process.
    pub since: UnixSeconds,
    /// How many users settled a call in it; anonymous callers are as many as their networks. At most
    /// [`MAX_ACTIVE_USERS`].
    pub active_users: u64,
    /// What was settled.
    pub cost: Cost,
    /// What it will be at the end, if it goes on so; `None` before a tenth of the month was seen.
    pub projected: Option<Cost>,
    /// That for each active user, rounded up.
    pub projected_each: Option<Cost>,
}

/// The month so far.
#[derive(Debug)]
pub(super) struct Month {
    rule: MonthRule,
    calendar: Calendar,
    born: UnixSeconds,
    start: UnixSeconds,
    end: UnixSeconds,
    cost: Cost,
    users: HashSet<Fingerprint>,
    alarm: Alarm,
}

impl Month {
    pub(super) fn new(rule: MonthRule, calendar: Calendar, born: UnixSeconds) -> Self {
        let period = calendar.period(born);
        let (start, end) = (period.start, period.end);
        Self { rule, calendar, born, start, end, cost: Cost::ZERO, users: HashSet::new(), alarm: Alarm::default() }
    }

    /// The same month by another rule.
    pub(super) fn with_rule(self, rule: MonthRule) -> Self {
        Self { rule, ..self }
    }

    /// Counts a call, and says what is to be told: once a month.
    pub(super) fn count(&mut self, user: Fingerprint, cost: Cost, now: UnixSeconds) -> Option<Found> {
        self.roll(now);
        self.cost = self.cost.saturating_add(cost);
        if self.users.len() < MAX_ACTIVE_USERS {
            self.users.insert(user);
        }
        let amount = self.rule.each?.get();
        let MonthProjection { active_users: users, projected_each, .. } = self.report(now);
        let each = projected_each?.get();
        // The alarm is at what is more than the amount.
        let fires = self.alarm.fires(each, amount.saturating_add(1), Once::PeriodEnding(self.end));
        let kind = AlertKind::UserMonth { users, each, amount };
        fires.then_some(Found { kind, severity: Severity::Ticket, until: self.end })
    }

    /// How it stands.
    pub(super) fn report(&mut self, now: UnixSeconds) -> MonthProjection {
        self.roll(now);
        let (start, end, since) = (self.start, self.end, self.start.max(self.born));
        let active_users = self.users.len() as u64;
        let projected = Seen { start, from: since, now, end }.projected(self.cost.get(), SEEN);
        let each = projected.filter(|_| active_users > 0).map(|projected| projected.div_ceil(active_users));
        let [projected, projected_each] = [projected, each].map(|cost| cost.map(Cost::saturating));
        MonthProjection { start, end, since, active_users, cost: self.cost, projected, projected_each }
    }

    fn roll(&mut self, now: UnixSeconds) {
        if now >= self.end {
            let period = self.calendar.period(now);
            (self.start, self.end) = (period.start, period.end);
            self.cost = Cost::ZERO;
            self.users = HashSet::new();
        }
    }
}

/// What a month counts.
pub(super) const RESOURCE: Resource = Resource::Cost;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Scope};
    use crate::window::calendar::CalendarUnit;

    /// 2026-01-01T00:00:00Z, the first of 31 days.
    const JANUARY: i64 = 1_767_225_600;
    const DAY: i64 = 86_400;

    fn usd(cents: u64) -> Cost {
        Cost::saturating(cents * 10_000_000)
    }

    fn user(name: &str) -> Fingerprint {
        Key::new(Scope::User, name).fingerprint()
    }

    fn month(each: Option<Cost>, born: i64) -> Month {
        let calendar = Calendar::new(CalendarUnit::Month, "UTC", None).unwrap();
        Month::new(MonthRule { each }, calendar, UnixSeconds(born))
    }

    #[test]
    fn a_month_is_projected_and_divided_by_the_users_that_were_active_in_it() {
        let mut month = month(None, JANUARY);
        for day in 0..10 {
            month.count(user("ann"), usd(200), UnixSeconds(JANUARY + day * DAY));
            month.count(user("bob"), usd(100), UnixSeconds(JANUARY + day * DAY));
        }
        // 30 dollars in ten days are 93 in 31, and 46.50 for each of two.
        let report = month.report(UnixSeconds(JANUARY + 10 * DAY));
        assert_eq!((report.active_users, report.cost), (2, usd(3_000)));
        assert_eq!((report.projected, report.projected_each), (Some(usd(9_300)), Some(usd(4_650))));
        assert_eq!((report.since, report.end), (UnixSeconds(JANUARY), UnixSeconds(JANUARY + 31 * DAY)));
    }

    #[test]
    fn nothing_is_projected_before_a_tenth_of_the_month_was_seen() {
        let mut month = month(None, JANUARY + 20 * DAY);
        month.count(user("ann"), usd(1_000), UnixSeconds(JANUARY + 20 * DAY));
        assert_eq!(month.report(UnixSeconds(JANUARY + 23 * DAY)).projected, None, "three days of 31 are less");
        // Ten dollars in four days since the process began: 27.50 in the eleven until the end.
        let report = month.report(UnixSeconds(JANUARY + 24 * DAY));
        assert_eq!((report.projected, report.since), (Some(usd(2_750)), UnixSeconds(JANUARY + 20 * DAY)));
    }

    #[test]
    fn an_active_user_that_costs_too_much_is_told_once_a_month() {
        let mut month = month(Some(usd(1_000)), JANUARY);
        let mut told = Vec::new();
        for day in 0..59 {
            let found = month.count(user("ann"), usd(50), UnixSeconds(JANUARY + day * DAY));
            told.extend(found.map(|found| (day, found)));
        }
        let found = |each, end: i64| Found {
            kind: AlertKind::UserMonth { users: 1, each, amount: usd(1_000).get() },
            severity: Severity::Ticket,
            until: UnixSeconds(JANUARY + end * DAY),
        };
        // After four days of 31, 2.50 make 19.375; after three of February's 28, 2.00 make 18.67.
        assert_eq!(told, [(4, found(19_375_000_000, 31)), (34, found(18_666_666_666, 59))]);
        assert_eq!(month.report(UnixSeconds(JANUARY + 59 * DAY)).active_users, 0, "March has none yet");
    }

    #[test]
    fn more_users_than_are_told_apart_make_each_dearer_and_never_cheaper() {
        let mut month = month(None, JANUARY);
        for n in 0..=MAX_ACTIVE_USERS as u64 {
            month.count(user(&n.to_string()), usd(1), UnixSeconds(JANUARY));
        }
        let report = month.report(UnixSeconds(JANUARY + 31 * DAY - 1));
        assert_eq!((report.active_users, report.cost), (100_000, usd(100_001)));
        assert!(report.projected_each.is_some_and(|each| each > usd(1)));
    }
}
