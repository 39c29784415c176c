use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::Budget;
use crate::estimate::Estimate;
use crate::limit::MissingUsage;
use crate::price::Price;
use crate::record::{CallInfo, Ending, Event, SettledCall};
use crate::store::{Crossings, Extend, Outcome, Settle, Settled, Standings, Store};
use crate::units::{Amounts, Cost, Tokens};
use crate::usage::{Quality, Usage};

/// One call of a model, reserved: the guard that settles it on every ending.
///
/// It is settled once: by [`Call::settle`], [`Call::void`], or by dropping it, which voids before [`Call::dispatched`]
/// and after it charges the larger of the input estimate and what [`Call::progress`] noted. Nothing here awaits or
/// blocks.
#[must_use = "a call that is dropped gives back what it holds"]
#[derive(Debug)]
pub struct Call<S: Store> {
    open: Box<Open<S>>,
}

/// All that a call carries from its beginning to its end, in one place that does not move: the guard goes from the layer
/// through futures into the body of the response.
#[derive(Debug)]
pub(super) struct Open<S: Store> {
    pub(super) budget: Budget<S>,
    pub(super) info: CallInfo,
    pub(super) estimate: Estimate,
    pub(super) price: Option<Price>,
    pub(super) standings: Standings,
    state: State,
    progress: Usage,
    /// The output that is held for, if every top-up was granted.
    covered: Tokens,
}

/// What dropping a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was sent: it gives everything back.
    Made,
    /// It charges what is known.
    Dispatched,
    /// Nothing.
    Settled,
}

impl<S: Store> Open<S> {
    pub(super) fn new(budget: &Budget<S>, info: CallInfo, estimate: Estimate, price: Option<Price>) -> Box<Self> {
        Box::new(Self {
            budget: budget.clone(),
            info,
            estimate,
            price,
            standings: Standings::new(),
            state: State::Made,
            progress: Usage::absent(),
            covered: estimate.output,
        })
    }

    /// What so many tokens can cost at most.
    pub(super) fn most(&self, input: Tokens, output: Tokens) -> Cost {
        self.price.as_ref().map_or(Cost::ZERO, |price| price.most(input, output))
    }

    pub(super) fn settle(&self, used: Amounts) -> S::Settle {
        self.budget.store().settle(&Settle { id: self.info.id, used })
    }
}

/// The least output that is held in addition, so that a stream does not ask for more with every word.
const MIN_TOP_UP: u64 = 256;

impl<S: Store> Call<S> {
    pub(super) const fn new(open: Box<Open<S>>) -> Self {
        Self { open }
    }

    /// What the call is.
    pub const fn info(&self) -> &CallInfo {
        &self.open.info
    }

    /// How the limits stood when it was reserved.
    pub const fn standings(&self) -> &Standings {
        &self.open.standings
    }

    /// What was estimated.
    pub const fn estimate(&self) -> Estimate {
        self.open.estimate
    }

    /// Notes that the request goes to the provider: from now on it can cost something.
    pub const fn dispatched(&mut self) {
        self.open.state = State::Dispatched;
    }

    /// Notes what is known so far, for the case that the call is cut: reported usage, or counted output.
    pub const fn note(&mut self, usage: Usage) {
        self.open.progress = usage;
    }

    /// [`Call::note`], of a call that goes on.
    ///
    /// From four fifths of what is held for output, more is held. Nothing waits for that: where a limit has no room for
    /// more, the call goes on, and what it uses beyond its hold is debt.
    pub fn progress(&mut self, usage: Usage) {
        self.note(usage);
        let output = usage.total_output();
        if output > Tokens::ZERO && output.get() * 5 >= self.open.covered.get() * 4 {
            self.top_up(output);
        }
    }

    #[cold]
    fn top_up(&mut self, output: Tokens) {
        let open = &mut *self.open;
        let step = (open.estimate.output.get() / 4).max(MIN_TOP_UP);
        let covered = open.covered.max(output).saturating_add(Tokens::saturating(step));
        let more = Tokens::saturating(covered.get() - open.covered.get());
        open.covered = covered;
        let input = open.estimate.input;
        let more = Amounts { output: more, cost: open.most(Tokens::ZERO, more), ..Amounts::ZERO };
        let checkpoint = Amounts { requests: 1, input, output, cost: open.most(input, output) };
        let age = open.budget.store().now().tick.since(open.info.started.tick);
        let lifetime = open.budget.policy().switches().max_lifetime.saturating_sub(age);
        drop(open.budget.store().extend(&Extend { id: open.info.id, more, checkpoint, lifetime }));
    }

    /// Ends the call with what its provider reported, or with what is known.
    ///
    /// | ending | reported | charged |
    /// | --- | --- | --- |
    /// | any but `Cut` | exact or estimated | the report |
    /// | complete | absent | by the policy's `missing_usage`: the larger of the input estimate and what was counted, or the hold |
    /// | rejected | absent | no tokens |
    /// | failed | absent | the input estimate |
    /// | cut | exact | the report |
    /// | cut | estimated or absent | the larger of report, and input estimate plus counted output |
    pub fn settle(mut self, usage: &Usage, ending: Ending) {
        let usage = self.charged(usage, ending);
        self.finish(&usage, ending);
    }

    /// Gives everything back: the request never reached the provider.
    pub fn void(mut self) {
        self.give_back();
    }

    fn charged(&self, reported: &Usage, ending: Ending) -> Usage {
        let estimate = self.open.estimate;
        match (ending, reported.quality) {
            (_, Quality::Exact) | (Ending::Complete | Ending::Rejected | Ending::Failed, Quality::Estimated) => {
                *reported
            }
            (Ending::Rejected, Quality::Absent) => Usage::estimated(Tokens::ZERO, Tokens::ZERO),
            (Ending::Complete, Quality::Absent)
                if self.open.budget.policy().switches().missing_usage == MissingUsage::ChargeReservation =>
            {
                Usage::estimated(estimate.input, estimate.output)
            }
            _ => self.at_least_the_input(reported),
        }
    }

    /// The larger of what was reported and the input estimate with the output that was counted.
    fn at_least_the_input(&self, reported: &Usage) -> Usage {
        let counted = self.open.progress.total_output().max(reported.total_output());
        let floor = Usage::estimated(self.open.estimate.input, counted);
        if reported.quality != Quality::Absent && reported.total() > floor.total() {
            return Usage { quality: Quality::Estimated, ..*reported };
        }
        Usage { inconsistent: reported.inconsistent, ..floor }
    }

    fn finish(&mut self, usage: &Usage, ending: Ending) {
        let open = &mut *self.open;
        open.state = State::Settled;
        let price = open.price.as_ref();
        let cost = price.map(|price| price.cost(usage));
        let used = Amounts {
            requests: 1,
            input: usage.total_input(),
            output: usage.total_output(),
            cost: cost.unwrap_or(Cost::ZERO),
        };
        let (outcome, crossings) = at_once(open.settle(used));
        let ended = open.budget.store().now();
        let settled = SettledCall { call: &open.info, ending, usage, cost, price, outcome, ended };
        open.budget.recorder().record(&Event::Settled(&settled));
        for crossing in crossings {
            let policy = open.budget.policy();
            open.budget.recorder().record(&Event::Threshold { call: &open.info, crossing, policy });
        }
    }

    fn give_back(&mut self) {
        self.open.state = State::Settled;
        drop(self.open.settle(Amounts::ZERO));
        self.open.budget.recorder().record(&Event::Voided { call: &self.open.info });
    }
}

impl<S: Store> Drop for Call<S> {
    fn drop(&mut self) {
        match self.open.state {
            State::Settled => {}
            State::Made => self.give_back(),
            State::Dispatched => {
                let usage = self.at_least_the_input(&self.open.progress);
                let nothing_came = self.open.progress.quality == Quality::Absent;
                self.finish(&usage, if nothing_came { Ending::Failed } else { Ending::Cut });
            }
        }
    }
}

/// The answer of a store that settles at once; a store elsewhere answers later, and reports by itself.
fn at_once<F>(settle: F) -> (Option<Outcome>, Crossings)
where
    F: Future<Output = Result<Settled, crate::store::StoreError>>,
{
    match pin!(settle).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(settled)) => (Some(settled.outcome), settled.crossings),
        Poll::Ready(Err(_)) | Poll::Pending => (None, Crossings::new()),
    }
}
