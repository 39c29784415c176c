use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::store::Store;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::future::ResponseFuture;
use super::layer::Shared;
use crate::budget::{ModelRoute, RequestBody};
use crate::path::plain;

/// Tries the next model of a route; see the [module docs](super).
pub struct Fallback<S, T: Store> {
    inner: S,
    shared: Arc<Shared<T>>,
}

impl<S, T: Store> Fallback<S, T> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<T>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, T: Store> Clone for Fallback<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, T: Store> fmt::Debug for Fallback<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, T, B, R> Service<Request<B>> for Fallback<S, T>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    T: Store,
    B: Body<Data = Bytes>,
    R: Body<Data = Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The instance that was found ready makes the call.
        let not_ready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, not_ready);
        let route = ModelRoute::find(&self.shared.routes, request.method(), &plain(request.uri().path()));
        match route.filter(|&route| !self.shared.routes[route].fallback().is_empty()) {
            Some(route) => ResponseFuture::first(ready, Arc::clone(&self.shared), route, request),
            None => ResponseFuture::passing(ready, request),
        }
    }
}
