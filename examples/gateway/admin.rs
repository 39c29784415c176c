//! Who sees everybody's usage and why a check fails: admins by their key, and anonymous callers from these networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flashops::axum::handler::SeesAll;
use flashops::controls::ConfiguredCallers;
use flashops::core::caller::Caller;
use flashops::tower::identify::{Identify, IdentifyError, PeerAddr};
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

/// How admins are known.
#[derive(Clone)]
pub(crate) struct Admins {
    pub(crate) allow: AdminAllow,
    pub(crate) callers: ConfiguredCallers,
}

impl Admins {
    /// Whether a request may see all. A caller with a key is known by that, wherever it comes from. On the routes of
    /// health checks, which are not identified, the key is looked at here.
    fn see_all(&self, request: Request) -> (bool, Request) {
        let (parts, body) = request.into_parts();
        let known = parts.extensions.get::<Caller>().cloned().map_or_else(|| self.callers.identify(&parts), Ok);
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
        let sees_all = match known {
            Ok(caller) if !caller.is_anonymous() => caller.is_admin(),
            Ok(_) | Err(IdentifyError::Missing) => peer.is_some_and(|peer| self.allow.contains(peer)),
            Err(_) => false,
        };
        (sees_all, Request::from_parts(parts, body))
    }
}

/// Marks the requests of admins.
pub(crate) async fn mark(State(admins): State<Admins>, request: Request, next: Next) -> Response {
    let (sees_all, mut request) = admins.see_all(request);
    if sees_all {
        request.extensions_mut().insert(SeesAll);
    }
    next.run(request).await
}
