use flashops_core::network::Networks;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::context::{TraceContext, hex, write_hex};
use crate::client_ip::PeerAddr;
use crate::reject::RequestId;
use crate::reject::headers::{X_REQUEST_ID, X_TRACE_ID};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whose identities are taken over. Those of others are replaced by new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustIncoming {
    /// Everybody's, if they are well-formed.
    #[default]
    Always,
    /// Those of peers in these networks.
    FromTrustedPeers(Networks),
    /// Nobody's.
    Never,
}

impl TrustIncoming {
    fn accepts(&self, extensions: &Extensions) -> bool {
        match self {
            Self::Always => true,
            Self::FromTrustedPeers(peers) => {
                extensions.get::<PeerAddr>().is_some_and(|PeerAddr(peer)| peers.contains(peer.ip()))
            }
            Self::Never => false,
        }
    }
}

/// An extension of requests: their identity, and their place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceId {
    identity: HeaderValue,
    context: TraceContext,
}

impl TraceId {
    /// The identity: 1 to 128 letters, digits, `.`, `_` and `-`.
    pub fn as_str(&self) -> &str {
        self.identity.to_str().expect("an identity is well-formed")
    }

    /// The same, as the value of a header.
    pub const fn header(&self) -> &HeaderValue {
        &self.identity
    }

    /// The place in a trace. Its trace has the same identity, unless the client gave one that cannot be a trace's.
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// The identity of a request that comes in, and whether it continues a trace.
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions, trust: &TrustIncoming) -> (Self, bool) {
        if !trust.accepts(extensions) {
            return (Self::generated(), false);
        }
        let parent = only(headers, &TRACEPARENT).and_then(|parent| TraceContext::parse(parent.as_bytes()));
        let given = [X_TRACE_ID, X_REQUEST_ID].iter().find_map(|name| well_formed(headers.get(name)?));
        let context = match (parent, &given) {
            (Some(parent), _) => parent.continued(),
            (None, Some(given)) => trace_of(given).map_or_else(TraceContext::new, |id| TraceContext::of(id, 0)),
            (None, None) => return (Self::generated(), false),
        };
        let identity = given.unwrap_or_else(|| text_of(context.trace_id()));
        (Self { identity, context }, parent.is_some())
    }

    fn generated() -> Self {
        let context = TraceContext::new();
        Self { identity: text_of(context.trace_id()), context }
    }
}

/// The value of a header that comes once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { Some(value) }
}

fn well_formed(value: &HeaderValue) -> Option<HeaderValue> {
    RequestId::from_value(value).map(|_| value.clone())
}

/// The trace that an identity names, if it has the form of a trace's.
fn trace_of(identity: &HeaderValue) -> Option<u128> {
    let digits = identity.as_bytes();
    if digits.len() == 32 { hex(digits).filter(|id| *id != 0) } else { None }
}

fn text_of(trace_id: u128) -> HeaderValue {
    let mut text = [0; 32];
    write_hex(&mut text, trace_id);
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
}
