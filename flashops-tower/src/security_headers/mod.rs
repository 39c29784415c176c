//! Response headers that tell browsers to be careful.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::security_headers::SecurityHeadersLayer;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = ServiceBuilder::new().layer(SecurityHeadersLayer::api()).service(service_fn(|_| async {
//!     let response = Response::builder().header("cache-control", "max-age=60").body(Full::<Bytes>::default());
//!     Ok::<_, std::convert::Infallible>(response.unwrap())
//! }));
//! let response = service.oneshot(Request::get("/pets").body(())?).await?;
//! assert_eq!(response.headers()["x-content-type-options"], "nosniff");
//! assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
//! assert_eq!(response.headers()["cache-control"], "max-age=60", "the service knows better");
//! # Ok(())
//! # }
//! ```
//!
//! The values are those of OWASP's secure headers project (July 2026) and of its REST cheat sheet.
//!
//! | header | [`api`](SecurityHeadersLayer::api) | [`html`](SecurityHeadersLayer::html) |
//! | --- | --- | --- |
//! | `Content-Security-Policy` | `default-src 'none'; frame-ancestors 'none'` | own content, no objects, no frames |
//! | `X-Content-Type-Options` | `nosniff` | the same |
//! | `X-Frame-Options` | `deny` | the same |
//! | `Referrer-Policy` | `no-referrer` | the same |
//! | `Permissions-Policy` | nothing is allowed | the same |
//! | `Cross-Origin-Resource-Policy` | `same-origin` | the same |
//! | `Cross-Origin-Opener-Policy`, `-Embedder-Policy` | | `same-origin`, `require-corp` |
//! | `X-Permitted-Cross-Domain-Policies` | | `none` |
//! | `X-DNS-Prefetch-Control` | | `off` |
//! | `Cache-Control` | `no-store` | `no-store, max-age=0` |
//! | `Strict-Transport-Security` | two years, with subdomains; see below | the same |
//!
//! A header that the response has already stays as it is. `Server` and `X-Powered-By`, which tell attackers what to
//! try, are taken away.
//!
//! `Strict-Transport-Security` is for TLS only: it is sent where the request's scheme is `https`, and always by
//! [`with_hsts`](SecurityHeadersLayer::with_hsts), which is for services behind a proxy that speaks TLS.
//!
//! Edge cases: the service in front may add headers after this layer, among them `Server`. A header map that is full
//! goes without. CORS is not hindered: the resource policy is for requests without it. tower-http's layer for several
//! headers would do as well, but makes a box for each header on each request.
//!
//! What this module does not do: write CORS headers (tower-http does), nonces, `Clear-Site-Data`, or headers that
//! browsers have given up (`X-XSS-Protection`, `Expect-CT`, `Public-Key-Pins`).

mod future;
mod layer;
mod presets;
mod service;

pub use future::ResponseFuture;
pub use layer::SecurityHeadersLayer;
pub use service::SecurityHeaders;
