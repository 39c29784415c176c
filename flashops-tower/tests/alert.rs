//! Alerts on their way to the log and to webhooks.

#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flashops_core::alert::{AlertRules, Alerts, WebhookUrl};
use flashops_core::budget::{Budget, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::clock::{Clock, ManualClock};
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Mode, Policy, Resource, Window};
use flashops_core::price::{PriceBook, Prices};
use flashops_core::record::Ending;
use flashops_core::store::MemoryStore;
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use flashops_core::window::calendar::{Calendar, CalendarUnit};
use flashops_tower::alert::{Delivery, Webhook, WebhookForm};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower::{Service, service_fn};

const DAY: Duration = Duration::from_secs(86_400);

/// Calls that settle, and whoever is told of them.
struct Desk {
    budget: Budget<MemoryStore<ManualClock>>,
    alerts: Arc<Alerts>,
    clock: ManualClock,
}

impl Desk {
    fn new(limits: Vec<Limit>, rules: &AlertRules) -> Self {
        let (policy, clock) = (Arc::new(Policy::new(limits).unwrap()), ManualClock::new());
        let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
        let alerts = Arc::new(Alerts::new(Arc::clone(&policy), prices.clone(), rules, clock.now()));
        let store = Arc::new(MemoryStore::new(policy, clock.clone()));
        Self { budget: Budget::new(store, prices, Arc::clone(&alerts)), alerts, clock }
    }

    /// A desk whose every user is told of with its first call.
    fn telling() -> Self {
        let limit = Limit::new("grant", Scope::User, Resource::Tokens, 100, Window::Lifetime).unwrap();
        Self::new(vec![limit.with_mode(Mode::Warn).with_thresholds([500]).unwrap()], &AlertRules::NONE)
    }

    fn call(&self, user: &str, org: &str, output: u64) {
        let limits = self.budget.policy().limits_on("/v1/chat/completions", true);
        let request = CallRequest {
            caller: Caller::new(user, org),
            route: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            estimate: Estimate::new(InputBound::bytes(0), OutputCap::new(Tokens::ZERO)),
            limits,
        };
        let mut call = self.budget.begin_now(request).unwrap().unwrap();
        call.dispatched();
        call.settle(&Usage { output: Tokens::saturating(output), ..Usage::exact() }, Ending::Complete);
    }

    fn tell_of(&self, users: std::ops::Range<u64>) {
        users.for_each(|user| self.call(&user.to_string(), "acme", 60));
    }

    fn webhook<S>(&self, form: WebhookForm, client: S) -> (Webhook, Delivery)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let url = WebhookUrl::new("http://hooks.internal/secret").unwrap();
        let link = Some("https://gateway.example.com/usage?a=1&b=2".to_owned());
        let (webhook, delivery) = Webhook::spawn(client, form, &url, link).unwrap();
        self.alerts.add_sink(webhook.clone());
        (webhook, delivery)
    }
}

/// What a webhook was asked for, and when.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<Attempt>>>);

type Attempt = (Instant, Request<String>);

impl Asked {
    /// A client that answers with these in order, and with 200 afterwards.
    fn answering(
        &self,
        answers: impl IntoIterator<Item = StatusCode>,
    ) -> impl Service<
        Request<Full<Bytes>>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send,
    > + Send
    + 'static {
        let asked = self.0.clone();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        service_fn(move |request: Request<Full<Bytes>>| {
            let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
            async move {
                let (parts, body) = request.into_parts();
                let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                asked.lock().unwrap().push((Instant::now(), Request::from_parts(parts, body)));
                let mut response = Response::new(Full::default());
                *response.status_mut() = answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK);
                Ok(response)
            }
        })
    }

    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().iter().map(|(_, request)| serde_json::from_str(request.body()).unwrap()).collect()
    }

    fn first(&self) -> Request<String> {
        self.0.lock().unwrap()[0].1.clone()
    }

    fn seconds_since(&self, start: Instant) -> Vec<u64> {
        self.0.lock().unwrap().iter().map(|(at, _)| (*at - start).as_secs()).collect()
    }
}

/// A month of which 31,000 tokens may be used, in which one of each kind is told.
fn one_of_each(desk: &Desk) {
    for _ in 0..240 {
        desk.call("a<b>&c", "acme \"7\"", 100);
        desk.clock.advance(Duration::from_secs(3_600));
    }
    desk.call("a<b>&c", "acme \"7\"", 25_000);
}

fn monthly() -> Desk {
    let month = Window::Calendar(Calendar::new(CalendarUnit::Month, "UTC", None).unwrap());
    let limit = Limit::new("budget", Scope::User, Resource::Tokens, 100_000, month).unwrap();
    let mut rules = AlertRules::default();
    rules.burn_rates.truncate(1);
    Desk::new(vec![limit.with_mode(Mode::Warn).with_thresholds([400]).unwrap()], &rules)
}

/// The labels of an alert.
fn of(name: &str, scope: &str, limit: &str, resource: &str, severity: &str) -> Value {
    let mut labels = json!({
        "alertname": name, "severity": severity, "limit": limit, "scope": scope, "resource": resource,
    });
    if scope == "user" {
        (labels["key"], labels["org"]) = ("a<b>&c".into(), "acme \"7\"".into());
    }
    labels
}

/// An alert as an Alertmanager takes it.
fn alert(mut labels: Value, more: Option<(&str, &str)>, summary: &str, until: &str) -> Value {
    more.into_iter().for_each(|(name, value)| labels[name] = value.into());
    json!({
        "labels": labels,
        "annotations": { "summary": summary },
        "startsAt": "2026-01-11T00:00:00Z",
        "endsAt": until,
        "generatorURL": "https://gateway.example.com/usage?a=1&b=2",
    })
}

#[tokio::test(start_paused = true)]
async fn an_alertmanager_gets_each_kind_of_alert_in_the_form_of_its_second_version() {
    let (desk, asked) = (monthly(), Asked::default());
    let (webhook, delivery) = desk.webhook(WebhookForm::Alertmanager, asked.answering([]));
    one_of_each(&desk);
    delivery.finish(Duration::from_secs(1)).await;
    assert_eq!(webhook.counts().delivered, 7);
    let request = asked.first();
    assert_eq!(
        (request.method().as_str(), request.uri()),
        ("POST", &"http://hooks.internal/secret/api/v2/alerts".parse().unwrap())
    );
    assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
    let who = "user a<b>&c of acme \"7\"";
    let (month, hour) = ("2026-02-01T00:00:00Z", "2026-01-11T01:00:00Z");
    let anomaly = |scope: &str, who: &str, resource: &str, used: &str, usual: &str| {
        let labels = of("FlashopsAnomaly", scope, "anomaly", resource, "ticket");
        let summary = format!("anomaly: {who} used {used} in this period of 3600 s, and usually {usual}");
        // The clock begins a second after its origin, from which hours are counted.
        alert(labels, None, &summary, "2026-01-11T00:59:59Z")
    };
    let expected = json!([
        alert(
            of("FlashopsProjection", "user", "budget", "tokens", "ticket"),
            None,
            &format!(
                "budget: {who} will use 151900 tokens of 100000 tokens until the period ends, if it goes on so: used 49000 tokens"
            ),
            month,
        ),
        alert(
            of("FlashopsBurnRate", "user", "budget", "tokens", "page"),
            Some(("factor", "14.4")),
            &format!(
                "budget: {who} uses 100000 tokens 180.72 times too fast in 3600 s, 2160 times in 300 s, of 14.4 times"
            ),
            hour,
        ),
        anomaly("user", who, "tokens", "25000 tokens", "100 tokens"),
        anomaly("user", who, "cost", "0.015 USD", "0.00006 USD"),
        anomaly("global", "all together", "tokens", "25000 tokens", "100 tokens"),
        anomaly("global", "all together", "cost", "0.015 USD", "0.00006 USD"),
        alert(
            of("FlashopsThreshold", "user", "budget", "tokens", "ticket"),
            Some(("threshold", "0.4")),
            &format!("budget: {who} came up to 40 %: used 49000 tokens of 100000 tokens"),
            month,
        ),
    ]);
    let told = asked.bodies();
    assert_eq!(told, [expected]);
}

#[tokio::test(start_paused = true)]
async fn slack_gets_one_line_for_each_alert_and_nobody_is_called_by_a_name() {
    let (desk, asked) = (Desk::telling(), Asked::default());
    let (webhook, delivery) = desk.webhook(WebhookForm::Slack, asked.answering([]));
    desk.call("<!channel> & co", "a > b", 60);
    desk.call("ann", "acme", 70);
    delivery.finish(Duration::from_secs(1)).await;
    let text = "[ticket] grant: user &lt;!channel&gt; &amp; co of a &gt; b came up to 50 %: used 60 tokens of 100 tokens\n\
                [ticket] grant: user ann of acme came up to 50 %: used 70 tokens of 100 tokens\n\
                <https://gateway.example.com/usage?a=1&amp;b=2|More>";
    assert_eq!(asked.bodies(), [json!({ "text": text })]);
    let request = asked.first();
    assert_eq!(request.uri(), &"http://hooks.internal/secret".parse::<http::Uri>().unwrap());
    assert_eq!(webhook.counts().delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_accepts_and_never_answers_delays_no_call_and_its_queue_is_bounded() {
    let desk = Desk::telling();
    let client = service_fn(|_: Request<Full<Bytes>>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let (webhook, _delivery) = desk.webhook(WebhookForm::Slack, client);
    desk.tell_of(0..32);
    // The task takes the first ones, and waits for its answer.
    yield_now().await;
    let start = Instant::now();
    // Nothing here awaits: whatever waited for the webhook would never come back.
    desk.tell_of(32..10_000);
    assert_eq!(webhook.counts().dropped, 10_000 - 32 - 256);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let settled = desk.budget.store().stats().reservations;
    assert_eq!(settled, 0, "every call is settled");
    // Nine batches of four attempts each of five seconds, with pauses of 1, 2 and 4 s.
    for _ in 0..9 {
        assert_ne!(webhook.counts().given_up, 288);
        for _ in 0..27 {
            advance(Duration::from_secs(1)).await;
            yield_now().await;
        }
    }
    yield_now().await;
    assert_eq!((webhook.counts().given_up, webhook.counts().delivered), (288, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_connections_and_never_answers_delays_no_call() {
    let desk = Desk::telling();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = WebhookUrl::new(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client = client.build_http::<Full<Bytes>>();
    let (webhook, delivery) = Webhook::spawn(client, WebhookForm::Alertmanager, &url, None).unwrap();
    desk.alerts.add_sink(webhook.clone());
    desk.tell_of(0..10);
    let (kept, _) = listener.accept().await.unwrap();
    desk.tell_of(10..1_000);
    assert_eq!(desk.budget.store().stats().reservations, 0);
    delivery.finish(Duration::from_secs(3_600)).await;
    let counts = webhook.counts();
    assert_eq!((counts.delivered, counts.given_up + counts.dropped), (0, 1_000));
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_can_pass_is_tried_again_with_pauses_and_any_other_is_not() {
    let (busy, bad) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_REQUEST);
    let down = StatusCode::BAD_GATEWAY;
    for (answers, delivered, given_up, at) in [
        (vec![], 1, 0, &[0][..]),
        (vec![down, busy], 1, 0, &[0, 1, 3]),
        (vec![down, down, down], 1, 0, &[0, 1, 3, 7]),
        (vec![down, down, down, down], 0, 1, &[0, 1, 3, 7]),
        (vec![bad], 0, 1, &[0]),
        (vec![StatusCode::FOUND], 0, 1, &[0]),
    ] {
        let (desk, asked, start) = (Desk::telling(), Asked::default(), Instant::now());
        let (webhook, delivery) = desk.webhook(WebhookForm::Slack, asked.answering(answers.clone()));
        desk.tell_of(0..1);
        delivery.finish(DAY).await;
        let counts = webhook.counts();
        assert_eq!((counts.delivered, counts.given_up), (delivered, given_up), "{answers:?}");
        assert_eq!(asked.seconds_since(start), at, "{answers:?}");
        let bodies = asked.bodies();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "it is the same each time");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_delivered_at_the_end_and_what_comes_later_is_counted() {
    let (desk, asked) = (Desk::telling(), Asked::default());
    let (webhook, delivery) = desk.webhook(WebhookForm::Slack, asked.answering([]));
    desk.tell_of(0..100);
    delivery.finish(Duration::from_secs(1)).await;
    desk.tell_of(100..110);
    let counts = webhook.counts();
    assert_eq!((counts.delivered, counts.given_up, counts.dropped), (100, 0, 10));
    let lines: Vec<usize> = asked.bodies().iter().map(|body| body["text"].as_str().unwrap().lines().count()).collect();
    assert_eq!(lines, [33, 33, 33, 5], "32 at once, and a link");
}

#[tokio::test]
async fn the_url_of_a_webhook_is_shown_nowhere() {
    let desk = Desk::telling();
    let (webhook, delivery) = desk.webhook(WebhookForm::Slack, Asked::default().answering([]));
    assert!(!format!("{webhook:?} {delivery:?} {:?}", desk.alerts).contains("secret"));
    let url = WebhookUrl::new("http://[/secret").unwrap();
    let client = Asked::default().answering([]);
    let error = Webhook::spawn::<_, Full<Bytes>, _>(client, WebhookForm::Slack, &url, None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}
