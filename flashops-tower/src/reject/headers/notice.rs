//! Where headers are written to.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{FLASHOPS_WARNING, RATELIMIT, RATELIMIT_POLICY, insert};

/// Somebody who is told how limits stand. What has no value is left out.
pub(super) trait Told {
    /// The limits that apply.
    fn policy(&mut self, list: Option<HeaderValue>);
    /// What is left of them.
    fn state(&mut self, list: Option<HeaderValue>);
    /// The limits that warn.
    fn warning(&mut self, list: Option<HeaderValue>);
    /// A header of a vendor.
    fn vendor(&mut self, name: HeaderName, value: Option<HeaderValue>);
}

/// What a response will tell, written before it is there.
///
/// Two header values are less than what they were written from: a future that keeps this is small, and moves cheaply.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    policy: Option<HeaderValue>,
    state: Option<HeaderValue>,
    warning: Option<HeaderValue>,
    vendors: Vec<(HeaderName, HeaderValue)>,
}

impl Notice {
    /// Writes the headers.
    #[inline]
    pub(crate) fn apply(&mut self, headers: &mut HeaderMap) {
        headers.policy(self.policy.take());
        headers.state(self.state.take());
        for (name, value) in self.vendors.drain(..) {
            headers.vendor(name, Some(value));
        }
        headers.warning(self.warning.take());
    }
}

impl Told for Notice {
    fn policy(&mut self, list: Option<HeaderValue>) {
        self.policy = list;
    }

    fn state(&mut self, list: Option<HeaderValue>) {
        self.state = list;
    }

    fn warning(&mut self, list: Option<HeaderValue>) {
        self.warning = list;
    }

    fn vendor(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        self.vendors.extend(value.map(|value| (name, value)));
    }
}

impl Told for HeaderMap {
    fn policy(&mut self, list: Option<HeaderValue>) {
        append(self, RATELIMIT_POLICY, list);
    }

    fn state(&mut self, list: Option<HeaderValue>) {
        append(self, RATELIMIT, list);
    }

    fn warning(&mut self, list: Option<HeaderValue>) {
        append(self, FLASHOPS_WARNING, list);
    }

    fn vendor(&mut self, name: HeaderName, value: Option<HeaderValue>) {
        insert(self, name, value);
    }
}

/// Adds a list. A map of a hostile inner service can be full; then there is one header less.
#[inline]
fn append(headers: &mut HeaderMap, name: HeaderName, list: Option<HeaderValue>) {
    if let Some(list) = list {
        let _full = headers.try_append(name, list);
    }
}
