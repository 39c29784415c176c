//! `RateLimit-Policy` for limits that were told of before: it never changes.

use std::sync::OnceLock;

use flashops_core::limit::LimitIndex;
use flashops_core::store::MAX_STANDINGS;
use http::HeaderValue;

use crate::per_thread::PerThread;

/// How many lists of limits are remembered. Most services have few: one for each set of routes and kind of caller, and
/// one for each limit that refuses. Others are written each time.
const MAX_LISTS: usize = 16;

/// Some limits in their order: a byte for each, which is its place and one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Which(u64);

const _: () = assert!(MAX_STANDINGS <= 8);

impl Which {
    /// At most [`MAX_STANDINGS`] limits.
    #[inline]
    pub(super) fn of(limits: impl Iterator<Item = LimitIndex>) -> Self {
        Self(limits.fold(0, |all, limit| all << 8 | (limit.get() as u64 + 1)))
    }
}

/// The lists that were written before.
#[derive(Debug, Default)]
pub(super) struct Policies([OnceLock<(Which, PerThread<HeaderValue>)>; MAX_LISTS]);

impl Policies {
    /// The list of these limits. `write` writes it if it is told of for the first time.
    #[inline]
    pub(super) fn list(&self, which: Which, write: impl FnOnce() -> Option<HeaderValue>) -> Option<HeaderValue> {
        let known = self.0.iter().map_while(OnceLock::get).find(|(other, _)| *other == which);
        match known {
            Some((_, list)) => Some(list.here().clone()),
            None => self.remember(which, write()?),
        }
    }

    #[cold]
    fn remember(&self, which: Which, list: HeaderValue) -> Option<HeaderValue> {
        if let Some(free) = self.0.iter().find(|place| place.get().is_none()) {
            let copy = || HeaderValue::from_bytes(list.as_bytes()).expect("it is one already");
            // Where another thread was faster, the next request finds its list, or remembers this one.
            let _taken = free.set((which, PerThread::new(copy)));
        }
        Some(list)
    }
}
