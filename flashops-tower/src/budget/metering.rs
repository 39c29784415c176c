use std::task::{Context, Poll};

use bytes::Bytes;
use flashops_core::budget::Call;
use flashops_core::record::Ending;
use flashops_core::store::Store;
use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};
use http_body::Frame;

use crate::inspect::WireFormat;
use crate::usage::{BodyKind, ContentCoding, CutStream, EncodedMeter, HideUsage, Passed};

/// Reads one response as it passes, and settles its call.
#[derive(Debug)]
pub(super) struct Metering<T: Store> {
    call: Option<Call<T>>,
    /// `None` where nobody knows how to read the body.
    meter: Option<EncodedMeter>,
    hide: Option<HideUsage>,
    /// Where a stream is ended that has no room.
    cut: Option<CutStream>,
    /// How the call ends if the body is complete.
    ending: Ending,
    /// Bytes of the inner body so far.
    seen: u64,
    /// How many it has, if that was declared.
    length: Option<u64>,
    ended: bool,
    next: Waiting,
}

/// What the client has still to get.
#[derive(Debug, Default)]
struct Waiting {
    data: Option<Bytes>,
    passed: Passed,
    trailers: Option<Frame<Bytes>>,
}

impl<T: Store> Metering<T> {
    /// In a box: a body goes through many hands before it is read.
    pub(super) fn new(
        call: Call<T>,
        format: WireFormat,
        kind: Option<(BodyKind, ContentCoding)>,
        hides: bool,
        ending: Ending,
    ) -> Box<Self> {
        let meter = kind.map(|(kind, coding)| EncodedMeter::new(format, kind, coding));
        let (hide, next) = (hides.then(HideUsage::new), Waiting::default());
        Box::new(Self { call: Some(call), meter, hide, cut: None, ending, seen: 0, length: None, ended: false, next })
    }

    /// Ends the stream when it goes beyond its hold and finds no room.
    pub(super) fn set_cut(&mut self, cut: Option<CutStream>) {
        self.cut = cut;
    }

    /// The body is complete with so many bytes.
    pub(super) const fn set_length(&mut self, length: Option<u64>) {
        self.length = length;
    }

    /// Whether the body may come out with another length than it went in.
    pub(super) const fn alters(&self) -> bool {
        self.hide.is_some() || self.cut.is_some()
    }

    /// Whether nothing more comes from the inner body.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing more goes to the client.
    pub(super) fn is_done(&self) -> bool {
        let Waiting { data, passed, trailers } = &self.next;
        self.ended && data.is_none() && passed.len() == 0 && trailers.is_none()
    }

    /// The next frame that may pass.
    pub(super) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        let Waiting { data, passed, trailers } = &mut self.next;
        let data = passed.next().or_else(|| data.take()).map(Frame::data);
        data.or_else(|| trailers.take())
    }

    /// Looks at a frame of the inner body.
    pub(super) fn take(&mut self, frame: Frame<Bytes>) {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => {
                self.end(true);
                self.next.trailers = Some(trailers);
                return;
            }
        };
        self.seen = self.seen.saturating_add(data.len() as u64);
        if let Some(meter) = &mut self.meter {
            meter.push(&data);
        }
        if let Some(call) = &mut self.call {
            match self.meter.as_ref().map(EncodedMeter::meter).filter(|meter| meter.is_stream()) {
                Some(meter) => {
                    let counted = meter.counted_within(call.estimate().output);
                    call.progress(Usage::estimated(Tokens::ZERO, counted));
                }
                None => call.renew(),
            }
        }
        self.filter(data);
    }

    /// Lets pass what may pass of the next bytes.
    fn filter(&mut self, data: Bytes) {
        match (&mut self.hide, &mut self.cut) {
            (None, None) => self.next.data = Some(data),
            (Some(hide), None) => self.next.passed = hide.push(data),
            (None, Some(cut)) => self.next.passed = cut.push(data),
            (Some(hide), Some(cut)) => self.next.passed = hide.push(data).flat_map(|data| cut.push(data)).collect(),
        }
    }

    /// Lets pass what was withheld, unless it is the usage.
    fn release(&mut self) {
        let withheld = self.hide.as_mut().and_then(HideUsage::finish);
        match &mut self.cut {
            Some(cut) => {
                let passed = std::mem::take(&mut self.next.passed);
                self.next.passed = passed.chain(withheld.into_iter().flat_map(|data| cut.push(data))).collect();
                self.next.data = cut.finish();
            }
            None => self.next.data = self.next.data.take().or(withheld),
        }
    }

    /// Whether the stream may go on; `false` if it is to end here.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match (&mut self.call, &self.cut, &self.meter) {
            (Some(call), Some(cut), Some(meter)) if cut.can_end() && !meter.meter().ended() => call.poll_room(cx),
            _ => Poll::Ready(true),
        }
    }

    /// Ends the stream here; gives its last bytes.
    pub(super) fn end_here(&mut self) -> Option<Bytes> {
        self.ended = true;
        let (meter, call) = (self.meter.as_ref()?, self.call.as_ref()?);
        let counted = meter.meter().counted_within(call.estimate().output);
        let last = self.cut.as_mut().map(|cut| cut.end_here(counted.get()));
        self.settle(false, Ending::Exhausted);
        last
    }

    /// The inner body has ended, properly or not. What was withheld passes now, unless it is the usage.
    pub(super) fn end(&mut self, complete: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.release();
        self.settle(complete, Ending::Cut);
    }

    /// Settles the call, once. A response that was whole by its own account is complete even if its end did not come.
    fn settle(&mut self, complete: bool, broken: Ending) {
        let Some(mut call) = self.call.take() else { return };
        let estimate = call.estimate();
        // A server that has sent what was declared does not ask for the end.
        let complete = complete || self.length == Some(self.seen);
        let mut others = Vec::new();
        let (reported, counted, whole) = match &mut self.meter {
            None => (Usage::absent(), Tokens::saturating(self.seen.div_ceil(4)).min(estimate.output), complete),
            Some(meter) => {
                meter.finish();
                let meter = meter.meter();
                let reported = meter.usage_within(estimate);
                others = meter.other_models();
                let needs_no_end =
                    self.seen == 0 || reported.quality == Quality::Exact || self.ending == Ending::Rejected;
                (reported, meter.counted_within(estimate.output), meter.ended() || complete && needs_no_end)
            }
        };
        call.note(Usage::estimated(Tokens::ZERO, counted));
        call.settle_with(&reported, &others, if whole { self.ending } else { broken });
    }
}

impl<T: Store> Drop for Metering<T> {
    fn drop(&mut self) {
        self.settle(false, Ending::Cut);
    }
}
