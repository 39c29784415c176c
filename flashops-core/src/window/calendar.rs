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
//! Edge cases: a wall clock that steps back keeps the current period, so no budget is handed out twice; if it had
//! jumped ahead by mistake, that period lasts until its end comes. Before the year 1 and after 8999 there is one long
//! period. Debt can be carried into the next period ([`CarryDebt`]); unused budget never is.
//!
//! What this module does not do: decide, count holds, or look at a clock.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::clock::UnixSeconds;

mod state;

pub(crate) use state::CalendarState;
pub use state::CarryDebt;

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
    /// [`CalendarError::UnknownZone`] if the time zone database has no such zone, and
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
    pub fn period(&self, at: UnixSeconds) -> Period {
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
        Period { start: UnixSeconds(start), end: UnixSeconds(end) }
    }

    /// The number of the day, week or month that holds an instant: one more than that of the one before, also where a
    /// zone leaves a day out. Hours have none, they are elapsed time.
    pub fn period_number(&self, at: UnixSeconds) -> Option<i64> {
        (self.unit != CalendarUnit::Hour).then(|| self.number_of(at.0.clamp(FIRST, LAST)))
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
    pub fn start_after(&self, ended: UnixSeconds, periods: u64) -> Option<UnixSeconds> {
        if !(FIRST..LAST).contains(&ended.0) {
            return None;
        }
        let periods = i64::try_from(periods).ok()?;
        if self.unit == CalendarUnit::Hour {
            let earliest = periods.checked_sub(1)?.checked_mul(HOUR)?.checked_add(ended.0)?;
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
        i8::try_from(self.anchor).map_or(date.days_in_month(), |anchor| anchor.min(date.days_in_month()))
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
pub struct Period {
    /// The first second in it.
    pub start: UnixSeconds,
    /// The first second after it.
    pub end: UnixSeconds,
}

/// Why a calendar cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalendarError {
    /// The anchor is outside of what its unit allows; see [`CalendarUnit`].
    AnchorOutOfRange,
    /// The time zone database, the system's or else the built-in one, has no zone of this name.
    UnknownZone,
}

impl fmt::Display for CalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnchorOutOfRange => {
                "the anchor is a minute (0 to 59) for hour, an hour (0 to 23) for day, a weekday (1, Monday, to 7) for \
                 week, or a day (1 to 31) for month"
            }
            Self::UnknownZone => "the time zone is not in the IANA database; Europe/Paris is such a name",
        })
    }
}

impl std::error::Error for CalendarError {}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_second(at).expect("instants are clamped to the years 1 to 9000")
}

/// A local time, from the seconds that its clock has counted since 1970-01-01T00:00.
fn civil(local: i64) -> DateTime {
    Offset::UTC.to_datetime(timestamp(local))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CalendarUnit::{Day, Hour, Month, Week};
    use super::*;

    const ZONES: [&str; 7] = [
        "Europe/Paris",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "UTC",
    ];

    /// A zone and the day, at midnight UTC, around which its clocks change in some way.
    const CHANGES: [(&str, &str); 16] = [
        ("Europe/Paris", "2025-03-30"),
        ("Europe/Paris", "2025-10-26"),
        ("America/New_York", "2024-03-10"),
        ("America/New_York", "2024-11-03"),
        // Fifteen minutes ahead, for good.
        ("Asia/Kathmandu", "1985-12-31"),
        // Half an hour.
        ("Australia/Lord_Howe", "2024-04-06"),
        ("Australia/Lord_Howe", "2024-10-05"),
        // A whole day left out.
        ("Pacific/Apia", "2011-12-30"),
        // Midnight skipped, and 23:00 repeated.
        ("America/Sao_Paulo", "2018-11-04"),
        ("America/Sao_Paulo", "2019-02-17"),
        // At one minute past midnight, back into the day before.
        ("America/St_Johns", "2010-11-07"),
        ("America/St_Johns", "2011-03-13"),
        // Midnight repeated.
        ("America/Havana", "2024-11-03"),
        // Two hours, and negative daylight saving time.
        ("Antarctica/Troll", "2024-10-27"),
        ("Europe/Dublin", "2024-10-27"),
        ("UTC", "2024-02-29"),
    ];

    pub(super) fn unix(text: &str) -> UnixSeconds {
        UnixSeconds(text.parse::<Timestamp>().unwrap().as_second())
    }

    pub(super) fn calendar(unit: CalendarUnit, zone: &str, anchor: u8) -> Calendar {
        Calendar::new(unit, zone, Some(anchor)).unwrap()
    }

    pub(super) fn period(calendar: &Calendar, at: i64) -> (i64, i64) {
        let period = calendar.period(UnixSeconds(at));
        (period.start.0, period.end.0)
    }

    /// The date on which the day, week or month began that a local time belongs to: one looks back, day by day.
    fn label(unit: CalendarUnit, anchor: u8, local: DateTime) -> Date {
        let mut date = local.date();
        let anchor = i8::try_from(anchor).unwrap();
        if unit == Day {
            return if local.hour() < anchor { date.yesterday().unwrap() } else { date };
        }
        let begins = |date: Date| match unit {
            Week => date.weekday().to_monday_one_offset() == anchor,
            _ => date.day() == anchor.min(date.last_of_month().day()),
        };
        while !begins(date) {
            date = date.yesterday().unwrap();
        }
        date
    }

    /// Where periods begin, found by watching a clock on the wall of the zone.
    fn beginnings(unit: CalendarUnit, anchor: u8, zone: &str, instants: impl Iterator<Item = i64>) -> Vec<i64> {
        let zone = TimeZone::get(zone).unwrap();
        let (mut found, mut highest) = (Vec::new(), None);
        for at in instants {
            let local = zone.to_datetime(timestamp(at));
            let begins = if unit == Hour {
                local.minute() == i8::try_from(anchor).unwrap()
            } else {
                let label = label(unit, anchor, local);
                let later = highest.is_some_and(|highest| label > highest);
                highest = highest.max(Some(label));
                later
            };
            if begins {
                found.push(at);
            }
        }
        found
    }

    fn assert_periods(unit: CalendarUnit, anchor: u8, zone: &str, instants: impl Iterator<Item = i64>) {
        let (calendar, found) = (calendar(unit, zone, anchor), beginnings(unit, anchor, zone, instants));
        assert!(found.len() > 1, "{unit:?} {anchor} {zone}");
        for pair in found.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            for at in [start, start + 1, start + 120, start + (end - start) / 2, end - 1] {
                assert_eq!(period(&calendar, at), (start, end), "{unit:?} {anchor} {zone} {at}");
            }
        }
    }

    #[test]
    fn hours_and_days_are_those_of_a_clock_on_the_wall_watched_each_minute() {
        for (zone, day) in CHANGES {
            let middle = unix(&format!("{day}T00:00Z")).0;
            let minutes = || (middle - 3 * DAY..middle + 3 * DAY).step_by(60);
            for minute in [0, 15, 30, 59] {
                assert_periods(Hour, minute, zone, minutes());
            }
            for hour in [0, 1, 2, 3, 23] {
                assert_periods(Day, hour, zone, minutes());
            }
        }
    }

    #[test]
    fn weeks_and_months_are_those_of_a_clock_on_the_wall_watched_each_minute_near_midnight() {
        for (zone, day) in CHANGES {
            let middle = unix(&format!("{day}T00:00Z")).0;
            let offset = i64::from(TimeZone::get(zone).unwrap().to_offset(timestamp(middle)).seconds());
            let near_midnight = |at: &i64| (at + offset + 3 * HOUR).rem_euclid(DAY) < 6 * HOUR;
            let minutes = |days: i64| (middle - days * DAY..middle + days * DAY).step_by(60).filter(near_midnight);
            for weekday in 1..=7 {
                assert_periods(Week, weekday, zone, minutes(16));
            }
            let date = day.parse::<Date>().unwrap();
            for day in [1, u8::try_from(date.day()).unwrap(), 31] {
                assert_periods(Month, day, zone, minutes(35));
            }
        }
    }

    #[test]
    fn a_day_on_which_clocks_change_has_23_or_25_hours_and_as_many_hour_periods() {
        for (day, hours) in [("2025-03-30", 23), ("2025-10-26", 25), ("2025-06-01", 24)] {
            let noon = unix(&format!("{day}T12:00Z")).0;
            let (start, end) = period(&calendar(Day, "Europe/Paris", 0), noon);
            let hourly = calendar(Hour, "Europe/Paris", 0);
            let mut at = start;
            for _ in 0..hours {
                at = period(&hourly, at).1;
            }
            assert_eq!((end - start, at), (hours * HOUR, end), "{day}");
        }
    }

    #[test]
    fn a_month_begins_on_its_last_day_where_it_has_no_day_of_the_anchor() {
        let months = calendar(Month, "UTC", 31);
        let mut at = unix("2023-12-31T00:00Z").0;
        for day in ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"] {
            at = period(&months, at).1;
            assert_eq!(UnixSeconds(at), unix(&format!("{day}T00:00Z")));
        }
        let months = calendar(Month, "UTC", 29);
        assert_eq!(months.period(unix("2023-02-28T00:00Z")).start, unix("2023-02-28T00:00Z"));
        assert_eq!(months.period(unix("2024-02-28T23:59Z")).end, unix("2024-02-29T00:00Z"));
    }

    #[test]
    fn half_an_hour_of_change_lengthens_the_hour_and_a_left_out_day_has_no_length() {
        let hours = calendar(Hour, "Australia/Lord_Howe", 0);
        for change in ["2024-04-06T15:00Z", "2024-10-05T15:30Z"] {
            let (start, end) = period(&hours, unix(change).0);
            assert_eq!(end - start, HOUR + HOUR / 2, "{change}");
        }
        let days = calendar(Day, "Pacific/Apia", 0);
        let change = unix("2011-12-30T10:00Z");
        assert_eq!(days.period(unix("2011-12-30T09:59Z")).end, change);
        assert_eq!(days.period(change).end, unix("2011-12-31T10:00Z"));
    }

    pub(super) fn any_calendar() -> impl Strategy<Value = Calendar> {
        let unit = prop_oneof![
            (Just(Hour), 0..=59_u8),
            (Just(Day), 0..=23_u8),
            (Just(Week), 1..=7_u8),
            (Just(Month), 1..=31_u8)
        ];
        let names: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let zone = prop_oneof![prop::sample::select(ZONES.map(String::from).to_vec()), prop::sample::select(names)];
        (unit, zone)
            .prop_map(|((unit, anchor), zone)| Calendar::new(unit, &zone, Some(anchor)))
            .prop_filter_map("a zone without rules", Result::ok)
    }

    /// Instants from 1970 to 2100, many of them near a change of clocks.
    pub(super) fn instant() -> impl Strategy<Value = i64> {
        let change = (prop::sample::select(&CHANGES[..]), -2 * DAY..2 * DAY)
            .prop_map(|((_, day), by)| unix(&format!("{day}T00:00Z")).0 + by);
        prop_oneof![0..4_102_444_800_i64, change]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn each_instant_is_in_one_period_and_the_next_begins_where_it_ends(
            calendar in any_calendar(), at in instant(), share in 0..1_000_i64,
        ) {
            let (start, end) = period(&calendar, at);
            prop_assert!(start <= at && at < end);
            prop_assert_eq!(period(&calendar, end).0, end);
            prop_assert_eq!(period(&calendar, start - 1).1, start);
            let inside = start + (end - start) * share / 1_000;
            for at in [start, inside, end - 1] {
                prop_assert_eq!(period(&calendar, at), (start, end));
            }
            let days = match calendar.unit { Hour => 2, Day => 3, Week => 9, Month => 33 };
            prop_assert!(end - start <= days * DAY);
        }

        #[test]
        fn no_instant_panics_and_those_at_the_ends_of_time_have_periods_too(
            calendar in any_calendar(),
            at in prop_oneof![
                any::<i64>(), Just(i64::MAX - 1), FIRST - 40 * DAY..FIRST + 40 * DAY, LAST - 40 * DAY..LAST + 40 * DAY
            ],
        ) {
            let (start, end) = period(&calendar, at);
            prop_assert!(start <= at && at < end);
            prop_assert!(start == i64::MIN || period(&calendar, start - 1).1 == start);
            prop_assert!(end == i64::MAX || period(&calendar, end).0 == end);
            let mut state = CalendarState::default();
            state.roll(&calendar, CarryDebt::Full, 1, UnixSeconds(at));
            state.add(u64::MAX);
            state.remove(&calendar, 1, UnixSeconds(at));
            prop_assert_eq!(state.fits_at(&calendar, CarryDebt::Full, 1, 0, UnixSeconds(at)), None);
            state.roll(&calendar, CarryDebt::Full, 1, UnixSeconds(i64::MAX));
        }
    }

    #[test]
    fn names_that_are_no_zone_and_anchors_outside_of_their_unit_are_refused() {
        for name in ["", "Mars/Olympus", "Etc/Unknown", "../../etc/passwd", "Europe/Paris\0", "CET-1CEST", "+01:00"] {
            assert_eq!(Calendar::new(Day, name, None), Err(CalendarError::UnknownZone), "{name}");
        }
        for (unit, anchor) in [(Hour, 60), (Day, 24), (Week, 0), (Week, 8), (Month, 0), (Month, 32), (Month, 255)] {
            assert_eq!(Calendar::new(unit, "UTC", Some(anchor)), Err(CalendarError::AnchorOutOfRange));
        }
    }
}
