use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::DrainBody;
use super::future::ResponseFuture;
use super::layer::Bounds;

/// Reads responses on that their clients have left; see the [module docs](super).
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
    bounds: Bounds,
}

impl<S> Drain<S> {
    pub(super) const fn new(inner: S, bounds: Bounds) -> Self {
        Self { inner, bounds }
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

impl<S, B, R> Service<Request<B>> for Drain<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
{
    type Response = Response<DrainBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(self.inner.call(request), self.bounds.clone())
    }
}
