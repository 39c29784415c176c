use std::fmt;

use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::layer::keep_trace_id;

/// An event at the level error.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ErrorReport<'a> {
    /// What happened.
    pub message: &'a str,
    /// Where: the target of the event.
    pub target: &'a str,
    /// In which request, if it was one.
    pub trace_id: Option<&'a str>,
}

/// Gives every event at the level error to a closure, such as one that tells an error tracker.
///
/// ```
/// use std::sync::mpsc;
/// use flashops::log::ErrorHook;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let (tracker, errors) = mpsc::channel();
/// let hook = ErrorHook::new(move |report| {
///     let _gone = tracker.send(format!("{} in {}", report.message, report.trace_id.unwrap_or("no request")));
/// });
/// tracing::subscriber::with_default(tracing_subscriber::registry().with(hook), || {
///     let _request = tracing::error_span!("request", trace_id = "b34ac4ac").entered();
///     tracing::error!("the cellar is flooded");
///     tracing::warn!("it rains");
/// });
/// assert_eq!(errors.try_iter().collect::<Vec<_>>(), ["the cellar is flooded in b34ac4ac"]);
/// ```
///
/// The closure is called where the event happens: it hands on what it gets, and does not wait for an answer.
pub struct ErrorHook<F>(F);

impl<F> ErrorHook<F>
where
    F: Fn(&ErrorReport<'_>) + Send + Sync + 'static,
{
    /// A hook that calls this.
    pub const fn new(told: F) -> Self {
        Self(told)
    }
}

impl<F> fmt::Debug for ErrorHook<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorHook").finish_non_exhaustive()
    }
}

impl<S, F> Layer<S> for ErrorHook<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn(&ErrorReport<'_>) + Send + Sync + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        keep_trace_id(attributes, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let fields = Fields::of(event);
        let trace_id = fields.trace_id(event, &context);
        let (message, target) = (&*fields.message, event.metadata().target());
        (self.0)(&ErrorReport { message, target, trace_id: trace_id.as_deref() });
    }
}
