//! What happened, told to whoever wants to know.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use flashops_core::budget::{Budget, CallRequest};
//! use flashops_core::caller::Caller;
//! use flashops_core::clock::ManualClock;
//! use flashops_core::estimate::{Estimate, InputBound, OutputCap};
//! use flashops_core::key::Scope;
//! use flashops_core::limit::{Limit, Policy, Resource, Window};
//! use flashops_core::price::PriceBook;
//! use flashops_core::record::{Event, Recorder, Tally};
//! use flashops_core::store::{MemoryStore, Store};
//! use flashops_core::units::Tokens;
//!
//! #[derive(Debug, Default)]
//! struct Refusals(AtomicU64);
//!
//! impl Recorder for Refusals {
//!     fn record(&self, event: &Event<'_>) {
//!         if let Event::Denied { .. } = event {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! let (refusals, tally) = (Arc::new(Refusals::default()), Arc::new(Tally::new()));
//! let both = (Arc::clone(&refusals), Arc::clone(&tally));
//! let limit = Limit::new("grant", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime)?;
//! let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(vec![limit])?), ManualClock::new()));
//! let budget = Budget::new(Arc::clone(&store), Arc::new(PriceBook::embedded().clone()), both);
//!
//! let ask = |output| CallRequest {
//!     caller: Caller::new("ann", "acme"),
//!     route: "/v1/chat/completions".into(),
//!     model: "gpt-4o-mini".into(),
//!     estimate: Estimate::new(InputBound::bytes(300), OutputCap::new(Tokens::saturating(output))),
//!     limits: budget.policy().limits_on("/v1/chat/completions", true),
//! };
//! let mut call = budget.begin_now(ask(500))?.expect("800 of 1000 fit");
//! assert!(budget.begin_now(ask(500))?.is_err());
//! call.dispatched();
//! drop(call);
//!
//! assert_eq!(refusals.0.load(Ordering::Relaxed), 1);
//! let since_the_start = tally.report(None, store.now(), |_| true).totals;
//! assert_eq!((since_the_start.requests, since_the_start.failed, since_the_start.refused), (1, 1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Edge cases: a recorder is called on the request's own thread, from destructors too, so it must be quick, must not
//! block and must not panic. Every request that was reserved ends in exactly one [`Event::Settled`] or
//! [`Event::Voided`]. One that its caller left before the store answered is voided without having been told of before.
//!
//! How good estimates are is in [`EstimateErrors`], a recorder of its own.
//!
//! What this module does not do: keep a durable ledger, or write logs or metrics. Those are recorders of their own.

mod errors;
pub mod tally;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use errors::{ErrorHistogram, EstimateErrors};
pub use tally::{
    Dimension, Group, MAX_ROW_NAME, OrgShare, Report, ReportRow, RowKey, Tally, ThresholdReached, ThresholdReport,
    TokenThreshold, TokenThresholdError, Totals,
};

use crate::caller::Caller;
use crate::clock::{Moment, Tick};
use crate::estimate::Estimate;
use crate::limit::{Denied, LimitIndex, LimitSet, Policy};
use crate::price::Price;
use crate::store::{Crossing, Outcome, ReservationId};
use crate::units::{Cost, Tokens};
use crate::usage::Usage;

/// Somebody who wants to know what happened.
pub trait Recorder: fmt::Debug + Send + Sync + 'static {
    /// Takes note of an event.
    fn record(&self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was refused; nothing was called.
    Denied {
        /// What was asked for.
        call: &'a CallInfo,
        /// Why.
        denied: &'a Denied,
        /// The policy that the refusal speaks of.
        policy: &'a Policy,
    },
    /// A request was reserved, and goes on.
    Reserved {
        /// What was asked for.
        call: &'a CallInfo,
    },
    /// A reserved request ended without anything to charge: it never reached the provider.
    Voided {
        /// What was asked for.
        call: &'a CallInfo,
    },
    /// A call ended, with what it used.
    Settled(&'a SettledCall<'a>),
    /// A request went on although a limit that only warns, or that is in shadow, had no room for it.
    Exceeded {
        /// What was asked for.
        call: &'a CallInfo,
        /// Which limit; its mode says whether it warns.
        limit: LimitIndex,
        /// The policy that it speaks of.
        policy: &'a Policy,
    },
    /// A call goes to another model, because the one before failed or cannot be paid.
    FellBack(&'a FellBack<'a>),
    /// An organisation has settled as many tokens in a window as the threshold of a [`Tally`].
    OrgThreshold(&'a ThresholdReached),
    /// A threshold of a limit was reached.
    Threshold {
        /// By which call.
        call: &'a CallInfo,
        /// Which threshold.
        crossing: Crossing,
        /// When it was reached.
        at: Moment,
        /// The policy that it speaks of.
        policy: &'a Policy,
    },
}

/// What a call is: fixed when it is reserved.
#[derive(Clone, Debug)]
pub struct CallInfo {
    /// The identity of the reservation.
    pub id: ReservationId,
    /// Who asked.
    pub caller: Caller,
    /// The route: a template or a path, from a bounded set.
    pub route: Arc<str>,
    /// The model that was asked for; empty for a request that asks for none.
    pub model: Arc<str>,
    /// When it was reserved.
    pub started: Moment,
    /// It is a further attempt of a request that was counted before: its tokens and cost count, and the request does
    /// not.
    pub again: bool,
}

/// A fall-back from one model to the next of its route.
#[derive(Clone, Copy, Debug)]
pub struct FellBack<'a> {
    /// The route: a template or a path, from a bounded set.
    pub route: &'a str,
    /// The model before.
    pub from: &'a str,
    /// The model that is tried instead.
    pub to: &'a str,
    /// Why.
    pub reason: FallbackReason,
}

/// Why another model is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FallbackReason {
    /// The provider failed, or refused at the moment.
    Provider,
    /// A limit on money, on the model or on its provider has no room.
    Budget,
}

impl FallbackReason {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Provider, Self::Budget];

    /// The word for it in headers, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Budget => "budget",
        }
    }
}

/// A call that ended.
#[derive(Clone, Copy, Debug)]
pub struct SettledCall<'a> {
    /// What it was.
    pub call: &'a CallInfo,
    /// The limits that counted it, of [`SettledCall::policy`].
    pub limits: LimitSet,
    /// The policy that it began under.
    pub policy: &'a Policy,
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: &'a Usage,
    /// What was estimated: the input that was held, and the output cap.
    pub estimate: Estimate,
    /// The output that was held when it was reserved, at most the cap.
    pub held_output: Tokens,
    /// What that cost; `None` where no price applies.
    pub cost: Option<Cost>,
    /// The price that was applied.
    pub price: Option<&'a Price>,
    /// What the store did with it; `None` if the store will answer later.
    pub outcome: Option<Outcome>,
    /// When the first output of a stream came; `None` where none came, and for a response that is no stream.
    pub first_output: Option<Tick>,
    /// When it ended.
    pub ended: Moment,
}

impl SettledCall<'_> {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        self.ended.tick.since(self.call.started.tick)
    }

    /// How long the first output of a stream took.
    pub fn time_to_first_output(&self) -> Option<Duration> {
        Some(self.first_output?.since(self.call.started.tick))
    }

    /// How long each output token after the first took, of a stream that is complete and has more than one.
    ///
    /// The last token is taken to have come when the stream ended: providers send nothing but their closing events
    /// after it.
    pub fn time_per_output(&self) -> Option<Duration> {
        let rest = self.usage.total_output().get().checked_sub(1).filter(|&rest| rest > 0)?;
        let first = self.first_output.filter(|_| self.ending == Ending::Complete)?;
        let nanos = self.ended.tick.since(first).as_nanos() / u128::from(rest);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The response was complete and successful.
    Complete,
    /// The response was complete, with a status of 400 or above.
    Rejected,
    /// The inner service failed or panicked after the request was sent, or was dropped before the response began.
    Failed,
    /// The response broke off: the upstream failed, or the client left.
    Cut,
    /// The layer ended the response: it went beyond what was held, and a limit had no room for more.
    Exhausted,
}

impl Ending {
    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Takes no note of anything.
impl Recorder for () {
    fn record(&self, _: &Event<'_>) {}
}

impl<R: Recorder + ?Sized> Recorder for Arc<R> {
    fn record(&self, event: &Event<'_>) {
        (**self).record(event);
    }
}

impl<A: Recorder, B: Recorder> Recorder for (A, B) {
    fn record(&self, event: &Event<'_>) {
        self.0.record(event);
        self.1.record(event);
    }
}

impl<R: Recorder> Recorder for Vec<R> {
    fn record(&self, event: &Event<'_>) {
        for recorder in self {
            recorder.record(event);
        }
    }
}
