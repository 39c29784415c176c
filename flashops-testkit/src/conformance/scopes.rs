use flashops_core::key::Scope;
use flashops_core::limit::{Resource, Window};
use flashops_core::store::Standing;

use super::Harness;
use super::subject::{ANN, HOUR, MINUTE, Subject, denied, limit, per_minute, tokens};

const ALL: [(Scope, &str); Scope::COUNT] = [
    (Scope::User, "ann"),
    (Scope::Org, "acme"),
    (Scope::Ip, "192.0.2.7"),
    (Scope::Route, "/v1/chat"),
    (Scope::Model, "m"),
    (Scope::Provider, "p"),
    (Scope::Global, ""),
];

pub(super) async fn a_request_is_held_in_all_its_scopes_or_in_none<H: Harness>(harness: &H) {
    for narrow in Scope::ALL {
        let amount = |scope| if scope == narrow { 100 } else { 1_000 };
        let limits = Scope::ALL
            .map(|scope| limit(scope.name(), scope, Resource::Tokens, amount(scope), Window::Sliding(MINUTE)));
        let at = Subject::new(harness, limits.to_vec()).await;
        at.reserve_for(&ALL, 1, tokens(60)).await.expect("there is room");
        let refused = denied(at.reserve_for(&ALL, 2, tokens(60)).await);
        assert_eq!(at.store_limit(refused.limit), narrow.name());
        assert_eq!(refused.violated, at.named(narrow.name()));
        let held: Vec<u64> = at.standings_of(&ALL).await.iter().map(|standing| standing.held).collect();
        assert_eq!(held, [60; Scope::COUNT], "{narrow} refused");
    }
}

pub(super) async fn a_refused_request_leaves_every_standing_as_it_was<H: Harness>(harness: &H) {
    let minute = || Window::Sliding(MINUTE);
    let limits = vec![
        limit("user", Scope::User, Resource::Requests, 50, minute()),
        limit("user-tokens", Scope::User, Resource::Tokens, 5_000, minute()),
        limit("org", Scope::Org, Resource::Requests, 500, minute()),
        limit("ip", Scope::Ip, Resource::Tokens, 100, minute()),
    ];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(40), tokens(70)).await;
    at.reserve(2, tokens(20)).await.expect("there is room");
    let before: Vec<Standing> = at.standings().await;
    for (id, asked) in (3..40).zip(11..) {
        denied(at.reserve(id, tokens(asked)).await);
        assert_eq!(at.standings().await, before);
    }
    assert!(at.reserve(40, tokens(10)).await.is_ok(), "what is left is what was left before");
}

pub(super) async fn keys_do_not_share_accounts<H: Harness>(harness: &H) {
    let minute = || Window::Sliding(MINUTE);
    let limits = vec![
        limit("user", Scope::User, Resource::Tokens, 100, minute()),
        limit("org", Scope::Org, Resource::Tokens, 100, minute()),
    ];
    let at = Subject::new(harness, limits).await;
    at.reserve_for(&[(Scope::User, "x")], 1, tokens(100)).await.expect("there is room");
    at.reserve_for(&[(Scope::Org, "x")], 2, tokens(100)).await.expect("another scope");
    at.reserve_for(&[(Scope::User, "X")], 3, tokens(100)).await.expect("another user");
    at.reserve_for(&[(Scope::User, "")], 4, tokens(100)).await.expect("the empty text is a key");
    denied(at.reserve_for(&[(Scope::User, "x")], 5, tokens(1)).await);
}

pub(super) async fn a_limit_without_a_key_and_a_key_without_a_limit_do_not_count<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("user", Resource::Tokens, 100),
        limit("model", Scope::Model, Resource::Tokens, 10, Window::Lifetime),
    ];
    let at = Subject::new(harness, limits).await;
    at.reserve(1, tokens(100)).await.expect("nobody named a model");
    assert_eq!(at.standings().await.len(), 1);
    assert!(at.reserve_for(&[(Scope::Provider, "p")], 2, tokens(5_000)).await.is_ok());
    denied(at.reserve_for(&[(Scope::User, "bob"), (Scope::Model, "m")], 3, tokens(11)).await);
}

pub(super) async fn only_the_limits_of_the_command_count<H: Harness>(harness: &H) {
    let limits = vec![per_minute("a", Resource::Tokens, 100), per_minute("b", Resource::Tokens, 100)];
    let at = Subject::new(harness, limits).await;
    let only = at.named("a");
    let reserved = at.try_reserve(ANN, only, 1, tokens(100), tokens(100), HOUR).await.expect("the store answers");
    reserved.expect("there is room");
    assert_eq!(at.sums().await, [(0, 100), (0, 0)]);
    at.settle(1, tokens(150)).await;
    assert_eq!(at.sums().await, [(150, 0), (0, 0)]);
    let other = at.try_reserve(ANN, at.named("b"), 2, tokens(100), tokens(0), HOUR).await.expect("the store answers");
    assert!(other.is_ok());
}

pub(super) async fn a_report_says_what_the_standings_say<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("rpm", Resource::Requests, 20),
        per_minute("tpm", Resource::Tokens, 1_000),
        limit("org", Scope::Org, Resource::Tokens, 1_000, Window::Lifetime),
    ];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(40), tokens(70)).await;
    let reserved = at.reserve(2, tokens(20)).await.expect("there is room");
    assert_eq!(reserved.standings[..], at.standings().await[..]);
    let again = at.reserve(2, tokens(20)).await.expect("it is held");
    assert_eq!(again.standings[..], at.standings().await[..]);
    let admitted = at.admit(1).await.expect("there is room");
    let requests: Vec<Standing> = at.standings().await.into_iter().take(1).collect();
    assert_eq!(admitted.standings[..], requests[..]);
    let used: Vec<u64> = at.standings().await.iter().map(Standing::remaining).collect();
    assert_eq!(used, [17, 910, 910]);
}
