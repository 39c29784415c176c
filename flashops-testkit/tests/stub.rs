//! The stub provider over real sockets: what it sends, how it breaks off, and what its ledger says.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use bytes::Bytes;
use flashops_testkit::stub::{self, Produced, StubProvider, Sums};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

/// A body for any of the text formats.
fn body(path: &str, prompt: &str, max: u64, rest: &Value) -> Value {
    let mut body = json!({"model": "model-1"});
    let messages = json!([{"role": "user", "content": prompt}]);
    match path {
        CHAT => (body["messages"], body["max_completion_tokens"]) = (messages, max.into()),
        MESSAGES => (body["messages"], body["max_tokens"]) = (messages, max.into()),
        _ => (body["input"], body["max_output_tokens"]) = (prompt.into(), max.into()),
    }
    for (name, value) in rest.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn post(provider: &StubProvider, path: &str, body: &Value) -> Response<Incoming> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("{}{path}", provider.base_url()))
        .header("x-stub-tag", "tag-1")
        .body(Full::from(body.to_string()))
        .unwrap();
    client.request(request).await.unwrap()
}

async fn whole(response: Response<Incoming>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// The text of a stream, up to its end or to where it broke, and whether it broke.
async fn streamed(response: Response<Incoming>) -> (String, bool) {
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    received(response).await
}

async fn received(response: Response<Incoming>) -> (String, bool) {
    let mut body = response.into_body();
    let mut text = Vec::new();
    let broke = loop {
        match body.frame().await {
            None => break false,
            Some(Err(_)) => break true,
            Some(Ok(frame)) => text.extend_from_slice(frame.data_ref().unwrap()),
        }
    };
    (String::from_utf8(text).unwrap(), broke)
}

/// The data of every event but `[DONE]`; an event's name must be the type in its data.
fn events(stream: &str) -> Vec<Value> {
    assert!(stream.ends_with("\n\n"), "{stream}");
    let mut events = Vec::new();
    for event in stream.trim_end().split("\n\n") {
        let (name, data) = match event.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: "), data),
            None => (None, event),
        };
        let data = data.strip_prefix("data: ").unwrap();
        if data == "[DONE]" {
            continue;
        }
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data.get("type").and_then(Value::as_str), name);
        events.push(data);
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

/// The words in a stream of any format, one entry for each delta.
fn deltas(events: &[Value]) -> Vec<String> {
    let text = |event: &Value| {
        let places = ["/choices/0/delta/content", "/delta/text", "/delta"];
        let found = places.iter().find_map(|place| event.pointer(place)?.as_str().map(str::to_owned));
        found.filter(|text| !text.is_empty())
    };
    events.iter().filter_map(text).collect()
}

fn only(provider: &StubProvider) -> Produced {
    let produced = provider.produced();
    assert_eq!(produced.len(), 1, "{produced:?}");
    produced[0].clone()
}

#[tokio::test]
async fn a_chat_that_is_not_streamed_reports_exactly_its_words() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "four words [reply 3]", 5, &json!({"n": 2}));
    let response = post(&provider, CHAT, &asked).await;
    assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    let answer = whole(response).await;

    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "model-1");
    for index in 0..2 {
        let choice = &answer["choices"][index];
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"]["role"], "assistant");
        assert_eq!(choice["message"]["content"], "w0 w1 w2 ");
        assert_eq!(choice["finish_reason"], "stop");
    }
    let usage = &answer["usage"];
    assert_eq!([&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]], [4, 6, 10]);
    provider.idle().await;
    assert_eq!(
        only(&provider),
        Produced {
            path: CHAT.to_owned(),
            model: "model-1".to_owned(),
            tag: Some("tag-1".to_owned()),
            status: 200,
            prompt_tokens: 4,
            completion_tokens: 6,
            full_completion_tokens: 6,
            running: false,
            cut: false,
        }
    );
}

#[tokio::test]
async fn a_chat_stream_has_its_usage_chunk_only_where_the_client_asked() {
    let provider = StubProvider::start().await.unwrap();
    let plain = body(CHAT, "hello you", 3, &json!({"stream": true}));
    let (stream, _) = streamed(post(&provider, CHAT, &plain).await).await;
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let plain = events(&stream);
    assert!(plain.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(plain.iter().all(|chunk| chunk["choices"].as_array().unwrap().len() == 1));
    assert_eq!(deltas(&plain), ["w0 ", "w1 ", "w2 "]);
    assert_eq!(plain[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(plain.last().unwrap()["choices"][0]["finish_reason"], "length");

    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (stream, _) = streamed(post(&provider, CHAT, &body(CHAT, "hello you", 3, &options)).await).await;
    let mut asked = events(&stream);
    let last = asked.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!((&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]), (&json!(2), &json!(3)));
    assert!(
        asked.iter().all(|chunk| chunk["usage"] == Value::Null && chunk.as_object().unwrap().contains_key("usage"))
    );
    assert_eq!(asked.len(), plain.len());
}

#[tokio::test]
async fn the_choices_of_a_chat_stream_are_interleaved_and_all_end() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "hi", 2, &json!({"stream": true, "n": 3}));
    let (stream, _) = streamed(post(&provider, CHAT, &asked).await).await;
    let mut texts = vec![String::new(); 3];
    let mut ends = 0;
    for chunk in events(&stream) {
        let choice = &chunk["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts[index] += choice["delta"]["content"].as_str().unwrap_or_default();
        ends += usize::from(choice["finish_reason"] == "length");
    }
    assert_eq!((texts, ends), (vec!["w0 w1 ".to_owned(); 3], 3));
}

#[tokio::test]
async fn anthropic_messages_have_their_events_and_usage_in_order() {
    let provider = StubProvider::start().await.unwrap();
    let rest = json!({"system": "be brief", "metadata": {"user_id": "u"}});
    let response = post(&provider, MESSAGES, &body(MESSAGES, "a b [reply 2]", 9, &rest)).await;
    assert!(response.headers().contains_key("request-id"));
    let answer = whole(response).await;
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["content"], json!([{"type": "text", "text": "w0 w1 "}]));
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]), (&json!(6), &json!(2)));

    let asked = body(MESSAGES, "a b", 3, &json!({"stream": true}));
    let (stream, _) = streamed(post(&provider, MESSAGES, &asked).await).await;
    let events = events(&stream);
    let order = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds(&events), order);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 2);
    assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    assert_eq!(deltas(&events).concat(), "w0 w1 w2 ");
    let delta = &events[events.len() - 2];
    assert_eq!(delta["delta"]["stop_reason"], "max_tokens");
    assert_eq!(delta["usage"]["output_tokens"], 3);
}

#[tokio::test]
async fn openai_responses_have_their_events_and_usage_in_order() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(RESPONSES, "a b [reply 3]", 9, &json!({"instructions": "be brief"}));
    let answer = whole(post(&provider, RESPONSES, &asked).await).await;
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(answer["output"][0]["content"][0]["text"], "w0 w1 w2 ");
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]), (&json!(6), &json!(3)));

    let mut asked = asked;
    asked["stream"] = true.into();
    let (stream, _) = streamed(post(&provider, RESPONSES, &asked).await).await;
    let events = events(&stream);
    let order = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&events), order);
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
    assert_eq!(deltas(&events).concat(), "w0 w1 w2 ");
    assert_eq!(events[0]["response"]["usage"], Value::Null);
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["usage"]["output_tokens"], &last["usage"]["total_tokens"]), (&json!(3), &json!(9)));

    let capped = whole(post(&provider, RESPONSES, &body(RESPONSES, "hi", 2, &json!({}))).await).await;
    assert_eq!(capped["status"], "incomplete");
    assert_eq!(capped["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn embeddings_are_unit_vectors_for_each_input_as_floats_or_base64() {
    let provider = StubProvider::start().await.unwrap();
    let asked = json!({"model": "e", "input": ["two words", "and three more"], "dimensions": 4});
    let answer = whole(post(&provider, EMBEDDINGS, &asked).await).await;
    assert_eq!(answer["usage"], json!({"prompt_tokens": 5, "total_tokens": 5}));
    assert_eq!(answer["data"][0]["embedding"], json!([0.5, 0.5, 0.5, 0.5]));
    assert_eq!(answer["data"][1]["embedding"], json!([-0.5, 0.5, 0.5, 0.5]));

    let asked = json!({"model": "e", "input": "x", "dimensions": 1, "encoding_format": "base64"});
    let answer = whole(post(&provider, EMBEDDINGS, &asked).await).await;
    assert_eq!(answer["data"][0]["embedding"], "AACAPw==");
    provider.idle().await;
    let sums = Sums { answers: 2, prompt_tokens: 6, completion_tokens: 0, cut: 0 };
    assert_eq!(provider.sums(), sums);
}

#[tokio::test]
async fn a_cut_stream_has_exactly_its_words_and_no_end() {
    // 50,000 words fill every buffer between here and there, so that a cut which loses what is buffered shows.
    for (path, words) in [(CHAT, 0), (CHAT, 1), (MESSAGES, 7), (RESPONSES, 7), (CHAT, 50_000)] {
        let provider = StubProvider::start().await.unwrap();
        let asked = body(path, &format!("[cut {words}]"), 60_000, &json!({"stream": true}));
        let (stream, broke) = streamed(post(&provider, path, &asked).await).await;
        assert!(broke, "{path} {words}");
        assert_eq!(deltas(&events(&stream)).len(), words, "{path}");
        for end in ["[DONE]", "message_stop", "response.completed", "\"finish_reason\":\""] {
            assert!(!stream.contains(end), "{path} {words}");
        }
        provider.idle().await;
        let produced = only(&provider);
        assert_eq!((produced.completion_tokens, produced.full_completion_tokens), (words as u64, 60_000));
        assert!(produced.cut && !produced.running);
    }
}

#[tokio::test]
async fn an_answer_that_has_fewer_words_than_the_cut_is_whole() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "[cut 4] [reply 3]", 9, &json!({"stream": true}));
    let (stream, broke) = streamed(post(&provider, CHAT, &asked).await).await;
    assert!(!broke && stream.ends_with("data: [DONE]\n\n"));
    provider.idle().await;
    assert!(!only(&provider).cut);
}

#[tokio::test]
async fn a_cut_answer_that_is_not_streamed_has_a_head_and_the_json_up_to_its_words() {
    for (path, rest, words, end) in [
        (CHAT, json!({"n": 2}), 4, "w0 "),
        (CHAT, json!({"n": 2}), 6, "w0 w1 w2 "),
        (CHAT, json!({}), 0, "\""),
        (MESSAGES, json!({}), 2, "w0 w1 "),
        (RESPONSES, json!({}), 3, "w0 w1 w2 "),
    ] {
        let provider = StubProvider::start().await.unwrap();
        let asked = body(path, &format!("[cut {words}]"), 3, &rest);
        let response = post(&provider, path, &asked).await;
        assert_eq!(response.status(), StatusCode::OK);
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let (text, broke) = received(response).await;
        assert!(broke && text.len() < length, "{path} {words}: {text}");
        assert!(text.ends_with(end), "{path} {words}: {text}");
        assert_eq!(text.matches('w').count(), words, "{path}: {text}");
        provider.idle().await;
        assert_eq!(only(&provider).completion_tokens, words as u64);
    }
}

#[tokio::test]
async fn a_hanging_stream_sends_its_words_and_ends_only_when_its_client_leaves() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(MESSAGES, "[hang 2]", 9, &json!({"stream": true}));
    let mut stream = post(&provider, MESSAGES, &asked).await.into_body();
    let mut text = String::new();
    while !text.contains("w1 ") {
        let frame = stream.frame().await.unwrap().unwrap();
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    assert!(only(&provider).running);
    drop(stream);
    provider.idle().await;
    let produced = only(&provider);
    assert_eq!((produced.completion_tokens, produced.cut), (2, true));
}

#[tokio::test]
async fn a_client_that_leaves_a_paced_stream_ends_it() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "[pace 1]", 1_000_000, &json!({"stream": true}));
    let mut stream = post(&provider, CHAT, &asked).await.into_body();
    let mut text = String::new();
    while !text.contains("w3 ") {
        let frame = stream.frame().await.unwrap().unwrap();
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    drop(stream);
    provider.idle().await;
    let produced = only(&provider);
    assert!(produced.cut);
    assert!((4..1_000_000).contains(&produced.completion_tokens));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_of_a_paced_answer_gets_no_word() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "[pace 3600000]", 9, &json!({})).to_string();
    let mut socket = TcpStream::connect(provider.address()).await.unwrap();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: stub\r\ncontent-length: {}\r\n\r\n", asked.len());
    socket.write_all((head + &asked).as_bytes()).await.unwrap();
    while provider.requests().total() == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    provider.idle().await;
    let produced = only(&provider);
    assert_eq!((produced.completion_tokens, produced.cut), (0, true));
}

#[tokio::test]
async fn a_directive_to_fail_answers_in_the_dialect_and_produces_nothing() {
    let provider = StubProvider::start().await.unwrap();
    let response = post(&provider, CHAT, &body(CHAT, "[fail 429]", 9, &json!({"stream": true}))).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let error = whole(response).await;
    assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&json!("requests"), &json!("rate_limit_exceeded")));

    let response = post(&provider, MESSAGES, &body(MESSAGES, "[fail 529]", 9, &json!({}))).await;
    assert_eq!(response.status().as_u16(), 529);
    let error = whole(response).await;
    assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("overloaded_error")));

    provider.idle().await;
    assert_eq!(provider.requests().errors, 2);
    assert_eq!(provider.sums(), Sums::default());
}

#[tokio::test]
async fn usage_is_left_out_of_every_format_when_the_prompt_says_so() {
    let provider = StubProvider::start().await.unwrap();
    for path in [CHAT, MESSAGES, RESPONSES] {
        let answer = whole(post(&provider, path, &body(path, "[no-usage]", 2, &json!({}))).await).await;
        assert!(answer.get("usage").is_none_or(Value::is_null), "{path}");
        let rest = json!({"stream": true, "stream_options": {"include_usage": true}});
        let (stream, _) = streamed(post(&provider, path, &body(path, "[no-usage]", 2, &rest)).await).await;
        assert!(!stream.contains("\"usage\":{"), "{path}: {stream}");
    }
}

#[tokio::test]
async fn requests_that_cannot_be_read_get_an_error_in_the_dialect_of_their_path() {
    let provider = StubProvider::start().await.unwrap();
    let status = async |path: &str, body: &Value| {
        let response = post(&provider, path, body).await;
        let status = response.status().as_u16();
        let error = whole(response).await;
        let dialect = if path == MESSAGES { error["type"] == "error" } else { error.get("type").is_none() };
        assert!(dialect && error["error"]["message"].is_string(), "{error}");
        status
    };
    assert_eq!(status(CHAT, &json!("no object")).await, 400);
    assert_eq!(status(CHAT, &json!({"model": "m"})).await, 400);
    assert_eq!(status(CHAT, &json!({"messages": []})).await, 400);
    assert_eq!(status(MESSAGES, &json!({"model": "m", "messages": [], "max_tokens": -1})).await, 400);
    assert_eq!(status(RESPONSES, &json!({"model": "m", "input": "x", "max_output_tokens": 0.5})).await, 400);
    assert_eq!(status(EMBEDDINGS, &json!({"model": "m", "input": "x", "dimensions": 0})).await, 400);
    assert_eq!(status("/v1/other", &json!({})).await, 404);
    assert_eq!(status(MESSAGES, &json!({"x": "y".repeat(stub::MAX_BODY)})).await, 413);
    provider.idle().await;
    assert_eq!((provider.requests().errors, provider.sums()), (8, Sums::default()));
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_with_and_without_a_socket() {
    let provider = StubProvider::start().await.unwrap();
    for (path, rest) in [(CHAT, json!({"stream": true})), (MESSAGES, json!({})), (RESPONSES, json!({"stream": true}))] {
        let asked = body(path, "hello [reply 5]", 9, &rest);
        let over_socket = post(&provider, path, &asked).await.into_body().collect().await.unwrap().to_bytes();
        let request = Request::post(path).body(Bytes::from(asked.to_string())).unwrap();
        let in_process = stub::respond(request).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(over_socket, in_process, "{path}");
    }
}

#[tokio::test]
async fn an_answer_tells_of_limits_in_the_headers_of_its_provider() {
    let provider = StubProvider::start().await.unwrap();
    let told = async |path: &str, prompt: &str| {
        let response = post(&provider, path, &body(path, prompt, 1, &json!({}))).await;
        let of_limits = |name: &str| name.contains("ratelimit") || name == "retry-after";
        let headers = response.headers().iter().filter(|(name, _)| of_limits(name.as_str()));
        let mut lines: Vec<String> =
            headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        (lines.join("\n"), response.headers()["date"].to_str().unwrap().to_owned())
    };
    assert_eq!(told(CHAT, "hi").await.0, "");
    let chat = told(CHAT, "[requests-left 7] [tokens-left 90] [reset 125]").await.0;
    let expected = "x-ratelimit-limit-requests: 1000\nx-ratelimit-limit-tokens: 1000\n\
        x-ratelimit-remaining-requests: 7\nx-ratelimit-remaining-tokens: 90\n\
        x-ratelimit-reset-requests: 2m5s\nx-ratelimit-reset-tokens: 2m5s";
    assert_eq!(chat, expected);
    let (messages, date) = told(MESSAGES, "[tokens-left 0] [reset 20]").await;
    let expected = "anthropic-ratelimit-tokens-limit: 1000\nanthropic-ratelimit-tokens-remaining: 0\n\
        anthropic-ratelimit-tokens-reset: 2023-11-14T22:13:40Z";
    assert_eq!((messages.as_str(), date.as_str()), (expected, "Tue, 14 Nov 2023 22:13:20 GMT"));
    assert_eq!(told(RESPONSES, "[fail 429] [retry-after 9]").await.0, "retry-after: 9");
}

#[tokio::test]
async fn a_cut_in_process_is_an_error_of_the_body_after_its_words() {
    let asked = body(CHAT, "[cut 2]", 9, &json!({"stream": true})).to_string();
    let mut answer = stub::respond(Request::post(CHAT).body(Bytes::from(asked)).unwrap()).into_body();
    let mut frames = 0;
    while let Some(Ok(_)) = answer.frame().await {
        frames += 1;
    }
    assert_eq!(frames, 1 + 2);
}

#[tokio::test]
async fn a_provider_that_is_dropped_closes_its_connections_and_its_port() {
    let provider = StubProvider::start().await.unwrap();
    let address = provider.address();
    let asked = body(CHAT, "[hang 0]", 9, &json!({"stream": true}));
    let stream = post(&provider, CHAT, &asked).await;
    drop(provider);
    assert!(received(stream).await.1);

    let provider = StubProvider::start_on(address).await.unwrap();
    provider.shutdown().await;
    let closed = match TcpStream::connect(address).await {
        Err(_) => true,
        Ok(mut socket) => socket.read(&mut [0]).await.map_or(true, |read| read == 0),
    };
    assert!(closed);
}

#[tokio::test]
async fn the_ledger_tags_by_header_else_by_the_user_in_the_body() {
    let provider = StubProvider::start().await.unwrap();
    let asked = body(CHAT, "hi", 1, &json!({"user": "by-body"})).to_string();
    let mut socket = TcpStream::connect(provider.address()).await.unwrap();
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: stub\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", asked.len());
    socket.write_all((head + &asked).as_bytes()).await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    post(&provider, CHAT, &body(CHAT, "hi", 1, &json!({"user": "by-body"}))).await;
    let tags: Vec<_> = provider.produced().into_iter().map(|produced| produced.tag.unwrap()).collect();
    assert_eq!(tags, ["by-body", "tag-1"]);
}
