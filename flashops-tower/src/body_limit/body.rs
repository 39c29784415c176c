use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A request body that ends in [`TooLong`] beyond its bound.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        body: B,
        left: u64,
        // Set when it was too long; `None` where it is known to fit.
        exceeded: Option<Arc<AtomicBool>>,
    }
}

impl<B> LimitedBody<B> {
    pub(super) const fn fitting(body: B) -> Self {
        Self { body, left: 0, exceeded: None }
    }

    pub(super) const fn counted(body: B, most: u64, exceeded: Arc<AtomicBool>) -> Self {
        Self { body, left: most, exceeded: Some(exceeded) }
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = match ready!(this.body.poll_frame(cx)) {
            Some(frame) => frame.map_err(Into::into),
            None => return Poll::Ready(None),
        };
        if let (Some(exceeded), Some(data)) = (this.exceeded, frame.as_ref().ok().and_then(Frame::data_ref)) {
            match this.left.checked_sub(data.len() as u64) {
                Some(left) => *this.left = left,
                None => {
                    *this.left = 0;
                    exceeded.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(Box::new(TooLong))));
                }
            }
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request body is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body is longer than it may be")
    }
}

impl Error for TooLong {}
