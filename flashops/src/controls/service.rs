use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use flashops_core::clock::Clock;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::stack::{Stack, Stacked};

/// A service under all layers of the configuration in force.
///
/// Another configuration takes effect when the service is next asked whether it is ready: requests under way go on
/// under the one that they began with. The layers are then built anew around a clone of the inner service, also in each
/// clone that was made of this service before; that costs about as much as cloning it.
pub struct Controlled<S, C: Clock> {
    inner: S,
    current: Arc<ArcSwap<Stack<C>>>,
    built: Arc<Stack<C>>,
    service: Stacked<S, C>,
}

impl<S: Clone, C: Clock> Controlled<S, C> {
    pub(super) fn new(inner: S, current: Arc<ArcSwap<Stack<C>>>) -> Self {
        let built = current.load_full();
        let service = built.layer(inner.clone());
        Self { inner, current, built, service }
    }

    #[cold]
    fn rebuild(&mut self) {
        self.built = self.current.load_full();
        self.service = self.built.layer(self.inner.clone());
    }
}

impl<S, C, B, R> Service<Request<B>> for Controlled<S, C>
where
    S: Clone,
    C: Clock,
    Stacked<S, C>: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = <Stacked<S, C> as Service<Request<B>>>::Error;
    type Future = <Stacked<S, C> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !Arc::ptr_eq(&self.current.load(), &self.built) {
            self.rebuild();
        }
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.service.call(request)
    }
}

impl<S: Clone, C: Clock> Clone for Controlled<S, C>
where
    Stacked<S, C>: Clone,
{
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            current: Arc::clone(&self.current),
            built: Arc::clone(&self.built),
            service: self.service.clone(),
        }
    }
}

impl<S, C: Clock> fmt::Debug for Controlled<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controlled").finish_non_exhaustive()
    }
}
