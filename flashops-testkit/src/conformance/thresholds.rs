use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Mode, Resource, Window};
use flashops_core::store::{Crossing, Settled};

use super::Harness;
use super::subject::{DAY, MINUTE, SECOND, Subject, lifetime, limit, per_day, per_minute, tokens};

fn watched(limit: Limit, thresholds: &[u16]) -> Limit {
    limit.with_mode(Mode::Warn).with_thresholds(thresholds).expect("valid")
}

fn shares(settled: &Settled) -> Vec<(u16, u64)> {
    settled.crossings.iter().map(|crossing: &Crossing| (crossing.threshold, crossing.used)).collect()
}

pub(super) async fn a_threshold_fires_once_at_its_share<H: Harness>(harness: &H) {
    let limits = vec![
        watched(lifetime("grant", Resource::Tokens, 1_000), &[800, 1_000]),
        watched(limit("org", Scope::Org, Resource::Tokens, 1_001, Window::Lifetime), &[500]),
    ];
    let at = Subject::new(harness, limits).await;
    assert_eq!(shares(&at.spend(1, tokens(500), tokens(500)).await), [], "501 is the half of 1001, rounded up");
    assert_eq!(shares(&at.spend(2, tokens(1), tokens(1)).await), [(500, 501)]);
    assert_eq!(shares(&at.spend(3, tokens(298), tokens(298)).await), [], "799");
    assert_eq!(shares(&at.spend(4, tokens(1), tokens(1)).await), [(800, 800)]);
    assert_eq!(shares(&at.settle(4, tokens(1)).await), [], "a repeated settlement");
    assert_eq!(shares(&at.spend(5, tokens(100), tokens(150)).await), []);
    assert_eq!(shares(&at.spend(6, tokens(100), tokens(150)).await), [(1_000, 1_100)]);
    assert_eq!(shares(&at.spend(7, tokens(100), tokens(900)).await), []);
}

pub(super) async fn a_period_fires_each_threshold_once_and_the_next_one_again<H: Harness>(harness: &H) {
    let limits = vec![watched(per_day("daily", Resource::Tokens, 100), &[500, 1_000])];
    let at = Subject::new(harness, limits).await;
    for day in 0..3 {
        assert_eq!(shares(&at.spend(10 * day, tokens(1), tokens(100)).await), [(500, 100), (1_000, 100)]);
        assert_eq!(shares(&at.spend(10 * day + 1, tokens(0), tokens(0)).await), []);
        at.advance(DAY).await;
    }
}

pub(super) async fn a_sliding_threshold_fires_again_only_after_usage_was_low_for_once<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![watched(per_minute("tpm", Resource::Tokens, 1_000), &[1_000])]).await;
    assert_eq!(shares(&at.spend(1, tokens(0), tokens(1_000)).await), [(1_000, 1_000)]);
    at.advance(SECOND * 30).await;
    assert_eq!(shares(&at.spend(2, tokens(0), tokens(950)).await), []);
    at.advance(SECOND * 32).await;
    assert_eq!(at.sum().await.0, 950, "below the share, not below nine tenths of it");
    assert_eq!(shares(&at.spend(3, tokens(0), tokens(200)).await), []);
    at.advance(2 * MINUTE).await;
    assert_eq!(at.sum().await.0, 0);
    assert_eq!(shares(&at.spend(4, tokens(0), tokens(1_200)).await), [(1_000, 1_200)]);
}

pub(super) async fn a_sliding_threshold_fires_on_the_way_up_and_never_later<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![watched(per_minute("tpm", Resource::Tokens, 1_000), &[1_000])]).await;
    assert_eq!(shares(&at.spend(1, tokens(0), tokens(950)).await), []);
    at.advance(SECOND * 50).await;
    assert_eq!(shares(&at.spend(2, tokens(0), tokens(50)).await), [(1_000, 1_000)]);
    at.advance(SECOND * 20).await;
    assert_eq!(at.sum().await.0, 50);
    assert_eq!(shares(&at.spend(3, tokens(0), tokens(2_000)).await), [], "less than a window after the last time");
    at.advance(SECOND * 45).await;
    assert_eq!(shares(&at.spend(4, tokens(0), tokens(500)).await), [], "a window has passed, but it only stayed high");
    at.advance(SECOND * 20).await;
    assert_eq!(at.sum().await.0, 500);
    assert_eq!(shares(&at.spend(5, tokens(0), tokens(500)).await), [(1_000, 1_000)]);
}

pub(super) async fn counted_requests_fire_thresholds<H: Harness>(harness: &H) {
    let limit = per_minute("rpm", Resource::Requests, 10).with_thresholds([500]).expect("valid");
    let at = Subject::new(harness, vec![limit]).await;
    let mut fired = 0;
    for _ in 0..8 {
        fired += at.admit(1).await.expect("there is room").crossings.len();
    }
    assert_eq!(fired, 1);
    let limit = per_minute("rpm", Resource::Requests, 10).with_thresholds([500]).expect("valid");
    let at = Subject::new(harness, vec![limit]).await;
    let mut fired = 0;
    for id in 0..8 {
        at.reserve(id, tokens(1)).await.expect("there is room");
        fired += at.settle(id, tokens(1)).await.crossings.len();
    }
    assert_eq!(fired, 1);
}

pub(super) async fn what_is_only_held_fires_nothing<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![watched(lifetime("grant", Resource::Tokens, 1_000), &[100])]).await;
    at.reserve(1, tokens(900)).await.expect("there is room");
    assert_eq!(shares(&at.spend(2, tokens(50), tokens(99)).await), []);
    assert_eq!(shares(&at.settle(1, tokens(0)).await), []);
    at.reserve_until(3, tokens(900), tokens(900), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(shares(&at.spend(4, tokens(1), tokens(1)).await).len(), 1, "what expiry charged is used");
}
