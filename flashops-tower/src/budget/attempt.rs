use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An extension of requests: all requests that carry clones of it are attempts of one.
///
/// Whoever sends a request again, to the same model or to another, gives each attempt a clone. The token budget then
/// counts the request itself once, with the first attempt that is sent; what each attempt uses counts as it is.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    counted: Arc<AtomicBool>,
}

impl Attempt {
    /// The first attempt of a request.
    pub fn first() -> Self {
        Self::default()
    }

    /// Whether an attempt was counted.
    pub(super) fn is_counted(&self) -> bool {
        self.counted.load(Ordering::Relaxed)
    }

    /// Notes that an attempt is counted, or that it was given back.
    pub(super) fn set_counted(&self, counted: bool) {
        self.counted.store(counted, Ordering::Relaxed);
    }
}
