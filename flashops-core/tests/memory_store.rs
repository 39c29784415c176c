//! What the store in memory promises beyond the conformance suite: its bounds, its laziness, and odd histories.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use flashops_core::budget::{Budget, RateLimiter};
use flashops_core::clock::ManualClock;
use flashops_core::key::{Key, Scope, Scopes};
use flashops_core::limit::{Limit, LimitSet, Mode, OnExpiry, Policy, Resource, Retry, Switches, Window};
use flashops_core::store::{
    Admit, Admitted, Bounds, Extend, Extended, GiveBack, MemoryStore, Outcome, Refused, ReservationId, Reserve,
    Reserved, Settle, Settled, Standing, StoreError,
};
use flashops_core::units::{Amounts, Tokens};
use flashops_core::window::{Calendar, CalendarUnit};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn limit(name: &str, resource: Resource, amount: u64, window: Window) -> Limit {
    Limit::new(name, Scope::User, resource, amount, window).unwrap()
}

fn sliding(name: &str, resource: Resource, amount: u64) -> Limit {
    limit(name, resource, amount, Window::Sliding(MINUTE))
}

fn tokens(n: u64) -> Amounts {
    Amounts { output: Tokens::saturating(n), ..Amounts::ONE_REQUEST }
}

/// A store, its clock, and commands with everything but what a test is about filled in.
struct Fixture {
    store: MemoryStore<ManualClock>,
    clock: ManualClock,
}

impl Fixture {
    fn new(limits: Vec<Limit>) -> Self {
        Self::with(limits, Switches::default(), Bounds::default())
    }

    fn with(limits: Vec<Limit>, switches: Switches, bounds: Bounds) -> Self {
        let clock = ManualClock::new();
        let policy = Policy::new(limits).unwrap().with_switches(switches);
        Self { store: MemoryStore::with_bounds(Arc::new(policy), clock.clone(), bounds), clock }
    }

    fn all(&self) -> LimitSet {
        use flashops_core::store::Store;
        self.store.policy().select(|_| true)
    }

    fn admit(&self, user: &str, requests: u64) -> Result<Admitted, flashops_core::limit::Denied> {
        let scopes = user_scope(user);
        self.store.admit_now(&Admit { scopes: &scopes, limits: self.all(), requests, report: true })
    }

    fn give_back(&self, user: &str, admitted: &Admitted) {
        use flashops_core::store::Store;
        let scopes = user_scope(user);
        let receipt = admitted.receipt;
        self.store.give_back(&GiveBack { scopes: &scopes, limits: self.all(), requests: 1, receipt });
    }

    fn reserve_for(
        &self,
        user: &str,
        id: u128,
        hold: Amounts,
        checkpoint: Amounts,
        lifetime: Duration,
    ) -> Result<Result<Reserved, Refused>, StoreError> {
        let (scopes, id) = (user_scope(user), ReservationId::from_bits(id));
        let limits = self.all();
        self.store.reserve_now(&Reserve { id, scopes: &scopes, limits, hold, checkpoint, lifetime, report: true })
    }

    fn reserve(&self, id: u128, hold: Amounts) -> Result<Reserved, Refused> {
        self.reserve_for("ann", id, hold, hold, HOUR).unwrap()
    }

    fn settle(&self, id: u128, used: Amounts) -> Settled {
        self.store.settle_now(&Settle { id: ReservationId::from_bits(id), used })
    }

    fn extend(&self, id: u128, more: Amounts, lifetime: Duration) -> Extended {
        self.store.extend_now(&Extend { id: ReservationId::from_bits(id), more, checkpoint: Amounts::ZERO, lifetime })
    }

    fn standing(&self, user: &str) -> Standing {
        self.store.standings_now(&user_scope(user), self.all())[0]
    }
}

fn user_scope(user: &str) -> Scopes<'_> {
    Scopes::new().with(Key::new(Scope::User, user))
}

fn retry(answer: Result<Reserved, Refused>) -> Retry {
    match answer {
        Err(Refused::Denied(denied)) => denied.retry,
        other => panic!("not denied: {other:?}"),
    }
}

#[test]
fn a_small_limit_that_does_not_enforce_shows_how_far_it_was_exceeded() {
    for mode in [Mode::Warn, Mode::Shadow] {
        let at = Fixture::new(vec![sliding("rpm", Resource::Requests, 5).with_mode(mode)]);
        for _ in 0..12 {
            at.admit("ann", 1).unwrap();
        }
        assert_eq!(at.standing("ann").used, 12, "{mode:?}");
    }
}

#[test]
fn a_threshold_above_a_small_limit_fires() {
    let limit = sliding("rpm", Resource::Requests, 5).with_mode(Mode::Warn).with_thresholds([2_000]).unwrap();
    let at = Fixture::new(vec![limit]);
    let fired: Vec<_> = (0..12).map(|_| at.admit("ann", 1).unwrap().crossings.len()).collect();
    assert_eq!(fired, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn debt_beyond_a_small_limit_is_kept_when_a_later_charge_is_refunded() {
    let mut switches = Switches::default();
    switches.on_expiry = OnExpiry::Full;
    let at = Fixture::with(vec![sliding("tpm", Resource::Tokens, 50)], switches, Bounds::default());
    at.reserve_for("ann", 1, tokens(20), tokens(20), Duration::from_secs(10)).unwrap().unwrap();
    at.reserve(2, tokens(30)).unwrap();
    at.settle(2, tokens(40));
    at.clock.advance(Duration::from_secs(10));
    assert_eq!(at.standing("ann").used, 60, "40 settled and 20 charged by expiry");
    assert_eq!(at.settle(1, tokens(5)).outcome, Outcome::Late);
    assert_eq!(at.standing("ann").used, 45);
}

#[test]
fn a_request_given_back_long_after_its_window_frees_nothing_in_a_later_one() {
    let second = Window::Sliding(Duration::from_secs(1));
    let at = Fixture::new(vec![limit("rps", Resource::Requests, 2, second)]);
    let first = at.admit("ann", 1).unwrap();
    // Logs keep instants in 32 bits; this is the distance at which they repeat.
    at.clock.advance(Duration::from_nanos(1 << 32));
    at.admit("ann", 2).unwrap();
    at.give_back("ann", &first);
    assert!(at.admit("ann", 1).is_err());
}

#[test]
fn a_spent_lifetime_budget_is_never_also_while_others_hold_more() {
    let at = Fixture::new(vec![limit("grant", Resource::Tokens, 100, Window::Lifetime)]);
    at.reserve(1, tokens(40)).unwrap();
    at.reserve(2, tokens(60)).unwrap();
    at.settle(1, tokens(70));
    assert_eq!(retry(at.reserve(3, tokens(50))), Retry::Never);
}

#[test]
fn a_lifetime_budget_that_is_only_held_is_not_spent() {
    let at = Fixture::new(vec![limit("grant", Resource::Tokens, 100, Window::Lifetime)]);
    at.reserve(1, tokens(50)).unwrap();
    at.settle(1, tokens(50));
    at.reserve(2, tokens(40)).unwrap();
    assert_eq!(retry(at.reserve(3, tokens(20))), Retry::WHILE_HELD);
    at.settle(2, tokens(5));
    assert!(at.reserve(3, tokens(20)).is_ok());
}

#[test]
fn usage_that_blocks_longer_than_the_holds_beside_it_decides_the_wait() {
    let at = Fixture::new(vec![sliding("tpm", Resource::Tokens, 100)]);
    at.reserve(1, tokens(40)).unwrap();
    at.reserve(2, tokens(60)).unwrap();
    at.settle(1, tokens(90));
    let Retry::After(wait) = retry(at.reserve(3, tokens(50))) else { panic!("time helps") };
    assert!(wait >= MINUTE, "{wait:?}");
}

#[test]
fn a_threshold_that_a_reserved_request_reaches_is_told_when_it_settles() {
    let limit = sliding("rpm", Resource::Requests, 2).with_thresholds([1_000]).unwrap();
    let at = Fixture::new(vec![limit]);
    at.reserve(1, Amounts::ONE_REQUEST).unwrap();
    at.reserve(2, Amounts::ONE_REQUEST).unwrap();
    assert_eq!(at.settle(1, Amounts::ONE_REQUEST).crossings.len(), 1);
    assert_eq!(at.settle(2, Amounts::ONE_REQUEST).crossings.len(), 0);
}

#[test]
fn a_threshold_that_an_expired_hold_reaches_is_told_at_the_next_settlement() {
    let limit = limit("grant", Resource::Tokens, 100, Window::Lifetime).with_thresholds([500]).unwrap();
    let at = Fixture::new(vec![limit]);
    at.reserve_for("ann", 1, tokens(60), tokens(60), MINUTE).unwrap().unwrap();
    at.reserve(2, tokens(10)).unwrap();
    at.clock.advance(MINUTE);
    assert_eq!(at.standing("ann").used, 60);
    assert_eq!(at.settle(2, tokens(1)).crossings.len(), 1);
}

#[test]
fn a_sliding_threshold_fires_again_after_a_quiet_time_in_which_nobody_looked() {
    let limit = sliding("tpm", Resource::Tokens, 100).with_thresholds([1_000]).unwrap();
    let at = Fixture::new(vec![limit]);
    at.reserve(1, tokens(50)).unwrap();
    at.reserve(2, tokens(50)).unwrap();
    assert_eq!(at.settle(1, tokens(100)).crossings.len(), 1);
    at.clock.advance(3 * MINUTE);
    assert_eq!(at.settle(2, tokens(100)).crossings.len(), 1);
}

#[test]
fn a_limit_of_zero_reaches_no_threshold_before_anything_is_used() {
    let limit = sliding("tpm", Resource::Tokens, 0).with_mode(Mode::Shadow).with_thresholds([800]).unwrap();
    let at = Fixture::new(vec![limit]);
    at.reserve(1, tokens(9)).unwrap();
    at.reserve(2, tokens(9)).unwrap();
    assert_eq!(at.settle(1, Amounts::ONE_REQUEST).crossings.len(), 0);
    assert_eq!(at.settle(2, tokens(1)).crossings.len(), 1);
}

#[test]
fn a_key_whose_threshold_fired_goes_when_its_period_has_passed() {
    let days = Window::Calendar(Calendar::new(CalendarUnit::Day, "UTC", None).unwrap());
    let limit = limit("daily", Resource::Requests, 1, days).with_thresholds([1_000]).unwrap();
    let mut bounds = Bounds::default();
    bounds.max_keys = 1_000;
    let at = Fixture::with(vec![limit], Switches::default(), bounds);
    for day in 0..5 {
        for i in 0..500 {
            assert_eq!(at.admit(&format!("{day}-{i}"), 1).unwrap().crossings.len(), 1);
        }
        at.clock.advance(Duration::from_secs(86_400));
    }
    assert_eq!(at.store.stats().overflowed, 0);
}

#[test]
fn a_lifetime_threshold_fires_once_even_if_all_was_refunded_and_the_key_went() {
    let limit = limit("grant", Resource::Tokens, 100, Window::Lifetime).with_thresholds([500]).unwrap();
    let mut switches = Switches::default();
    switches.on_expiry = OnExpiry::Full;
    let at = Fixture::with(vec![limit], switches, Bounds::default());
    at.reserve_for("ann", 1, tokens(60), tokens(60), MINUTE).unwrap().unwrap();
    at.reserve(2, tokens(10)).unwrap();
    at.clock.advance(MINUTE);
    assert_eq!(at.standing("ann").used, 60);
    assert_eq!(at.settle(2, tokens(0)).crossings.len(), 1);
    assert_eq!(at.settle(1, Amounts::ONE_REQUEST).outcome, Outcome::Late);
    assert_eq!(at.standing("ann").used, 0);
    for _ in 0..2_000 {
        at.standing("ann");
    }
    at.reserve(3, tokens(60)).unwrap();
    assert_eq!(at.settle(3, tokens(60)).crossings.len(), 0);
}

#[test]
fn a_late_void_gives_the_request_back_whatever_the_checkpoint_was() {
    let at = Fixture::new(vec![sliding("rpm", Resource::Requests, 100)]);
    at.reserve_for("ann", 1, tokens(5), Amounts::ZERO, Duration::from_secs(5)).unwrap().unwrap();
    at.clock.advance(Duration::from_secs(5));
    assert_eq!(at.standing("ann").used, 1);
    assert_eq!(at.settle(1, Amounts::ZERO).outcome, Outcome::Late);
    assert_eq!(at.standing("ann").used, 0);
}

#[test]
fn a_store_full_of_expired_holds_makes_room() {
    let mut bounds = Bounds::default();
    bounds.max_reservations = 3;
    let mut switches = Switches::default();
    switches.max_lifetime = MINUTE;
    let at = Fixture::with(vec![limit("grant", Resource::Tokens, 100, Window::Lifetime)], switches, bounds);
    for id in 0..3 {
        at.reserve_for("ann", id, tokens(1), tokens(0), MINUTE).unwrap().unwrap();
    }
    let full = at.reserve_for("ann", 9, tokens(1), tokens(0), MINUTE);
    assert!(matches!(full, Err(StoreError::Full)));
    at.clock.advance(MINUTE);
    let _still_full = at.reserve_for("ann", 9, tokens(1), tokens(0), MINUTE);
    at.clock.advance(MINUTE);
    assert!(at.reserve_for("ann", 9, tokens(1), tokens(0), MINUTE).is_ok(), "the three are forgotten");
}

#[test]
fn a_hold_whose_lifetime_was_shortened_expires_then() {
    let at = Fixture::new(vec![sliding("tpm", Resource::Tokens, 100)]);
    at.reserve_for("ann", 1, tokens(100), tokens(0), HOUR).unwrap().unwrap();
    assert_eq!(at.extend(1, Amounts::ZERO, MINUTE), Extended::Held);
    at.clock.advance(MINUTE);
    assert_eq!(at.standing("ann").held, 0);
    assert!(at.reserve(2, tokens(100)).is_ok());
}

#[test]
fn a_top_up_that_only_expired_holds_stand_against_is_held() {
    let at = Fixture::new(vec![sliding("tpm", Resource::Tokens, 100)]);
    at.reserve_for("ann", 1, tokens(90), tokens(0), MINUTE).unwrap().unwrap();
    at.reserve(2, tokens(10)).unwrap();
    at.clock.advance(MINUTE);
    assert_eq!(at.extend(2, tokens(50), HOUR), Extended::Held);
}

#[test]
fn a_top_up_into_the_shared_account_is_released_there() {
    let mut bounds = Bounds::default();
    bounds.max_keys = 16;
    let at = Fixture::with(vec![sliding("tpm", Resource::Tokens, 1_000)], Switches::default(), bounds);
    // It holds nothing yet, so that its account can go while the reservation lives.
    at.reserve(1, Amounts::ONE_REQUEST).unwrap();
    for user in 0..2_000 {
        let _some_fit = at.reserve_for(&format!("u{user}"), 1_000 + user, tokens(1), tokens(0), HOUR);
    }
    assert_eq!(at.extend(1, tokens(500), HOUR), Extended::Held);
    at.settle(1, Amounts::ONE_REQUEST);
    // Whoever comes now takes the place that became free; whoever comes then shares.
    for user in 0..200 {
        at.reserve_for(&format!("t{user}"), 8_000 + user, tokens(1), tokens(0), HOUR).unwrap().unwrap();
    }
    for user in 0..200 {
        let fits = at.reserve_for(&format!("v{user}"), 9_000 + user, tokens(700), tokens(0), HOUR).unwrap();
        assert!(fits.is_ok(), "v{user}: {fits:?}");
        at.settle(9_000 + user, Amounts::ONE_REQUEST);
    }
}

#[test]
fn a_dispatched_guard_that_is_dropped_keeps_its_request_also_with_an_empty_checkpoint() {
    let policy = Policy::new(vec![sliding("rpm", Resource::Requests, 100)]).unwrap();
    let budget = Budget::in_memory(policy, ManualClock::new());
    let scopes = user_scope("ann");
    let all = budget.policy().select(|_| true);
    let mut guard = budget.try_reserve(&scopes, all, Amounts::ONE_REQUEST, Amounts::ZERO).unwrap();
    guard.dispatched();
    drop(guard);
    assert_eq!(budget.store().standings_now(&scopes, all)[0].used, 1);
    drop(budget.try_reserve(&scopes, all, Amounts::ONE_REQUEST, Amounts::ZERO).unwrap());
    assert_eq!(budget.store().standings_now(&scopes, all)[0].used, 1);
}

#[test]
fn a_refusal_that_is_repeated_knows_of_what_was_admitted_since() {
    let at = Fixture::new(vec![sliding("rpm", Resource::Requests, 10)]);
    at.admit("ann", 4).unwrap();
    at.clock.advance(Duration::from_secs(30));
    at.admit("ann", 4).unwrap();
    let first = at.admit("ann", 5).unwrap_err();
    assert_eq!((first.remaining, first.retry), (2, Retry::After(Duration::from_secs(30))));
    at.clock.advance(Duration::from_secs(1));
    at.admit("ann", 2).unwrap();
    let again = at.admit("ann", 5).unwrap_err();
    assert_eq!((again.remaining, again.retry), (0, Retry::After(Duration::from_secs(59))));
}

#[test]
fn a_key_that_shares_an_account_sees_how_that_one_stands() {
    let mut bounds = Bounds::default();
    bounds.max_keys = 16;
    let at = Fixture::with(vec![sliding("rpm", Resource::Requests, 3)], Switches::default(), bounds);
    let refused = (0..500).map(|i| format!("u{i}")).find(|user| at.admit(user, 1).is_err()).unwrap();
    let standing = at.standing(&refused);
    assert_eq!((standing.used, standing.remaining()), (3, 0));
}

#[test]
fn the_shortest_way_to_check_one_key_decides_like_any_other() {
    let requests = |name: &str, amount| sliding(name, Resource::Requests, amount);
    let hour = |amount| limit("rph", Resource::Requests, amount, Window::Sliding(HOUR));
    let watched = requests("watched", 3).with_mode(Mode::Warn).with_thresholds([500]).unwrap();
    for limits in [
        vec![requests("rpm", 5), hour(20)],
        vec![requests("rpm", 70), hour(200)],
        vec![requests("rpm", 6), watched, sliding("tpm", Resource::Tokens, 0)],
    ] {
        let mut bounds = Bounds::default();
        bounds.max_keys = 40;
        let (way, other) = (
            Fixture::with(limits.clone(), Switches::default(), bounds),
            Fixture::with(limits, Switches::default(), bounds),
        );
        let limiter = RateLimiter::with_store(Arc::new(way.store));
        let mut refused = 0;
        for i in 0..6_000_u64 {
            let user = (i * i % 61).to_string();
            let (checked, admitted) = (limiter.check(Key::new(Scope::User, &user)), other.admit(&user, 1));
            assert_eq!(checked.err(), admitted.as_ref().err().copied(), "the {i}th");
            refused += u64::from(admitted.is_err());
            let wait = Duration::from_millis(i * 7 % 40);
            way.clock.advance(wait);
            other.clock.advance(wait);
        }
        assert!(refused > 100 && refused < 5_900, "{refused} were refused");
    }
}
