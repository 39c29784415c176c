use crate::sync::{AtomicUsize, Ordering};

/// How many rows one organisation may have for each that it leaves free.
const FOR_EACH_FREE: usize = 4;

/// How many buckets of a minute all rows have together before they keep whole hours.
const MAX_BUCKETS: usize = 1 << 20;

/// How many rows and buckets there are, and may be.
///
/// Nobody takes all rows: an organisation, or all anonymous callers together, may have four rows for each that is still
/// free. So one of them gets four fifths at most, two get four ninths each, and some always remain for the others.
#[derive(Debug)]
pub(super) struct Room {
    max_rows: usize,
    rows: AtomicUsize,
    anonymous: AtomicUsize,
    pub(super) max_buckets: usize,
    buckets: AtomicUsize,
}

impl Room {
    pub(super) fn new(max_rows: usize) -> Self {
        Self {
            max_rows,
            rows: AtomicUsize::new(0),
            anonymous: AtomicUsize::new(0),
            max_buckets: MAX_BUCKETS,
            buckets: AtomicUsize::new(0),
        }
    }

    /// Takes one row for an organisation that has so many, if it may have one more.
    pub(super) fn claim(&self, has: usize, anonymous: bool) -> bool {
        let has = if anonymous { self.anonymous.load(Ordering::Relaxed) } else { has };
        let claimed = self.rows.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rows| {
            let free = self.max_rows.saturating_sub(rows);
            (has / FOR_EACH_FREE < free).then_some(rows + 1)
        });
        if claimed.is_ok() && anonymous {
            self.anonymous.fetch_add(1, Ordering::Relaxed);
        }
        claimed.is_ok()
    }

    /// Notes how many buckets a row had and has.
    pub(super) fn buckets_changed(&self, had: usize, has: usize) {
        match has.checked_sub(had) {
            Some(more) => self.buckets.fetch_add(more, Ordering::Relaxed),
            None => self.buckets.fetch_sub(had - has, Ordering::Relaxed),
        };
    }

    /// Whether rows must do with fewer buckets.
    pub(super) fn is_crowded(&self) -> bool {
        self.buckets.load(Ordering::Relaxed) > self.max_buckets
    }

    #[cfg(test)]
    pub(super) fn buckets(&self) -> usize {
        self.buckets.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_last_rows_alone_and_the_bound_holds() {
        let room = Room::new(100);
        let mut first = 0;
        while room.claim(first, false) {
            first += 1;
        }
        assert_eq!(first, 80);
        let strangers = (0..1_000).filter(|_| room.claim(0, true)).count();
        assert_eq!(strangers, 16);
        let others = (0..1_000).filter(|_| room.claim(0, false)).count();
        assert_eq!(first + strangers + others, 100);
    }
}
