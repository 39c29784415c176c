//! The answers as clients see them.

use std::time::Duration;

use flashops_core::budget::BeginError;
use flashops_core::clock::UnixSeconds;
use flashops_core::estimate::{Estimate, InputBound, InputEstimate, OutputCap, OutputEstimate};
use flashops_core::key::Scope;
use flashops_core::limit::{Denied, Limit, LimitIndex, Policy, Resource, Retry, Switches, Window};
use flashops_core::store::StoreError;
use flashops_core::units::{MoneyUnit, Tokens};
use http::{HeaderMap, Response};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::headers::{Family, Headers};
use super::*;
use crate::identify::IdentifyError;
use crate::inspect::{Inspected, WireFormat};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Problem];
const ID: &str = "req_01.a-B";
const QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const ABNORMAL: &str = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";
const BLANK: &str = "about:blank";

fn policy() -> Policy {
    let seconds = |seconds| Window::Sliding(Duration::from_secs(seconds));
    let limit = |name, scope, resource, amount, window| Limit::new(name, scope, resource, amount, window).unwrap();
    Policy::new(vec![
        limit("ai-rpm", Scope::User, Resource::Requests, 5, seconds(60)),
        limit("tpm", Scope::Org, Resource::Tokens, 1_000, seconds(60)),
        limit("daily-tokens", Scope::Org, Resource::Tokens, 100_000, seconds(86_400)),
        limit("grant", Scope::Global, Resource::Cost, 12_500_000_000, Window::Lifetime),
        limit("hourly-cost", Scope::User, Resource::Cost, 1_000_000_000, seconds(3_600)),
        limit("blocked", Scope::User, Resource::Requests, 0, seconds(60)),
        Limit::concurrency("streams", Scope::User, 4).unwrap(),
        limit("rpd", Scope::Ip, Resource::Requests, 50, seconds(86_400)),
    ])
    .unwrap()
}

fn denied(policy: &Policy, name: &str, asked: u64, remaining: u64, retry: Retry) -> Denied {
    let (limit, _) = policy.indexed().find(|(_, limit)| limit.name() == name).unwrap();
    Denied { limit, violated: policy.select(|limit| limit.name() == name), asked, remaining, retry }
}

fn after(millis: u64) -> Retry {
    Retry::After(Duration::from_millis(millis))
}

fn answer(reject: &DefaultReject, refusal: &Refusal<'_>, dialect: Dialect) -> Response<RejectBody> {
    let context = RefusalContext::new(dialect, UnixSeconds(0)).with_request_id(RequestId::new(ID));
    reject.reject(refusal, &context)
}

fn json(response: &Response<RejectBody>) -> Value {
    serde_json::from_slice(&response.body().clone().into_bytes()).unwrap()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// What a client is told about trying again: `Retry-After`, `retry-after-ms`, `x-should-retry`.
type Told = (Option<&'static str>, Option<&'static str>, Option<&'static str>);

const NOTHING: Told = (None, None, None);
const NEVER: Told = (None, None, Some("false"));
const IN_A_SECOND: Told = (Some("1"), Some("1000"), None);

/// One row of the table: the answer to one situation in every dialect.
struct Row<'a> {
    refusal: Refusal<'a>,
    status: u16,
    open_ai: (&'a str, &'a str),
    param: Option<&'a str>,
    anthropic: &'a str,
    problem: (&'a str, &'a str),
    violated: Option<&'a str>,
    told: Told,
    message: &'a str,
}

impl Row<'_> {
    fn body(&self, dialect: Dialect) -> Value {
        let (kind, code) = self.open_ai;
        let (uri, title) = self.problem;
        match dialect {
            Dialect::OpenAi => json!({"error": {
                "message": self.message, "type": kind, "param": self.param, "code": code, "request_id": ID,
            }}),
            Dialect::Anthropic => json!({
                "type": "error", "error": {"type": self.anthropic, "message": self.message}, "request_id": ID,
            }),
            Dialect::Problem => {
                let mut problem = json!({
                    "type": uri, "title": title, "status": self.status, "detail": self.message, "code": code,
                    "instance": format!("urn:flashops:request:{ID}"),
                });
                if let Some(name) = self.violated {
                    problem["violated-policies"] = json!([name]);
                }
                problem
            }
        }
    }

    fn check(&self, reject: &DefaultReject) {
        for dialect in DIALECTS {
            let response = answer(reject, &self.refusal, dialect);
            let (headers, what) = (response.headers(), format!("{dialect:?} {:?}", self.refusal));
            assert_eq!(response.status(), self.status, "{what}");
            assert_eq!(json(&response), self.body(dialect), "{what}");
            let (seconds, millis, again) = self.told;
            assert_eq!(text(headers, "retry-after").as_deref(), seconds, "{what}");
            assert_eq!(text(headers, "retry-after-ms").as_deref(), millis, "{what}");
            assert_eq!(text(headers, "x-should-retry").as_deref(), again, "{what}");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["content-type"], dialect.media_type());
            assert_eq!(headers["x-request-id"], ID);
            assert_eq!(text(headers, "request-id").is_some(), dialect == Dialect::Anthropic);
        }
    }
}

/// The row of a denial by the limit of this name, as it is for a rate of requests.
fn denial<'a>(
    policy: &'a Policy,
    name: &'a str,
    (asked, remaining): (u64, u64),
    retry: Retry,
    told: Told,
    message: &'a str,
) -> Row<'a> {
    Row {
        refusal: Refusal::denied(policy, denied(policy, name, asked, remaining, retry)),
        status: 429,
        open_ai: ("requests", "rate_limit_exceeded"),
        param: None,
        anthropic: "rate_limit_error",
        problem: (QUOTA, "Request cannot be satisfied as assigned quota has been exceeded"),
        violated: Some(name),
        told,
        message,
    }
}

#[test]
fn a_rate_is_answered_as_the_clients_of_each_dialect_expect() {
    let (policy, usual) = (policy(), DefaultReject::new());
    let told = (Some("12"), Some("11500"), None);
    let message = "Rate limit reached for ai-rpm on requests per user: Limit 5, Used 5, Requested 1. \
                   Please try again in 11.5s.";
    denial(&policy, "ai-rpm", (1, 0), after(11_500), told, message).check(&usual);

    let message = "Rate limit reached for blocked on requests per user: Limit 0, Used 0, Requested 1. \
                   Waiting does not help.";
    denial(&policy, "blocked", (1, 0), Retry::Never, NEVER, message).check(&usual);

    let told = (Some("90"), Some("90000"), Some("false"));
    let message = "Rate limit reached for tpm on tokens per org: Limit 1000, Used 600, Requested 700. \
                   Please try again in 1m30s.";
    let tokens = denial(&policy, "tpm", (700, 400), after(90_000), told, message);
    Row { open_ai: ("tokens", "rate_limit_exceeded"), ..tokens }.check(&usual);

    let told = (Some("60"), Some("60000"), None);
    let message = "Rate limit reached for hourly-cost on cost per user. Please try again in 1m0s.";
    let cost = denial(&policy, "hourly-cost", (7, 3), after(60_000), told, message);
    Row { open_ai: ("cost", "rate_limit_exceeded"), ..cost }.check(&usual);
}

#[test]
fn a_spent_budget_is_answered_as_the_clients_of_each_dialect_expect() {
    let (policy, usual) = (policy(), DefaultReject::new());
    let open_ai = ("insufficient_quota", "insufficient_quota");
    let told = (Some("7200"), Some("7200000"), Some("false"));
    let message = "You exceeded your current quota daily-tokens on tokens per org: Limit 100000, Used 100000, \
                   Requested 700. Please try again in 2h0m0s.";
    let day = denial(&policy, "daily-tokens", (700, 0), after(7_200_000), told, message);
    Row { open_ai, ..day }.check(&usual);

    let told = (Some("30"), Some("30000"), None);
    let message = "You exceeded your current quota rpd on requests per ip: Limit 50, Used 50, Requested 1. \
                   Please try again in 30s.";
    Row { open_ai, ..denial(&policy, "rpd", (1, 0), after(30_000), told, message) }.check(&usual);

    let message = "You exceeded your current quota grant on cost of the whole service. It does not reset by itself.";
    Row { open_ai, ..denial(&policy, "grant", (5, 0), Retry::Never, NEVER, message) }.check(&usual);

    let message = "You exceeded your current quota grant on cost of the whole service: Limit 12.5 USD, \
                   Used 12.4999995 USD, Requested 0.0000021 USD. It does not reset by itself.";
    let grant = denial(&policy, "grant", (2_100, 500), Retry::Never, NEVER, message);
    let payment = usual.with_spent_status(SpentStatus::PaymentRequired).with_cost_unit(MoneyUnit::NANO_USD);
    Row { open_ai, status: 402, anthropic: "billing_error", ..grant }.check(&payment);
}

#[test]
fn what_is_too_large_or_too_many_at_once_is_answered_as_the_clients_of_each_dialect_expect() {
    let (policy, usual) = (policy(), DefaultReject::new());
    let message = "Request too large for tpm on tokens per org: Limit 1000, Requested 5200. \
                   Waiting does not help: send less input, or ask for less output.";
    let too_large = denial(&policy, "tpm", (5_200, 1_000), Retry::Never, NEVER, message);
    let open_ai = ("invalid_request_error", "request_too_large");
    Row { open_ai, status: 413, anthropic: "request_too_large", ..too_large }.check(&usual);

    let message = "Too many requests in progress for streams per user: Limit 4, Used 4, Requested 1. \
                   Please try again in 1s.";
    let crowded = denial(&policy, "streams", (1, 0), Retry::WHILE_HELD, IN_A_SECOND, message);
    let (open_ai, anthropic) = (("server_error", "overloaded"), "overloaded_error");
    let problem = (REDUCED, "Request cannot be satisfied due to temporary server capacity constraints");
    Row { open_ai, status: 503, anthropic, problem, ..crowded }.check(&usual);
}

fn row<'a>(
    refusal: Refusal<'a>,
    status: u16,
    open_ai: (&'a str, &'a str),
    anthropic: &'a str,
    problem: (&'a str, &'a str),
    told: Told,
    message: &'a str,
) -> Row<'a> {
    Row { refusal, status, open_ai, param: None, anthropic, problem, violated: None, told, message }
}

#[test]
fn a_fault_on_our_side_is_answered_as_the_clients_of_each_dialect_expect() {
    let usual = DefaultReject::new();
    let reduced = (REDUCED, "Request cannot be satisfied due to temporary server capacity constraints");
    let overloaded = ("server_error", "overloaded");
    let message = "The service is overloaded. Please try again in 1s.";
    row(Refusal::Store(&StoreError::Full), 503, overloaded, "overloaded_error", reduced, IN_A_SECOND, message)
        .check(&usual);
    let (refusal, told) = (Refusal::Overloaded { retry: Duration::from_secs(5) }, (Some("5"), Some("5000"), None));
    let message = "The service is overloaded. Please try again in 5s.";
    row(refusal, 503, overloaded, "overloaded_error", reduced, told, message).check(&usual);

    let error = StoreError::Unavailable("redis://secret@10.0.0.1 timed out".to_owned());
    let (open_ai, problem) = (("server_error", "limiter_unavailable"), (BLANK, "Service Unavailable"));
    let message = "The service cannot check its limits at the moment. Please try again in 1s.";
    row(Refusal::Store(&error), 503, open_ai, "api_error", problem, IN_A_SECOND, message).check(&usual);

    let (open_ai, problem) = (("server_error", "internal_error"), (BLANK, "Internal Server Error"));
    let message = "The service failed to handle the request.";
    row(Refusal::Internal, 500, open_ai, "api_error", problem, NOTHING, message).check(&usual);

    let (open_ai, problem) = (("server_error", "provider_unreachable"), (BLANK, "Bad Gateway"));
    let message = "The provider of the model cannot be reached.";
    row(Refusal::ProviderUnreachable, 502, open_ai, "api_error", problem, NOTHING, message).check(&usual);
}

#[test]
fn a_provider_that_would_refuse_is_answered_as_a_rate() {
    let usual = DefaultReject::new();
    let quota = (QUOTA, "Request cannot be satisfied as assigned quota has been exceeded");
    let (tokens, none) = ("provider-tokens on tokens per provider: Remaining 40, Requested 700", "asked to wait");
    for (resource, kind, violated, message) in [
        (Some(Resource::Tokens), "tokens", "provider-tokens", format!("Rate limit reached for {tokens}.")),
        (None, "requests", "provider-requests", format!("The provider of the model {none}.")),
    ] {
        let refusal = Refusal::ProviderLimited { resource, asked: 700, remaining: 40, retry: Duration::from_secs(30) };
        let (open_ai, told) = ((kind, "rate_limit_exceeded"), (Some("30"), Some("30000"), None));
        let message = format!("{message} Please try again in 30s.");
        let row = row(refusal, 429, open_ai, "rate_limit_error", quota, told, &message);
        Row { violated: Some(violated), ..row }.check(&usual);
    }
}

#[test]
fn who_may_not_come_is_answered_as_the_clients_of_each_dialect_expect() {
    let usual = DefaultReject::new();
    let refusal = Refusal::AbnormalUsage { retry: after(30_000) };
    let open_ai = ("requests", "rate_limit_exceeded");
    let problem = (ABNORMAL, "Request not satisfied due to detection of abnormal request pattern");
    let told = (Some("30"), Some("30000"), Some("false"));
    let message = "Your requests show an unusual pattern and are held back. Please try again in 30s.";
    row(refusal, 429, open_ai, "rate_limit_error", problem, told, message).check(&usual);

    let (open_ai, problem) = (("invalid_request_error", "ip_not_authorized"), (BLANK, "Forbidden"));
    let message = "Requests from your address are not allowed.";
    row(Refusal::AddressNotAllowed, 403, open_ai, "permission_error", problem, NOTHING, message).check(&usual);

    let open_ai = ("invalid_request_error", "unmetered_route");
    let message = "This route calls a model and is not metered here.";
    row(Refusal::UnmeteredRoute, 403, open_ai, "permission_error", problem, NOTHING, message).check(&usual);

    for (error, code, message) in [
        (
            IdentifyError::Missing,
            "missing_api_key",
            "You didn't provide an API key. Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`.",
        ),
        (IdentifyError::Unknown, "invalid_api_key", "The API key that you provided is not known here."),
        (IdentifyError::Ambiguous, "invalid_api_key", "You provided two different API keys; send one."),
    ] {
        let (refusal, open_ai) = (Refusal::Unidentified(error), ("invalid_request_error", code));
        let problem = (BLANK, "Unauthorized");
        row(refusal, 401, open_ai, "authentication_error", problem, NOTHING, message).check(&usual);
    }
}

#[test]
fn a_bad_request_is_answered_as_the_clients_of_each_dialect_expect() {
    let bad_body = bytes::Bytes::from_static(b"{\"max_tokens\": -1}");
    let inspect = Inspected::read(WireFormat::OpenAiChat, bad_body).unwrap_err();
    let over_cap = Refusal::OutputOverCap {
        asked: Tokens::saturating(9_000),
        cap: Tokens::saturating(2_000),
        param: "max_tokens",
    };
    for (refusal, code, param, message) in [
        (
            Refusal::Inspect(inspect),
            "invalid_request",
            Some("max_tokens"),
            "The request cannot be read: max_tokens is negative; it must be a whole number from 0 to 1000000000.",
        ),
        (
            Refusal::BadRequest { message: "It is \"odd\".", param: Some("n") },
            "invalid_request",
            Some("n"),
            "It is \"odd\".",
        ),
        (Refusal::BadRequest { message: "No body.", param: None }, "invalid_request", None, "No body."),
        (
            Refusal::UnknownModel { model: "gpt-\u{7}\"5" },
            "model_not_priced",
            Some("model"),
            "The model `gpt-\u{7}\"5` has no price here, and a cost limit applies to your requests.",
        ),
        (
            over_cap,
            "output_cap_exceeded",
            Some("max_tokens"),
            "`max_tokens` is 9000, and this route allows 2000 output tokens.",
        ),
        (
            Refusal::StoredContent { param: "previous_response_id" },
            "stored_content_not_supported",
            Some("previous_response_id"),
            "`previous_response_id` refers to content that the provider keeps; send the content itself.",
        ),
    ] {
        let (kind, problem) = ("invalid_request_error", (BLANK, "Bad Request"));
        let row = row(refusal, 400, (kind, code), kind, problem, NOTHING, message);
        Row { param, ..row }.check(&DefaultReject::new());
    }
    let (refusal, kind) = (Refusal::BodyTooLarge { most: 4_194_304 }, "request_too_large");
    let (open_ai, problem) = (("invalid_request_error", kind), (BLANK, "Payload Too Large"));
    let message = "The request body is longer than 4194304 bytes.";
    row(refusal, 413, open_ai, kind, problem, NOTHING, message).check(&DefaultReject::new());
}

#[test]
fn members_come_in_the_order_in_which_providers_write_them() {
    let policy = policy();
    let refusal = Refusal::denied(&policy, denied(&policy, "streams", 1, 0, Retry::WHILE_HELD));
    let expected = [
        r#"{"error":{"message":"M","type":"server_error","param":null,"code":"overloaded","request_id":"req_01.a-B"}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"M"},"request_id":"req_01.a-B"}"#,
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
            r#""title":"Request cannot be satisfied due to temporary server capacity constraints","status":503,"#,
            r#""detail":"M","instance":"urn:flashops:request:req_01.a-B","code":"overloaded","#,
            r#""violated-policies":["streams"]}"#,
        ),
    ];
    let message = "Too many requests in progress for streams per user: Limit 4, Used 4, Requested 1. \
                   Please try again in 1s.";
    for (dialect, expected) in DIALECTS.into_iter().zip(expected) {
        let body = answer(&DefaultReject::new(), &refusal, dialect).into_body().into_bytes();
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), expected.replace("\"M\"", &format!("\"{message}\"")));
    }
}

#[test]
fn without_an_identity_no_dialect_has_a_member_for_it() {
    for (dialect, member) in DIALECTS.into_iter().zip(["/error/request_id", "/request_id", "/instance"]) {
        let context = RefusalContext::new(dialect, UnixSeconds(0));
        let response = DefaultReject::new().reject(&Refusal::Internal, &context);
        assert_eq!(json(&response).pointer(member), None);
        assert!(!response.headers().contains_key("x-request-id") && !response.headers().contains_key("request-id"));
        assert!(json(&answer(&DefaultReject::new(), &Refusal::Internal, dialect)).pointer(member).is_some());
    }
}

#[test]
fn a_request_whose_bound_alone_never_fits_is_told_which_switch_helps() {
    let policy = policy();
    let estimate = |bytes, cap| Estimate::new(InputBound::bytes(bytes), OutputCap::new(Tokens::saturating(cap)));
    for (bytes, cap, status) in [(3_600, 100, 429), (3_603, 100, 429), (3_604, 100, 413), (0, 1_001, 413)] {
        let estimate = estimate(bytes, cap);
        let denied = denied(&policy, "tpm", estimate.total().get(), 1_000, Retry::Never);
        let refusal = Refusal::Denied { policy: &policy, denied, least: Some(least(estimate, None)) };
        let response = answer(&DefaultReject::new(), &refusal, Dialect::OpenAi);
        assert_eq!(response.status(), status, "{bytes} bytes");
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(json(&response)["error"]["message"].as_str().unwrap().contains("`input_estimate`"), status == 429);
    }
}

#[test]
fn the_switch_that_is_on_already_is_not_the_one_that_helps() {
    for (output, named) in [(OutputEstimate::Cap, "`output_estimate`"), (OutputEstimate::Learned, "ask for less")] {
        let mut switches = Switches::default();
        (switches.input_estimate, switches.output_estimate) = (InputEstimate::Calibrated, output);
        let policy = policy().with_switches(switches);
        let denied = denied(&policy, "tpm", 1_001, 1_000, Retry::Never);
        let estimate = Estimate::new(InputBound::bytes(901), OutputCap::new(Tokens::saturating(100)));
        let refusal = Refusal::Denied { policy: &policy, denied, least: Some(least(estimate, None)) };
        let response = answer(&DefaultReject::new(), &refusal, Dialect::OpenAi);
        assert_eq!(response.status(), 429);
        let message = json(&response)["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(named) && !message.contains("`input_estimate`"), "{message}");
    }
}

#[test]
fn every_error_of_the_front_door_has_its_answer() {
    let policy = policy();
    let denied = denied(&policy, "ai-rpm", 1, 0, after(1));
    for (error, status) in
        [(BeginError::Denied(denied), 429), (BeginError::Store(StoreError::Full), 503), (BeginError::UnknownModel, 400)]
    {
        let refusal = Refusal::begin(&error, &policy, None, "m");
        assert_eq!(answer(&DefaultReject::new(), &refusal, Dialect::Problem).status(), status);
    }
}

#[test]
fn all_violated_policies_are_named_in_the_problem_and_in_the_policy_header() {
    let policy = policy();
    let both = policy.select(|limit| matches!(limit.name(), "ai-rpm" | "tpm"));
    let denied = Denied { violated: both, ..denied(&policy, "tpm", 700, 400, after(1_200)) };
    let headers = Headers::new(&policy, [Family::Ietf]);
    let context = RefusalContext::new(Dialect::Problem, UnixSeconds(0));
    let refusal = Refusal::denied(&policy, denied);
    let response = refuse(&DefaultReject::new(), &headers, &refusal, &context);
    assert_eq!(json(&response)["violated-policies"], json!(["ai-rpm", "tpm"]));
    assert_eq!(response.headers()["ratelimit-policy"], r#""ai-rpm";q=5;w=60, "tpm";q=1000;qu="tokens";w=60"#);
    assert_eq!(response.headers()["ratelimit"], r#""tpm";r=400;t=2"#);
}

#[test]
fn whatever_the_hook_answers_the_response_says_that_nothing_was_dispatched_and_how_the_limit_stands() {
    let policy = policy();
    let own = |_: &Refusal<'_>, _: &RefusalContext<'_>| Response::new(RejectBody::new("no"));
    let refusal = Refusal::denied(&policy, denied(&policy, "ai-rpm", 1, 0, after(12_000)));
    let context = RefusalContext::new(Dialect::OpenAi, UnixSeconds(0));
    let response = refuse(&own, &Headers::new(&policy, [Family::Ietf]), &refusal, &context);
    assert_eq!(response.extensions().get(), Some(&NotDispatched));
    assert_eq!(response.headers()["ratelimit"], r#""ai-rpm";r=0;t=12"#);
    assert_eq!(response.into_body().into_bytes(), "no");
}

#[test]
fn a_challenge_comes_with_every_401_and_with_nothing_else() {
    for (error, challenge) in [
        (IdentifyError::Missing, "Bearer"),
        (IdentifyError::Unknown, r#"Bearer error="invalid_token""#),
        (IdentifyError::Ambiguous, r#"Bearer error="invalid_request""#),
    ] {
        let response = answer(&DefaultReject::new(), &Refusal::Unidentified(error), Dialect::OpenAi);
        assert_eq!(response.headers()["www-authenticate"], challenge);
    }
    let other = answer(&DefaultReject::new(), &Refusal::AddressNotAllowed, Dialect::OpenAi);
    assert!(!other.headers().contains_key("www-authenticate"));
}

#[test]
fn jitter_is_a_sequence_that_its_seed_repeats() {
    let refusal = Refusal::Overloaded { retry: Duration::from_secs(10) };
    let waits = |reject: &DefaultReject| -> Vec<String> {
        let wait = || text(answer(reject, &refusal, Dialect::OpenAi).headers(), "retry-after-ms").unwrap();
        (0..20).map(|_| wait()).collect()
    };
    let jitter = |seed| DefaultReject::new().with_jitter(seed);
    assert_eq!(waits(&jitter(7)), waits(&jitter(7)));
    assert_ne!(waits(&jitter(7)), waits(&jitter(8)));
    assert!(waits(&jitter(7)).iter().any(|wait| wait != "10000"));
    assert_eq!(waits(&DefaultReject::new()), vec!["10000"; 20]);
}

#[test]
fn a_denial_of_a_larger_policy_is_still_an_answer() {
    let (larger, smaller) = (policy(), Policy::new(Vec::new()).unwrap());
    let refusal = Refusal::denied(&smaller, denied(&larger, "rpd", 1, 0, after(1_000)));
    let context = RefusalContext::new(Dialect::Problem, UnixSeconds(0));
    let response = refuse(&DefaultReject::new(), &Headers::new(&smaller, [Family::Ietf]), &refusal, &context);
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(!response.headers().contains_key("ratelimit"));
}

fn any_denied(limits: usize) -> impl Strategy<Value = (usize, u64, u64, Option<u64>)> {
    (0..limits, any::<u64>(), any::<u64>(), any::<Option<u64>>())
}

proptest! {
    #[test]
    fn no_text_of_a_client_breaks_a_body_or_reaches_a_header(
        message in any::<String>(), param in any::<String>(), id in any::<String>()
    ) {
        for dialect in DIALECTS {
            let context = RefusalContext::new(dialect, UnixSeconds(0)).with_request_id(RequestId::new(&id));
            for refusal in [
                Refusal::BadRequest { message: &message, param: Some(&param) },
                Refusal::UnknownModel { model: &message },
                Refusal::StoredContent { param: &param },
            ] {
                let response = DefaultReject::new().reject(&refusal, &context);
                let body = json(&response);
                let whole = dialect == Dialect::OpenAi && message.len() <= MAX_MESSAGE;
                if let (Refusal::BadRequest { .. }, true) = (refusal, whole) {
                    prop_assert_eq!(&body["error"]["message"], &json!(message));
                }
                for (name, value) in response.headers() {
                    let own = matches!(name.as_str(), "content-type" | "cache-control");
                    prop_assert!(own || RequestId::new(value.to_str().unwrap()).is_some());
                }
            }
        }
    }

    #[test]
    fn any_denial_is_answered_and_its_reset_is_never_after_its_retry(
        (limit, asked, remaining, wait) in any_denied(8), now in any::<i64>(), seed in any::<u64>()
    ) {
        let policy = policy();
        let (limit, _): (LimitIndex, _) = policy.indexed().nth(limit).unwrap();
        let retry = wait.map_or(Retry::Never, |nanos| Retry::After(Duration::from_nanos(nanos.max(1))));
        let denied = Denied { limit, violated: policy.select(|_| true), asked, remaining, retry };
        let families = [Family::Ietf, Family::Legacy, Family::OpenAi, Family::Anthropic];
        let headers = Headers::new(&policy, families);
        let reject = DefaultReject::new().with_jitter(seed);
        for dialect in DIALECTS {
            let context = RefusalContext::new(dialect, UnixSeconds(now));
            let response = refuse(&reject, &headers, &Refusal::denied(&policy, denied), &context);
            json(&response);
            let reset = text(response.headers(), "ratelimit")
                .and_then(|state| state.split_once(";t=").map(|(_, t)| t.parse::<u64>().unwrap()));
            let retry_after = text(response.headers(), "retry-after").map(|wait| wait.parse::<u64>().unwrap());
            prop_assert!(retry_after != Some(0));
            prop_assert_eq!(retry_after.is_some(), wait.is_some());
            prop_assert!(reset.is_none() || reset <= retry_after);
        }
    }
}
