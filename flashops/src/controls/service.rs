use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use flashops_core::store::Store;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::stack::{Stack, Stacked};

/// A service under all layers of the configuration in force.
///
/// Another configuration takes effect when the service is next asked whether it is ready: requests under way go on
/// under the one that they began with. The layers are then built anew around a clone of the inner service, also in each
/// clone that was made of this service before; that costs about as much as cloning it.
pub struct Controlled<S, T: Store> {
    inner: S,
    current: Arc<ArcSwap<Stack<T>>>,
    built: Arc<Stack<T>>,
    service: Stacked<S, T>,
}

impl<S: Clone, T: Store> Controlled<S, T> {
    pub(super) fn new(inner: S, current: Arc<ArcSwap<Stack<T>>>) -> Self {
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

impl<S, T, B, R> Service<Request<B>> for Controlled<S, T>
where
    S: Clone,
    T: Store,
    Stacked<S, T>: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = <Stacked<S, T> as Service<Request<B>>>::Error;
    type Future = <Stacked<S, T> as Service<Request<B>>>::Future;

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

impl<S: Clone, T: Store> Clone for Controlled<S, T>
where
    Stacked<S, T>: Clone,
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

impl<S, T: Store> fmt::Debug for Controlled<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controlled").finish_non_exhaustive()
    }
}
