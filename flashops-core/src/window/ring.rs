//! The strict sliding window: sub-buckets, the oldest counted whole.
//!
//! With R buckets of width W / (R − 1), what was added in bucket b counts until bucket b + R begins, which is at
//! least W after it was added. The sum over the buckets is kept as it changes, so the number of buckets costs nothing
//! in time, and the current bucket lives in the head, so that most calls touch nothing else.

use std::time::Duration;

use crate::clock::Tick;

/// The number of buckets. At saturation the ring admits 39/40 of an exact log.
pub(crate) const SLOTS: usize = 40;

/// The width of the buckets of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSpan {
    /// 2⁶⁴ / width, rounded down: a multiplication divides, and the width in force is never smaller than the one
    /// asked for.
    per_tick: u64,
}

impl RingSpan {
    /// For a window of this length, at least a microsecond.
    pub(crate) fn new(window: Duration) -> Self {
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).max(1_000);
        Self { per_tick: u64::MAX / window.div_ceil(SLOTS as u64 - 1) }
    }

    #[inline]
    fn bucket(self, tick: Tick) -> u64 {
        ((u128::from(tick.nanos()) * u128::from(self.per_tick)) >> 64) as u64
    }

    /// The first tick in a bucket.
    fn start(self, bucket: u64) -> Tick {
        let start = (u128::from(bucket) << 64).div_ceil(u128::from(self.per_tick));
        Tick::from_nanos(u64::try_from(start).unwrap_or(u64::MAX))
    }
}

/// A count that a bucket holds.
pub(crate) trait Count: Copy + Default + PartialEq {
    fn of(amount: u64) -> Self;
    fn get(self) -> u64;
}

impl Count for u64 {
    fn of(amount: u64) -> Self {
        amount
    }

    fn get(self) -> u64 {
        self
    }
}

impl Count for u32 {
    /// Saturates; only counts that stay within their limit are kept in 32 bits.
    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }

    fn get(self) -> u64 {
        self.into()
    }
}

/// The part of a ring that every call touches; the buckets before the current one are kept by the owner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head<C> {
    bucket: u64,
    current: C,
    sum: C,
}

impl<C: Count> Head<C> {
    /// What is used in the window that ends now. `slots` gives the buckets; it is asked for only when one is needed,
    /// and may make them then.
    #[inline]
    pub(crate) fn used<'s>(&mut self, span: RingSpan, now: Tick, slots: impl FnOnce(bool) -> &'s mut [C]) -> u64
    where
        C: 's,
    {
        let bucket = span.bucket(now);
        if bucket > self.bucket {
            self.advance(bucket, slots);
        }
        self.sum.get()
    }

    /// Moves on to a later bucket, dropping what leaves the window.
    #[cold]
    fn advance<'s>(&mut self, bucket: u64, slots: impl FnOnce(bool) -> &'s mut [C])
    where
        C: 's,
    {
        let elapsed = bucket - self.bucket;
        if self.sum.get() > 0 {
            let all_gone = elapsed >= SLOTS as u64;
            let slots = slots(!all_gone);
            if all_gone {
                slots.fill(C::default());
                self.sum = C::default();
            } else {
                slots[slot(self.bucket)] = self.current;
                for gone in self.bucket + 1..=bucket {
                    let left = std::mem::take(&mut slots[slot(gone)]);
                    self.sum = C::of(self.sum.get() - left.get());
                }
            }
        }
        self.current = C::default();
        self.bucket = bucket;
    }

    /// Adds to the bucket that the last call moved to.
    #[inline]
    pub(crate) fn add(&mut self, amount: u64) {
        let sum = C::of(self.sum.get().saturating_add(amount));
        let added = sum.get() - self.sum.get();
        self.sum = sum;
        self.current = C::of(self.current.get() + added);
    }

    /// Gives back what was added at a tick, unless it has left the window.
    pub(crate) fn remove(&mut self, span: RingSpan, amount: u64, at: Tick, slots: &mut [C]) {
        let bucket = span.bucket(at);
        if bucket + SLOTS as u64 <= self.bucket {
            return;
        }
        let held = match self.bucket.saturating_sub(bucket) {
            0 => &mut self.current,
            _ => match slots.get_mut(slot(bucket)) {
                Some(held) => held,
                None => return,
            },
        };
        let back = amount.min(held.get());
        *held = C::of(held.get() - back);
        self.sum = C::of(self.sum.get() - back);
    }

    /// The earliest tick at which at most `room` is used if nothing is added. The state must have been moved to now.
    pub(crate) fn down_to(&self, span: RingSpan, room: u64, now: Tick, slots: &[C]) -> Tick {
        let mut used = self.sum.get();
        if used <= room {
            return now;
        }
        let last = SLOTS as u64;
        if self.current.get() == used {
            return span.start(self.bucket + last);
        }
        for bucket in (self.bucket + 1).saturating_sub(last)..=self.bucket {
            let count = if bucket == self.bucket {
                self.current.get()
            } else {
                slots.get(slot(bucket)).map_or(0, |count| count.get())
            };
            used -= count;
            if used <= room {
                return span.start(bucket + last);
            }
        }
        span.start(self.bucket + last)
    }
}

#[inline]
fn slot(bucket: u64) -> usize {
    (bucket % SLOTS as u64) as usize
}

/// A ring of its own, for counts of any size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring {
    head: Head<u64>,
    /// Made when the first bucket is over.
    slots: Option<Box<[u64; SLOTS]>>,
}

impl Ring {
    #[inline]
    pub(crate) fn used(&mut self, span: RingSpan, now: Tick) -> u64 {
        let slots = &mut self.slots;
        self.head.used(span, now, |wanted| {
            if wanted && slots.is_none() {
                *slots = Some(Box::new([0; SLOTS]));
            }
            slots.as_deref_mut().map_or(&mut [][..], |slots| slots)
        })
    }

    #[inline]
    pub(crate) fn add(&mut self, span: RingSpan, amount: u64, now: Tick) {
        self.used(span, now);
        self.head.add(amount);
    }

    pub(crate) fn remove(&mut self, span: RingSpan, amount: u64, at: Tick) {
        let slots = self.slots.as_deref_mut().map_or(&mut [][..], |slots| slots);
        self.head.remove(span, amount, at, slots);
    }

    pub(crate) fn down_to(&mut self, span: RingSpan, room: u64, now: Tick) -> Tick {
        self.used(span, now);
        self.head.down_to(span, room, now, self.slots.as_deref().map_or(&[][..], |slots| slots))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    fn trailing(log: &[(u64, u64)], now: u64) -> u64 {
        log.iter().filter(|(at, _)| at + 60_000 > now).map(|(_, amount)| amount).sum()
    }

    proptest! {
        #[test]
        fn the_ring_never_counts_less_than_an_exact_log_nor_more_than_one_bucket_longer(
            steps in prop::collection::vec((0_u64..20_000, 1_u64..500), 1..200)
        ) {
            let (span, mut ring, mut log, mut now) = (RingSpan::new(WINDOW), Ring::default(), Vec::new(), 1);
            for (wait, amount) in steps {
                now += wait;
                let used = ring.used(span, at(now));
                prop_assert!(used >= trailing(&log, now));
                let bucket_longer: u64 =
                    log.iter().filter(|(at, _)| at + 61_540 > now).map(|(_, amount): &(u64, u64)| amount).sum();
                prop_assert!(used <= bucket_longer);
                ring.add(span, amount, at(now));
                log.push((now, amount));
            }
        }

        #[test]
        fn the_instant_it_names_is_the_first_at_which_the_room_is_there(
            steps in prop::collection::vec((0_u64..9_000, 1_u64..500), 1..60), room in 0_u64..2_000
        ) {
            let (span, mut ring, mut now) = (RingSpan::new(WINDOW), Ring::default(), 1);
            for (wait, amount) in steps {
                now += wait;
                ring.add(span, amount, at(now));
            }
            let then = ring.down_to(span, room, at(now));
            prop_assert!(ring.clone().used(span, then) <= room);
            if then > at(now) {
                prop_assert!(ring.used(span, Tick::from_nanos(then.nanos() - 1)) > room);
            }
        }

        #[test]
        fn what_is_given_back_leaves_the_ring_as_if_it_had_not_been_added(
            steps in prop::collection::vec((0_u64..9_000, 1_u64..500, any::<bool>()), 1..80), wait in 0_u64..90_000
        ) {
            let span = RingSpan::new(WINDOW);
            let (mut with, mut without, mut now, mut back) = (Ring::default(), Ring::default(), 1, Vec::new());
            for (wait, amount, given_back) in steps {
                now += wait;
                with.add(span, amount, at(now));
                if given_back {
                    back.push((at(now), amount));
                } else {
                    without.add(span, amount, at(now));
                }
            }
            now += wait;
            with.used(span, at(now));
            for (then, amount) in back {
                with.remove(span, amount, then);
            }
            prop_assert_eq!(with.used(span, at(now)), without.used(span, at(now)));
        }
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        let (span, mut ring) = (RingSpan::new(WINDOW), Ring::default());
        ring.add(span, 10, at(500_000));
        assert_eq!(ring.used(span, at(1)), 10);
        ring.add(span, 5, at(1));
        assert_eq!(ring.used(span, at(559_999)), 15);
    }
}
