use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::store::Store;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::metering::Metering;

pin_project! {
    /// The body of a response: of a refusal, of a route that calls no model, or metered.
    ///
    /// A metered body passes every frame on as it comes, and settles the call when the inner body has ended, when it
    /// fails, or when it is dropped.
    pub struct ResponseBody<B, T>
    where
        B: Body,
        T: Store,
    {
        #[pin]
        kind: Kind<B, T>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B, T>
    where
        B: Body,
        T: Store,
    {
        // Bytes of the layer's own: of a refusal, or the end of a stream that it cut.
        Own { data: Option<Bytes> },
        Passed { #[pin] body: B },
        // The error of the inner body waits until the bytes before it have passed.
        Metered { #[pin] body: B, metering: Box<Metering<T>>, error: Option<B::Error> },
    }
}

impl<B: Body, T: Store> ResponseBody<B, T> {
    pub(super) fn refused(data: Bytes) -> Self {
        Self { kind: Kind::Own { data: Some(data).filter(|data| !data.is_empty()) } }
    }

    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(super) const fn metered(body: B, metering: Box<Metering<T>>) -> Self {
        Self { kind: Kind::Metered { body, metering, error: None } }
    }
}

impl<B, T> Body for ResponseBody<B, T>
where
    B: Body<Data = Bytes>,
    T: Store,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut kind = self.project().kind;
        match kind.as_mut().project() {
            KindProj::Own { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Metered { body, metering, error } => match ready!(poll_metered(body, metering, error, cx)) {
                Next::Frame(frame) => Poll::Ready(frame),
                Next::NoRoom => {
                    let last = metering.end_here();
                    // The inner body goes, so that its provider stops.
                    kind.set(Kind::Own { data: None });
                    Poll::Ready(last.map(|data| Ok(Frame::data(data))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own { data } => data.is_none(),
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Metered { metering, error, .. } => metering.is_done() && error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own { data } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Kind::Passed { body } => body.size_hint(),
            Kind::Metered { body, metering, .. } if !metering.alters() => body.size_hint(),
            Kind::Metered { .. } => SizeHint::default(),
        }
    }
}

/// What comes next of a metered body.
enum Next<E> {
    Frame(Option<Result<Frame<Bytes>, E>>),
    /// Nothing: it went beyond its hold, and no limit has room for more.
    NoRoom,
}

fn poll_metered<B, T>(
    mut body: Pin<&mut B>,
    metering: &mut Metering<T>,
    error: &mut Option<B::Error>,
    cx: &mut Context<'_>,
) -> Poll<Next<B::Error>>
where
    B: Body<Data = Bytes>,
    T: Store,
{
    loop {
        if let Some(frame) = metering.next_frame() {
            return Poll::Ready(Next::Frame(Some(Ok(frame))));
        }
        if metering.has_ended() {
            return Poll::Ready(Next::Frame(error.take().map(Err)));
        }
        if !ready!(metering.poll_room(cx)) {
            return Poll::Ready(Next::NoRoom);
        }
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                metering.take(frame);
                // Whoever knows the length may not poll again.
                if body.is_end_stream() {
                    metering.end(true);
                }
            }
            Some(Err(failed)) => {
                *error = Some(failed);
                metering.end(false);
            }
            None => metering.end(true),
        }
    }
}

impl<B: Body, T: Store> fmt::Debug for ResponseBody<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
