use flashops_core::caller::Caller;
use http::request::Parts;

use super::anonymous::{Anonymous, located};
use super::{Identify, IdentifyError};

/// Takes the [`Caller`] that the application's own authentication put into the request's extensions.
///
/// That layer must be outside of this one, and refuse bad credentials by itself: where it left no caller, the request
/// counts as one without credentials.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromExtension {
    anonymous: Anonymous,
}

impl FromExtension {
    /// Callers by extension; without one, the anonymous caller of the address.
    pub const fn new() -> Self {
        Self { anonymous: Anonymous::Admitted }
    }

    /// Changes what becomes of a request without the extension.
    #[must_use]
    pub const fn with_anonymous(mut self, anonymous: Anonymous) -> Self {
        self.anonymous = anonymous;
        self
    }
}

impl Identify for FromExtension {
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(located(caller.clone(), parts)),
            None => self.anonymous.caller(parts),
        }
    }
}
