//! An exact log of instants, for small amounts that are never exceeded: one log serves every window of a key.
//!
//! A limit of L has room for one more exactly if the L-th newest instant has left its window, so a check is one
//! look-up. Instants are kept in 32 bits as multiples of a power of two of nanoseconds, chosen so that the longest
//! window spans at most 2³¹ of them (32 ns for a minute, 2 µs for an hour), and rounded up, so that none leaves early.

use std::time::Duration;

use crate::clock::Tick;

/// The largest amount that is counted with a log.
pub(crate) const LARGEST: u64 = 64;

const INLINE: usize = 5;

/// How instants are kept: the same for all limits that share a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSpan {
    shift: u32,
    /// The longest window, in quanta.
    longest: u64,
    /// The largest amount: older instants decide nothing.
    keep: usize,
}

impl LogSpan {
    /// For limits of at most `keep` units in windows of at most `longest`.
    pub(crate) fn new(longest: Duration, keep: u64) -> Self {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let shift = (64 - nanos.leading_zeros()).saturating_sub(31);
        Self { shift, longest: quanta_up(nanos, shift), keep: keep.min(LARGEST) as usize }
    }

    /// The longest window, in quanta.
    pub(crate) const fn longest(self) -> u64 {
        self.longest
    }

    /// The length of a window, in quanta.
    pub(crate) fn window(self, length: Duration) -> u64 {
        quanta_up(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX), self.shift)
    }

    fn stamp(self, tick: Tick) -> u64 {
        quanta_up(tick.nanos(), self.shift)
    }

    fn start(self, quanta: u64) -> Tick {
        Tick::from_nanos(quanta.saturating_mul(1 << self.shift))
    }
}

fn quanta_up(nanos: u64, shift: u32) -> u64 {
    nanos.div_ceil(1 << shift)
}

/// The newest instants, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct ExactLog {
    /// The newest instant; the others are within 2³² quanta before it.
    newest: u64,
    len: u8,
    first: u8,
    stamps: Stamps,
}

#[derive(Clone, Debug)]
enum Stamps {
    Inline([u32; INLINE]),
    Heap(Box<[u32]>),
}

impl Default for ExactLog {
    fn default() -> Self {
        Self { newest: 0, len: 0, first: 0, stamps: Stamps::Inline([0; INLINE]) }
    }
}

impl ExactLog {
    /// How many units were used in the window that ends now; at most the number that the log keeps.
    pub(crate) fn used(&self, span: LogSpan, window: u64, now: Tick) -> u64 {
        let now = now.nanos() >> span.shift;
        let len = usize::from(self.len);
        let inside = (1..=len).take_while(|&newest| self.age(len - newest, now) < window).count();
        inside as u64
    }

    /// Whether `amount` more units fit beside at most `limit` in the window that ends now.
    #[inline]
    pub(crate) fn fits(&self, span: LogSpan, window: u64, limit: u64, amount: u64, now: Tick) -> bool {
        let Some(spare) = limit.checked_sub(amount) else { return false };
        let len = usize::from(self.len);
        let deciding = spare as usize + 1;
        deciding > len || self.age(len - deciding, now.nanos() >> span.shift) >= window
    }

    /// Adds units at an instant.
    #[inline]
    pub(crate) fn add(&mut self, span: LogSpan, amount: u64, now: Tick) {
        let stamp = span.stamp(now).max(self.newest);
        self.forget(span, stamp);
        self.newest = stamp;
        for _ in 0..amount.min(LARGEST) {
            self.push(span, stamp as u32);
        }
    }

    /// Gives back units that were added at an instant, unless they are forgotten already.
    pub(crate) fn remove(&mut self, span: LogSpan, amount: u64, at: Tick) {
        let stamp = span.stamp(at);
        // Beyond this distance the lower halves repeat, and another unit would be taken for this one.
        if stamp > self.newest || self.newest - stamp > u64::from(u32::MAX) {
            return;
        }
        let stamp = stamp as u32;
        for _ in 0..amount {
            let len = usize::from(self.len);
            let Some(place) = (0..len).rev().find(|&index| self.stamp(index) == stamp) else { return };
            for index in place..len - 1 {
                let next = self.stamp(index + 1);
                self.set(index, next);
            }
            self.len -= 1;
        }
    }

    /// The earliest tick at which at most `room` units are used if nothing is added.
    pub(crate) fn down_to(&self, span: LogSpan, window: u64, room: u64, now: Tick) -> Tick {
        let used = self.used(span, window, now);
        let Some(too_many) = used.checked_sub(room).filter(|&many| many > 0) else { return now };
        let last_to_leave = usize::from(self.len) - used as usize + too_many as usize - 1;
        let stamp = self.newest - u64::from((self.newest as u32).wrapping_sub(self.stamp(last_to_leave)));
        span.start(stamp + window)
    }

    /// Tells the instants that are kept, oldest first, each rounded up.
    pub(crate) fn replay(&self, span: LogSpan, mut add: impl FnMut(Tick)) {
        for index in 0..usize::from(self.len) {
            let before_newest = (self.newest as u32).wrapping_sub(self.stamp(index));
            add(span.start(self.newest - u64::from(before_newest)));
        }
    }

    /// Quanta between the instant at an index and now.
    #[inline]
    fn age(&self, index: usize, now: u64) -> u64 {
        let before_newest = (self.newest as u32).wrapping_sub(self.stamp(index));
        (now + u64::from(before_newest)).saturating_sub(self.newest)
    }

    /// Drops instants that are in no window any more, so that differences stay within 32 bits.
    fn forget(&mut self, span: LogSpan, now: u64) {
        while self.len > 0 && self.age(0, now) > span.longest {
            self.first = ((usize::from(self.first) + 1) % self.slots().len()) as u8;
            self.len -= 1;
        }
    }

    fn push(&mut self, span: LogSpan, stamp: u32) {
        let len = usize::from(self.len);
        let capacity = self.slots().len();
        if len == span.keep {
            self.first = ((usize::from(self.first) + 1) % capacity) as u8;
            self.len -= 1;
        } else if len == capacity {
            self.grow((capacity * 2).clamp(16, 64).min(span.keep));
        }
        let index = usize::from(self.len);
        self.len += 1;
        self.set(index, stamp);
    }

    #[cold]
    fn grow(&mut self, capacity: usize) {
        let mut stamps = vec![0; capacity].into_boxed_slice();
        for (index, stamp) in stamps.iter_mut().enumerate().take(usize::from(self.len)) {
            *stamp = self.stamp(index);
        }
        self.stamps = Stamps::Heap(stamps);
        self.first = 0;
    }

    fn slots(&self) -> &[u32] {
        match &self.stamps {
            Stamps::Inline(stamps) => stamps,
            Stamps::Heap(stamps) => stamps,
        }
    }

    #[inline]
    fn place(&self, index: usize) -> usize {
        let place = usize::from(self.first) + index;
        let capacity = self.slots().len();
        if place < capacity { place } else { place - capacity }
    }

    #[inline]
    fn stamp(&self, index: usize) -> u32 {
        self.slots()[self.place(index)]
    }

    fn set(&mut self, index: usize, stamp: u32) {
        let place = self.place(index);
        match &mut self.stamps {
            Stamps::Inline(stamps) => stamps[place] = stamp,
            Stamps::Heap(stamps) => stamps[place] = stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOWS: [(Duration, u64); 2] = [(Duration::from_secs(60), 5), (Duration::from_secs(3600), 50)];

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    proptest! {
        /// Instants are multiples of a millisecond here, so the rounding of at most two quanta shows only as a window
        /// that is longer by less than one of them.
        #[test]
        fn one_log_decides_for_every_window_like_a_list_of_all_instants(
            steps in prop::collection::vec((0_u64..90_000, 1_u64..4, any::<bool>()), 1..400)
        ) {
            let span = LogSpan::new(WINDOWS[1].0, 50);
            let (mut log, mut all, mut now): (_, Vec<u64>, _) = (ExactLog::default(), Vec::new(), 7);
            for (wait, amount, give_back) in steps {
                now += wait;
                let naive = WINDOWS.iter().all(|(window, limit)| {
                    let millis = window.as_millis() as u64;
                    all.iter().filter(|&&then| then + millis >= now).count() as u64 + amount <= *limit
                });
                let fits = |limit: &(Duration, u64)| log.fits(span, span.window(limit.0), limit.1, amount, at(now));
                let ours = WINDOWS.iter().all(fits);
                prop_assert_eq!(ours, naive);
                if ours {
                    log.add(span, amount, at(now));
                    all.extend(std::iter::repeat_n(now, amount as usize));
                    if give_back {
                        log.remove(span, amount, at(now));
                        all.truncate(all.len() - amount as usize);
                    }
                }
            }
        }

        #[test]
        fn the_instant_it_names_is_the_first_at_which_the_room_is_there(
            steps in prop::collection::vec(0_u64..20_000, 1..50), room in 0_u64..50
        ) {
            let span = LogSpan::new(WINDOWS[1].0, 50);
            let window = span.window(WINDOWS[0].0);
            let (mut log, mut now) = (ExactLog::default(), 7);
            for wait in steps {
                now += wait;
                log.add(span, 1, at(now));
            }
            let then = log.down_to(span, window, room, at(now));
            prop_assert!(log.used(span, window, then) <= room);
            if then > at(now) {
                prop_assert!(log.used(span, window, Tick::from_nanos(then.nanos() - 1)) > room);
            }
        }
    }

    #[test]
    fn a_key_that_was_away_for_days_starts_afresh() {
        let span = LogSpan::new(WINDOWS[1].0, 50);
        let mut log = ExactLog::default();
        (0..50).for_each(|_| log.add(span, 1, at(1_000)));
        let later = at(40 * 86_400_000);
        assert!(log.fits(span, span.window(WINDOWS[0].0), 5, 5, later));
        log.add(span, 1, later);
        assert_eq!(log.used(span, span.window(WINDOWS[1].0), later), 1);
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        let span = LogSpan::new(WINDOWS[0].0, 5);
        let mut log = ExactLog::default();
        log.add(span, 5, at(900_000));
        assert!(!log.fits(span, span.window(WINDOWS[0].0), 5, 1, at(3)));
    }
}
