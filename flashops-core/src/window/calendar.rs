//! Calendar windows: the hours, days, weeks and months of a time zone, and what one key used in the current one.
//!
//! ```
//! use flashops_core::window::calendar::{Calendar, CalendarError, CalendarUnit};
//!
//! // Months as this organisation is billed: from the 31st, or from the last day of a shorter month.
//! let months = Calendar::new(CalendarUnit::Month, "Europe/Paris", Some(31))?;
//! assert_eq!((months.unit(), months.zone(), months.anchor()), (CalendarUnit::Month, "Europe/Paris", 31));
//!
//! // Weeks begin on Monday, at midnight, unless the anchor names another day.
//! assert_eq!(Calendar::new(CalendarUnit::Week, "UTC", None)?.anchor(), 1);
//! assert_eq!(Calendar::new(CalendarUnit::Week, "Mars/Olympus", None), Err(CalendarError::UnknownZone));
//! # Ok::<(), CalendarError>(())
//! ```
//!
//! A period is computed from the wall clock where it is needed. There is no job that resets anything, and a state that
//! a durable store brings back continues where it was, however long the process was down.
//!
//! How periods begin, where a zone changes its clocks:
//!
//! - A day, week or month begins when local time first reaches its beginning. If that time is skipped, it begins at the
//!   change; if it comes twice, it begins at the first. So a day lasts 23 or 25 hours, and a day which the zone leaves
//!   out (Samoa, 30 December 2011) has no length.
//! - An hour begins whenever the local minute is the anchor. It lasts 60 minutes also when clocks change by an hour: a
//!   repeated hour is an hour of its own and a skipped one does not exist. Where clocks change by half an hour (Lord
//!   Howe) or by other parts, the hour around the change is longer or shorter by that.
//!
//! Each instant belongs to exactly one period, and the end of a period is the beginning of the next.
//!
//! Edge cases: a wall clock that steps back keeps the current period, so no budget is handed out twice; if it had jumped
//! ahead by mistake, that period lasts until its end comes. Before the year 1 and after 8999 there is one long period.
//! Debt can be carried into the next period ([`CarryDebt`]); unused budget never is.
//!
//! What this module does not do: decide, count holds, or look at a clock.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::clock::UnixSeconds;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The first instant of the year 1 and of the year 9000, in UTC: between them all date arithmetic is in range.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 221_845_392_000;

/// How long a calendar window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CalendarUnit {
    /// Hours; the anchor is the minute at which they begin, 0 to 59, by default 0.
    Hour,
    /// Days; the anchor is the hour at which they begin, 0 to 23, by default 0.
    Day,
    /// Weeks; the anchor is the day on which they begin, 1 (Monday, the default) to 7 (Sunday).
    Week,
    /// Months; the anchor is the day on which they begin, 1 (the default) to 31, or the last day of a shorter month.
    Month,
}

/// A division of time into hours, days, weeks or months, in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    unit: CalendarUnit,
    anchor: u8,
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of a zone, by its name in the IANA database, such as `Europe/Paris`.
    ///
    /// The anchor says where in the hour, day, week or month a period begins; see [`CalendarUnit`].
    ///
    /// # Errors
    ///
    /// [`CalendarError::UnknownZone`] if the system's time zone database has no such zone, and
    /// [`CalendarError::AnchorOutOfRange`].
    pub fn new(unit: CalendarUnit, zone: &str, anchor: Option<u8>) -> Result<Self, CalendarError> {
        let (allowed, default) = match unit {
            CalendarUnit::Hour => (0..=59, 0),
            CalendarUnit::Day => (0..=23, 0),
            CalendarUnit::Week => (1..=7, 1),
            CalendarUnit::Month => (1..=31, 1),
        };
        let anchor = anchor.unwrap_or(default);
        if !allowed.contains(&anchor) {
            return Err(CalendarError::AnchorOutOfRange);
        }
        let zone = TimeZone::get(zone).map_err(|_| CalendarError::UnknownZone)?;
        if zone.is_unknown() {
            return Err(CalendarError::UnknownZone);
        }
        Ok(Self { unit, anchor, zone })
    }

    /// How long its periods are.
    pub const fn unit(&self) -> CalendarUnit {
        self.unit
    }

    /// Where in the unit they begin; see [`CalendarUnit`].
    pub const fn anchor(&self) -> u8 {
        self.anchor
    }

    /// The name of the zone.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The period that holds an instant.
    pub(crate) fn period(&self, at: UnixSeconds) -> Period {
        let inside = at.0.clamp(FIRST, LAST);
        let (start, end) = match self.unit {
            CalendarUnit::Hour => (self.hour_start(inside), self.hour_end(inside)),
            _ => {
                let number = self.number_of(inside);
                (self.start_of(number), self.start_of(number + 1))
            }
        };
        let (start, end) = match at.0 {
            at if at < start => (i64::MIN, start),
            at if at >= end => (end, i64::MAX),
            _ => (start, end),
        };
        Period {
            start: UnixSeconds(start),
            end: UnixSeconds(end),
        }
    }

    /// How many periods have begun from the end of one of them until an instant not before it; at least 1.
    ///
    /// Days that a zone leaves out count, as they do on the calendar. Hours are elapsed time, divided by an hour.
    fn begun_since(&self, ended: UnixSeconds, at: UnixSeconds) -> u64 {
        let (ended, at) = (ended.0.clamp(FIRST, LAST), at.0.clamp(FIRST, LAST));
        let begun = match self.unit {
            CalendarUnit::Hour => 1 + (self.hour_start(at) - ended).div_euclid(HOUR),
            _ => self.number_of(at) - self.number_of(ended - 1),
        };
        u64::try_from(begun).unwrap_or(0).max(1)
    }

    /// The first instant at which so many periods have begun since the end of one, or `None` after the year 8999.
    fn start_after(&self, ended: UnixSeconds, periods: u64) -> Option<UnixSeconds> {
        if !(FIRST..LAST).contains(&ended.0) {
            return None;
        }
        let periods = i64::try_from(periods).ok()?;
        if self.unit == CalendarUnit::Hour {
            let earliest = periods
                .checked_sub(1)?
                .checked_mul(HOUR)?
                .checked_add(ended.0)?;
            let before = (earliest <= LAST).then_some(earliest - 1)?;
            return Some(UnixSeconds(self.hour_end(before)));
        }
        let number = self.number_of(ended.0 - 1).checked_add(periods)?;
        (number <= self.number_of(LAST)).then(|| UnixSeconds(self.start_of(number)))
    }

    /// The last beginning of an hour that is not after an instant.
    fn hour_start(&self, at: i64) -> i64 {
        let mut upto = at;
        loop {
            let start = upto - self.past_the_hour(upto);
            match self.zone.preceding(timestamp(upto + 1)).next() {
                // Before a change of clocks, hours began at other instants.
                Some(change) if change.timestamp().as_second() > start => {
                    upto = change.timestamp().as_second() - 1;
                }
                _ => return start,
            }
        }
    }

    /// The first beginning of an hour that is after an instant.
    fn hour_end(&self, at: i64) -> i64 {
        let mut from = at;
        loop {
            let end = from + HOUR - self.past_the_hour(from);
            let change = self.zone.following(timestamp(from)).next();
            match change.map(|change| change.timestamp().as_second()) {
                Some(change) if change <= end => {
                    if self.past_the_hour(change) == 0 {
                        return change;
                    }
                    from = change;
                }
                _ => return end,
            }
        }
    }

    /// Seconds since the local clock last showed the anchor's minute, if it was not changed since.
    fn past_the_hour(&self, at: i64) -> i64 {
        let anchor = i64::from(self.anchor) * 60;
        (self.local_seconds(at) - anchor).rem_euclid(HOUR)
    }

    /// The number of the day, week or month that holds an instant.
    fn number_of(&self, at: i64) -> i64 {
        let mut number = self.local_number(self.local_seconds(at));
        // A clock put back over a beginning shows the period before again, for some hours, but it has ended.
        while self.start_of(number + 1) <= at {
            number += 1;
        }
        number
    }

    /// The number of the day, week or month that holds a local time, given in seconds since 1970-01-01T00:00 local.
    fn local_number(&self, local: i64) -> i64 {
        if let Some((length, phase)) = self.grid() {
            return (local - phase).div_euclid(length);
        }
        let date = civil(local).date();
        let begun = date.day() >= self.month_day(date);
        i64::from(date.year()) * 12 + i64::from(date.month()) - 2 + i64::from(begun)
    }

    /// The local time at which a numbered period begins.
    fn local_start(&self, number: i64) -> DateTime {
        if let Some((length, phase)) = self.grid() {
            return civil(number * length + phase);
        }
        let first = i16::try_from(number.div_euclid(12))
            .ok()
            .zip(i8::try_from(number.rem_euclid(12) + 1).ok())
            .and_then(|(year, month)| Date::new(year, month, 1).ok())
            .expect("numbers come from instants in the years 1 to 9000");
        let days = SignedDuration::from_secs(i64::from(self.month_day(first) - 1) * DAY);
        (first + days).into()
    }

    /// The length of local periods that all have the same, and the local time at which number 0 begins.
    fn grid(&self) -> Option<(i64, i64)> {
        let anchor = i64::from(self.anchor);
        match self.unit {
            CalendarUnit::Hour => Some((HOUR, anchor * 60)),
            CalendarUnit::Day => Some((DAY, anchor * HOUR)),
            // The epoch was a Thursday, so the first Monday was its fifth day.
            CalendarUnit::Week => Some((7 * DAY, (anchor + 3) * DAY)),
            CalendarUnit::Month => None,
        }
    }

    /// The day on which the period begins that begins in the month of this date.
    fn month_day(&self, date: Date) -> i8 {
        i8::try_from(self.anchor).map_or(date.days_in_month(), |anchor| {
            anchor.min(date.days_in_month())
        })
    }

    /// The first instant at which local time is at or past the beginning of a numbered day, week or month.
    fn start_of(&self, number: i64) -> i64 {
        let local = self.local_start(number);
        let seconds = local.duration_since(civil(0)).as_secs();
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => seconds - i64::from(offset.seconds()),
            AmbiguousOffset::Fold { before, .. } => seconds - i64::from(before.seconds()),
            AmbiguousOffset::Gap { before, .. } => {
                let would_be = seconds - i64::from(before.seconds());
                let change = self.zone.preceding(timestamp(would_be + 1)).next();
                change.map_or(would_be, |change| change.timestamp().as_second())
            }
        }
    }

    /// What the local clock shows, as seconds since 1970-01-01T00:00 on that clock.
    fn local_seconds(&self, at: i64) -> i64 {
        at + i64::from(self.zone.to_offset(timestamp(at)).seconds())
    }
}

/// One hour, day, week or month: from its start up to, and without, its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) start: UnixSeconds,
    pub(crate) end: UnixSeconds,
}

/// What a new calendar period takes over of what was used above the limit in the one before.
///
/// Each period repays up to the limit, so a large debt is spread over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CarryDebt {
    /// Nothing: each period begins at zero.
    None,
    /// All of it.
    #[default]
    Full,
    /// At most this amount, in the unit of the limit; the rest is dropped when the period in which it arose ends.
    Capped(u64),
}

/// What one key used in the current period of a calendar.
///
/// Made by `default`, it is in a period that has ended; [`CalendarState::roll`] comes before every other call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CalendarState {
    period_end: UnixSeconds,
    used: u64,
}

impl CalendarState {
    /// Enters the period of `now` if the current one has ended: one comparison where it has not.
    ///
    /// What was used then becomes the debt that is carried, less the limit for each period that has passed since.
    pub(crate) fn roll(
        &mut self,
        calendar: &Calendar,
        carry: CarryDebt,
        limit: u64,
        now: UnixSeconds,
    ) {
        if now < self.period_end {
            return;
        }
        let debt = carried(self.used, carry, limit);
        if debt > 0 {
            let repaid = limit.saturating_mul(calendar.begun_since(self.period_end, now) - 1);
            self.used = debt.saturating_sub(repaid);
        } else {
            self.used = 0;
        }
        self.period_end = calendar.period(now).end;
    }

    /// What counts in the current period, the debt it took over included.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// When the current period ends.
    pub(crate) fn period_end(&self) -> UnixSeconds {
        self.period_end
    }

    /// Counts an amount in the current period. The sum may pass any limit: that is debt.
    pub(crate) fn add(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }

    /// Gives back what was added at the instant `at`, if that is in the current period.
    ///
    /// Otherwise nothing: a refund never flows into a later period. A saturated sum stays until its period ends.
    pub(crate) fn remove(&mut self, calendar: &Calendar, amount: u64, at: UnixSeconds) {
        if self.used != u64::MAX && calendar.period(at).end == self.period_end {
            self.used = self.used.saturating_sub(amount);
        }
    }

    /// The earliest instant, not before `now`, at which no more than `headroom` counts if nothing else is added: now,
    /// or the end of the period after which what is left of the debt fits.
    ///
    /// The headroom is the limit less what is held and asked; one that would be negative never fits, and the caller
    /// does not ask. `None` if that instant never comes, because a limit of 0 repays nothing, or only after the year
    /// 8999.
    pub(crate) fn fits_at(
        &self,
        calendar: &Calendar,
        carry: CarryDebt,
        limit: u64,
        headroom: u64,
        now: UnixSeconds,
    ) -> Option<UnixSeconds> {
        let mut ahead = *self;
        ahead.roll(calendar, carry, limit, now);
        if ahead.used <= headroom {
            return Some(now);
        }
        match carried(ahead.used, carry, limit).saturating_sub(headroom) {
            0 => Some(ahead.period_end),
            _ if limit == 0 => None,
            excess => calendar.start_after(ahead.period_end, 1 + excess.div_ceil(limit)),
        }
    }

    /// Whether nothing counts any more, so that forgetting the state loses nothing.
    pub(crate) fn is_idle(
        &self,
        calendar: &Calendar,
        carry: CarryDebt,
        limit: u64,
        now: UnixSeconds,
    ) -> bool {
        let mut ahead = *self;
        ahead.roll(calendar, carry, limit, now);
        ahead.used == 0
    }
}

impl Default for CalendarState {
    fn default() -> Self {
        Self {
            period_end: UnixSeconds(i64::MIN),
            used: 0,
        }
    }
}

/// Why a calendar cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalendarError {
    /// The anchor is outside of what its unit allows; see [`CalendarUnit`].
    AnchorOutOfRange,
    /// The system's time zone database has no zone of this name.
    UnknownZone,
}

impl fmt::Display for CalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnchorOutOfRange => {
                "the anchor is a minute (0 to 59) for hour, an hour (0 to 23) for day, a weekday (1, Monday, to 7) for \
                 week, or a day (1 to 31) for month"
            }
            Self::UnknownZone => "the time zone is not in this system's IANA database; Europe/Paris is such a name",
        })
    }
}

impl std::error::Error for CalendarError {}

/// What the period after one takes over.
fn carried(used: u64, carry: CarryDebt, limit: u64) -> u64 {
    let over = used.saturating_sub(limit);
    match carry {
        CarryDebt::None => 0,
        CarryDebt::Full => over,
        CarryDebt::Capped(most) => over.min(most),
    }
}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_second(at).expect("instants are clamped to the years 1 to 9000")
}

/// A local time, from the seconds that its clock has counted since 1970-01-01T00:00.
fn civil(local: i64) -> DateTime {
    Offset::UTC.to_datetime(timestamp(local))
}
