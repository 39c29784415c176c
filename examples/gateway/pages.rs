//! Pages for people.

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use flashops::tower::security_headers::SecurityHeadersLayer;
use http::StatusCode;

/// The pages, with the headers that pages need. Those for programs, which are added further out, leave them alone.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(front)).route("/docs", get(docs)).layer(SecurityHeadersLayer::html())
}

async fn front() -> Html<&'static str> {
    Html(include_str!("front.html"))
}

async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

/// The controls make a problem document of it, with the identity of the request.
pub(crate) async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "There is no such route; /docs has all.")
}
