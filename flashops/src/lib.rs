//! Operational controls for services in front of a language model.
//!
//! No caller overspends tokens or money, requests are limited by a true sliding window, every token of every call is
//! accounted for even when a stream is cut, and refusals make real clients back off: by adding layers to a service.
//!
//! | crate | what it has |
//! | --- | --- |
//! | [`core`] | limits, reservations, prices, usage, configuration: no runtime, no HTTP |
//! | [`tower`] | the layers |
//! | `axum` (feature) | extractors and handlers |
//! | `log` (feature) | lines of a log, for `tracing-subscriber` |
//! | [`Controls`] | all layers of a configuration, in the right order |
//! | [`reload`] | another configuration without a restart |
//!
//! Start with [`Controls`] and a configuration, or with one layer:
//! [`TokenBudgetLayer`](tower::budget::TokenBudgetLayer), [`RateLimitLayer`](tower::rate_limit::RateLimitLayer).
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod controls;
#[cfg(feature = "log")]
pub mod log;
pub mod reload;

pub use flashops_core as core;
pub use flashops_tower as tower;

#[cfg(feature = "axum")]
pub use flashops_axum as axum;

pub use controls::{Controls, ControlsLayer};

/// The example of the README is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
