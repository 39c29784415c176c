//! How long requests take, and how many are under way: for whatever the [`metrics`] facade exports to.
//!
//! ```
//! use flashops_core::limit::RoutePatterns;
//! use flashops_tower::http_metrics::HttpMetricsLayer;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = HttpMetricsLayer::new()
//!     .with_routes(["/pets/*"])?
//!     .with_exempt(RoutePatterns::new(["/livez"])?);
//! let service = ServiceBuilder::new().layer(layer).service(service_fn(|_request| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from("meow")))
//! }));
//!
//! // http_request_duration_seconds{method="GET",route="/pets/*",status="200"} gets a value when the body has ended.
//! let response = service.oneshot(Request::get("/pets/7").body(())?).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "meow");
//! # Ok(())
//! # }
//! ```
//!
//! | metric ([`HttpNames::DOCUMENTED`]) | kind | labels |
//! | --- | --- | --- |
//! | `http_request_duration_seconds` | histogram | `method`, `route`, `status` |
//! | `http_requests_in_flight` | gauge | |
//!
//! A request is measured from its arrival until the last byte of its response has been handed on, or until the client
//! leaves. [`HttpNames::SEMCONV`] are the names of the OpenTelemetry conventions. The buckets of an exporter should be
//! [`DURATION_BUCKETS`], which reach as far as models take.
//!
//! Labels are bounded. A method that is not one of nine is `_OTHER`. A route is a template that a router or
//! [`HttpMetricsLayer::with_routes`] names, at most [`MAX_ROUTES`] of them, and else `other`; never a path. A route has
//! at most [`MAX_SERIES_OF_ROUTE`] pairs of method and status, and `other` for those beyond. So there are at most
//! 257 × 65 series, whatever clients send.
//!
//! Edge cases: the status is `none` where there was no response, because the client left before or the service failed.
//! Handles are asked for when their labels are first seen, and kept: install an exporter before the first request.
//! Without one, nothing is measured but the time. Requests on exempt routes leave no trace.
//!
//! What this module does not do: install a recorder, export, or measure sizes.

mod body;
mod future;
mod layer;
mod names;
mod service;
mod table;

pub use body::MeasuredBody;
pub use future::ResponseFuture;
pub use layer::{FindRoute, HttpMetricsLayer};
pub use names::{DURATION_BUCKETS, HttpNames, OTHER};
pub use service::HttpMetrics;
pub use table::{MAX_ROUTES, MAX_SERIES_OF_ROUTE};
