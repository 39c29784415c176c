use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

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
    }
}

impl<B> RequestBody<B> {
    pub(super) const fn read(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { kind: Kind::Read { data: Some(data), trailers } }
    }

    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Read { data, trailers } => {
                let data = data.take().filter(|data| !data.is_empty()).map(Frame::data);
                Poll::Ready(data.or_else(|| trailers.take().map(Frame::trailers)).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Read { data, trailers } => data.as_ref().is_none_or(Bytes::is_empty) && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Read { data, .. } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}
