//! What an application tells of itself, so that it is on the same page as everything else.
//!
//! ```
//! use flashops_tower::app_metrics::{CacheHits, QueueLength};
//!
//! let (answers, jobs) = (CacheHits::new("answers"), QueueLength::new("invoices"));
//! answers.hit();
//! answers.miss();
//! jobs.set(3);
//! ```
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `flashops_cache_requests_total` | counter | `cache`, `outcome` (`hit`, `miss`) |
//! | `flashops_queue_length` | gauge | `queue` |
//!
//! The hit rate is the share of the rate of hits in that of both.
//!
//! Edge cases: make them once, after the exporter was installed, and keep them: a handle that was made before tells
//! nobody. Their names are labels, so there should be few.
//!
//! What this module does not do: cache, queue, or measure by itself.

use metrics::{Counter, Gauge, Unit};

const CACHE: &str = "flashops_cache_requests_total";
const QUEUE: &str = "flashops_queue_length";

/// How often a cache had what it was asked for.
#[derive(Clone, Debug)]
pub struct CacheHits {
    hits: Counter,
    misses: Counter,
}

impl CacheHits {
    /// For the cache of this name.
    pub fn new(cache: &'static str) -> Self {
        metrics::describe_counter!(CACHE, Unit::Count, "Requests to a cache of the application.");
        Self {
            hits: metrics::counter!(CACHE, "cache" => cache, "outcome" => "hit"),
            misses: metrics::counter!(CACHE, "cache" => cache, "outcome" => "miss"),
        }
    }

    /// It had it.
    pub fn hit(&self) {
        self.hits.increment(1);
    }

    /// It did not.
    pub fn miss(&self) {
        self.misses.increment(1);
    }
}

/// How many wait in a queue.
#[derive(Clone, Debug)]
pub struct QueueLength(Gauge);

impl QueueLength {
    /// For the queue of this name.
    pub fn new(queue: &'static str) -> Self {
        metrics::describe_gauge!(QUEUE, Unit::Count, "What waits in a queue of the application.");
        Self(metrics::gauge!(QUEUE, "queue" => queue))
    }

    /// It is so many.
    pub fn set(&self, length: u32) {
        self.0.set(length);
    }
}
