//! One event for each request, and one for each call of a model, through [`tracing`].
//!
//! ```
//! use std::time::Duration;
//! use flashops_core::limit::RoutePatterns;
//! use flashops_tower::access_log::AccessLogLayer;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = AccessLogLayer::new().with_slow(Duration::from_secs(5)).with_exempt(RoutePatterns::new(["/livez"])?);
//! let service = ServiceBuilder::new().layer(log).service(service_fn(|_request| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from("meow")))
//! }));
//! let response = service.oneshot(Request::get("/pets?name=tom").body(())?).await?;
//! // "request" at the level info, when the body has ended or was dropped.
//! drop(response);
//! # Ok(())
//! # }
//! ```
//!
//! An event of a request, target [`REQUEST_TARGET`], has exactly these fields beside its time, level and message:
//! `duration_ms`, `path`, `method`, `status_code`, `trace_id`, `user_id`, `org_id`. What is not known is left out: the
//! status of a request whose client left before there was a response, and both names of a caller without credentials,
//! whose address is not written down.
//!
//! | level | message | when |
//! | --- | --- | --- |
//! | error | `request failed` | the status is 500 or above, or the service failed |
//! | warn | `slow request` | it took longer than [`AccessLogLayer::with_slow`] says |
//! | info | `request` | else |
//!
//! An event of a call, from the recorder [`CallLog`], target [`CALL_TARGET`], has `model`, `prompt_tokens`,
//! `completion_tokens`, `total_tokens`, `cost` as a decimal text, `duration_ms`, `user_id` and `org_id`.
//!
//! Everything that happens while a request is under way happens in a span `request` with a field `trace_id`: the
//! identity of the request ([`RequestId`](crate::reject::RequestId)). So a subscriber can write it into every line.
//!
//! Nothing sensitive is in an event: no query, no header but that identity, no body. A path, a model and a name are
//! written as they are, within [`MAX_PATH`] and [`MAX_NAME`] bytes; whoever writes lines must escape them.
//!
//! Edge cases: a request is logged once, however it ended. Where no subscriber listens, nothing is done. Callers are
//! known to the log if the layer that identifies them notes them, with [`SeenCaller::note`] or [`Noting`].
//!
//! What this module does not do: write, format, or filter. A subscriber does; the feature `log` of the crate `flashops`
//! has one.

mod body;
mod caller;
mod calls;
mod future;
mod layer;
mod line;
mod service;

pub use body::LoggedBody;
pub use caller::{Noting, SeenCaller};
pub use calls::{CALL_TARGET, CallLog};
pub use future::ResponseFuture;
pub use layer::AccessLogLayer;
pub use line::{MAX_NAME, MAX_PATH, REQUEST_TARGET};
pub use service::AccessLog;
