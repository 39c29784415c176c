use flashops_core::limit::Resource;
use flashops_core::store::{Extended, Outcome, Refused, ReservationId, Settle, Store};
use flashops_core::units::Amounts;

use super::Harness;
use super::subject::{HOUR, LONG, MINUTE, SECOND, Subject, denied, lifetime, per_minute, tokens};

pub(super) async fn a_reservation_counts_its_request_and_holds_the_rest<H: Harness>(harness: &H) {
    let limits = vec![per_minute("rpm", Resource::Requests, 10), per_minute("tpm", Resource::Tokens, 1_000)];
    let at = Subject::new(harness, limits).await;
    let reserved = at.reserve(1, tokens(300)).await.expect("there is room");
    assert!(!reserved.replayed);
    assert_eq!(at.sums().await, [(1, 0), (0, 300)]);
}

pub(super) async fn a_refused_reservation_is_as_absent_as_before<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(900), tokens(900)).await;
    denied(at.reserve(2, tokens(300)).await);
    assert_eq!(at.outcome(2, tokens(300)).await, Outcome::Unknown);
    at.advance(LONG).await;
    let again = at.reserve(2, tokens(300)).await.expect("there is room now");
    assert!(!again.replayed);
}

pub(super) async fn a_repeated_reservation_adds_nothing<H: Harness>(harness: &H) {
    let limits = vec![per_minute("rpm", Resource::Requests, 10), per_minute("tpm", Resource::Tokens, 1_000)];
    let at = Subject::new(harness, limits).await;
    at.reserve(1, tokens(300)).await.expect("there is room");
    for hold in [tokens(300), tokens(999), Amounts::ZERO] {
        let again = at.reserve(1, hold).await.expect("it is held");
        assert!(again.replayed);
        assert_eq!(at.sums().await, [(1, 0), (0, 300)]);
    }
    at.settle(1, tokens(20)).await;
    assert_eq!(at.sums().await, [(1, 0), (20, 0)]);
}

pub(super) async fn a_reservation_on_a_settled_identity_is_not_made<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(300), tokens(20)).await;
    assert_eq!(at.reserve(1, tokens(300)).await.err(), Some(Refused::AlreadySettled));
    assert_eq!(at.sum().await, (20, 0));
}

pub(super) async fn a_reservation_on_an_expired_identity_is_not_made<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve_until(1, tokens(300), tokens(50), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.reserve(1, tokens(300)).await.err(), Some(Refused::AlreadySettled));
    assert_eq!(at.sum().await, (50, 0));
}

pub(super) async fn a_settlement_of_an_unknown_identity_changes_nothing<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(10), tokens(10)).await;
    let settled = at.settle(99, tokens(500)).await;
    assert_eq!((settled.outcome, settled.crossings.len()), (Outcome::Unknown, 0));
    assert_eq!(at.sum().await, (10, 0));
}

pub(super) async fn a_settlement_puts_what_was_used_in_place_of_the_hold<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.reserve(1, tokens(300)).await.expect("there is room");
    at.reserve(2, tokens(200)).await.expect("there is room");
    assert_eq!(at.outcome(1, tokens(120)).await, Outcome::Applied);
    assert_eq!(at.sum().await, (120, 200));
}

pub(super) async fn a_repeated_settlement_changes_nothing<H: Harness>(harness: &H) {
    let limits = vec![per_minute("rpm", Resource::Requests, 10), per_minute("tpm", Resource::Tokens, 1_000)];
    let at = Subject::new(harness, limits).await;
    at.reserve(2, tokens(400)).await.expect("there is room");
    at.spend(1, tokens(300), tokens(120)).await;
    for _ in 0..3 {
        at.advance(SECOND).await;
        assert_eq!(at.outcome(1, tokens(120)).await, Outcome::Replayed);
        assert_eq!(at.sums().await, [(2, 0), (120, 400)]);
    }
}

pub(super) async fn a_second_settlement_with_another_amount_is_a_conflict_and_no_change<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(300), tokens(120)).await;
    for other in [tokens(0), tokens(121), tokens(900), Amounts::ZERO] {
        assert_eq!(at.outcome(1, other).await, Outcome::Conflict { first: tokens(120) });
        assert_eq!(at.sum().await, (120, 0));
    }
}

pub(super) async fn a_voided_identity_is_settled_for_good<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.spend(1, tokens(300), Amounts::ZERO).await;
    assert_eq!(at.outcome(1, Amounts::ZERO).await, Outcome::Replayed);
    assert_eq!(at.outcome(1, tokens(300)).await, Outcome::Conflict { first: Amounts::ZERO });
    assert_eq!(at.reserve(1, tokens(300)).await.err(), Some(Refused::AlreadySettled));
    assert_eq!(at.sum().await, (0, 0));
}

pub(super) async fn an_extension_holds_more_and_lives_longer<H: Harness>(harness: &H) {
    let limits = vec![per_minute("rpm", Resource::Requests, 10), lifetime("grant", Resource::Tokens, 1_000)];
    let at = Subject::new(harness, limits).await;
    at.reserve_until(1, tokens(300), tokens(10), MINUTE).await;
    at.advance(SECOND * 40).await;
    assert_eq!(at.extend(1, tokens(200), tokens(250), MINUTE).await, Extended::Held);
    assert_eq!(at.sums().await, [(1, 0), (0, 500)], "the request is counted once");
    at.advance(SECOND * 40).await;
    assert_eq!(at.sums().await[1], (0, 500), "the first deadline has passed");
    at.advance(SECOND * 20).await;
    assert_eq!(at.sums().await[1], (250, 0), "the second has, and charged the second checkpoint");
}

pub(super) async fn an_extension_of_what_is_not_held_changes_nothing<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    assert_eq!(at.extend(1, tokens(5), tokens(5), MINUTE).await, Extended::NotHeld);
    at.spend(2, tokens(300), tokens(20)).await;
    assert_eq!(at.extend(2, tokens(5), tokens(5), MINUTE).await, Extended::NotHeld);
    at.reserve_until(3, tokens(300), tokens(50), MINUTE).await;
    at.advance(MINUTE).await;
    assert_eq!(at.extend(3, tokens(5), tokens(900), MINUTE).await, Extended::NotHeld);
    assert_eq!(at.sum().await, (70, 0));
}

pub(super) async fn a_refused_extension_keeps_the_hold_and_notes_the_rest<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![lifetime("grant", Resource::Tokens, 1_000)]).await;
    at.reserve_until(1, tokens(300), tokens(10), MINUTE).await;
    let extended = at.extend(1, tokens(701), tokens(290), HOUR).await;
    assert!(matches!(extended, Extended::Denied(denied) if denied.asked == 701 && denied.remaining == 700));
    assert_eq!(at.sum().await, (0, 300));
    at.advance(MINUTE).await;
    assert_eq!(at.sum().await, (0, 300), "it lives longer");
    at.advance(HOUR).await;
    assert_eq!(at.sum().await, (290, 0), "and is charged the new checkpoint");
}

pub(super) async fn a_dropped_answer_undoes_nothing<H: Harness>(harness: &H) {
    let at = Subject::new(harness, vec![per_minute("tpm", Resource::Tokens, 1_000)]).await;
    at.reserve(1, tokens(300)).await.expect("there is room");
    drop(at.store.settle(&Settle { id: ReservationId::from_bits(1), used: tokens(20) }));
    assert_eq!(at.sum().await, (20, 0));
}
