use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use flashops_core::store::Store;
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::stack::{Stack, Stacked};

/// A service under all layers of the configuration in force.
///
/// The layers are built around a clone of the inner service when this is first asked whether it is ready, and anew when
/// another configuration has come into force since; requests under way go on under the one that they began with. A clone
/// builds its own. So a service that is only cloned, as a router's are, keeps nothing of configurations that are gone.
pub struct Controlled<S, K: Store, T> {
    inner: S,
    current: Arc<ArcSwap<Stack<K>>>,
    built: Option<(Arc<Stack<K>>, T)>,
}

impl<S, K: Store> Controlled<S, K, Stacked<S, K>> {
    pub(super) const fn new(inner: S, current: Arc<ArcSwap<Stack<K>>>) -> Self {
        Self { inner, current, built: None }
    }
}

impl<S, K, T> Controlled<S, K, T>
where
    S: Clone,
    K: Store,
    Stack<K>: Layer<S, Service = T>,
{
    /// The layers of the configuration in force.
    fn newest(&mut self) -> &mut T {
        let Self { inner, current, built } = self;
        if built.as_ref().is_some_and(|(stack, _)| !Arc::ptr_eq(&current.load(), stack)) {
            *built = None;
        }
        let (_, service) = built.get_or_insert_with(|| {
            let stack = current.load_full();
            let service = stack.layer(inner.clone());
            (stack, service)
        });
        service
    }
}

impl<S, K, T, B> Service<Request<B>> for Controlled<S, K, T>
where
    S: Clone,
    K: Store,
    T: Service<Request<B>>,
    Stack<K>: Layer<S, Service = T>,
{
    type Response = T::Response;
    type Error = T::Error;
    type Future = T::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.newest().poll_ready(cx)
    }

    /// # Panics
    ///
    /// If this was never asked whether it is ready.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (_, service) = self.built.as_mut().expect("a service is called when it is ready");
        service.call(request)
    }
}

impl<S: Clone, K: Store, T> Clone for Controlled<S, K, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), current: Arc::clone(&self.current), built: None }
    }
}

impl<S, K: Store, T> fmt::Debug for Controlled<S, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controlled").finish_non_exhaustive()
    }
}
