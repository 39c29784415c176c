//! What is counted of calls, and which labels that has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flashops_core::budget::{Budget, CallRequest};
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Mode, Policy, Resource, Window};
use flashops_core::price::{PriceBook, Prices};
use flashops_core::record::{Ending, Event, FallbackReason, FellBack};
use flashops_core::store::MemoryStore;
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use flashops_testkit::exposition::series;
use flashops_tower::call_metrics::{CallMetrics, GenAiNames};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// A dollar for each million tokens, whatever they are.
const PRICES: &str = r#"
    [[model]]
    name = "house"
    provider = "openai"
    aliases = ["hut"]
    source = "test"
    as_of = "2026-01-01"
    [[model.price]]
    flat = "1"
"#;

const CHAT: &str = "/v1/chat/completions";

/// A budget whose metrics an exporter sees.
struct Desk {
    clock: ManualClock,
    budget: Budget<MemoryStore<ManualClock>>,
    exporter: PrometheusRecorder,
}

impl Desk {
    fn new(limits: Vec<Limit>, more: impl FnOnce(CallMetrics) -> CallMetrics) -> Self {
        let clock = ManualClock::new();
        let prices = Prices::from(Arc::new(PriceBook::from_toml(PRICES).unwrap()));
        let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(limits).unwrap()), clock.clone()));
        let budget = Budget::new(store, prices.clone(), more(CallMetrics::new(prices)));
        let exporter = PrometheusBuilder::new().set_buckets(&[0.5, 2.0]).unwrap().build_recorder();
        Self { clock, budget, exporter }
    }

    /// Does something whose metrics the exporter sees.
    fn seen<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.exporter, work)
    }

    /// A call of 100 tokens in and 50 out at most, that used so many; whether it was admitted.
    fn call(&self, caller: Caller, model: &str, route: &str, used: [u64; 2], ending: Ending) -> bool {
        self.seen(|| {
            let estimate = Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(50)));
            let limits = self.budget.policy().limits_on(route, true);
            let request = CallRequest { caller, route: route.into(), model: model.into(), estimate, limits };
            let Ok(mut call) = self.budget.begin_now(request).unwrap() else { return false };
            call.dispatched();
            self.clock.advance(Duration::from_millis(300));
            call.progress(Usage::estimated(Tokens::ZERO, Tokens::saturating(1)));
            self.clock.advance(Duration::from_millis(900));
            let [input, output] = used.map(Tokens::saturating);
            call.settle(&Usage { input, output, ..Usage::exact() }, ending);
            true
        })
    }

    fn ann(&self, model: &str) -> bool {
        self.call(Caller::new("ann", "acme"), model, CHAT, [40, 10], Ending::Complete)
    }

    fn series(&self) -> BTreeMap<String, f64> {
        self.exporter.handle().run_upkeep();
        series(&self.exporter.handle().render()).unwrap()
    }

    /// The series of a metric, with their labels.
    fn of(&self, name: &str) -> Vec<(String, f64)> {
        let all = self.series().into_iter();
        all.filter_map(|(series, value)| Some((series.strip_prefix(name)?.to_owned(), value)))
            .filter(|(labels, _)| labels.starts_with('{'))
            .collect()
    }
}

fn lines(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    expected.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect()
}

fn free() -> Desk {
    Desk::new(vec![], |metrics| metrics)
}

#[test]
fn tokens_requests_and_cost_are_those_that_were_settled() {
    let desk = free();
    desk.ann("house");
    desk.ann("hut");
    desk.call(Caller::new("bob", "initech"), "house", CHAT, [7, 3], Ending::Cut);
    let acme = [
        (r#"{tenant="acme",direction="input",model="house"}"#, 80.0),
        (r#"{tenant="acme",direction="output",model="house"}"#, 20.0),
    ];
    let initech = [
        (r#"{tenant="initech",direction="input",model="house"}"#, 7.0),
        (r#"{tenant="initech",direction="output",model="house"}"#, 3.0),
    ];
    assert_eq!(desk.of("openai_tokens_total"), lines(&[acme, initech].concat()));
    let outcomes = [(r#"{model="house",outcome="complete"}"#, 2.0), (r#"{model="house",outcome="cut"}"#, 1.0)];
    assert_eq!(desk.of("openai_request_total"), lines(&outcomes));
    // A token is a millionth of a dollar: 1,000 billionths.
    let costs = [(r#"{tenant="acme",model="house"}"#, 100_000.0), (r#"{tenant="initech",model="house"}"#, 10_000.0)];
    assert_eq!(desk.of("flashops_cost_nanousd_total"), lines(&costs));
}

#[test]
fn what_was_held_and_what_was_settled_can_be_compared() {
    let desk = free();
    desk.ann("house");
    let both = |input, output| lines(&[(r#"{direction="input"}"#, input), (r#"{direction="output"}"#, output)]);
    assert_eq!(desk.of("flashops_tokens_reserved_total"), both(100.0, 50.0));
    assert_eq!(desk.of("flashops_tokens_settled_total"), both(40.0, 10.0));
    assert_eq!(desk.of("flashops_estimate_used_ratio_sum"), both(0.4, 0.2));
}

#[test]
fn a_refusal_is_counted_for_every_limit_that_had_no_room_and_a_limit_that_only_warns_apart() {
    let limit =
        |name: &str, resource, amount| Limit::new(name, Scope::User, resource, amount, Window::Lifetime).unwrap();
    let limits = vec![
        limit("calls", Resource::Requests, 1),
        limit("grant", Resource::Tokens, 150),
        limit("hint", Resource::Requests, 0).with_mode(Mode::Warn),
        limit("trial", Resource::Requests, 0).with_mode(Mode::Shadow),
    ];
    let desk = Desk::new(limits, |metrics| metrics);
    let admitted: Vec<bool> = (0..3).map(|_| desk.ann("house")).collect();
    assert_eq!(admitted, [true, false, false]);
    let refused: Vec<_> = desk.of("flashops_ratelimit_requests_total").into_iter().filter(|one| one.1 > 0.0).collect();
    let expected = [
        (r#"{policy="calls",decision="rejected"}"#, 2.0),
        (r#"{policy="grant",decision="rejected"}"#, 2.0),
        (r#"{policy="hint",decision="warned"}"#, 1.0),
        (r#"{policy="trial",decision="shadow_rejected"}"#, 1.0),
    ];
    assert_eq!(refused, lines(&expected));
}

#[test]
fn fallbacks_are_counted_by_reason_and_a_reason_without_any_is_zero() {
    let desk = free();
    let reason = FallbackReason::Budget;
    let fell = FellBack { route: CHAT, from: "house", to: "hut", reason };
    desk.seen(|| desk.budget.recorder().record(&Event::FellBack(&fell)));
    let expected = [(r#"{reason="budget"}"#, 1.0), (r#"{reason="provider"}"#, 0.0)];
    assert_eq!(desk.of("ml_fallback_total"), lines(&expected));
}

const ATTRIBUTES: &str = r#"gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="house""#;

#[test]
fn both_sets_of_the_conventions_can_be_told_at_once_and_what_they_share_is_told_once() {
    let desk = Desk::new(vec![], |metrics| metrics.with_gen_ai([GenAiNames::LATEST, GenAiNames::V1_41]));
    desk.ann("house");
    let series = desk.series();
    let value = |name: &str, more: &str| series[&format!("{name}{{{ATTRIBUTES}{more}}}")];
    assert_eq!(value("gen_ai_client_inference_usage_input_tokens_total", r#",gen_ai_token_modality="text""#), 40.0);
    assert_eq!(value("gen_ai_client_inference_usage_input_tokens_total", r#",gen_ai_token_modality="audio""#), 0.0);
    assert_eq!(value("gen_ai_client_token_usage_sum", r#",gen_ai_token_type="output""#), 10.0);
    assert_eq!(value("gen_ai_client_inference_operation_output_tokens_sum", ""), 10.0);
    for name in ["gen_ai_client_inference", "gen_ai_client_operation"] {
        assert_eq!(value(&format!("{name}_duration_seconds_sum"), ""), 1.2);
        assert_eq!(value(&format!("{name}_time_to_first_chunk_seconds_sum"), ""), 0.3);
    }
    assert_eq!(value("gen_ai_server_time_per_output_token_seconds_count", ""), 1.0);
    assert_eq!(value("gen_ai_server_time_per_output_token_seconds_sum", ""), 0.1, "900 ms for nine tokens");
}

#[test]
fn a_call_that_did_not_complete_has_an_error_type_and_no_times_of_tokens() {
    let desk = free();
    desk.call(Caller::new("ann", "acme"), "house", CHAT, [40, 10], Ending::Failed);
    let series = desk.series();
    let duration = "gen_ai_client_inference_duration_seconds_count";
    assert_eq!(series[&format!("{duration}{{{ATTRIBUTES},error_type=\"failed\"}}")], 1.0);
    let per_token = "gen_ai_server_time_per_output_token_seconds_count";
    assert_eq!(series.get(&format!("{per_token}{{{ATTRIBUTES}}}")).copied().unwrap_or_default(), 0.0);
    assert!(Desk::new(vec![], |metrics| metrics.with_gen_ai([])).ann("house"));
}

#[test]
fn without_a_set_of_the_conventions_none_of_their_metrics_is_told() {
    let desk = Desk::new(vec![], |metrics| metrics.with_gen_ai([]));
    desk.ann("house");
    assert!(!desk.series().is_empty() && desk.series().keys().all(|name| !name.starts_with("gen_ai")));
}

#[test]
fn a_flood_of_models_tenants_and_addresses_makes_a_bounded_number_of_series() {
    let desk = Desk::new(vec![], |metrics| metrics.with_max_tenants(10));
    for round in 0..2_000_u32 {
        let caller = Caller::new(&format!("user{round}"), &format!("org{round}"));
        desk.call(caller, &format!("made-up-{round}"), &format!("/v1/{round}"), [1, 1], Ending::Complete);
        desk.call(Caller::anonymous(round.to_be_bytes().into()), "house", CHAT, [1, 1], Ending::Complete);
    }
    let tenants = desk.of("openai_tokens_total");
    // Ten organisations and the rest with a model that nobody knows; callers without one are the first tenant.
    assert_eq!(tenants.len(), 2 * (10 + 1), "{tenants:?}");
    let count = |labels: &str| tenants.iter().find(|one| one.0 == labels).unwrap().1;
    assert_eq!(count(r#"{tenant="anonymous",direction="input",model="house"}"#), 2_000.0);
    assert_eq!(count(r#"{tenant="other",direction="input",model="other"}"#), 2_000.0 - 9.0);
    let series = desk.series();
    assert!(series.len() < 200, "{}", series.len());
    assert!(series.keys().all(|name| !name.contains("made-up") && !name.contains("user1") && !name.contains("0.0.")));
}

#[test]
fn an_organisation_that_is_called_like_those_without_one_is_told_apart() {
    let desk = Desk::new(vec![], |metrics| metrics);
    desk.call(Caller::anonymous("192.0.2.7".parse().unwrap()), "house", CHAT, [1, 1], Ending::Complete);
    for org in ["anonymous", "other"] {
        desk.call(Caller::new("ann", org), "house", CHAT, [10, 1], Ending::Complete);
    }
    let input = |tenant: &str| {
        let name = format!("openai_tokens_total{{tenant=\"{tenant}\",direction=\"input\",model=\"house\"}}");
        desk.series().get(&name).copied()
    };
    let labels = ["anonymous", "org:anonymous", "org:other", "other"].map(input);
    assert_eq!(labels, [Some(1.0), Some(10.0), Some(10.0), None]);
}
