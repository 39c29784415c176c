//! The tally, compared with the list of everything that happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::row::REST;
use super::*;
use crate::caller::Caller;
use crate::clock::{Moment, Tick, UnixSeconds};
use crate::estimate::Estimate;
use crate::key::Scope;
use crate::limit::{Denied, Limit, LimitSet, Policy, Resource, Retry, Window};
use crate::record::{CallInfo, Ending, Event, Recorder, SettledCall};
use crate::store::ReservationId;
use crate::units::{Cost, Tokens};
use crate::usage::{Quality, Usage};

const SECOND: u64 = 1_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn at(nanos: u64) -> Moment {
    Moment { tick: Tick::from_nanos(nanos), unix: UnixSeconds(0) }
}

fn call(caller: Caller, model: &str, route: &str, started: Moment) -> CallInfo {
    CallInfo { id: ReservationId::random(), caller, route: route.into(), model: model.into(), started, again: false }
}

fn settle(tally: &Tally, call: &CallInfo, tokens: u64, ended: Moment) {
    let usage = Usage { input: Tokens::saturating(tokens), ..Usage::exact() };
    let (ending, outcome) = (Ending::Complete, None);
    tally.record(&Event::Settled(&SettledCall {
        call,
        limits: LimitSet::EMPTY,
        policy: unlimited(),
        ending,
        usage: &usage,
        estimate: Estimate::default(),
        held_output: Tokens::ZERO,
        cost: None,
        price: None,
        outcome,
        first_output: None,
        ended,
    }));
}

fn deny(tally: &Tally, call: &CallInfo, policy: &Policy) {
    let limit = policy.indexed().next().unwrap().0;
    let denied = Denied { limit, violated: LimitSet::EMPTY, asked: 1, remaining: 0, retry: Retry::Never };
    tally.record(&Event::Denied { call, denied: &denied, policy });
}

/// A policy without limits.
fn unlimited() -> &'static Policy {
    static NONE: OnceLock<Policy> = OnceLock::new();
    NONE.get_or_init(|| Policy::new(Vec::new()).unwrap())
}

fn policy(name: &str) -> Policy {
    Policy::new(vec![Limit::new(name, Scope::User, Resource::Requests, 0, Window::Lifetime).unwrap()]).unwrap()
}

fn all(tally: &Tally) -> Report {
    tally.report(None, at(0), |_| true)
}

/// One thing that happened.
#[derive(Clone, Debug)]
struct Step {
    wait: u64,
    names: [usize; 4],
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Settled { input: u64, output: u64, cost: Option<u64>, quality: Quality, ending: Ending },
    Denied,
    Voided,
}

impl Step {
    fn names(&self) -> [String; 4] {
        let [org, user, model, route] = self.names;
        [format!("org-{org}"), format!("user-{user}"), format!("model-{model}"), format!("/route-{route}")]
    }

    fn tell(&self, tally: &Tally, now: Moment) {
        let [org, user, model, route] = self.names();
        let call = call(Caller::new(&user, &org), &model, &route, now);
        match self.what {
            What::Denied => deny(tally, &call, &policy("none")),
            What::Voided => tally.record(&Event::Voided { call: &call }),
            What::Settled { input, output, cost, quality, ending } => {
                let (input, reasoning) = (Tokens::saturating(input), Tokens::saturating(output));
                let usage = &Usage { cache_read: input, reasoning, quality, ..Usage::exact() };
                let (call, cost, ended) = (&call, cost.map(Cost::saturating), now);
                let (estimate, held_output) = (Estimate::default(), Tokens::ZERO);
                let (price, outcome, first_output, limits) = (None, None, None, LimitSet::EMPTY);
                let settled = SettledCall {
                    call,
                    limits,
                    policy: unlimited(),
                    ending,
                    usage,
                    estimate,
                    held_output,
                    cost,
                    price,
                    outcome,
                    first_output,
                    ended,
                };
                tally.record(&Event::Settled(&settled));
            }
        }
    }

    /// Requests, prompt, completion, estimated, unpriced, complete, rejected, failed, cut, refused, voided, cost.
    fn numbers(&self) -> [u64; 12] {
        let mut n = [0; 12];
        match &self.what {
            What::Denied => n[9] = 1,
            What::Voided => n[10] = 1,
            What::Settled { input, output, cost, quality, ending } => {
                n[..3].copy_from_slice(&[1, *input, *output]);
                let refused_free = *ending == Ending::Rejected && *input + *output == 0;
                n[3] = (*quality != Quality::Exact && !refused_free).into();
                n[4] = cost.is_none().into();
                let endings = [Ending::Complete, Ending::Rejected, Ending::Failed, Ending::Cut];
                n[5 + endings.iter().position(|other| other == ending).unwrap()] = 1;
                n[11] = cost.unwrap_or(0);
            }
        }
        n
    }
}

fn numbers(totals: &Totals) -> [u64; 12] {
    let t = totals;
    let ends = [t.complete(), t.rejected, t.failed, t.cut, t.refused, t.voided, t.cost().unwrap_or(0)];
    let mut n = [t.requests, t.prompt_tokens, t.completion_tokens, t.estimated_requests, t.unpriced_requests].to_vec();
    n.extend(ends);
    n.try_into().unwrap()
}

fn sum<'a>(steps: impl IntoIterator<Item = &'a Step>) -> [u64; 12] {
    steps.into_iter().fold([0; 12], |sum, step| {
        let numbers = step.numbers();
        std::array::from_fn(|i| sum[i] + numbers[i])
    })
}

/// The sums by names over all that happened in a window.
fn exact(log: &[(u64, Step)], window: Option<Duration>, now: u64) -> BTreeMap<[String; 4], [u64; 12]> {
    let inside = |then: u64| window.is_none_or(|window| u128::from(then) + window.as_nanos() > u128::from(now));
    let mut rows: BTreeMap<[String; 4], Vec<&Step>> = BTreeMap::new();
    for (_, step) in log.iter().filter(|(then, _)| inside(*then)) {
        rows.entry(step.names()).or_default().push(step);
    }
    rows.into_iter().map(|(names, steps)| (names, sum(steps))).collect()
}

fn reported(report: &Report) -> BTreeMap<[String; 4], [u64; 12]> {
    let names = |key: &RowKey| [key.org(), key.user(), key.model(), key.route()].map(str::to_owned);
    report.rows.iter().map(|row| (names(&row.key), numbers(&row.totals))).collect()
}

fn any_step() -> impl Strategy<Value = Step> {
    let ending = prop::sample::select(vec![Ending::Complete, Ending::Rejected, Ending::Failed, Ending::Cut]);
    let quality = prop::sample::select(vec![Quality::Absent, Quality::Estimated, Quality::Exact]);
    let tokens = || prop_oneof![1 => Just(0), 3 => 0_u64..5_000];
    let settled = (tokens(), tokens(), prop::option::of(0_u64..1_000_000), quality, ending)
        .prop_map(|(input, output, cost, quality, ending)| What::Settled { input, output, cost, quality, ending });
    let what = prop_oneof![6 => settled, 1 => Just(What::Denied), 1 => Just(What::Voided)];
    let wait = prop_oneof![4 => 0..2 * SECOND, 4 => 0..300 * SECOND, 2 => 0..3 * 3_600 * SECOND];
    (wait, [0_usize..3, 0..3, 0..2, 0..2], what).prop_map(|(wait, names, what)| Step { wait, names, what })
}

fn any_window() -> impl Strategy<Value = Duration> {
    prop_oneof![0..120 * SECOND, 0..3 * 3_600 * SECOND, 0..=24 * 3_600 * SECOND, Just(3_600 * SECOND)]
        .prop_map(Duration::from_nanos)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_window_has_at_least_what_happened_in_it_and_at_most_what_happened_in_a_minute_more(
        steps in prop::collection::vec(any_step(), 1..150),
        asked in prop::collection::vec((any_window(), 0..3_600 * SECOND), 1..8),
    ) {
        let (tally, mut log, mut now) = (Tally::new(), Vec::new(), 77 * SECOND);
        for step in steps {
            now += step.wait;
            step.tell(&tally, at(now));
            log.push((now, step));
        }
        for (window, later) in asked {
            let then = now + later;
            let report = tally.report(Some(window), at(then), |_| true);
            let (rows, least) = (reported(&report), exact(&log, Some(window), then));
            let most = exact(&log, Some(window + Duration::from_secs(60)), then);
            for (names, least) in &least {
                let row = rows.get(names).copied().unwrap_or_default();
                prop_assert!(row.iter().zip(least).all(|(row, least)| row >= least), "{:?}", names);
            }
            for (names, row) in &rows {
                let most = most.get(names).copied().unwrap_or_default();
                prop_assert!(row.iter().zip(most).all(|(row, most)| *row <= most), "{:?}", names);
            }
            let over_rows = rows.values().fold([0; 12], |sum: [u64; 12], row| std::array::from_fn(|i| sum[i] + row[i]));
            prop_assert_eq!(numbers(&report.totals), over_rows);
        }
    }

    #[test]
    fn since_the_start_every_row_is_exact_whatever_the_order_of_times(
        steps in prop::collection::vec((any_step(), 0..100_000 * SECOND), 1..150),
    ) {
        let tally = Tally::new();
        for (step, then) in &steps {
            step.tell(&tally, at(*then));
        }
        let log: Vec<(u64, Step)> = steps.into_iter().map(|(step, then)| (then, step)).collect();
        let report = all(&tally);
        prop_assert_eq!(reported(&report), exact(&log, None, 0));
        prop_assert_eq!(numbers(&report.totals), sum(log.iter().map(|(_, step)| step)));
        let names: Vec<_> = report.rows.iter().map(|row| row.key.names()).collect();
        prop_assert!(names.is_sorted());
    }

    #[test]
    fn groups_are_the_sums_of_their_rows(steps in prop::collection::vec(any_step(), 1..100)) {
        let tally = Tally::new();
        for step in &steps {
            step.tell(&tally, at(SECOND));
        }
        let report = all(&tally);
        let dimensions = [Dimension::Org, Dimension::User, Dimension::Model, Dimension::Route];
        for (place, dimension) in dimensions.into_iter().enumerate() {
            let mut by_name: BTreeMap<String, Vec<[u64; 12]>> = BTreeMap::new();
            for group in report.grouped(dimension) {
                by_name.entry(group.name.to_string()).or_default().push(numbers(&group.totals));
            }
            for (name, groups) in by_name {
                // Users of several organisations can have one name.
                prop_assert!(groups.len() == 1 || dimension == Dimension::User);
                let sums = groups.iter().fold([0; 12], |sum: [u64; 12], n| std::array::from_fn(|i| sum[i] + n[i]));
                prop_assert_eq!(sums, sum(steps.iter().filter(|step| step.names()[place] == name)));
            }
        }
    }

    #[test]
    fn with_too_many_minutes_the_last_hour_stays_as_exact_and_the_rest_loses_nothing(
        steps in prop::collection::vec(any_step(), 1..150), window in any_window(),
    ) {
        let (mut tally, mut log, mut now) = (Tally::new(), Vec::new(), 77 * SECOND);
        tally.room().max_buckets = 0;
        for step in steps {
            now += step.wait;
            step.tell(&tally, at(now));
            log.push((now, step));
        }
        let longer = if window <= HOUR { Duration::from_secs(60) } else { HOUR };
        let report = tally.report(Some(window), at(now), |_| true);
        let most = exact(&log, Some(window + longer), now);
        for (names, row) in reported(&report) {
            let most = most.get(&names).copied().unwrap_or_default();
            prop_assert!(row.iter().zip(most).all(|(row, most)| *row <= most));
        }
        let inside = log.iter().filter(|(then, _)| Duration::from_nanos(now - then) < window);
        let least = sum(inside.map(|(_, step)| step));
        prop_assert!(numbers(&report.totals).iter().zip(least).all(|(row, least)| *row >= least));
    }
}

#[test]
fn the_threshold_fires_exactly_once_when_many_calls_settle_together() {
    const THREADS: usize = 8;
    const CALLS: usize = 500;
    for round in 1..=10 {
        let fired = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&fired);
        let threshold = TokenThreshold::new(20_000, HOUR).unwrap();
        let tally = Arc::new(Tally::with_bounds(threshold, 100).on_threshold(move |reached| {
            assert!(reached.tokens >= 20_000 && &*reached.org == "acme");
            told.fetch_add(1, Ordering::Relaxed);
        }));
        let start = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (tally, start) = (Arc::clone(&tally), Arc::clone(&start));
                thread::spawn(move || {
                    let call = call(Caller::new(&format!("user-{thread}"), "acme"), "m", "/r", at(SECOND));
                    start.wait();
                    (0..CALLS).for_each(|_| settle(&tally, &call, 10, at(round * SECOND)));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(fired.load(Ordering::Relaxed), 1);
        assert_eq!(all(&tally).totals.total_tokens(), (THREADS * CALLS * 10) as u64);
        assert_eq!(all(&tally).rows.len(), THREADS);
    }
}

#[test]
fn the_hook_may_use_the_tally_that_calls_it() {
    let own = Arc::new(OnceLock::<Weak<Tally>>::new());
    let seen = Arc::new(AtomicUsize::new(0));
    let (inside, tokens) = (Arc::clone(&own), Arc::clone(&seen));
    let tally = Arc::new(Tally::new().on_threshold(move |_| {
        let tally = inside.get().unwrap().upgrade().unwrap();
        tokens.store(all(&tally).totals.total_tokens() as usize, Ordering::Relaxed);
    }));
    own.set(Arc::downgrade(&tally)).unwrap();
    settle(&tally, &call(Caller::new("ann", "acme"), "m", "/r", at(0)), 100_000, at(0));
    assert_eq!(seen.load(Ordering::Relaxed), 100_000);
}

#[test]
fn each_organisation_has_a_threshold_of_its_own_over_all_of_its_users() {
    let fired = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&fired);
    let tally = Tally::new().on_threshold(move |reached| told.lock().unwrap().push(reached.clone()));
    for user in ["ann", "bob"] {
        settle(&tally, &call(Caller::new(user, "acme"), "m", "/r", at(0)), 60_000, at(SECOND));
    }
    settle(&tally, &call(Caller::new("ann", "initech"), "m", "/r", at(0)), 99_999, at(SECOND));
    let fired = fired.lock().unwrap();
    let [reached] = &fired[..] else { panic!("{fired:?}") };
    assert_eq!((&*reached.org, reached.tokens, reached.amount, reached.window), ("acme", 120_000, 100_000, HOUR));
}

#[test]
fn only_settled_usage_fires_the_threshold() {
    let fired = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&fired);
    let tally = Tally::new().on_threshold(move |_| _ = told.fetch_add(1, Ordering::Relaxed));
    let ann = |seconds: u64| call(Caller::new("ann", "acme"), "m", "/r", at(seconds * SECOND));
    for (seconds, tokens, times) in [(1, 90_000, 0), (3_500, 10_000, 1), (3_900, 100_000, 1)] {
        settle(&tally, &ann(seconds), tokens, at(seconds * SECOND));
        assert_eq!(fired.load(Ordering::Relaxed), times, "at {seconds} s");
    }
    deny(&tally, &ann(7_150), &policy("rpm"));
    tally.record(&Event::Voided { call: &ann(7_150) });
    assert_eq!(fired.load(Ordering::Relaxed), 1);
    settle(&tally, &ann(7_200), 0, at(7_200 * SECOND));
    assert_eq!(fired.load(Ordering::Relaxed), 1, "it came up again too early after the last time, and only stayed");
    settle(&tally, &ann(7_700), 100_000, at(7_700 * SECOND));
    assert_eq!(fired.load(Ordering::Relaxed), 2);
}

#[test]
fn a_caller_sees_itself_and_not_its_namesake_elsewhere() {
    let tally = Tally::new();
    let [here, there] = ["acme", "initech"].map(|org| Caller::new("ann", org));
    settle(&tally, &call(here.clone(), "m", "/r", at(0)), 10, at(0));
    settle(&tally, &call(Caller::new("bob", "acme"), "m", "/r", at(0)), 20, at(0));
    settle(&tally, &call(there, "m", "/r", at(0)), 40, at(0));
    let seen = |visible: fn(&RowKey, &Caller) -> bool| {
        tally.report(None, at(0), |row| visible(row, &here)).totals.total_tokens()
    };
    assert_eq!((seen(RowKey::belongs_to), seen(RowKey::belongs_to_org_of)), (10, 30));
}

#[test]
fn a_caller_is_known_from_its_reservation_on_and_counted_only_when_it_ends() {
    let tally = Tally::with_bounds(TokenThreshold::default(), 4);
    let ann = call(Caller::new("ann", "acme"), "m", "/r", at(0));
    tally.record(&Event::Reserved { call: &ann });
    tally.record(&Event::Reserved { call: &ann });
    let users = |tally: &Tally| -> Vec<String> {
        let mut users: Vec<String> = tally.row_keys().iter().map(|key| key.user().to_owned()).collect();
        users.sort();
        users
    };
    assert_eq!(users(&tally), ["ann"]);
    let report = all(&tally);
    assert_eq!((report.rows.len(), report.totals), (0, Totals::default()));
    settle(&tally, &ann, 7, at(0));
    assert_eq!((all(&tally).rows.len(), all(&tally).totals.requests), (1, 1));
    for user in 0..100 {
        let other = call(Caller::new(&user.to_string(), &user.to_string()), "m", "/r", at(0));
        tally.record(&Event::Reserved { call: &other });
    }
    assert!(users(&tally).len() <= 4 + 1, "{:?}", users(&tally));
    assert_eq!(all(&tally).totals.requests, 1);
}

#[test]
fn a_row_has_the_keys_of_its_caller() {
    let tally = Tally::with_bounds(TokenThreshold::default(), 4);
    let long = "ü".repeat(200);
    let callers =
        [Caller::new("ann", "acme"), Caller::anonymous("192.0.2.7".parse().unwrap()), Caller::new(&long, &long)];
    for caller in &callers {
        settle(&tally, &call(caller.clone(), "m", "/r", at(0)), 1, at(0));
        let own = tally.report(None, at(0), |row| row.belongs_to(caller));
        let [user, org] = own.rows[0].key.keys().unwrap();
        assert_eq!(
            [user.fingerprint(), org.fingerprint()],
            [caller.user_key(), caller.org_key()].map(|k| k.fingerprint())
        );
        if caller.user() != long {
            assert_eq!([user, org], [caller.user_key(), caller.org_key()]);
        }
    }
    let rest = call(Caller::new("bob", "initech"), "m", "/r", at(0));
    for model in 0..9 {
        settle(&tally, &CallInfo { model: model.to_string().into(), ..rest.clone() }, 1, at(0));
    }
    assert!(all(&tally).rows.iter().any(|row| row.key.is_rest() && row.key.keys().is_none()));
}

#[test]
fn the_share_is_that_of_the_whole_organisation_in_the_window_of_the_threshold() {
    let tally = Tally::new();
    let ann = Caller::new("ann", "acme");
    settle(&tally, &call(ann.clone(), "m", "/r", at(0)), 70_000, at(SECOND));
    settle(&tally, &call(ann.clone(), "m", "/r", at(0)), 30_000, at(7_200 * SECOND));
    settle(&tally, &call(Caller::new("bob", "acme"), "m", "/r", at(0)), 12_345, at(7_200 * SECOND));
    settle(&tally, &call(Caller::new("eve", "initech"), "m", "/r", at(0)), 99_000, at(7_200 * SECOND));

    let own = tally.report(None, at(7_201 * SECOND), |row| row.belongs_to(&ann));
    assert_eq!(own.totals.total_tokens(), 100_000);
    assert_eq!((own.threshold.tokens, own.threshold.share, own.threshold.amount), (42_345, 423, 100_000));

    let everything = tally.report(None, at(7_201 * SECOND), |_| true);
    assert_eq!(everything.threshold.share, 1_413);
    let shares: Vec<_> = everything.threshold.orgs.iter().map(|org| (&*org.org, org.share)).collect();
    assert_eq!(shares, [("acme", 423), ("initech", 990)]);
}

#[test]
fn a_flood_of_names_makes_a_bounded_number_of_rows_and_loses_no_token() {
    const MAX: usize = 100;
    let tally = Tally::with_bounds(TokenThreshold::default(), MAX);
    let mut counted = 0;
    for i in 0..5_000_u64 {
        let (org, model) = (format!("org-{}", i % 1_000), format!("model-{i}"));
        settle(&tally, &call(Caller::new("ann", &org), &model, "/r", at(0)), i, at(i * SECOND));
        counted += i;
    }
    let report = all(&tally);
    assert!(report.rows.len() <= 2 * MAX + 1, "{}", report.rows.len());
    assert_eq!(report.rows.iter().filter(|row| !row.key.is_rest()).count(), MAX);
    assert_eq!((report.totals.total_tokens(), report.totals.requests), (counted, 5_000));
    let hour = tally.report(Some(HOUR), at(4_999 * SECOND), |_| true);
    assert!(hour.totals.requests >= 3_600 && hour.totals.requests <= 3_660);
    let models = report.grouped(Dimension::Model);
    let rest: Vec<_> = models.iter().filter(|group| group.is_rest).collect();
    assert_eq!((rest.len(), &*rest[0].name), (1, REST));
    assert_eq!(rest[0].totals.requests, 5_000 - MAX as u64);
}

#[test]
fn an_organisation_that_floods_leaves_rows_for_others_and_keeps_its_own_sums() {
    let tally = Tally::with_bounds(TokenThreshold::default(), 100);
    let (flood, ann) = (Caller::new("eve", "flood"), Caller::new("ann", "acme"));
    for i in 0..1_000 {
        settle(&tally, &call(flood.clone(), &format!("model-{i}"), "/r", at(0)), 7, at(0));
    }
    for i in 0..1_000_u32 {
        let stranger = Caller::anonymous(std::net::IpAddr::from(i.to_be_bytes()));
        settle(&tally, &call(stranger, "m", "/r", at(0)), 1, at(0));
    }
    settle(&tally, &call(ann.clone(), "m", "/r", at(0)), 3, at(0));
    assert_eq!(tally.report(None, at(0), |row| row.belongs_to(&ann)).totals.total_tokens(), 3);
    let of_flood = tally.report(None, at(0), |row| row.belongs_to_org_of(&flood));
    assert_eq!((of_flood.totals.total_tokens(), of_flood.threshold.tokens), (7_000, 7_000));
    assert_eq!(of_flood.rows.iter().filter(|row| row.key.is_rest()).count(), 1);
    assert_eq!(all(&tally).totals.total_tokens(), 8_003);
}

#[test]
fn a_tally_without_rows_still_counts_and_watches() {
    let fired = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&fired);
    let tally = Tally::with_bounds(TokenThreshold::default(), 0).on_threshold(move |reached| {
        assert_eq!(&*reached.org, REST);
        told.fetch_add(1, Ordering::Relaxed);
    });
    for org in 0..20 {
        settle(&tally, &call(Caller::new("ann", &format!("org-{org}")), "m", "/r", at(0)), 10_000, at(0));
    }
    let report = all(&tally);
    assert_eq!((report.rows.len(), report.totals.total_tokens()), (1, 200_000));
    assert_eq!(fired.load(Ordering::Relaxed), 1);
}

#[test]
fn nobody_sees_the_rest_by_being_called_like_it() {
    let tally = Tally::with_bounds(TokenThreshold::default(), 0);
    settle(&tally, &call(Caller::new("ann", "acme"), "m", "/r", at(0)), 10, at(0));
    let other = Caller::new(REST, REST);
    let sees = |caller: &Caller| {
        let by_user = tally.report(None, at(0), |row| row.belongs_to(caller));
        let by_org = tally.report(None, at(0), |row| row.belongs_to_org_of(caller));
        (by_user.rows.len(), by_org.rows.len(), by_org.threshold.tokens)
    };
    assert_eq!(sees(&other), (0, 0, 0));
}

#[test]
fn names_that_look_alike_once_cut_are_two_rows_and_each_caller_sees_its_own() {
    let tally = Tally::new();
    let long = "x".repeat(100_000);
    let [one, two] = ["\n1", "\n2"].map(|end| Caller::new(&format!("{long}{end}"), "acme\u{1b}[2J"));
    settle(&tally, &call(one.clone(), &long, "/r\r\n", at(0)), 10, at(0));
    settle(&tally, &call(two, &long, "/r\r\n", at(0)), 20, at(0));
    let report = all(&tally);
    assert_eq!(report.rows.len(), 2);
    for row in &report.rows {
        for name in [row.key.org(), row.key.user(), row.key.model(), row.key.route()] {
            assert!(name.len() <= MAX_ROW_NAME && !name.contains(char::is_control));
        }
    }
    assert_eq!(tally.report(None, at(0), |row| row.belongs_to(&one)).totals.total_tokens(), 10);
}

#[test]
fn refusals_are_counted_by_the_limit_that_they_speak_of_and_no_name_makes_more_than_its_share() {
    let tally = Tally::new();
    for org in ["acme", "initech", "hooli"] {
        deny(&tally, &call(Caller::new("ann", org), "m", "/r", at(0)), &policy("rpm"));
    }
    deny(&tally, &call(Caller::new("ann", "acme"), "m", "/r", at(0)), &policy("grant"));
    let refused: Vec<(String, u64)> =
        tally.refusals_by_limit().iter().map(|(name, n)| (name.to_string(), *n)).collect();
    assert_eq!(refused, [("grant".to_owned(), 1), ("rpm".to_owned(), 3)]);
    let acme = tally.report(None, at(0), |row| row.org() == "acme");
    assert_eq!((acme.totals.refused, acme.totals.requests, acme.totals.cost()), (2, 0, None));

    let ann = Caller::new("ann", "acme");
    for i in 0..1_000 {
        deny(&tally, &call(ann.clone(), "m", "/r", at(0)), &policy(&format!("limit-{i}")));
    }
    let refused = tally.refusals_by_limit();
    assert!(refused.len() <= 258, "{}", refused.len());
    assert_eq!(refused.iter().map(|(_, refused)| refused).sum::<u64>(), 1_004);
}

#[test]
fn silent_rows_give_their_minutes_back() {
    let mut tally = Tally::new();
    let ann = Caller::new("ann", "acme");
    for model in 0..50 {
        for minute in 0..20 {
            settle(&tally, &call(ann.clone(), &model.to_string(), "/r", at(0)), 1, at(minute * 60 * SECOND));
        }
    }
    assert_eq!(tally.room().buckets(), 1_000);
    for minute in 1_500..1_600 {
        settle(&tally, &call(ann.clone(), "0", "/r", at(0)), 1, at(minute * 60 * SECOND));
    }
    assert_eq!(tally.room().buckets(), 100);
    assert_eq!(all(&tally).totals.requests, 1_100);
}

#[test]
fn a_window_longer_than_a_day_is_cut_to_a_day_and_the_report_says_so() {
    let tally = Tally::new();
    settle(&tally, &call(Caller::new("ann", "acme"), "m", "/r", at(0)), 1, at(0));
    let report = tally.report(Some(Duration::MAX), at(48 * 3_600 * SECOND), |_| true);
    assert_eq!((report.window, report.totals.requests, report.rows.len()), (Some(Tally::MAX_WINDOW), 0, 0));
}

#[test]
fn what_a_provider_refuses_without_usage_is_no_estimate_and_what_it_charges_is_one() {
    let (tally, now) = (Tally::new(), at(1));
    for (ending, input) in [(Ending::Rejected, 0), (Ending::Rejected, 7), (Ending::Complete, 0)] {
        let call = &call(Caller::new("ann", "acme"), "m", "/r", now);
        let usage = &Usage::estimated(Tokens::saturating(input), Tokens::ZERO);
        let (estimate, held_output, ended) = (Estimate::default(), Tokens::ZERO, now);
        let (cost, price, outcome, limits) = (None, None, None, LimitSet::EMPTY);
        let settled = SettledCall {
            call,
            limits,
            policy: unlimited(),
            ending,
            usage,
            estimate,
            held_output,
            cost,
            price,
            outcome,
            ended,
            first_output: None,
        };
        tally.record(&Event::Settled(&settled));
    }
    let totals = tally.report(None, now, |_| true).totals;
    assert_eq!((totals.rejected, totals.estimated_requests), (2, 2));
}

#[test]
fn a_call_whose_provider_contradicts_itself_is_counted() {
    let (tally, now) = (Tally::new(), at(1));
    for inconsistent in [true, false, true] {
        let call = call(Caller::new("ann", "acme"), "m", "/r", now);
        let usage = &Usage { quality: Quality::Estimated, inconsistent, ..Usage::exact() };
        let (ending, ended) = (Ending::Complete, now);
        let (estimate, held_output, call) = (Estimate::default(), Tokens::ZERO, &call);
        let (cost, price, outcome, first_output, limits) = (None, None, None, None, LimitSet::EMPTY);
        let settled = SettledCall {
            call,
            limits,
            policy: unlimited(),
            ending,
            usage,
            estimate,
            held_output,
            cost,
            price,
            outcome,
            first_output,
            ended,
        };
        tally.record(&Event::Settled(&settled));
    }
    let totals = tally.report(None, now, |_| true).totals;
    assert_eq!((totals.inconsistent_requests, totals.estimated_requests), (2, 3));
}
