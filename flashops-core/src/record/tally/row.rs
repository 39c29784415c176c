use std::fmt;
use std::sync::Arc;

use super::report::Dimension;
use crate::caller::Caller;
use crate::key::{Fingerprint, Key, Scope};
use crate::record::CallInfo;

/// The longest name in a row, in bytes. What is longer is cut off, and ends in `…` within the bound.
pub const MAX_ROW_NAME: usize = 128;

/// The name of what has no row of its own.
pub(super) const REST: &str = "other";

/// Which row.
///
/// Names are told apart by their fingerprints, whole: two long names that look alike once cut are two rows, and nobody
/// gets to see the rest by being called like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RowId {
    Own {
        org: Fingerprint,
        user: Fingerprint,
        model: Fingerprint,
        route: Fingerprint,
    },
    /// The calls of an organisation that have no row of their own.
    RestOfOrg {
        org: Fingerprint,
    },
    /// The calls of the organisations that have no row of their own.
    Rest,
}

impl RowId {
    pub(super) fn of(call: &CallInfo) -> Self {
        let (org, user) = (call.caller.org_key().fingerprint(), call.caller.user_key().fingerprint());
        let model = Key::new(Scope::Model, &call.model).fingerprint();
        let route = Key::new(Scope::Route, &call.route).fingerprint();
        Self::Own { org, user, model, route }
    }

    pub(super) const fn org(self) -> Option<Fingerprint> {
        match self {
            Self::Own { org, .. } | Self::RestOfOrg { org } => Some(org),
            Self::Rest => None,
        }
    }

    /// Fingerprints are seeded hashes already.
    pub(super) const fn hash(self) -> u64 {
        match self {
            Self::Own { org, user, model, route } => {
                org.0 ^ user.0.rotate_left(16) ^ model.0.rotate_left(32) ^ route.0.rotate_left(48)
            }
            Self::RestOfOrg { org } => org.0,
            Self::Rest => 0,
        }
    }
}

/// The names of a row: who called which model on which route.
///
/// Names are for showing: they are cut to [`MAX_ROW_NAME`] bytes, and control characters are replaced by `U+FFFD`. Two
/// rows can therefore look alike and are still two.
#[derive(Clone, PartialEq, Eq)]
pub struct RowKey {
    pub(super) id: RowId,
    pub(super) org: Arc<str>,
    user: Arc<str>,
    /// The text of the user's key.
    user_key: Arc<str>,
    model: Arc<str>,
    route: Arc<str>,
}

impl RowKey {
    /// `org` is the name of the organisation as it is shown.
    pub(super) fn new(id: RowId, org: Arc<str>, call: &CallInfo) -> Self {
        if let RowId::Own { .. } = id {
            let caller = &call.caller;
            let text = caller.user_key().text();
            let user_key = if fits(caller.user()) && fits(caller.org()) { text.into() } else { shown(text) };
            let (user, model, route) = (shown(caller.user()), shown_shared(&call.model), shown_shared(&call.route));
            return Self { id, org, user, user_key, model, route };
        }
        let rest = || Arc::from(REST);
        Self { id, org, user: rest(), user_key: rest(), model: rest(), route: rest() }
    }

    /// The organisation.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The route.
    pub fn route(&self) -> &str {
        &self.route
    }

    pub(super) const fn name(&self, dimension: Dimension) -> &Arc<str> {
        match dimension {
            Dimension::Org => &self.org,
            Dimension::User => &self.user,
            Dimension::Model => &self.model,
            Dimension::Route => &self.route,
        }
    }

    /// The names in the order in which rows are sorted, the rest after a row of the same names.
    pub(super) fn names(&self) -> (&str, &str, &str, &str, bool) {
        (&self.org, &self.user, &self.model, &self.route, self.is_rest())
    }

    /// Whether this row has what had no room in a row of its own. User, model and route are then called `other`, and
    /// the organisation too if it had no room either.
    pub const fn is_rest(&self) -> bool {
        !matches!(self.id, RowId::Own { .. })
    }

    /// The keys of its user and of its organisation; `None` for a row of the rest.
    ///
    /// A store in this process finds their accounts by them. Their texts are made of names as they are shown, so that
    /// a store elsewhere finds an account only if no name was cut.
    pub fn keys(&self) -> Option<[Key<'_>; 2]> {
        match self.id {
            RowId::Own { org, user, .. } => Some([
                Key::with_fingerprint(Scope::User, &self.user_key, user),
                Key::with_fingerprint(Scope::Org, &self.org, org),
            ]),
            RowId::RestOfOrg { .. } | RowId::Rest => None,
        }
    }

    /// Whether the calls in this row are those of this caller, as user and organisation. Never for a row of the rest.
    pub fn belongs_to(&self, caller: &Caller) -> bool {
        match self.id {
            RowId::Own { org, user, .. } => {
                (org, user) == (caller.org_key().fingerprint(), caller.user_key().fingerprint())
            }
            RowId::RestOfOrg { .. } | RowId::Rest => false,
        }
    }

    /// Whether the calls in this row are those of this caller's organisation, the rest of it included.
    pub fn belongs_to_org_of(&self, caller: &Caller) -> bool {
        self.id.org() == Some(caller.org_key().fingerprint())
    }
}

/// Shows neither user nor organisation.
impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowKey").field("model", &self.model).field("route", &self.route).finish_non_exhaustive()
    }
}

/// A name as it is shown.
pub(crate) fn shown(name: &str) -> Arc<str> {
    if fits(name) {
        return name.into();
    }
    const CUT: char = '…';
    let mut text = String::with_capacity(MAX_ROW_NAME);
    for c in name.chars() {
        let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if text.len() + c.len_utf8() + CUT.len_utf8() > MAX_ROW_NAME {
            text.push(CUT);
            break;
        }
        text.push(c);
    }
    text.into()
}

fn shown_shared(name: &Arc<str>) -> Arc<str> {
    if fits(name) { Arc::clone(name) } else { shown(name) }
}

fn fits(name: &str) -> bool {
    name.len() <= MAX_ROW_NAME && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_is_shown_within_its_bound_and_without_control_characters(name in "(?s).{0,300}") {
            let shown = shown(&name);
            prop_assert!(shown.len() <= MAX_ROW_NAME);
            prop_assert!(!shown.contains(char::is_control));
            if name.len() <= MAX_ROW_NAME && !name.contains(char::is_control) {
                prop_assert_eq!(&*shown, name.as_str());
            }
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_says_so() {
        assert_eq!(&*shown(&"ü".repeat(200)), format!("{}…", "ü".repeat(62)));
        assert_eq!(&*shown("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
    }
}
