//! Alerts, from a configuration to whoever is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use flashops::core::alert::{Alert, ChannelSink};
use flashops::core::config::{Config, NoSources};
use flashops::core::store::Store;
use flashops::core::units::MoneyUnit;
use support::{CALLERS, CHAT, Desk, Script, ask, get, read, stream, with_header, with_script};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const MONTHLY: &str = r#"
    [[limit]]
    name = "monthly"
    scope = "org"
    resource = "cost"
    amount = "1.00"
    window = "month"
"#;

fn told_of(config: &str) -> (Desk, Receiver<Arc<Alert>>) {
    let desk = Desk::new(config);
    let (channel, told) = ChannelSink::new(64);
    desk.controls.alerts().add_sink(channel);
    (desk, told)
}

/// A call of a caller that reports so many tokens of output.
fn call(desk: &Desk, key: &str, output: u64) {
    let answer = desk.send(with_header(with_script(ask(CHAT), Script::used(0, output)), "x-api-key", key));
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn lines(told: &Receiver<Arc<Alert>>) -> Vec<String> {
    told.try_iter().map(|alert| alert.to_string()).collect()
}

#[test]
fn a8_a_hundred_thousand_tokens_in_an_hour_are_told_of_an_organisation_once() {
    let (desk, told) = told_of("");
    for _ in 0..3 {
        call(&desk, "sk-ann", 49_999);
        call(&desk, "sk-namesake", 20_000);
    }
    assert_eq!(
        lines(&told),
        ["threshold_tokens: org acme came up to 100 %: used 149997 tokens of 100000 tokens"],
        "twice that is 99,998, and the other organisation is below"
    );
    desk.clock.advance(2 * HOUR);
    call(&desk, "sk-ann", 100_000);
    assert_eq!(lines(&told).len(), 1, "and again after an hour in which it was low");
}

#[test]
fn a8_a_limit_of_tokens_tells_its_thresholds_also_of_a_stream_whose_client_left() {
    let limit =
        "[[limit]]\nname = \"tenant\"\nscope = \"org\"\nresource = \"tokens\"\namount = 1000\nwindow = \"1h\"\n";
    let (desk, told) = told_of(&format!("{limit}[alerts]\nthresholds = [0.05, 0.8, 1.0]"));
    let mut body = desk.open(stream(CHAT, 20, "[reply 9]")).into_body();
    read(&mut body, 2);
    assert_eq!(lines(&told), [""; 0], "what is only held is not used");
    drop(body);
    assert_eq!(lines(&told).len(), 1, "the twentieth");
    call(&desk, "sk-ann", 700);
    let used = desk.used()[0];
    assert_eq!(lines(&told), [format!("tenant: org acme came up to 80 %: used {used} tokens of 1000 tokens")]);
    call(&desk, "sk-ann", 200);
    assert_eq!(lines(&told).len(), 1, "all of it");
    desk.send(ask(CHAT));
    assert_eq!(lines(&told), [""; 0]);
}

#[test]
fn b3_a_month_is_projected_in_all_and_for_each_active_user_and_told_once_if_it_is_too_much() {
    let (desk, told) =
        told_of("[alerts]\nuser_month = \"10\"\nanomaly = false\n[policy]\nthreshold_tokens = 1000000000");
    // A million tokens of output are 0.60 USD: in the month there are 9.00 and 3.00, after ten of 31 days.
    desk.clock.advance(5 * DAY);
    call(&desk, "sk-ann", 15_000_000);
    desk.clock.advance(5 * DAY);
    call(&desk, "sk-root", 5_000_000);
    let month = desk.controls.alerts().month(desk.controls.budget().store().now()).unwrap();
    let usd = |decimal| MoneyUnit::NANO_USD.parse(decimal).unwrap();
    assert_eq!((month.active_users, month.cost), (2, usd("12")));
    assert_eq!((month.projected, month.projected_each), (Some(usd("37.2")), Some(usd("18.6"))));
    // 9.00 in five days make 55.80 in 31, which was too much for one user at once.
    let line = "user_month: all together will cost 55.8 USD for each of 1 active users until the month ends, of 10 USD";
    assert_eq!(lines(&told), [line]);
    call(&desk, "sk-namesake", 15_000_000);
    assert_eq!(lines(&told), [""; 0]);
}

#[test]
fn b5_money_is_told_at_its_thresholds_when_it_will_not_last_and_when_it_goes_too_fast() {
    let (desk, told) = told_of(&format!("{MONTHLY}[alerts]\nanomaly = false"));
    // Evenly a dollar in January is 0.13 cents an hour.
    for _ in 0..240 {
        call(&desk, "sk-ann", 2_000);
        desk.clock.advance(HOUR);
    }
    assert_eq!(lines(&told), [""; 0], "28.8 cents in ten days");
    call(&desk, "sk-ann", 300_000);
    let projected =
        "monthly: org acme will use 1.4508 USD of 1 USD until the period ends, if it goes on so: used 0.468 USD";
    let alerts: Vec<String> = lines(&told).into_iter().filter(|line| !line.starts_with("threshold_tokens")).collect();
    assert_eq!(alerts.len(), 4, "{alerts:?}");
    assert_eq!(alerts[0], projected);
    // 18 cents, and 0.12 an hour before, are 130 times the even use of an hour.
    let burning = "monthly: org acme uses 1 USD 130.464 times too fast in 3600 s, 1555.2 times in 300 s, of 14.4 times";
    assert_eq!(alerts[1], burning);
    assert!(alerts[2].contains("of 6 times") && alerts[3].contains("of 3 times"), "{alerts:?}");
    call(&desk, "sk-ann", 560_000);
    call(&desk, "sk-ann", 400_000);
    let thresholds: Vec<String> = lines(&told).into_iter().filter(|line| line.starts_with("monthly")).collect();
    let line = |share, used| format!("monthly: org acme came up to {share} %: used {used} USD of 1 USD");
    assert_eq!(thresholds, [line(80, "0.804"), line(100, "1.044")]);
}

#[test]
fn d6_a_spike_of_tokens_and_one_of_cost_are_told_against_the_callers_own_hours() {
    let (desk, told) = told_of("[alerts]\n[policy]\nthreshold_tokens = 1000000000");
    for _ in 0..8 {
        call(&desk, "sk-ann", 2_000);
        call(&desk, "sk-namesake", 40_000);
        desk.clock.advance(HOUR);
    }
    call(&desk, "sk-ann", 6_000);
    call(&desk, "sk-namesake", 40_000);
    assert_eq!(lines(&told), [""; 0], "three times the usual is not more than that");
    call(&desk, "sk-ann", 1);
    assert_eq!(
        lines(&told),
        [
            "anomaly: user ann of acme used 6001 tokens in this period of 3600 s, and usually 2000 tokens",
            "anomaly: user ann of acme used 0.0036006 USD in this period of 3600 s, and usually 0.0012 USD",
        ]
    );
    call(&desk, "sk-ann", 50_000);
    assert_eq!(lines(&told), [""; 0], "once in an hour");
    desk.clock.advance(HOUR);
    // The same tokens of a dearer model are a spike of cost alone.
    let dear = support::ask_with(CHAT, serde_json::json!({"model": "gpt-4o", "max_tokens": 9, "messages": []}));
    desk.send(with_script(dear, Script::used(0, 2_000)));
    let line = "anomaly: user ann of acme used 0.02 USD in this period of 3600 s, and usually 0.0012 USD";
    assert_eq!(lines(&told), [line]);
}

#[test]
fn without_the_table_only_thresholds_that_limits_name_are_told() {
    let (desk, told) = told_of(&MONTHLY.replace("window", "thresholds = [0.5]\nwindow"));
    call(&desk, "sk-ann", 10);
    desk.clock.advance(10 * DAY);
    call(&desk, "sk-ann", 90_000);
    call(&desk, "sk-ann", 800_000);
    let lines: Vec<String> = lines(&told).into_iter().filter(|line| line.starts_with("monthly")).collect();
    assert_eq!(lines, ["monthly: org acme came up to 50 %: used 0.534006 USD of 1 USD"]);
    assert_eq!(desk.controls.alerts().month(desk.controls.budget().store().now()), None);
}

#[test]
fn requests_that_call_no_model_tell_their_thresholds_too() {
    let pages = "[[limit]]\nname = \"pages\"\nscope = \"user\"\nresource = \"requests\"\namount = 10\nwindow = \"1h\"\n\
                 routes = [\"/pets\"]\nthresholds = [0.3]";
    let (desk, told) = told_of(pages);
    (0..5).for_each(|_| _ = desk.send(get("/pets")));
    assert_eq!(lines(&told), ["pages: user ann of acme came up to 30 %: used 3 requests of 10 requests"]);
}

#[test]
fn what_is_watched_changes_with_the_configuration_and_where_it_goes_needs_a_restart() {
    let (desk, told) = told_of("");
    let now = || desk.controls.budget().store().now();
    assert_eq!(desk.controls.alerts().month(now()), None);
    let config = |text: &str| Config::from_toml(&format!("{CALLERS}{text}"), &NoSources).unwrap();
    desk.controls.reload(&config(&format!("{MONTHLY}[alerts]"))).unwrap();
    assert!(desk.controls.alerts().month(now()).is_some());
    call(&desk, "sk-ann", 1_400_000);
    let line = "monthly: org acme came up to 80 %: used 0.84 USD of 1 USD";
    assert!(lines(&told).iter().any(|told| told == line));
    desk.controls.reload(&config(MONTHLY)).unwrap();
    assert_eq!(desk.controls.alerts().month(now()), None);
    let refused = desk.controls.reload(&config("[alerts]\nslack = \"https://hooks.slack.com/x\"")).unwrap_err();
    let message = "[alerts] log, alertmanager, slack and link cannot change while the service runs: restart it";
    assert_eq!(refused.to_string(), message);
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn alerts_go_to_the_webhooks_of_the_configuration_and_a_dead_one_delays_nobody() {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use tower::service_fn;

    let hooks = "[alerts]\nalertmanager = \"http://alertmanager:9093/\"\nslack = \"https://hooks.slack.com/x\"";
    let config = Config::from_toml(hooks, &NoSources).unwrap();
    let (desk, _told) = told_of("");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    // The Alertmanager accepts, and never answers.
    let client = service_fn(move |request: Request<Full<Bytes>>| {
        told.lock().unwrap().push(request.uri().to_string());
        async move {
            if request.uri().host() == Some("alertmanager") {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let deliveries = desk.controls.deliver_alerts(config.alerts(), client).unwrap();
    assert_eq!(deliveries.len(), 2);
    for _ in 0..3 {
        call(&desk, "sk-ann", 100_000);
        tokio::task::yield_now().await;
    }
    let urls = asked.lock().unwrap().clone();
    assert_eq!(urls, ["http://alertmanager:9093/api/v2/alerts", "https://hooks.slack.com/x"]);
}
