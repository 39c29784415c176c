use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tower_layer::Layer;

use super::presets::{self, Pair};
use super::service::SecurityHeaders;

/// Adds the headers of a preset to responses that do not have them. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct SecurityHeadersLayer {
    pairs: Arc<[Pair]>,
    hsts: bool,
}

impl SecurityHeadersLayer {
    /// For answers that programs read.
    pub fn api() -> Self {
        Self::of(presets::api())
    }

    /// For pages that browsers show.
    pub fn html() -> Self {
        Self::of(presets::html())
    }

    /// No header, until [`with`](Self::with) adds one.
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    fn of(pairs: Vec<Pair>) -> Self {
        Self { pairs: pairs.into(), hsts: false }
    }

    /// Adds this header, in place of the preset's if it has it.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        let others = self.without(&name).pairs;
        self.pairs = others.iter().cloned().chain([(name, value)]).collect();
        self
    }

    /// Leaves this header out.
    fn without(&self, name: &HeaderName) -> Self {
        Self { pairs: self.pairs.iter().filter(|(other, _)| other != name).cloned().collect(), hsts: self.hsts }
    }

    /// Sends `Strict-Transport-Security` whatever the request's scheme.
    #[must_use]
    pub const fn with_hsts(mut self) -> Self {
        self.hsts = true;
        self
    }
}

impl<S> Layer<S> for SecurityHeadersLayer {
    type Service = SecurityHeaders<S>;

    fn layer(&self, inner: S) -> SecurityHeaders<S> {
        SecurityHeaders::new(inner, Arc::clone(&self.pairs), self.hsts)
    }
}
