use std::collections::VecDeque;
use std::time::Duration;

use super::{Tally, Totals};
use crate::clock::{Moment, Tick};

const MINUTE: u64 = 60 * 1_000_000_000;

/// How many minutes before the latest one are kept: those that the longest window reaches, and one more for reports
/// whose clock is a little behind the latest event.
const KEPT: u64 = Tally::MAX_WINDOW.as_secs() / 60 + 1;

/// How many of the latest minutes stay apart when a row has to do with fewer buckets.
const FINE: u64 = 61;

const MINUTES_PER_HOUR: u64 = 60;

/// The minutes of one row in which anything was counted.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// In order of time.
    buckets: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// The only minute in it, or the latest where an hour was merged.
    minute: u64,
    totals: Totals,
}

/// The minute in which a tick is.
pub(super) const fn minute(tick: Tick) -> u64 {
    tick.nanos() / MINUTE
}

/// The earliest minute that a window reaches.
pub(super) fn first_minute(window: Duration, now: Moment) -> u64 {
    let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    minute(Tick::from_nanos(now.tick.nanos().saturating_sub(window)))
}

impl Minutes {
    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Counts in a minute. What is older than the longest window is passed over. Says whether it was another minute
    /// than the one before, so that buckets may have come and gone.
    pub(super) fn add(&mut self, minute: u64, counted: &Totals) -> bool {
        if let Some(last) = self.buckets.back_mut()
            && last.minute == minute
        {
            last.totals.add(counted);
            return false;
        }
        let latest = self.buckets.back().map_or(minute, |last| last.minute.max(minute));
        self.trim(latest);
        if minute + KEPT < latest {
            return true;
        }
        let place = self.buckets.partition_point(|bucket| bucket.minute < minute);
        match self.buckets.get_mut(place) {
            Some(bucket) if bucket.minute == minute => bucket.totals.add(counted),
            _ => self.buckets.insert(place, Bucket { minute, totals: *counted }),
        }
        true
    }

    /// Drops what is older than the longest window.
    pub(super) fn trim(&mut self, latest: u64) {
        while self.buckets.front().is_some_and(|bucket| bucket.minute + KEPT < latest) {
            self.buckets.pop_front();
        }
        if self.buckets.is_empty() {
            self.buckets = VecDeque::new();
        }
    }

    /// Merges minutes of the same hour, all but the latest ones.
    pub(super) fn coarsen(&mut self) {
        let Some(fine) = self.buckets.back().map(|last| last.minute.saturating_sub(FINE)) else { return };
        let mut merged: VecDeque<Bucket> = VecDeque::new();
        for bucket in self.buckets.drain(..) {
            match merged.back_mut() {
                Some(last) if bucket.minute < fine && hour(last) == hour(&bucket) => {
                    last.minute = bucket.minute;
                    last.totals.add(&bucket.totals);
                }
                _ => merged.push_back(bucket),
            }
        }
        self.buckets = merged;
    }

    /// What was counted from a minute on.
    pub(super) fn since(&self, first: u64) -> Totals {
        let mut totals = Totals::default();
        for bucket in self.buckets.iter().rev().take_while(|bucket| bucket.minute >= first) {
            totals.add(&bucket.totals);
        }
        totals
    }
}

const fn hour(bucket: &Bucket) -> u64 {
    bucket.minute / MINUTES_PER_HOUR
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn voided(log: &[u64], from: u64) -> u64 {
        log.iter().filter(|&&minute| minute >= from).count() as u64
    }

    proptest! {
        #[test]
        fn minutes_in_any_order_are_counted_as_in_a_plain_list(
            steps in prop::collection::vec(0_u64..2_000, 1..300), windows in prop::collection::vec(0_u64..=1_440, 10)
        ) {
            let (mut minutes, mut log, mut latest) = (Minutes::default(), Vec::new(), 0);
            for minute in steps {
                minutes.add(minute, &Totals::VOIDED);
                log.push(minute);
                latest = latest.max(minute);
                for window in &windows {
                    let first = latest.saturating_sub(*window);
                    prop_assert_eq!(minutes.since(first).voided, voided(&log, first));
                }
                prop_assert!(minutes.len() as u64 <= KEPT + 1);
            }
        }

        #[test]
        fn merged_hours_never_count_less_and_at_most_an_hour_more(
            steps in prop::collection::vec(0_u64..20, 1..300), windows in prop::collection::vec(0_u64..=1_440, 4)
        ) {
            let (mut minutes, mut log, mut now) = (Minutes::default(), Vec::new(), 0);
            for wait in steps {
                now += wait;
                minutes.add(now, &Totals::VOIDED);
                minutes.coarsen();
                log.push(now);
                for window in &windows {
                    let first = now.saturating_sub(*window);
                    let counted = minutes.since(first).voided;
                    prop_assert!(counted >= voided(&log, first));
                    let longer = if *window <= 60 { 0 } else { 60 };
                    prop_assert!(counted <= voided(&log, first.saturating_sub(longer)));
                }
                prop_assert!(minutes.len() as u64 <= FINE + 27);
            }
        }
    }

    #[test]
    fn a_row_that_has_long_been_silent_takes_no_memory_for_minutes() {
        let mut minutes = Minutes::default();
        for minute in 0..100 {
            minutes.add(minute, &Totals::VOIDED);
        }
        minutes.trim(99 + KEPT);
        assert_eq!(minutes.len(), 1);
        minutes.trim(100 + KEPT);
        assert_eq!(minutes.buckets.capacity(), 0);
    }
}
