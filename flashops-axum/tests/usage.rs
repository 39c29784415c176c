//! The usage report, number by number.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use flashops_axum::handler::{SeesAll, UsageReport, usage};
use flashops_core::alert::{AlertRules, Alerts};
use flashops_core::budget::{Budget, CallRequest};
use flashops_core::caller::{Caller, CallerTable};
use flashops_core::clock::{ManualClock, Moment};
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::key::{Scope, Scopes};
use flashops_core::limit::{Denied, Limit, LimitSet, Policy, Resource, Window};
use flashops_core::price::{PriceBook, Prices};
use flashops_core::record::{Ending, Tally};
use flashops_core::store::{
    Admit, Admitted, Extend, Extended, GiveBack, MemoryStore, Refused, Reserve, Reserved, Settle, Settled, Standing,
    Store, StoreError,
};
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

type Memory = MemoryStore<ManualClock>;

fn policy() -> Policy {
    let hour = Window::Sliding(Duration::from_secs(3_600));
    let limit = |name, scope, resource, amount| Limit::new(name, scope, resource, amount, hour.clone()).unwrap();
    Policy::new(vec![
        limit("ai-rph", Scope::User, Resource::Requests, 50),
        limit("purse", Scope::Org, Resource::Cost, 12_500_000_000),
        limit("model", Scope::Model, Resource::Tokens, 1_000_000),
        limit("provider", Scope::Provider, Resource::Tokens, 1_000_000),
        Limit::new("grant", Scope::Global, Resource::Tokens, 1_000_000, Window::Lifetime).unwrap(),
    ])
    .unwrap()
}

struct Desk {
    budget: Budget<Memory>,
    tally: Arc<Tally>,
    clock: ManualClock,
    callers: CallerTable,
}

impl Desk {
    fn new() -> Self {
        let (clock, tally) = (ManualClock::new(), Arc::new(Tally::new()));
        let store = Arc::new(MemoryStore::new(Arc::new(policy()), clock.clone()));
        let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), Arc::clone(&tally));
        Self { budget, tally, clock, callers: CallerTable::new() }
    }

    fn request(&self, caller: &Caller, model: &str) -> CallRequest {
        CallRequest {
            caller: caller.clone(),
            route: "/v1/chat/completions".into(),
            model: model.into(),
            estimate: Estimate::new(InputBound::bytes(100), OutputCap::new(Tokens::saturating(50))),
            limits: self.budget.policy().limits_on("/v1/chat/completions", true),
        }
    }

    /// A call that ended with 41 tokens in, and 43 out.
    fn call(&self, caller: &Caller, model: &str) {
        let mut call = self.budget.begin_now(self.request(caller, model)).unwrap().unwrap();
        call.dispatched();
        let mut usage = Usage::exact();
        (usage.input, usage.output) = (Tokens::saturating(41), Tokens::saturating(43));
        call.settle(&usage, Ending::Complete);
    }

    fn app(&self) -> Router {
        let report = UsageReport::new(self.budget.clone(), Arc::clone(&self.tally));
        let callers = Arc::new(self.callers.clone());
        let report = report.with_callers(move || Arc::clone(&callers));
        Router::new().route("/usage", get(usage::<Memory>)).with_state(report)
    }

    async fn report(&self, caller: &Caller, query: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/usage{query}")).extension(caller.clone());
        answer(self.app(), request.body(Body::empty()).unwrap()).await
    }
}

async fn answer(app: Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn ann() -> Caller {
    Caller::new("ann", "acme")
}

/// The names that something has in a list of the report.
fn names<'v>(report: &'v Value, list: &str, member: &str) -> Vec<&'v str> {
    report[list].as_array().unwrap().iter().map(|entry| entry[member].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_report_has_the_shape_and_the_types_that_are_documented() {
    let desk = Desk::new();
    desk.call(&ann(), "gpt-4o-mini");
    desk.clock.advance(Duration::from_secs(60));
    let held = desk.budget.begin_now(desk.request(&ann(), "gpt-4o-mini")).unwrap().unwrap();
    let (status, mut report) = desk.report(&ann(), "").await;
    assert_eq!(status, StatusCode::OK);
    for limit in report["limits"].as_array_mut().unwrap() {
        let reset = limit["reset_seconds"].take();
        assert_eq!(reset.is_f64(), limit["name"] != "grant", "{limit}");
        assert!(reset.as_f64().is_none_or(|seconds| (3_500.0..3_700.0).contains(&seconds)), "{reset}");
    }
    let totals = json!({
        "requests": 1, "prompt_tokens": 41, "completion_tokens": 43, "total_tokens": 84, "estimated_requests": 0,
        "inconsistent_requests": 0, "unpriced_requests": 0, "refused": 0, "cut": 0, "cost": "0.00003195", "currency": "USD",
    });
    let mut row = totals.clone();
    for (name, value) in [("org", "acme"), ("user", "ann"), ("model", "gpt-4o-mini"), ("route", "/v1/chat/completions")]
    {
        row[name] = value.into();
    }
    assert_eq!(
        report,
        json!({
            "window_seconds": 3600,
            "threshold": {"tokens": 100_000, "share": 0.000_84},
            "totals": totals,
            "by": [row],
            "limits": [
                {
                    "name": "ai-rph", "scope": "user", "key": "ann", "resource": "requests",
                    "amount": 50, "used": 2, "held": 0, "remaining": 48, "reset_seconds": null,
                },
                {
                    "name": "purse", "scope": "org", "key": "acme", "resource": "cost",
                    "amount": "12.5", "used": "0.00003195", "held": "0.000045", "remaining": "12.49992305",
                    "reset_seconds": null,
                },
                {
                    "name": "grant", "scope": "global", "key": "", "resource": "tokens",
                    "amount": 1_000_000, "used": 84, "held": 150, "remaining": 999_766, "reset_seconds": null,
                },
            ],
        })
    );
    drop(held);
}

#[tokio::test]
async fn where_no_price_applies_the_cost_is_null_and_not_zero() {
    let desk = Desk::new();
    let unpriced = desk.request(&ann(), "home-made");
    let limits = desk.budget.policy().select(|limit| limit.resource() != Resource::Cost);
    let mut call = desk.budget.begin_now(CallRequest { limits, ..unpriced }).unwrap().unwrap();
    call.dispatched();
    drop(call);
    let (_, report) = desk.report(&ann(), "").await;
    assert_eq!(report["totals"]["cost"], Value::Null);
    assert_eq!(report["totals"]["unpriced_requests"], 1);
    let (_, nothing) = Desk::new().report(&ann(), "").await;
    assert_eq!((&nothing["totals"]["cost"], &nothing["by"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_caller_sees_itself_and_an_admin_sees_everybody() {
    let desk = Desk::new();
    let bob = Caller::new("bob", "acme");
    desk.call(&ann(), "gpt-4o-mini");
    desk.call(&bob, "openai/gpt-4o");
    desk.call(&Caller::new("ann", "other"), "gpt-4o");

    let (_, own) = desk.report(&ann(), "").await;
    assert_eq!((names(&own, "by", "user"), names(&own, "by", "org")), (vec!["ann"], vec!["acme"]));
    assert_eq!(own["totals"]["requests"], 1);
    assert_eq!(names(&own, "limits", "key"), ["ann", "acme", ""]);

    let (_, all) = desk.report(&Caller::admin("root", "ops"), "").await;
    assert_eq!(names(&all, "by", "user"), ["ann", "bob", "ann"]);
    assert_eq!(all["totals"]["requests"], 3);
    let expected = ["ann", "ann", "bob", "root", "acme", "ops", "other", "gpt-4o", "gpt-4o-mini", "openai", ""];
    assert_eq!(names(&all, "limits", "key"), expected, "a model stands under its own name");

    let request = Request::get("/usage").extension(ann()).extension(SeesAll).body(Body::empty()).unwrap();
    let (_, by_network) = answer(desk.app(), request).await;
    assert_eq!(by_network["totals"]["requests"], 3);
}

#[tokio::test]
async fn an_admin_sees_the_limits_of_callers_who_have_not_called_yet() {
    let mut desk = Desk::new();
    desk.call(&ann(), "gpt-4o-mini");
    for (key, caller) in [("sk-1", ann()), ("sk-2", Caller::new("zoe", "zoo")), ("sk-3", Caller::new("zoe", "zoo"))] {
        desk.callers.insert(key, caller).unwrap();
    }
    let (_, all) = desk.report(&Caller::admin("root", "ops"), "").await;
    let keys = ["ann", "root", "zoe", "acme", "ops", "zoo", "gpt-4o-mini", "openai", ""];
    assert_eq!(names(&all, "limits", "key"), keys, "each of them once");
    let (_, own) = desk.report(&ann(), "").await;
    assert_eq!(names(&own, "limits", "key"), ["ann", "acme", ""], "nobody else sees them");
}

#[tokio::test]
async fn users_of_one_name_in_two_organisations_have_limits_of_their_own() {
    let desk = Desk::new();
    let (here, there) = (ann(), Caller::new("ann", "initech"));
    desk.call(&here, "gpt-4o-mini");
    desk.call(&here, "gpt-4o-mini");
    desk.call(&there, "gpt-4o-mini");
    desk.call(&Caller::anonymous("192.0.2.7".parse().unwrap()), "gpt-4o-mini");
    let users = |report: &Value| -> Vec<Value> {
        let of_users = report["limits"].as_array().unwrap().iter().filter(|limit| limit["scope"] == "user");
        of_users.map(|limit| json!([limit["key"], limit["org"], limit["used"]])).collect()
    };
    let (_, own) = desk.report(&there, "").await;
    assert_eq!(users(&own), [json!(["ann", null, 1])], "nobody else's requests count here");
    let (_, all) = desk.report(&Caller::admin("root", "ops"), "").await;
    assert_eq!(
        users(&all),
        [
            json!(["192.0.2.7", "192.0.2.7", 1]),
            json!(["ann", "acme", 2]),
            json!(["ann", "initech", 1]),
            json!(["root", "ops", 0]),
        ]
    );
}

#[tokio::test]
async fn limits_of_a_name_that_is_cut_where_it_is_shown_stand_as_they_are() {
    let desk = Desk::new();
    let [one, other] = ["1", "2"].map(|end| Caller::new(&("u".repeat(200) + end), &("o".repeat(200) + end)));
    desk.call(&one, "gpt-4o-mini");
    desk.call(&other, "gpt-4o-mini");
    let (_, all) = desk.report(&Caller::admin("root", "ops"), "").await;
    let used = |scope| -> Vec<&Value> {
        let limits = all["limits"].as_array().unwrap().iter().filter(|limit| limit["scope"] == scope);
        limits.map(|limit| &limit["used"]).collect()
    };
    assert_eq!(used("user"), [0, 1, 1], "{all}");
    assert_eq!(used("org"), ["0.00003195", "0.00003195", "0"], "{all}");
}

#[tokio::test]
async fn the_window_is_what_the_query_says() {
    let desk = Desk::new();
    desk.call(&ann(), "gpt-4o-mini");
    desk.clock.advance(Duration::from_secs(1_800));
    desk.call(&ann(), "gpt-4o-mini");
    for (query, seconds, requests) in [
        ("", json!(3_600), 2),
        ("?window=1h", json!(3_600), 2),
        ("?window=15m", json!(900), 1),
        ("?window=90s", json!(90), 1),
        ("?window=1d", json!(86_400), 2),
        ("?window=all", Value::Null, 2),
    ] {
        let (status, report) = desk.report(&ann(), query).await;
        assert_eq!(status, StatusCode::OK, "{query}");
        assert_eq!((&report["window_seconds"], &report["totals"]["requests"]), (&seconds, &json!(requests)), "{query}");
    }
    for query in
        ["?window=", "?window=0s", "?window=2d", "?window=1", "?windows=1h", "?window=1h&window=2h", "?window=%ff"]
    {
        let (status, problem) = desk.report(&ann(), query).await;
        assert_eq!((status, &problem["status"]), (StatusCode::BAD_REQUEST, &json!(400)), "{query}");
    }
    let request = Request::get("/usage?window=x").extension(ann()).header("x-request-id", "req-1");
    let (_, problem) = answer(desk.app(), request.body(Body::empty()).unwrap()).await;
    assert_eq!(problem["instance"], "urn:flashops:request:req-1");
}

/// A store that cannot be reached.
#[derive(Debug)]
struct Down(Policy);

impl Down {
    fn error<T>() -> Ready<Result<T, StoreError>> {
        ready(Err(StoreError::Unavailable("connection refused".to_owned())))
    }
}

impl Store for Down {
    type Admit = Ready<Result<Result<Admitted, Denied>, StoreError>>;
    type Reserve = Ready<Result<Result<Reserved, Refused>, StoreError>>;
    type Extend = Ready<Result<Extended, StoreError>>;
    type Settle = Ready<Result<Settled, StoreError>>;
    type Standings = Ready<Result<Vec<Standing>, StoreError>>;

    fn policy(&self) -> &Policy {
        &self.0
    }

    fn now(&self) -> Moment {
        Moment::default()
    }

    fn admit(&self, _: &Admit<'_>) -> Self::Admit {
        Self::error()
    }

    fn give_back(&self, _: &GiveBack<'_>) {}

    fn reserve(&self, _: &Reserve<'_>) -> Self::Reserve {
        Self::error()
    }

    fn extend(&self, _: &Extend) -> Self::Extend {
        Self::error()
    }

    fn settle(&self, _: &Settle) -> Self::Settle {
        Self::error()
    }

    fn standings(&self, _: &Scopes<'_>, _: LimitSet) -> Self::Standings {
        Self::error()
    }
}

#[tokio::test]
async fn limits_that_nobody_can_tell_are_not_reported_as_none() {
    let budget = Budget::new(Arc::new(Down(policy())), Arc::new(PriceBook::embedded().clone()), ());
    let report = UsageReport::new(budget, Arc::new(Tally::new()));
    let app = Router::new().route("/usage", get(usage::<Down>)).with_state(report);
    let request = Request::get("/usage").extension(ann()).body(Body::empty()).unwrap();
    let (status, problem) = answer(app, request).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("limiter_unavailable")));
}

#[tokio::test]
async fn an_admin_sees_what_calls_hold_whose_callers_have_settled_nothing_yet() {
    let desk = Desk::new();
    let held = desk.budget.begin_now(desk.request(&ann(), "gpt-4o-mini")).unwrap().unwrap();
    let (_, report) = desk.report(&Caller::admin("root", "ops"), "").await;
    let holds = |report: &Value| -> Vec<Value> {
        let holding = report["limits"].as_array().unwrap().iter().filter(|limit| limit["held"].as_u64() != Some(0));
        holding.map(|limit| json!([limit["name"], limit["key"], limit["held"]])).collect()
    };
    let expected = [
        json!(["purse", "acme", "0.000045"]),
        json!(["purse", "ops", "0"]),
        json!(["model", "gpt-4o-mini", 150]),
        json!(["provider", "openai", 150]),
        json!(["grant", "", 150]),
    ];
    assert_eq!(holds(&report), expected, "{report}");
    let of_ann = report["limits"].as_array().unwrap().iter().find(|limit| limit["key"] == "ann").unwrap();
    assert_eq!((&of_ann["used"], &of_ann["org"]), (&json!(1), &json!("acme")));
    assert_eq!((&report["by"], &report["totals"]["requests"]), (&json!([]), &json!(0)), "nothing is counted yet");
    drop(held);
    let (_, report) = desk.report(&Caller::admin("root", "ops"), "").await;
    assert!(holds(&report).iter().all(|hold| hold[0] == "purse" && hold[2] == "0"), "{report}");
}

#[tokio::test]
async fn an_admin_sees_the_limits_of_those_who_used_nothing_in_the_window() {
    let desk = Desk::new();
    desk.call(&ann(), "gpt-4o-mini");
    desk.clock.advance(Duration::from_secs(600));
    let (_, report) = desk.report(&Caller::admin("root", "ops"), "?window=1s").await;
    assert!(names(&report, "limits", "key").contains(&"ann"), "{report}");
    assert!(report["by"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn an_admin_sees_what_the_month_will_cost_in_all_and_for_each_active_user() {
    let (clock, tally) = (ManualClock::new(), Arc::new(Tally::new()));
    let store = Arc::new(MemoryStore::new(Arc::new(policy()), clock.clone()));
    let prices = Prices::from(Arc::new(PriceBook::embedded().clone()));
    let alerts = Arc::new(Alerts::new(Arc::new(policy()), prices.clone(), &AlertRules::default(), store.now()));
    let budget = Budget::new(store, prices, (Arc::clone(&tally), Arc::clone(&alerts)));
    let desk = Desk { budget, tally, clock, callers: CallerTable::new() };
    let report = UsageReport::new(desk.budget.clone(), Arc::clone(&desk.tally)).with_alerts(alerts);
    let app = Router::new().route("/usage", get(usage::<Memory>)).with_state(report);
    let ask = |caller: Caller| {
        let request = Request::get("/usage").extension(caller).body(Body::empty()).unwrap();
        answer(app.clone(), request)
    };
    // 41 tokens at 0.15 and 43 at 0.60 dollars a million: 0.00003195.
    desk.call(&ann(), "gpt-4o-mini");
    desk.call(&Caller::new("bob", "acme"), "gpt-4o-mini");
    desk.clock.advance(Duration::from_secs(86_400));
    let start = 1_767_225_600;
    let expected = |projected: Option<[&str; 2]>| {
        json!({
            "start": start, "since": start, "end": start + 31 * 86_400, "active_users": 2, "cost": "0.0000639",
            "projected_cost": projected.map(|cost| cost[0]), "projected_cost_per_user": projected.map(|cost| cost[1]),
            "currency": "USD",
        })
    };
    assert_eq!(ask(Caller::admin("root", "ops")).await.1["month"], expected(None), "a day of 31 says nothing");
    desk.clock.advance(Duration::from_secs(9 * 86_400));
    let (_, seen) = ask(Caller::admin("root", "ops")).await;
    assert_eq!(seen["month"], expected(Some(["0.00019809", "0.000099045"])));
    assert!(ask(ann()).await.1.get("month").is_none(), "it is not for everybody");
}
