use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::fallback::Recording;

pin_project! {
    /// The body of a request as the inner service gets it.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        // Read and, where the policy asks for it, changed.
        Read { data: Option<Bytes>, trailers: Option<HeaderMap> },
        // Not read: the route calls no model.
        Passed { #[pin] body: B },
        // Kept as it passes, for another attempt.
        Recorded { #[pin] body: B, recording: Recording },
    }
}

impl<B> RequestBody<B> {
    pub(crate) const fn read(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { kind: Kind::Read { data: Some(data), trailers } }
    }

    pub(crate) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(crate) const fn recorded(body: B, recording: Recording) -> Self {
        Self { kind: Kind::Recorded { body, recording } }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Recorded { mut body, recording } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                recording.note(frame.as_ref(), body.is_end_stream());
                Poll::Ready(frame)
            }
            KindProj::Read { data, trailers } => {
                let data = data.take().filter(|data| !data.is_empty()).map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } | Kind::Recorded { body, .. } => body.is_end_stream(),
            Kind::Read { data, trailers } => data.as_ref().is_none_or(Bytes::is_empty) && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } | Kind::Recorded { body, .. } => body.size_hint(),
            Kind::Read { data, .. } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}
