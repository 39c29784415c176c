use std::sync::Arc;
use std::time::Duration;

use flashops_core::clock::Moment;
use flashops_core::key::Scopes;
use flashops_core::limit::{LimitSet, Resource};
use flashops_core::store::{
    Admit, Bounds, Extend, Extended, GiveBack, Outcome, Receipt, Refused, ReservationId, Reserve, Settle, Standing,
    Store,
};
use flashops_core::units::Amounts;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::model::{Model, State};
use super::script::{Script, Step, Who};
use crate::conformance::{Harness, scopes_of};

/// How much of what can happen has happened: a suite whose scripts are all refused proves little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
    /// All steps.
    pub steps: u64,
    /// Requests and reservations that were admitted.
    pub admitted: u64,
    /// Requests and reservations that were refused.
    pub denied: u64,
    /// Refusals that no wait helps.
    pub never: u64,
    /// Extensions that were held.
    pub extended: u64,
    /// Settlements that were applied.
    pub settled: u64,
    /// Settlements above the hold.
    pub overrun: u64,
    /// Settlements after expiry.
    pub late: u64,
    /// Settlements that were repeated, contradicted or unknown.
    pub vain: u64,
    /// Thresholds that fired.
    pub crossings: u64,
    /// Admissions that were judged against the strict bound.
    pub judged: u64,
}

/// Runs a script on a new store and on the model, and compares them after every step.
///
/// # Errors
///
/// Says where they differ.
pub async fn check<H: Harness>(harness: &H, script: &Script, coverage: &mut Coverage) -> TestCaseResult {
    let store = harness.store(script.policy.clone(), Bounds::default()).await;
    let model = Model::new(script.policy.clone(), store.now(), harness.instant());
    let mut run = Run { harness, store, model, receipts: Vec::new(), ids: 0, coverage };
    for (number, step) in script.steps.iter().enumerate() {
        run.coverage.steps += 1;
        run.model.now = run.store.now();
        run.step(step).await.map_err(|error| at(number, step, error))?;
        run.model.expire();
        run.compare_standings().await.map_err(|error| at(number, step, error))?;
        run.model.observe();
    }
    Ok(())
}

fn at(number: usize, step: &Step, error: TestCaseError) -> TestCaseError {
    TestCaseError::fail(format!("at step {number}, {step:?}: {error}"))
}

/// A receipt that may be given back, and what it is for.
#[derive(Clone, Copy, Debug)]
struct Counted {
    who: Who,
    requests: u64,
    at: Moment,
    receipt: Receipt,
}

pub(super) struct Run<'a, H: Harness> {
    harness: &'a H,
    store: Arc<H::Store>,
    pub(super) model: Model,
    receipts: Vec<Counted>,
    ids: u128,
    pub(super) coverage: &'a mut Coverage,
}

impl<H: Harness> Run<'_, H> {
    async fn step(&mut self, step: &Step) -> TestCaseResult {
        match *step {
            Step::Admit { who, requests } => self.admit(who, requests).await,
            Step::GiveBack { which } => {
                self.give_back(which);
                Ok(())
            }
            Step::Reserve { who, hold, checkpoint, lifetime, without } => {
                self.ids += 1;
                self.reserve(who, hold, checkpoint, lifetime, without).await
            }
            Step::ReserveAgain { which } => self.reserve_again(which).await,
            Step::Extend { which, more, checkpoint, lifetime } => {
                self.extend(Extend { id: self.id(which), more, checkpoint, lifetime }).await
            }
            Step::Settle { which, used } => self.settle(Settle { id: self.id(which), used }).await,
            Step::Advance(by) => {
                self.harness.advance(by).await;
                self.let_expire().await;
                Ok(())
            }
            Step::StepBack(by) => self.step_back(by).await,
        }
    }

    /// A store may charge expired holds a few at a time; the model charges all.
    async fn let_expire(&mut self) {
        self.model.now = self.store.now();
        self.model.observe();
        for _ in 0..8 {
            self.standings(Who { user: 0, org: 0 }).await;
        }
    }

    fn all(&self) -> LimitSet {
        self.model.policy.select(|_| true)
    }

    fn requests(&self) -> LimitSet {
        self.model.policy.request_limits()
    }

    /// An identity that is held or expired, or, each fourth time, any that was used and one that was not.
    fn id(&self, which: usize) -> ReservationId {
        let live: Vec<u128> = self.model.live_ids().collect();
        if !which.is_multiple_of(4) && !live.is_empty() {
            return ReservationId::from_bits(live[which / 4 % live.len()]);
        }
        let which = u128::try_from(which).expect("a usize fits");
        ReservationId::from_bits(which % (self.ids + 1) + 1)
    }

    async fn standings(&self, who: Who) -> Vec<Standing> {
        let keys = who.keys();
        self.store.standings(&scopes_of(&keys), self.all()).await.expect("the store answers")
    }

    async fn admit(&mut self, who: Who, requests: u64) -> TestCaseResult {
        let (keys, limits) = (who.keys(), self.all());
        let scopes: Scopes<'_> = scopes_of(&keys);
        let answer = self.store.admit(&Admit { scopes: &scopes, limits, requests, report: true }).await;
        let asked = Amounts { requests, ..Amounts::ZERO };
        match answer.expect("the store answers") {
            Err(denied) => self.compare_denied(who.named(), self.requests(), &asked, &denied),
            Ok(admitted) => {
                let violated = self.model.violated(who.named(), self.requests(), &asked);
                prop_assert!(violated.is_empty(), "admitted against {violated:?}");
                self.model.count_requests(who.named(), limits, requests);
                let told = self.model.tell(who.named(), self.requests());
                self.compare_crossings(&admitted.crossings, &told)?;
                self.compare_report(&admitted.standings, who, self.requests())?;
                self.receipts.push(Counted { who, requests, at: self.model.now, receipt: admitted.receipt });
                self.judge(who.named(), self.requests(), &asked)
            }
        }
    }

    fn give_back(&mut self, which: usize) {
        if self.receipts.is_empty() {
            return;
        }
        let Counted { who, requests, at, receipt } = self.receipts.swap_remove(which % self.receipts.len());
        let (keys, limits) = (who.keys(), self.all());
        self.store.give_back(&GiveBack { scopes: &scopes_of(&keys), limits, requests, receipt });
        self.model.give_back(who.named(), limits, requests, at);
    }

    async fn reserve(
        &mut self,
        who: Who,
        hold: Amounts,
        checkpoint: Amounts,
        lifetime: Duration,
        without: u8,
    ) -> TestCaseResult {
        let (keys, limits) = (who.keys(), self.limits(without));
        let id = ReservationId::from_bits(self.ids);
        let scopes = scopes_of(&keys);
        let command = Reserve { id, scopes: &scopes, limits, hold, checkpoint, lifetime, report: true };
        match self.store.reserve(&command).await.expect("the store answers") {
            Err(Refused::AlreadySettled) => prop_assert!(false, "a new identity is not settled"),
            Err(Refused::Denied(denied)) => self.compare_denied(who.named(), limits, &hold, &denied)?,
            Ok(reserved) => {
                let violated = self.model.violated(who.named(), limits, &hold);
                prop_assert!(violated.is_empty(), "reserved against {violated:?}");
                prop_assert!(!reserved.replayed);
                let live = self.model.live(who.named(), limits, hold, checkpoint, lifetime);
                self.model.hold(self.ids, live.clone());
                if !lifetime.is_zero() {
                    self.compare_report(&reserved.standings, who, limits)?;
                    self.judge(who.named(), limits, &hold)?;
                }
            }
        }
        Ok(())
    }

    /// All limits, or not some of them. Small limits on requests share a log and are counted all or none.
    fn limits(&self, without: u8) -> LimitSet {
        let policy = &self.model.policy;
        let mut left_out = LimitSet::EMPTY;
        for (index, limit) in policy.indexed() {
            if without >> (index.get() % 8) & 1 == 1 && limit.resource() != Resource::Requests {
                left_out.insert(index);
            }
        }
        let mut limits = LimitSet::EMPTY;
        policy.indexed().filter(|(index, _)| !left_out.contains(*index)).for_each(|(index, _)| limits.insert(index));
        limits
    }

    async fn reserve_again(&self, which: usize) -> TestCaseResult {
        let id = self.id(which);
        let who = Who { user: 0, org: 0 };
        let Some(state) = self.model.states.get(&id.bits()).cloned() else { return Ok(()) };
        let (keys, limits) = (who.keys(), self.all());
        let (scopes, hold) = (scopes_of(&keys), Amounts::ONE_REQUEST);
        let lifetime = Duration::from_secs(1);
        let command = Reserve { id, scopes: &scopes, limits, hold, checkpoint: hold, lifetime, report: false };
        let answer = self.store.reserve(&command).await.expect("the store answers");
        match state {
            State::Live(live) if live.expired.is_none() => prop_assert!(answer.is_ok_and(|reserved| reserved.replayed)),
            _ => prop_assert_eq!(answer.err(), Some(Refused::AlreadySettled)),
        }
        Ok(())
    }

    async fn extend(&mut self, command: Extend) -> TestCaseResult {
        let answer = self.store.extend(&command).await.expect("the store answers");
        let deadline = self.model.deadline(command.lifetime);
        let more = Amounts { requests: 0, ..command.more };
        let Some(State::Live(live)) = self.model.states.get_mut(&command.id.bits()) else {
            prop_assert_eq!(answer, Extended::NotHeld);
            return Ok(());
        };
        if live.expired.is_some() {
            prop_assert_eq!(answer, Extended::NotHeld);
            return Ok(());
        }
        (live.checkpoint, live.deadline) = (command.checkpoint, deadline);
        let (keys, limits) = (live.keys, live.limits);
        let countable = self.model.policy.select(|limit| limit.resource() != Resource::Concurrency);
        let limits = limits.intersection(countable);
        match answer {
            Extended::Denied(denied) => self.compare_denied(keys, limits, &more, &denied),
            Extended::NotHeld => Err(TestCaseError::fail("it is held")),
            Extended::Held => {
                let violated = self.model.violated(keys, limits, &more);
                prop_assert!(violated.is_empty(), "extended against {violated:?}");
                self.coverage.extended += 1;
                if let Some(State::Live(live)) = self.model.states.get_mut(&command.id.bits()) {
                    live.hold = live.hold.saturating_add(more);
                }
                Ok(())
            }
        }
    }

    async fn settle(&mut self, command: Settle) -> TestCaseResult {
        let hold = match self.model.states.get(&command.id.bits()) {
            Some(State::Live(live)) => live.hold,
            _ => Amounts::ZERO,
        };
        let settled = self.store.settle(&command).await.expect("the store answers");
        let (outcome, told) = self.model.settle(&command);
        prop_assert_eq!(settled.outcome, outcome);
        self.compare_crossings(&settled.crossings, &told)?;
        match outcome {
            Outcome::Applied => self.coverage.settled += 1,
            Outcome::Late => self.coverage.late += 1,
            _ => self.coverage.vain += 1,
        }
        let applied = matches!(outcome, Outcome::Applied | Outcome::Late);
        self.coverage.overrun += u64::from(applied && command.used.output > hold.output);
        Ok(())
    }

    /// A clock that stands earlier frees nothing: what is used is no less, and who was refused is refused.
    async fn step_back(&mut self, by: Duration) -> TestCaseResult {
        let mut before = Vec::new();
        for who in Who::all() {
            before.push((who, self.standings(who).await));
        }
        let mut full = Vec::new();
        for who in Who::all() {
            if !self.model.violated(who.named(), self.requests(), &Amounts::ONE_REQUEST).is_empty() {
                full.push(who);
            }
        }
        if !self.harness.step_back(by) {
            return Ok(());
        }
        for (who, then) in before {
            let now = self.standings(who).await;
            for (now, then) in now.iter().zip(then) {
                prop_assert!(now.used >= then.used && now.held == then.held, "{then:?} became {now:?}");
            }
        }
        for who in full {
            let (keys, limits) = (who.keys(), self.all());
            let command = Admit { scopes: &scopes_of(&keys), limits, requests: 1, report: false };
            prop_assert!(self.store.admit(&command).await.expect("the store answers").is_err());
        }
        self.harness.advance(by).await;
        self.model.now = self.store.now();
        Ok(())
    }

    async fn compare_standings(&self) -> TestCaseResult {
        for who in Who::each_key() {
            let standings = self.standings(who).await;
            self.compare(&standings, who.named(), self.all(), usize::MAX)?;
        }
        Ok(())
    }
}
