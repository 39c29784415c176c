//! GCRA: smooth pacing, as the `governor` crate defines it.
//!
//! A limit of `amount` per window is a bucket of `amount` cells, of which one comes back every `window / amount`. The
//! whole state is one instant, the theoretical arrival time, at which the last cell will have come back:
//!
//! ```
//! // 5 in a minute: one cell every 12 s. Two cells taken at 100 s are back at 124 s; at 105 s two are still out.
//! let (interval, now) = (60_u64 / 5, 105_u64);
//! let arrival = 100 + 2 * interval;
//! assert_eq!((arrival - now).div_ceil(interval), 2);
//! ```
//!
//! It bounds a burst and a rate, so up to twice the amount passes in one window, by design (1.99 times was measured).
//!
//! What a limit means here is governor's [`Quota`], and each decision is governor's: the tests run its `RateLimiter`
//! beside this module. It does not run inside, because its check decides and counts in one step. A budget decides with
//! holds in the sum and counts when the work is done, above the limit where the work cost more, and gives back; there
//! is no call for any of these, and its sums are not checked for overflow. What remains of the algorithm is one
//! addition.
//!
//! Edge cases: the interval is rounded up to a whole nanosecond, so the rate is never above the limit. A tick that
//! steps back counts as zero elapsed. A give-back that comes late leaves out what may have come back by itself
//! meanwhile. The arrival time stops at the last tick, 584 years after the clock's origin, and such a debt is not
//! given back.
//!
//! What this module does not do: decide, count holds, or pace limits that [`GcraError`] names.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::nanos::Nanos;

use crate::clock::Tick;

/// The longest window: 2⁶² ns, 146 years, so that governor's own sums of two of them do not overflow.
const MAX_WINDOW: u128 = 1 << 62;

/// A limit that GCRA can express, prepared once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GcraSpan {
    quota: Quota,
}

impl GcraSpan {
    /// A bucket of `amount` cells, which fills in one window.
    ///
    /// The caller has already added what its clock may lag.
    ///
    /// # Errors
    ///
    /// [`GcraError`] names each limit that cannot be expressed.
    pub(crate) fn new(amount: u64, window: Duration) -> Result<Self, GcraError> {
        let burst = u32::try_from(amount).map_err(|_| GcraError::AmountTooLarge)?;
        let burst = NonZeroU32::new(burst).ok_or(GcraError::ZeroAmount)?;
        let nanos = window.as_nanos();
        if nanos > MAX_WINDOW {
            return Err(GcraError::WindowTooLong);
        }
        if nanos < u128::from(amount) {
            return Err(GcraError::TooFast);
        }
        let interval = u64::try_from(nanos.div_ceil(u128::from(amount))).map_err(|_| GcraError::WindowTooLong)?;
        let quota = Quota::with_period(Duration::from_nanos(interval)).ok_or(GcraError::TooFast)?;
        Ok(Self { quota: quota.allow_burst(burst) })
    }

    fn interval(&self) -> Nanos {
        self.quota.replenish_interval().into()
    }

    /// The time in which so many cells come back, at most 584 years.
    fn time_of(&self, cells: u64) -> u64 {
        cells.saturating_mul(self.interval().as_u64())
    }
}

/// The cells of one key that are out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// When the last cell will be back; not after `latest` if none is out.
    arrival: Nanos,
    /// The latest tick seen.
    latest: Nanos,
}

impl Gcra {
    /// The cells that are out at this tick; one that is partly back is out.
    pub(crate) fn used(&mut self, span: &GcraSpan, now: Tick) -> u64 {
        self.see(now);
        let out = self.arrival.saturating_sub(self.latest);
        out.as_u64().div_ceil(span.interval().as_u64())
    }

    /// Takes cells at this tick. More may be out than the bucket holds: that is debt.
    pub(crate) fn add(&mut self, span: &GcraSpan, amount: u64, now: Tick) {
        self.see(now);
        let from = self.arrival.max(self.latest).as_u64();
        self.arrival = from.saturating_add(span.time_of(amount)).into();
    }

    /// Gives back the cells that were taken at the tick `at`, less what may have come back since.
    pub(crate) fn remove(&mut self, span: &GcraSpan, amount: u64, at: Tick, now: Tick) {
        self.see(now);
        if self.arrival.as_u64() == u64::MAX {
            return;
        }
        let since = self.latest.as_u64().saturating_sub(at.nanos());
        let still_out = span.time_of(amount).saturating_sub(since);
        self.arrival = self.arrival.saturating_sub(still_out.into());
    }

    /// The earliest tick, not before `now`, at which no more than `headroom` cells are out if none else is taken.
    ///
    /// The headroom is the limit less what is held and asked; one that would be negative never fits, and the caller
    /// does not ask. A headroom of 0 waits until every cell is back. Never `None`: every cell comes back in the end.
    pub(crate) fn fits_at(&self, span: &GcraSpan, headroom: u64, now: Tick) -> Option<Tick> {
        let at = self.arrival.as_u64().saturating_sub(span.time_of(headroom));
        if at <= self.latest.as_u64() {
            return Some(now);
        }
        Some(Tick::from_nanos(at).max(now))
    }

    /// Whether no cell is out, so that forgetting the state loses nothing.
    pub(crate) fn is_idle(&self, span: &GcraSpan, now: Tick) -> bool {
        let mut ahead = *self;
        ahead.used(span, now) == 0
    }

    fn see(&mut self, now: Tick) {
        self.latest = self.latest.max(now.nanos().into());
    }
}

/// Why a limit cannot be paced by GCRA. The `ring` and `approximate` algorithms take all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GcraError {
    /// The amount is above 4,294,967,295 (2³² − 1).
    AmountTooLarge,
    /// More than one per nanosecond.
    TooFast,
    /// The window is longer than 2⁶² ns, 146 years.
    WindowTooLong,
    /// The amount is 0: nothing would ever come back.
    ZeroAmount,
}

impl fmt::Display for GcraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmountTooLarge => "the gcra algorithm takes amounts up to 4294967295; use ring or approximate",
            Self::TooFast => "the gcra algorithm takes at most one per nanosecond; use ring or approximate",
            Self::WindowTooLong => "the gcra algorithm takes windows up to 146 years",
            Self::ZeroAmount => "the gcra algorithm cannot pace an amount of 0; use ring or approximate",
        })
    }
}

impl std::error::Error for GcraError {}

#[cfg(test)]
mod tests {
    use governor::RateLimiter;
    use governor::clock::{Clock, FakeRelativeClock};
    use proptest::prelude::*;

    use super::*;
    use crate::units::MAX_AMOUNT;

    fn tick(nanos: u64) -> Tick {
        Tick::from_nanos(nanos)
    }

    fn limits() -> impl Strategy<Value = (u64, u64)> {
        (1..200_u64).prop_flat_map(|amount| {
            let window = prop_oneof![amount..=amount * 4, amount..1_000_000_u64, 1_000_000_000..90_000_000_000_000_u64];
            (Just(amount), window)
        })
    }

    /// A wait as a share of the window, in thousandths: small ones, so that buckets run empty and refuse.
    fn steps(most: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
        let wait = prop_oneof![0..=0_u64, 0..30_u64, 0..300_u64, 0..3_000_u64];
        prop::collection::vec((wait, 1..=most), 1..120)
    }

    /// Cells out after a list of `(tick, cells)`: each drains the ones before it, then waits its turn.
    fn replay(events: &[(u64, u64)], interval: u64, now: u64) -> u64 {
        let mut last_back = 0_u128;
        for (at, cells) in events {
            last_back = last_back.max(u128::from(*at)) + u128::from(*cells) * u128::from(interval);
        }
        u64::try_from(last_back.saturating_sub(now.into()).div_ceil(interval.into())).unwrap()
    }

    proptest! {
        #[test]
        fn it_decides_and_waits_like_governor(
            (amount, window, steps) in limits().prop_flat_map(|(n, w)| (Just(n), Just(w), steps(n + 2))),
        ) {
            let span = GcraSpan::new(amount, Duration::from_nanos(window)).unwrap();
            let clock = FakeRelativeClock::default();
            let governor = RateLimiter::direct_with_clock(span.quota, clock.clone());
            let mut ours = Gcra::default();
            for (wait, asked) in steps {
                clock.advance(Duration::from_nanos(wait * window / 1_000));
                let now = tick(clock.now().as_u64());
                let used = ours.used(&span, now);
                let n = NonZeroU32::new(u32::try_from(asked).unwrap()).unwrap();
                match governor.check_n(n) {
                    Err(_) => prop_assert!(asked > amount),
                    Ok(Ok(())) => {
                        prop_assert!(used + asked <= amount, "governor admits, we count {used}");
                        prop_assert_eq!(ours.fits_at(&span, amount - asked, now), Some(now));
                        ours.add(&span, asked, now);
                    }
                    Ok(Err(not_until)) => {
                        prop_assert!(used + asked > amount, "governor refuses, we count {used}");
                        let earliest = tick(not_until.earliest_possible().as_u64());
                        prop_assert_eq!(ours.fits_at(&span, amount - asked, now), Some(earliest));
                    }
                }
            }
        }

        #[test]
        fn it_fits_at_the_tick_it_names_and_not_one_nanosecond_before_also_in_debt(
            (amount, window, steps) in limits().prop_flat_map(|(n, w)| (Just(n), Just(w), steps(n * 3))),
            headroom in 0..200_u64,
        ) {
            let span = GcraSpan::new(amount, Duration::from_nanos(window)).unwrap();
            let (mut gcra, mut now, mut events) = (Gcra::default(), 0, Vec::new());
            for (wait, cells) in steps {
                now += wait * window / 1_000;
                gcra.add(&span, cells, tick(now));
                events.push((now, cells));
                let used = |at: u64| replay(&events, span.interval().as_u64(), at);
                prop_assert_eq!(gcra.used(&span, tick(now)), used(now));
                let at = gcra.fits_at(&span, headroom, tick(now)).unwrap().nanos();
                prop_assert!(at >= now && used(at) <= headroom);
                prop_assert!(at == now || used(at - 1) > headroom);
                prop_assert_eq!(gcra.is_idle(&span, tick(now)), used(now) == 0);
            }
        }

        #[test]
        fn giving_back_never_frees_more_than_if_it_had_never_been_taken(
            (amount, window, steps) in limits().prop_flat_map(|(n, w)| (Just(n), Just(w), steps(n))),
            which in any::<prop::sample::Index>(), wait in 0..2_000_u64,
        ) {
            let span = GcraSpan::new(amount, Duration::from_nanos(window)).unwrap();
            let (mut gcra, mut now, mut events) = (Gcra::default(), 0, Vec::new());
            for (wait, cells) in steps {
                now += wait * window / 1_000;
                gcra.add(&span, cells, tick(now));
                events.push((now, cells));
            }
            now += wait * window / 1_000;
            let before = gcra.used(&span, tick(now));
            let (at, cells) = events.remove(which.index(events.len()));
            gcra.remove(&span, cells, tick(at), tick(now));
            let (after, never) = (gcra.used(&span, tick(now)), replay(&events, span.interval().as_u64(), now));
            prop_assert!(never <= after && after <= before, "{never} {after} {before}");
            if at == now || events.is_empty() {
                prop_assert_eq!(after, never);
            }
        }

        #[test]
        fn a_tick_that_steps_back_is_the_latest_tick_seen(
            steps in prop::collection::vec((0..500_u64, 0..9_u64), 1..60),
        ) {
            let span = GcraSpan::new(7, Duration::from_nanos(100)).unwrap();
            let (mut wild, mut steady, mut latest) = (Gcra::default(), Gcra::default(), 0);
            for (now, cells) in steps {
                latest = now.max(latest);
                wild.add(&span, cells, tick(now));
                steady.add(&span, cells, tick(latest));
                prop_assert_eq!(wild.used(&span, tick(now)), steady.used(&span, tick(latest)));
                let fits = wild.fits_at(&span, 3, tick(now)).unwrap();
                prop_assert_eq!(fits.max(tick(latest)), steady.fits_at(&span, 3, tick(latest)).unwrap());
            }
        }

        #[test]
        fn the_rate_is_never_above_the_limit(amount in 1..=u64::from(u32::MAX), window in 1..=1_u64 << 62) {
            match GcraSpan::new(amount, Duration::from_nanos(window)) {
                Ok(span) => {
                    let full = u128::from(span.interval().as_u64()) * u128::from(amount);
                    prop_assert!(full >= u128::from(window) && full < u128::from(window + amount));
                }
                Err(error) => prop_assert!(error == GcraError::TooFast && window < amount),
            }
        }
    }

    #[test]
    fn limits_that_governor_cannot_express_are_refused_by_name() {
        let minute = Duration::from_secs(60);
        assert_eq!(GcraSpan::new(0, minute), Err(GcraError::ZeroAmount));
        assert_eq!(GcraSpan::new(1 << 32, minute), Err(GcraError::AmountTooLarge));
        assert_eq!(GcraSpan::new(2, Duration::from_nanos(1)), Err(GcraError::TooFast));
        assert_eq!(GcraSpan::new(1, Duration::MAX), Err(GcraError::WindowTooLong));
        assert!(GcraSpan::new((1 << 32) - 1, minute).is_ok());
    }

    #[test]
    fn nothing_overflows_and_a_saturated_debt_is_not_given_back() {
        let span = GcraSpan::new(1, Duration::from_secs(3_600)).unwrap();
        let mut gcra = Gcra::default();
        gcra.add(&span, MAX_AMOUNT, tick(5));
        gcra.remove(&span, MAX_AMOUNT, tick(5), tick(5));
        assert!(gcra.used(&span, tick(5)) > 5_000_000);
        assert!(gcra.fits_at(&span, 0, tick(5)).is_some());
        gcra.add(&span, u64::MAX, tick(u64::MAX));
        assert_eq!(gcra.used(&span, tick(u64::MAX)), 0);
    }
}
