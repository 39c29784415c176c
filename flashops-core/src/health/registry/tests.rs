use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::{Component, Finding, Group};
use super::*;
use crate::clock::{Moment, UnixSeconds};

fn at(seconds: u64) -> Moment {
    Moment { tick: Tick::from_nanos(seconds * 1_000_000_000), unix: UnixSeconds(1_000 + seconds.cast_signed()) }
}

/// A check without delay that finds this, or panics.
fn check(name: &str, finding: fn() -> Finding) -> Check {
    Check::new(name, move || async move { finding() }).with_start_delay(Duration::ZERO)
}

/// Runs what is due; checks that do not answer at once time out.
fn run_due(registry: &HealthRegistry, now: Moment) -> usize {
    let runs = registry.start_due(now.tick);
    let count = runs.len();
    for mut run in runs {
        match pin!(&mut run).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(finding) => run.finish(finding, now),
            Poll::Pending => run.time_out(now),
        }
    }
    count
}

fn status(registry: &HealthRegistry, group: Group) -> Status {
    registry.report().status(group)
}

#[test]
fn a_report_is_as_bad_as_its_worst_check_and_what_is_not_critical_warns() {
    let registry = HealthRegistry::new();
    registry.register(check("fine", Finding::pass)).unwrap();
    registry.register(check("cache", || Finding::fail("refused")).not_critical()).unwrap();
    run_due(&registry, at(0));
    assert_eq!(status(&registry, Group::Readiness), Status::Warn);
    assert_eq!((registry.report().checks()[1].output(), registry.is_shedding()), (Some("refused"), false));

    registry.register(check("database", || Finding::fail("refused"))).unwrap();
    run_due(&registry, at(1));
    assert_eq!(status(&registry, Group::Readiness), Status::Fail);
    assert!(registry.is_shedding());
    assert_eq!(registry.report().status_without(Group::Readiness, |name| name == "database"), Status::Warn);
    for group in [Group::Liveness, Group::Startup] {
        assert_eq!(status(&registry, group), Status::Pass, "it has no checks");
    }
}

#[test]
fn a_check_that_panics_fails_wherever_it_does_and_the_others_are_still_asked() {
    let registry = HealthRegistry::new();
    let asks = Check::new("asking", || -> std::future::Ready<Finding> { panic!("out of cheese") });
    registry.register(asks.with_start_delay(Duration::ZERO)).unwrap();
    registry.register(check("answering", || panic!("out of cheese"))).unwrap();
    registry.register(check("fine", Finding::pass)).unwrap();
    assert_eq!(run_due(&registry, at(0)), 3);
    let report = registry.report();
    let found: Vec<_> = report.checks().iter().map(|check| (check.status(), check.output())).collect();
    let panicked = (Status::Fail, Some("the check panicked"));
    assert_eq!(found, [panicked, panicked, (Status::Pass, None)]);
}

#[test]
fn a_check_is_not_started_while_it_runs_and_a_dropped_run_changes_nothing() {
    let registry = HealthRegistry::new();
    registry.register(check("slow", Finding::pass)).unwrap();
    run_due(&registry, at(0));
    let before = registry.report();
    let running = registry.start_due(at(100).tick);
    assert_eq!((running.len(), registry.next_due()), (1, None));
    assert!(registry.start_due(at(1_000).tick).is_empty());
    assert!(registry.clone().start_due(at(1_000).tick).is_empty(), "nor by another driver");
    drop(running);
    assert_eq!(registry.report(), before);
    assert_eq!(registry.start_due(at(1_000).tick).len(), 1);
}

#[test]
fn one_that_hangs_fails_and_its_future_is_dropped() {
    struct Waiting(Arc<AtomicUsize>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let hang = move || {
        let waiting = Waiting(Arc::clone(&count));
        async move {
            let _waiting = waiting;
            std::future::pending::<Finding>().await
        }
    };
    let registry = HealthRegistry::new();
    registry.register(Check::new("hangs", hang).with_start_delay(Duration::ZERO)).unwrap();
    run_due(&registry, at(0));
    assert_eq!(registry.report().checks()[0].output(), Some("no answer within 2s"));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_check_that_was_never_asked_keeps_traffic_away_and_is_not_restarted_for_it() {
    let registry = HealthRegistry::new();
    let hangs = || Check::new("a", std::future::pending::<Finding>);
    registry.register(hangs().with_groups(Group::ALL)).unwrap();
    assert_eq!(Group::ALL.map(|group| status(&registry, group)), [Status::Pass, Status::Fail, Status::Fail]);
    assert!(!registry.is_shedding(), "nothing has failed");

    let registry = HealthRegistry::new();
    registry.register(hangs().with_groups(Group::ALL).not_critical()).unwrap();
    assert_eq!(Group::ALL.map(|group| status(&registry, group)), [Status::Pass, Status::Warn, Status::Warn]);

    let registry = HealthRegistry::new();
    registry.register(Check::ping()).unwrap();
    assert_eq!(Group::ALL.map(|group| status(&registry, group)), [Status::Pass; 3]);
    assert_eq!(registry.report().checks()[0].reading(), None);
}

#[test]
fn an_answer_has_its_time_and_how_long_it_took() {
    let registry = HealthRegistry::new();
    registry
        .register(check("redis", Finding::pass).with_component(Component::Datastore).with_affected(["/x"]))
        .unwrap();
    let run = registry.start_due(at(5).tick).remove(0);
    run.finish(Finding::pass(), at(7));
    let report = registry.report();
    let reading = report.checks()[0].reading().unwrap();
    assert_eq!((reading.time, reading.took), (UnixSeconds(1_007), Duration::from_secs(2)));
    assert_eq!(report.checks()[0].affected(), ["/x"]);
}

/// A registry that keeps what it tells.
fn told() -> (HealthRegistry, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    let registry = HealthRegistry::with_observer(move |transition: &Transition<'_>| {
        list.lock().push(transition.to_string());
    });
    (registry, told)
}

#[test]
fn a_transition_is_told_once() {
    static DOWN: AtomicBool = AtomicBool::new(false);
    let (registry, told) = told();
    let look = || if DOWN.load(Ordering::Relaxed) { Finding::fail("refused") } else { Finding::pass() };
    registry.register(check("redis", look)).unwrap();
    for (now, down) in [(0, false), (100, false), (200, true), (300, true), (400, false)] {
        DOWN.store(down, Ordering::Relaxed);
        assert_eq!(run_due(&registry, at(now)), 1);
    }
    registry.shut_down();
    registry.shut_down();
    let expected = [
        "redis: unknown -> pass",
        "redis: pass -> fail: refused",
        "redis: fail -> pass",
        "shutdown: pass -> fail: the service is shutting down",
    ];
    assert_eq!(*told.lock(), expected);
}

#[test]
fn an_observer_sees_the_change_in_the_report_and_may_use_the_registry() {
    let slot: Arc<Mutex<Option<HealthRegistry>>> = Arc::default();
    let (inner, seen) = (Arc::clone(&slot), Arc::new(Mutex::new(Vec::new())));
    let list = Arc::clone(&seen);
    let registry = HealthRegistry::with_observer(move |_: &Transition<'_>| {
        let registry = inner.lock().clone().unwrap();
        assert!(registry.start_due(at(1_000).tick).is_empty(), "the check still runs");
        list.lock().push(registry.report().status(Group::Readiness));
    });
    *slot.lock() = Some(registry.clone());
    registry.register(check("redis", || Finding::warn("slow"))).unwrap();
    run_due(&registry, at(0));
    assert_eq!(*seen.lock(), [Status::Warn]);
    *slot.lock() = None;
}

#[test]
fn a_shutdown_fails_readiness_at_once_and_sheds_nothing() {
    let registry = HealthRegistry::new();
    registry.register(Check::ping()).unwrap();
    registry.shut_down();
    assert_eq!(Group::ALL.map(|group| status(&registry, group)), [Status::Pass, Status::Fail, Status::Pass]);
    assert!(!registry.is_shedding(), "what still comes is served");
    run_due(&registry, at(10));
    assert_eq!(status(&registry, Group::Readiness), Status::Fail, "and no answer takes it back");
}

#[test]
fn a_name_is_given_once_and_there_are_not_more_checks_than_the_most() {
    let registry = HealthRegistry::new();
    registry.register(check("disk", Finding::pass)).unwrap();
    for name in ["disk", "shutdown", "", "a b", "a:b", &"x".repeat(65)] {
        let error = registry.register(check(name, Finding::pass)).unwrap_err();
        assert!(matches!(error, HealthError::BadName(_)), "{name}");
    }
    for index in 1..HealthRegistry::MAX_CHECKS {
        registry.register(check(&format!("check-{index}"), Finding::pass)).unwrap();
    }
    assert_eq!(registry.register(check("more", Finding::pass)), Err(HealthError::TooMany));
}
