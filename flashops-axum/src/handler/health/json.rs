use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use flashops_core::caller::Caller;
use flashops_core::clock::UnixSeconds;
use flashops_core::health::{CheckReport, Group, HealthRegistry, Report, Status};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Extensions, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::handler::SeesAll;

const JSON: [(HeaderName, HeaderValue); 2] = [
    (CONTENT_TYPE, HeaderValue::from_static("application/health+json")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// `/api/v1/health`: the worst of all groups as `application/health+json`, without details.
pub async fn health(State(registry): State<HealthRegistry>) -> Response {
    status_alone(registry.report().overall())
}

/// `/api/v1/health/detailed`: the same, with the state of every check, when it answered and how long it took.
///
/// These details are for an [admin](Caller::is_admin) whose [`Caller`] is in the request's extensions, and for a
/// request with [`SeesAll`]; others get the answer of [`health`].
pub async fn health_detailed(State(registry): State<HealthRegistry>, extensions: Extensions) -> Response {
    let report = registry.report();
    if !sees_details(&extensions) {
        return status_alone(report.overall());
    }
    let body = json!({ "status": report.overall().name(), "checks": checks_json(&report) });
    answer(code(report.overall()), JSON, body.to_string())
}

/// `/api/v1/health/liveness`: whether a restart would help, as `application/health+json`.
pub async fn health_liveness(State(registry): State<HealthRegistry>) -> Response {
    status_alone(registry.report().status(Group::Liveness))
}

/// `/api/v1/health/readiness`: whether the service should get traffic, as `application/health+json`.
pub async fn health_readiness(State(registry): State<HealthRegistry>) -> Response {
    status_alone(registry.report().status(Group::Readiness))
}

/// Whether somebody may see why a check fails.
pub(super) fn sees_details(extensions: &Extensions) -> bool {
    extensions.get::<SeesAll>().is_some() || extensions.get::<Caller>().is_some_and(Caller::is_admin)
}

pub(super) fn code(status: Status) -> StatusCode {
    if status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn status_alone(status: Status) -> Response {
    let body = match status {
        Status::Pass => r#"{"status":"pass"}"#,
        Status::Warn => r#"{"status":"warn"}"#,
        Status::Fail => r#"{"status":"fail"}"#,
    };
    answer(code(status), JSON, body)
}

/// A response of exactly these headers, which are not parsed and not copied.
pub(super) fn answer<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, HeaderValue); N],
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

fn checks_json(report: &Report) -> Map<String, Value> {
    let entry = |check: &CheckReport| {
        let measured = if check.reading().is_some() { ":responseTime" } else { "" };
        (format!("{}{measured}", check.name()), json!([check_json(check)]))
    };
    report.checks().iter().map(entry).collect()
}

fn check_json(check: &CheckReport) -> Value {
    let mut told = json!({ "componentType": check.component().name(), "status": check.status().name() });
    if let Some(reading) = check.reading() {
        told["observedValue"] = (reading.took.as_micros() as f64 / 1_000.0).into();
        told["observedUnit"] = "ms".into();
        told["time"] = rfc3339(reading.time).into();
    }
    if check.status() != Status::Pass {
        told["output"] = check.output().into();
        if !check.affected().is_empty() {
            told["affectedEndpoints"] = check.affected().into();
        }
    }
    told
}

/// Nothing for an instant outside of the years that the format knows.
fn rfc3339(time: UnixSeconds) -> Option<String> {
    jiff::Timestamp::from_second(time.0).ok().map(|time| time.to_string())
}
