//! The address of the peer, from axum to the layers.
//!
//! ```
//! use axum::{Router, middleware::from_fn, routing::get};
//! use flashops_axum::peer::peer_addr;
//! use flashops_tower::client_ip::PeerAddr;
//!
//! async fn whoami(axum::Extension(peer): axum::Extension<PeerAddr>) -> String {
//!     peer.0.ip().to_string()
//! }
//!
//! let app: Router = Router::new().route("/whoami", get(whoami)).layer(from_fn(peer_addr));
//! // Serve it with `app.into_make_service_with_connect_info::<std::net::SocketAddr>()`.
//! # let _ = app;
//! ```
//!
//! Edge cases: without `into_make_service_with_connect_info` there is no address, and requests pass unchanged;
//! anonymous callers then share one account.
//!
//! What this module does not do: believe `X-Forwarded-For`.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use flashops_tower::client_ip::PeerAddr;

/// Middleware for [`axum::middleware::from_fn`]: gives the layers inside of it the address that axum knows.
pub async fn peer_addr(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let peer = PeerAddr(*peer);
        request.extensions_mut().insert(peer);
    }
    next.run(request).await
}
