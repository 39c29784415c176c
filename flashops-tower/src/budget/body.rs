use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flashops_core::budget::Call;
use flashops_core::record::Ending;
use flashops_core::store::Store;
use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::usage::{HideUsage, Meter, Passed};

pin_project! {
    /// The body of a response: of a refusal, of a route that calls no model, or metered.
    ///
    /// A metered body passes every frame on as it comes, and settles the call when the last one has passed, when the
    /// inner body fails, or when it is dropped.
    #[derive(Debug)]
    pub struct ResponseBody<B, T>
    where
        T: Store,
    {
        #[pin]
        kind: Kind<B, T>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B, T>
    where
        T: Store,
    {
        Refused { data: Option<Bytes> },
        Passed { #[pin] body: B },
        Metered { #[pin] body: B, metering: Metering<T> },
    }
}

/// What is needed to settle one call from its response.
#[derive(Debug)]
pub(super) struct Metering<T: Store> {
    call: Option<Call<T>>,
    /// `None` where nobody knows how to read the body.
    meter: Option<Meter>,
    hide: Option<HideUsage>,
    passed: Passed,
    /// How the call ends if the body is complete.
    ending: Ending,
    /// Bytes that passed unread.
    unread: u64,
    /// The inner body has ended.
    drained: bool,
    trailers: Option<Frame<Bytes>>,
}

impl<B, T: Store> ResponseBody<B, T> {
    pub(crate) const fn refused(data: Bytes) -> Self {
        Self { kind: Kind::Refused { data: Some(data) } }
    }

    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(super) const fn metered(body: B, metering: Metering<T>) -> Self {
        Self { kind: Kind::Metered { body, metering } }
    }
}

impl<T: Store> Metering<T> {
    pub(super) fn new(call: Call<T>, meter: Option<Meter>, hides: bool, ending: Ending) -> Self {
        let hide = hides.then(HideUsage::new);
        let passed = Passed::default();
        Self { call: Some(call), meter, hide, passed, ending, unread: 0, drained: false, trailers: None }
    }

    /// Reads a chunk, and says what of it may pass now.
    fn look(&mut self, data: Bytes) -> Option<Bytes> {
        match &mut self.meter {
            Some(meter) => meter.push(&data),
            None => self.unread += data.len() as u64,
        }
        match &mut self.hide {
            None => Some(data),
            Some(hide) => {
                self.passed = hide.push(data);
                self.passed.next()
            }
        }
    }

    /// The next frame after the inner body has ended: what was withheld, then the trailers.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        let withheld = self.hide.as_mut().and_then(HideUsage::finish);
        let frame = withheld.map(Frame::data).or_else(|| self.trailers.take());
        if frame.is_none() {
            self.settle(true);
        }
        frame
    }

    /// Settles the call, once. A response that was whole by its own account is complete even if nobody polled for its
    /// end.
    pub(super) fn settle(&mut self, complete: bool) {
        let Some(mut call) = self.call.take() else { return };
        let (reported, counted, ended) = match &mut self.meter {
            None => (Usage::absent(), Tokens::saturating(self.unread.div_ceil(4)), true),
            Some(meter) => {
                meter.finish();
                (meter.usage(), meter.counted_output(), meter.ended())
            }
        };
        let known_whole = ended && self.meter.is_some();
        let whole =
            known_whole || complete && (ended || reported.quality == Quality::Exact || self.ending == Ending::Rejected);
        call.progress(Usage::estimated(Tokens::ZERO, counted));
        call.settle(&reported, if whole { self.ending } else { Ending::Cut });
    }
}

impl<T: Store> Drop for Metering<T> {
    fn drop(&mut self) {
        self.settle(false);
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
        match self.project().kind.project() {
            KindProj::Refused { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Metered { body, metering } => poll_metered(body, metering, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Refused { data } => data.is_none(),
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Metered { body, metering } => metering.call.is_none() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Refused { data } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Kind::Passed { body } => body.size_hint(),
            Kind::Metered { body, metering } if metering.hide.is_none() => body.size_hint(),
            Kind::Metered { .. } => SizeHint::default(),
        }
    }
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

fn poll_metered<B, T>(mut body: Pin<&mut B>, metering: &mut Metering<T>, cx: &mut Context<'_>) -> Polled<B::Error>
where
    B: Body<Data = Bytes>,
    T: Store,
{
    loop {
        if let Some(data) = metering.passed.next() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if metering.drained {
            return Poll::Ready(metering.rest().map(Ok));
        }
        let frame = match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                metering.settle(false);
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                metering.drained = true;
                continue;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let passes = metering.look(data);
                // Whoever knows the length may not poll again.
                if metering.hide.is_none() && body.is_end_stream() {
                    metering.settle(true);
                }
                if let Some(data) = passes {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
            Err(trailers) => {
                metering.drained = true;
                metering.trailers = Some(trailers);
            }
        }
    }
}
