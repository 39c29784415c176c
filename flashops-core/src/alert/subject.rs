//! Whom a call counts for, by scope, and what that is called.

use std::sync::Arc;

use crate::budget::UNKNOWN_PROVIDER;
use crate::key::{Key, Scope};
use crate::price::Model;
use crate::record::CallInfo;
use crate::record::tally::shown;

/// The key of a caller, or of everybody.
pub(super) fn key_of(scope: Scope, call: &CallInfo) -> Key<'_> {
    match scope {
        Scope::User => call.caller.user_key(),
        Scope::Org => call.caller.org_key(),
        _ => Key::global(),
    }
}

/// What the instance of a scope is called, and the organisation of a user.
pub(super) fn name_of(scope: Scope, call: &CallInfo, known: Option<&Model>) -> (Arc<str>, Option<Arc<str>>) {
    let caller = &call.caller;
    match scope {
        Scope::User => (shown(caller.user()), Some(shown(caller.org()))),
        Scope::Org => (shown(caller.org()), None),
        Scope::Ip => (shown(caller.ip().unwrap_or_default()), None),
        Scope::Route => (shown(&call.route), None),
        Scope::Model => (shown(known.map_or(&*call.model, Model::name)), None),
        Scope::Provider => (shown(known.map_or(UNKNOWN_PROVIDER, Model::provider)), None),
        Scope::Global => ("".into(), None),
    }
}
