//! Pages for people.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

pub(crate) async fn front() -> Html<&'static str> {
    Html(include_str!("front.html"))
}

pub(crate) async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

pub(crate) async fn not_found() -> Response {
    let problem =
        r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no such route; /docs has all"}"#;
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/problem+json")], problem).into_response()
}
