use std::fmt::Write as _;

use axum::extract::{Path, State};
use axum::response::Response;
use flashops_core::health::{Group, HealthRegistry, Report, Status};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{Extensions, HeaderName, HeaderValue, StatusCode, Uri};

use super::json::{answer, code, sees_details};
use super::query::Asked;

const PLAIN: [(HeaderName, HeaderValue); 3] = [
    (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// `/livez`: whether a restart would help, as Kubernetes' own components answer.
pub async fn livez(State(registry): State<HealthRegistry>, uri: Uri) -> Response {
    probe("livez", &registry.report(), Group::Liveness, &Asked::of(&uri))
}

/// `/readyz`: whether the service should get traffic, as Kubernetes' own components answer.
pub async fn readyz(State(registry): State<HealthRegistry>, uri: Uri) -> Response {
    probe("readyz", &registry.report(), Group::Readiness, &Asked::of(&uri))
}

/// `/livez/{name}`: one check of `/livez`. Why it fails is for those who see details.
pub async fn livez_check(registry: State<HealthRegistry>, name: Path<String>, extensions: Extensions) -> Response {
    one(&registry.report(), Group::Liveness, &name, &extensions)
}

/// `/readyz/{name}`: one check of `/readyz`. Why it fails is for those who see details.
pub async fn readyz_check(registry: State<HealthRegistry>, name: Path<String>, extensions: Extensions) -> Response {
    one(&registry.report(), Group::Readiness, &name, &extensions)
}

fn probe(name: &str, report: &Report, group: Group, asked: &Asked) -> Response {
    let status = match asked.excluded.is_empty() {
        true => report.status(group),
        false => report.status_without(group, |name| asked.excludes(name)),
    };
    if !asked.verbose && status != Status::Fail {
        return answer(StatusCode::OK, PLAIN, "ok");
    }
    let mut text = String::new();
    verbose(&mut text, report, group, asked);
    let word = if status == Status::Fail { "failed" } else { "passed" };
    line(&mut text, format_args!("{name} check {word}"));
    answer(code(status), PLAIN, text)
}

fn verbose(text: &mut String, report: &Report, group: Group, asked: &Asked) {
    for (check, status) in report.group(group) {
        let name = check.name();
        match status {
            _ if asked.excludes(name) => line(text, format_args!("[+]{name} excluded: ok")),
            Status::Fail => line(text, format_args!("[-]{name} failed: reason withheld")),
            Status::Pass | Status::Warn => line(text, format_args!("[+]{name} ok")),
        }
    }
    let known = |name: &str| report.group(group).any(|(check, _)| check.name() == name);
    let unknown = asked.excluded.iter().filter(|name| !known(name)).map(|name| format!("{name:?}"));
    let unknown: Vec<String> = unknown.collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(",");
        line(text, format_args!("warn: some health checks cannot be excluded: no matches for {unknown}"));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}

fn one(report: &Report, group: Group, name: &str, extensions: &Extensions) -> Response {
    let Some((check, status)) = report.group(group).find(|(check, _)| check.name() == name) else {
        return answer(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n");
    };
    if status != Status::Fail {
        return answer(StatusCode::OK, PLAIN, "ok");
    }
    let output = check.output().filter(|_| sees_details(extensions)).unwrap_or("reason withheld");
    answer(code(status), PLAIN, format!("internal server error: {output}\n"))
}
