use std::sync::Arc;

use flashops_core::network::V6Prefix;
use tower_layer::Layer;

use super::service::ClientIp;
use super::trust::Trust;

/// Puts the client's address into the request's extensions. See the [module docs](super).
///
/// It belongs outside of everything that asks for an address, and inside of what knows the peer.
#[derive(Clone, Debug, Default)]
pub struct ClientIpLayer {
    trust: Arc<Trust>,
    prefix: V6Prefix,
}

impl ClientIpLayer {
    /// A layer that believes these.
    pub fn new(trust: Trust) -> Self {
        Self { trust: Arc::new(trust), prefix: V6Prefix::default() }
    }

    /// Counts wider networks of IPv6 as one client than a /64.
    #[must_use]
    pub fn with_prefix(mut self, prefix: V6Prefix) -> Self {
        self.prefix = prefix;
        self
    }
}

impl<S> Layer<S> for ClientIpLayer {
    type Service = ClientIp<S>;

    fn layer(&self, inner: S) -> ClientIp<S> {
        ClientIp::new(inner, Arc::clone(&self.trust), self.prefix)
    }
}
