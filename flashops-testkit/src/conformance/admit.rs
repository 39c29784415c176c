use flashops_core::key::Scope;
use flashops_core::limit::{Algorithm, Limit, Resource, Retry, Switches, Window};
use flashops_core::store::Bounds;

use super::Harness;
use super::subject::{MINUTE, SECOND, Subject, lifetime, limit, per_day, per_minute, tokens};

/// Limits on requests of every kind, each with room for so many.
fn kinds(amount: u64) -> Vec<Limit> {
    let sliding = || per_minute("rpm", Resource::Requests, amount);
    vec![
        sliding(),
        sliding().with_algorithm(Algorithm::Approximate).expect("it slides"),
        sliding().with_algorithm(Algorithm::Gcra).expect("it slides"),
        sliding().with_thresholds([10_000]).expect("valid"),
        per_day("rpd", Resource::Requests, amount),
        lifetime("ever", Resource::Requests, amount),
    ]
}

fn every_kind() -> impl Iterator<Item = (u64, Limit)> {
    [3, 64, 65, 300].into_iter().flat_map(|amount| kinds(amount).into_iter().map(move |limit| (amount, limit)))
}

pub(super) async fn requests_are_counted_until_there_is_no_room<H: Harness>(harness: &H) {
    for (amount, limit) in every_kind() {
        let at = Subject::new(harness, vec![limit]).await;
        for used in 1..=amount {
            let admitted = at.admit(1).await.expect("there is room");
            assert_eq!(admitted.standings[0].used, used);
        }
        let before = at.standings().await;
        for _ in 0..3 {
            let refused = at.admit(1).await.expect_err("there is no room");
            assert_eq!((refused.asked, refused.remaining, refused.violated), (1, 0, at.all()));
        }
        assert_eq!(at.standings().await, before);
    }
}

pub(super) async fn several_requests_are_admitted_together_or_not_at_all<H: Harness>(harness: &H) {
    for (amount, limit) in every_kind() {
        let at = Subject::new(harness, vec![limit]).await;
        assert_eq!(at.admit(amount + 1).await.expect_err("too many").retry, Retry::Never);
        at.admit(amount - 1).await.expect("there is room");
        let refused = at.admit(2).await.expect_err("one is left");
        assert_eq!((refused.asked, refused.remaining), (2, 1));
        at.admit(1).await.expect("one is left");
    }
}

pub(super) async fn other_resources_are_passed_over<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("rpm", Resource::Requests, 10),
        per_minute("tpm", Resource::Tokens, 0),
        Limit::concurrency("streams", Scope::User, 0).expect("valid"),
    ];
    let at = Subject::new(harness, limits).await;
    let admitted = at.admit(1).await.expect("only requests are asked for");
    assert_eq!(admitted.standings.len(), 1);
    assert_eq!(at.sums().await, [(1, 0), (0, 0), (0, 0)]);
}

pub(super) async fn a_request_that_is_given_back_makes_room<H: Harness>(harness: &H) {
    for (amount, limit) in every_kind() {
        let at = Subject::new(harness, vec![limit]).await;
        let first = at.admit(1).await.expect("there is room");
        at.admit(amount - 1).await.expect("there is room");
        assert!(at.admit(1).await.is_err());
        at.give_back(1, first.receipt);
        at.admit(1).await.expect("one was given back");
        assert!(at.admit(1).await.is_err());
    }
}

pub(super) async fn a_request_is_given_back_in_its_own_window_only<H: Harness>(harness: &H) {
    let sliding = |amount| limit("rpm", Scope::User, Resource::Requests, amount, Window::Sliding(MINUTE));
    let late = [SECOND * 63, SECOND * 119, SECOND * 121, SECOND * 600, SECOND * 86_400];
    for (amount, limit) in [(3, sliding(3)), (300, sliding(300)), (300, per_day("rpd", Resource::Requests, 300))] {
        let sliding = matches!(limit.window(), Some(Window::Sliding(_)));
        for wait in late.into_iter().filter(|wait| sliding || *wait >= SECOND * 86_400) {
            let at = Subject::new(harness, vec![limit.clone()]).await;
            let first = at.admit(1).await.expect("there is room");
            at.advance(wait).await;
            at.admit(amount).await.expect("a later window has all its room");
            at.give_back(1, first.receipt);
            assert_eq!(at.sum().await.0, amount, "after {wait:?}");
            assert!(at.admit(1).await.is_err());
        }
    }
}

pub(super) async fn requests_of_both_commands_count_together<H: Harness>(harness: &H) {
    for (amount, limit) in every_kind() {
        let at = Subject::new(harness, vec![limit]).await;
        at.admit(amount - 1).await.expect("there is room");
        at.reserve(1, tokens(5)).await.expect("there is room");
        assert!(at.admit(1).await.is_err());
        assert!(at.reserve(2, tokens(5)).await.is_err());
        assert_eq!(at.sum().await.0, amount);
    }
}

pub(super) async fn a_flood_of_new_keys_frees_nobody_who_is_blocked<H: Harness>(harness: &H) {
    for amount in [3, 100] {
        let mut bounds = Bounds::default();
        bounds.max_keys = 50;
        let limits = vec![per_minute("rpm", Resource::Requests, amount), per_minute("tpm", Resource::Tokens, 100)];
        let at = Subject::bounded(harness, limits, Switches::default(), bounds).await;
        at.admit(amount).await.expect("there is room");
        for i in 0..500 {
            let user = format!("flood-{i}");
            let _some_fit = at.admit_for(&[(Scope::User, &user)], 1).await;
            assert!(at.admit(1).await.is_err(), "after {i} other keys");
        }
    }
}
