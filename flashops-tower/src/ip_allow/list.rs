use std::sync::Arc;

use arc_swap::ArcSwap;
use flashops_core::network::Networks;
use http::Extensions;

use crate::client_ip::{ClientAddr, Source};

/// Which addresses may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// Only these; `None` for all.
    pub allow: Option<Networks>,
    /// But none of these.
    pub deny: Networks,
}

impl AddressRules {
    /// Whether an address may come; `None` where it is not known. `listed` tells whether the allow list counts.
    fn permit(&self, client: Option<ClientAddr>, listed: bool) -> bool {
        let allow = self.allow.as_ref().filter(|_| listed);
        match client {
            Some(client) => {
                let known = client.source != Source::Unreadable;
                !self.deny.contains(client.ip) && allow.is_none_or(|allow| known && allow.contains(client.ip))
            }
            None => self.deny.is_empty() && allow.is_none(),
        }
    }
}

/// A handle to the rules, which can be replaced at any time. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct AddressList(Arc<ArcSwap<AddressRules>>);

impl AddressList {
    /// A list with these rules.
    pub fn new(rules: AddressRules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    /// Puts others in their place, for all requests that come from here on.
    pub fn replace(&self, rules: AddressRules) {
        self.0.store(Arc::new(rules));
    }

    /// The rules at the moment.
    pub fn rules(&self) -> Arc<AddressRules> {
        self.0.load_full()
    }

    /// Whether the client of a request may come.
    pub fn permits(&self, extensions: &Extensions) -> bool {
        self.permits_listed(extensions, true)
    }

    /// The same; the allow list counts only if asked.
    pub(super) fn permits_listed(&self, extensions: &Extensions, listed: bool) -> bool {
        self.0.load().permit(ClientAddr::of(extensions), listed)
    }
}
