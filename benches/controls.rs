//! The whole stack of `Controls`, and each of its parts alone: what they add to a bare provider.
//!
//! Lines are written as JSON to a writer that throws them away, metrics go to the exporter for Prometheus, and limits
//! are those of the token-budget row: three scopes, five limits, with 1,000 callers, as many as a busy service hears in
//! a moment. Nothing here waits, and there is no socket and no runtime.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

mod service;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flashops::Controls;
use flashops::log::{LogFormat, LogLayer};
use flashops_benches::keys::Keys;
use flashops_benches::measure::{Contestant, Figures, race};
use flashops_benches::table::{Options, Row, Target, verdict};
use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::clock::CoarseClock;
use flashops_core::config::{Config, NoSources};
use flashops_core::price::{PriceBook, Prices};
use flashops_core::store::MemoryStore;
use flashops_tower::access_log::{AccessLogLayer, CallLog};
use flashops_tower::call_metrics::{CallMetrics, GenAiNames};
use flashops_tower::client_ip::{ClientIpLayer, Trust};
use flashops_tower::http_metrics::HttpMetricsLayer;
use flashops_tower::security_headers::SecurityHeadersLayer;
use flashops_tower::trace_id::TraceIdLayer;
use flashops_tower::{RateLimitLayer, TokenBudgetLayer};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use service::{HUGE, Provider, added, api_keys, exchange, fleet, kilobytes, pick};
use tower_layer::Layer;
use tower_service::Service;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const CALLERS: usize = 1_000;

fn main() {
    let options = Options::of_this_process();
    PrometheusBuilder::new().install_recorder().expect("it is the only one");
    let lines = LogLayer::new(LogFormat::Json).with_writer(io::sink);
    tracing_subscriber::registry().with(lines).try_init().expect("it is the only one");
    println!("What the stack of Controls adds to a bare provider: medians, nanoseconds, one thread / two threads.\n");
    println!("{}", stack(&options, &Keys::new(if options.smoke { 10 } else { CALLERS })));
}

/// The limits of [`fleet`], and these callers.
fn configuration(keys: &Keys) -> Config {
    let limit = |name: &str, scope: &str, resource: &str, amount: &str| {
        format!(
            "[[limit]]\nname = \"{name}\"\nscope = \"{scope}\"\nresource = \"{resource}\"\namount = {amount}\nwindow = \"1h\"\n"
        )
    };
    let mut text = limit("user-requests", "user", "requests", &HUGE.to_string())
        + &limit("user-tokens", "user", "tokens", &HUGE.to_string())
        + &limit("org-tokens", "org", "tokens", &HUGE.to_string())
        + &limit("org-cost", "org", "cost", "\"1000000\"")
        + &limit("all-tokens", "global", "tokens", &HUGE.to_string());
    for key in keys.iter() {
        text += &format!("[[caller]]\nkey = \"{key}\"\nuser = \"{key}\"\norg = \"acme\"\n");
    }
    Config::from_toml(&text, &NoSources).expect("the configuration is valid")
}

fn stack(options: &Options, keys: &Keys) -> Row {
    let (ask, answer) = kilobytes();
    let (bare, prices) = (Provider(answer), Prices::from(Arc::new(PriceBook::embedded().clone())));
    let store = || Arc::new(MemoryStore::new(Arc::new(fleet()), CoarseClock::new()));
    let recorder = (CallLog::new(prices.unit()), CallMetrics::new(prices.clone()).with_gen_ai([GenAiNames::LATEST]));
    let controls = Controls::new(&configuration(keys));
    let whole = controls.layer().layer(bare.clone());
    let client_ip = ClientIpLayer::new(Trust::Peer).layer(bare.clone());
    let trace_id = TraceIdLayer::new().layer(bare.clone());
    let log = AccessLogLayer::new().layer(bare.clone());
    let metrics = HttpMetricsLayer::new().layer(bare.clone());
    let headers = SecurityHeadersLayer::api().layer(bare.clone());
    let limiter = RateLimiter::with_store(store());
    let rate_limit = RateLimitLayer::new(limiter, api_keys(keys)).layer(bare.clone());
    let told = Budget::new(store(), prices, recorder);
    let budget = TokenBudgetLayer::new(told, api_keys(keys)).layer(bare.clone());
    let all = [
        calling("whole", &whole, keys, &ask),
        calling("bare", &bare, keys, &ask),
        calling("client address", &client_ip, keys, &ask),
        calling("trace identity", &trace_id, keys, &ask),
        calling("log of requests", &log, keys, &ask),
        calling("metrics of requests", &metrics, keys, &ask),
        calling("security headers", &headers, keys, &ask),
        calling("rate limit", &rate_limit, keys, &ask),
        calling("token budget, with the log and the metrics of calls", &budget, keys, &ask),
    ];
    let figures = race(&all, &options.plan);
    let parts: Vec<(&'static str, Figures)> =
        (2..all.len()).map(|index| (all[index].name(), added(&figures[index], &figures[1]))).collect();
    let whole = added(&figures[0], &figures[1]);
    let sum: f64 = parts.iter().map(|(_, part)| part.one.nanos()).sum();
    verdict("the whole over the sum of its parts, one thread", whole.one.nanos() / sum, "x", 2.0, "2");
    let name = "the stack of Controls, 1 KB request and response, three scopes, five limits";
    let ours = [("ours, coarse clock", whole)].into_iter().chain(parts).collect();
    Row::new(name, Target::Nanos(6_000.0), ours, vec![])
}

fn calling<'s, S, R>(name: &'static str, service: &'s S, keys: &'s Keys, ask: &'s Bytes) -> Contestant<'s>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Sync,
    R: Body<Data = Bytes>,
{
    Contestant::new(name, move |worker, operations| {
        let mut service = service.clone();
        for _ in 0..operations {
            let request = Request::post("/v1/chat/completions").header("x-api-key", pick(keys, worker));
            exchange(&mut service, request.body(Full::new(ask.clone())).expect("the key is a header value"));
        }
    })
    .with_warm_up(keys.len())
}
