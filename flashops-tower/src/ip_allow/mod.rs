//! Which addresses may come.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::client_ip::PeerAddr;
//! use flashops_tower::ip_allow::{AddressList, AddressRules, IpAllowLayer};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let list = AddressList::new(AddressRules { allow: Some("10.0.0.0/8".parse()?), deny: "10.6.0.0/16".parse()? });
//! let service = ServiceBuilder::new()
//!     .layer(IpAllowLayer::new(list.clone()))
//!     .service(service_fn(|_| async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) }));
//! let from = |peer: &str| {
//!     let mut request = Request::get("/admin").body(()).unwrap();
//!     request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
//!     service.clone().oneshot(request)
//! };
//! assert_eq!(from("10.0.0.1:80").await?.status(), StatusCode::OK);
//! assert_eq!(from("10.6.0.1:80").await?.status(), StatusCode::FORBIDDEN);
//! assert_eq!(from("192.0.2.7:80").await?.status(), StatusCode::FORBIDDEN);
//!
//! list.replace(AddressRules { allow: Some("192.0.2.7".parse()?), ..AddressRules::default() });
//! assert_eq!(from("192.0.2.7:80").await?.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! The address is the client's ([`ClientAddr`](crate::client_ip::ClientAddr)), so behind proxies a
//! [`ClientIpLayer`](crate::client_ip::ClientIpLayer) belongs outside of this one. What is denied is refused before
//! anything is allowed. A refusal is a 403 that says neither the address nor the list
//! ([`Refusal::AddressNotAllowed`](crate::reject::Refusal::AddressNotAllowed)).
//!
//! An [`AddressList`] is a handle: its clones share the rules, and [`AddressList::replace`] changes them for all at
//! once while requests go on. Whoever holds one can ask it too ([`AddressList::permits`]).
//!
//! Edge cases: a request whose address is not known is refused wherever there is any rule for it: nobody escapes for
//! want of an address. An allow list that is there and empty allows nobody. Without rules everybody may come.
//!
//! What this module does not do: ban, count, or know countries.

mod layer;
mod list;
mod service;

pub use layer::IpAllowLayer;
pub use list::{AddressList, AddressRules};
pub use service::IpAllow;
