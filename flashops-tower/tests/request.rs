//! What the layer does to a request on its way, and what it holds for it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flashops_core::budget::Budget;
use flashops_core::caller::Caller;
use flashops_core::clock::ManualClock;
use flashops_core::key::Scope;
use flashops_core::limit::{Limit, Policy, Resource, Window};
use flashops_core::price::PriceBook;
use flashops_core::units::Tokens;
use flashops_tower::budget::{ModelRoute, OUTPUT_CAP, OnOver, StoredContent, TokenBudgetLayer};
use flashops_tower::inspect::WireFormat;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use support::{Answer, AnyBody, Chunks, Everybody, Fixture, Layered, Visitors, ask, complete, full, json, layered};
use tower::ServiceExt;

const CHAT: &str = "/v1/chat/completions";

/// A request with a model and what follows it.
fn with_model(rest: &str) -> String {
    format!(r#"{{"model":"gpt-4o"{rest}}}"#)
}

/// Sends a request, keeps what the inner service gets, and answers.
async fn visit(fixture: &Fixture, request: Request<AnyBody>) -> (Response<Layered>, Visitors) {
    visit_layered(fixture.layer(), request).await
}

async fn visit_layered<I>(
    layer: TokenBudgetLayer<flashops_core::store::MemoryStore<ManualClock>, I>,
    request: Request<AnyBody>,
) -> (Response<Layered>, Visitors)
where
    I: flashops_tower::identify::Identify + Send + Sync + 'static,
{
    let visitors = Visitors::default();
    let guests = visitors.clone();
    let answer = move |request| async move {
        guests.note(request).await;
        Ok::<Answer, _>(json(complete(9, 5)))
    };
    let response = layered(layer, answer).oneshot(request).await.unwrap();
    (response, visitors)
}

async fn error_of(response: Response<Layered>) -> (StatusCode, serde_json::Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_changed_body_goes_out_with_its_own_length() {
    let fixture = Fixture::new(1);
    let body = with_model(r#","stream":true"#);
    let mut request = ask(CHAT, full(body.clone()));
    request.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    let (_, visitors) = visit(&fixture, request).await;
    let seen = visitors.only();
    let expected = r#"{"model":"gpt-4o","stream":true,"max_tokens":16384,"stream_options":{"include_usage":true}}"#;
    assert_eq!(seen.body, expected);
    assert_eq!(seen.head.headers[CONTENT_LENGTH], expected.len().to_string());
}

#[tokio::test]
async fn a_body_in_chunks_goes_out_with_its_length_instead() {
    let fixture = Fixture::new(1);
    let mut request = ask(CHAT, full(with_model("")));
    request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    let (_, visitors) = visit(&fixture, request).await;
    let seen = visitors.only();
    assert_eq!(seen.head.headers[CONTENT_LENGTH], seen.body.len().to_string());
    assert!(!seen.head.headers.contains_key(TRANSFER_ENCODING));
}

#[tokio::test]
async fn a_length_that_nobody_declared_is_not_declared() {
    let fixture = Fixture::new(1);
    let (_, visitors) = visit(&fixture, ask(CHAT, full(with_model("")))).await;
    assert!(!visitors.only().head.headers.contains_key(CONTENT_LENGTH));
}

#[tokio::test]
async fn trailers_go_out_too_and_keep_the_body_in_chunks() {
    let fixture = Fixture::new(1);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let frames = vec![Frame::data(Bytes::from(with_model(""))), Frame::trailers(trailers.clone())];
    let mut request = ask(CHAT, Chunks::frames(frames).into_body());
    request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    let (_, visitors) = visit(&fixture, request).await;
    let seen = visitors.only();
    assert_eq!(seen.trailers, Some(trailers));
    assert_eq!(seen.head.headers[TRANSFER_ENCODING], "chunked");
    assert!(!seen.head.headers.contains_key(CONTENT_LENGTH));
}

#[tokio::test]
async fn a_body_in_many_pieces_goes_out_whole() {
    let fixture = Fixture::new(1);
    let body = with_model(r#","max_tokens":7,"messages":[{"role":"user","content":"one two three"}]"#);
    let pieces = body.as_bytes().chunks(7).chain([&b""[..]]).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
    let empty = Frame::data(Bytes::new());
    let request = ask(CHAT, Chunks::frames(std::iter::once(empty).chain(pieces).collect()).into_body());
    let (_, visitors) = visit(&fixture, request).await;
    assert_eq!(visitors.only().body, body);
}

#[tokio::test]
async fn the_rest_of_the_head_goes_out_as_it_came() {
    let fixture = Fixture::new(1);
    let request = Request::post("http://provider/v1/chat/completions?api-version=1")
        .header(CONTENT_TYPE, "application/json")
        .header(EXPECT, "100-continue")
        .header(ACCEPT_ENCODING, "gzip")
        .header("x-api-key", "sk-ann")
        .extension(7_u8)
        .body(full(with_model("")))
        .unwrap();
    let headers = request.headers().clone();
    let (_, visitors) = visit(&fixture, request).await;
    let seen = visitors.only();
    assert_eq!(seen.head.uri, "http://provider/v1/chat/completions?api-version=1");
    assert_eq!(seen.head.headers, headers);
    assert_eq!(seen.head.extensions.get::<u8>(), Some(&7));
    assert!(seen.head.extensions.get::<Caller>().is_none(), "the caller is nobody else's business unless asked for");
}

#[tokio::test]
async fn the_caller_is_handed_on_where_that_is_asked_for() {
    let fixture = Fixture::new(1);
    let (_, visitors) = visit_layered(fixture.layer().with_caller_extension(), ask(CHAT, full(with_model("")))).await;
    assert_eq!(visitors.only().head.extensions.get::<Caller>().unwrap().user(), "ann");
}

#[tokio::test]
async fn a_request_on_another_route_or_by_another_method_passes_unread() {
    let fixture = Fixture::new(1);
    for (method, path) in [
        (Method::GET, CHAT),
        (Method::HEAD, CHAT),
        (Method::OPTIONS, CHAT),
        (Method::POST, "/v1/models"),
        (Method::POST, "/v1/chat/completions/7/cancel"),
    ] {
        let mut request = ask(path, full("no JSON".to_owned()));
        *request.method_mut() = method;
        let (response, visitors) = visit(&fixture, request).await;
        assert_eq!(visitors.only().body, "no JSON", "{path}");
        assert!(!response.headers().contains_key("ratelimit"));
    }
    assert_eq!(fixture.used(), (0, 0));
}

#[tokio::test]
async fn a_route_that_is_spelled_differently_is_the_same_route() {
    for path in ["/v1/chat/completions/", "//v1/chat/completions", "/v1/ch%61t/completions", "/v1/./chat/completions"] {
        let fixture = Fixture::new(1);
        let (response, _) = visit(&fixture, ask(path, full(with_model("")))).await;
        drop(response);
        assert_eq!(fixture.used().1, 1, "{path}");
    }
}

#[tokio::test]
async fn a_response_names_the_cap_that_was_written_and_no_other() {
    let fixture = Fixture::new(1);
    let route = || ModelRoute::new(CHAT, WireFormat::OpenAiChat).unwrap();
    let capped = || route().with_max_output(Tokens::saturating(100), OnOver::Clamp);
    for (route, rest, cap, sent) in [
        (route(), "", Some("16384"), r#","max_tokens":16384"#),
        (route(), r#","max_tokens":5"#, None, r#","max_tokens":5"#),
        (capped(), "", Some("100"), r#","max_tokens":100"#),
        (capped(), r#","max_tokens":5"#, None, r#","max_tokens":5"#),
        (capped(), r#","max_completion_tokens":101"#, Some("100"), r#","max_completion_tokens":100"#),
    ] {
        let layer = fixture.layer().with_routes(vec![route]);
        let (response, visitors) = visit_layered(layer, ask(CHAT, full(with_model(rest)))).await;
        let named = response.headers().get(OUTPUT_CAP).map(|value| value.to_str().unwrap());
        assert_eq!(named, cap, "{rest}");
        assert_eq!(visitors.only().body, with_model(sent));
    }
}

#[tokio::test]
async fn a_cap_above_the_routes_is_refused_by_choice_and_by_its_name() {
    let fixture = Fixture::new(1);
    let route = ModelRoute::new(CHAT, WireFormat::OpenAiChat).unwrap();
    let route = route.with_max_output(Tokens::saturating(100), OnOver::Refuse);
    let layer = fixture.layer().with_routes(vec![route]);
    let request = ask(CHAT, full(with_model(r#","max_tokens":5,"max_completion_tokens":101"#)));
    let (response, visitors) = visit_layered(layer, request).await;
    assert!(visitors.all().is_empty());
    let (status, body) = error_of(response).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["code"], "output_cap_exceeded");
    assert_eq!(body["error"]["param"], "max_completion_tokens");
    assert_eq!(fixture.used(), (0, 0));
}

#[tokio::test]
async fn a_request_that_names_no_model_is_counted_for_the_routes_default() {
    let fixture = Fixture::new(1);
    let route = ModelRoute::new(CHAT, WireFormat::OpenAiChat).unwrap();
    let request = || ask(CHAT, full(r#"{"messages":[]}"#.to_owned()));
    let (response, _) = visit_layered(fixture.layer().with_routes(vec![route.clone()]), request()).await;
    let (status, body) = error_of(response).await;
    assert_eq!((status, &body["error"]["param"]), (StatusCode::BAD_REQUEST, &"model".into()));
    let layer = fixture.layer().with_routes(vec![route.with_default_model("gpt-4o-mini")]);
    let (response, visitors) = visit_layered(layer, request()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(visitors.only().body, r#"{"messages":[],"max_tokens":16384}"#);
}

#[tokio::test]
async fn below_a_pattern_each_path_is_read_in_its_own_format() {
    let fixture = Fixture::new(1);
    let route = ModelRoute::by_path("/v1/**", WireFormat::OpenAiChat).unwrap();
    for (path, expected) in [
        (CHAT, r#"{"stream":true,"model":"gpt-4o","max_tokens":16384,"stream_options":{"include_usage":true}}"#),
        ("/v1/messages", r#"{"stream":true,"model":"gpt-4o","max_tokens":16384}"#),
        ("/v1/responses", r#"{"stream":true,"model":"gpt-4o","max_output_tokens":16384}"#),
        ("/v1/embeddings", r#"{"stream":true,"model":"gpt-4o"}"#),
        ("/v1/ai", r#"{"stream":true,"model":"gpt-4o","max_tokens":16384,"stream_options":{"include_usage":true}}"#),
    ] {
        let body = full(r#"{"stream":true,"model":"gpt-4o"}"#.to_owned());
        let (_, visitors) = visit_layered(fixture.layer().with_routes(vec![route.clone()]), ask(path, body)).await;
        assert_eq!(visitors.only().body, expected, "{path}");
    }
}

/// What is held while the provider works.
async fn held(fixture: &Fixture, path: &str, body: String) -> u64 {
    let service = fixture.service(|_| std::future::pending());
    let mut call = Box::pin(service.oneshot(ask(path, full(body))));
    assert!(futures_util::poll!(&mut call).is_pending());
    fixture.held()
}

#[tokio::test]
async fn the_hold_is_a_token_for_each_byte_and_the_cap_of_each_choice() {
    let fixture = Fixture::new(1);
    let body = with_model(r#","max_tokens":50,"n":3,"messages":[{"role":"user","content":"h\u00e9"}]"#);
    assert_eq!(held(&fixture, CHAT, body.clone()).await, body.len() as u64 + 150);
    let body = with_model(r#","input":["one","two"]"#);
    assert_eq!(held(&fixture, "/v1/embeddings", body.clone()).await, body.len() as u64);
}

/// A request with one image, and how much of it is text.
fn image(model: &str) -> (String, u64) {
    let url = "data:image/png;base64,AAAA";
    let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
    let body = format!(r#"{{"model":"{model}","max_tokens":0,"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let text = (body.len() - url.len()) as u64;
    (body, text)
}

#[tokio::test]
async fn an_image_is_held_for_at_what_its_model_can_make_of_it() {
    for (model, most) in [
        // Eight tiles of 5,667 tokens and a base of 2,833.
        ("gpt-4o-mini", 48_169),
        ("gpt-4o", 85 + 8 * 170),
        // Patches, at most so many, of 1.2 tokens each; less of the small models.
        ("gpt-6-sol", 30_000 * 12 / 10),
        ("gpt-5.5", 10_000 * 12 / 10),
        ("gpt-5.4-nano", 1_536 * 246 / 100),
        ("claude-opus-5", 4_784),
        ("nobody-knows-it", 48_169),
    ] {
        let (body, text) = image(model);
        assert!(held(&Fixture::new(1), CHAT, body).await >= text + most, "{model}");
    }
}

#[tokio::test]
async fn a_price_file_says_what_an_image_of_its_model_can_be() {
    let house = |name: &str, more: &str| {
        let head = format!("[[model]]\nname = \"{name}\"\nprovider = \"us\"\nsource = \"s\"\nas_of = \"2026-11-20\"");
        format!("{head}\n{more}\n[[model.price]]\nflat = \"1\"\n")
    };
    let book = [house("own", "max_media_tokens = 700"), house("none", "max_media_tokens = 0"), house("silent", "")];
    let book = PriceBook::from_toml(&book.concat()).unwrap();
    for (model, most) in [("own", 700), ("none", 0), ("silent", 8_192)] {
        let fixture = Fixture::new(1);
        let budget = Budget::new(Arc::clone(fixture.budget.store()), Arc::new(book.clone()), ());
        let (body, text) = image(model);
        assert_eq!(held(&Fixture { budget, ..fixture }, CHAT, body).await, text + most, "{model}");
    }
}

#[tokio::test]
async fn content_that_the_provider_keeps_or_fetches_is_held_for_as_the_whole_window_or_refused() {
    for (path, rest, param) in [
        ("/v1/responses", r#","max_output_tokens":1,"previous_response_id":"resp_1""#, "input"),
        (
            CHAT,
            r#","max_tokens":1,"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]"#,
            "messages",
        ),
        (
            "/v1/messages",
            r#","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x.org/a.pdf"}}]}]"#,
            "messages",
        ),
    ] {
        let fixture = Fixture::new(1);
        assert!(held(&fixture, path, with_model(rest)).await > 128_000, "{rest}");
        let fixture = Fixture::new(1);
        let layer = fixture.layer().with_stored_content(StoredContent::Refuse);
        let mut request = ask(path, full(with_model(rest)));
        request.headers_mut().insert("accept", HeaderValue::from_static("application/problem+json"));
        let (response, visitors) = visit_layered(layer, request).await;
        assert!(visitors.all().is_empty());
        let (status, body) = error_of(response).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &"stored_content_not_supported".into()));
        assert!(body["detail"].as_str().unwrap().contains(param), "{body}");
    }
}

#[tokio::test]
async fn a_sound_is_held_for_by_its_length() {
    let fixture = Fixture::new(1);
    let body = |data: &str| {
        let part = format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}","format":"mp3"}}}}"#);
        with_model(&format!(r#","max_tokens":1,"messages":[{{"role":"user","content":[{part}]}}]"#))
    };
    let short = held(&fixture, CHAT, body("")).await;
    // An hour of base64 at 8 kilobits a second, of which models make up to 32 tokens a second.
    let hour = 3_600 * 1_000 * 4 / 3;
    assert!(held(&fixture, CHAT, body(&"A".repeat(hour))).await >= short + 3_600 * 32);
}

/// A layer for ann over these limits, on the routes of models.
fn over(limits: Vec<Limit>) -> (Budget<flashops_core::store::MemoryStore<ManualClock>>, Everybody) {
    let budget = Budget::in_memory(Policy::new(limits).unwrap(), ManualClock::new());
    (budget, Everybody(Caller::new("ann", "acme")))
}

#[tokio::test]
async fn limits_of_a_route_count_on_it_and_on_no_other() {
    let minute = Window::Sliding(Duration::from_secs(60));
    let limit = |name, route: &str| {
        let limit = Limit::new(name, Scope::User, Resource::Requests, 1, minute.clone()).unwrap();
        limit.with_routes([route]).unwrap()
    };
    let (budget, ann) = over(vec![limit("chat", CHAT), limit("messages", "/v1/messages")]);
    let layer = TokenBudgetLayer::new(budget, ann);
    let service = layered(layer, |_| ready(Ok(json(complete(1, 1)))));
    let status = |path| {
        let service = service.clone();
        async move { service.oneshot(ask(path, full(with_model("")))).await.unwrap().status() }
    };
    assert_eq!(status(CHAT).await, StatusCode::OK);
    assert_eq!(status("/v1/messages").await, StatusCode::OK);
    assert_eq!(status("/v1/responses").await, StatusCode::OK);
    assert_eq!(status("/v1/responses").await, StatusCode::OK);
    assert_eq!(status(CHAT).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(status("//v1/chat/completions").await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn all_limits_of_a_request_are_held_by_one_reservation_or_none() {
    let minute = Window::Sliding(Duration::from_secs(60));
    let (budget, ann) = over(vec![
        Limit::new("requests", Scope::User, Resource::Requests, 10, minute.clone()).unwrap(),
        Limit::new("org", Scope::Org, Resource::Tokens, 1_000_000, minute.clone()).unwrap(),
        Limit::new("model", Scope::Model, Resource::OutputTokens, 100, minute.clone()).unwrap(),
        Limit::new("money", Scope::Global, Resource::Cost, 1_000_000_000, minute).unwrap(),
        Limit::concurrency("at-once", Scope::User, 2).unwrap(),
    ]);
    let service = layered(TokenBudgetLayer::new(budget.clone(), ann.clone()), |_| std::future::pending());
    let held = |standings: &[flashops_core::store::Standing]| standings.iter().map(|one| one.held).collect::<Vec<_>>();
    let keys = || ann.0.scopes().with(flashops_core::key::Key::global());
    let all = budget.policy().select(|_| true);
    let before = held(&budget.store().standings_now(&keys(), all));

    let too_much = ask(CHAT, full(with_model(r#","max_tokens":101"#)));
    let refused = service.clone().oneshot(too_much).await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(held(&budget.store().standings_now(&keys(), all)), before, "none is held");

    let mut call = Box::pin(service.oneshot(ask(CHAT, full(with_model(r#","max_tokens":100"#)))));
    assert!(futures_util::poll!(&mut call).is_pending());
    let after = budget.store().standings_now(&keys(), all);
    assert!(after.iter().all(|one| one.held > 0 || one.used > 0), "all are: {after:?}");
}
