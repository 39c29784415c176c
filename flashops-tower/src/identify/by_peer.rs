use flashops_core::caller::Caller;
use http::request::Parts;

use super::anonymous::anonymous;
use super::{Identify, IdentifyError};

/// Takes everybody for the anonymous caller of its address, whatever the credentials. Never an error.
///
/// For services that know no callers, and for routes before a login.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPeer;

impl Identify for ByPeer {
    fn identify(&self, parts: &Parts) -> Result<Caller, IdentifyError> {
        Ok(anonymous(parts))
    }
}
