//! What is tried, counted and told when a model fails or cannot be paid.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::estimate::Estimate;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::record::{Event, FallbackReason, Recorder, Tally};
use flashops_core::store::{MemoryStore, Store};
use flashops_core::units::Tokens;
use flashops_core::usage::Usage;
use flashops_tower::TokenBudgetLayer;
use flashops_tower::budget::{ModelRoute, RequestBody};
use flashops_tower::fallback::{FALLBACK, FallbackLayer};
use flashops_tower::inspect::WireFormat;
use flashops_tower::reject::NotDispatched;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::{Answer, AnyBody, Chunks, Everybody, ask, complete, full, json, sse_frame};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

/// Dear, cheaper, cheapest; all of them in the price book.
const CHAIN: [&str; 3] = ["gpt-4o", "gpt-4o-mini", "gpt-4.1-nano"];

/// What the recorder was told of fall-backs.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Recorder for Told {
    fn record(&self, event: &Event<'_>) {
        if let Event::FellBack(fell) = event {
            let (from, to, reason) = (fell.from, fell.to, fell.reason.name());
            self.0.lock().unwrap().push(format!("{from} to {to}: {reason}"));
        }
    }
}

struct House {
    budget: Budget<MemoryStore<ManualClock>>,
    caller: Caller,
    told: Told,
    tally: Arc<Tally>,
    sent: Arc<Mutex<Vec<String>>>,
}

impl House {
    fn new(limits: Vec<Limit>) -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(Policy::new(limits).unwrap()), ManualClock::new()));
        let (told, tally) = (Told::default(), Arc::new(Tally::new()));
        let recorder = (told.clone(), Arc::clone(&tally));
        let budget = Budget::new(store, Arc::new(PriceBook::embedded().clone()), recorder);
        Self { budget, caller: Caller::new("ann", "acme"), told, tally, sent: Arc::default() }
    }

    /// Sends a request for a model; `answer` answers by the model that the inner service is asked for.
    async fn ask(
        &self,
        model: &str,
        answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static,
    ) -> (StatusCode, String, String) {
        let response = self.try_ask(model, move |model| Ok(answer(model))).await.unwrap();
        let told = response.headers().get(FALLBACK).map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, told.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    async fn try_ask(
        &self,
        model: &str,
        answer: impl Fn(&str) -> Result<Answer, BoxError> + Clone + Send + Sync + 'static,
    ) -> Result<Response<support::Layered>, BoxError> {
        let route = ModelRoute::new("/v1/chat/completions", WireFormat::OpenAiChat).unwrap();
        let layer = FallbackLayer::new(self.budget.clone(), vec![route.with_fallback(&CHAIN[1..])]);
        let sent = Arc::clone(&self.sent);
        let inner = service_fn(move |request: Request<RequestBody<RequestBody<AnyBody>>>| {
            let (sent, answer) = (Arc::clone(&sent), answer.clone());
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let text = String::from_utf8(body.to_vec()).unwrap();
                let answered = answer(&model_of(&text));
                sent.lock().unwrap().push(text);
                answered
            }
        });
        let budget = TokenBudgetLayer::new(self.budget.clone(), Everybody(self.caller.clone()));
        let service = ServiceBuilder::new().layer(layer).layer(budget).service(inner);
        let body = format!(r#"{{"model":"{model}","max_tokens":100,"messages":[{{"role":"user","content":"hi"}}]}}"#);
        service.oneshot(ask("/v1/chat/completions", full(body))).await
    }

    fn used(&self, limit: usize) -> (u64, u64) {
        let standings = self.budget.store().standings_now(&self.caller.scopes(), self.budget.policy().select(|_| true));
        (standings[limit].used, standings[limit].held)
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.0.lock().unwrap())
    }

    /// The models that were called, one after the other.
    fn models(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|body| model_of(body)).collect()
    }
}

fn model_of(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["model"].as_str().unwrap().to_owned()
}

fn hour() -> Window {
    Window::Sliding(Duration::from_secs(3_600))
}

fn limits() -> Vec<Limit> {
    vec![
        Limit::new("requests", Scope::User, Resource::Requests, 2, hour()).unwrap(),
        Limit::new("tokens", Scope::User, Resource::Tokens, 100_000, hour()).unwrap(),
        Limit::new("cost", Scope::User, Resource::Cost, 1_000_000_000, hour()).unwrap(),
    ]
}

fn unavailable() -> Answer {
    let mut response = json(r#"{"error":{"message":"overloaded"}}"#.to_owned());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Answers with usage, but for a model that is down.
fn but(down: &'static str) -> impl Fn(&str) -> Answer + Clone + Send + Sync + 'static {
    move |model| if model == down { unavailable() } else { json(complete(7, 5)) }
}

/// What so much of a model costs by the price book.
fn cost(budget: &Budget<MemoryStore<ManualClock>>, model: &str) -> u64 {
    let mut usage = Usage::exact();
    usage.input = Tokens::saturating(7);
    usage.output = Tokens::saturating(5);
    budget.prices().price(model, budget.store().now().unix).unwrap().cost(&usage).get()
}

#[tokio::test]
async fn a_model_that_fails_is_replaced_by_the_next_one_and_the_client_and_the_recorder_are_told() {
    let house = House::new(limits());
    let (status, told, body) = house.ask("gpt-4o", but("gpt-4o")).await;
    assert_eq!((status, told.as_str()), (StatusCode::OK, "gpt-4o-mini; reason=provider"));
    assert_eq!(body, complete(7, 5));
    assert_eq!(house.models(), ["gpt-4o", "gpt-4o-mini"]);
    assert_eq!(house.told(), ["gpt-4o to gpt-4o-mini: provider"]);
    assert_eq!(house.tally.fallbacks(FallbackReason::Provider), 1);
}

#[tokio::test]
async fn attempts_are_one_request_and_each_is_charged_at_the_price_of_its_own_model() {
    let house = House::new(limits());
    house.ask("gpt-4o", but("gpt-4o")).await;
    assert_eq!(house.used(0), (1, 0), "one request");
    assert_eq!(house.used(1), (12, 0), "the answer without usage is nothing, the other what it reported");
    assert_eq!(house.used(2), (cost(&house.budget, "gpt-4o-mini"), 0));
    let report = house.tally.report(None, house.budget.store().now(), |_| true);
    assert_eq!((report.totals.requests, report.totals.total_tokens()), (1, 12));
}

#[tokio::test]
async fn an_attempt_that_never_reached_its_provider_leaves_the_request_to_be_counted_by_the_next() {
    let house = House::new(limits());
    let unreached = |model: &str| {
        let mut response = unavailable();
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.extensions_mut().insert(NotDispatched);
        if model == "gpt-4o" { response } else { json(complete(7, 5)) }
    };
    let (status, ..) = house.ask("gpt-4o", unreached).await;
    assert_eq!((status, house.used(0)), (StatusCode::OK, (1, 0)));
    house.ask("gpt-4o", |_| unavailable()).await;
    assert_eq!(house.used(0), (2, 0));
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_a_failure_and_at_the_end_of_the_chain_the_clients() {
    let house = House::new(limits());
    let broken = |down: &'static [&'static str]| {
        move |model: &str| if down.contains(&model) { Err("reset".into()) } else { Ok(json(complete(7, 5))) }
    };
    let response = house.try_ask("gpt-4o", broken(&CHAIN[..2])).await.unwrap();
    assert_eq!(response.headers()[FALLBACK], "gpt-4.1-nano; reason=provider");
    drop(response);
    let error = house.try_ask("gpt-4o", broken(&CHAIN)).await.unwrap_err();
    assert_eq!(error.to_string(), "reset");
    assert_eq!((house.used(0).0, house.used(1).1), (2, 0), "two requests, and nothing stays held");
}

#[tokio::test]
async fn a_budget_that_cannot_pay_a_model_pays_a_cheaper_one() {
    let mini = { House::new(vec![]).budget.prices().price("gpt-4o-mini", Default::default()).unwrap().clone() };
    let (input, output) = (Tokens::saturating(200), Tokens::saturating(100));
    let room = mini.most(&Estimate { input, output, ..Estimate::default() });
    let cost = Limit::new("cost", Scope::User, Resource::Cost, room.get(), hour()).unwrap();
    let house = House::new(vec![cost]);
    let (status, told, _) = house.ask("gpt-4o", but("none")).await;
    assert_eq!((status, told.as_str()), (StatusCode::OK, "gpt-4o-mini; reason=budget"));
    assert_eq!(house.models(), ["gpt-4o-mini"], "the dear one was not called");
    assert_eq!(house.tally.fallbacks(FallbackReason::Budget), 1);
}

#[tokio::test]
async fn a_limit_that_counts_alike_for_every_model_is_not_evaded() {
    let house = House::new(vec![Limit::new("requests", Scope::User, Resource::Requests, 0, hour()).unwrap()]);
    let (status, told, _) = house.ask("gpt-4o", but("none")).await;
    assert_eq!((status, told.as_str()), (StatusCode::TOO_MANY_REQUESTS, ""));
    assert!(house.models().is_empty() && house.told().is_empty());
}

#[tokio::test]
async fn a_request_for_a_model_of_the_chain_goes_on_behind_it() {
    let house = House::new(limits());
    let (_, told, _) = house.ask("gpt-4o-mini", but("gpt-4o-mini")).await;
    assert_eq!(told, "gpt-4.1-nano; reason=provider");
    let (status, told, _) = house.ask("gpt-4.1-nano", but("gpt-4.1-nano")).await;
    assert_eq!((status, told.as_str()), (StatusCode::SERVICE_UNAVAILABLE, ""), "nothing is behind the last");
}

#[tokio::test]
async fn when_every_model_fails_the_last_answer_is_the_clients() {
    let house = House::new(limits());
    let (status, told, body) = house.ask("gpt-4o", |_| unavailable()).await;
    assert_eq!((status, told.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "gpt-4.1-nano; reason=provider"));
    assert!(body.contains("overloaded"));
    assert_eq!(house.models(), CHAIN);
    assert_eq!((house.used(0), house.used(1)), ((1, 0), (0, 0)), "one request, and no tokens");
}

#[tokio::test]
async fn an_answer_that_is_the_clients_own_fault_is_passed_on() {
    let house = House::new(limits());
    let refuses = |_: &str| {
        let mut response = json(r#"{"error":{"message":"no such tool"}}"#.to_owned());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    };
    let (status, told, _) = house.ask("gpt-4o", refuses).await;
    assert_eq!((status, told.as_str(), house.models().len()), (StatusCode::BAD_REQUEST, "", 1));
}

#[tokio::test]
async fn a_stream_that_has_begun_is_not_begun_again() {
    let house = House::new(limits());
    let response = house.try_ask("gpt-4o", |_| Ok(Chunks::broken(vec![sse_frame("one ")]))).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(house.models(), ["gpt-4o"]);
}

#[tokio::test]
async fn everything_but_the_model_is_sent_again_as_it_was() {
    let house = House::new(limits());
    house.ask("gpt-4o", but("gpt-4o")).await;
    let sent = house.sent.lock().unwrap();
    assert_eq!(sent[0].replace("\"gpt-4o\"", "\"gpt-4o-mini\""), sent[1]);
}

#[tokio::test]
async fn a_refusal_behind_attempts_names_each_model_that_was_tried() {
    let house = House::new(vec![Limit::new("cost", Scope::User, Resource::Cost, 100_000_000, hour()).unwrap()]);
    // What the first attempt reports to have used, before it failed, leaves nothing for the others.
    let dear = |_: &str| {
        let mut response = json(complete(1_000_000, 0));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    };
    let (status, told, _) = house.ask("gpt-4o", dear).await;
    assert_eq!((status, house.models().len()), (StatusCode::TOO_MANY_REQUESTS, 1));
    assert_eq!(told, "gpt-4o-mini; reason=provider, gpt-4.1-nano; reason=budget");
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_failed_answer_that_hangs_is_left_in_time_and_is_charged_as_cut() {
    let house = House::new(limits());
    let hangs = |model: &str| {
        let mut response = if model == "gpt-4o" { json(String::new()) } else { json(complete(7, 5)) };
        if model == "gpt-4o" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            *response.body_mut() = Chunks::hanging(vec!["{".into()]);
        }
        response
    };
    let started = tokio::time::Instant::now();
    let asked = tokio::time::timeout(Duration::from_secs(60), house.ask("gpt-4o", hangs)).await;
    let (status, told, _) = asked.expect("the next model is tried in time");
    assert_eq!((status, told.as_str()), (StatusCode::OK, "gpt-4o-mini; reason=provider"));
    assert_eq!(started.elapsed().as_secs(), flashops_tower::fallback::MAX_DRAIN_TIME.as_secs());
    let input = house.sent.lock().unwrap()[0].len() as u64;
    assert_eq!(house.used(1), (input + 1 + 12, 0), "the bound of the input and the byte that came, and the answer");
}
