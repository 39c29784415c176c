//! What is measured of requests, and which labels that has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use flashops_core::clock::ManualClock;
use flashops_core::limit::RoutePatterns;
use flashops_testkit::exposition::series;
use flashops_tower::http_metrics::{HttpMetricsLayer, HttpNames, MAX_SERIES_OF_ROUTE, MeasuredBody};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use support::{Answer, AnyBody, Chunks, full, sse_frame};
use tower::{BoxError, Layer, ServiceExt, service_fn};

/// A clock, an exporter that sees what it measures, and the layer.
struct Desk {
    clock: ManualClock,
    exporter: PrometheusRecorder,
    layer: HttpMetricsLayer,
}

impl Desk {
    fn new(names: HttpNames) -> Self {
        let clock = ManualClock::new();
        let layer = HttpMetricsLayer::new()
            .with_names(names)
            .with_clock(clock.clone())
            .with_routes(["/pets", "/pets/*"])
            .unwrap()
            .with_exempt(RoutePatterns::new(["/livez"]).unwrap());
        let exporter = PrometheusBuilder::new().set_buckets(&[0.5, 2.0]).unwrap().build_recorder();
        Self { clock, exporter, layer }
    }

    /// Sends a request to a service with this answer, or with none.
    fn open(&self, request: Request<()>, answer: Option<Answer>) -> Option<Response<MeasuredBody<AnyBody>>> {
        let mut answer = answer;
        let service = self.layer.layer(service_fn(move |_| {
            let answer = answer.take();
            async move {
                match answer {
                    Some(answer) => Ok::<_, BoxError>(answer),
                    None => pending().await,
                }
            }
        }));
        self.seen(|| service.oneshot(request).now_or_never()?.ok())
    }

    /// Does something whose metrics the exporter sees.
    fn seen<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.exporter, work)
    }

    /// Asks for a page of this path, which has this status, and reads it.
    fn ask(&self, method: &str, path: &str, status: u16) {
        let answer = Response::builder().status(status).body(full("meow".to_owned())).unwrap();
        let response = self.open(request(method, path), Some(answer)).unwrap();
        self.seen(|| response.into_body().collect().now_or_never().unwrap().unwrap());
    }

    fn series(&self) -> BTreeMap<String, f64> {
        self.exporter.handle().run_upkeep();
        series(&self.exporter.handle().render()).unwrap()
    }

    /// How often each pair of labels was counted.
    fn counts(&self) -> BTreeMap<String, f64> {
        let name = "http_request_duration_seconds_count";
        let all = self.series().into_iter();
        all.filter_map(|(series, count)| Some((series.strip_prefix(name)?.to_owned(), count))).collect()
    }
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).unwrap()
}

const DURATION: &str = "http_request_duration_seconds";
const IN_FLIGHT: &str = "http_requests_in_flight";

#[test]
fn a_request_is_measured_until_the_last_byte_of_its_response() {
    let desk = Desk::new(HttpNames::DOCUMENTED);
    let stream = Chunks::stream(vec![sse_frame("a"), sse_frame("b")]);
    let mut body = desk.open(request("GET", "/pets/7?name=tom"), Some(stream)).unwrap().into_body();
    for _ in 0..2 {
        desk.clock.advance(Duration::from_millis(700));
        desk.seen(|| body.frame().now_or_never().unwrap().unwrap().unwrap());
        assert_eq!(desk.series()[IN_FLIGHT], 1.0);
        assert!(desk.counts().is_empty(), "it has not ended");
    }
    desk.seen(|| assert!(body.frame().now_or_never().unwrap().is_none()));
    let labels = r#"{method="GET",route="/pets/*",status="200""#;
    let series = desk.series();
    assert_eq!((series[IN_FLIGHT], series[&format!("{DURATION}_sum{labels}}}")]), (0.0, 1.4));
    let bucket = |bound: &str| series[&format!("{DURATION}_bucket{labels},le=\"{bound}\"}}")];
    assert_eq!([bucket("0.5"), bucket("2"), bucket("+Inf")], [0.0, 1.0, 1.0]);
    desk.seen(|| drop(body));
    assert_eq!(desk.counts().values().sum::<f64>(), 1.0, "once");
}

#[test]
fn whoever_leaves_ends_the_measurement_with_the_status_that_there_was() {
    let desk = Desk::new(HttpNames::DOCUMENTED);
    let stream = Chunks::hanging_stream(vec![sse_frame("a").into()]);
    let response = desk.open(request("POST", "/pets"), Some(stream)).unwrap();
    desk.seen(|| drop(response));
    assert!(desk.open(request("GET", "/pets"), None).is_none());
    let empty = Response::builder().status(204).body(full(String::new())).unwrap();
    let _kept = desk.open(request("PUT", "/pets"), Some(empty));
    let counted: Vec<_> = desk.counts().into_keys().collect();
    let labels = |method: &str, status: &str| format!(r#"{{method="{method}",route="/pets",status="{status}"}}"#);
    assert_eq!(counted, [labels("GET", "none"), labels("POST", "200"), labels("PUT", "204")]);
    assert_eq!(desk.series()[IN_FLIGHT], 0.0);
}

#[test]
fn ten_thousand_labels_of_clients_make_a_handful_of_series() {
    let desk = Desk::new(HttpNames::DOCUMENTED);
    for round in 0..10_000 {
        desk.ask(&format!("BREW{round}"), &format!("/cats/{round}"), 200);
        desk.ask("GET", &format!("/pets/{round}"), 200);
    }
    let counts = desk.counts();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert_eq!(counts[r#"{method="_OTHER",route="other",status="200"}"#], 10_000.0);
    assert_eq!(counts[r#"{method="GET",route="/pets/*",status="200"}"#], 10_000.0);
}

#[test]
fn a_service_with_many_statuses_has_a_bounded_number_of_series() {
    let desk = Desk::new(HttpNames::DOCUMENTED);
    for status in 200..600 {
        desk.ask("GET", "/pets", status);
        desk.ask("PUT", "/pets", status);
    }
    let counts = desk.counts();
    assert_eq!(counts.len(), MAX_SERIES_OF_ROUTE + 1);
    assert_eq!(counts[r#"{method="other",route="/pets",status="other"}"#], 800.0 - 64.0);
}

#[test]
fn health_checks_leave_no_trace() {
    let desk = Desk::new(HttpNames::DOCUMENTED);
    desk.ask("GET", "/livez", 200);
    desk.ask("GET", "//livez", 200);
    assert!(desk.series().is_empty(), "{:?}", desk.series());
}

#[test]
fn a_router_that_knows_the_template_comes_first() {
    #[derive(Clone)]
    struct Template(&'static str);
    let mut desk = Desk::new(HttpNames::SEMCONV);
    desk.layer = desk.layer.with_route_of(|extensions| extensions.get::<Template>().map(|template| template.0));
    let mut asked = request("GET", "/pets/7");
    asked.extensions_mut().insert(Template("/pets/{id}"));
    let response = desk.open(asked, Some(Response::new(full("meow".to_owned()))));
    desk.seen(|| drop(response));
    let labels = r#"{http_request_method="GET",http_route="/pets/{id}",http_response_status_code="200"}"#;
    let count = desk.series()[&format!("http_server_request_duration_seconds_count{labels}")];
    assert_eq!(count, 1.0);
}
