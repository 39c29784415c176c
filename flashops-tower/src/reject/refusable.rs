use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::RejectBody;

pin_project! {
    /// The body of a response: of the inner service, or of a refusal. By default an empty one.
    #[derive(Debug)]
    pub struct RefusableBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Passed { #[pin] body: B },
        Refused { #[pin] body: RejectBody },
    }
}

impl<B> RefusableBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(crate) const fn refused(body: RejectBody) -> Self {
        Self { kind: Kind::Refused { body } }
    }
}

impl<B> Default for RefusableBody<B> {
    fn default() -> Self {
        Self::refused(RejectBody::default())
    }
}

impl<B: Body<Data = Bytes>> Body for RefusableBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Refused { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Refused { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Refused { body } => body.size_hint(),
        }
    }
}
