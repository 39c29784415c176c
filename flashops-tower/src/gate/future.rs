use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::rate_limit::ResponseBody;
use crate::reject::RejectBody;

pin_project! {
    /// The response of a [`Gate`](super::Gate).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F> {
        // The inner service has the request.
        Calling { #[pin] call: F },
        // It was turned away.
        Refused { response: Option<Response<RejectBody>> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn calling(call: F) -> Self {
        Self { state: State::Calling { call } }
    }

    pub(super) const fn refused(response: Response<RejectBody>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { call } => call.poll(cx).map_ok(|response| response.map(ResponseBody::passed)),
            StateProj::Refused { response } => {
                let response = response.take().expect("a future is not polled after it was ready");
                Poll::Ready(Ok(response.map(|body| ResponseBody::refused(body.into_bytes()))))
            }
        }
    }
}
