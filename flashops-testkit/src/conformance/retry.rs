use flashops_core::key::Scope;
use flashops_core::limit::{Algorithm, Limit, Resource, Retry, Window};

use super::Harness;
use super::subject::{DAY, HOUR, MINUTE, SECOND, Subject, denied, lifetime, limit, per_day, per_minute, tokens, wait};

pub(super) async fn more_than_the_amount_never_fits<H: Harness>(harness: &H) {
    let windows = [Window::Sliding(MINUTE), Window::Lifetime];
    for window in windows {
        let at = Subject::new(harness, vec![limit("l", Scope::User, Resource::Tokens, 100, window)]).await;
        let refused = denied(at.reserve(1, tokens(101)).await);
        assert_eq!((refused.asked, refused.remaining, refused.retry), (101, 100, Retry::Never));
        assert!(at.reserve(1, tokens(100)).await.is_ok());
    }
}

pub(super) async fn a_spent_lifetime_never_has_room<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 100)]).await;
    at.spend(1, tokens(90), tokens(90)).await;
    let refused = denied(at.reserve(2, tokens(11)).await);
    assert_eq!((refused.remaining, refused.retry), (10, Retry::Never));
    at.reserve(3, tokens(5)).await.expect("there is room");
    assert_eq!(denied(at.reserve(4, tokens(8)).await).retry, Retry::WHILE_HELD, "it is held, not spent");
    assert_eq!(denied(at.reserve(5, tokens(11)).await).retry, Retry::Never, "whatever becomes of the hold");
}

/// Uses 60 % of a limit now and 40 % later; a tenth then fits when the first share has left.
async fn first_instant<H: Harness>(harness: &H, limit: Limit, unit: u64) {
    let at = Subject::new(harness, vec![limit]).await;
    at.admit(6 * unit).await.expect("there is room");
    at.advance(SECOND * 20).await;
    at.admit(4 * unit).await.expect("there is room");
    at.advance(SECOND * 7).await;
    let one = tokens(0);
    let refused = wait(at.reserve(1, one).await);
    at.fits_first_after(refused, one).await;
}

pub(super) async fn an_exact_log_names_the_first_instant_with_room<H: Harness>(harness: &H) {
    first_instant(harness, per_minute("rpm", Resource::Requests, 10), 1).await;
    let at = Subject::new(harness, vec![per_minute("rpm", Resource::Requests, 10)]).await;
    at.admit(10).await.expect("there is room");
    at.advance(SECOND * 20).await;
    let refused = wait(at.reserve(1, tokens(0)).await);
    assert!(refused >= SECOND * 40 && refused <= SECOND * 40 + harness.resolution(), "{refused:?}");
}

pub(super) async fn a_ring_names_the_first_instant_with_room<H: Harness>(harness: &H) {
    first_instant(harness, per_minute("rpm", Resource::Requests, 1_000), 100).await;
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(700), tokens(700)).await;
    at.advance(SECOND * 20).await;
    at.spend(2, tokens(300), tokens(300)).await;
    let refused = wait(at.reserve(3, tokens(500)).await);
    // A ring may keep usage for one sub-bucket longer than the window.
    assert!(refused >= SECOND * 40 && refused <= SECOND * 42, "{refused:?}");
    at.fits_first_after(refused, tokens(500)).await;
}

pub(super) async fn two_counters_name_the_first_instant_with_room<H: Harness>(harness: &H) {
    let limit = per_minute("rpm", Resource::Requests, 100);
    first_instant(harness, limit.with_algorithm(Algorithm::Approximate).expect("it slides"), 10).await;
}

pub(super) async fn pacing_names_the_first_instant_with_room<H: Harness>(harness: &H) {
    let limit = per_minute("rpm", Resource::Requests, 100).with_algorithm(Algorithm::Gcra).expect("it slides");
    let at = Subject::new(harness, vec![limit]).await;
    at.admit(100).await.expect("the burst is the amount");
    let refused = wait(at.reserve(1, tokens(0)).await);
    assert!(refused <= MINUTE / 100 + harness.resolution(), "one comes back each 600 ms: {refused:?}");
    at.fits_first_after(refused, tokens(0)).await;
}

pub(super) async fn a_calendar_names_the_end_of_its_period<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_day("daily", Resource::Tokens, 100)]).await;
    at.advance(HOUR * 7).await;
    at.spend(1, tokens(100), tokens(100)).await;
    assert_eq!(at.standings().await[0].reset, Some(HOUR * 17));
    let refused = wait(at.reserve(2, tokens(1)).await);
    assert_eq!(refused, HOUR * 17);
    at.advance(refused - SECOND).await;
    denied(at.reserve(2, tokens(1)).await);
    at.advance(SECOND).await;
    assert!(at.reserve(2, tokens(100)).await.is_ok());
}

pub(super) async fn the_limit_that_takes_longest_is_named_and_all_are_listed<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("minute", Resource::Tokens, 100),
        limit("hour", Scope::Org, Resource::Tokens, 100, Window::Sliding(HOUR)),
        limit("roomy", Scope::Org, Resource::Tokens, 10_000, Window::Sliding(DAY)),
        limit("second", Scope::Ip, Resource::Tokens, 100, Window::Sliding(SECOND)),
    ];
    let at = Subject::new(harness, limits).await;
    at.spend(1, tokens(100), tokens(100)).await;
    let refused = denied(at.reserve(2, tokens(50)).await);
    assert_eq!(at.store_limit(refused.limit), "hour");
    assert_eq!(refused.violated, at.store_limits(|limit| limit.name() != "roomy"));
    at.advance(MINUTE * 5).await;
    let refused = denied(at.reserve(3, tokens(50)).await);
    assert_eq!(refused.violated, at.named("hour"));
    assert_eq!((refused.asked, refused.remaining), (50, 0));
}

pub(super) async fn where_only_holds_are_in_the_way_the_wait_is_a_second<H: Harness>(harness: &H) {
    for window in [Window::Sliding(MINUTE), Window::Lifetime] {
        let at = Subject::new(harness, vec![limit("l", Scope::User, Resource::Tokens, 100, window)]).await;
        at.reserve(1, tokens(80)).await.expect("there is room");
        let refused = denied(at.reserve(2, tokens(30)).await);
        assert_eq!((refused.asked, refused.remaining, refused.retry), (30, 20, Retry::After(SECOND)));
        at.settle(1, tokens(0)).await;
        assert!(at.reserve(2, tokens(30)).await.is_ok());
    }
}

pub(super) async fn holds_count_as_charged_in_the_wait<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(300), tokens(300)).await;
    at.advance(SECOND * 10).await;
    at.spend(2, tokens(300), tokens(300)).await;
    at.reserve(3, tokens(400)).await.expect("there is room");
    // With the hold charged, both uses have to leave before 600 fit.
    let refused = wait(at.reserve(4, tokens(600)).await);
    assert!(refused >= MINUTE, "{refused:?}");
    at.fits_first_after(refused, tokens(600)).await;
}

pub(super) async fn debt_beyond_the_holds_decides_the_wait<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.reserve(1, tokens(400)).await.expect("there is room");
    at.reserve(2, tokens(600)).await.expect("there is room");
    at.settle(1, tokens(900)).await;
    let refused = wait(at.reserve(3, tokens(500)).await);
    assert!(refused >= MINUTE, "the usage alone leaves no room for a minute: {refused:?}");
}
