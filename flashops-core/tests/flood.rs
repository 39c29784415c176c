//! Many threads on one store: what is promised at every instant, at the end, and about memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use flashops_core::budget::{Budget, Reservation};
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, LimitSet, OnExpiry, Policy, Resource, Retry, Switches, Window};
use flashops_core::store::{
    Admit, Bounds, Extend, MemoryStore, Outcome, Refused, ReservationId, Reserve, Settle, Store, StoreError,
};
use flashops_core::units::{Amounts, Tokens};

type Memory = MemoryStore<ManualClock>;

const CLIENTS: u64 = 64;
const CALLS: u64 = 200;
const HOUR: Duration = Duration::from_secs(3_600);

fn tokens(n: u64) -> Amounts {
    Amounts { output: Tokens::saturating(n), ..Amounts::ONE_REQUEST }
}

fn limit(name: &str, scope: Scope, resource: Resource, amount: u64, window: Window) -> Limit {
    Limit::new(name, scope, resource, amount, window).unwrap()
}

fn store(limits: Vec<Limit>, switches: Switches, bounds: Bounds) -> (Arc<Memory>, ManualClock) {
    let clock = ManualClock::new();
    let policy = Policy::new(limits).unwrap().with_switches(switches);
    (Arc::new(MemoryStore::with_bounds(Arc::new(policy), clock.clone(), bounds)), clock)
}

fn all(store: &Memory) -> LimitSet {
    store.policy().select(|_| true)
}

fn reserve(store: &Memory, scopes: &Scopes<'_>, id: u128, hold: Amounts) -> Result<(), Retry> {
    let (limits, id) = (all(store), ReservationId::from_bits(id));
    let command = Reserve { id, scopes, limits, hold, checkpoint: hold, lifetime: HOUR, report: false };
    match store.reserve_now(&command).unwrap() {
        Ok(_) => Ok(()),
        Err(Refused::Denied(denied)) => Err(denied.retry),
        Err(Refused::AlreadySettled) => panic!("each identity is used once"),
    }
}

fn settle(store: &Memory, id: u128, used: Amounts) -> Outcome {
    store.settle_now(&Settle { id: ReservationId::from_bits(id), used }).outcome
}

/// A generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    /// A number below a bound.
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

/// Looks at the standings until told to stop; returns how often it looked.
fn watch(store: &Memory, scopes: &Scopes<'_>, done: &AtomicBool) -> u64 {
    let mut looks = 0;
    while !done.load(Ordering::Acquire) || looks < 100 {
        for standing in store.standings_now(scopes, all(store)) {
            let taken = standing.used + standing.held;
            assert!(taken <= standing.amount, "{taken} of {}", standing.amount);
        }
        looks += 1;
    }
    looks
}

#[test]
fn no_flood_holds_or_uses_more_than_the_amount_at_any_instant_and_nothing_stays_held() {
    let hour = || Window::Sliding(HOUR);
    let limits = vec![
        limit("user", Scope::User, Resource::Tokens, 40_000, hour()),
        limit("org", Scope::Org, Resource::Tokens, 150_000, Window::Lifetime),
        limit("org-requests", Scope::Org, Resource::Requests, 50_000, hour()),
        limit("all", Scope::Global, Resource::OutputTokens, 160_000, hour()),
        Limit::concurrency("streams", Scope::Global, 24).unwrap(),
    ];
    let (store, _clock) = store(limits, Switches::default(), Bounds::default());
    let (done, used, admitted) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let org = Scopes::new().with(Key::new(Scope::Org, "acme")).with(Key::global());
    thread::scope(|threads| {
        let watcher = threads.spawn(|| watch(&store, &org, &done));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (store, org, used, admitted) = (&store, &org, &used, &admitted);
                threads.spawn(move || {
                    let user = (client % 5).to_string();
                    let scopes = org.clone().with(Key::new(Scope::User, &user));
                    let mut dice = Dice(client);
                    for call in 0.. {
                        let (id, hold) = (u128::from(client) << 64 | call, dice.roll(100) + 1);
                        match reserve(store, &scopes, id, tokens(hold)) {
                            Ok(()) => {
                                thread::yield_now();
                                let really = dice.roll(hold + 1);
                                assert_eq!(settle(store, id, tokens(really)), Outcome::Applied);
                                used.fetch_add(really, Ordering::Relaxed);
                                admitted.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(Retry::WHILE_HELD) => thread::yield_now(),
                            // It is spent, and nothing but time makes room.
                            Err(_) => break,
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        done.store(true, Ordering::Release);
        assert!(watcher.join().unwrap() > 0);
    });
    let standings = store.standings_now(&org, all(&store));
    let sums: Vec<(u64, u64)> = standings.iter().map(|standing| (standing.used, standing.held)).collect();
    let (used, admitted) = (used.into_inner(), admitted.into_inner());
    assert_eq!(sums, [(used, 0), (admitted, 0), (used, 0), (0, 0)]);
    assert_eq!(store.stats().reservations, 0);
    assert!(used > 149_000, "no client stopped before the budget was spent: {used}");
}

#[test]
fn guards_that_end_in_every_way_leave_nothing_held_and_the_exact_sum_used() {
    let policy = Policy::new(vec![limit("grant", Scope::Org, Resource::Tokens, 1 << 40, Window::Lifetime)]).unwrap();
    let budget = Budget::in_memory(policy, ManualClock::new());
    let expected = AtomicU64::new(0);
    thread::scope(|threads| {
        for client in 0..CLIENTS {
            let (budget, expected) = (&budget, &expected);
            threads.spawn(move || {
                let mut dice = Dice(client);
                let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
                let limits = budget.policy().select(|_| true);
                for _ in 0..CALLS {
                    let guard = budget.try_reserve(&scopes, limits, tokens(70), tokens(9)).unwrap();
                    expected.fetch_add(end(guard, &mut dice), Ordering::Relaxed);
                }
            });
        }
    });
    let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
    let standing = budget.store().standings_now(&scopes, budget.policy().select(|_| true))[0];
    assert_eq!((standing.used, standing.held), (expected.into_inner(), 0));
}

/// Ends a reservation in some way; says what that costs.
fn end(mut guard: Reservation<Memory>, dice: &mut Dice) -> u64 {
    match dice.roll(4) {
        0 => {
            drop(guard);
            0
        }
        1 => {
            guard.dispatched();
            drop(guard);
            9
        }
        2 => {
            let used = dice.roll(200);
            drop(guard.settle(tokens(used)));
            used
        }
        _ => {
            drop(guard.void());
            0
        }
    }
}

#[test]
fn one_settlement_of_many_at_once_is_applied_and_the_others_know() {
    let limits = vec![limit("grant", Scope::Org, Resource::Tokens, 1 << 40, Window::Lifetime)];
    let (store, _clock) = store(limits, Switches::default(), Bounds::default());
    let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
    for id in 0..300_u128 {
        reserve(&store, &scopes, id, tokens(10)).unwrap();
        let applied = AtomicU64::new(0);
        thread::scope(|threads| {
            for used in [7, 7, 8] {
                let (store, applied) = (&store, &applied);
                threads.spawn(move || match settle(store, id, tokens(used)) {
                    Outcome::Applied => _ = applied.fetch_add(1, Ordering::Relaxed),
                    Outcome::Replayed | Outcome::Conflict { .. } => {}
                    other => panic!("{other:?}"),
                });
            }
        });
        assert_eq!(applied.into_inner(), 1);
    }
    let standing = store.standings_now(&scopes, all(&store))[0];
    assert!((2_100..=2_400).contains(&standing.used) && standing.held == 0, "{standing:?}");
}

#[test]
fn requests_over_any_set_of_scopes_in_any_order_end_and_leave_nothing_held() {
    let limits = Scope::ALL.map(|scope| limit(scope.name(), scope, Resource::Tokens, 50_000, Window::Lifetime));
    let mut switches = Switches::default();
    switches.on_expiry = OnExpiry::Release;
    let (store, _clock) = store(limits.to_vec(), switches, Bounds::default());
    thread::scope(|threads| {
        for client in 0..8_u64 {
            let store = &store;
            threads.spawn(move || {
                let mut dice = Dice(client);
                for call in 0..3_000_u64 {
                    let id = u128::from(client * 3_000 + call);
                    let scopes = some_scopes(&mut dice);
                    if reserve(store, &scopes, id, tokens(dice.roll(50))).is_ok() {
                        let more = tokens(dice.roll(9));
                        let extend =
                            Extend { id: ReservationId::from_bits(id), more, checkpoint: more, lifetime: HOUR };
                        let _held_or_denied = store.extend_now(&extend);
                        store.standings_now(&some_scopes(&mut dice), all(store));
                        settle(store, id, tokens(dice.roll(3)));
                    }
                }
            });
        }
    });
    for scope in Scope::ALL {
        for name in NAMES {
            let standings = store.standings_now(&Scopes::new().with(Key::new(scope, name)), all(&store));
            assert!(standings.iter().all(|standing| standing.held == 0));
        }
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Some keys, entered in no particular order.
fn some_scopes(dice: &mut Dice) -> Scopes<'static> {
    let mut scopes = Scopes::new();
    for _ in 0..=dice.roll(9) {
        let (scope, name) = (dice.roll(Scope::COUNT as u64), dice.roll(NAMES.len() as u64));
        scopes = scopes.with(Key::new(Scope::ALL[scope as usize], NAMES[name as usize]));
    }
    scopes
}

fn admit(store: &Memory, ip: &str) -> bool {
    let scopes = Scopes::new().with(Key::new(Scope::Ip, ip));
    store.admit_now(&Admit { scopes: &scopes, limits: all(store), requests: 1, report: false }).is_ok()
}

fn per_ip(amount: u64) -> Vec<Limit> {
    vec![limit("rph", Scope::Ip, Resource::Requests, amount, Window::Sliding(HOUR))]
}

#[test]
fn a_flood_of_keys_stays_within_the_bound_and_frees_nobody_who_is_blocked() {
    for amount in [3, 100] {
        let mut bounds = Bounds::default();
        bounds.max_keys = 2_000;
        let (store, _clock) = store(per_ip(amount), Switches::default(), bounds);
        let blocked: Vec<String> = (0..500).map(|i| format!("blocked-{i}")).collect();
        for ip in &blocked {
            assert!((0..amount).all(|_| admit(&store, ip)) && !admit(&store, ip));
        }
        thread::scope(|threads| {
            for part in 0..4 {
                let (store, blocked) = (&store, &blocked);
                threads.spawn(move || {
                    for i in 0..10_000 {
                        admit(store, &format!("flood-{part}-{i}"));
                        assert!(!admit(store, &blocked[i % blocked.len()]));
                    }
                });
            }
        });
        let stats = store.stats();
        // Each thread may be in the middle of making one.
        assert!(stats.keys <= 2_000 + 4 && stats.overflowed > 30_000, "{stats:?}");
        assert!(blocked.iter().all(|ip| !admit(&store, ip)));
    }
}

#[test]
fn keys_beyond_the_bound_are_limited_together_and_not_let_through() {
    let mut bounds = Bounds::default();
    bounds.max_keys = 100;
    let (store, _clock) = store(per_ip(5), Switches::default(), bounds);
    for i in 0..100 {
        assert!(admit(&store, &format!("first-{i}")));
    }
    let let_through = (0..5_000).filter(|i| admit(&store, &format!("then-{i}"))).count();
    assert!(let_through <= 16 * 5, "sixteen shards share five each: {let_through}");
}

#[test]
fn idle_keys_go_by_themselves() {
    let mut bounds = Bounds::default();
    bounds.max_keys = 10_000;
    let (store, clock) = store(per_ip(1_000), Switches::default(), bounds);
    for i in 0..2_000 {
        admit(&store, &format!("once-{i}"));
    }
    assert_eq!(store.stats().keys, 2_000);
    clock.advance(2 * HOUR);
    // Traffic that touches every shard is all it takes.
    for i in 0..150_000 {
        admit(&store, &format!("other-{}", i % 500));
    }
    assert!(store.stats().keys < 600, "{:?}", store.stats());
}

#[test]
fn reservations_stay_within_their_bound() {
    let mut bounds = Bounds::default();
    bounds.max_reservations = 1_000;
    let limits = vec![limit("grant", Scope::Org, Resource::Tokens, 1 << 40, Window::Lifetime)];
    let (store, _clock) = store(limits, Switches::default(), bounds);
    let (held, full) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|threads| {
        for part in 0..4_u128 {
            let (store, held, full) = (&store, &held, &full);
            threads.spawn(move || {
                let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
                for id in 0..1_000 {
                    let (limits, id) = (all(store), ReservationId::from_bits(part * 1_000 + id));
                    let (hold, checkpoint) = (tokens(1), tokens(0));
                    let command =
                        Reserve { id, scopes: &scopes, limits, hold, checkpoint, lifetime: HOUR, report: false };
                    match store.reserve_now(&command) {
                        Ok(Ok(_)) => held.fetch_add(1, Ordering::Relaxed),
                        Err(StoreError::Full) => full.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other:?}"),
                    };
                }
            });
        }
    });
    let (held, full) = (held.into_inner(), full.into_inner());
    assert!(held <= 1_000 + 4 && held + full == 4_000, "{held} held");
    let scopes = Scopes::new().with(Key::new(Scope::Org, "acme"));
    assert_eq!(store.standings_now(&scopes, all(&store))[0].held, held);
    assert_eq!(store.stats().reservations as u64, held);
}
