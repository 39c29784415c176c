//! Alerts: what an operator should know before a caller or an invoice tells.
//!
//! ```
//! use std::sync::Arc;
//! use flashops_core::alert::{AlertKind, AlertRules, Alerts, ChannelSink};
//! use flashops_core::budget::{Budget, CallRequest};
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::price::{PriceBook, Prices};
//! use flashops_core::record::Ending;
//! use flashops_core::store::{MemoryStore, Store};
//! use flashops_core::units::Tokens;
//! use flashops_core::usage::Usage;
//!
//! let grant = Limit::new("grant", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime)?;
//! let policy = Arc::new(Policy::new(vec![grant.with_thresholds([800])?])?);
//! let store = Arc::new(MemoryStore::new(Arc::clone(&policy), ManualClock::new()));
//! let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
//!
//! let alerts = Arc::new(Alerts::new(Arc::clone(&policy), prices.clone(), &AlertRules::default(), store.now()));
//! let (channel, told) = ChannelSink::new(64);
//! alerts.add_sink(channel);
//! let budget = Budget::new(store, prices, alerts);
//!
//! let mut call = budget
//!     .begin_now(CallRequest {
//!         caller: Caller::new("ann", "acme"),
//!         route: "/v1/chat/completions".into(),
//!         model: "gpt-4o-mini".into(),
//!         estimate: Estimate::new(InputBound::bytes(300), OutputCap::new(Tokens::saturating(600))),
//!         limits: policy.limits_on("/v1/chat/completions", true),
//!     })?
//!     .expect("900 of 1000 fit");
//! call.dispatched();
//! call.settle(&Usage { output: Tokens::saturating(850), ..Usage::exact() }, Ending::Complete);
//!
//! let alert = told.try_recv()?;
//! assert_eq!(alert.kind, AlertKind::Threshold { share: 800, used: 850, amount: 1_000 });
//! assert_eq!(alert.to_string(), "grant: org acme came up to 80 %: used 850 tokens of 1000 tokens");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Alerts`] is a [`Recorder`](crate::record::Recorder): all of this happens where a call settles, however it ended.
//!
//! | alert | when | how often |
//! | --- | --- | --- |
//! | threshold | settled usage comes up to a share of any limit but `concurrency`, or of the tally's [`TokenThreshold`](crate::record::TokenThreshold) | once for each limit, key, period and share; in a sliding window at most once in its length, and only after usage was below nine tenths of it |
//! | projection | a limit on a calendar period will be used up before it ends, if use goes on as since its beginning; from a tenth of it on | once for each limit, key and period |
//! | burn rate | a limit on a day or longer is used up so many times faster than evenly, in a long window and in a short one | when both come up to it, again only after one was below nine tenths, at most once in the long window |
//! | anomaly | a user, or all together, used more tokens or money in this hour than three times the median of its own hours before, and than the median and six times the median distance from it | once for each in an hour |
//! | user month | an active user costs more in a calendar month (UTC) than it may, as projected from what all cost | once a month |
//!
//! Whether a threshold was told is kept by the store, with the account. The others are kept here, within
//! [`Alerts::MAX_KEYS`] keys: a key beyond is not watched, which is counted, and no key that has told anything goes
//! before its period or window is over, so that nothing is told twice because of many keys. Anonymous callers have
//! half of these places together.
//!
//! Edge cases: a restart forgets all of it, and a period that had begun before is projected from what was used since
//! then. The windows of a burn rate count their oldest fortieth whole, so it is never late and can be that much early.
//! Limits in shadow, of zero, for a lifetime, and on requests that call no model have thresholds only. What is used is
//! what this process settled: debt of an earlier period and other processes are in thresholds, as far as the store
//! knows them, and not in the others. Where another policy comes into force, a limit that is the same goes on, and of
//! any other nothing was seen before. An anonymous caller is called by its network, so whoever reads alerts sees that.
//!
//! What this module does not do: send anything anywhere, or say that an alert is over. Sinks do the first, and
//! [`Alert::until`] says how long it is of interest.

#[allow(clippy::module_inception, reason = "the file is about one type, and that is its name")]
mod alert;
mod alerts;
mod anomaly;
mod burn_rate;
mod history;
mod month;
mod projection;
mod rules;
mod sink;
mod subject;
mod table;
mod url;
mod watch;
mod watched;

#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertKind, Burned, Subject};
pub use alerts::Alerts;
pub use month::{MAX_ACTIVE_USERS, MonthProjection};
pub use rules::{AlertRules, AnomalyRule, BurnRule, MonthRule, ProjectionRule, Severity};
pub use sink::{AlertSink, ChannelSink};
pub use url::WebhookUrl;
