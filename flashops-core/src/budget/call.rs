use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::Budget;
use crate::clock::{Moment, Tick};
use crate::estimate::{Estimate, Expected, Lesson};
use crate::limit::{LimitSet, MissingUsage, OnExhausted};
use crate::price::Price;
use crate::record::{CallInfo, Ending, Event, SettledCall};
use crate::store::{Crossings, Extend, Extended, Outcome, Settle, Standings, Store};
use crate::units::{Amounts, Cost, Tokens};
use crate::usage::{OtherModel, Quality, ServiceTier, Usage};

/// One call of a model, reserved: the guard that settles it on every ending.
///
/// It is settled once: by [`Call::settle`], [`Call::void`], or by dropping it, which voids before [`Call::dispatched`]
/// and after it charges the larger of the input estimate and what [`Call::progress`] noted. Nothing here awaits or
/// blocks.
#[must_use = "a call that is dropped gives back what it holds"]
pub struct Call<S: Store> {
    open: Box<Open<S>>,
}

/// All that a call carries from its beginning to its end, in one place that does not move: the guard goes from the
/// layer through futures into the body of the response.
pub(super) struct Open<S: Store> {
    pub(super) budget: Budget<S>,
    pub(super) info: CallInfo,
    /// The limits that count it.
    pub(super) limits: LimitSet,
    /// With the input that is expected and held, and the output cap.
    pub(super) estimate: Estimate,
    /// The output that was held at first.
    pub(super) held: Tokens,
    lesson: Option<Box<Lesson>>,
    /// What it is reserved and settled at, whatever the prices are by then.
    pub(super) price: Option<Arc<Price>>,
    pub(super) standings: Standings,
    state: State,
    progress: Usage,
    /// When the first output of a stream came.
    first_output: Option<Tick>,
    /// The output that is held for, by this call or by those in flight with it; where streams go on whatever the
    /// answer, if every top-up was granted.
    covered: Tokens,
    /// The top-up that the store has not answered yet, with the output that is held for if it grants it.
    asked: Option<(S::Extend, Tokens)>,
    /// The last top-up was refused.
    refused: bool,
    /// When the hold was last given its whole lifetime.
    renewed: Tick,
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
    pub(super) fn new(budget: &Budget<S>, info: CallInfo, expected: Expected, price: Option<Arc<Price>>) -> Box<Self> {
        let Expected { estimate, held, alone, lesson } = expected;
        let renewed = info.started.tick;
        Box::new(Self {
            budget: budget.clone(),
            info,
            limits: LimitSet::EMPTY,
            estimate,
            held,
            lesson,
            price,
            standings: Standings::new(),
            state: State::Made,
            progress: Usage::absent(),
            first_output: None,
            covered: alone,
            asked: None,
            refused: false,
            renewed,
        })
    }

    /// How many requests it counts as.
    pub(super) fn requests(&self) -> u64 {
        u64::from(!self.info.again)
    }

    /// What so many tokens can cost at most, with all searches that the request allows.
    pub(super) fn most(&self, input: Tokens, output: Tokens) -> Cost {
        let bound = Estimate { input, output, ..self.estimate };
        self.price.as_ref().map_or(Cost::ZERO, |price| price.most(&bound))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((answer, covered)) = &mut self.asked else { return Poll::Ready(()) };
        match ready!(Pin::new(answer).poll(cx)) {
            Ok(Extended::Held) => (self.covered, self.refused) = (*covered, false),
            Ok(Extended::Denied(_) | Extended::NotHeld) | Err(_) => self.refused = true,
        }
        self.asked = None;
        Poll::Ready(())
    }

    fn cuts(&self) -> bool {
        self.budget.policy().switches().on_exhausted == OnExhausted::Cut
    }

    /// What is covered after a top-up for a call that has come to so much output.
    fn covered_after(&self, output: Tokens) -> Tokens {
        let (covered, cap) = (self.covered, self.estimate.output);
        if covered < cap {
            let step = (covered.get() / LEARNED_STEPS).max(MIN_LEARNED_TOP_UP);
            return covered.max(output).saturating_add(Tokens::saturating(step)).min(cap);
        }
        let step = (cap.get() / 4).max(MIN_TOP_UP);
        covered.max(output).saturating_add(Tokens::saturating(step))
    }

    /// What a usage costs, with the parts of it that other models had at their own prices, as they are now. A model
    /// without a price costs what the one costs that was asked for; `None` if that has none.
    fn cost(&self, usage: &Usage, others: &[OtherModel]) -> Option<Cost> {
        let price = self.price.as_deref()?;
        if others.is_empty() {
            return Some(price.cost(usage));
        }
        let (book, mut rest, mut sum) = (self.budget.prices(), *usage, Cost::ZERO);
        for other in others {
            let own = book.price(&other.name, self.info.started.unix);
            if let Some(own) = own.filter(|own| ***own != *price) {
                let Usage { service_tier, surcharges, .. } = *usage;
                let part = Usage { service_tier, surcharges, ..other.usage };
                rest = rest.without(&part);
                sum = sum.saturating_add(own.cost(&part));
            }
        }
        Some(sum.saturating_add(price.cost(&rest)))
    }

    /// Asks for so much more, and for a whole lifetime from now.
    fn extend(&mut self, more: Amounts) -> S::Extend {
        let (input, output) = (self.estimate.input, self.progress.total_output());
        let checkpoint = Amounts { requests: self.requests(), input, output, cost: self.most(input, output) };
        let lifetime = self.budget.policy().switches().max_lifetime;
        self.renewed = self.budget.store().now().tick;
        self.budget.store().extend(&Extend { id: self.info.id, more, checkpoint, lifetime })
    }

    pub(super) fn settle(&self, used: Amounts) -> S::Settle {
        self.budget.store().settle(&Settle { id: self.info.id, used })
    }

    /// Settles. What a store answers at once is the result; what one elsewhere answers later is told when it comes.
    fn settle_and_tell(&self, used: Amounts) -> (Option<Outcome>, Crossings) {
        let mut settle = self.settle(used);
        match Pin::new(&mut settle).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(settled)) => (Some(settled.outcome), settled.crossings),
            Poll::Ready(Err(_)) => (None, Crossings::new()),
            Poll::Pending => {
                let (budget, info) = (self.budget.clone(), self.info.clone());
                self.budget.store().tell_settled(settle, move |settled| {
                    let now = budget.store().now();
                    tell(&budget, &info, settled.crossings, now);
                });
                (None, Crossings::new())
            }
        }
    }
}

/// The least output that is held in addition, so that a stream does not ask for more with every word.
const MIN_TOP_UP: u64 = 256;

/// Below the cap, a call that holds what was learned holds one part of so many more. Most calls that come here end
/// soon.
const LEARNED_STEPS: u64 = 16;

/// How often a call that goes on renews its hold in the lifetime of one.
const RENEWALS: u32 = 4;

/// The same as [`MIN_TOP_UP`], below the cap.
const MIN_LEARNED_TOP_UP: u64 = 16;

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

    /// What was estimated: the input that is held, and the output cap.
    pub const fn estimate(&self) -> Estimate {
        self.open.estimate
    }

    /// The output that was held when it was reserved: the cap, or by
    /// [`output_estimate`](crate::limit::Switches::output_estimate) less.
    pub const fn held_output(&self) -> Tokens {
        self.open.held
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
    /// From four fifths of what is held for output, more is held: a quarter of the cap, or a sixteenth of what was
    /// learned, up to the cap. A call that shares what it holds with others in flight begins at four fifths of what it
    /// would hold alone. Nothing waits for that: where a limit has no room for more, the call goes on, and what it uses
    /// beyond its hold is debt. Where the policy says [`OnExhausted::Cut`](crate::limit::OnExhausted::Cut),
    /// [`Call::poll_room`] has the answer.
    pub fn progress(&mut self, usage: Usage) {
        self.note(usage);
        let (output, open) = (usage.total_output(), &mut *self.open);
        if open.first_output.is_none() && output > Tokens::ZERO {
            open.first_output = Some(open.budget.store().now().tick);
        }
        let near_the_end = output > Tokens::ZERO && output.get() * 5 >= open.covered.get() * 4;
        // After a refusal it asks again only when all that is held is used.
        if near_the_end && open.asked.is_none() && (!open.refused || output > open.covered) {
            self.top_up(output);
        } else {
            self.renew();
        }
    }

    /// Notes that the call goes on, so that it keeps what it holds: its place among the calls in progress too.
    ///
    /// A hold lives for [`max_lifetime`](crate::limit::Switches::max_lifetime) after it was made or last renewed. It is
    /// renewed when a quarter of that has passed. [`Call::progress`] renews it too. A call that stands still for longer
    /// is charged what was known of it, and its place is free.
    pub fn renew(&mut self) {
        let lifetime = self.open.budget.policy().switches().max_lifetime;
        let age = self.open.budget.store().now().tick.since(self.open.renewed);
        if age >= lifetime / RENEWALS {
            drop(self.open.extend(Amounts::ZERO));
        }
    }

    /// Whether a stream may go on, as far as [`Call::progress`] has noted it.
    ///
    /// It may as long as the output is within what is held, or always where the policy says
    /// [`OnExhausted::Continue`](crate::limit::OnExhausted::Continue). Beyond that the answer of the store decides, and
    /// is waited for: `false` means that no limit had room for more, or that the store could not say.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.open.cuts() {
            return Poll::Ready(true);
        }
        loop {
            let answered = self.open.poll_answer(cx);
            let output = self.open.progress.total_output();
            if output <= self.open.covered {
                return Poll::Ready(true);
            }
            ready!(answered);
            if self.open.refused {
                return Poll::Ready(false);
            }
            // More came while the store granted less.
            self.top_up(output);
        }
    }

    #[cold]
    fn top_up(&mut self, output: Tokens) {
        let open = &mut *self.open;
        let covered = open.covered_after(output);
        let more = Tokens::saturating(covered.get() - open.covered.get());
        let input = open.estimate.input;
        // The difference of two bounds, since the size of the prompt decides what output costs.
        let (old, new) = (open.most(input, open.covered), open.most(input, covered));
        let more =
            Amounts { output: more, cost: Cost::saturating(new.get().saturating_sub(old.get())), ..Amounts::ZERO };
        let answer = open.extend(more);
        if open.cuts() {
            open.asked = Some((answer, covered));
        } else {
            open.covered = covered;
        }
    }

    /// Ends the call with what its provider reported, or with what is known.
    ///
    /// | ending | reported | charged |
    /// | --- | --- | --- |
    /// | any but `Cut` | exact or estimated | the report |
    /// | complete | absent | by the policy's `missing_usage`: the input estimate and what was counted, or at least the hold |
    /// | rejected | absent | no tokens |
    /// | failed | absent | the input estimate |
    /// | cut | exact | the report |
    /// | cut | estimated or absent | the larger of report, and input estimate plus counted output |
    ///
    /// Where the input estimate is charged, so are all searches that the request allowed: nobody told how many there
    /// were. To a report are added those that its provider bills without naming them.
    pub fn settle(self, usage: &Usage, ending: Ending) {
        self.settle_with(usage, &[], ending);
    }

    /// [`Call::settle`], where other models than the one that was asked for had parts of the usage: these are charged
    /// at their own prices, if the price book has any.
    pub fn settle_with(mut self, usage: &Usage, others: &[OtherModel], ending: Ending) {
        let usage = self.charged(usage, ending);
        self.finish(&usage, others, ending);
    }

    /// Gives everything back: the request never reached the provider.
    pub fn void(mut self) {
        self.give_back();
    }

    fn charged(&self, reported: &Usage, ending: Ending) -> Usage {
        let usage = self.charged_as_told(reported, ending);
        let unreported = if ending == Ending::Rejected { 0 } else { self.open.estimate.unreported_searches };
        Usage { searches: usage.searches.max(unreported), ..usage }
    }

    fn charged_as_told(&self, reported: &Usage, ending: Ending) -> Usage {
        let estimate = self.open.estimate;
        match (ending, reported.quality) {
            (_, Quality::Exact) | (Ending::Complete | Ending::Rejected | Ending::Failed, Quality::Estimated) => {
                *reported
            }
            (Ending::Rejected, Quality::Absent) => Usage::estimated(Tokens::ZERO, Tokens::ZERO),
            (Ending::Complete, Quality::Absent)
                if self.open.budget.policy().switches().missing_usage == MissingUsage::ChargeReservation =>
            {
                let counted = self.open.progress.total_output().min(estimate.output);
                let tokens = Usage::estimated(estimate.input, self.open.held.max(counted));
                let Usage { service_tier, surcharges, .. } = *reported;
                Usage { service_tier, surcharges, searches: estimate.searches, ..tokens }
            }
            _ => self.at_least_the_input(reported),
        }
    }

    /// The larger of what was reported and the input estimate with the output that was counted.
    fn at_least_the_input(&self, reported: &Usage) -> Usage {
        let counted = self.open.progress.total_output().max(reported.total_output());
        let floor = Usage::estimated(self.open.estimate.input, counted);
        let searches = reported.searches.max(self.open.estimate.searches);
        if reported.quality != Quality::Absent && reported.total() > floor.total() {
            return Usage { quality: Quality::Estimated, searches, ..*reported };
        }
        let Usage { inconsistent, service_tier, surcharges, .. } = *reported;
        Usage { inconsistent, service_tier, surcharges, searches, ..floor }
    }

    fn finish(&mut self, usage: &Usage, others: &[OtherModel], ending: Ending) {
        let open = &mut *self.open;
        open.state = State::Settled;
        if let Some(lesson) = open.lesson.take() {
            lesson.learn(usage);
        }
        // A provider that names no tariff may have served a dearer one than was asked for, and then the standard one: a
        // word of the client's makes nothing cheaper.
        let unnamed = match open.estimate.service_tier {
            ServiceTier::Batch | ServiceTier::Flex => ServiceTier::Standard,
            asked => asked,
        };
        let surcharges = usage.surcharges.or(open.estimate.surcharges);
        let usage = &Usage { service_tier: usage.service_tier.or(Some(unnamed)), surcharges, ..*usage };
        let price = open.price.as_deref();
        let cost = open.cost(usage, others);
        let used = Amounts {
            requests: open.requests(),
            input: usage.total_input(),
            output: usage.total_output(),
            cost: cost.unwrap_or(Cost::ZERO),
        };
        let (outcome, crossings) = open.settle_and_tell(used);
        let ended = open.budget.store().now();
        let (estimate, held_output, first_output) = (open.estimate, open.held, open.first_output);
        let call = &open.info;
        let settled = SettledCall {
            call,
            limits: open.limits,
            policy: open.budget.policy(),
            ending,
            usage,
            estimate,
            held_output,
            cost,
            price,
            outcome,
            first_output,
            ended,
        };
        open.budget.recorder().record(&Event::Settled(&settled));
        tell(&open.budget, &open.info, crossings, ended);
    }

    fn give_back(&mut self) {
        self.open.state = State::Settled;
        drop(self.open.settle(Amounts::ZERO));
        self.open.budget.recorder().record(&Event::Voided { call: &self.open.info });
    }
}

impl<S: Store> fmt::Debug for Call<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Open { info, estimate, state, progress, .. } = &*self.open;
        let mut call = f.debug_struct("Call");
        call.field("info", info).field("estimate", estimate).field("state", state).field("progress", progress);
        call.finish_non_exhaustive()
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
                self.finish(&usage, &[], if nothing_came { Ending::Failed } else { Ending::Cut });
            }
        }
    }
}

/// Tells the recorder of thresholds that a call reached.
fn tell<S: Store>(budget: &Budget<S>, call: &CallInfo, crossings: Crossings, at: Moment) {
    for crossing in crossings {
        let policy = budget.policy();
        budget.recorder().record(&Event::Threshold { call, crossing, at, policy });
    }
}
