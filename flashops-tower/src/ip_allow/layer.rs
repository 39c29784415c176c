use std::sync::Arc;

use flashops_core::limit::RoutePatterns;
use tower_layer::Layer;

use super::list::AddressList;
use super::service::IpAllow;
use crate::budget::ModelRoute;
use crate::reject::{Refuser, Reject};

/// Refuses addresses that may not come. See the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct IpAllowLayer {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) list: AddressList,
    /// The routes on which the allow list counts; `None` for all.
    pub(super) routes: Option<RoutePatterns>,
    pub(super) refuser: Refuser,
}

impl IpAllowLayer {
    /// A layer that goes by this list.
    pub fn new(list: AddressList) -> Self {
        Self { shared: Arc::new(Shared { list, ..Shared::default() }) }
    }

    /// Lets the allow list count on these routes only. The deny list counts on all of them.
    #[must_use]
    pub fn with_routes(self, routes: RoutePatterns) -> Self {
        self.with(|shared| shared.routes = Some(routes))
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(self, reject: impl Reject + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.refuser.reject = Arc::new(reject))
    }

    /// Refuses in the dialects of these routes.
    #[must_use]
    pub fn with_model_routes(self, routes: Arc<[ModelRoute]>) -> Self {
        self.with(|shared| shared.refuser.routes = routes)
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for IpAllowLayer {
    type Service = IpAllow<S>;

    fn layer(&self, inner: S) -> IpAllow<S> {
        IpAllow::new(inner, Arc::clone(&self.shared))
    }
}
