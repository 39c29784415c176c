use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::DrainBody;
use super::layer::Bounds;

pin_project! {
    /// The response of a [`Drain`](super::Drain).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
        bounds: Bounds,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, bounds: Bounds) -> Self {
        Self { call, bounds }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body + Send + 'static,
{
    type Output = Result<Response<DrainBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.call.poll(cx))?;
        Poll::Ready(Ok(response.map(|body| DrainBody::new(body, this.bounds.clone()))))
    }
}
