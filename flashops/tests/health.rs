//! Health checks and the gate, through a whole configuration.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flashops::Controls;
use flashops::controls::EXEMPT_PATHS;
use flashops::core::clock::{Moment, Tick};
use flashops::core::config::{Config, NoSources};
use flashops::core::health::{Check, Finding, HealthRegistry};
use flashops::core::key::{Key, Scopes};
use flashops::core::record::{Event, Recorder};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// Everybody may ask twice in a minute, and call a model twice.
const TWO_OF_EACH: &str = r#"
limit = [
    { name = "rpm", scope = "global", resource = "requests", amount = 2, window = "1m", routes = ["/**"] },
]
"#;

/// Counts whatever it is told.
#[derive(Debug, Default)]
struct Told(AtomicUsize);

impl Recorder for Told {
    fn record(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Desk {
    controls: Controls,
    told: Arc<Told>,
    health: HealthRegistry,
    down: Arc<AtomicBool>,
}

impl Desk {
    fn new() -> Self {
        let (health, told, down) = (HealthRegistry::new(), Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
        let state = Arc::clone(&down);
        let look = move || {
            std::future::ready(if state.load(Ordering::Relaxed) { Finding::fail("refused") } else { Finding::pass() })
        };
        let check = Check::new("database", look).with_start_delay(Duration::ZERO);
        health.register(check).unwrap();
        let config = Config::from_toml(TWO_OF_EACH, &NoSources).unwrap();
        let clock = flashops::core::clock::CoarseClock::new();
        let controls = Controls::with(&config, clock, Arc::clone(&told)).with_health(health.clone());
        Self { controls, told, health, down }
    }

    /// The database goes up or down, and its check finds out. `hour` is greater each time.
    async fn turn(&self, down: bool, hour: u64) {
        self.down.store(down, Ordering::Relaxed);
        let mut run = self.health.start_due(Tick::from_nanos(hour * 3_600_000_000_000)).remove(0);
        let finding = (&mut run).await;
        run.finish(finding, Moment::default());
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> StatusCode {
        let service = ServiceBuilder::new().layer(self.controls.layer()).service(service_fn(|_| async {
            let answer = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
            let json = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(json.body(Full::<Bytes>::from(answer)).unwrap())
        }));
        let response = service.oneshot(request).await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        response.status()
    }

    fn used(&self) -> u64 {
        let budget = self.controls.budget();
        budget.store().standings_now(&Scopes::new().with(Key::global()), store_policy(&self.controls))[0].used
    }
}

fn store_policy(controls: &Controls) -> flashops::core::limit::LimitSet {
    controls.budget().policy().select(|_| true)
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

fn chat() -> Request<Full<Bytes>> {
    let body = r#"{"model":"gpt-4o-mini","max_tokens":5,"messages":[]}"#;
    Request::post("/v1/chat/completions").body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn probes_are_neither_limited_nor_counted_nor_recorded_nor_turned_away() {
    let desk = Desk::new();
    desk.turn(true, 1).await;
    for path in EXEMPT_PATHS {
        let path = path.replace("/**", "/detailed").replace('*', "database");
        for _ in 0..100 {
            assert_eq!(desk.send(get(&path)).await, StatusCode::OK, "{path}");
        }
    }
    assert_eq!((desk.used(), desk.told.0.load(Ordering::Relaxed)), (0, 0));
    let seen = desk.controls.tally().report(None, Moment::default(), |_| true);
    assert_eq!((seen.totals.requests, seen.rows.len()), (0, 0));
}

#[tokio::test]
async fn what_is_turned_away_while_a_check_fails_is_counted_nowhere() {
    let desk = Desk::new();
    desk.turn(true, 1).await;
    for _ in 0..10 {
        assert_eq!(desk.send(get("/pets")).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(desk.send(chat()).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!((desk.used(), desk.told.0.load(Ordering::Relaxed)), (0, 0));
    desk.turn(false, 2).await;
    assert_eq!(desk.send(get("/pets")).await, StatusCode::OK);
    assert_eq!(desk.send(chat()).await, StatusCode::OK);
    assert_eq!(desk.used(), 2);
    assert_eq!(desk.send(get("/pets")).await, StatusCode::TOO_MANY_REQUESTS, "and limits hold as ever");
}

#[tokio::test]
async fn metrics_stay_open_while_a_check_fails_and_are_limited_as_ever() {
    let desk = Desk::new();
    desk.turn(true, 1).await;
    let statuses = [desk.send(get("/api/v1/metrics")).await, desk.send(get("/metrics")).await];
    assert_eq!((statuses, desk.used()), ([StatusCode::OK; 2], 2));
    assert_eq!(desk.send(get("/metrics")).await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_service_that_shuts_down_serves_what_still_comes() {
    let desk = Desk::new();
    desk.health.shut_down();
    assert_eq!(desk.send(get("/pets")).await, StatusCode::OK);
}
