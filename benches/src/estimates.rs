//! What an estimate of output costs: how much of a limit is admitted, and what is used beyond what was held.
//!
//! ```
//! use std::time::Duration;
//! use flashops_benches::estimates::{Experiment, Hold};
//! use flashops_testkit::trace;
//!
//! let requests = trace::generate(1, 200, Duration::from_secs(60));
//! let experiment = Experiment::new(&requests, 1);
//! let (cap, perfect) = (experiment.run(Hold::Cap), experiment.run(Hold::Perfect));
//! assert!(cap.tokens <= perfect.tokens);
//! assert_eq!((cap.debt, perfect.debt), (0, 0));
//! ```
//!
//! The requests of a trace meet one limit on the tokens of an organisation in a minute, of half of the trace's mean
//! rate. Each declares [`CAP`] tokens of output, is of the next of [`USERS`] users, and is dropped if it is refused: a
//! client that tried again would offer more than the trace has, so that shares of it would mean nothing. A call takes
//! half a second and 30 ms for each token of its answer, or so many times that. Input is known exactly in all runs, so
//! that they differ by what they hold for output alone. The clock is moved by hand.
//!
//! Edge cases: an answer of a trace above [`CAP`] is cut there, as a provider would.
//!
//! What this module does not do: failures, cuts, or media.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::budget::{Budget, Call, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::estimate::{Estimate, InputBound, OutputCap, OutputEstimate};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Switches, Window};
use flashops_core::record::Ending;
use flashops_core::store::MemoryStore;
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use flashops_testkit::trace::TraceRequest;

use crate::ours::MINUTE;

/// The output cap that every client declares.
pub const CAP: u64 = 1_000;

/// How many users take turns.
pub const USERS: usize = 20;

/// A stream tells of its progress each time that it has so many tokens more.
const FRAME: u64 = 10;

const ROUTE: &str = "/v1/chat/completions";

/// What is held for the output of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The declared cap.
    Cap,
    /// What was learned of each call by itself.
    LearnedEach,
    /// What was learned of calls in flight together.
    Learned,
    /// The same, for answers that come as streams, which hold more when they come near the end of it.
    LearnedStreams,
    /// Exactly what it will use.
    Perfect,
}

impl Hold {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Cap, Self::LearnedEach, Self::Learned, Self::LearnedStreams, Self::Perfect];

    const fn name(self) -> &'static str {
        match self {
            Self::Cap => "cap",
            Self::LearnedEach => "learned-each",
            Self::Learned => "learned",
            Self::LearnedStreams => "learned, streams",
            Self::Perfect => "perfect knowledge",
        }
    }

    const fn switch(self) -> OutputEstimate {
        match self {
            Self::Cap | Self::Perfect => OutputEstimate::Cap,
            Self::LearnedEach => OutputEstimate::LearnedEach,
            Self::Learned | Self::LearnedStreams => OutputEstimate::Learned,
        }
    }
}

/// Requests, and a limit that admits about half of them.
#[derive(Clone, Copy, Debug)]
pub struct Experiment<'a> {
    requests: &'a [TraceRequest],
    slowness: u32,
    amount: u64,
}

/// What came out. Tokens are input and output together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tokens of all requests.
    pub offered: u64,
    /// Tokens of those that were admitted.
    pub tokens: u64,
    /// How many were admitted.
    pub calls: u64,
    /// Tokens that were used beyond what was held for their call, in calls of which that is true.
    pub debt: u64,
    /// How many of these calls there were.
    pub indebted: u64,
    /// The most that [`Outcome::debt`] can be: the cap less what was held, of all admitted calls.
    pub debt_bound: u64,
    /// The amount of the limit.
    pub amount: u64,
    /// The most that was settled in any minute.
    pub most: u64,
    /// How many requests came while calls were in flight.
    pub arrivals: u64,
    /// How many of these found calls in flight that were to use more than was held for all of them together.
    pub short: u64,
}

impl<'a> Experiment<'a> {
    /// Requests whose calls take so many times the usual time.
    ///
    /// # Panics
    ///
    /// If there are no requests.
    pub fn new(requests: &'a [TraceRequest], slowness: u32) -> Self {
        let offered: u64 = requests.iter().map(tokens).sum();
        let span = requests[requests.len() - 1].at.max(Duration::from_secs(1));
        let amount = u128::from(offered) * MINUTE.as_nanos() / span.as_nanos() / 2;
        Self { requests, slowness, amount: u64::try_from(amount).expect("half of what is offered in a minute") }
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// If the store fails.
    pub fn run(&self, hold: Hold) -> Outcome {
        let mut run = Run::new(self, hold);
        for (index, request) in self.requests.iter().enumerate() {
            run.advance_to(request.at);
            run.arrive(index, request);
        }
        run.advance_to(Duration::MAX);
        run.outcome
    }

    fn takes(&self, output: u64) -> Duration {
        (Duration::from_millis(500) + Duration::from_millis(30) * u32::try_from(output).expect("it is within the cap"))
            * self.slowness
    }
}

fn tokens(request: &TraceRequest) -> u64 {
    request.context + request.generated.min(CAP)
}

type Guard = Call<MemoryStore<ManualClock>>;

struct Run<'e> {
    experiment: &'e Experiment<'e>,
    hold: Hold,
    clock: ManualClock,
    now: Duration,
    budget: Budget<MemoryStore<ManualClock>>,
    users: Vec<Caller>,
    calls: BTreeMap<usize, (Guard, TraceRequest)>,
    /// What calls in flight will have used.
    in_flight: u64,
    /// When which call comes to how many tokens.
    events: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    /// What was settled in the last minute, and its sum.
    minute: (VecDeque<(Duration, u64)>, u64),
    outcome: Outcome,
}

impl<'e> Run<'e> {
    fn new(experiment: &'e Experiment<'e>, hold: Hold) -> Self {
        let (clock, amount) = (ManualClock::new(), experiment.amount);
        let limit = Limit::new("tpm", Scope::Org, Resource::Tokens, amount, Window::Sliding(MINUTE));
        let mut switches = Switches::default();
        switches.output_estimate = hold.switch();
        let policy = Policy::new(vec![limit.expect("it is a limit")]).expect("it is a policy").with_switches(switches);
        Self {
            experiment,
            hold,
            budget: Budget::in_memory(policy, clock.clone()),
            clock,
            now: Duration::ZERO,
            users: (0..USERS).map(|user| Caller::new(&format!("u{user}"), "acme")).collect(),
            calls: BTreeMap::new(),
            in_flight: 0,
            events: BinaryHeap::new(),
            minute: (VecDeque::new(), 0),
            outcome: Outcome { amount, ..Outcome::default() },
        }
    }

    fn arrive(&mut self, index: usize, request: &TraceRequest) {
        self.outcome.offered += tokens(request);
        if !self.calls.is_empty() {
            self.outcome.arrivals += 1;
            self.outcome.short += u64::from(self.in_flight > self.held());
        }
        let output = request.generated.min(CAP);
        let cap = if self.hold == Hold::Perfect { output } else { CAP };
        let begun = self.budget.begin_now(CallRequest {
            caller: self.users[index % USERS].clone(),
            route: Arc::from(ROUTE),
            model: Arc::from("gpt-4o-mini"),
            estimate: Estimate::new(InputBound::bytes(request.context), OutputCap::new(Tokens::saturating(cap))),
            limits: self.budget.policy().limits_on(ROUTE, true),
        });
        let Ok(mut call) = begun.expect("a store in memory answers") else { return };
        call.dispatched();
        self.outcome.tokens += tokens(request);
        self.outcome.calls += 1;
        self.outcome.debt_bound += cap - call.held_output().get();
        self.in_flight += tokens(request);
        self.calls.insert(index, (call, *request));
        self.expect(index, request.at, 0, output);
    }

    /// Notes when a call that has come to so much output has more to tell.
    fn expect(&mut self, index: usize, began: Duration, so_far: u64, output: u64) {
        let next = if self.hold == Hold::LearnedStreams { output.min(so_far + FRAME) } else { output };
        self.events.push(Reverse((began + self.experiment.takes(next), index, next)));
    }

    fn advance_to(&mut self, time: Duration) {
        while let Some(&Reverse((at, index, so_far))) = self.events.peek()
            && at <= time
        {
            self.events.pop();
            self.set_clock(at);
            let Some((call, request)) = self.calls.get_mut(&index) else { continue };
            let (began, output) = (request.at, request.generated.min(CAP));
            if so_far < output {
                call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(so_far)));
                self.expect(index, began, so_far, output);
            } else {
                self.settle(index);
            }
        }
        if time < Duration::MAX {
            self.set_clock(time);
        }
    }

    fn set_clock(&mut self, time: Duration) {
        self.clock.advance(time - self.now);
        self.now = time;
    }

    fn settle(&mut self, index: usize) {
        let Some((call, request)) = self.calls.remove(&index) else { return };
        let (held, used) = (self.held(), tokens(&request));
        let mut usage = Usage::exact();
        usage.input = Tokens::saturating(request.context);
        usage.output = Tokens::saturating(request.generated.min(CAP));
        call.settle(&usage, Ending::Complete);
        let debt = used.saturating_sub(held - self.held());
        self.outcome.debt += debt;
        self.outcome.indebted += u64::from(debt > 0);
        self.in_flight -= used;
        self.count(used);
    }

    /// Adds to the minute that ends now.
    fn count(&mut self, used: u64) {
        let (log, sum) = &mut self.minute;
        while let Some(&(at, old)) = log.front()
            && at + MINUTE <= self.now
        {
            *sum -= old;
            log.pop_front();
        }
        log.push_back((self.now, used));
        *sum += used;
        self.outcome.most = self.outcome.most.max(*sum);
    }

    /// What the limit has held for all calls in flight.
    fn held(&self) -> u64 {
        let mut standings = std::pin::pin!(self.budget.standings(&self.users[0]));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match standings.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Ok(standings)) => standings[0].held,
            other => unreachable!("a store in memory answers at once: {other:?}"),
        }
    }
}

impl Outcome {
    /// What was admitted, as a share of what another run admitted, in hundredths of a percent.
    pub const fn of(&self, other: &Self) -> u64 {
        self.tokens * 10_000 / other.tokens
    }

    /// What this run wins back of what `least` loses against `most`, in hundredths of a percent; below zero if it loses
    /// more.
    pub const fn won_back(&self, least: &Self, most: &Self) -> i64 {
        let (won, lost) = (self.tokens as i64 - least.tokens as i64, most.tokens as i64 - least.tokens as i64);
        won * 10_000 / if lost == 0 { 1 } else { lost }
    }

    /// The most that was spent above the amount in any minute.
    pub const fn overspend(&self) -> u64 {
        self.most.saturating_sub(self.amount)
    }
}

/// Runs of all kinds, as a table.
#[derive(Clone, Debug)]
pub struct Table(Vec<(Hold, Outcome)>);

impl Table {
    /// Runs an experiment with everything that can be held.
    ///
    /// # Panics
    ///
    /// As [`Experiment::run`].
    pub fn new(experiment: &Experiment<'_>) -> Self {
        Self(Hold::ALL.into_iter().map(|hold| (hold, experiment.run(hold))).collect())
    }

    /// What came out of one kind.
    ///
    /// # Panics
    ///
    /// Never: a table has all kinds.
    pub fn of(&self, hold: Hold) -> &Outcome {
        &self.0.iter().find(|(other, _)| *other == hold).expect("a table has all kinds").1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64, whole: u64| format!("{:.2} %", part as f64 * 100.0 / whole.max(1) as f64);
        let (cap, perfect) = (self.of(Hold::Cap), self.of(Hold::Perfect));
        writeln!(
            f,
            "| held for output | admitted | of perfect | won back | calls | debt | of calls | its bound | overspend | most \
             in a minute | short |"
        )?;
        writeln!(f, "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |")?;
        for (hold, run) in &self.0 {
            writeln!(
                f,
                "| {} | {} | {} | {:.1} % | {} | {} | {} | {} | {} | {} | {} |",
                hold.name(),
                percent(run.tokens, run.offered),
                percent(run.tokens, perfect.tokens),
                run.won_back(cap, perfect) as f64 / 100.0,
                run.calls,
                run.debt,
                percent(run.indebted, run.calls),
                run.debt_bound,
                run.overspend(),
                percent(run.most, run.amount),
                percent(run.short, run.arrivals),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flashops_testkit::trace;

    use super::*;

    #[test]
    fn what_is_learned_admits_nearly_as_much_as_perfect_knowledge_and_its_debt_is_bounded() {
        let requests = trace::generate(7, 20_000, Duration::from_secs(3_600));
        for slowness in [1, 4] {
            let table = Table::new(&Experiment::new(&requests, slowness));
            let (cap, perfect) = (table.of(Hold::Cap), table.of(Hold::Perfect));
            assert_eq!((cap.debt, perfect.debt, cap.overspend(), perfect.overspend()), (0, 0, 0, 0));
            for hold in [Hold::Learned, Hold::LearnedStreams] {
                let run = table.of(hold);
                assert!(run.of(perfect) >= 9_800, "{hold:?}: {} of 10000", run.of(perfect));
                assert!(run.won_back(cap, perfect) >= 5_000, "{hold:?}: {} of 10000", run.won_back(cap, perfect));
                assert!(run.debt <= run.debt_bound && run.overspend() * 100 <= run.amount, "{hold:?}: {run:?}");
            }
            // A twentieth of the calls is in debt, each by no more than its cap less what was held.
            let each = table.of(Hold::LearnedEach);
            assert!(each.won_back(cap, perfect) >= 5_000 && each.debt * 20 <= each.debt_bound, "{each:?}");
        }
    }
}
