use std::sync::Arc;

use flashops_core::caller::Caller;
use flashops_core::clock::Tick;
use flashops_core::limit::RoutePatterns;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request};
use tracing::{Level, Span};

use super::caller::SeenCaller;
use super::layer::Shared;
use crate::path::plain;
use crate::reject::RequestId;
use crate::reject::headers::X_REQUEST_ID;

/// The target of events of requests.
pub const REQUEST_TARGET: &str = "flashops::request";

/// The target of spans: whoever wants no lines of requests may want the trace id in all others.
const SPAN_TARGET: &str = "flashops::span";

/// The most bytes of a path that are logged.
pub const MAX_PATH: usize = 512;

/// The most bytes of a model, of the name of a user or of an organisation that are logged.
pub const MAX_NAME: usize = 128;

/// The most bytes of a method that are logged.
const MAX_METHOD: usize = 16;

/// A request that is not logged yet. Dropping it does that.
#[derive(Debug)]
pub(super) struct Line {
    shared: Arc<Shared>,
    pub(super) span: Span,
    started: Tick,
    path: Option<PathAndQuery>,
    method: Method,
    id: Option<HeaderValue>,
    caller: SeenCaller,
    pub(super) status: Option<u16>,
    /// The service gave no response.
    pub(super) failed: bool,
}

impl Line {
    /// `None` for a request that is not logged. The request's extensions get a place for the caller.
    pub(super) fn begin<B>(shared: &Arc<Shared>, request: &mut Request<B>) -> Option<Self> {
        let is_exempt = |exempt: &Arc<RoutePatterns>| exempt.contains(&plain(request.uri().path()));
        if !shared.enabled || shared.exempt.as_ref().is_some_and(is_exempt) {
            return None;
        }
        let id = request.headers().get(X_REQUEST_ID).filter(|id| RequestId::from_value(id).is_some()).cloned();
        let trace_id = id.as_ref().and_then(RequestId::from_value).map(RequestId::as_str);
        // An error is enabled wherever anything is: a line at any level needs the identity.
        let span = tracing::error_span!(target: SPAN_TARGET, "request", trace_id);
        if span.is_disabled() && !tracing::event_enabled!(target: REQUEST_TARGET, Level::ERROR) {
            return None;
        }
        let caller = SeenCaller::default();
        request.extensions_mut().insert(caller.clone());
        let (path, method) = (request.uri().path_and_query().cloned(), request.method().clone());
        let (shared, started) = (Arc::clone(shared), shared.clock.tick());
        Some(Self { shared, span, started, path, method, id, caller, status: None, failed: false })
    }

    fn write(&self) {
        let took = self.shared.clock.tick().since(self.started);
        if self.failed || self.status.is_some_and(|status| status >= 500) {
            self.event(Severity::Error, took);
        } else if took > self.shared.slow {
            self.event(Severity::Warn, took);
        } else {
            self.event(Severity::Info, took);
        }
    }

    fn event(&self, severity: Severity, took: std::time::Duration) {
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let path = bounded(self.path.as_ref().map_or("", PathAndQuery::path), MAX_PATH);
        let method = bounded(self.method.as_str(), MAX_METHOD);
        let trace_id = self.id.as_ref().and_then(RequestId::from_value).map(RequestId::as_str);
        let [user_id, org_id] = self.caller.get().map_or([None, None], names);
        let status_code = self.status;
        macro_rules! event {
            ($level:expr, $message:literal) => {
                tracing::event!(
                    target: REQUEST_TARGET, $level, duration_ms, path, method, status_code, trace_id, user_id, org_id,
                    $message
                )
            };
        }
        match severity {
            Severity::Error => event!(Level::ERROR, "request failed"),
            Severity::Warn => event!(Level::WARN, "slow request"),
            Severity::Info => event!(Level::INFO, "request"),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy)]
enum Severity {
    Error,
    Warn,
    Info,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.span.in_scope(|| self.write());
    }
}

/// The names of a caller, within the bound; none of one without.
pub(super) fn names(caller: &Caller) -> [Option<&str>; 2] {
    let named = !caller.is_anonymous();
    [caller.user(), caller.org()].map(|name| named.then(|| bounded(name, MAX_NAME)))
}

/// The beginning of a text, at most so many bytes of it.
pub(super) fn bounded(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!([bounded("meow", 4), bounded("meow", 2), bounded("", 3)], ["meow", "me", ""]);
        assert_eq!([bounded("éé", 3), bounded("éé", 1), bounded("\u{1F600}", 3)], ["é", "", ""]);
    }
}
