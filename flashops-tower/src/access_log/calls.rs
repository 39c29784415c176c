use flashops_core::record::{Ending, Event, FellBack, Recorder, SettledCall};
use flashops_core::units::MoneyUnit;
use tracing::Level;

use super::line::{MAX_NAME, bounded, names};

/// The target of events of calls.
pub const CALL_TARGET: &str = "flashops::call";

/// A recorder that logs every call of a model, and every fall-back to another one. See the [module docs](super).
#[derive(Clone, Copy, Debug)]
pub struct CallLog {
    unit: MoneyUnit,
}

impl CallLog {
    /// For costs in this unit: that of the price book.
    pub const fn new(unit: MoneyUnit) -> Self {
        Self { unit }
    }

    fn settled(self, settled: &SettledCall<'_>) {
        let usage = settled.usage;
        let model = bounded(&settled.call.model, MAX_NAME);
        let (prompt_tokens, completion_tokens) = (usage.total_input().get(), usage.total_output().get());
        let total_tokens = usage.total().get();
        let cost = settled.cost.map(|cost| self.unit.format(cost));
        let duration_ms = u64::try_from(settled.duration().as_millis()).unwrap_or(u64::MAX);
        let [user_id, org_id] = names(&settled.call.caller);
        let ending = settled.ending.name();
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    target: CALL_TARGET, $level, model, prompt_tokens, completion_tokens, total_tokens, cost,
                    duration_ms, trace_id = tracing::field::Empty, user_id, org_id, "call {ending}"
                )
            };
        }
        match settled.ending {
            Ending::Complete => event!(Level::INFO),
            _ => event!(Level::WARN),
        }
    }
}

impl Recorder for CallLog {
    fn record(&self, event: &Event<'_>) {
        match event {
            Event::Settled(settled) => self.settled(settled),
            Event::FellBack(fell) => {
                let FellBack { from, to, reason, .. } = fell;
                let (model, to, reason) = (bounded(from, MAX_NAME), bounded(to, MAX_NAME), reason.name());
                tracing::warn!(target: CALL_TARGET, model, to, reason, "another model is tried");
            }
            _ => {}
        }
    }
}
