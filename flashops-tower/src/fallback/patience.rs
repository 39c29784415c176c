//! How long the end of a failed answer is waited for.

use std::task::Context;
use std::time::Duration;

/// The time that is left; without the feature `tokio`, and outside of its runtime, there is no end to it.
#[derive(Debug)]
pub(super) struct Patience {
    #[cfg(feature = "tokio")]
    sleep: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl Patience {
    /// So much time from now.
    #[cfg(feature = "tokio")]
    pub(super) fn new(most: Duration) -> Self {
        let runtime = tokio::runtime::Handle::try_current();
        Self { sleep: runtime.is_ok().then(|| Box::pin(tokio::time::sleep(most))) }
    }

    /// No end to it.
    #[cfg(not(feature = "tokio"))]
    pub(super) const fn new(_: Duration) -> Self {
        Self {}
    }

    /// Whether the time is over; if not, the task is woken when it is.
    #[cfg(feature = "tokio")]
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }

    #[cfg(not(feature = "tokio"))]
    pub(super) const fn is_over(&mut self, _: &mut Context<'_>) -> bool {
        false
    }
}
