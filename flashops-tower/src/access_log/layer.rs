use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::{Clock, SystemClock};
use flashops_core::limit::RoutePatterns;
use tower_layer::Layer;

use super::service::AccessLog;

/// Logs requests; see the [module docs](super).
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    shared: Arc<Shared>,
}

/// What all services of a layer share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) slow: Duration,
    pub(super) enabled: bool,
    pub(super) exempt: Option<Arc<RoutePatterns>>,
}

impl AccessLogLayer {
    /// How long a request takes that is called slow, unless told otherwise: longer than 10 s.
    pub const SLOW: Duration = Duration::from_secs(10);

    /// A layer that logs every request.
    pub fn new() -> Self {
        let shared = Shared { clock: Arc::new(SystemClock), slow: Self::SLOW, enabled: true, exempt: None };
        Self { shared: Arc::new(shared) }
    }

    /// The same, calling requests slow that take longer than this.
    #[must_use]
    pub fn with_slow(self, slow: Duration) -> Self {
        self.with(|shared| shared.slow = slow)
    }

    /// The same, or one that lets everything pass and does nothing.
    #[must_use]
    pub fn with_enabled(self, enabled: bool) -> Self {
        self.with(|shared| shared.enabled = enabled)
    }

    /// The same, without requests on these routes: those for health checks.
    #[must_use]
    pub fn with_exempt(self, exempt: RoutePatterns) -> Self {
        self.with(|shared| shared.exempt = Some(Arc::new(exempt)))
    }

    /// The same, measuring with this clock; [`SystemClock`] unless told otherwise.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with(|shared| shared.clock = Arc::new(clock))
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl Default for AccessLogLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("clock", &self.clock).field("slow", &self.slow).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AccessLog::new(inner, Arc::clone(&self.shared))
    }
}
