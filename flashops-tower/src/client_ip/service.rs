use std::sync::Arc;
use std::task::{Context, Poll};

use flashops_core::network::V6Prefix;
use http::Request;
use tower_service::Service;

use super::address::{ClientAddr, PeerAddr};
use super::trust::Trust;

/// The service of a [`ClientIpLayer`](super::ClientIpLayer).
#[derive(Clone, Debug)]
pub struct ClientIp<S> {
    inner: S,
    trust: Arc<Trust>,
    prefix: V6Prefix,
}

impl<S> ClientIp<S> {
    pub(super) const fn new(inner: S, trust: Arc<Trust>, prefix: V6Prefix) -> Self {
        Self { inner, trust, prefix }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for ClientIp<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(PeerAddr(peer)) = request.extensions().get() {
            let client = self.trust.client(peer.ip(), request.headers());
            request.extensions_mut().insert(ClientAddr { prefix: self.prefix, ..client });
        }
        self.inner.call(request)
    }
}
