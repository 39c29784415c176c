//! The layers around the client that calls a provider: a hyper-util client, and reqwest's.
//!
//! ```sh
//! cargo run --release --example outbound
//! ```
//!
//! It starts a stub provider on a free port of this machine, calls it, and ends by itself. Each line says what was
//! asked, who answered what, and what all calls of the team have used.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flashops::core::budget::{Budget, RateLimiter};
use flashops::core::caller::Caller;
use flashops::core::clock::CoarseClock;
use flashops::core::key::Scope;
use flashops::core::limit::{Limit, Policy, Resource, Window};
use flashops::core::price::PriceBook;
use flashops::core::record::Tally;
use flashops::core::store::{MemoryStore, Store};
use flashops::tower::budget::RequestBody;
use flashops::tower::identify::IdentifyError;
use flashops::tower::provider_limits::{HeldBack, ProviderLimits, ProviderLimitsLayer};
use flashops::tower::reject::NotDispatched;
use flashops::tower::{RateLimitLayer, TokenBudgetLayer};
use flashops_testkit::stub::StubProvider;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

/// What the application spends: one account for all of its calls.
#[derive(Clone)]
struct Spending {
    budget: Budget<MemoryStore<CoarseClock>>,
    tally: Arc<Tally>,
    limits: ProviderLimits,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let provider = StubProvider::start().await?;
    let spending = Spending::new()?;
    by_hyper_util(&provider.base_url(), &spending).await?;
    by_reqwest(&provider.base_url(), &spending).await?;
    let (calls, words) = (provider.requests().total(), provider.sums().completion_tokens);
    println!("\nThe provider got {calls} calls, and sent {words} words.");
    println!("It would have refused {} more, which were not sent.", spending.limits.stats().refused);
    provider.shutdown().await;
    Ok(())
}

async fn by_hyper_util(base: &str, spending: &Spending) -> Result<(), Failure> {
    println!("hyper-util; the team has 6 calls and 1000 tokens a minute");
    // The body is the one that the innermost of our layers sends on.
    let client: Client<_, RequestBody<Full<Bytes>>> = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new()
        .layer(RateLimitLayer::new(Spending::calls()?, team))
        .layer(
            TokenBudgetLayer::new(spending.budget.clone(), team)
                .with_held_extension()
                .with_sent(|error: &hyper_util::client::legacy::Error| !error.is_connect()),
        )
        .layer(ProviderLimitsLayer::new(spending.limits.clone()))
        .service(client);
    for (what, prompt, cap) in [
        ("a stream", "[reply 20]", 100),
        ("a longer one", "[reply 40]", 100),
        ("a stream that the provider cuts", "[reply 40] [cut 15]", 100),
        ("more than is left", "[reply 40]", 750),
        ("the provider says that no request is left", "[reply 1] [requests-left 0] [reset 30]", 10),
        ("the next call", "[reply 1]", 10),
    ] {
        let answer = client.ready().await?.call(request(base, "gpt-4o-mini", prompt, cap)?).await?;
        tell(what, answer, spending).await;
    }

    Ok(())
}

async fn by_reqwest(base: &str, spending: &Spending) -> Result<(), Failure> {
    println!("\nreqwest, with the same account");
    let mut client = ServiceBuilder::new()
        .layer(
            TokenBudgetLayer::new(spending.budget.clone(), team)
                .with_held_extension()
                .with_sent(|error: &reqwest::Error| !error.is_connect()),
        )
        .layer(ProviderLimitsLayer::new(spending.limits.clone()))
        .service(over_reqwest(reqwest::Client::new()));
    for (what, prompt) in [
        ("a stream of another model", "[reply 30]"),
        ("the provider asks to wait", "[fail 429] [retry-after 5]"),
        ("the next call", "[reply 1]"),
    ] {
        let answer = client.ready().await?.call(request(base, "gpt-4.1-nano", prompt, 50)?).await?;
        tell(what, answer, spending).await;
    }
    Ok(())
}

/// reqwest's service takes and gives types of its own; this one takes and gives those of `http`.
fn over_reqwest<B>(
    client: reqwest::Client,
) -> impl Service<
    Request<B>,
    Response = Response<reqwest::Body>,
    Error = reqwest::Error,
    Future = impl Future<Output = Result<Response<reqwest::Body>, reqwest::Error>>,
> + Clone
where
    B: Body<Data = Bytes, Error: Into<Failure>> + Send + Sync + 'static,
{
    service_fn(move |request: Request<B>| {
        let client = client.clone();
        async move {
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
            client.oneshot(request).await.map(Response::from)
        }
    })
}

impl Spending {
    fn new() -> Result<Self, Failure> {
        let tokens = Limit::new("tokens", Scope::Org, Resource::Tokens, 1_000, Window::Sliding(MINUTE))?;
        let store = MemoryStore::new(Arc::new(Policy::new(vec![tokens])?), CoarseClock::new());
        let tally = Arc::new(Tally::new());
        let budget = Budget::new(Arc::new(store), Arc::new(PriceBook::embedded().clone()), Arc::clone(&tally));
        Ok(Self { budget, tally, limits: ProviderLimits::new(CoarseClock::new()) })
    }

    /// Six calls a minute.
    fn calls() -> Result<RateLimiter<MemoryStore<CoarseClock>>, Failure> {
        let calls = Limit::new("calls", Scope::Org, Resource::Requests, 6, Window::Sliding(MINUTE))?;
        Ok(RateLimiter::new(Policy::new(vec![calls])?, CoarseClock::new()))
    }
}

/// Everything that this program asks for is asked for by one team.
fn team(_: &Parts) -> Result<Caller, IdentifyError> {
    Ok(Caller::new("summaries", "acme"))
}

fn request(base: &str, model: &str, prompt: &str, cap: u64) -> Result<Request<Full<Bytes>>, http::Error> {
    let messages = serde_json::json!([{ "role": "user", "content": prompt }]);
    let body = serde_json::json!({ "model": model, "stream": true, "max_tokens": cap, "messages": messages });
    let request = Request::post(format!("{base}/v1/chat/completions")).header("content-type", "application/json");
    request.body(Full::from(body.to_string()))
}

async fn tell<B: Body<Data = Bytes>>(what: &str, answer: Response<B>, spending: &Spending) {
    let who = match (answer.extensions().get::<NotDispatched>(), answer.extensions().get::<HeldBack>()) {
        (None, _) => "the provider",
        (Some(_), None) => "our limit",
        (Some(_), Some(_)) => "we, for the provider",
    };
    let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok());
    let wait = wait.map_or_else(String::new, |wait| format!(", wait {wait} s"));
    let status = answer.status().as_u16();
    let ending = if answer.into_body().collect().await.is_ok() { "" } else { ", broke off" };
    let totals = spending.tally.report(None, spending.budget.store().now(), |_| true).totals;
    let (input, output) = (totals.prompt_tokens, totals.completion_tokens);
    println!("  {what}: {who}: {status}{wait}{ending}; used since the start: {input} in, {output} out");
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_clients_are_metered_and_neither_calls_a_provider_that_wants_to_be_left_alone() {
        let provider = StubProvider::start().await.unwrap();
        let spending = Spending::new().unwrap();
        by_hyper_util(&provider.base_url(), &spending).await.unwrap();
        assert_eq!((provider.requests().total(), spending.limits.stats().refused), (4, 1));
        by_reqwest(&provider.base_url(), &spending).await.unwrap();
        assert_eq!((provider.requests().total(), spending.limits.stats().refused), (6, 2));
        provider.idle().await;
        let totals = spending.tally.report(None, spending.budget.store().now(), |_| true).totals;
        assert_eq!(totals.completion_tokens, 20 + 40 + 15 + 1 + 30);
        assert_eq!(totals.completion_tokens, provider.sums().completion_tokens);
        assert_eq!((totals.requests, totals.cut, totals.rejected, totals.refused, totals.voided), (6, 1, 1, 1, 2));
    }
}
