use std::time::Duration;

use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Window};
use flashops_core::window::calendar::{Calendar, CalendarUnit};
use http::HeaderName;
use proptest::prelude::*;
use sfv::{BareItem, ListEntry, Parser};

use super::*;

const ALL: [Family; 4] = [Family::Ietf, Family::Legacy, Family::OpenAi, Family::Anthropic];
/// 2026-11-20T12:00:00Z.
const NOW: UnixSeconds = UnixSeconds(1_795_176_000);

fn sliding(name: &str, resource: Resource, amount: u64, seconds: u64) -> Limit {
    Limit::new(name, Scope::User, resource, amount, Window::Sliding(Duration::from_secs(seconds))).unwrap()
}

fn standing(policy: &Policy, place: usize, used: u64, held: u64, reset: Option<u64>) -> Standing {
    let (limit, of) = policy.indexed().nth(place).unwrap();
    Standing { limit, amount: of.amount(), used, held, reset: reset.map(Duration::from_millis) }
}

fn applied(policy: &Policy, families: &[Family], standings: &[Standing]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    Headers::new(policy, families.iter().copied()).apply(&mut headers, standings, NOW);
    headers
}

/// The members of a list, each with its parameters, as an independent parser reads them.
fn parsed(value: &HeaderValue) -> Vec<(String, Vec<(String, String)>)> {
    let list = Parser::new(value.as_bytes()).parse::<sfv::List>().unwrap();
    assert!(!list.is_empty());
    let bare = |item: &BareItem| match item {
        BareItem::Integer(number) => i64::from(*number).to_string(),
        BareItem::String(text) => format!("\"{}\"", text.as_str()),
        other => panic!("the draft knows no {other:?} here"),
    };
    let members = list.iter().map(|entry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list") };
        let BareItem::String(name) = &item.bare_item else { panic!("names are strings") };
        (
            name.as_str().to_owned(),
            item.params.iter().map(|(key, value)| (key.as_str().to_owned(), bare(value))).collect(),
        )
    });
    members.collect()
}

fn parameters(value: &HeaderValue, name: &str) -> Vec<(String, String)> {
    parsed(value).into_iter().find(|(other, _)| other == name).unwrap().1
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_kind_of_limit_is_told_in_the_words_of_the_draft() {
    let calendar = Window::Calendar(Calendar::new(CalendarUnit::Month, "UTC", None).unwrap());
    let half = Window::Sliding(Duration::from_millis(1_500));
    let policy = Policy::new(vec![
        sliding("rpm", Resource::Requests, 5, 60),
        sliding("tpm", Resource::Tokens, 100_000, 60),
        sliding("in", Resource::InputTokens, 1, 1),
        Limit::new("out", Scope::Org, Resource::OutputTokens, flashops_core::units::MAX_AMOUNT, half).unwrap(),
        Limit::new("month", Scope::Org, Resource::Tokens, 7, calendar).unwrap(),
        Limit::new("ever", Scope::Org, Resource::Requests, 9, Window::Lifetime).unwrap(),
        Limit::concurrency("streams", Scope::User, 4).unwrap(),
    ])
    .unwrap();
    let standings = [
        standing(&policy, 0, 2, 0, Some(11_001)),
        standing(&policy, 1, 70_000, 40_000, Some(500)),
        standing(&policy, 2, 0, 0, Some(0)),
        standing(&policy, 3, 0, 1, Some(0)),
        standing(&policy, 4, 0, 0, Some(0)),
        standing(&policy, 5, 4, 0, None),
        standing(&policy, 6, 0, 3, None),
    ];
    let headers = applied(&policy, &[Family::Ietf], &standings);
    for (name, policy, state) in [
        ("rpm", &[("q", "5"), ("w", "60")][..], &[("r", "3"), ("t", "12")][..]),
        ("tpm", &[("q", "100000"), ("qu", "\"tokens\""), ("w", "60")], &[("r", "0"), ("t", "1")]),
        ("in", &[("q", "1"), ("qu", "\"input-tokens\""), ("w", "1")], &[("r", "1"), ("t", "1")]),
        (
            "out",
            &[("q", "999999999999999"), ("qu", "\"output-tokens\""), ("w", "2")],
            &[("r", "999999999999999"), ("t", "2")],
        ),
        ("month", &[("q", "7"), ("qu", "\"tokens\"")], &[("r", "7")]),
        ("ever", &[("q", "9")], &[("r", "5")]),
        ("streams", &[("q", "4"), ("qu", "\"concurrent-requests\"")], &[("r", "1")]),
    ] {
        assert_eq!(parameters(&headers["ratelimit-policy"], name), pairs(policy), "{name}");
        assert_eq!(parameters(&headers["ratelimit"], name), pairs(state), "{name}");
    }
    assert_eq!(headers.len(), 2);
}

#[test]
fn limits_in_shadow_are_never_shown_and_those_on_money_only_in_their_unit() {
    let policy = Policy::new(vec![
        sliding("secret", Resource::Requests, 5, 60).with_mode(Mode::Shadow),
        sliding("spend", Resource::Cost, 1_000, 60),
    ])
    .unwrap();
    let standings = [standing(&policy, 0, 9, 0, Some(1)), standing(&policy, 1, 400, 0, Some(1_000))];
    assert!(applied(&policy, &ALL, &standings).is_empty());
    let mut headers = HeaderMap::new();
    let shown = Headers::new(&policy, [Family::Ietf]).with_cost_unit(&policy, MoneyUnit::NANO_USD);
    shown.apply(&mut headers, &standings, NOW);
    assert_eq!(headers["ratelimit-policy"], r#""spend";q=1000;qu="nano-usd";w=60"#);
    assert_eq!(headers["ratelimit"], r#""spend";r=600;t=1"#);
}

#[test]
fn a_limit_that_warns_is_named_once_it_is_exceeded_and_does_not_pass_for_an_enforced_one() {
    let policy = Policy::new(vec![
        sliding("soft", Resource::Requests, 5, 60).with_mode(Mode::Warn),
        sliding("softer", Resource::Tokens, 5, 60).with_mode(Mode::Warn),
        sliding("hard", Resource::Requests, 50, 60),
    ])
    .unwrap();
    let at = |used, held| {
        let standings = [
            standing(&policy, 0, used, held, Some(1)),
            standing(&policy, 1, 9, 0, Some(1)),
            standing(&policy, 2, 6, 0, Some(1)),
        ];
        applied(&policy, &[Family::Legacy], &standings)
    };
    assert_eq!(at(5, 0)["flashops-warning"], r#""softer""#);
    assert_eq!(at(5, 1)["flashops-warning"], r#""soft", "softer""#);
    assert_eq!(at(6, 0)["x-ratelimit-limit"], "50");
    let none = applied(&policy, &ALL, &[standing(&policy, 0, 5, 0, Some(1))]);
    assert!(!none.contains_key("flashops-warning"));
}

#[test]
fn the_families_of_vendors_tell_of_the_limit_with_least_left() {
    let policy = Policy::new(vec![
        sliding("rpm", Resource::Requests, 5, 60),
        sliding("rph", Resource::Requests, 50, 3_600),
        sliding("tpm", Resource::Tokens, 1_000, 60),
        sliding("in", Resource::InputTokens, 800, 60),
        sliding("out", Resource::OutputTokens, 200, 60),
    ])
    .unwrap();
    let standings = [
        standing(&policy, 0, 2, 0, Some(11_500)),
        standing(&policy, 1, 49, 0, Some(360_000)),
        standing(&policy, 2, 600, 100, Some(174)),
        standing(&policy, 3, 100, 0, Some(1_000)),
        standing(&policy, 4, 0, 50, None),
    ];
    let headers = applied(&policy, &[Family::Legacy, Family::OpenAi, Family::Anthropic], &standings);
    for (name, value) in [
        ("x-ratelimit-limit", "50"),
        ("x-ratelimit-remaining", "1"),
        ("x-ratelimit-reset", "1795176360"),
        ("x-ratelimit-limit-requests", "50"),
        ("x-ratelimit-remaining-requests", "1"),
        ("x-ratelimit-reset-requests", "6m0s"),
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "300"),
        ("x-ratelimit-reset-tokens", "174ms"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "1"),
        ("anthropic-ratelimit-requests-reset", "2026-11-20T12:06:00Z"),
        ("anthropic-ratelimit-tokens-limit", "1000"),
        ("anthropic-ratelimit-tokens-remaining", "300"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-20T12:00:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "800"),
        ("anthropic-ratelimit-input-tokens-remaining", "700"),
        ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T12:00:01Z"),
        ("anthropic-ratelimit-output-tokens-limit", "200"),
        ("anthropic-ratelimit-output-tokens-remaining", "150"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(headers.len(), 20);
    let exposed: Vec<HeaderName> = exposed().collect();
    assert!(headers.keys().all(|name| exposed.contains(name)));
}

#[test]
fn without_a_request_limit_the_legacy_family_tells_of_the_smallest_share() {
    let policy =
        Policy::new(vec![sliding("a", Resource::Tokens, 1_000, 60), sliding("b", Resource::OutputTokens, 100, 60)]);
    let policy = policy.unwrap();
    let standings = [standing(&policy, 0, 900, 0, Some(1_000)), standing(&policy, 1, 40, 0, Some(1_000))];
    assert_eq!(applied(&policy, &[Family::Legacy], &standings)["x-ratelimit-limit"], "1000");
}

#[test]
fn of_two_limits_with_the_same_left_the_one_that_stays_so_longer_is_told() {
    let policy =
        Policy::new(vec![sliding("a", Resource::Requests, 5, 60), sliding("b", Resource::Requests, 50, 3_600)])
            .unwrap();
    let standings = [standing(&policy, 0, 5, 0, Some(1_000)), standing(&policy, 1, 50, 0, Some(2_000))];
    assert_eq!(applied(&policy, &[Family::OpenAi], &standings)["x-ratelimit-reset-requests"], "2s");
}

#[test]
fn nobody_knows_when_a_request_in_progress_ends() {
    let policy = Policy::new(vec![Limit::concurrency("streams", Scope::User, 4).unwrap()]).unwrap();
    let (limit, _) = policy.indexed().next().unwrap();
    let violated = policy.select(|_| true);
    let denied = Denied { limit, violated, asked: 1, remaining: 0, retry: Retry::WHILE_HELD };
    let mut headers = HeaderMap::new();
    Headers::new(&policy, ALL).apply_denied(&mut headers, &denied, NOW);
    assert_eq!(headers["ratelimit"], r#""streams";r=0"#);
    assert!(!headers.contains_key("x-ratelimit-reset"));
}

#[test]
fn lists_are_added_to_those_of_an_inner_service_and_other_headers_replace_its_own() {
    let policy = Policy::new(vec![sliding("rpm", Resource::Requests, 5, 60)]).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(RATELIMIT, HeaderValue::from_static(r#""inner";r=1"#));
    headers.insert("x-ratelimit-limit", HeaderValue::from_static("10000"));
    let ours = standing(&policy, 0, 1, 0, Some(1_000));
    Headers::new(&policy, [Family::Ietf, Family::Legacy]).apply(&mut headers, &[ours], NOW);
    let lists: Vec<_> = headers.get_all(RATELIMIT).iter().collect();
    assert_eq!(lists, [r#""inner";r=1"#, r#""rpm";r=4;t=1"#]);
    assert_eq!(headers.get_all("x-ratelimit-limit").iter().collect::<Vec<_>>(), ["5"]);
}

#[test]
fn a_map_that_is_full_gets_no_headers_and_no_panic() {
    let policy = Policy::new(vec![sliding("rpm", Resource::Requests, 5, 60)]).unwrap();
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_static("");
    let filled = (0..).take_while(|n| {
        let name = HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
        headers.try_insert(name, value.clone()).is_ok()
    });
    let filled = filled.count();
    Headers::new(&policy, ALL).apply(&mut headers, &[standing(&policy, 0, 1, 0, Some(1))], NOW);
    assert_eq!(headers.len(), filled);
}

fn any_limit() -> impl Strategy<Value = (String, usize, u64, u64)> {
    let amount = prop_oneof![0..100_u64, 0..=flashops_core::units::MAX_AMOUNT];
    ("[A-Za-z0-9._-]{1,64}", 0..Resource::ALL.len(), amount, 1..=34_560_000_u64)
}

proptest! {
    #[test]
    fn whatever_the_limits_both_lists_are_valid_structured_fields(
        limits in prop::collection::vec((any_limit(), any::<u64>(), any::<u64>(), any::<Option<u64>>()), 1..12)
    ) {
        let limit = |place: usize, (name, resource, amount, seconds): &(String, usize, u64, u64)| {
            let name = format!("{place}{}", &name[..name.len().min(60)]);
            match Resource::ALL[*resource] {
                Resource::Concurrency => Limit::concurrency(name, Scope::User, *amount).unwrap(),
                resource => sliding(&name, resource, *amount, *seconds),
            }
        };
        let policy = Policy::new(limits.iter().enumerate().map(|(place, of)| limit(place, &of.0)).collect()).unwrap();
        let standings: Vec<_> = limits
            .iter()
            .enumerate()
            .map(|(place, (_, used, held, reset))| standing(&policy, place, *used, *held, *reset))
            .collect();
        let mut headers = HeaderMap::new();
        Headers::new(&policy, ALL).with_cost_unit(&policy, MoneyUnit::NANO_USD).apply(&mut headers, &standings, NOW);
        let (policies, states) = (parsed(&headers["ratelimit-policy"]), parsed(&headers["ratelimit"]));
        let shown = policy.limits().iter().take(MAX_STANDINGS);
        prop_assert!(policies.iter().map(|(name, _)| name.as_str()).eq(shown.clone().map(Limit::name)));
        prop_assert!(states.iter().map(|(name, _)| name.as_str()).eq(shown.map(Limit::name)));
        for ((_, policy), (_, state)) in policies.iter().zip(&states) {
            let number = |list: &[(String, String)], key: &str| {
                list.iter().find(|(other, _)| other == key).map(|(_, value)| value.parse::<u64>().unwrap())
            };
            prop_assert!(number(state, "r").unwrap() <= number(policy, "q").unwrap());
            prop_assert_ne!(number(policy, "w"), Some(0));
        }
    }
}
