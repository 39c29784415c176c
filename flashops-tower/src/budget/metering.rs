use bytes::Bytes;
use flashops_core::budget::Call;
use flashops_core::record::Ending;
use flashops_core::store::Store;
use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};
use http_body::Frame;

use crate::inspect::WireFormat;
use crate::usage::{BodyKind, ContentCoding, EncodedMeter, HideUsage, Passed};

/// Reads one response as it passes, and settles its call.
#[derive(Debug)]
pub(super) struct Metering<T: Store> {
    call: Option<Call<T>>,
    /// `None` where nobody knows how to read the body.
    meter: Option<EncodedMeter>,
    hide: Option<HideUsage>,
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
    pub(super) fn new(
        call: Call<T>,
        format: WireFormat,
        kind: Option<(BodyKind, ContentCoding)>,
        hides: bool,
        ending: Ending,
    ) -> Self {
        let meter = kind.map(|(kind, coding)| EncodedMeter::new(format, kind, coding));
        let (hide, next) = (hides.then(HideUsage::new), Waiting::default());
        Self { call: Some(call), meter, hide, ending, seen: 0, length: None, ended: false, next }
    }

    /// The same, for a body that is complete with so many bytes.
    pub(super) const fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }

    /// Whether an event may be taken out of the body.
    pub(super) const fn hides(&self) -> bool {
        self.hide.is_some()
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
            let meter = meter.meter();
            if let (Some(call), true) = (&mut self.call, meter.is_stream()) {
                let counted = meter.counted_within(call.estimate().output);
                call.progress(Usage::estimated(Tokens::ZERO, counted));
            }
        }
        match &mut self.hide {
            None => self.next.data = Some(data),
            Some(hide) => self.next.passed = hide.push(data),
        }
    }

    /// The inner body has ended, properly or not. What was withheld passes now, unless it is the usage.
    pub(super) fn end(&mut self, complete: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        if let Some(hide) = &mut self.hide {
            self.next.data = hide.finish();
        }
        self.settle(complete);
    }

    /// Settles the call, once. A response that was whole by its own account is complete even if its end did not come.
    fn settle(&mut self, complete: bool) {
        let Some(mut call) = self.call.take() else { return };
        let estimate = call.estimate();
        // A server that has sent what was declared does not ask for the end.
        let complete = complete || self.length == Some(self.seen);
        let (reported, counted, whole) = match &mut self.meter {
            None => (Usage::absent(), Tokens::saturating(self.seen.div_ceil(4)).min(estimate.output), complete),
            Some(meter) => {
                meter.finish();
                let meter = meter.meter();
                let reported = meter.usage_within(estimate);
                let needs_no_end =
                    self.seen == 0 || reported.quality == Quality::Exact || self.ending == Ending::Rejected;
                (reported, meter.counted_within(estimate.output), meter.ended() || complete && needs_no_end)
            }
        };
        call.note(Usage::estimated(Tokens::ZERO, counted));
        call.settle(&reported, if whole { self.ending } else { Ending::Cut });
    }
}

impl<T: Store> Drop for Metering<T> {
    fn drop(&mut self) {
        self.settle(false);
    }
}
