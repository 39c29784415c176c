//! A value in several copies, of which each thread uses its own.
//!
//! What is shared and counted ([`Arc`](std::sync::Arc), [`Bytes`](bytes::Bytes)) is written at each clone, and two
//! threads that clone the same one take its cache line from each other, with every request. Copies cost a little memory
//! instead.
//!
//! Edge cases: threads beyond the number of copies share them, which is slower and nothing else.
//!
//! What this module does not do: keep copies alike. It is for values that never change.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many copies there are.
const COPIES: usize = 16;

/// A value that shares its cache lines, and those that are fetched with them, with no other.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// A value in several copies.
#[derive(Debug)]
pub(crate) struct PerThread<T>(Box<[T]>);

impl<T> PerThread<T> {
    /// `make` makes one copy.
    pub(crate) fn new(make: impl FnMut() -> T) -> Self {
        Self(std::iter::repeat_with(make).take(COPIES).collect())
    }

    /// The copy of this thread.
    #[inline]
    pub(crate) fn here(&self) -> &T {
        &self.0[place()]
    }
}

/// Threads take their places in the order in which they come here first.
#[inline]
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
    }
    PLACE.with(|place| *place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_copy_and_all_copies_are_apart() {
        let copies = PerThread::new(|| Apart(0_u8));
        let address = || std::ptr::from_ref(copies.here()).addr();
        let here = address();
        assert_eq!(here, address());
        assert_eq!(here % 128, 0);
        assert_eq!(std::mem::size_of_val(&*copies.0), 128 * COPIES);
    }
}
