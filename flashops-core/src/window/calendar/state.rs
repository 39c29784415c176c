//! What one key used in the current period of a calendar, and the debt that the next period takes over.
//!
//! ```
//! use flashops_core::window::calendar::CarryDebt;
//!
//! // Of 10 a day, 25 were used: the next day begins with 15, the one after it with 5, the third with 0.
//! let (limit, used) = (10_u64, 25);
//! let days = [1, 2, 3].map(|day| used - u64::min(used, limit * day));
//! assert_eq!(days, [15, 5, 0]);
//! assert_eq!(CarryDebt::default(), CarryDebt::Full);
//! ```
//!
//! Edge cases: over several periods without a call, each repays up to the limit; a limit of 0 repays nothing. A wall
//! clock that steps back keeps the current period. A refund lowers only the period in which its amount was added.
//!
//! What this module does not do: decide, count holds, or carry over what was left unused.

use super::Calendar;
use crate::clock::UnixSeconds;

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
    pub(crate) fn roll(&mut self, calendar: &Calendar, carry: CarryDebt, limit: u64, now: UnixSeconds) {
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
    /// does not ask. `None` if that instant never comes, because a limit of 0 repays nothing, or if it is outside of
    /// the years 1 to 8999.
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
        let periods = match carried(ahead.used, carry, limit).saturating_sub(headroom) {
            0 => 1,
            _ if limit == 0 => return None,
            excess => 1 + excess.div_ceil(limit),
        };
        calendar.start_after(ahead.period_end, periods)
    }

    /// Whether nothing counts any more, so that forgetting the state loses nothing.
    pub(crate) fn is_idle(&self, calendar: &Calendar, carry: CarryDebt, limit: u64, now: UnixSeconds) -> bool {
        let mut ahead = *self;
        ahead.roll(calendar, carry, limit, now);
        ahead.used == 0
    }
}

impl Default for CalendarState {
    fn default() -> Self {
        Self { period_end: UnixSeconds(i64::MIN), used: 0 }
    }
}

/// What the period after one takes over.
fn carried(used: u64, carry: CarryDebt, limit: u64) -> u64 {
    let over = used.saturating_sub(limit);
    match carry {
        CarryDebt::None => 0,
        CarryDebt::Full => over,
        CarryDebt::Capped(most) => over.min(most),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::CalendarUnit::{Day, Hour, Month, Week};
    use super::super::tests::{any_calendar, calendar, instant, period, unix};
    use super::super::{DAY, HOUR};
    use super::*;

    /// Periods kept one by one: each ends, hands its debt to the next, and is forgotten.
    struct PeriodByPeriod<'a> {
        calendar: &'a Calendar,
        end: i64,
        used: u128,
    }

    impl PeriodByPeriod<'_> {
        fn roll(&mut self, carry: CarryDebt, limit: u64, now: i64) {
            while now >= self.end {
                let over = self.used.saturating_sub(limit.into());
                self.used = match carry {
                    CarryDebt::None => 0,
                    CarryDebt::Full => over,
                    CarryDebt::Capped(most) => over.min(most.into()),
                };
                self.end = period(self.calendar, self.end).1;
            }
        }
    }

    fn carry() -> impl Strategy<Value = CarryDebt> {
        prop_oneof![Just(CarryDebt::None), Just(CarryDebt::Full), (0..60_u64).prop_map(CarryDebt::Capped)]
    }

    /// Calendars of a zone where every period has a length and hours have 60 minutes.
    fn plain_calendar() -> impl Strategy<Value = Calendar> {
        prop::sample::select(vec![
            calendar(Hour, "Europe/Paris", 30),
            calendar(Day, "America/Sao_Paulo", 0),
            calendar(Week, "America/New_York", 7),
            calendar(Month, "Europe/Paris", 31),
        ])
    }

    fn script() -> impl Strategy<Value = (Calendar, CarryDebt, u64, Vec<(i64, u64)>)> {
        let step = (prop_oneof![0..HOUR, 0..3 * DAY, 0..90 * DAY], 0..100_u64);
        let steps = prop::collection::vec(step, 1..30);
        (plain_calendar(), carry(), 0..20_u64, steps)
    }

    proptest! {
        #[test]
        fn debt_is_what_periods_kept_one_by_one_hand_on((calendar, carry, limit, steps) in script()) {
            let mut now = unix("2018-10-20T00:00Z").0;
            let mut oracle = PeriodByPeriod { calendar: &calendar, end: period(&calendar, now).1, used: 0 };
            let mut state = CalendarState::default();
            for (wait, amount) in steps {
                now += wait;
                let idle = state.is_idle(&calendar, carry, limit, UnixSeconds(now));
                state.roll(&calendar, carry, limit, UnixSeconds(now));
                oracle.roll(carry, limit, now);
                prop_assert_eq!(u128::from(state.used()), oracle.used);
                prop_assert_eq!(state.period_end(), UnixSeconds(oracle.end));
                prop_assert_eq!(idle, oracle.used == 0);
                state.add(amount);
                oracle.used += u128::from(amount);
            }
        }

        #[test]
        fn it_fits_at_the_instant_it_names_and_not_one_second_before(
            (calendar, carry, limit, steps) in script(), headroom in 0..30_u64,
        ) {
            let mut now = unix("2018-10-20T00:00Z").0;
            let mut state = CalendarState::default();
            for (wait, amount) in steps {
                now += wait;
                state.roll(&calendar, carry, limit, UnixSeconds(now));
                state.add(amount);
                let used = |at: i64| {
                    let mut ahead = state;
                    ahead.roll(&calendar, carry, limit, UnixSeconds(at));
                    ahead.used()
                };
                match state.fits_at(&calendar, carry, limit, headroom, UnixSeconds(now)) {
                    Some(UnixSeconds(at)) => {
                        prop_assert!(at >= now && used(at) <= headroom);
                        prop_assert!(at == now || used(at - 1) > headroom);
                    }
                    None => prop_assert!(limit == 0 && used(now + 40_000 * DAY) > headroom),
                }
            }
        }

        #[test]
        fn where_days_are_left_out_or_hours_are_longer_it_still_fits_at_the_instant_it_names(
            calendar in any_calendar(), at in instant(), limit in 1..20_u64, used in 0..400_u64, headroom in 0..20_u64,
        ) {
            let mut state = CalendarState::default();
            state.roll(&calendar, CarryDebt::Full, limit, UnixSeconds(at));
            state.add(used);
            let used = |at: i64| {
                let mut ahead = state;
                ahead.roll(&calendar, CarryDebt::Full, limit, UnixSeconds(at));
                ahead.used()
            };
            let fits = state.fits_at(&calendar, CarryDebt::Full, limit, headroom, UnixSeconds(at)).unwrap().0;
            prop_assert!(used(fits) <= headroom);
            prop_assert!(fits == at || used(fits - 1) > headroom);
        }
    }

    #[test]
    fn a_wall_clock_that_steps_back_keeps_the_period() {
        let days = calendar(Day, "UTC", 0);
        let mut state = CalendarState::default();
        state.roll(&days, CarryDebt::Full, 10, unix("2025-05-02T00:00Z"));
        state.add(10);
        for back in ["2025-05-01T23:59Z", "2024-01-01T00:00Z", "2025-05-02T23:59Z"] {
            state.roll(&days, CarryDebt::Full, 10, unix(back));
            assert_eq!((state.used(), state.period_end()), (10, unix("2025-05-03T00:00Z")), "{back}");
        }
    }

    #[test]
    fn a_day_that_the_zone_leaves_out_repays_as_any_other() {
        let days = calendar(Day, "Pacific/Apia", 0);
        let mut state = CalendarState::default();
        state.roll(&days, CarryDebt::Full, 10, unix("2011-12-30T09:00Z"));
        state.add(25);
        let change = unix("2011-12-30T10:00Z");
        assert_eq!(state.fits_at(&days, CarryDebt::Full, 10, 5, unix("2011-12-30T09:30Z")), Some(change));
        state.roll(&days, CarryDebt::Full, 10, change);
        assert_eq!(state.used(), 5);
    }

    #[test]
    fn a_refund_lowers_only_the_period_in_which_the_amount_was_added() {
        let days = calendar(Day, "UTC", 0);
        let mut state = CalendarState::default();
        let (first, second) = (unix("2025-05-01T12:00Z"), unix("2025-05-02T12:00Z"));
        state.roll(&days, CarryDebt::None, 10, first);
        state.add(6);
        state.remove(&days, 2, first);
        assert_eq!(state.used(), 4);
        state.roll(&days, CarryDebt::None, 10, second);
        state.add(5);
        state.remove(&days, 4, first);
        assert_eq!(state.used(), 5);
        state.remove(&days, 7, second);
        assert_eq!(state.used(), 0);
    }

    proptest! {
        #[test]
        fn no_instant_panics_and_a_saturated_sum_stays(calendar in any_calendar(), at in any::<i64>()) {
            let mut state = CalendarState::default();
            state.roll(&calendar, CarryDebt::Full, 1, UnixSeconds(at));
            state.add(u64::MAX);
            state.remove(&calendar, 1, UnixSeconds(at));
            prop_assert_eq!(state.used(), u64::MAX);
            prop_assert_eq!(state.fits_at(&calendar, CarryDebt::Full, 1, 0, UnixSeconds(at)), None);
            state.roll(&calendar, CarryDebt::Full, 1, UnixSeconds(i64::MAX));
            state.roll(&calendar, CarryDebt::Full, u64::MAX, UnixSeconds(i64::MIN));
        }
    }
}
