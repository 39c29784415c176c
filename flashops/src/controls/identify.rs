use std::sync::Arc;

use flashops_core::caller::{Caller, CallerTable};
use flashops_core::config::Anonymous;
use flashops_tower::access_log::SeenCaller;
use flashops_tower::identify::{self, ApiKeys, FromExtension, Identify, IdentifyError};
use http::request::Parts;

/// The callers of a configuration: one that the application put into the request's extensions, or one by its key.
#[derive(Clone, Debug)]
pub struct ConfiguredCallers {
    callers: Arc<CallerTable>,
    anonymous: identify::Anonymous,
}

impl ConfiguredCallers {
    /// The callers of a table.
    pub fn new(callers: CallerTable, anonymous: Anonymous) -> Self {
        let anonymous = match anonymous {
            Anonymous::ByIp => identify::Anonymous::Admitted,
            Anonymous::Refuse => identify::Anonymous::Refused,
        };
        Self { callers: Arc::new(callers), anonymous }
    }

    /// The table.
    pub const fn table(&self) -> &Arc<CallerTable> {
        &self.callers
    }
}

impl Identify for ConfiguredCallers {
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        let caller = if parts.extensions.get::<Caller>().is_some() {
            FromExtension::new().identify(parts)
        } else {
            ApiKeys::new(|key: &str| self.callers.find(key.as_bytes())).with_anonymous(self.anonymous).identify(parts)
        }?;
        SeenCaller::note(&parts.extensions, &caller);
        Ok(caller)
    }
}
