use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::Budget;
use super::reservation::Reservation;
use crate::estimate::Estimate;
use crate::limit::MissingUsage;
use crate::price::Price;
use crate::record::{CallInfo, Ending, Event, SettledCall};
use crate::store::{Crossings, Outcome, Settled, Standings, Store};
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
    budget: Budget<S>,
    reservation: Option<Reservation<S>>,
    info: CallInfo,
    estimate: Estimate,
    price: Option<Price>,
    standings: Standings,
    dispatched: bool,
    progress: Usage,
    /// The output that is held for, if every top-up was granted.
    covered: Tokens,
}

/// The least output that is held in addition, so that a stream does not ask for more with every word.
const MIN_TOP_UP: u64 = 256;

impl<S: Store> Call<S> {
    pub(super) fn new(
        budget: Budget<S>,
        reservation: Reservation<S>,
        info: CallInfo,
        estimate: Estimate,
        price: Option<Price>,
        standings: Standings,
    ) -> Self {
        let (reservation, covered) = (Some(reservation), estimate.output);
        let (dispatched, progress) = (false, Usage::absent());
        Self { budget, reservation, info, estimate, price, standings, dispatched, progress, covered }
    }

    /// What the call is.
    pub const fn info(&self) -> &CallInfo {
        &self.info
    }

    /// How the limits stood when it was reserved.
    pub const fn standings(&self) -> &Standings {
        &self.standings
    }

    /// What was estimated.
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// Notes that the request goes to the provider: from now on it can cost something.
    pub fn dispatched(&mut self) {
        self.dispatched = true;
        if let Some(reservation) = &mut self.reservation {
            reservation.dispatched();
        }
    }

    /// Notes what is known so far, for the case that the call is cut: reported usage, or counted output.
    ///
    /// From four fifths of what is held for output, more is held. Nothing waits for that: where a limit has no room for
    /// more, the call goes on, and what it uses beyond its hold is debt.
    pub fn progress(&mut self, usage: Usage) {
        self.progress = usage;
        let output = usage.total_output();
        if output > Tokens::ZERO && output.get() * 5 >= self.covered.get() * 4 {
            self.top_up(output);
        }
    }

    #[cold]
    fn top_up(&mut self, output: Tokens) {
        let step = (self.estimate.output.get() / 4).max(MIN_TOP_UP);
        let covered = self.covered.max(output).saturating_add(Tokens::saturating(step));
        let more = Tokens::saturating(covered.get() - self.covered.get());
        self.covered = covered;
        let most = |input, output| self.price.as_ref().map_or(Cost::ZERO, |price| price.most(input, output));
        let input = self.estimate.input;
        let more = Amounts { output: more, cost: most(Tokens::ZERO, more), ..Amounts::ZERO };
        let checkpoint = Amounts { requests: 1, input, output, cost: most(input, output) };
        let max_lifetime = self.budget.policy().switches().max_lifetime;
        let age = self.budget.store().now().tick.since(self.info.started.tick);
        if let Some(reservation) = &mut self.reservation {
            drop(reservation.extend(more, checkpoint, max_lifetime.saturating_sub(age)));
        }
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
        match (ending, reported.quality) {
            (_, Quality::Exact) | (Ending::Complete | Ending::Rejected | Ending::Failed, Quality::Estimated) => {
                *reported
            }
            (Ending::Rejected, Quality::Absent) => Usage::estimated(Tokens::ZERO, Tokens::ZERO),
            (Ending::Complete, Quality::Absent)
                if self.budget.policy().switches().missing_usage == MissingUsage::ChargeReservation =>
            {
                Usage::estimated(self.estimate.input, self.estimate.output)
            }
            _ => self.at_least_the_input(reported),
        }
    }

    /// The larger of what was reported and the input estimate with the output that was counted.
    fn at_least_the_input(&self, reported: &Usage) -> Usage {
        let counted = self.progress.total_output().max(reported.total_output());
        let floor = Usage::estimated(self.estimate.input, counted);
        if reported.quality != Quality::Absent && reported.total() > floor.total() {
            return Usage { quality: Quality::Estimated, ..*reported };
        }
        floor
    }

    fn finish(&mut self, usage: &Usage, ending: Ending) {
        let Some(reservation) = self.reservation.take() else { return };
        let cost = self.price.as_ref().map(|price| price.cost(usage));
        let used = Amounts {
            requests: 1,
            input: usage.total_input(),
            output: usage.total_output(),
            cost: cost.unwrap_or(Cost::ZERO),
        };
        let (outcome, crossings) = at_once(reservation.settle(used));
        let ended = self.budget.store().now();
        let price = self.price.as_ref();
        let settled = SettledCall { call: &self.info, ending, usage, cost, price, outcome, ended };
        self.budget.recorder().record(&Event::Settled(&settled));
        for crossing in crossings {
            let policy = self.budget.policy();
            self.budget.recorder().record(&Event::Threshold { call: &self.info, crossing, policy });
        }
    }

    fn give_back(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            drop(reservation.void());
            self.budget.recorder().record(&Event::Voided { call: &self.info });
        }
    }
}

impl<S: Store> Drop for Call<S> {
    fn drop(&mut self) {
        if self.reservation.is_none() {
            return;
        }
        if self.dispatched {
            let usage = self.at_least_the_input(&self.progress);
            let nothing_came = self.progress.quality == Quality::Absent;
            self.finish(&usage, if nothing_came { Ending::Failed } else { Ending::Cut });
        } else {
            self.give_back();
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
