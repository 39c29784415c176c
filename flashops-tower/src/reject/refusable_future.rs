use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

use super::{RefusableBody, RejectBody};

pin_project! {
    /// The response of a service that lets a request pass to the inner one, or refuses it at once.
    pub struct RefusableFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Passing { #[pin] call: F },
        Refused { response: Option<Response<RejectBody>> },
    }
}

impl<F> RefusableFuture<F> {
    pub(crate) const fn passing(call: F) -> Self {
        Self { state: State::Passing { call } }
    }

    pub(crate) const fn refused(response: Response<RejectBody>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, R, E> Future for RefusableFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RefusableBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passing { call } => call.poll(cx).map_ok(|response| response.map(RefusableBody::passed)),
            StateProj::Refused { response } => {
                let response = response.take().expect("a future is not polled after it was ready");
                Poll::Ready(Ok(response.map(RefusableBody::refused)))
            }
        }
    }
}

impl<F> fmt::Debug for RefusableFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusableFuture").finish_non_exhaustive()
    }
}
