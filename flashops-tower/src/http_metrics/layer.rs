use std::fmt;
use std::sync::Arc;

use flashops_core::clock::{Clock, SystemClock};
use flashops_core::limit::{RouteError, RoutePatterns};
use http::Extensions;
use tower_layer::Layer;

use super::names::HttpNames;
use super::service::HttpMetrics;
use super::table::Table;

/// Finds the template of the route that a router has put into a request's extensions.
pub type FindRoute = for<'a> fn(&'a Extensions) -> Option<&'a str>;

/// Measures requests; see the [module docs](super).
#[derive(Clone)]
pub struct HttpMetricsLayer {
    shared: Arc<Shared>,
}

/// What all services of a layer share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) table: Arc<Table>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) enabled: bool,
    pub(super) exempt: Option<Arc<RoutePatterns>>,
    pub(super) template: FindRoute,
}

impl HttpMetricsLayer {
    /// A layer with the [documented names](HttpNames::DOCUMENTED), for which every route is `other`.
    pub fn new() -> Self {
        let (table, clock) = (Arc::new(Table::new(HttpNames::DOCUMENTED)), Arc::new(SystemClock));
        Self { shared: Arc::new(Shared { table, clock, enabled: true, exempt: None, template: |_| None }) }
    }

    /// The same, with other names.
    #[must_use]
    pub fn with_names(self, names: HttpNames) -> Self {
        self.with(|shared| shared.table = Arc::new(shared.table.with_names(names)))
    }

    /// The same, with these routes by their templates, which are patterns of [`RoutePatterns`]. The first that has a
    /// path is its label.
    ///
    /// # Errors
    ///
    /// [`RouteError`] for a template that is no pattern.
    pub fn with_routes<I>(self, templates: I) -> Result<Self, RouteError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let table = Arc::new(self.shared.table.with_routes(templates)?);
        Ok(self.with(|shared| shared.table = table))
    }

    /// The same, asking a router first: what it says must be a template, not a path.
    #[must_use]
    pub fn with_route_of(self, template: FindRoute) -> Self {
        self.with(|shared| shared.template = template)
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

impl Default for HttpMetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpMetricsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetricsLayer").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for HttpMetricsLayer {
    type Service = HttpMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpMetrics::new(inner, Arc::clone(&self.shared))
    }
}
