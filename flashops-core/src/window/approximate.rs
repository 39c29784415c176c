//! The two-counter sliding window: this window's count, and a share of the one before.
//!
//! Time is cut into windows of one length. What the previous window counted weighs as much as the share of it that a
//! window ending now still covers, as if it had come in evenly:
//!
//! ```
//! // 100 in the minute before, 20 in this one, which is 15 s old: 45 s of the minute before still count.
//! let (previous, current, elapsed, length) = (100_u64, 20, 15, 60);
//! assert_eq!((previous * (length - elapsed)).div_ceil(length) + current, 95);
//! ```
//!
//! It is an approximation and named as one: traffic that came in at the end of the previous window fades too early, and
//! up to 1.98 times the limit has been measured in one window. In exchange the state is four words, whatever the limit.
//!
//! Edge cases: the share is rounded up. A tick that steps back counts as zero elapsed. A counter that reaches the
//! largest number stays there until its window has passed. What is given back leaves only the counter of the window
//! it was added to, so it frees nothing once that window no longer weighs.
//!
//! What this module does not do: decide, or count holds. The caller compares `used + held + asked` with its limit.

use std::time::Duration;

use crate::clock::Tick;

/// The length of a window, prepared once for each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    length: u64,
}

impl Span {
    /// A window of this length, from 1 ns to 584 years; outside of that the nearest of the two.
    ///
    /// The caller has already added what its clock may lag.
    pub(crate) fn new(window: Duration) -> Self {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Self { length: nanos.max(1) }
    }
}

/// What one key used in the current window and the one before.
///
/// Windows begin at multiples of the length after the clock's origin, so a state that was idle, forgotten and made anew
/// continues on the same grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Approximate {
    /// When the current window began; never after `latest`.
    start: u64,
    /// The latest tick seen.
    latest: u64,
    previous: u64,
    current: u64,
}

impl Approximate {
    /// What counts at this tick: the previous window by its remaining share, rounded up, and the current one whole.
    pub(crate) fn used(&mut self, span: &Span, now: Tick) -> u64 {
        self.roll(span, now);
        self.sum(span)
    }

    /// Counts an amount at this tick. The sum may pass any limit: that is debt.
    pub(crate) fn add(&mut self, span: &Span, amount: u64, now: Tick) {
        self.roll(span, now);
        self.current = self.current.saturating_add(amount);
    }

    /// Gives back what was added at the tick `at`, from the window it was added to and from no other.
    ///
    /// Where the clock stepped back before that addition, `at` may name an older window than the one that counted it.
    /// An older window weighs less, so that frees less, never more.
    pub(crate) fn remove(&mut self, span: &Span, amount: u64, at: Tick, now: Tick) {
        self.roll(span, now);
        let at = at.nanos();
        if at >= self.start {
            if at - self.start < span.length {
                give_back(&mut self.current, amount);
            }
        } else if self.start - at <= span.length {
            give_back(&mut self.previous, amount);
        }
    }

    /// The earliest tick, not before `now`, at which no more than `headroom` counts if nothing else is added.
    ///
    /// The headroom is the limit less what is held and asked; one that would be negative never fits, and the caller
    /// does not ask. A headroom of 0 waits until both windows are empty. `None` only where that tick is after the last
    /// one there is, 584 years after the clock's origin.
    pub(crate) fn fits_at(&self, span: &Span, headroom: u64, now: Tick) -> Option<Tick> {
        let mut ahead = *self;
        if ahead.used(span, now) <= headroom {
            return Some(now);
        }
        // Within this window only the previous one fades; from its end on, the current one is the previous.
        let (start, fading, room) = match headroom.checked_sub(ahead.current) {
            Some(room) => (ahead.start, ahead.previous, room),
            None => (ahead.start.checked_add(span.length)?, ahead.current, headroom),
        };
        let end = u128::from(start) + u128::from(span.length);
        let weightless = u128::from(room) * u128::from(span.length) / u128::from(fading);
        u64::try_from(end - weightless).ok().map(Tick::from_nanos)
    }

    /// Whether nothing counts any more, so that forgetting the state loses nothing.
    pub(crate) fn is_idle(&self, span: &Span, now: Tick) -> bool {
        let mut ahead = *self;
        ahead.used(span, now) == 0
    }

    fn roll(&mut self, span: &Span, now: Tick) {
        self.latest = self.latest.max(now.nanos());
        let elapsed = self.latest - self.start;
        if elapsed < span.length {
            return;
        }
        let windows = elapsed / span.length;
        self.previous = if windows == 1 { self.current } else { 0 };
        self.current = 0;
        self.start += windows * span.length;
    }

    fn sum(&self, span: &Span) -> u64 {
        let remaining = span.length - (self.latest - self.start);
        share_rounded_up(self.previous, remaining, span.length).saturating_add(self.current)
    }
}

/// `amount * part / whole`, rounded up, for a part that is no more than the whole.
fn share_rounded_up(amount: u64, part: u64, whole: u64) -> u64 {
    // Most products fit one word, and dividing two words costs several times as much.
    match amount.checked_mul(part) {
        Some(product) => product.div_ceil(whole),
        None => {
            let share = (u128::from(amount) * u128::from(part)).div_ceil(u128::from(whole));
            u64::try_from(share).unwrap_or(u64::MAX)
        }
    }
}

/// Lowers a counter, unless it is saturated: then how much it really holds is not known.
fn give_back(counter: &mut u64, amount: u64) {
    if *counter != u64::MAX {
        *counter = counter.saturating_sub(amount);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::MAX_AMOUNT;

    /// Everything ever added, and the formula as written in the module's documentation.
    #[derive(Default)]
    struct EventList {
        events: Vec<(u64, u128)>,
    }

    impl EventList {
        fn used(&self, length: u64, now: u64) -> u64 {
            let window = now / length;
            let of = |number: u64| -> u128 {
                let inside = self.events.iter().filter(|(at, _)| at / length == number);
                inside.map(|(_, amount)| amount).sum()
            };
            let previous = if window == 0 { 0 } else { of(window - 1) };
            let weighted = (previous * u128::from(length - now % length)).div_ceil(u128::from(length));
            u64::try_from(weighted + of(window)).unwrap_or(u64::MAX)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u64),
        Add(u64),
        Remove(prop::sample::Index, u64),
    }

    fn amount() -> impl Strategy<Value = u64> {
        prop_oneof![0..20_u64, 0..1_000_000_u64, 0..=MAX_AMOUNT]
    }

    fn script() -> impl Strategy<Value = (u64, Vec<Step>)> {
        let length = prop_oneof![1..=1_u64, 2..50_u64, 1_000_000_000..90_000_000_000_000_u64];
        length.prop_flat_map(|length| {
            let wait = prop_oneof![0..=length / 4, 0..=length, 0..=length.saturating_mul(3)];
            let step = prop_oneof![
                3 => wait.prop_map(Step::Wait),
                3 => amount().prop_map(Step::Add),
                1 => (any::<prop::sample::Index>(), amount()).prop_map(|(which, n)| Step::Remove(which, n)),
            ];
            (Just(length), prop::collection::vec(step, 1..60))
        })
    }

    fn span(length: u64) -> Span {
        Span::new(Duration::from_nanos(length))
    }

    fn tick(nanos: u64) -> Tick {
        Tick::from_nanos(nanos)
    }

    proptest! {
        #[test]
        fn it_counts_what_the_formula_over_a_list_of_events_counts((length, steps) in script()) {
            let (span, mut window, mut list, mut now) = (span(length), Approximate::default(), EventList::default(), 0);
            for step in steps {
                match step {
                    Step::Wait(wait) => now += wait,
                    Step::Add(amount) => {
                        window.add(&span, amount, tick(now));
                        list.events.push((now, u128::from(amount)));
                    }
                    Step::Remove(which, amount) if !list.events.is_empty() => {
                        let (at, added) = which.get(&list.events);
                        let (at, amount) = (*at, amount.min(u64::try_from(*added).unwrap()));
                        window.remove(&span, amount, tick(at), tick(now));
                        let index = which.index(list.events.len());
                        list.events[index].1 -= u128::from(amount);
                    }
                    Step::Remove(..) => {}
                }
                prop_assert_eq!(window.used(&span, tick(now)), list.used(length, now));
                prop_assert_eq!(window.is_idle(&span, tick(now)), list.used(length, now) == 0);
            }
        }

        #[test]
        fn it_fits_at_the_tick_it_names_and_not_one_nanosecond_before(
            (length, steps) in script(), headroom in amount(),
        ) {
            let (span, mut window, mut now) = (span(length), Approximate::default(), 0);
            for step in steps {
                match step {
                    Step::Wait(wait) => now += wait,
                    Step::Add(amount) => window.add(&span, amount, tick(now)),
                    Step::Remove(..) => {}
                }
                for headroom in [headroom, 0, window.used(&span, tick(now)) / 2] {
                    let at = window.fits_at(&span, headroom, tick(now)).unwrap();
                    prop_assert!(at.nanos() >= now);
                    let used = |at: u64| window.clone().used(&span, tick(at));
                    prop_assert!(used(at.nanos()) <= headroom);
                    prop_assert!(at.nanos() == now || used(at.nanos() - 1) > headroom);
                }
            }
        }

        #[test]
        fn a_tick_that_steps_back_is_the_latest_tick_seen(
            length in 1..100_u64, steps in prop::collection::vec((0..500_u64, 0..9_u64), 1..60),
        ) {
            let (span, mut wild, mut steady, mut latest) =
                (span(length), Approximate::default(), Approximate::default(), 0);
            for (now, amount) in steps {
                latest = now.max(latest);
                wild.add(&span, amount, tick(now));
                steady.add(&span, amount, tick(latest));
                prop_assert_eq!(wild.used(&span, tick(now)), steady.used(&span, tick(latest)));
            }
        }

        #[test]
        fn giving_back_after_a_step_back_never_frees_more_than_was_added(
            length in 1..100_u64, steps in prop::collection::vec((0..300_u64, 0..9_u64, any::<bool>()), 1..60),
        ) {
            let (span, mut window, mut list, mut latest) =
                (span(length), Approximate::default(), EventList::default(), 0);
            for (now, amount, keep) in steps {
                latest = now.max(latest);
                window.add(&span, amount, tick(now));
                if keep {
                    list.events.push((latest, u128::from(amount)));
                } else {
                    window.remove(&span, amount, tick(now), tick(now));
                }
                prop_assert!(window.used(&span, tick(now)) >= list.used(length, latest));
            }
        }
    }

    #[test]
    fn what_is_given_back_never_leaves_another_window() {
        let span = span(10);
        let mut window = Approximate::default();
        window.add(&span, 5, tick(3));
        window.add(&span, 7, tick(12));
        window.remove(&span, 9, tick(3), tick(12));
        assert_eq!(window.used(&span, tick(12)), 7);
        for elsewhere in [3, 27, u64::MAX] {
            window.remove(&span, 7, tick(elsewhere), tick(13));
            assert_eq!(window.used(&span, tick(13)), 7, "at {elsewhere}");
        }
    }

    #[test]
    fn nothing_overflows_at_the_end_of_time_or_above_the_largest_sum() {
        let span = span(u64::MAX);
        let mut window = Approximate::default();
        for _ in 0..3 {
            window.add(&span, u64::MAX, Tick::ZERO);
        }
        window.remove(&span, MAX_AMOUNT, Tick::ZERO, Tick::ZERO);
        assert_eq!(window.used(&span, Tick::ZERO), u64::MAX);
        assert_eq!(window.fits_at(&span, 0, Tick::ZERO), None);
        assert_eq!(window.fits_at(&span, MAX_AMOUNT, tick(u64::MAX)), None);
        window.add(&span, 1, tick(u64::MAX));
        assert_eq!(window.used(&span, tick(u64::MAX)), u64::MAX);
    }
}
