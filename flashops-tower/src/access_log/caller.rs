use std::sync::{Arc, OnceLock};

use flashops_core::caller::Caller;
use http::Extensions;
use http::request::Parts;

use crate::identify::{Identify, IdentifyError};

/// An extension of requests: whoever finds out who is asking tells the layers outside of it.
#[derive(Clone, Debug, Default)]
pub struct SeenCaller(Arc<OnceLock<Caller>>);

impl SeenCaller {
    /// Notes who is asking, if anybody wants to know. The first who says so counts.
    pub fn note(extensions: &Extensions, caller: &Caller) {
        if let Some(seen) = extensions.get::<Self>() {
            let _known = seen.0.set(caller.clone());
        }
    }

    /// Who is asking, if that is known.
    pub fn get(&self) -> Option<&Caller> {
        self.0.get()
    }
}

/// Notes whom another [`Identify`] finds.
#[derive(Clone, Debug)]
pub struct Noting<I>(pub I);

impl<I: Identify> Identify for Noting<I> {
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        let caller = self.0.identify(parts)?;
        SeenCaller::note(&parts.extensions, &caller);
        Ok(caller)
    }
}
