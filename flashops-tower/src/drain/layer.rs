use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_layer::Layer;

use super::service::Drain;

/// Reads responses on that their clients have left; see the [module docs](super).
#[derive(Clone, Debug)]
pub struct DrainLayer {
    bounds: Bounds,
}

/// How much is read on.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) max_time: Duration,
    pub(super) max_bytes: u64,
    max_drains: usize,
    drains: Arc<AtomicUsize>,
}

impl DrainLayer {
    /// How long a response is read on, unless told otherwise.
    pub const MAX_TIME: Duration = Duration::from_secs(30);
    /// How many bytes of a response are read on, unless told otherwise: 1 MiB.
    pub const MAX_BYTES: u64 = 1 << 20;
    /// How many responses are read on at once, unless told otherwise.
    pub const MAX_DRAINS: usize = 256;

    /// A layer with the usual bounds.
    pub fn new() -> Self {
        Self {
            bounds: Bounds {
                max_time: Self::MAX_TIME,
                max_bytes: Self::MAX_BYTES,
                max_drains: Self::MAX_DRAINS,
                drains: Arc::default(),
            },
        }
    }

    /// The same, reading on for at most so long.
    #[must_use]
    pub const fn with_max_time(mut self, most: Duration) -> Self {
        self.bounds.max_time = most;
        self
    }

    /// The same, reading on at most so many bytes of each response. The frame that goes beyond is still read.
    #[must_use]
    pub const fn with_max_bytes(mut self, most: u64) -> Self {
        self.bounds.max_bytes = most;
        self
    }

    /// The same, reading on at most so many responses at once. Any further one is dropped as if there were no such
    /// layer.
    #[must_use]
    pub const fn with_max_drains(mut self, most: usize) -> Self {
        self.bounds.max_drains = most;
        self
    }
}

impl Default for DrainLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Drain::new(inner, self.bounds.clone())
    }
}

impl Bounds {
    /// A place among those that are drained at once, if one is free.
    pub(super) fn place(&self) -> Option<Place> {
        let one_more = |drains| (drains < self.max_drains).then_some(drains + 1);
        self.drains.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(&self.drains)))
    }
}

/// A place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
