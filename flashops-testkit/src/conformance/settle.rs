use flashops_core::key::Scope;
use flashops_core::limit::{Resource, Window};
use flashops_core::store::{Refused, Standing};
use flashops_core::units::{Amounts, Cost, MAX_AMOUNT, Tokens};

use super::Harness;
use super::subject::{ANN, LONG, MINUTE, SECOND, Subject, denied, lifetime, limit, per_day, per_minute, tokens};

pub(super) async fn usage_below_the_hold_frees_the_difference_at_once<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve(1, tokens(1_000)).await.expect("there is room");
    denied(at.reserve(2, tokens(1)).await);
    at.settle(1, tokens(400)).await;
    denied(at.reserve(2, tokens(601)).await);
    assert!(at.reserve(2, tokens(600)).await.is_ok());
}

pub(super) async fn usage_above_the_hold_is_debt_in_every_scope<H: Harness>(harness: &H) {
    let minute = Window::Sliding(MINUTE);
    let limits = vec![
        limit("user", Scope::User, Resource::Tokens, 100, minute.clone()),
        limit("small", Scope::User, Resource::OutputTokens, 60, minute.clone()),
        limit("org", Scope::Org, Resource::Tokens, 2_000, Window::Lifetime),
        limit("ip", Scope::Ip, Resource::Tokens, 900, minute),
    ];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(60), tokens(950)).await;
    assert_eq!(at.sums().await, [(950, 0), (950, 0), (950, 0), (950, 0)]);
    let refused = denied(at.reserve(2, tokens(1)).await);
    assert_eq!((refused.asked, refused.remaining), (1, 0));
    assert_eq!(refused.violated, at.store_limits(|limit| limit.name() != "org"));
    at.advance(LONG).await;
    assert!(at.reserve(2, tokens(60)).await.is_ok(), "a sliding window forgets its debt with the usage");
    assert_eq!(at.sums().await[2], (950, 60));
}

pub(super) async fn a_void_gives_everything_back<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("small", Resource::Requests, 5),
        per_minute("large", Resource::Requests, 500),
        per_day("daily", Resource::Requests, 500),
        lifetime("grant", Resource::Tokens, 1_000),
        per_minute("tpm", Resource::Tokens, 1_000),
    ];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(10), tokens(10)).await;
    at.advance(SECOND).await;
    let before = at.sums().await;
    at.reserve(2, tokens(300)).await.expect("there is room");
    at.advance(SECOND).await;
    at.settle(2, Amounts::ZERO).await;
    assert_eq!(at.sums().await, before);
}

pub(super) async fn no_refund_lifts_a_limit_above_its_amount<H: Harness>(harness: &H) {
    let limits = vec![per_minute("rpm", Resource::Requests, 2), lifetime("grant", Resource::Tokens, 100)];
    let at = Subject::new(harness, limits).await;
    for id in 0..5 {
        at.spend(id, tokens(100), Amounts::ZERO).await;
        at.settle(id, Amounts::ZERO).await;
    }
    let remaining: Vec<u64> = at.standings().await.iter().map(Standing::remaining).collect();
    assert_eq!(remaining, [2, 100]);
    denied(at.reserve(9, tokens(101)).await);
    assert!(at.reserve(9, tokens(100)).await.is_ok());
    denied(at.reserve(10, tokens(1)).await);
}

pub(super) async fn usage_is_stamped_when_it_is_settled<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.reserve(1, tokens(1_000)).await.expect("there is room");
    at.advance(SECOND * 50).await;
    at.settle(1, tokens(1_000)).await;
    at.advance(SECOND * 59).await;
    assert_eq!(at.sum().await, (1_000, 0), "a minute after it was reserved, not after it was used");
    at.advance(SECOND * 4).await;
    assert_eq!(at.sum().await, (0, 0));
}

pub(super) async fn a_void_after_the_window_has_passed_frees_nothing_else<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("small", Resource::Requests, 2),
        limit("large", Scope::Org, Resource::Requests, 100, Window::Sliding(MINUTE)),
        limit("many", Scope::Ip, Resource::Requests, 70, Window::Sliding(MINUTE)),
    ];
    let at = Subject::new(harness, limits).await;
    at.reserve(1, tokens(1)).await.expect("there is room");
    at.advance(MINUTE * 2).await;
    at.admit(2).await.expect("there is room");
    at.settle(1, Amounts::ZERO).await;
    assert_eq!(at.sums().await, [(2, 0), (2, 0), (2, 0)]);
    assert!(matches!(at.reserve(2, tokens(1)).await, Err(Refused::Denied(_))));
}

pub(super) async fn amounts_as_large_as_they_can_be_stop_at_the_bound<H: Harness>(harness: &H) {
    let limits = vec![
        lifetime("tokens", Resource::Tokens, MAX_AMOUNT),
        lifetime("cost", Resource::Cost, MAX_AMOUNT),
        per_minute("tpm", Resource::Tokens, MAX_AMOUNT),
    ];
    let at = Subject::new(harness, limits).await;
    let (most, money) = (Tokens::saturating(MAX_AMOUNT), Cost::saturating(MAX_AMOUNT));
    let all = Amounts { requests: 1, input: most, output: most, cost: money };
    at.reserve(1, all).await.expect("exactly the amount fits");
    denied(at.reserve(2, tokens(1)).await);
    at.settle(1, all).await;
    assert_eq!(at.sums().await, [(MAX_AMOUNT, 0); 3]);
    for id in 3..9 {
        denied(at.reserve(id, tokens(1)).await);
    }
    assert!(at.reserve_for(&[(ANN[0].0, "bob")], 9, all).await.is_ok());
}
