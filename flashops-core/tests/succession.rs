//! Another policy for accounts that are in use.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flashops_core::budget::RateLimiter;
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Algorithm, Limit, LimitSet, Policy, Resource, Window};
use flashops_core::store::{
    Admit, Extend, Extended, GiveBack, MemoryStore, Outcome, ReservationId, Reserve, Settle, Standing, Store,
};
use flashops_core::units::{Amounts, Tokens};
use flashops_core::window::{Calendar, CalendarUnit};
use proptest::prelude::*;

type Memory = MemoryStore<ManualClock>;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn tokens(n: u64) -> Amounts {
    Amounts { output: Tokens::saturating(n), ..Amounts::ONE_REQUEST }
}

fn limit(name: &str, scope: Scope, resource: Resource, amount: u64) -> Limit {
    Limit::new(name, scope, resource, amount, Window::Sliding(MINUTE)).unwrap()
}

fn policy(limits: impl Into<Vec<Limit>>) -> Arc<Policy> {
    Arc::new(Policy::new(limits.into()).unwrap())
}

fn all(store: &Memory) -> LimitSet {
    store.policy().select(|_| true)
}

fn ann() -> Scopes<'static> {
    Scopes::new().with(Key::new(Scope::User, "ann")).with(Key::new(Scope::Org, "acme"))
}

fn reserve(store: &Memory, id: u128, hold: u64) -> bool {
    let (scopes, limits, hold) = (&ann(), all(store), tokens(hold));
    let id = ReservationId::from_bits(id);
    let command = Reserve { id, scopes, limits, hold, checkpoint: hold, lifetime: HOUR, report: true };
    store.reserve_now(&command).unwrap().is_ok()
}

fn settle(store: &Memory, id: u128, used: u64) -> Outcome {
    store.settle_now(&Settle { id: ReservationId::from_bits(id), used: tokens(used) }).outcome
}

fn admit(store: &Memory, requests: u64) -> bool {
    let command = Admit { scopes: &ann(), limits: all(store), requests, report: false };
    store.admit_now(&command).is_ok()
}

/// What is used and held of each limit, by name.
fn standings(store: &Memory) -> Vec<(String, u64, u64)> {
    let told = |one: Standing| (store.policy().limit(one.limit).name().to_owned(), one.used, one.held);
    store.standings_now(&ann(), all(store)).into_iter().map(told).collect()
}

fn told(name: &str, used: u64, held: u64) -> (String, u64, u64) {
    (name.to_owned(), used, held)
}

#[test]
fn what_is_used_and_held_goes_on_under_another_amount_and_in_another_order() {
    let (tpm, rpm) =
        (limit("tpm", Scope::User, Resource::Tokens, 1_000), limit("rpm", Scope::User, Resource::Requests, 9));
    let old = MemoryStore::new(policy([tpm.clone(), rpm]), ManualClock::new());
    assert!(reserve(&old, 1, 300) && reserve(&old, 2, 100));
    settle(&old, 1, 250);
    let larger = limit("rpm", Scope::User, Resource::Requests, 20);
    let grant = Limit::new("grant", Scope::Org, Resource::Tokens, 500, Window::Lifetime).unwrap();
    let new = old.succeed(policy([grant, larger, tpm]));
    assert_eq!(standings(&new), [told("rpm", 2, 0), told("tpm", 250, 100), told("grant", 0, 0)]);
    assert!(!reserve(&new, 3, 651) && reserve(&new, 4, 500));
    // The grant began after this call did.
    assert_eq!(settle(&new, 2, 150), Outcome::Applied);
    assert_eq!(standings(&new), [told("rpm", 3, 0), told("tpm", 400, 500), told("grant", 0, 500)]);
}

#[test]
fn whoever_has_the_store_before_goes_on_in_the_new_one_and_reads_its_own_limits() {
    let names = ["a", "b", "c"].map(|name| limit(name, Scope::User, Resource::Tokens, 1_000));
    let [a, b, c] = names.clone().map(|limit| limit.with_thresholds([500]).unwrap());
    let old = MemoryStore::new(policy([a, b.clone()]), ManualClock::new());
    assert!(reserve(&old, 1, 100));
    let middle = old.succeed(policy([c.clone(), b.clone()]));
    let new = middle.succeed(policy([c.clone(), names[0].clone(), b]));
    assert_eq!(standings(&old), [told("b", 0, 100)], "a was gone, and is another one now");
    let more = Extend { id: ReservationId::from_bits(1), more: tokens(901), checkpoint: tokens(1), lifetime: HOUR };
    match old.extend_now(&more) {
        Extended::Denied(denied) => assert_eq!(old.policy().limit(denied.limit).name(), "b"),
        other => panic!("{other:?}"),
    }
    let settled = old.settle_now(&Settle { id: ReservationId::from_bits(1), used: tokens(600) });
    let crossed: Vec<_> = settled.crossings.iter().map(|one| old.policy().limit(one.limit).name()).collect();
    assert_eq!((settled.outcome, crossed), (Outcome::Applied, vec!["b"]));
    assert!(reserve(&old, 2, 400), "b is all that goes on, and has room for 400");
    assert_eq!(standings(&new), [told("c", 0, 0), told("a", 0, 0), told("b", 600, 400)]);
    assert_eq!(settle(&middle, 2, 0), Outcome::Applied);
    assert_eq!(settle(&new, 2, 0), Outcome::Replayed, "an identity that is settled stays known");
}

#[test]
fn a_limiter_that_was_made_before_counts_and_gives_back_where_the_accounts_went() {
    let rpm = |amount| policy([limit("rpm", Scope::User, Resource::Requests, amount)]);
    for (before, after) in [(3, 5), (3, 100), (100, 101), (100, 5)] {
        let old = Arc::new(MemoryStore::new(rpm(before), ManualClock::new()));
        let limiter = RateLimiter::with_store(Arc::clone(&old));
        let key = Key::new(Scope::User, "ann");
        assert!((0..3).all(|_| limiter.check(key).is_ok()));
        let new = old.succeed(rpm(after));
        let left = (0..1_000).take_while(|_| limiter.check(key).is_ok()).count() as u64;
        assert_eq!(left, after - 3, "{before} to {after}");
        let admitted = Admit { scopes: &ann(), limits: all(&old), requests: 1, report: true };
        assert!(old.admit_now(&admitted).is_err());
        assert!(!admit(&new, 1));
    }
}

#[test]
fn a_refusal_that_was_remembered_is_not_repeated_under_a_larger_amount() {
    let rpm = |amount| policy([limit("rpm", Scope::User, Resource::Requests, amount)]);
    let old = Arc::new(MemoryStore::new(rpm(70), ManualClock::new()));
    let (limiter, key) = (RateLimiter::with_store(Arc::clone(&old)), Key::new(Scope::User, "ann"));
    while limiter.check(key).is_ok() {}
    assert!(limiter.check(key).is_err());
    let _new = old.succeed(rpm(71));
    assert!(limiter.check(key).is_ok());
}

#[test]
fn requests_that_were_counted_before_are_given_back_after() {
    let [first, second] = [3, 4].map(|amount| policy([limit("rpm", Scope::User, Resource::Requests, amount)]));
    let old = MemoryStore::new(first, ManualClock::new());
    let command = Admit { scopes: &ann(), limits: all(&old), requests: 2, report: false };
    let admitted = old.admit_now(&command).unwrap();
    let new = old.succeed(second);
    let (scopes, limits, receipt) = (&ann(), all(&old), admitted.receipt);
    old.give_back(&GiveBack { scopes, limits, requests: 2, receipt });
    assert_eq!(standings(&new), [told("rpm", 0, 0)]);
}

#[test]
fn a_threshold_that_fired_does_not_fire_again_in_its_period() {
    let month = Window::Calendar(Calendar::new(CalendarUnit::Month, "UTC", None).unwrap());
    let tpm = |amount, thresholds: &[u16]| {
        let limit = Limit::new("tpm", Scope::User, Resource::Tokens, amount, month.clone()).unwrap();
        policy([limit.with_thresholds(thresholds).unwrap()])
    };
    let fired = |store: &Memory, id, used| {
        assert!(reserve(store, id, used));
        let settled = store.settle_now(&Settle { id: ReservationId::from_bits(id), used: tokens(used) });
        settled.crossings.iter().map(|one| one.threshold).collect::<Vec<_>>()
    };
    let old = MemoryStore::new(tpm(1_000, &[500, 800]), ManualClock::new());
    assert_eq!(fired(&old, 1, 600), [500]);
    let new = old.succeed(tpm(1_000, &[500, 650, 800]));
    assert_eq!(fired(&new, 2, 10), [0_u16; 0]);
    assert_eq!(fired(&new, 3, 200), [650, 800]);
}

#[test]
fn a_limit_that_counts_otherwise_starts_with_what_was_used_and_one_that_is_gone_refuses_nobody() {
    let hour = Limit::new("tpm", Scope::User, Resource::Tokens, 1_000, Window::Sliding(HOUR)).unwrap();
    let clock = ManualClock::new();
    let old = MemoryStore::new(policy([limit("tpm", Scope::User, Resource::Tokens, 1_000)]), clock.clone());
    assert!(reserve(&old, 1, 900));
    settle(&old, 1, 900);
    clock.advance(Duration::from_secs(30));
    let new = old.succeed(policy([hour]));
    clock.advance(HOUR - Duration::from_secs(1));
    assert!(!reserve(&new, 2, 101), "it counts for an hour from the change");
    let none = new.succeed(policy([]));
    assert!(reserve(&none, 3, 5_000));
    assert_eq!(settle(&none, 3, 5_000), Outcome::Applied);
}

/// How a limit on requests can be kept.
fn kinds() -> Vec<(&'static str, Vec<Limit>)> {
    let rpm = |amount| limit("rpm", Scope::User, Resource::Requests, amount);
    let rph = Limit::new("rph", Scope::User, Resource::Requests, 60, Window::Sliding(HOUR)).unwrap();
    let tpm = limit("tpm", Scope::User, Resource::Tokens, 10);
    vec![
        ("log of five", vec![rpm(5)]),
        ("log of sixty", vec![rpm(60)]),
        ("shared log", vec![rph, rpm(20)]),
        ("pair of rings", vec![rpm(70)]),
        ("ring", vec![tpm.clone(), rpm(80)]),
        ("log of a cell", vec![rpm(30), tpm]),
        ("ring with alarms", vec![rpm(65).with_thresholds([900]).unwrap()]),
    ]
}

proptest! {
    /// The oracle is a list of the instants at which requests were admitted.
    #[test]
    fn no_change_ever_forgets_a_request_that_is_in_its_window(
        first in 0_usize..7, second in 0_usize..7, steps in prop::collection::vec((0_u64..8, 1_u64..4), 1..80), at in 0_usize..60,
    ) {
        let (kinds, clock) = (kinds(), ManualClock::new());
        let mut store = Arc::new(MemoryStore::new(policy(kinds[first].1.clone()), clock.clone()));
        let (mut log, mut now) = (Vec::new(), 0_u64);
        for (step, (wait, requests)) in steps.into_iter().enumerate() {
            clock.advance(Duration::from_secs(wait));
            now += wait;
            if step == at {
                store = store.succeed(policy(kinds[second].1.clone()));
            }
            if admit(&store, requests) {
                log.extend((0..requests).map(|_| now));
            }
            let exact = log.iter().filter(|&&then| now - then < 60).count() as u64;
            let used = standings(&store).into_iter().find(|one| one.0 == "rpm").unwrap().1;
            let amount = store.policy().limits().iter().find(|limit| limit.name() == "rpm").unwrap().amount();
            prop_assert!(used >= exact.min(amount), "{} to {}: {used} of {exact}", kinds[first].0, kinds[second].0);
        }
    }
}

#[test]
fn instants_survive_where_the_new_way_of_counting_can_keep_them() {
    let kinds = kinds();
    for (from, to) in [(0, 1), (0, 3), (0, 4), (1, 3), (1, 5), (2, 2), (5, 6)] {
        let clock = ManualClock::new();
        let old = MemoryStore::new(policy(kinds[from].1.clone()), clock.clone());
        assert!(admit(&old, 2));
        clock.advance(Duration::from_secs(50));
        let new = old.succeed(policy(kinds[to].1.clone()));
        let used = || standings(&new).into_iter().find(|one| one.0 == "rpm").unwrap().1;
        assert_eq!(used(), 2);
        // A bucket is two seconds at most.
        clock.advance(Duration::from_secs(12));
        assert_eq!(used(), 0, "{} to {}", kinds[from].0, kinds[to].0);
    }
}

#[test]
fn an_approximate_limit_goes_on_as_it_is() {
    let approximate = |amount| {
        let limit = limit("rpm", Scope::User, Resource::Requests, amount);
        policy([limit.with_algorithm(Algorithm::Approximate).unwrap()])
    };
    let clock = ManualClock::new();
    let old = MemoryStore::new(approximate(10), clock.clone());
    assert!(admit(&old, 8));
    clock.advance(Duration::from_secs(90));
    let before = standings(&old);
    assert_eq!(standings(&old.succeed(approximate(20))), before);
}

/// Eight threads hold and settle through whichever store they have while the policy changes two hundred times.
#[test]
fn under_a_flood_nothing_is_lost_or_overspent_while_the_policy_changes() {
    const AMOUNT: u64 = 40_000;
    let lifetime = |name: &str| Limit::new(name, Scope::User, Resource::Tokens, AMOUNT, Window::Lifetime).unwrap();
    let other = |amount| limit("rpm", Scope::Org, Resource::Requests, amount);
    let policies = [
        policy([lifetime("grant"), other(u64::from(u32::MAX))]),
        policy([other(1 << 40), lifetime("grant")]),
        policy([lifetime("grant").with_thresholds([1]).unwrap()]),
    ];
    let first = Arc::new(MemoryStore::new(Arc::clone(&policies[0]), ManualClock::new()));
    let (current, spent, next) = (Mutex::new(Arc::clone(&first)), AtomicU64::new(0), AtomicU64::new(1));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let store = Arc::clone(&current.lock().unwrap());
                    let id = u128::from(next.fetch_add(1, Ordering::Relaxed));
                    if reserve(&store, id, 10) {
                        thread::yield_now();
                        assert_eq!(settle(&store, id, 7), Outcome::Applied);
                        spent.fetch_add(7, Ordering::Relaxed);
                    }
                }
            });
        }
        for change in 1..=200 {
            let latest = current.lock().unwrap().succeed(Arc::clone(&policies[change % 3]));
            *current.lock().unwrap() = latest;
            thread::yield_now();
        }
    });
    let grant = standings(&first).into_iter().find(|one| one.0 == "grant").unwrap();
    let spent = spent.load(Ordering::Relaxed);
    println!("spent {spent} of {AMOUNT} under 200 changes");
    assert_eq!((grant.1, grant.2), (spent, 0));
    assert!(spent > AMOUNT - 100 && spent <= AMOUNT, "{spent}");
}
