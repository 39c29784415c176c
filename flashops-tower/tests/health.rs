//! Checks as they run in the background.

#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::clock::{Clock, Moment, Tick, UnixSeconds};
use flashops_core::health::{Check, CheckReport, Finding, Group, HealthRegistry, Status, Transition};
use flashops_tower::health::{MAX_BODY, Refresher, http_check, tcp_check};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::time::{Instant, advance, timeout};
use tower::{BoxError, service_fn};

/// The time that tokio's timers go by, which a test moves.
#[derive(Clone, Debug)]
struct TimerClock(Instant);

impl TimerClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Moment {
        let elapsed = self.0.elapsed();
        let unix = UnixSeconds(i64::try_from(elapsed.as_secs()).unwrap());
        Moment { tick: Tick::ZERO.after(elapsed), unix }
    }
}

/// How often something was begun, and how many of these are under way.
#[derive(Clone, Default)]
struct Starts(Arc<AtomicUsize>, Arc<AtomicUsize>);

struct UnderWay(Arc<AtomicUsize>);

impl Starts {
    fn begin(&self) -> UnderWay {
        self.0.fetch_add(1, Ordering::Relaxed);
        let before = self.1.fetch_add(1, Ordering::Relaxed);
        assert_eq!(before, 0, "it was started twice");
        UnderWay(Arc::clone(&self.1))
    }

    fn count(&self) -> (usize, usize) {
        (self.0.load(Ordering::Relaxed), self.1.load(Ordering::Relaxed))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A check that hangs for ever.
fn hanging(name: &str, starts: &Starts) -> Check {
    let starts = starts.clone();
    let ask = move || {
        let under_way = starts.begin();
        async move {
            let _under_way = under_way;
            std::future::pending::<Finding>().await
        }
    };
    Check::new(name, ask).with_start_delay(Duration::ZERO)
}

fn found(registry: &HealthRegistry, index: usize) -> (Status, Option<String>) {
    let report = registry.report();
    (report.checks()[index].status(), report.checks()[index].output().map(str::to_owned))
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass_time(by: Duration) {
    settle().await;
    advance(by).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_fails_after_its_timeout_and_is_not_started_twice() {
    let (registry, starts) = (HealthRegistry::new(), Starts::default());
    registry.register(hanging("hangs", &starts).with_interval(Duration::from_secs(1))).unwrap();
    registry.register(Check::new("fine", || async { Finding::pass() }).with_start_delay(Duration::ZERO)).unwrap();
    let refresher = Refresher::with_clock(registry.clone(), TimerClock::new());
    pass_time(Duration::from_millis(1_999)).await;
    assert_eq!((starts.count(), found(&registry, 1).0), ((1, 1), Status::Pass), "the other has answered");
    assert_eq!(found(&registry, 0).1.as_deref(), Some("it has not been asked yet"));
    pass_time(Duration::from_millis(2)).await;
    assert_eq!(found(&registry, 0), (Status::Fail, Some("no answer within 2s".to_owned())));
    let took = registry.report().checks()[0].reading().unwrap().took;
    assert!(took >= Duration::from_secs(2) && took <= Duration::from_millis(2_001), "{took:?}");
    for _ in 0..100 {
        pass_time(Duration::from_millis(100)).await;
    }
    let (begun, under_way) = starts.count();
    // One begins where the one before was given up, every 2 s.
    assert!((5..=7).contains(&begun) && under_way == 1, "10 s later: {begun}, {under_way}");
    refresher.stop().await;
    assert_eq!(starts.count().1, 0, "what ran is stopped");
    pass_time(Duration::from_secs(60)).await;
    assert_eq!(starts.count().0, begun);
}

#[tokio::test(start_paused = true)]
async fn checks_begin_within_a_fifth_of_their_delay_and_go_on_within_a_fifth_of_their_interval() {
    let registry = HealthRegistry::new();
    let times = Arc::new(Mutex::new(Vec::new()));
    let begun = Instant::now();
    for index in 0..50 {
        let times = Arc::clone(&times);
        let ask = move || {
            times.lock().unwrap().push((index, begun.elapsed().as_millis()));
            std::future::ready(Finding::pass())
        };
        registry.register(Check::new(&format!("check-{index}"), ask)).unwrap();
    }
    let _refresher = Refresher::with_clock(registry.clone(), TimerClock::new());
    for _ in 0..700 {
        pass_time(Duration::from_millis(100)).await;
    }
    let times = times.lock().unwrap();
    let of = |check| -> Vec<u128> { times.iter().filter(|(index, _)| *index == check).map(|(_, at)| *at).collect() };
    let firsts: Vec<u128> = (0..50).map(|index| of(index)[0]).collect();
    // The clock moves in steps of 100 ms.
    assert!(firsts.iter().all(|at| (4_000..=6_100).contains(at)), "{firsts:?}");
    for index in 0..50 {
        let of = of(index);
        assert!(of.windows(2).all(|pair| (23_900..=36_100).contains(&(pair[1] - pair[0]))), "{of:?}");
    }
    let (earliest, latest) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!(latest - earliest >= 1_000, "50 of them spread: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transition_is_told_once_however_often_the_check_runs() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    let registry = HealthRegistry::with_observer(move |transition: &Transition<'_>| {
        list.lock().unwrap().push(transition.to_string());
    });
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let ask = move || {
        let run = count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(!(3..6).contains(&run), "the check breaks for a while");
            Finding::pass()
        }
    };
    let check = Check::new("flaps", ask).with_start_delay(Duration::ZERO).with_interval(Duration::from_secs(1));
    registry.register(check).unwrap();
    let _refresher = Refresher::with_clock(registry.clone(), TimerClock::new());
    for _ in 0..200 {
        pass_time(Duration::from_millis(100)).await;
    }
    assert!(runs.load(Ordering::Relaxed) > 10);
    let expected = ["flaps: unknown -> pass", "flaps: pass -> fail: the check panicked", "flaps: fail -> pass"];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_registered_later_is_run_too_and_a_dropped_refresher_runs_none() {
    let registry = HealthRegistry::new();
    let refresher = Refresher::with_clock(registry.clone(), TimerClock::new());
    pass_time(Duration::from_secs(1)).await;
    registry.register(Check::new("late", || async { Finding::pass() }).with_start_delay(Duration::ZERO)).unwrap();
    pass_time(Duration::from_secs(1)).await;
    assert_eq!(found(&registry, 0).0, Status::Pass);
    drop(refresher);
    registry.register(Check::new("later", || async { Finding::pass() }).with_start_delay(Duration::ZERO)).unwrap();
    pass_time(Duration::from_secs(60)).await;
    assert_eq!(registry.report().status(Group::Readiness), Status::Fail, "nobody asks");
}

/// Runs one check until it has answered, in real time.
async fn asked(check: Check) -> CheckReport {
    let registry = HealthRegistry::new();
    registry.register(check.with_start_delay(Duration::ZERO)).unwrap();
    let refresher = Refresher::spawn(registry.clone());
    let answered = async {
        while registry.report().checks()[0].reading().is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), answered).await.unwrap();
    refresher.stop().await;
    registry.report().checks()[0].clone()
}

#[tokio::test]
async fn a_tcp_service_that_accepts_passes_and_one_that_is_not_there_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(asked(tcp_check("redis", address.as_str())).await.status(), Status::Pass);
    drop(listener);
    for (address, output) in [(address.as_str(), "refused"), ("not an address", "")] {
        let report = asked(tcp_check("redis", address)).await;
        assert_eq!(report.status(), Status::Fail, "{address}");
        assert!(report.output().unwrap().contains(output), "{report:?}");
    }
}

#[tokio::test]
async fn an_http_service_passes_from_200_to_399_and_fails_else() {
    for (status, passes) in
        [(200, true), (204, true), (302, true), (399, true), (400, false), (404, false), (503, false)]
    {
        let client = service_fn(move |request: Request<Full<Bytes>>| async move {
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/healthz"));
            let body = Full::new(Bytes::from(vec![b'x'; 3 * MAX_BODY]));
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, BoxError>(response)
        });
        let report = asked(http_check("search", client, "http://search/healthz".parse().unwrap())).await;
        assert_eq!(report.status() == Status::Pass, passes, "{status}");
        assert_eq!(report.output().is_none(), passes, "{status}");
    }
}

#[tokio::test]
async fn an_http_service_that_cannot_be_reached_fails_with_its_causes() {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let report = asked(http_check("search", client, uri)).await;
    assert_eq!(report.status(), Status::Fail);
    assert!(report.output().unwrap().contains("refused"), "{report:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_disk_with_room_passes_and_one_without_fails() {
    use flashops_tower::health::{DiskThresholds, disk_check};

    let none = DiskThresholds { share: [0, 0], bytes: [0, 0] };
    assert_eq!(asked(disk_check("disk", "/", none)).await.status(), Status::Pass);
    let all = DiskThresholds { share: [1_001, 0], bytes: [0, 0] };
    let report = asked(disk_check("disk", "/", all)).await;
    assert_eq!(report.status(), Status::Warn);
    assert!(report.output().unwrap().contains("thousandths are free"), "{report:?}");
    assert_eq!(asked(disk_check("disk", "/no/such/path", none)).await.status(), Status::Fail);
}
