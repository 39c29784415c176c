//! What the tests, examples and benchmarks of flashops share.
//!
//! - [`audit`]: an exact log of what was settled, held against the limits.
//! - [`conformance`]: what every store must do, as numbered cases.
//! - [`exposition`]: the text format of Prometheus, read strictly.
//! - [`oracle`]: a model of a store, too simple to be wrong, and random scripts that are run against both.
//! - [`stub`]: a provider on loopback that speaks the wire formats of OpenAI and Anthropic, deterministic, with
//!   directives for every way in which a provider can fail, and a ledger of what it really produced.
//! - [`trace`]: request traces, read from CSV or generated from a seed.
//!
//! ```
//! use flashops_testkit::trace;
//!
//! let requests = trace::parse("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n")?;
//! assert_eq!((requests[0].context, requests[0].generated), (374, 44));
//! # Ok::<(), trace::TraceError>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
pub mod conformance;
pub mod exposition;
pub mod oracle;
pub mod stub;
pub mod trace;
