use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::table::Ticket;

pin_project! {
    /// The body of a response: of the provider, or of a refusal. It passes every frame as it comes.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        // The call is in flight until the body has ended or is dropped.
        Passed { #[pin] body: B, ticket: Option<Ticket> },
        Refused { data: Option<Bytes> },
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    pub(super) fn passed(body: B, ticket: Option<Ticket>) -> Self {
        let ticket = ticket.filter(|_| !body.is_end_stream());
        Self { kind: Kind::Passed { body, ticket } }
    }

    pub(super) fn refused(data: Bytes) -> Self {
        Self { kind: Kind::Refused { data: Some(data).filter(|data| !data.is_empty()) } }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Passed { mut body, ticket } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                // Whoever knows the length may not poll again.
                if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
                    *ticket = None;
                }
                Poll::Ready(frame)
            }
            KindProj::Refused { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body, .. } => body.is_end_stream(),
            Kind::Refused { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body, .. } => body.size_hint(),
            Kind::Refused { data } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
