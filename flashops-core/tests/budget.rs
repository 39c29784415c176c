//! What the front door promises about one call, seen through a recorder.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Ready, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flashops_core::budget::{BeginError, Budget, CallRequest, UNKNOWN_PROVIDER};
use flashops_core::caller::Caller;
use flashops_core::clock::{ManualClock, Moment};
use flashops_core::estimate::{Estimate, InputBound, InputEstimate, OutputCap, OutputEstimate};
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{
    Denied, Limit, LimitSet, Mode, OnExhausted, Policy, Resource, Switches, UnknownModel, Window,
};
use flashops_core::price::PriceBook;
use flashops_core::record::{Ending, EstimateErrors, Event, Recorder};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MemoryStore, Refused, Reserve, Reserved, Settle, Settled, Standing,
    Store, StoreError,
};
use flashops_core::units::{Amounts, Tokens};
use flashops_core::usage::{ServiceTier, Usage};

/// Writes down what it is told.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Recorder for Notes {
    fn record(&self, event: &Event<'_>) {
        let note = match event {
            Event::Denied { denied, policy, .. } => format!("denied by {}", policy.limit(denied.limit).name()),
            Event::Reserved { .. } => "reserved".to_owned(),
            Event::Voided { .. } => "voided".to_owned(),
            Event::Settled(settled) => format!("{} with {}", settled.ending.name(), settled.usage.total()),
            Event::Threshold { crossing, policy, .. } => {
                format!("{} of {}", crossing.threshold, policy.limit(crossing.limit).name())
            }
            Event::Exceeded { limit, policy, .. } => format!("{} exceeded", policy.limit(*limit).name()),
            _ => "unknown".to_owned(),
        };
        self.0.lock().unwrap().push(note);
    }
}

impl Notes {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn limit(name: &str, scope: Scope, resource: Resource, amount: u64) -> Limit {
    Limit::new(name, scope, resource, amount, Window::Lifetime).unwrap()
}

fn budget(limits: Vec<Limit>) -> (Budget<MemoryStore<ManualClock>>, Notes) {
    let (notes, policy) = (Notes::default(), Policy::new(limits).unwrap());
    let store = Arc::new(MemoryStore::new(Arc::new(policy), ManualClock::new()));
    (Budget::new(store, Arc::new(PriceBook::embedded().clone()), notes.clone()), notes)
}

/// A request of ann for this model, of 100 tokens in and 50 out.
fn request<S: Store>(budget: &Budget<S>, model: &str) -> CallRequest {
    CallRequest {
        caller: Caller::new("ann", "acme"),
        route: "/v1/chat/completions".into(),
        model: model.into(),
        estimate: Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(50))),
        limits: budget.policy().limits_on("/v1/chat/completions", true),
    }
}

/// A budget of 100,000 tokens with these estimates, taught by 99 calls of 25 tokens in and `answer(i)` out.
fn taught(
    input: InputEstimate,
    output: OutputEstimate,
    answer: impl Fn(u64) -> u64,
) -> (Budget<MemoryStore<ManualClock>>, Arc<EstimateErrors>) {
    let mut switches = Switches::default();
    (switches.input_estimate, switches.output_estimate) = (input, output);
    let policy = Policy::new(vec![limit("grant", Scope::Org, Resource::Tokens, 100_000)]).unwrap();
    let store = Arc::new(MemoryStore::new(Arc::new(policy.with_switches(switches)), ManualClock::new()));
    let errors = Arc::new(EstimateErrors::new());
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), Arc::clone(&errors));
    for i in 0..99 {
        let caller = Caller::new(&i.to_string(), "acme");
        let mut call = budget.begin_now(CallRequest { caller, ..request(&budget, "gpt-4o") }).unwrap().unwrap();
        call.dispatched();
        let mut usage = Usage::exact();
        (usage.input, usage.output) = (Tokens::saturating(25), Tokens::saturating(answer(i)));
        call.settle(&usage, Ending::Complete);
    }
    (budget, errors)
}

fn held(budget: &Budget<MemoryStore<ManualClock>>) -> u64 {
    let standings = std::pin::pin!(budget.standings(&Caller::new("ann", "acme")));
    let std::task::Poll::Ready(Ok(standings)) = standings.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a store in memory answers at once");
    };
    standings[0].held
}

#[test]
fn what_was_learned_is_held_and_the_cap_stays_the_bound() {
    // The 95th of 99 answers of 1 to 50 tokens, of which the last six are of 50.
    let answer = |i| if i < 93 { i / 2 + 1 } else { 50 };
    for output in [OutputEstimate::Learned, OutputEstimate::LearnedEach] {
        let (budget, errors) = taught(InputEstimate::Calibrated, output, answer);
        let call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
        assert_eq!((call.held_output().get(), call.estimate().output.get()), (50, 50));
        assert_eq!(held(&budget), 25 + 50, "25 tokens to 100 bytes");
        assert_eq!(errors.input().calls(), 99);
        call.void();
    }
    let (budget, _) = taught(InputEstimate::Bytes, OutputEstimate::Learned, |_| 7);
    let call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    assert_eq!((call.held_output().get(), call.estimate().output.get()), (7, 50));
    assert_eq!(held(&budget), 107);
    call.void();
    let (budget, _) = taught(InputEstimate::Bytes, OutputEstimate::Cap, |_| 7);
    let _call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    assert_eq!(held(&budget), 150);
}

#[test]
fn a_stream_beyond_what_was_learned_holds_more_and_is_charged_in_full() {
    let (budget, _) = taught(InputEstimate::Bytes, OutputEstimate::LearnedEach, |_| 20);
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    let so_far = |output| Usage::estimated(Tokens::ZERO, Tokens::saturating(output));
    call.progress(so_far(15));
    assert_eq!(held(&budget), 120);
    call.progress(so_far(16));
    assert_eq!(held(&budget), 136, "from four fifths on, at least 16 more");
    call.progress(so_far(30));
    assert_eq!(held(&budget), 150, "up to the cap");
    let mut usage = Usage::exact();
    (usage.input, usage.output) = (Tokens::saturating(100), Tokens::saturating(70));
    call.settle(&usage, Ending::Complete);
    assert_eq!(held(&budget), 0);
}

#[test]
fn another_name_of_a_model_is_no_other_account() {
    let (budget, _) = budget(vec![limit("model", Scope::Model, Resource::Tokens, 200)]);
    let held = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    for alias in ["openai/gpt-4o", "gpt-4o-2024-08-06"] {
        assert!(budget.begin_now(request(&budget, alias)).unwrap().is_err(), "{alias}");
    }
    assert!(budget.begin_now(request(&budget, "gpt-4o-mini")).unwrap().is_ok());
    drop(held);
}

#[test]
fn models_that_nobody_knows_share_one_account_of_a_provider() {
    let (budget, _) = budget(vec![limit("provider", Scope::Provider, Resource::Tokens, 200)]);
    let held = budget.begin_now(request(&budget, "home-made")).unwrap().unwrap();
    assert!(budget.begin_now(request(&budget, "home-made-2")).unwrap().is_err());
    assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_ok(), "openai is somebody else");
    let keys = Scopes::new().with(Key::new(Scope::Provider, UNKNOWN_PROVIDER));
    assert_eq!(budget.store().standings_now(&keys, budget.policy().select(|_| true))[0].held, 150);
    drop(held);
}

#[test]
fn a_limit_on_cost_that_does_not_refuse_refuses_no_unknown_model() {
    for mode in [Mode::Warn, Mode::Shadow] {
        let (budget, _) = budget(vec![limit("cost", Scope::User, Resource::Cost, 1).with_mode(mode)]);
        assert!(budget.begin_now(request(&budget, "home-made")).unwrap().is_ok());
    }
    let (enforced, _) = budget(vec![limit("cost", Scope::User, Resource::Cost, 1)]);
    assert_eq!(enforced.begin_now(request(&enforced, "home-made")).unwrap_err(), BeginError::UnknownModel);
}

#[test]
fn the_switch_for_unknown_models_decides_for_all_limits() {
    let with = |unknown_model, resource| {
        let policy = Policy::new(vec![limit("l", Scope::User, resource, 10_000)]).unwrap();
        let mut switches = policy.switches().clone();
        switches.unknown_model = Some(unknown_model);
        Budget::in_memory(policy.with_switches(switches), ManualClock::new())
    };
    let denying = with(UnknownModel::Deny, Resource::Tokens);
    assert_eq!(denying.begin_now(request(&denying, "home-made")).unwrap_err(), BeginError::UnknownModel);
    assert!(denying.begin_now(request(&denying, "gpt-4o")).unwrap().is_ok());
    let lenient = with(UnknownModel::TokensOnly, Resource::Cost);
    assert!(lenient.begin_now(request(&lenient, "home-made")).unwrap().is_ok());
}

#[test]
fn every_limit_that_only_warns_is_told_of_when_it_is_exceeded() {
    let (budget, notes) = budget(vec![
        limit("hard", Scope::User, Resource::Tokens, 300),
        limit("soft", Scope::User, Resource::Tokens, 200).with_mode(Mode::Warn),
        limit("dark", Scope::Org, Resource::Tokens, 100).with_mode(Mode::Shadow),
    ]);
    let first = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    assert_eq!(notes.taken(), ["reserved", "dark exceeded"]);
    let second = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    assert_eq!(notes.taken(), ["reserved", "soft exceeded", "dark exceeded"]);
    assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_err());
    assert_eq!(notes.taken(), ["denied by hard"], "if an enforced limit refuses, none counts");
    drop((first, second));
}

#[test]
fn a_call_that_is_dropped_before_any_output_failed_and_with_output_was_cut() {
    let (budget, notes) = budget(vec![]);
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    drop(call);
    assert_eq!(notes.taken(), ["reserved", "failed with 100"]);
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(7)));
    drop(call);
    assert_eq!(notes.taken(), ["reserved", "cut with 107"]);
    drop(budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap());
    assert_eq!(notes.taken(), ["reserved", "voided"]);
}

/// Writes down when output came.
#[derive(Clone, Debug, Default)]
struct Times(Arc<Mutex<Vec<[Option<Duration>; 2]>>>);

impl Recorder for Times {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            self.0.lock().unwrap().push([settled.time_to_first_output(), settled.time_per_output()]);
        }
    }
}

#[test]
fn the_first_output_of_a_stream_has_its_time_and_the_rest_is_shared_among_the_tokens_after_it() {
    let (times, clock) = (Times::default(), ManualClock::new());
    let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(vec![]).unwrap()), clock.clone()));
    let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), times.clone());
    let output = |tokens| Usage::estimated(Tokens::ZERO, Tokens::saturating(tokens));
    let stream = |tokens, ending| {
        let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
        call.dispatched();
        for counted in 0..=tokens {
            clock.advance(Duration::from_millis(if counted < 2 { 300 } else { 50 }));
            call.progress(output(counted));
        }
        call.settle(&output(tokens), ending);
    };
    stream(5, Ending::Complete);
    stream(1, Ending::Complete);
    stream(5, Ending::Cut);
    stream(0, Ending::Complete);
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    call.settle(&output(50), Ending::Complete);
    let [first, each] = [Some(Duration::from_millis(600)), Some(Duration::from_millis(50))];
    let told = times.0.lock().unwrap().clone();
    assert_eq!(told, [[first, each], [first, None], [first, None], [None, None], [None, None]]);
}

#[test]
fn output_is_held_in_advance_from_four_fifths_of_its_hold_while_there_is_room() {
    let (budget, _) = budget(vec![limit("tokens", Scope::User, Resource::Tokens, 10_600)]);
    let caller = Caller::new("ann", "acme");
    let stand = || budget.store().standings_now(&caller.scopes(), budget.policy().select(|_| true))[0];
    let estimate = Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(8_000)));
    let mut call = budget.begin_now(CallRequest { estimate, ..request(&budget, "gpt-4o") }).unwrap().unwrap();
    call.dispatched();
    let counted = |output| Usage::estimated(Tokens::ZERO, Tokens::saturating(output));
    for (output, held) in [(6_399, 8_100), (6_400, 10_100), (7_999, 10_100), (8_000, 10_100), (9_999, 10_100)] {
        call.progress(counted(output));
        assert_eq!(stand().held, held, "at {output}");
    }
    let mut usage = Usage::exact();
    usage.output = Tokens::saturating(12_000);
    call.settle(&usage, Ending::Complete);
    assert_eq!((stand().used, stand().held), (12_000, 0), "the rest is debt");
}

/// A budget of tokens and of one call at a time, whose accounts of tokens and calls are asked for with the last.
fn one_at_a_time() -> (Budget<MemoryStore<ManualClock>>, ManualClock, Duration) {
    let clock = ManualClock::new();
    let slots = Limit::concurrency("slots", Scope::User, 1).unwrap();
    let policy = Policy::new(vec![limit("tokens", Scope::User, Resource::Tokens, 10_000), slots]).unwrap();
    let max_lifetime = policy.switches().max_lifetime;
    (Budget::in_memory(policy, clock.clone()), clock, max_lifetime)
}

#[test]
fn a_call_that_goes_on_keeps_its_hold_and_its_place_beyond_the_lifetime() {
    let (budget, clock, max_lifetime) = one_at_a_time();
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    for output in 1..=20 {
        clock.advance(max_lifetime / 2);
        call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(output)));
        assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_err(), "its place is taken, after {output}");
    }
    for _ in 1..=4 {
        clock.advance(max_lifetime / 2);
        call.renew();
        assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_err(), "its place is taken");
    }
    call.settle(&Usage::exact(), Ending::Complete);
    assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_ok());
}

#[test]
fn a_call_that_stands_still_for_its_lifetime_is_charged_and_leaves_its_place() {
    let (budget, clock, max_lifetime) = one_at_a_time();
    let caller = Caller::new("ann", "acme");
    let stand = || budget.store().standings_now(&caller.scopes(), budget.policy().select(|_| true))[0];
    let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
    call.dispatched();
    clock.advance(max_lifetime / 2);
    call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(45)));
    assert!(stand().held > 150);
    clock.advance(max_lifetime - Duration::from_nanos(1));
    assert!(stand().held > 150, "it is counted from its last progress");
    clock.advance(Duration::from_nanos(1));
    assert_eq!((stand().used, stand().held), (145, 0), "charged for what it was known to have used");
    assert!(budget.begin_now(request(&budget, "gpt-4o")).unwrap().is_ok());
    drop(call);
    assert_eq!(stand().used, 145);
}

#[test]
fn thresholds_are_told_once_after_the_call_that_reached_them() {
    let tokens = limit("tokens", Scope::User, Resource::Tokens, 1_000).with_thresholds([500]).unwrap();
    let (budget, notes) = budget(vec![tokens]);
    let mut usage = Usage::exact();
    usage.input = Tokens::saturating(300);
    for expected in [&["complete with 300"][..], &["complete with 300", "500 of tokens"], &["complete with 300"]] {
        let mut call = budget.begin_now(request(&budget, "gpt-4o")).unwrap().unwrap();
        call.dispatched();
        call.settle(&usage, Ending::Complete);
        assert_eq!(notes.taken()[1..], *expected);
    }
}

/// A memory store whose answers to a reservation get lost or do not come.
#[derive(Debug)]
struct Unheard {
    inner: MemoryStore<ManualClock>,
    answers: bool,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

impl Store for Unheard {
    type Admit = Ready<Result<Result<Admitted, Denied>, StoreError>>;
    type Reserve = Answer<Result<Reserved, Refused>>;
    type Extend = Ready<Result<Extended, StoreError>>;
    type Settle = Ready<Result<Settled, StoreError>>;
    type Standings = Ready<Result<Vec<Standing>, StoreError>>;

    fn policy(&self) -> &Policy {
        self.inner.policy()
    }

    fn now(&self) -> Moment {
        self.inner.now()
    }

    fn admit(&self, command: &Admit<'_>) -> Self::Admit {
        self.inner.admit(command)
    }

    fn give_back(&self, command: &GiveBack<'_>) {
        self.inner.give_back(command);
    }

    fn reserve(&self, command: &Reserve<'_>) -> Self::Reserve {
        drop(self.inner.reserve(command));
        match self.answers {
            true => Box::pin(ready(Err(StoreError::Unavailable("timed out".to_owned())))),
            false => Box::pin(pending()),
        }
    }

    fn extend(&self, command: &Extend) -> Self::Extend {
        self.inner.extend(command)
    }

    fn settle(&self, command: &Settle) -> Self::Settle {
        self.inner.settle(command)
    }

    fn standings(&self, scopes: &Scopes<'_>, limits: LimitSet) -> Self::Standings {
        self.inner.standings(scopes, limits)
    }
}

fn unheard(answers: bool) -> (Budget<Unheard>, Notes) {
    let policy = Policy::new(vec![limit("tokens", Scope::User, Resource::Tokens, 1_000)]).unwrap();
    let inner = MemoryStore::new(Arc::new(policy), ManualClock::new());
    let notes = Notes::default();
    let store = Arc::new(Unheard { inner, answers });
    (Budget::new(store, Arc::new(PriceBook::embedded().clone()), notes.clone()), notes)
}

/// Tokens of ann that are used, and held.
fn standing(budget: &Budget<Unheard>) -> (u64, u64) {
    let caller = Caller::new("ann", "acme");
    let standings = budget.store().inner.standings_now(&caller.scopes(), budget.policy().select(|_| true));
    (standings[0].used, standings[0].held)
}

#[test]
fn a_reservation_whose_answer_was_lost_is_given_back() {
    let (budget, _) = unheard(true);
    let begin = std::pin::pin!(budget.begin(request(&budget, "gpt-4o")));
    assert_eq!(standing(&budget), (0, 150), "it was made");
    let answer = begin.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, std::task::Poll::Ready(Err(BeginError::Store(_)))));
    assert_eq!(standing(&budget), (0, 0));
}

#[test]
fn a_reservation_that_nobody_waits_for_any_more_is_given_back_and_told_of() {
    let (budget, notes) = unheard(false);
    let mut begin = Box::pin(budget.begin(request(&budget, "gpt-4o")));
    assert!(begin.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(standing(&budget), (0, 150));
    drop(begin);
    assert_eq!(standing(&budget), (0, 0));
    assert_eq!(notes.taken(), ["voided"]);
}

#[test]
fn a_hold_by_hand_voids_before_it_is_dispatched_and_charges_its_checkpoint_after() {
    let (budget, _) = budget(vec![
        limit("tokens", Scope::User, Resource::Tokens, 1_000),
        limit("requests", Scope::User, Resource::Requests, 10),
    ]);
    let caller = Caller::new("ann", "acme");
    let (scopes, all) = (caller.scopes(), budget.policy().select(|_| true));
    let amounts = |requests, input| Amounts { requests, input: Tokens::saturating(input), ..Amounts::ZERO };
    let reserve = || budget.try_reserve(&scopes, all, amounts(1, 400), amounts(0, 30)).unwrap();
    let stand = || budget.store().standings_now(&scopes, all).iter().map(|s| (s.used, s.held)).collect::<Vec<_>>();

    drop(reserve());
    assert_eq!(stand(), [(0, 0), (0, 0)]);
    let mut reservation = reserve();
    reservation.dispatched();
    assert_eq!(stand(), [(0, 400), (1, 0)]);
    drop(reservation);
    assert_eq!(stand(), [(30, 0), (1, 0)]);
    drop(reserve().settle(amounts(1, 55)));
    assert_eq!(stand(), [(85, 0), (2, 0)]);
    drop(reserve().void());
    assert_eq!(stand(), [(85, 0), (2, 0)]);
}

#[test]
fn a_stream_that_may_be_cut_goes_on_within_its_hold_and_beyond_it_only_with_room() {
    let mut switches = Switches::default();
    switches.on_exhausted = OnExhausted::Cut;
    let policy = Policy::new(vec![limit("tokens", Scope::User, Resource::Tokens, 1_000)]).unwrap();
    let budget = Budget::in_memory(policy.with_switches(switches), ManualClock::new());
    let estimate = Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(100)));
    let mut call = budget.begin_now(CallRequest { estimate, ..request(&budget, "gpt-4o") }).unwrap().unwrap();
    call.dispatched();
    let caller = Caller::new("ann", "acme");
    let all = budget.policy().select(|_| true);
    let others = |tokens| {
        let hold = Amounts { output: Tokens::saturating(tokens), ..Amounts::ZERO };
        budget.try_reserve(&caller.scopes(), all, hold, Amounts::ZERO).unwrap()
    };
    let mut may_go_on = |output| {
        call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(output)));
        call.poll_room(&mut Context::from_waker(Waker::noop()))
    };
    let rest = others(800);
    assert_eq!([79, 80, 100].map(&mut may_go_on), [Poll::Ready(true); 3], "it is within its hold");
    assert_eq!(may_go_on(101), Poll::Ready(false));
    drop(rest);
    assert_eq!(may_go_on(101), Poll::Ready(true), "there is room again");
    let _rest = others(500);
    assert_eq!(may_go_on(5_000), Poll::Ready(false), "it holds some, and not as much as it used");
}

/// Writes down what was charged, and at which price.
#[derive(Clone, Debug, Default)]
struct Charges(Arc<Mutex<Vec<String>>>);

impl Recorder for Charges {
    fn record(&self, event: &Event<'_>) {
        if let Event::Settled(settled) = event {
            let cost = settled.cost.map(flashops_core::units::Cost::get);
            let source = settled.price.map(|price| price.version().source());
            let tier = settled.usage.service_tier.map(ServiceTier::name);
            self.0.lock().unwrap().push(format!("{cost:?} {source:?} {tier:?}"));
        }
    }
}

impl Charges {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A book with the model `m` at a flat price of so many dollars for 1,000,000 tokens, twice that above 120 tokens of
/// input, and ten times that with priority.
fn book_of(source: &str, dollars: u32) -> Arc<PriceBook> {
    let (twice, tenfold) = (dollars * 2, "multiplier = \"10\"");
    let text = format!(
        "[[model]]\nname = \"m\"\nprovider = \"p\"\nsource = \"{source}\"\nas_of = \"2026-01-01\"\n[[model.price]]\n\
         flat = \"{dollars}\"\n[[model.price.tier]]\nabove = 120\nflat = \"{twice}\"\n[model.price.priority]\n{tenfold}"
    );
    Arc::new(PriceBook::from_toml(&text).unwrap())
}

fn priced(limits: Vec<Limit>, book: Arc<PriceBook>) -> (Budget<MemoryStore<ManualClock>>, Charges) {
    let (charges, policy) = (Charges::default(), Policy::new(limits).unwrap());
    let store = Arc::new(MemoryStore::new(Arc::new(policy), ManualClock::new()));
    (Budget::new(store, book, charges.clone()), charges)
}

fn used(input: u64, output: u64) -> Usage {
    let (input, output) = (Tokens::saturating(input), Tokens::saturating(output));
    Usage { input, output, ..Usage::exact() }
}

#[test]
fn a_call_is_settled_at_the_price_that_it_was_reserved_at_whatever_the_book_is_by_then() {
    let (budget, charges) = priced(vec![limit("cost", Scope::User, Resource::Cost, 10_000_000)], book_of("old", 1));
    let mut call = budget.begin_now(request(&budget, "m")).unwrap().unwrap();
    call.dispatched();
    let before = budget.price_handle().replace(book_of("new", 3)).unwrap();
    assert_eq!(before.model("m").unwrap().source(), "old");

    let mut next = budget.begin_now(request(&budget, "m")).unwrap().unwrap();
    next.dispatched();
    call.settle(&used(100, 50), Ending::Complete);
    next.settle(&used(100, 50), Ending::Complete);
    let standard = "Some(\"standard\")";
    let expected = [("150000", "old"), ("450000", "new")];
    let expected = expected.map(|(cost, source)| format!("Some({cost}) Some(\"{source}\") {standard}"));
    assert_eq!(charges.taken(), expected);
}

#[test]
fn a_book_in_another_unit_takes_nobodys_place() {
    let (budget, _) = priced(vec![], book_of("old", 1));
    let other = PriceBook::from_toml("currency = \"EUR\"").unwrap();
    assert!(budget.price_handle().replace(Arc::new(other)).is_err());
    assert_eq!(budget.prices().model("m").unwrap().source(), "old");
}

#[test]
fn a_hold_covers_what_the_call_can_cost_in_its_tariff_and_in_every_tier_that_its_prompt_can_reach() {
    let held = |input, tier| {
        let (budget, _) = priced(vec![limit("cost", Scope::User, Resource::Cost, 1 << 40)], book_of("s", 1));
        let estimate = Estimate::new(InputBound::bytes(input), OutputCap::new(Tokens::saturating(50)));
        let request = CallRequest { estimate: estimate.with_service_tier(tier), ..request(&budget, "m") };
        let call = budget.begin_now(request).unwrap().unwrap();
        let held = call.standings()[0].held;
        call.void();
        held
    };
    // In nano-dollars: 1000 for each token, twice that above 120 tokens of input, ten times that with priority.
    assert_eq!(held(120, ServiceTier::Standard), 170_000);
    assert_eq!(held(121, ServiceTier::Standard), 342_000);
    assert_eq!(held(121, ServiceTier::Flex), 342_000);
    assert_eq!(held(121, ServiceTier::Priority), 3_420_000);
}

#[test]
fn a_stream_that_outgrows_its_hold_holds_more_at_the_price_of_its_prompt() {
    let (budget, _) = priced(vec![limit("cost", Scope::User, Resource::Cost, 1 << 40)], book_of("s", 1));
    let estimate = Estimate::new(InputBound::bytes(200), OutputCap::new(Tokens::saturating(50)));
    let mut call = budget.begin_now(CallRequest { estimate, ..request(&budget, "m") }).unwrap().unwrap();
    call.dispatched();
    call.progress(used(200, 40));
    // 200 of input, 50 of output and 256 more, at the 2000 of a prompt above 120.
    let standings =
        budget.store().standings_now(&Caller::new("ann", "acme").scopes(), budget.policy().select(|_| true));
    assert_eq!(standings[0].held, 506 * 2_000);
    drop(call);
}

#[test]
fn the_tariff_is_what_the_answer_says_else_what_the_request_asked_for() {
    let (budget, charges) = priced(vec![], book_of("s", 1));
    for (said, cost) in [(None, 1_500_000), (Some(ServiceTier::Standard), 150_000), (Some(ServiceTier::Flex), 150_000)]
    {
        let asked = request(&budget, "m");
        let estimate = asked.estimate.with_service_tier(ServiceTier::Priority);
        let mut call = budget.begin_now(CallRequest { estimate, ..asked }).unwrap().unwrap();
        call.dispatched();
        call.settle(&Usage { service_tier: said, ..used(100, 50) }, Ending::Complete);
        assert!(charges.taken()[0].starts_with(&format!("Some({cost}) ")), "{said:?}");
    }
}
