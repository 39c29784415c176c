use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::clock::Clock;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::ResponseBody;
use super::table::{ProviderLimits, Ticket};
use crate::reject::{NotDispatched, RejectBody};

pin_project! {
    /// The response of a [`ProviderLimited`](super::ProviderLimited).
    pub struct ResponseFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, C> {
        // The inner service has the request. Dropping the ticket counts it as sent and not answered.
        Calling { #[pin] call: F, ticket: Option<Ticket>, limits: ProviderLimits<C> },
        // The provider would refuse it.
        Refused { response: Option<Response<RejectBody>> },
    }
}

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

impl<F, C> ResponseFuture<F, C> {
    pub(super) const fn calling(call: F, ticket: Ticket, limits: ProviderLimits<C>) -> Self {
        Self { state: State::Calling { call, ticket: Some(ticket), limits } }
    }

    pub(super) const fn refused(response: Response<RejectBody>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }
}

impl<F, C, R, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<R>, E>>,
    C: Clock,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { call, ticket, limits } => {
                let answered = ready!(call.poll(cx));
                let ticket = ticket.take().expect(POLLED_AGAIN);
                Poll::Ready(answered.map(|response| pass(response, ticket, limits.clock())))
            }
            StateProj::Refused { response } => {
                let response = response.take().expect(POLLED_AGAIN);
                Poll::Ready(Ok(response.map(|body| ResponseBody::refused(body.into_bytes()))))
            }
        }
    }
}

/// Learns from an answer, and lets it pass.
fn pass<R: Body<Data = Bytes>>(
    response: Response<R>,
    mut ticket: Ticket,
    clock: &impl Clock,
) -> Response<ResponseBody<R>> {
    if response.extensions().get::<NotDispatched>().is_some() {
        ticket.not_sent();
        return response.map(|body| ResponseBody::passed(body, None));
    }
    ticket.answered(response.headers(), response.status(), clock);
    response.map(|body| ResponseBody::passed(body, Some(ticket)))
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
