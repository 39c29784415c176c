use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tower_layer::Layer;

use super::presets::{self, Pair};
use super::service::SecurityHeaders;

/// Adds the headers of a preset to responses that do not have them. See the [module docs](super).
#[derive(Clone, Debug)]
pub struct SecurityHeadersLayer {
    /// `None` where it is off.
    pairs: Option<Arc<[Pair]>>,
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

    /// Off: responses pass as they are, whatever else is said of this layer. So a service can switch it without
    /// another type.
    pub const fn off() -> Self {
        Self { pairs: None, hsts: false }
    }

    fn of(pairs: Vec<Pair>) -> Self {
        Self { pairs: Some(pairs.into()), hsts: false }
    }

    /// Adds this header, in place of the preset's if it has it.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Some(pairs) = &mut self.pairs {
            let mut kept: Vec<Pair> = pairs.iter().filter(|(other, _)| *other != name).cloned().collect();
            kept.push((name, value));
            *pairs = kept.into();
        }
        self
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
        SecurityHeaders::new(inner, self.pairs.clone(), self.hsts)
    }
}
