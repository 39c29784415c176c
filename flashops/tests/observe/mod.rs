//! What is told of requests: lines and metrics.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use flashops::log::{LogFormat, LogLayer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Filter, Identity, Layer, Layered, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// Sees what is told while something is done.
pub(crate) struct Observer {
    written: Written,
    format: LogFormat,
    exporter: PrometheusRecorder,
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// It is always noon.
struct Noon;

impl FormatTime for Noon {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        to.write_str("2026-11-25T12:00:00Z")
    }
}

impl Observer {
    pub(crate) fn new(format: LogFormat) -> Self {
        let exporter = PrometheusBuilder::new().set_buckets(&[0.5, 2.0]).unwrap().build_recorder();
        Self { written: Written::default(), format, exporter }
    }

    pub(crate) fn json() -> Self {
        Self::new(LogFormat::Json)
    }

    /// Does something that is seen.
    pub(crate) fn see<T>(&self, work: impl FnOnce() -> T) -> T {
        self.see_with(LevelFilter::INFO, Identity::new(), work)
    }

    /// Does something of whose lines those are seen that pass a filter, and all of it by another layer too.
    pub(crate) fn see_with<T, F, L>(&self, filter: F, more: L, work: impl FnOnce() -> T) -> T
    where
        F: Filter<Layered<L, Registry>> + Send + Sync + 'static,
        L: Layer<Registry> + Send + Sync + 'static,
    {
        let written = self.written.clone();
        let lines = LogLayer::new(self.format).with_writer(move || written.clone()).with_time(Noon);
        let subscriber = tracing_subscriber::registry().with(more).with(lines.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || metrics::with_local_recorder(&self.exporter, work))
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The page of metrics.
    pub(crate) fn page(&self) -> String {
        self.exporter.handle().run_upkeep();
        self.exporter.handle().render()
    }
}
