use flashops_core::limit::{Resource, Switches};
use flashops_core::window::CarryDebt;

use super::Harness;
use super::subject::{DAY, HOUR, Subject, denied, per_day, tokens, wait};

async fn daily<H: Harness>(harness: &H, carry: CarryDebt) -> Subject<'_, H> {
    let mut switches = Switches::default();
    switches.carry_debt = carry;
    Subject::with(harness, vec![per_day("daily", Resource::Tokens, 100)], switches).await
}

pub(super) async fn a_new_day_begins_at_zero_and_takes_over_no_unused_budget<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::Full).await;
    at.spend(1, tokens(10), tokens(10)).await;
    at.advance(DAY).await;
    assert_eq!(at.sum().await, (0, 0));
    denied(at.reserve(2, tokens(101)).await);
    at.spend(3, tokens(100), tokens(100)).await;
    at.advance(DAY).await;
    assert_eq!(at.sum().await, (0, 0));
}

pub(super) async fn debt_is_taken_over_in_full<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::Full).await;
    at.spend(1, tokens(100), tokens(170)).await;
    at.advance(DAY).await;
    assert_eq!(at.sum().await, (70, 0));
    denied(at.reserve(2, tokens(31)).await);
    assert!(at.reserve(2, tokens(30)).await.is_ok());
}

pub(super) async fn debt_is_not_taken_over<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::None).await;
    at.spend(1, tokens(100), tokens(170)).await;
    at.advance(DAY).await;
    assert_eq!(at.sum().await, (0, 0));
}

pub(super) async fn debt_is_taken_over_up_to_a_cap<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::Capped(25)).await;
    at.spend(1, tokens(100), tokens(170)).await;
    at.advance(DAY).await;
    assert_eq!(at.sum().await, (25, 0));
}

pub(super) async fn a_large_debt_is_repaid_over_several_days<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::Full).await;
    at.advance(HOUR * 6).await;
    at.spend(1, tokens(100), tokens(350)).await;
    assert_eq!(wait(at.reserve(2, tokens(50)).await), HOUR * 18 + 2 * DAY);
    for left in [250, 150, 50] {
        at.advance(DAY).await;
        assert_eq!(at.sum().await, (left, 0));
    }
    assert!(at.reserve(2, tokens(50)).await.is_ok());
}

pub(super) async fn a_hold_that_spans_midnight_is_charged_to_the_new_day<H: Harness>(harness: &H) {
    let at = daily(harness, CarryDebt::Full).await;
    at.advance(HOUR * 23 + HOUR / 2).await;
    at.reserve(1, tokens(80)).await.expect("there is room");
    at.advance(HOUR / 2).await;
    assert_eq!(at.sum().await, (0, 80), "it belongs to no day and counts against the current one");
    denied(at.reserve(2, tokens(21)).await);
    at.settle(1, tokens(60)).await;
    assert_eq!(at.sum().await, (60, 0));
}
