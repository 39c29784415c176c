//! How long a request body may be.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::body_limit::BodyLimitLayer;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let service = ServiceBuilder::new().layer(BodyLimitLayer::new(4)).service(service_fn(|request: Request<_>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
//! }));
//! let answer = service.clone().oneshot(Request::post("/pets").body(Full::<Bytes>::from("four"))?).await?;
//! assert_eq!(answer.into_body().collect().await?.to_bytes(), "four");
//! let refused = service.oneshot(Request::post("/pets").body(Full::<Bytes>::from("fives"))?).await?;
//! assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! # Ok(())
//! # }
//! ```
//!
//! A body whose length is declared is refused before anybody reads it. One that comes in chunks ends in an error
//! ([`TooLong`]) where it goes beyond the bound, and whatever error the service makes of that becomes a 413: in the
//! dialect of the route, as for a declared length. tower-http has such a layer too; its refusal is a line of text.
//!
//! Edge cases: a service that answers with a success before it has read so far has its answer passed on. Trailers do
//! not count. Behind a layer that decompresses requests, what counts is what came out.
//!
//! What this module does not do: bound the time that a body takes, or its headers, which the server does.

mod body;
mod future;
mod layer;
mod service;

pub use body::{LimitedBody, TooLong};
pub use future::ResponseFuture;
pub use layer::BodyLimitLayer;
pub use service::BodyLimit;
