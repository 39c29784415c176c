use std::io::{self, Write};

use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Fields, FindTraceId, TraceId};
use super::format::{Line, LogFormat};

/// Writes a line for each event. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct LogLayer<W = fn() -> io::Stdout, T = SystemTime> {
    format: LogFormat,
    writer: W,
    time: T,
}

impl LogLayer {
    /// Lines in this format, to the standard output.
    pub fn new(format: LogFormat) -> Self {
        Self { format, writer: io::stdout, time: SystemTime }
    }
}

impl<W, T> LogLayer<W, T> {
    /// The same, to another place.
    #[must_use]
    pub fn with_writer<W2>(self, writer: W2) -> LogLayer<W2, T>
    where
        W2: for<'a> MakeWriter<'a> + 'static,
    {
        LogLayer { format: self.format, writer, time: self.time }
    }

    /// The same, with times from elsewhere. They should be as RFC 3339 has them.
    #[must_use]
    pub fn with_time<T2: FormatTime>(self, time: T2) -> LogLayer<W, T2> {
        LogLayer { format: self.format, writer: self.writer, time }
    }
}

impl<S, W, T> Layer<S> for LogLayer<W, T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
    T: FormatTime + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        keep_trace_id(attributes, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let fields = Fields::of(event);
        let trace_id = fields.trace_id(event, &context);
        let mut time = String::new();
        // Who cannot tell the time still has something to say.
        let _unknown = self.time.format_time(&mut Writer::new(&mut time));
        let (metadata, trace_id) = (event.metadata(), trace_id.as_deref());
        let line = self.format.line(&Line { time: time.trim(), metadata, fields: &fields, trace_id });
        let _lost = self.writer.make_writer_for(metadata).write_all(line.as_bytes());
    }
}

/// Keeps the identity of a request with its span, where events in it find it.
pub(super) fn keep_trace_id<S>(attributes: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut found = FindTraceId::default();
    attributes.record(&mut found);
    if let (Some(trace_id), Some(span)) = (found.0, context.span(id)) {
        span.extensions_mut().replace(TraceId(trace_id));
    }
}
