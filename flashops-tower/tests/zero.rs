//! A limit of zero can never be met, and no answer lets a client wait for it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_tower::budget::TokenBudgetLayer;
use flashops_tower::reject::headers::{Family, Headers, RETRY_AFTER_MS, X_SHOULD_RETRY};
use http::StatusCode;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use support::{Everybody, ask, full, json, layered};
use tower::ServiceExt;

#[tokio::test]
async fn a_limit_of_zero_is_answered_without_a_wait_in_any_window() {
    let minute = || Window::Sliding(Duration::from_secs(60));
    let day = || Window::Sliding(Duration::from_secs(86_400));
    let of = |resource, window| Limit::new("none", Scope::User, resource, 0, window).unwrap();
    let rate = |resource, window| (of(resource, window), StatusCode::TOO_MANY_REQUESTS);
    for (limit, status) in [
        rate(Resource::Requests, minute()),
        rate(Resource::Tokens, minute()),
        rate(Resource::InputTokens, minute()),
        rate(Resource::OutputTokens, minute()),
        rate(Resource::Cost, minute()),
        rate(Resource::Tokens, day()),
        rate(Resource::Cost, Window::Lifetime),
        (Limit::concurrency("none", Scope::User, 0).unwrap(), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let name = format!("{limit:?}");
        // A limit with room beside it, whose wait would be no answer either.
        let beside = Limit::new("tpm", Scope::User, Resource::Tokens, 1_000, minute()).unwrap();
        let budget = Budget::in_memory(Policy::new(vec![limit, beside]).unwrap(), ManualClock::new());
        let headers = Headers::new(budget.policy(), [Family::Ietf, Family::Legacy, Family::OpenAi]);
        let layer = TokenBudgetLayer::new(budget, Everybody(Caller::new("ann", "acme"))).with_headers(headers);
        let service = layered(layer, |_| std::future::ready(Ok(json("{}".into()))));
        let body = r#"{"model":"gpt-4o-mini","max_tokens":5,"messages":[]}"#;
        let response = service.oneshot(ask("/v1/chat/completions", full(body.into()))).await.unwrap();
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert_eq!(head.status, status, "{name}");
        assert!(!head.headers.contains_key(RETRY_AFTER) && !head.headers.contains_key(RETRY_AFTER_MS), "{name}");
        assert_eq!(head.headers[X_SHOULD_RETRY], "false", "{name}");
        assert!(!body.contains("try again"), "{name}: {body}");
    }
}
