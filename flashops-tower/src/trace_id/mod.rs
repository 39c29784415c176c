//! The identity of each request: taken from the client or given to it, and in everything that is said of the request.
//!
//! ```
//! use bytes::Bytes;
//! use flashops_tower::trace_id::{TraceId, TraceIdLayer};
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nowhere = service_fn(|request: Request<()>| async move {
//!     assert!(request.extensions().get::<TraceId>().is_some());
//!     let nothing = Response::builder().status(StatusCode::NOT_FOUND).body(Full::<Bytes>::default());
//!     Ok::<_, std::convert::Infallible>(nothing.unwrap())
//! });
//! let service = ServiceBuilder::new().layer(TraceIdLayer::new()).service(nowhere);
//! let response = service.oneshot(Request::get("/v1/messages").header("x-trace-id", "t-7").body(())?).await?;
//! assert_eq!(response.headers()["x-trace-id"], "t-7");
//! assert_eq!(response.headers()["x-request-id"], "t-7");
//! assert_eq!(response.into_body().collect().await?.to_bytes(), concat!(
//!     r#"{"type":"error","error":{"type":"not_found_error","message":"There is nothing at this path."},"#,
//!     r#""request_id":"t-7"}"#,
//! ));
//! # Ok(())
//! # }
//! ```
//!
//! A request has one identity: what its `X-Trace-ID` says, else its `X-Request-Id`, else the trace of its
//! `traceparent`, else 128 random bits as 32 hexadecimal digits. An identity that comes in is 1 to 128 letters, digits,
//! `.`, `_` and `-` ([`RequestId`](crate::reject::RequestId)), or it is as if it were not there: it goes into logs and
//! headers.
//!
//! | where it is | |
//! | --- | --- |
//! | the request inside | `x-request-id`, `x-trace-id`, and the extension [`TraceId`] |
//! | every response | `x-request-id`, `x-trace-id`; `request-id` too in Anthropic's dialect |
//! | every error body that is written here | in the dialect of the route |
//!
//! Beside it stands a [`TraceContext`] of W3C: it continues the `traceparent` that came, with a span of its own, or is
//! a new one. The request inside has it as its `traceparent`, for calls that the service makes with these headers. A
//! `traceparent` that is malformed is as if it were not there, and takes its `tracestate` along.
//!
//! Whom to believe is a choice, [`TrustIncoming`]: everybody by default, since an identity that is well-formed does no
//! harm; the sampling flag of a stranger may, where somebody inside pays for traces.
//!
//! An error that the service or its router answers without a body, such as the 404 and 405 of a router or a panic that
//! was caught, gets one: in the dialect of the route, with the identity. So does one of plain text on a route that
//! calls no model: the text becomes the message of a 4xx, and of a 5xx, where it may tell of the inside, it is dropped.
//! Health checks, whose text programs read, are left out by [`TraceIdLayer::with_text_routes`].
//!
//! Edge cases: of several lines of one header the first counts, but two `traceparent`s are none. Answers to HEAD get no
//! body. Plain text of more than [`MAX_TEXT`] bytes, or of unknown length, passes as it is, and so does whatever has
//! another media type or comes from a model. A map that is full of headers goes without.
//!
//! What this module does not do: sample, export spans, read `baggage`, or log.

mod context;
mod errors;
mod future;
mod identity;
mod layer;
mod service;

pub use context::TraceContext;
pub use errors::MAX_TEXT;
pub use future::ResponseFuture;
pub use identity::{TraceId, TrustIncoming};
pub use layer::TraceIdLayer;
pub use service::TraceIdService;

#[cfg(test)]
mod tests;
