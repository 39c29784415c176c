use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The most bytes of one text that are written.
pub const MAX_TEXT: usize = 8 << 10;

/// The field that has the identity of a request.
pub(super) const TRACE_ID: &str = "trace_id";

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Missing,
    Text(String),
    /// A number or a truth value, as it is written.
    Plain(String),
}

/// What one event says.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) message: String,
    /// Each field that the event names, in that order.
    pub(super) all: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let names = event.metadata().fields().iter().map(|field| field.name());
        let all = names.filter(|&name| name != "message").map(|name| (name, Value::Missing)).collect();
        let mut fields = Self { message: String::new(), all };
        event.record(&mut fields);
        fields
    }

    /// The identity of the request, of the event or of the nearest span that has one.
    pub(super) fn trace_id<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Option<String>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let own = self.all.iter().find_map(|(name, value)| match value {
            Value::Text(id) if *name == TRACE_ID => Some(id.clone()),
            _ => None,
        });
        let of_span = || {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| span.extensions().get::<TraceId>().map(|id| id.0.clone()))
        };
        own.or_else(of_span)
    }

    fn set(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            if let Value::Text(text) | Value::Plain(text) = value {
                self.message = text;
            }
        } else if let Some((_, place)) = self.all.iter_mut().find(|(name, _)| *name == field.name()) {
            *place = value;
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, text: &str) {
        let mut bounded = Bounded::default();
        let _cut = bounded.write_str(text);
        self.set(field, Value::Text(bounded.0));
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        self.set(field, Value::Plain(number.to_string()));
    }

    fn record_i64(&mut self, field: &Field, number: i64) {
        self.set(field, Value::Plain(number.to_string()));
    }

    fn record_f64(&mut self, field: &Field, number: f64) {
        let text = number.to_string();
        self.set(field, if number.is_finite() { Value::Plain(text) } else { Value::Text(text) });
    }

    fn record_bool(&mut self, field: &Field, truth: bool) {
        self.set(field, Value::Plain(truth.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut bounded = Bounded::default();
        let _cut = write!(bounded, "{value:?}");
        self.set(field, Value::Text(bounded.0));
    }
}

/// A text that takes no more than the bound.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT - self.0.len();
        let end = (0..=room.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The identity of a request, kept with a span.
pub(super) struct TraceId(pub(super) String);

/// Finds the identity among the fields of a span.
#[derive(Default)]
pub(super) struct FindTraceId(pub(super) Option<String>);

impl Visit for FindTraceId {
    fn record_str(&mut self, field: &Field, text: &str) {
        self.record_debug(field, &format_args!("{text}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == TRACE_ID {
            let mut bounded = Bounded::default();
            let _cut = write!(bounded, "{value:?}");
            self.0 = Some(bounded.0);
        }
    }
}
