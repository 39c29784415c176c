use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::line::Line;

pin_project! {
    /// A response body at whose end the request is logged.
    pub struct LoggedBody<B> {
        // `None` once it was dropped.
        #[pin]
        body: Option<B>,
        line: Option<Line>,
    }

    impl<B> PinnedDrop for LoggedBody<B> {
        /// What the inner body settles when it is dropped is told in the span of its request, before the request.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.line.as_ref().map(|line| line.span.enter());
            this.body.set(None);
        }
    }
}

impl<B: Body> LoggedBody<B> {
    pub(super) fn new(body: B, line: Option<Line>) -> Self {
        let line = line.filter(|_| !body.is_end_stream());
        Self { body: Some(body), line }
    }
}

impl<B: Body> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let polled = {
            let _entered = this.line.as_ref().map(|line| line.span.enter());
            ready!(body.as_mut().poll_frame(cx))
        };
        // Whoever knows the length may not ask for the end.
        if !matches!(polled, Some(Ok(_))) || body.is_end_stream() {
            // What it settles when it is dropped is told before its request, and in its span.
            let entered = this.line.as_ref().map(|line| line.span.enter());
            this.body.set(None);
            drop(entered);
            drop(this.line.take());
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for LoggedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedBody").finish_non_exhaustive()
    }
}
