use std::fmt::Write as _;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use flashops_core::health::{Group, HealthRegistry, Report, Status};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, StatusCode};
use serde_json::json;

const PLAIN: [(HeaderName, &str); 3] =
    [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];

/// `/livez`: whether a restart would help, as Kubernetes' own components answer.
pub async fn liveness(State(registry): State<HealthRegistry>, query: RawQuery) -> Response {
    text("livez", &registry.report(Group::Liveness), query)
}

/// `/readyz`: whether the service should get traffic, as Kubernetes' own components answer.
pub async fn readiness(State(registry): State<HealthRegistry>, query: RawQuery) -> Response {
    text("readyz", &registry.report(Group::Readiness), query)
}

/// `/api/v1/health`: the state of the service as `application/health+json`, without details.
pub async fn health(State(registry): State<HealthRegistry>) -> Response {
    let status = registry.report(Group::Readiness).status();
    let headers = [(CONTENT_TYPE, "application/health+json"), (CACHE_CONTROL, "no-store")];
    (code(status), headers, Json(json!({ "status": status.name() })).into_response().into_body()).into_response()
}

fn code(status: Status) -> StatusCode {
    if status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn text(name: &str, report: &Report, RawQuery(query): RawQuery) -> Response {
    let asked = |word: &str| word == "verbose" || word.starts_with("verbose=");
    let verbose = query.is_some_and(|query| query.split('&').any(asked));
    let status = report.status();
    if !verbose && status != Status::Fail {
        return (StatusCode::OK, PLAIN, "ok").into_response();
    }
    let mut text = String::new();
    for (check, finding) in report.checks() {
        let line = match finding.status {
            Status::Fail => writeln!(text, "[-]{check} failed: reason withheld"),
            Status::Pass | Status::Warn => writeln!(text, "[+]{check} ok"),
        };
        line.expect("writing to a string does not fail");
    }
    let word = if status == Status::Fail { "failed" } else { "passed" };
    writeln!(text, "{name} check {word}").expect("writing to a string does not fail");
    (code(status), PLAIN, text).into_response()
}
