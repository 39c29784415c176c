use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::store::Store;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::future::ResponseFuture;
use super::layer::Copies;
use crate::identify::Identify;
use crate::reject::RefusableBody;

/// The service of a [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is ready when the inner service is. The instance that was found ready makes the call: at once, if the store
/// answers at once; else when it does, and a clone takes the instance's place meanwhile.
pub struct RateLimit<S, T, I> {
    inner: S,
    copies: Copies<T, I>,
}

impl<S, T, I> RateLimit<S, T, I> {
    pub(super) const fn new(inner: S, copies: Copies<T, I>) -> Self {
        Self { inner, copies }
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
        Self { inner: self.inner.clone(), copies: Arc::clone(&self.copies) }
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
    type Response = Response<RefusableBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, T, I, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(&mut self.inner, self.copies.here(), request)
    }
}
