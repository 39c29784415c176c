use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::store::Store;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::layer::Shared;
use crate::identify::Identify;

/// The service of a [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is ready when the inner service is. The instance that was found ready makes the call; a clone takes its place.
pub struct RateLimit<S, T, I> {
    inner: S,
    shared: Arc<Shared<T, I>>,
}

impl<S, T, I> RateLimit<S, T, I> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<T, I>>) -> Self {
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

impl<S: Clone, T, I> Clone for RateLimit<S, T, I> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, T, I> fmt::Debug for RateLimit<S, T, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, T, I, B, R> Service<Request<B>> for RateLimit<S, T, I>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    T: Store,
    I: Identify,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, I, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let not_ready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, not_ready);
        ResponseFuture::new(ready, Arc::clone(&self.shared), request)
    }
}
