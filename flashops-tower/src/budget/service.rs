use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::store::Store;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::RequestSent;
use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::layer::Shared;
use super::request_body::RequestBody;
use super::route::ModelRoute;
use crate::identify::Identify;
use crate::path::plain;

/// The service of a [`TokenBudgetLayer`](super::TokenBudgetLayer).
///
/// It is ready when the inner service is. The instance that was found ready makes the call, however long the
/// reservation takes; a clone takes its place.
pub struct TokenBudget<S, T: Store, I, K> {
    inner: S,
    shared: Arc<Shared<T, I, K>>,
}

impl<S, T: Store, I, K> TokenBudget<S, T, I, K> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<T, I, K>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, T: Store, I, K> Clone for TokenBudget<S, T, I, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, T: Store, I, K> fmt::Debug for TokenBudget<S, T, I, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBudget").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, T, I, K, B, R> Service<Request<B>> for TokenBudget<S, T, I, K>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    T: Store,
    I: Identify,
    K: RequestSent<S::Error>,
    B: Body<Data = Bytes>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R, T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, I, K, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let not_ready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, not_ready);
        let path = plain(request.uri().path());
        match ModelRoute::find(&self.shared.options.routes, request.method(), &path) {
            Some(route) => ResponseFuture::metered(ready, Arc::clone(&self.shared), route, request),
            None if self.shared.refuses(request.method(), &path) => ResponseFuture::unmetered(&self.shared, request),
            None => ResponseFuture::passing(ready, request),
        }
    }
}
