//! Lines of a log: a layer for `tracing-subscriber` that writes one for each event, as JSON or for people.
//!
//! ```
//! use flashops::log::{LogFormat, LogLayer};
//! use tracing_subscriber::filter::Targets;
//! use tracing_subscriber::layer::{Layer, SubscriberExt};
//!
//! let format: LogFormat = "json".parse()?;
//! let filter: Targets = "info".parse()?;
//! let subscriber = tracing_subscriber::registry().with(LogLayer::new(format).with_filter(filter));
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::info!(pets = 3, "hello");
//!     // {"timestamp":"2026-11-25T23:05:00.123456Z","level":"INFO","message":"hello","target":"my_app","pets":3,"trace_id":null}
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In JSON, every line has `timestamp` (RFC 3339), `level` and `message`, then the fields of its event in their order,
//! and `trace_id`. Fields that an event names and leaves out are `null`. So the line of a request has exactly
//! `timestamp`, `level`, `message`, `duration_ms`, `path`, `method`, `status_code`, `trace_id`, `user_id`, `org_id`. An
//! event of another crate than these has its `target` too.
//!
//! [`LogFormat::Human`] is the same for people, in colours.
//!
//! A `trace_id` that is not in the event is that of the nearest span that has one, such as the span of a request.
//!
//! # An error tracker
//!
//! [`ErrorHook`] gives every event at the level error to a closure, with its trace id. With the crate `sentry`:
//!
//! ```text
//! let hook = ErrorHook::new(|report| {
//!     sentry::with_scope(
//!         |scope| scope.set_tag("trace_id", report.trace_id.unwrap_or_default()),
//!         || sentry::capture_message(report.message, sentry::Level::Error),
//!     );
//! });
//! ```
//!
//! Edge cases: control characters are escaped everywhere, so that no text of a client begins a line or colours a
//! terminal. A text is cut at [`MAX_TEXT`] bytes. A line that cannot be written is lost.
//!
//! What this module does not do: rotate files, send lines anywhere, or leave out secrets. The events of these crates
//! have none; what your own events have is yours.

mod fields;
mod format;
mod hook;
mod layer;

pub use fields::MAX_TEXT;
pub use format::{LogFormat, UnknownFormat};
pub use hook::{ErrorHook, ErrorReport};
pub use layer::LogLayer;
