use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;

use crate::reject::{Dialect, RefusableBody, Refusal, Refuser, RejectBody, RequestId};

pin_project! {
    /// The response of a [`BodyLimit`](super::BodyLimit).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Passing { #[pin] call: F, watch: Option<Box<Watch>> },
        Refused { response: Option<Response<RejectBody>> },
    }
}

/// What is needed for a refusal if a body turns out to be too long.
pub(super) struct Watch {
    pub(super) exceeded: Arc<AtomicBool>,
    pub(super) most: u64,
    pub(super) dialect: Dialect,
    pub(super) id: Option<HeaderValue>,
    pub(super) refuser: Arc<Refuser>,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn passing(call: F, watch: Option<Box<Watch>>) -> Self {
        Self { state: State::Passing { call, watch } }
    }

    pub(super) const fn refused(response: Response<RejectBody>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl Watch {
    /// The refusal in place of an error that came of the body.
    fn instead_of<R>(&self, response: Response<R>) -> Response<RefusableBody<R>> {
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        if !is_error || !self.exceeded.load(Ordering::Relaxed) {
            return response.map(RefusableBody::passed);
        }
        let id = self.id.as_ref().and_then(RequestId::from_value);
        let mut refused = self.refuser.reject(self.dialect, id, &Refusal::BodyTooLarge { most: self.most });
        // What layers on the way said of the request stays true: that it was not dispatched, or failed.
        *refused.extensions_mut() = response.into_parts().0.extensions;
        refused.map(RefusableBody::refused)
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RefusableBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passing { call, watch } => {
                let response = ready!(call.poll(cx))?;
                Poll::Ready(Ok(match watch {
                    Some(watch) => watch.instead_of(response),
                    None => response.map(RefusableBody::passed),
                }))
            }
            StateProj::Refused { response } => {
                let response = response.take().expect("a future is not polled after it was ready");
                Poll::Ready(Ok(response.map(RefusableBody::refused)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
