use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::LoggedBody;
use super::line::Line;

pin_project! {
    /// The response of an [`AccessLog`](super::AccessLog).
    pub struct ResponseFuture<F> {
        // `None` once it was dropped.
        #[pin]
        call: Option<F>,
        line: Option<Line>,
    }

    impl<F> PinnedDrop for ResponseFuture<F> {
        /// What the inner future settles when it is dropped is told in the span of its request.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.line.as_ref().map(|line| line.span.enter());
            this.call.set(None);
        }
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(call: F, line: Option<Line>) -> Self {
        Self { call: Some(call), line }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<LoggedBody<R>>, E>;

    /// # Panics
    ///
    /// If it is polled after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answered = {
            let _entered = this.line.as_ref().map(|line| line.span.enter());
            let call = this.call.as_mut().as_pin_mut().expect("it is there until it is dropped");
            let answered = ready!(call.poll(cx));
            // A call that a layer has given up on is told when it is dropped, in the span of its request.
            this.call.set(None);
            answered
        };
        let mut line = this.line.take();
        if let Some(line) = &mut line {
            line.status = answered.as_ref().ok().map(|response| response.status().as_u16());
            line.failed = answered.is_err();
        }
        Poll::Ready(answered.map(|response| response.map(|body| LoggedBody::new(body, line))))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
