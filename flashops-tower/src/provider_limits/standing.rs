//! How a provider stands: what it said, and what was sent since.

use std::time::Duration;

use arrayvec::ArrayVec;
use flashops_core::clock::Tick;
use flashops_core::limit::Resource;

use super::load::Load;
use super::told::{MAX_LIMITS, MAX_WAIT, Told};
use super::window::Window;

/// How one provider stands. A function of what it is told: no clock, no lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    windows: ArrayVec<Window, MAX_LIMITS>,
    /// It asked to be left alone until then.
    hold: Option<Tick>,
    flying: InFlight,
}

/// The calls in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    /// Of those that are not answered: no header has told of them.
    waiting: Load,
    /// The output of those whose answer comes in.
    streaming: u128,
}

impl InFlight {
    /// What no header has told of.
    pub(super) const fn load(&self, resource: Resource, late_output: bool) -> u128 {
        let streaming = if late_output { self.streaming } else { 0 };
        self.waiting.of(resource) + streaming
    }
}

/// Why a call is refused: what takes longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    /// `None` if the provider asked to be left alone.
    pub(super) resource: Option<Resource>,
    pub(super) asked: u64,
    pub(super) remaining: u64,
    pub(super) wait: Duration,
}

impl Standing {
    /// Counts a call as in flight, if it fits in what the provider says remains.
    pub(super) fn admit(&mut self, call: &Load, now: Tick) -> Result<(), Short> {
        self.forget(now);
        let hold = self.hold.map(|until| Short { resource: None, asked: 1, remaining: 0, wait: until.since(now) });
        let shorts = self.windows.iter().filter_map(|window| window.short(call, &self.flying, now));
        match hold.into_iter().chain(shorts).max_by_key(|short| short.wait) {
            Some(short) => Err(short),
            None => {
                self.flying.waiting.add(call);
                Ok(())
            }
        }
    }

    /// The head of a call's answer is here. What it says has the call in it; of the other limits the call was counted
    /// too, and nobody said so.
    pub(super) fn answered(&mut self, call: &Load, told: &Told, sent: Tick, now: Tick) {
        self.forget(now);
        self.flying.waiting.remove(call);
        self.flying.streaming += call.output;
        let is_told = |window: &Window| told.limits.iter().any(|said| said.id == window.id());
        self.windows.iter_mut().filter(|window| !is_told(window)).for_each(|window| window.charge(call));
        for said in &told.limits {
            match self.windows.iter_mut().find(|window| window.id() == said.id) {
                Some(window) => window.learn(said, sent, now),
                // Without a place, which no provider needs that says the same limits each time, it is passed over.
                None => drop(self.windows.try_push(Window::new(said, sent, now))),
            }
        }
        if let Some(wait) = told.retry {
            let until = now.after(wait.min(MAX_WAIT));
            self.hold = self.hold.max(Some(until));
            // RFC 9110's word comes before that of the limits beside it.
            self.windows.iter_mut().filter(|window| is_told(window)).for_each(|window| window.ends_by(until));
        }
    }

    /// A call failed or was left before it was answered: the provider may have counted it.
    pub(super) fn unanswered(&mut self, call: &Load) {
        self.flying.waiting.remove(call);
        self.windows.iter_mut().for_each(|window| window.charge(call));
    }

    /// A call was not sent after all.
    pub(super) const fn not_sent(&mut self, call: &Load) {
        self.flying.waiting.remove(call);
    }

    /// The answer of a call has come in, or was left.
    pub(super) const fn ended(&mut self, call: &Load) {
        self.flying.streaming = self.flying.streaming.saturating_sub(call.output);
    }

    /// Whether nothing would be lost by forgetting all.
    pub(super) fn is_idle(&mut self, now: Tick) -> bool {
        self.forget(now);
        *self == Self::default()
    }

    /// Forgets what has passed.
    fn forget(&mut self, now: Tick) {
        self.windows.retain(|window| window.is_left(now));
        self.hold = self.hold.filter(|&until| until > now);
    }
}

#[cfg(test)]
mod tests;
