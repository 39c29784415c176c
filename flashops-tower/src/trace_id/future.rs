use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::errors::{Answering, Kind, Text};
use crate::reject::RefusableBody;

pin_project! {
    /// The response of a [`TraceIdService`](super::TraceIdService).
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
        answering: Answering,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Calling { #[pin] call: F },
        // An error of plain text is read.
        Reading { #[pin] text: Text<R>, head: Option<Response<()>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(super) const fn new(call: F, answering: Answering) -> Self {
        Self { state: State::Calling { call }, answering }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<RefusableBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let mut response = ready!(call.poll(cx))?;
                    this.answering.mark(response.headers_mut());
                    match this.answering.kind_of(&response) {
                        Kind::Other => return Poll::Ready(Ok(response.map(RefusableBody::passed))),
                        Kind::Nothing => return Poll::Ready(Ok(this.answering.write(response.map(drop), None))),
                        Kind::Text => {
                            let (head, body) = response.into_parts();
                            State::Reading { text: Text::new(body), head: Some(Response::from_parts(head, ())) }
                        }
                    }
                }
                StateProj::Reading { text, head } => {
                    let text = ready!(text.poll(cx));
                    let head = head.take().expect("a future is not polled after it was ready");
                    return Poll::Ready(Ok(this.answering.write(head, text.as_deref())));
                }
            };
            this.state.set(next);
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
