use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::MeasuredBody;
use super::service::Running;

pin_project! {
    /// The response of an [`HttpMetrics`](super::HttpMetrics).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: F,
        running: Option<Running>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, running: Option<Running>) -> Self {
        Self { call, running }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<MeasuredBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = ready!(this.call.poll(cx));
        let mut running = this.running.take();
        Poll::Ready(answered.map(|response| {
            if let Some(running) = &mut running {
                running.status = response.status().as_u16();
            }
            response.map(|body| MeasuredBody::new(body, running))
        }))
    }
}
