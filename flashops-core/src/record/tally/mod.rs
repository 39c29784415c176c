//! Who used what: a recorder that counts in memory.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use flashops_core::budget::{Budget, CallRequest};
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::limit::Policy;
//! use flashops_core::price::PriceBook;
//! use flashops_core::record::{Dimension, Ending, Tally, TokenThreshold};
//! use flashops_core::store::{MemoryStore, Store};
//! use flashops_core::units::Tokens;
//! use flashops_core::usage::Usage;
//!
//! let threshold = TokenThreshold::new(200, Duration::from_secs(3_600))?;
//! let tally = Tally::with_bounds(threshold, Tally::DEFAULT_MAX_ROWS)
//!     .on_threshold(|reached| println!("{} used {} tokens", reached.org, reached.tokens));
//! let tally = Arc::new(tally);
//! let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(vec![])?), ManualClock::new()));
//! let budget = Budget::new(Arc::clone(&store), Arc::new(PriceBook::embedded().clone()), Arc::clone(&tally));
//!
//! let ann = Caller::new("ann", "acme");
//! let mut call = budget
//!     .begin_now(CallRequest {
//!         caller: ann.clone(),
//!         route: "/v1/chat/completions".into(),
//!         model: "gpt-4o-mini".into(),
//!         estimate: Estimate::new(InputBound::bytes(300), OutputCap::new(Tokens::saturating(500))),
//!         limits: budget.policy().limits_on("/v1/chat/completions", true),
//!     })?
//!     .expect("there are no limits");
//! call.dispatched();
//! let mut usage = Usage::exact();
//! usage.input = Tokens::saturating(41);
//! usage.output = Tokens::saturating(43);
//! call.settle(&usage, Ending::Complete);
//!
//! let hour = tally.report(Some(Duration::from_secs(3_600)), store.now(), |row| row.belongs_to(&ann));
//! assert_eq!((hour.totals.prompt_tokens, hour.totals.completion_tokens), (41, 43));
//! assert_eq!(hour.totals.cost_text(budget.prices().unit()).as_deref(), Some("0.00003195"));
//! assert_eq!(hour.threshold.share, 420, "84 of 200 tokens");
//! assert_eq!(&*hour.grouped(Dimension::Model)[0].name, "gpt-4o-mini");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There is one row for each organisation, user, model and route that was seen, from the first reservation on. It has
//! what was counted since the start, which is exact, and a bucket for each minute of the last [`Tally::MAX_WINDOW`] in
//! which anything was counted, for windows. The time of a call is when it ended; that of a request which was refused or
//! given back is when it was made.
//!
//! When the tokens that an organisation settled in the window of the [`TokenThreshold`] come up to it, the hook of
//! [`Tally::on_threshold`] is called: once, whatever number of calls settle at that moment, and again when they come up
//! to it once more, if usage was below nine tenths of the threshold since then, and a window has passed. The alarm
//! counts in sub-buckets of a thirty-ninth of the window, the oldest one whole, and a report in minutes, the oldest one
//! whole. Neither is ever below the truth, so that the alarm is never late, but close to the threshold one can be ahead
//! of the other.
//!
//! Edge cases: the number of rows is bounded. Rows never go, because the sums since the start must stay right; what has
//! no room counts in a row called `other`, of its organisation if that has rows, else of all. Nothing is lost from
//! totals, and no organisation can take all rows: it may have four for each that is still free, as may all anonymous
//! callers together. Long names are cut where they are shown and still told apart. A usage of quality
//! [`Absent`](crate::usage::Quality::Absent) counts as an estimated one. Costs are added whatever book they come from:
//! one tally belongs to one price book. Organisations without a row share one alarm.
//!
//! What this module does not do: survive a restart, see other processes, or write money down for billing. That is the
//! work of a ledger.

mod minutes;
mod report;
mod room;
mod row;
mod shard;
#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod tally;
mod threshold;
mod totals;

#[cfg(test)]
mod tests;

pub use report::{Dimension, Group, OrgShare, Report, ReportRow, ThresholdReport};
pub(crate) use row::shown;
pub use row::{MAX_ROW_NAME, RowKey};
pub use tally::Tally;
pub use threshold::{ThresholdReached, TokenThreshold, TokenThresholdError};
pub use totals::Totals;
