use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Mode, Resource, Retry, Switches, Window};
use flashops_core::store::{Bounds, Refused, Standing, StoreError};
use flashops_core::units::{Amounts, Cost, Tokens};

use super::Harness;
use super::subject::{ANN, HOUR, LONG, MINUTE, Subject, denied, lifetime, limit, per_day, per_minute, tokens};

pub(super) async fn a_limit_of_zero_admits_nothing<H: Harness>(harness: &H) {
    let zero = [
        per_minute("requests", Resource::Requests, 0),
        per_minute("tokens", Resource::Tokens, 0),
        per_day("cost", Resource::Cost, 0),
        lifetime("output", Resource::OutputTokens, 0),
        Limit::concurrency("streams", Scope::User, 0).expect("valid"),
    ];
    let asked = Amounts { cost: Cost::saturating(1), ..tokens(1) };
    for limit in zero {
        let at = Subject::new(harness, vec![limit]).await;
        let refused = denied(at.reserve(1, asked).await);
        assert_eq!((refused.asked, refused.remaining, refused.retry), (1, 0, Retry::Never));
        assert_eq!(at.sum().await, (0, 0));
    }
    let at = Subject::new(harness, vec![per_minute("requests", Resource::Requests, 0)]).await;
    assert_eq!(at.admit(1).await.expect_err("zero").retry, Retry::Never);
}

pub(super) async fn what_is_not_asked_for_is_not_refused_even_in_debt<H: Harness>(harness: &H) {
    let limits = vec![lifetime("grant", Resource::OutputTokens, 100), lifetime("free", Resource::Cost, 0)];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(10), tokens(500)).await;
    let input = Amounts { input: Tokens::saturating(70), ..Amounts::ONE_REQUEST };
    assert!(at.reserve(2, input).await.is_ok());
    denied(at.reserve(3, tokens(1)).await);
}

pub(super) async fn limits_that_do_not_enforce_never_refuse_and_are_counted<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("small", Resource::Requests, 2).with_mode(Mode::Warn),
        per_minute("large", Resource::Tokens, 100).with_mode(Mode::Shadow),
        lifetime("grant", Resource::Tokens, 0).with_mode(Mode::Warn),
        Limit::concurrency("streams", Scope::User, 1).expect("valid").with_mode(Mode::Shadow),
    ];
    let at = Subject::new(harness, limits).await;
    for id in 0..5 {
        at.reserve(id, tokens(40)).await.expect("nothing enforces");
    }
    assert_eq!(at.sums().await, [(5, 0), (0, 200), (0, 200), (0, 5)]);
    at.settle(0, tokens(90)).await;
    at.settle(1, Amounts::ZERO).await;
    assert_eq!(at.sums().await, [(4, 0), (90, 120), (90, 120), (0, 3)]);
    let shown: Vec<u64> = at.standings().await.iter().map(Standing::remaining).collect();
    assert_eq!(shown, [0, 0, 0, 0]);
}

pub(super) async fn what_an_enforced_limit_refuses_counts_nowhere<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("watched", Resource::Requests, 2).with_mode(Mode::Warn),
        limit("enforced", Scope::Org, Resource::Tokens, 100, Window::Lifetime),
    ];
    let at = Subject::new(harness, limits).await;
    for id in 0..5 {
        let refused = denied(at.reserve(id, tokens(101)).await);
        assert_eq!(refused.violated, at.named("enforced"));
    }
    assert_eq!(at.sums().await, [(0, 0), (0, 0)]);
}

pub(super) async fn every_resource_counts_its_own<H: Harness>(harness: &H) {
    let mut limits: Vec<Limit> = Resource::ALL
        .into_iter()
        .filter(|resource| *resource != Resource::Concurrency)
        .map(|resource| lifetime(resource.name(), resource, 1_000))
        .collect();
    limits.push(Limit::concurrency("concurrency", Scope::User, 1_000).expect("valid"));
    let at = Subject::new(harness, limits).await;
    let amounts = |input, output, cost| Amounts {
        requests: 1,
        input: Tokens::saturating(input),
        output: Tokens::saturating(output),
        cost: Cost::saturating(cost),
    };
    at.reserve(1, amounts(30, 4, 500)).await.expect("there is room");
    assert_eq!(at.sums().await, [(1, 0), (0, 34), (0, 30), (0, 4), (0, 500), (0, 1)]);
    at.settle(1, amounts(20, 3, 400)).await;
    assert_eq!(at.sums().await, [(1, 0), (23, 0), (20, 0), (3, 0), (400, 0), (0, 0)]);
}

pub(super) async fn concurrency_is_held_and_released_on_every_ending<H: Harness>(harness: &H) {
    let limits = vec![Limit::concurrency("streams", Scope::User, 2).expect("valid")];
    let at = Subject::new(harness, limits).await;
    at.reserve_until(1, tokens(1), tokens(1), MINUTE).await;
    at.reserve(2, tokens(1)).await.expect("there is room");
    let refused = denied(at.reserve(3, tokens(1)).await);
    assert_eq!((refused.asked, refused.remaining, refused.retry), (1, 0, Retry::WHILE_HELD));
    at.settle(2, tokens(500)).await;
    at.settle(2, tokens(500)).await;
    assert_eq!(at.sum().await, (0, 1), "a settlement releases one, and once");
    at.reserve(4, tokens(1)).await.expect("there is room");
    at.settle(4, Amounts::ZERO).await;
    assert_eq!(at.sum().await, (0, 1), "so does a void");
    at.advance(MINUTE).await;
    assert_eq!(at.sum().await, (0, 0), "so does the deadline");
    at.settle(1, tokens(1)).await;
    assert_eq!(at.sum().await, (0, 0), "and a late settlement releases nothing more");
}

pub(super) async fn a_lifetime_never_gives_room_again<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 100)]).await;
    at.spend(1, tokens(100), tokens(100)).await;
    at.advance(400 * LONG).await;
    denied(at.reserve(2, tokens(1)).await);
    let standing = at.standings().await[0];
    assert_eq!((standing.used, standing.reset), (100, None));
}

pub(super) async fn several_windows_count_on_one_scope<H: Harness>(harness: &H) {
    for factor in [1, 100] {
        let requests = |name, amount, window| limit(name, Scope::User, Resource::Requests, amount * factor, window);
        let limits = vec![requests("minute", 5, Window::Sliding(MINUTE)), requests("hour", 8, Window::Sliding(HOUR))];
        let at = Subject::new(harness, limits).await;
        at.admit(5 * factor).await.expect("there is room");
        assert!(at.admit(1).await.is_err());
        at.advance(2 * MINUTE).await;
        at.admit(3 * factor).await.expect("there is room");
        let refused = at.admit(1).await.expect_err("the hour is full, the minute is not");
        assert_eq!(refused.violated, at.named("hour"));
        at.advance(HOUR).await;
        assert!(at.admit(5 * factor).await.is_ok());
    }
}

pub(super) async fn a_full_store_says_so_and_holds_nothing<H: Harness>(harness: &H) {
    if !harness.bounds_reservations() {
        return;
    }
    let limits = vec![per_minute("tpm", Resource::Tokens, 1_000)];
    let mut bounds = Bounds::default();
    bounds.max_reservations = 3;
    let at = Subject::bounded(harness, limits, Switches::default(), bounds).await;
    for id in 0..3 {
        at.reserve(id, tokens(10)).await.expect("there is room");
    }
    let full = at.try_reserve(ANN, at.all(), 9, tokens(10), tokens(0), HOUR).await;
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(at.sum().await, (0, 30));
    assert!(at.reserve(1, tokens(10)).await.is_ok_and(|again| again.replayed), "what is held is still known");
    at.settle(2, tokens(5)).await;
    at.reserve(9, tokens(10)).await.expect("there is room again");
    assert_eq!(at.reserve(2, tokens(1)).await.err(), Some(Refused::AlreadySettled));
}
