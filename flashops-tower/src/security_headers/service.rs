use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::Scheme;
use http::{Request, Response};
use tower_service::Service;

use super::future::ResponseFuture;
use super::presets::Pair;

/// The service of a [`SecurityHeadersLayer`](super::SecurityHeadersLayer).
#[derive(Clone, Debug)]
pub struct SecurityHeaders<S> {
    inner: S,
    pairs: Option<Arc<[Pair]>>,
    hsts: bool,
}

impl<S> SecurityHeaders<S> {
    pub(super) const fn new(inner: S, pairs: Option<Arc<[Pair]>>, hsts: bool) -> Self {
        Self { inner, pairs, hsts }
    }
}

impl<S, B, R> Service<Request<B>> for SecurityHeaders<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let hsts = self.hsts || request.uri().scheme() == Some(&Scheme::HTTPS);
        ResponseFuture::new(self.inner.call(request), self.pairs.clone(), hsts)
    }
}
