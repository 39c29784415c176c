use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flashops_tower::call_metrics::{COUNT_BUCKETS, GenAiNames, PER_TOKEN_BUCKETS, RATIO_BUCKETS, TIME_BUCKETS};
use flashops_tower::http_metrics::DURATION_BUCKETS;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The text format of Prometheus, with its version.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/api/v1/metrics`: every metric of the process in the text format of Prometheus, those of the application too.
pub async fn metrics(State(handle): State<PrometheusHandle>) -> Response {
    handle.run_upkeep();
    ([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")], handle.render()).into_response()
}

/// An exporter whose histograms have the right buckets, for the metrics of these crates and for those of the
/// application that are in seconds.
///
/// Install it before the first request with
/// [`install_recorder`](metrics_exporter_prometheus::PrometheusBuilder::install_recorder), which gives the handle that
/// [`metrics`] serves.
pub fn prometheus() -> PrometheusBuilder {
    let names = [GenAiNames::LATEST, GenAiNames::V1_41];
    let per_token = names.map(|names| (names.time_per_output_token.to_owned(), &PER_TOKEN_BUCKETS[..]));
    let tokens = names
        .into_iter()
        .flat_map(|names| names.token_usage.into_iter().chain(names.operation_tokens.into_iter().flatten()));
    let whole = tokens.map(|name| (name.to_owned(), &COUNT_BUCKETS[..])).chain(per_token);
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in whole {
        builder = with_buckets(builder, Matcher::Full(name), buckets);
    }
    builder = with_buckets(builder, Matcher::Prefix("gen_ai_".to_owned()), &TIME_BUCKETS);
    builder = with_buckets(builder, Matcher::Suffix("_ratio".to_owned()), &RATIO_BUCKETS);
    with_buckets(builder, Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)
}

fn with_buckets(builder: PrometheusBuilder, metrics: Matcher, buckets: &[f64]) -> PrometheusBuilder {
    builder.set_buckets_for_metric(metrics, buckets).expect("there are buckets")
}
