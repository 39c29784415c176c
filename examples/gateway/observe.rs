//! Where lines and metrics go.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flashops::axum::handler::{SeesAll, prometheus};
use flashops::core::price::Import;
use flashops::log::{LogFormat, LogLayer};
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How often what histograms were told is summed up, whether or not somebody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Which lines are written, and how.
pub(crate) struct Lines {
    format: LogFormat,
    filter: Targets,
}

impl Lines {
    /// From `LOG_FORMAT` and `RUST_LOG`. People get colours, whatever reads a pipe gets JSON.
    pub(crate) fn new(format: Option<&str>, filter: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let usual = if io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json };
        let format = format.map_or(Ok(usual), str::parse).map_err(|error| format!("LOG_FORMAT: {error}"))?;
        let filter = filter.unwrap_or("info").parse().map_err(|error| format!("RUST_LOG: {error}"))?;
        Ok(Self { format, filter })
    }

    /// Writes to the standard error from here on: the standard output is for the address and the audit.
    pub(crate) fn begin(self) -> Result<(), Box<dyn Error>> {
        let lines = LogLayer::new(self.format).with_writer(io::stderr).with_filter(self.filter);
        Ok(tracing_subscriber::registry().with(lines).try_init()?)
    }
}

/// Collects the metrics of this process from here on.
pub(crate) fn collect() -> Result<PrometheusHandle, Box<dyn Error>> {
    let handle = prometheus().install_recorder()?;
    let kept = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            kept.run_upkeep();
        }
    });
    Ok(handle)
}

/// Lets only those pass who may see everybody's usage.
pub(crate) async fn only_admins(request: Request, next: Next) -> Response {
    if request.extensions().get::<SeesAll>().is_some() {
        return next.run(request).await;
    }
    // A layer further out writes it in the dialect of the route, with the identity of the request.
    (StatusCode::FORBIDDEN, "this is for administrators").into_response()
}

/// Tells what was read of LiteLLM's price file, and which of its keys were not.
pub(crate) fn tell_import(import: &Import) {
    let ignored = import.ignored.iter().map(|(key, times)| format!("{key}: {times}")).collect::<Vec<_>>().join(", ");
    let (models, skipped, rounded) = (import.book.models().len(), import.skipped.len(), import.rounded.len());
    tracing::info!(target: "flashops::prices", models, skipped, rounded, ignored, "imported prices");
}
