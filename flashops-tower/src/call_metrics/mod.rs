//! What calls of models use and cost, and what is refused, for whatever the [`metrics`] facade exports to: a
//! [`Recorder`](flashops_core::record::Recorder).
//!
//! ```
//! use std::sync::Arc;
//! use flashops_core::budget::Budget;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::limit::Policy;
//! use flashops_core::price::{PriceBook, Prices};
//! use flashops_core::store::MemoryStore;
//! use flashops_tower::call_metrics::{CallMetrics, GenAiNames};
//!
//! let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
//! let metrics = CallMetrics::new(prices.clone()).with_gen_ai([GenAiNames::LATEST, GenAiNames::V1_41]);
//! let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(vec![])?), ManualClock::new()));
//! let budget = Budget::new(store, prices, metrics);
//! # let _ = budget;
//! # Ok::<(), flashops_core::limit::LimitError>(())
//! ```
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `openai_tokens_total` | counter | `tenant`, `direction` (`input`, `output`), `model` |
//! | `openai_request_total` | counter | `model`, `outcome` (the names of [`Ending`](flashops_core::record::Ending)) |
//! | `ml_fallback_total` | counter | `reason` (the names of [`FallbackReason`](flashops_core::record::FallbackReason)) |
//! | `flashops_cost_nanousd_total` | counter | `tenant`, `model` |
//! | `flashops_ratelimit_requests_total` | counter | `policy` (a limit), `decision` (`rejected`, `warned`, `shadow_rejected`) |
//! | `flashops_tokens_reserved_total`, `flashops_tokens_settled_total` | counter | `direction` |
//! | `flashops_estimate_used_ratio` | histogram | `direction` |
//! | those of [`GenAiNames`] | both | `gen_ai_operation_name`, `gen_ai_provider_name`, `gen_ai_request_model`, and more |
//!
//! A cost is a whole number of the price book's unit, and the name says of which: billionths of a US dollar unless the
//! book says otherwise. A counter is a whole number, so that no sum of money is rounded.
//!
//! Labels are bounded. A tenant is an organisation: `anonymous` for callers without one, and `other` beyond the first
//! [`CallMetrics::MAX_TENANTS`] or what [`CallMetrics::with_max_tenants`] says; one that is called `anonymous` or
//! `other` is `org:anonymous` or `org:other`. A model is its name in the price book, `other` for one that is not there,
//! and beyond the first [`CallMetrics::MAX_MODELS`]. No user, key, address or path is a label.
//!
//! Edge cases: a call counts when it is settled, with what it is charged for, also if that is an estimate. What was
//! reserved counts then too, so that the two can be compared; calls that were given back count in neither. Every
//! attempt counts. Histograms of tokens and times are of complete calls, and the time to the first output is of
//! streams. A search or a picture that is not counted in tokens is in the cost alone. Handles are asked for when their
//! labels are first seen, and kept: install an exporter before the first request.
//!
//! What this module does not do: install a recorder or export. It does not count what was admitted by limit; requests
//! are in [`http_metrics`](crate::http_metrics).

mod bounded;
mod gen_ai;
mod names;
mod recorder;
mod series;

pub use names::{COUNT_BUCKETS, GenAiNames, PER_TOKEN_BUCKETS, RATIO_BUCKETS, TIME_BUCKETS};
pub use recorder::CallMetrics;
