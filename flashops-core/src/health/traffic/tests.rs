use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, CallRequest};
use crate::caller::Caller;
use crate::clock::ManualClock;
use crate::estimate::{Estimate, InputBound, OutputCap};
use crate::limit::Policy;
use crate::price::PriceBook;
use crate::store::MemoryStore;
use crate::units::Tokens;
use crate::usage::Usage;

/// A window of 12 ns, so that a bucket is 1 ns and its number is the time.
fn quick() -> Thresholds {
    Thresholds { window: Duration::from_nanos(12), least_calls: 5, slow: Duration::from_secs(3), ..Default::default() }
}

/// All calls ever, counted anew for every question.
fn oracle(calls: &[(u64, bool, u64)], now: u64) -> Counts {
    let mut counts = Counts::default();
    for &(at, failed, seconds) in calls.iter().filter(|(at, ..)| at + 12 > now) {
        assert!(at <= now);
        counts.calls += 1;
        counts.failed += u64::from(failed);
        counts.slow += u64::from(seconds >= 3);
    }
    counts
}

/// What they say: exact fractions.
fn verdict(counts: Counts) -> Status {
    let Counts { calls, failed, slow } = counts;
    if calls < 5 {
        Status::Pass
    } else if failed * 2 >= calls {
        Status::Fail
    } else if failed * 10 >= calls || slow * 20 >= calls {
        Status::Warn
    } else {
        Status::Pass
    }
}

proptest! {
    #[test]
    fn the_window_counts_what_an_exact_log_counts(
        steps in prop::collection::vec((0_u64..4, any::<bool>(), 0_u64..5, any::<bool>()), 1..200),
        start in 0_u64..1_000,
    ) {
        let traffic = Traffic::new(quick());
        let (mut now, mut calls) = (start, Vec::new());
        for (wait, failed, seconds, pause) in steps {
            now += if pause { wait * 5 } else { wait };
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            traffic.record(outcome, Duration::from_secs(seconds), Tick::from_nanos(now));
            calls.push((now, failed, seconds));
            let expected = oracle(&calls, now);
            prop_assert_eq!(traffic.counts(Tick::from_nanos(now)), expected);
            prop_assert_eq!(traffic.finding(Tick::from_nanos(now)).status, verdict(expected));
        }
        prop_assert_eq!(traffic.counts(Tick::from_nanos(now + 12)), Counts::default());
    }
}

#[test]
fn few_calls_say_nothing() {
    let traffic = Traffic::new(quick());
    for _ in 0..4 {
        traffic.record(Outcome::Failure, Duration::ZERO, Tick::ZERO);
    }
    assert_eq!(traffic.finding(Tick::ZERO), Finding::pass());
    traffic.record(Outcome::Failure, Duration::ZERO, Tick::ZERO);
    assert_eq!(traffic.finding(Tick::ZERO), Finding::fail("5 of 5 calls failed"));
}

#[test]
fn slow_calls_warn() {
    let traffic = Traffic::new(quick());
    for seconds in [1, 1, 1, 1, 3] {
        traffic.record(Outcome::Success, Duration::from_secs(seconds), Tick::ZERO);
    }
    assert_eq!(traffic.finding(Tick::ZERO), Finding::warn("1 of 5 calls took 3s or longer"));
}

#[test]
fn a_clock_that_steps_back_stays_where_it_was() {
    let traffic = Traffic::new(quick());
    traffic.record(Outcome::Success, Duration::ZERO, Tick::from_nanos(100));
    traffic.record(Outcome::Success, Duration::ZERO, Tick::from_nanos(3));
    assert_eq!(traffic.counts(Tick::from_nanos(0)).calls, 2);
    assert_eq!(traffic.counts(Tick::from_nanos(111)).calls, 2);
    assert_eq!(traffic.counts(Tick::from_nanos(112)).calls, 0);
}

#[test]
fn a_window_of_any_length_is_one() {
    for window in [Duration::ZERO, Duration::MAX] {
        let traffic = Traffic::new(Thresholds { window, ..quick() });
        traffic.record(Outcome::Success, Duration::MAX, Tick::from_nanos(u64::MAX));
        assert_eq!(traffic.counts(Tick::from_nanos(u64::MAX)).slow, 1);
    }
}

#[test]
fn a_recorder_counts_how_calls_end_where_that_is_known_and_how_long_they_took() {
    let (traffic, clock) = (Traffic::new(Thresholds::default()), ManualClock::new());
    let policy = std::sync::Arc::new(Policy::new(Vec::new()).unwrap());
    let store = std::sync::Arc::new(MemoryStore::new(policy, clock.clone()));
    let budget = Budget::new(store, std::sync::Arc::new(PriceBook::embedded().clone()), traffic.clone());
    let begin = || {
        let request = CallRequest {
            caller: Caller::new("ann", "acme"),
            route: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            estimate: Estimate::new(InputBound::bytes(30), OutputCap::new(Tokens::saturating(5))),
            limits: budget.policy().limits_on("/v1/chat/completions", true),
        };
        let mut call = budget.begin_now(request).unwrap().unwrap();
        call.dispatched();
        call
    };
    let mut expected = Counts::default();
    for (ending, calls, failed) in [
        (Ending::Complete, 1, 0),
        (Ending::Rejected, 1, 1),
        (Ending::Failed, 1, 1),
        (Ending::Cut, 0, 0),
        (Ending::Exhausted, 0, 0),
    ] {
        begin().settle(&Usage::exact(), ending);
        expected = expected.plus(Counts { calls, failed, slow: 0 });
        assert_eq!(traffic.counts(clock.tick()), expected, "{ending:?}");
    }
    begin().void();
    let slow = begin();
    clock.advance(Duration::from_secs(30));
    slow.settle(&Usage::exact(), Ending::Complete);
    expected = expected.plus(Counts { calls: 1, failed: 0, slow: 1 });
    assert_eq!(traffic.counts(clock.tick()), expected);
}
