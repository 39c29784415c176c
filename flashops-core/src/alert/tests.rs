//! Alerts as they come out of a budget: who is told of what, and how often.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::*;
use crate::budget::{Budget, CallRequest};
use crate::caller::Caller;
use crate::clock::{Clock, ManualClock, UnixSeconds};
use crate::estimate::{Estimate, InputBound, OutputCap};
use crate::key::Scope;
use crate::limit::{Limit, Mode, Policy, Resource, Window};
use crate::price::{PriceBook, Prices};
use crate::record::{Ending, Event, Recorder, Tally, TokenThreshold};
use crate::store::MemoryStore;
use crate::units::Tokens;
use crate::usage::Usage;
use crate::window::Calendar;
use crate::window::calendar::CalendarUnit;

const ROUTE: &str = "/v1/chat/completions";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The clock starts with January 2026.
const JANUARY: i64 = 1_767_225_600;

struct Desk {
    budget: Budget<MemoryStore<ManualClock>>,
    alerts: Arc<Alerts>,
    clock: ManualClock,
    told: Receiver<Arc<Alert>>,
}

fn desk(limits: Vec<Limit>, rules: &AlertRules) -> Desk {
    let (policy, clock) = (Arc::new(Policy::new(limits).unwrap()), ManualClock::new());
    let store = Arc::new(MemoryStore::new(Arc::clone(&policy), clock.clone()));
    let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
    let alerts = Arc::new(Alerts::new(Arc::clone(&policy), prices.clone(), rules, clock.now()));
    let (channel, told) = ChannelSink::new(1 << 16);
    alerts.add_sink(channel);
    Desk { budget: Budget::new(store, prices, Arc::clone(&alerts)), alerts, clock, told }
}

/// A call of a caller that uses so many output tokens.
fn call(budget: &Budget<MemoryStore<ManualClock>>, caller: &Caller, output: u64) {
    let limits = budget.policy().limits_on(ROUTE, true);
    let estimate = Estimate::new(InputBound::bytes(0), OutputCap::new(Tokens::ZERO));
    let (caller, model) = (caller.clone(), "gpt-4o-mini".into());
    let request = CallRequest { caller, route: ROUTE.into(), model, estimate, limits };
    let mut call = budget.begin_now(request).unwrap().unwrap();
    call.dispatched();
    call.settle(&Usage { output: Tokens::saturating(output), ..Usage::exact() }, Ending::Complete);
}

impl Desk {
    fn call(&self, caller: &Caller, output: u64) {
        call(&self.budget, caller, output);
    }

    /// What was told since the last time, each with its subject and the word for it.
    fn told(&self) -> Vec<String> {
        self.told
            .try_iter()
            .map(|alert| format!("{} of {}: {}", alert.kind.name(), alert.subject, named(&alert)))
            .collect()
    }
}

fn named(alert: &Alert) -> String {
    match &alert.kind {
        AlertKind::Threshold { share, .. } => format!("{} at {share}", alert.subject.name),
        _ => alert.subject.name.to_string(),
    }
}

fn ann() -> Caller {
    Caller::new("ann", "acme")
}

/// A limit on tokens that warns, so that nothing is refused here.
fn tokens(name: &str, scope: Scope, amount: u64, window: Window) -> Limit {
    Limit::new(name, scope, Resource::Tokens, amount, window).unwrap().with_mode(Mode::Warn)
}

fn monthly() -> Window {
    Window::Calendar(Calendar::new(CalendarUnit::Month, "UTC", None).unwrap())
}

fn only(change: impl FnOnce(&mut AlertRules)) -> AlertRules {
    let mut rules = AlertRules::NONE;
    change(&mut rules);
    rules
}

fn projection() -> AlertRules {
    only(|rules| rules.projection = Some(ProjectionRule::default()))
}

fn burn_rates() -> AlertRules {
    only(|rules| rules.burn_rates = BurnRule::USUAL.to_vec())
}

fn anomalies() -> AlertRules {
    only(|rules| rules.anomaly = Some(AnomalyRule::default()))
}

#[test]
fn thresholds_of_limits_of_every_scope_are_told_by_the_name_of_whom_they_count() {
    let limits =
        Scope::ALL.map(|scope| tokens(scope.name(), scope, 100, Window::Lifetime).with_thresholds([500]).unwrap());
    let desk = desk(limits.to_vec(), &AlertRules::NONE);
    desk.call(&ann().at("192.0.2.7".parse().unwrap()), 60);
    desk.call(&ann().at("192.0.2.7".parse().unwrap()), 60);
    assert_eq!(
        desk.told(),
        [
            "threshold of user ann of acme: user at 500",
            "threshold of org acme: org at 500",
            "threshold of ip 192.0.2.7: ip at 500",
            "threshold of route /v1/chat/completions: route at 500",
            "threshold of model gpt-4o-mini: model at 500",
            "threshold of provider openai: provider at 500",
            "threshold of all together: global at 500",
        ]
    );
}

#[test]
fn a_threshold_is_of_interest_until_its_period_is_over_and_urgent_from_the_amount_on() {
    let windows = [Window::Sliding(HOUR), monthly(), Window::Lifetime];
    let limits = windows
        .into_iter()
        .enumerate()
        .map(|(i, window)| tokens(&i.to_string(), Scope::Org, 100, window).with_thresholds([500, 1_000]).unwrap());
    let desk = desk(limits.collect(), &AlertRules::NONE);
    desk.clock.advance(DAY);
    desk.call(&ann(), 100);
    let (now, day) = (JANUARY + 86_400, 86_400);
    let found: Vec<_> = desk.told.try_iter().map(|alert| (alert.at.unix.0, alert.until.0, alert.severity)).collect();
    let both = |until| [(now, until, Severity::Ticket), (now, until, Severity::Page)];
    assert_eq!(found, [both(now + 3_600), both(JANUARY + 31 * day), both(now + day)].concat());
}

#[test]
fn the_threshold_of_the_tally_is_told_too() {
    let desk = desk(Vec::new(), &AlertRules::NONE);
    let alerts = Arc::clone(&desk.alerts);
    let told = Arc::clone(&alerts);
    let tally = Tally::with_bounds(TokenThreshold::new(100, HOUR).unwrap(), 10)
        .on_threshold(move |reached| told.record(&Event::OrgThreshold(reached)));
    let budget = Budget::new(Arc::clone(desk.budget.store()), desk.budget.price_handle().clone(), tally);
    let both = Desk { budget, alerts, ..desk };
    both.call(&ann(), 99);
    assert_eq!(both.told(), [""; 0]);
    both.clock.advance(HOUR / 2);
    both.call(&ann(), 1);
    let alert = both.told.try_recv().unwrap();
    assert_eq!(alert.to_string(), "threshold_tokens: org acme came up to 100 %: used 100 tokens of 100 tokens");
    assert_eq!((alert.at, alert.until), (both.clock.now(), UnixSeconds(JANUARY + 1_800 + 3_600)));
}

#[test]
fn a_month_that_will_cost_too_much_is_told_once_and_the_next_one_again() {
    let desk = desk(vec![tokens("budget", Scope::Org, 31_000, monthly())], &projection());
    let mut days = Vec::new();
    // Evenly it is 1,000 a day in January. February begins with little.
    for day in 0..59 {
        let amount = if (31..34).contains(&day) { 100 } else { 1_300 };
        desk.call(&ann(), amount);
        days.extend(desk.told.try_iter().map(|alert| (day, alert.kind.clone(), alert.until.0)));
        desk.clock.advance(DAY);
    }
    let of = |used, projected| AlertKind::Projection { used, projected, amount: 31_000 };
    let ends = [31, 59].map(|day| JANUARY + day * 86_400);
    // After four of 31 days, five times 1,300.
    let (january, february) = (of(6_500, 50_375), days.get(1).cloned().unwrap());
    assert_eq!(days[0], (4, january, ends[0]));
    let AlertKind::Projection { used, projected, .. } = february.1 else { panic!("{february:?}") };
    let seen = u64::try_from(february.0).unwrap() - 31;
    assert_eq!((projected, february.2, days.len()), (used * 28 / seen, ends[1], 2));
    assert!(
        projected >= 31_000 && (used - 1_300) * 28 / (seen - 1) < 31_000,
        "it was the first day on which it was so"
    );
}

#[test]
fn a_period_that_began_before_the_process_is_projected_from_what_was_seen() {
    let (clock, policy) = (ManualClock::new(), vec![tokens("budget", Scope::Org, 1_000, monthly())]);
    clock.advance(20 * DAY);
    let policy = Arc::new(Policy::new(policy).unwrap());
    let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
    let alerts = Arc::new(Alerts::new(Arc::clone(&policy), prices.clone(), &projection(), clock.now()));
    let (channel, told) = ChannelSink::new(8);
    alerts.add_sink(channel);
    let store = Arc::new(MemoryStore::new(policy, clock.clone()));
    let desk = Desk { budget: Budget::new(store, prices, Arc::clone(&alerts)), alerts, clock, told };
    desk.clock.advance(4 * DAY);
    // 400 in the four days that were seen are 1,100 in the eleven until the end; in 24 they would have been 516.
    desk.call(&ann(), 400);
    let kind = desk.told.try_recv().map(|alert| alert.kind.clone());
    assert_eq!(kind, Ok(AlertKind::Projection { used: 400, projected: 1_100, amount: 1_000 }));
}

#[test]
fn what_is_used_up_already_is_no_projection() {
    let desk = desk(vec![tokens("budget", Scope::Org, 1_000, monthly())], &projection());
    desk.clock.advance(10 * DAY);
    desk.call(&ann(), 1_000);
    assert_eq!(desk.told(), [""; 0]);
}

#[test]
fn each_key_of_each_limit_is_watched_by_itself() {
    let limits = vec![tokens("user", Scope::User, 1_000, monthly()), tokens("org", Scope::Org, 1_500, monthly())];
    let desk = desk(limits, &projection());
    desk.clock.advance(10 * DAY);
    for (name, expected) in [
        ("ann", &["projection of user ann of acme: user"][..]),
        ("bob", &["projection of user bob of acme: user", "projection of org acme: org"]),
        ("ann", &[]),
        ("bob", &[]),
    ] {
        desk.call(&Caller::new(name, "acme"), 350);
        assert_eq!(desk.told(), expected, "{name}");
    }
}

#[test]
fn a_limit_that_burns_fast_is_told_by_each_rule_that_it_breaks() {
    let desk = desk(vec![tokens("budget", Scope::Org, 720_000, Window::Sliding(30 * DAY))], &burn_rates());
    // 20,000 in an hour at once: the first rule is from 14,400 in an hour, the second from 36,000 in six, the third
    // from 72,000 in a day.
    let mut told = Vec::new();
    for minute in 0..240 {
        desk.call(&ann(), 333);
        told.extend(desk.told.try_iter().map(|alert| (minute, alert)));
        desk.clock.advance(Duration::from_secs(60));
    }
    let factors: Vec<_> = told
        .iter()
        .map(|(minute, alert)| match alert.kind {
            AlertKind::BurnRate { factor, .. } => (*minute, factor, alert.severity),
            _ => panic!("{alert:?}"),
        })
        .collect();
    let (page, ticket) = (Severity::Page, Severity::Ticket);
    assert_eq!(factors, [(43, 14_400, page), (108, 6_000, page), (216, 3_000, ticket)]);
    // The call of five minutes before is in the oldest bucket, which counts whole.
    let first = &told[0].1;
    let rates =
        "budget: org acme uses 720000 tokens 14.652 times too fast in 3600 s, 23.976 times in 300 s, of 14.4 times";
    assert_eq!((first.to_string(), first.until.0), (rates.to_owned(), JANUARY + 43 * 60 + 3_600));
}

#[test]
fn limits_that_no_rate_is_meant_for_are_not_watched() {
    let request = |name: &str| Limit::new(name, Scope::Org, Resource::Requests, 1, Window::Sliding(DAY)).unwrap();
    let limits = vec![
        tokens("hourly", Scope::Org, 1, Window::Sliding(HOUR)),
        tokens("for-life", Scope::Org, 1, Window::Lifetime),
        tokens("shadow", Scope::Org, 1, Window::Sliding(DAY)).with_mode(Mode::Shadow),
        tokens("none", Scope::Org, 0, Window::Sliding(DAY)),
        request("everything").with_mode(Mode::Warn).with_routes(["/**"]).unwrap(),
        Limit::concurrency("at-once", Scope::Org, 1).unwrap().with_mode(Mode::Warn),
    ];
    let desk = desk(limits, &burn_rates());
    for _ in 0..100 {
        desk.call(&ann(), 1_000_000);
    }
    assert_eq!(desk.told(), [""; 0]);
}

#[test]
fn an_hour_that_is_out_of_the_ordinary_is_told_of_the_user_and_of_all_together() {
    let desk = desk(Vec::new(), &anomalies());
    let bob = Caller::new("bob", "acme");
    for _ in 0..8 {
        desk.call(&ann(), 2_000);
        desk.call(&bob, 50_000);
        desk.clock.advance(HOUR);
    }
    assert_eq!(desk.told(), [""; 0], "each hour is like the others");
    desk.call(&ann(), 6_001);
    assert_eq!(desk.told(), ["anomaly of user ann of acme: anomaly"; 2], "tokens and money, and in all it is little");
    desk.call(&ann(), 6_001);
    assert_eq!(desk.told(), [""; 0]);
    desk.call(&bob, 145_000);
    assert_eq!(desk.told(), ["anomaly of all together: anomaly"; 2], "bob is within three times its usual hour");
    desk.clock.advance(HOUR);
    desk.call(&ann(), 6_001);
    assert_eq!(desk.told(), ["anomaly of user ann of acme: anomaly"; 2], "and once in the next hour");
}

#[test]
fn a_user_that_costs_too_much_in_a_month_is_told_and_the_projection_can_be_asked_for() {
    let prices = PriceBook::embedded().unit();
    let cost = |decimal| prices.parse(decimal).unwrap();
    let desk = desk(Vec::new(), &only(|rules| rules.month = Some(MonthRule { each: Some(cost("10")) })));
    desk.clock.advance(10 * DAY);
    // A million output tokens are 0.60 USD: 3.20 of them are 1.92, 5.952 in 31 days.
    desk.call(&ann(), 3_200_000);
    let month = desk.alerts.month(desk.clock.now()).unwrap();
    assert_eq!((month.active_users, month.cost, month.projected), (1, cost("1.92"), Some(cost("5.952"))));
    desk.call(&Caller::new("bob", "acme"), 3_200_000);
    assert_eq!(desk.told(), [""; 0], "still 5.952 each");
    let month = desk.alerts.month(desk.clock.now()).unwrap();
    assert_eq!((month.active_users, month.projected_each), (2, Some(cost("5.952"))));
    desk.call(&ann(), 5_000_000);
    let alert = desk.told.try_recv().unwrap();
    assert_eq!(
        alert.to_string(),
        "user_month: all together will cost 10.602 USD for each of 2 active users until the month ends, of 10 USD"
    );
}

/// Sixty-four threads that settle at once, so many calls each.
fn flood(desk: &Desk, calls: u64, amount: u64) {
    let (start, budget) = (Barrier::new(64), &desk.budget);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..calls {
                    call(budget, &ann(), amount);
                }
            });
        }
    });
}

fn counted(desk: &Desk) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for told in desk.told() {
        *counts.entry(told).or_insert(0) += 1;
    }
    counts
}

#[test]
fn sixty_four_threads_are_told_exactly_once_of_each_limit_key_and_threshold() {
    let shares = [1, 100, 250, 500, 750, 800, 900, 1_000];
    let limit = |name: &str, scope, window| tokens(name, scope, 6_400, window).with_thresholds(shares).unwrap();
    let limits = vec![
        limit("user", Scope::User, monthly()),
        limit("org", Scope::Org, Window::Sliding(HOUR)),
        limit("all", Scope::Global, Window::Lifetime),
        Limit::new("calls", Scope::Org, Resource::Cost, 384, Window::Lifetime).unwrap().with_mode(Mode::Warn),
    ];
    let desk = desk(limits, &AlertRules::NONE);
    flood(&desk, 100, 1);
    let counts = counted(&desk);
    assert_eq!(counts.len(), 3 * shares.len(), "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[test]
fn sixty_four_threads_are_told_exactly_once_of_each_projection_burn_rate_and_anomaly() {
    let budget = tokens("budget", Scope::User, 31_000_000, monthly());
    let desk = desk(vec![budget], &AlertRules::default());
    for _ in 0..240 {
        desk.call(&ann(), 1_000);
        desk.clock.advance(HOUR);
    }
    assert_eq!(desk.told(), [""; 0], "evenly it would be 41,666 an hour");
    // 10.24 million in one moment, of 31: 24 times the even use of ten days, and no longer evenly.
    flood(&desk, 100, 1_600);
    let expected = [
        ("projection of user ann of acme: budget", 1),
        ("burn-rate of user ann of acme: budget", 3),
        ("anomaly of user ann of acme: anomaly", 2),
        ("anomaly of all together: anomaly", 2),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(told, count)| (told.to_owned(), count)).collect();
    assert_eq!(counted(&desk), expected);
}

#[test]
fn a_flood_of_keys_tells_nobody_twice_and_what_has_no_room_is_counted() {
    let desk = desk(vec![tokens("budget", Scope::User, 1_000, monthly())], &projection());
    desk.clock.advance(10 * DAY);
    let stranger = |n: u32| Caller::anonymous(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n).into());
    desk.call(&ann(), 400);
    assert_eq!(desk.told().len(), 1);
    let most = u32::try_from(Alerts::MAX_KEYS).unwrap();
    for n in 0..2 * most {
        desk.call(&stranger(n), 400);
    }
    assert_eq!(desk.told().len(), Alerts::MAX_KEYS / 2, "strangers have half of the places");
    assert_eq!(desk.alerts.unwatched(), u64::from(2 * most - most / 2));
    for n in 0..2 * most {
        desk.call(&stranger(n), 1);
    }
    desk.call(&ann(), 1);
    assert_eq!(desk.told(), [""; 0]);
    // Whoever comes now may have been refused before, so what it used is reckoned from now on.
    let bob = Caller::new("bob", "acme");
    desk.call(&bob, 400);
    desk.clock.advance(4 * DAY);
    desk.call(&bob, 1);
    assert_eq!(desk.told(), ["projection of user bob of acme: budget"], "who is known has room beside them");
}

#[test]
fn another_policy_keeps_what_was_told_of_a_limit_that_is_the_same_and_knows_calls_that_began_before() {
    let same = || tokens("budget", Scope::Org, 1_000, monthly());
    let before = desk(vec![same(), tokens("gone", Scope::User, 1_000_000, monthly())], &projection());
    before.clock.advance(10 * DAY);
    before.call(&ann(), 400);
    assert_eq!(before.told(), ["projection of org acme: budget"]);
    // The limit that was the first is the second now, after one that was not there.
    let policy = Arc::new(Policy::new(vec![tokens("new", Scope::User, 2_000, monthly()), same()]).unwrap());
    let store = before.budget.store().succeed(Arc::clone(&policy));
    before.alerts.replace(policy, &projection(), before.clock.now());
    let after = before.budget.with_store(store);
    call(&after, &ann(), 1);
    assert_eq!(before.told(), [""; 0], "it was told, and the new one has seen nothing of the month yet");
    // Of another organisation 200 come with a call that began before, and 200 after.
    let other = Caller::new("bob", "initech");
    before.call(&other, 200);
    assert_eq!(before.told(), [""; 0]);
    call(&after, &other, 200);
    assert_eq!(before.told(), ["projection of org initech: budget"]);
    before.clock.advance(4 * DAY);
    call(&after, &ann(), 400);
    // 401 in the four days since it is there make 2,105 in the 21 until the end.
    assert_eq!(before.told(), ["projection of user ann of acme: new"]);
}

#[test]
fn a_channel_drops_what_has_no_room_and_counts_it() {
    let limit = tokens("budget", Scope::User, 100, Window::Lifetime).with_thresholds([500]).unwrap();
    let desk = desk(vec![limit], &AlertRules::NONE);
    let (channel, slow) = ChannelSink::new(2);
    desk.alerts.add_sink(channel.clone());
    for user in ["ann", "bob", "cid", "dan"] {
        desk.call(&Caller::new(user, "acme"), 60);
    }
    let kept: Vec<_> = slow.try_iter().map(|alert| alert.subject.key.to_string()).collect();
    assert_eq!((kept, channel.dropped()), (vec!["ann".to_owned(), "bob".to_owned()], 2));
    drop(slow);
    desk.call(&Caller::new("eve", "acme"), 60);
    assert_eq!((channel.dropped(), desk.told().len()), (3, 5), "the other sink got all of them");
}
