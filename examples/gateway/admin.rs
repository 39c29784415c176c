//! Who sees everybody's usage without a key: anonymous callers from these networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flashops::axum::handler::SeesAll;
use flashops::core::caller::Caller;
use flashops::tower::client_ip::PeerAddr;
use ipnet::IpNet;

#[derive(Clone)]
pub(crate) struct AdminAllow(Arc<[IpNet]>);

impl AdminAllow {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    pub(crate) fn loopback() -> Self {
        let v4 = IpNet::new(Ipv4Addr::LOCALHOST.into(), 8).expect("8 is a prefix of IPv4");
        Self::new(vec![v4.trunc(), IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST))])
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Marks requests from these networks; a caller with a key is known by that, and sees itself.
pub(crate) async fn mark(State(allow): State<AdminAllow>, mut request: Request, next: Next) -> Response {
    let anonymous = request.extensions().get::<Caller>().is_none_or(Caller::is_anonymous);
    let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip());
    if anonymous && peer.is_some_and(|peer| allow.contains(peer)) {
        request.extensions_mut().insert(SeesAll);
    }
    next.run(request).await
}
