use std::time::Duration;

use flashops_core::limit::{OnExpiry, Resource, Switches};
use flashops_core::store::Outcome;
use flashops_core::units::Amounts;
use flashops_core::window::CarryDebt;

use super::Harness;
use super::subject::{DAY, MINUTE, SECOND, Subject, lifetime, per_day, per_minute, tokens};

fn on_expiry(on_expiry: OnExpiry) -> Switches {
    let mut switches = Switches::default();
    switches.on_expiry = on_expiry;
    switches
}

/// Used and held after a hold of 300 with a checkpoint of 50 passed its deadline.
async fn after_expiry<H: Harness>(harness: &H, switches: Switches) -> (u64, u64) {
    let limits = vec![lifetime("requests", Resource::Requests, 10), lifetime("grant", Resource::Tokens, 1_000)];
    let at = Subject::with(harness, limits, switches).await;
    at.reserve_until(1, tokens(300), tokens(50), MINUTE).await;
    at.advance(MINUTE).await;
    let sums = at.sums().await;
    assert_eq!(sums[0], (1, 0), "an expired request stays counted");
    sums[1]
}

pub(super) async fn a_hold_is_released_at_its_deadline_and_not_before<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve_until(1, tokens(1_000), tokens(0), MINUTE).await;
    let early = Duration::from_millis(1) + harness.resolution();
    at.advance(MINUTE - early).await;
    assert!(at.reserve(2, tokens(1)).await.is_err());
    assert_eq!(at.sum().await, (0, 1_000));
    at.advance(early).await;
    assert!(at.reserve(3, tokens(1)).await.is_ok(), "nobody swept, yet the hold is no more");
    assert_eq!(at.sum().await, (0, 1));
}

pub(super) async fn expiry_charges_the_last_checkpoint<H: Harness>(harness: &H) {
    assert_eq!(after_expiry(harness, on_expiry(OnExpiry::Checkpoint)).await, (50, 0));
}

pub(super) async fn expiry_charges_all_that_was_held<H: Harness>(harness: &H) {
    assert_eq!(after_expiry(harness, on_expiry(OnExpiry::Full)).await, (300, 0));
}

pub(super) async fn expiry_charges_nothing_but_the_request<H: Harness>(harness: &H) {
    assert_eq!(after_expiry(harness, on_expiry(OnExpiry::Release)).await, (0, 0));
}

pub(super) async fn a_late_settlement_adds_what_was_used_above_the_charge<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve_until(1, tokens(300), tokens(50), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.outcome(1, tokens(400)).await, Outcome::Late);
    assert_eq!(at.sum().await, (400, 0));
}

pub(super) async fn a_late_settlement_gives_back_what_was_not_used<H: Harness>(harness: &H) {
    let limits = vec![
        per_minute("small", Resource::Tokens, 60),
        per_minute("large", Resource::Tokens, 1_000),
        lifetime("grant", Resource::Tokens, 1_000),
    ];
    let at = Subject::with(harness, limits, on_expiry(OnExpiry::Full)).await;
    at.reserve_until(1, tokens(50), tokens(0), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.sums().await, [(50, 0), (50, 0), (50, 0)]);
    at.advance(SECOND).await;
    assert_eq!(at.outcome(1, tokens(20)).await, Outcome::Late);
    assert_eq!(at.sums().await, [(20, 0), (20, 0), (20, 0)]);
}

pub(super) async fn a_late_settlement_happens_once<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve_until(1, tokens(300), tokens(50), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.outcome(1, tokens(20)).await, Outcome::Late);
    assert_eq!(at.outcome(1, tokens(20)).await, Outcome::Replayed);
    assert_eq!(at.outcome(1, tokens(40)).await, Outcome::Conflict { first: tokens(20) });
    assert_eq!(at.sum().await, (20, 0));
}

pub(super) async fn a_late_void_gives_the_request_back<H: Harness>(harness: &H) {
    let limits = vec![lifetime("requests", Resource::Requests, 10), lifetime("grant", Resource::Tokens, 1_000)];
    let at = Subject::new(harness, limits).await;
    at.reserve_until(1, tokens(300), Amounts::ZERO, MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.outcome(1, Amounts::ZERO).await, Outcome::Late);
    assert_eq!(at.sums().await, [(0, 0), (0, 0)]);
}

pub(super) async fn a_late_refund_does_not_flow_into_a_later_period<H: Harness>(harness: &H) {
    let mut switches = on_expiry(OnExpiry::Full);
    switches.carry_debt = CarryDebt::None;
    switches.max_lifetime = 3 * DAY;
    let at = Subject::with(harness, vec![per_day("daily", Resource::Tokens, 1_000)], switches).await;
    at.reserve_until(1, tokens(400), tokens(0), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.sum().await, (400, 0));
    at.advance(DAY).await;
    at.spend(2, tokens(300), tokens(300)).await;
    assert_eq!(at.outcome(1, tokens(0)).await, Outcome::Late);
    assert_eq!(at.sum().await, (300, 0));
}
