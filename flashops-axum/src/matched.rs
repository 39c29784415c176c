//! The template of a route, from axum's router to the layers.
//!
//! ```
//! use axum::{Router, routing::get};
//! use flashops_axum::matched::matched_path;
//! use flashops_tower::http_metrics::HttpMetricsLayer;
//!
//! let app: Router = Router::new()
//!     .route("/pets/{id}", get(|| async { "meow" }))
//!     .layer(HttpMetricsLayer::new().with_route_of(matched_path));
//! # let _ = app;
//! ```
//!
//! Edge cases: the layer goes onto a router, since around one nothing was matched yet. A path without a route has no
//! template.
//!
//! What this module does not do: route.

use axum::extract::MatchedPath;
use http::Extensions;

/// The template that a request was matched by, such as `/pets/{id}`.
pub fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}
