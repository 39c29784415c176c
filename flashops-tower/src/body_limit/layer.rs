use std::sync::Arc;

use tower_layer::Layer;

use super::service::BodyLimit;
use crate::budget::ModelRoute;
use crate::reject::{Refuser, Reject};

/// Refuses request bodies beyond a bound. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct BodyLimitLayer {
    most: u64,
    refuser: Arc<Refuser>,
}

impl BodyLimitLayer {
    /// Lets request bodies have so many bytes.
    pub fn new(most: u64) -> Self {
        Self { most, refuser: Arc::default() }
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(mut self, reject: impl Reject + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.refuser).reject = Arc::new(reject);
        self
    }

    /// Refuses in the dialects of these routes.
    #[must_use]
    pub fn with_model_routes(mut self, routes: Arc<[ModelRoute]>) -> Self {
        Arc::make_mut(&mut self.refuser).routes = routes;
        self
    }
}

impl<S> Layer<S> for BodyLimitLayer {
    type Service = BodyLimit<S>;

    fn layer(&self, inner: S) -> BodyLimit<S> {
        BodyLimit::new(inner, self.most, Arc::clone(&self.refuser))
    }
}
