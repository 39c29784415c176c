use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::layer::{Bounds, Place};

/// A body that is read to its end also if it is dropped before.
///
/// It is boxed, because a body that was polled cannot move into a task.
pub struct DrainBody<B: Body + Send + 'static> {
    /// `None` once it has ended, or a task has it.
    body: Option<Pin<Box<B>>>,
    bounds: Bounds,
}

impl<B: Body + Send + 'static> DrainBody<B> {
    pub(super) fn new(body: B, bounds: Bounds) -> Self {
        let body = (!body.is_end_stream()).then(|| Box::pin(body));
        Self { body, bounds }
    }
}

impl<B: Body + Send + 'static> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = body.as_mut().poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body + Send + 'static> Drop for DrainBody<B> {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // Without a runtime, and without a place, the body is dropped here, and settles as cut.
        if let (Ok(runtime), Some(place)) = (Handle::try_current(), self.bounds.place()) {
            drop(runtime.spawn(drain(body, self.bounds.max_bytes, self.bounds.max_time, place)));
        }
    }
}

async fn drain<B: Body>(mut body: Pin<Box<B>>, max_bytes: u64, max_time: std::time::Duration, _place: Place) {
    let to_the_end = async {
        let mut read = 0_u64;
        while read <= max_bytes && !body.is_end_stream() {
            let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await else { break };
            read = read.saturating_add(frame.data_ref().map_or(0, |data| data.remaining() as u64));
        }
    };
    // At the bound the body goes, and settles what it has seen.
    let _late = timeout(max_time, to_the_end).await;
}

impl<B: Body + Send + 'static> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
