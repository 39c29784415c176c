use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::service::Running;

pin_project! {
    /// A response body that is measured to its end.
    #[derive(Debug)]
    pub struct MeasuredBody<B> {
        #[pin]
        body: B,
        running: Option<Running>,
    }
}

impl<B: Body> MeasuredBody<B> {
    pub(super) fn new(body: B, running: Option<Running>) -> Self {
        let running = running.filter(|_| !body.is_end_stream());
        Self { body, running }
    }
}

impl<B: Body> Body for MeasuredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.body.as_mut().poll_frame(cx));
        // Whoever knows the length may not ask for the end.
        if !matches!(polled, Some(Ok(_))) || this.body.is_end_stream() {
            drop(this.running.take());
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
