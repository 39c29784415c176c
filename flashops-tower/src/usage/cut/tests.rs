use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::fixtures::*;
use super::super::oracle;
use super::*;

use BodyKind::{AmazonEvents, Json, JsonLines, Sse};
use WireFormat::{BedrockConverse, CohereChat, Gemini, Ollama, OpenAiCompletions};

fn payloads(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn cut_after(format: WireFormat, stream: &[u8], output: u64) -> (Vec<u8>, Bytes) {
    let kind = match format {
        Ollama => JsonLines,
        BedrockConverse => AmazonEvents,
        _ => Sse,
    };
    cut_of(format, kind, stream, output)
}

fn cut_of(format: WireFormat, kind: BodyKind, stream: &[u8], output: u64) -> (Vec<u8>, Bytes) {
    let mut cut = CutStream::new(format, kind).unwrap();
    let passed = cut.push(Bytes::copy_from_slice(stream)).collect::<Vec<_>>().concat();
    (passed, cut.end_here(output))
}

#[test]
fn a_chat_ends_each_choice_that_is_open_and_no_other() {
    let stream = sse(&[
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"id":"c1","choices":[{"index":1,"delta":{"content":"b"}},{"index":2,"delta":{"content":"c"}}]}"#,
        r#"{"id":"c1","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
    ]);
    let (passed, ending) = cut_after(WireFormat::OpenAiChat, &stream, 3);
    assert_eq!(passed, stream);
    assert!(ending.ends_with(b"\n\ndata: [DONE]\n\n"));
    let event = json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [
            {"index": 0, "delta": {}, "logprobs": null, "finish_reason": "length"},
            {"index": 2, "delta": {}, "logprobs": null, "finish_reason": "length"},
        ],
    });
    assert_eq!(payloads(&ending), [event]);
}

#[test]
fn a_chat_of_which_nothing_was_seen_ends_its_first_choice() {
    let (_, ending) = cut_after(WireFormat::OpenAiChat, b"data: {\"id\":", 0);
    assert_eq!(payloads(&ending)[0]["choices"][0]["finish_reason"], "length");
}

#[test]
fn messages_end_their_open_block_and_then_themselves() {
    let (_, ending) = cut_after(WireFormat::AnthropicMessages, &sse(&MESSAGES_STREAM[..4]), 42);
    assert_eq!(
        payloads(&ending),
        [
            json!({"type": "content_block_stop", "index": 0}),
            json!({
                "type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": null},
                "usage": {"output_tokens": 42},
            }),
            json!({"type": "message_stop"}),
        ]
    );
    assert!(ending.starts_with(b"event: content_block_stop\ndata: "));
    let (_, ending) = cut_after(WireFormat::AnthropicMessages, &sse(&MESSAGES_STREAM[..6]), 42);
    assert_eq!(payloads(&ending)[0]["type"], "message_delta", "its block has ended");
}

#[test]
fn a_response_ends_incomplete_as_it_began() {
    let stream = sse(&[
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"r1","status":"in_progress","incomplete_details":null,"model":"m","output":[],"usage":null}}"#,
        r#"{"type":"response.output_text.delta","sequence_number":4,"delta":"Hel"}"#,
    ]);
    let (_, ending) = cut_after(WireFormat::OpenAiResponses, &stream, 1);
    let response = json!({
        "id": "r1", "model": "m", "output": [], "usage": null,
        "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
    });
    let event = json!({"type": "response.incomplete", "sequence_number": 5, "response": response});
    assert_eq!(payloads(&ending), [event]);
    assert!(ending.starts_with(b"event: response.incomplete\n"));
    let (_, ending) = cut_after(WireFormat::OpenAiResponses, &sse(&RESPONSES_STREAM[1..2]), 1);
    assert_eq!(payloads(&ending)[0]["response"]["status"], "incomplete");
}

#[test]
fn an_older_completion_ends_each_choice_that_is_open() {
    let (_, ending) = cut_after(OpenAiCompletions, &sse(&COMPLETION_STREAM[..1]), 1);
    let choice = json!({"index": 0, "text": "", "logprobs": null, "finish_reason": "length"});
    assert_eq!(payloads(&ending), [json!({"id": "cmpl-1", "object": "text_completion", "choices": [choice]})]);
    assert!(ending.ends_with(b"\n\ndata: [DONE]\n\n"));
}

/// What Gemini's fixture ends with after its first event.
fn gemini_end(candidates: &[u64]) -> Value {
    let candidate = |index| {
        let content = json!({"parts": [{"text": ""}], "role": "model"});
        json!({"content": content, "finishReason": "MAX_TOKENS", "index": index})
    };
    let candidates: Vec<Value> = candidates.iter().map(candidate).collect();
    json!({"candidates": candidates, "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10}})
}

#[test]
fn gemini_ends_each_candidate_that_is_open_with_the_usage_that_was_last_reported() {
    let (_, ending) = cut_after(Gemini, &sse(&GEMINI_STREAM[..1]), 1);
    assert_eq!(payloads(&ending), [gemini_end(&[0])]);
    let second = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":1},{"finishReason":"STOP","index":2}]}"#;
    let (_, ending) = cut_after(Gemini, &sse(&[GEMINI_STREAM[0], second]), 1);
    assert_eq!(payloads(&ending), [gemini_end(&[0, 1])]);
    let named = r#"{"candidates":[{"content":{}}],"modelVersion":"gemini-x","responseId":"r","usageMetadata":{"promptTokenCount":
        10,"totalTokenCount":10}}"#;
    let (_, ending) = cut_after(Gemini, &sse(&[&named.replace('\n', "\ndata: ")]), 1);
    let mut expected = gemini_end(&[0]);
    expected["modelVersion"] = "gemini-x".into();
    expected["responseId"] = "r".into();
    assert_eq!(payloads(&ending), [expected]);
    let (_, ending) = cut_after(Gemini, &sse(GEMINI_STREAM), 1);
    assert_eq!(ending, "", "its only candidate has ended");
}

#[test]
fn the_array_of_gemini_stays_an_array_wherever_it_is_cut() {
    let stream = array(GEMINI_STREAM);
    let ended = |end: usize| {
        let (passed, ending) = cut_of(Gemini, Json, &stream[..end], 1);
        serde_json::from_slice::<Vec<Value>>(&[&passed[..], &ending].concat()).unwrap()
    };
    let event = |index: usize| serde_json::from_str::<Value>(GEMINI_STREAM[index]).unwrap();
    assert_eq!(ended(1).len(), 1, "nothing but the bracket has come");
    assert_eq!(ended(1 + GEMINI_STREAM[0].len()), [event(0), gemini_end(&[0])]);
    assert_eq!(ended(10 + GEMINI_STREAM[0].len()), [event(0), gemini_end(&[0])]);
    assert_eq!(ended(stream.len() - 3), [event(0), event(1), event(2)], "its only candidate has ended");
}

#[test]
fn a_json_document_of_gemini_passes_and_is_not_ended() {
    let mut cut = CutStream::new(Gemini, Json).unwrap();
    assert_eq!(cut.push(Bytes::from_static(b" \r\n")).len(), 0);
    assert!(!cut.can_end());
    let passed: Vec<Bytes> = cut.push(Bytes::from_static(b"{\"candidates\":[")).collect();
    assert_eq!(passed.concat(), b" \r\n{\"candidates\":[");
    assert!(!cut.can_end());
    assert_eq!((cut.push(Bytes::from_static(b"]")).len(), cut.finish()), (1, None));
    let mut cut = CutStream::new(Gemini, Json).unwrap();
    assert_eq!(
        cut.push(array(GEMINI_STREAM).into()).map(|bytes| bytes.len()).sum::<usize>(),
        array(GEMINI_STREAM).len()
    );
    assert!(!cut.can_end(), "it has ended");
}

#[test]
fn cohere_ends_its_open_block_and_then_the_message() {
    let end = json!({"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS"}});
    let (_, ending) = cut_after(CohereChat, &sse(&COHERE_STREAM[..3]), 1);
    assert_eq!(payloads(&ending), [json!({"type": "content-end", "index": 0}), end.clone()]);
    assert!(ending.starts_with(b"event: content-end\ndata: "));
    let (_, ending) = cut_after(CohereChat, &sse(&COHERE_STREAM[..4]), 1);
    assert_eq!(payloads(&ending), std::slice::from_ref(&end));
    let tool = r#"{"type":"tool-call-start","index":2,"delta":{}}"#;
    let (_, ending) = cut_after(CohereChat, &sse(&[COHERE_STREAM[3], tool]), 1);
    assert_eq!(payloads(&ending), [json!({"type": "tool-call-end", "index": 2}), end]);
}

#[test]
fn ollama_ends_with_a_line_of_the_kind_that_came() {
    let last = |stream: &[u8]| {
        let (passed, ending) = cut_after(Ollama, stream, 1);
        assert!(passed.ends_with(b"\n") && ending.ends_with(b"}\n"));
        serde_json::from_slice::<Value>(&ending).unwrap()
    };
    let chat = json!({
        "model": "llama3.2", "created_at": "t", "message": {"role": "assistant", "content": ""},
        "done_reason": "length", "done": true,
    });
    assert_eq!(last(&ndjson(&OLLAMA_STREAM[..1])), chat);
    let completion = json!({"model": "m", "response": "", "done_reason": "length", "done": true});
    assert_eq!(last(b"{\"model\":\"m\",\"response\":\"Hi\",\"done\":false}\n{\"resp"), completion);
}

#[test]
fn bedrock_stops_its_open_block_and_then_the_message() {
    let stop = frame("event", "contentBlockStop", br#"{"contentBlockIndex":0}"#);
    let end = frame("event", "messageStop", br#"{"stopReason":"max_tokens"}"#);
    let (passed, ending) = cut_after(BedrockConverse, &frames(&BEDROCK_STREAM[..2]), 1);
    assert_eq!(passed, frames(&BEDROCK_STREAM[..2]));
    assert_eq!(ending, [stop, end.clone()].concat());
    let (_, ending) = cut_after(BedrockConverse, &frames(&BEDROCK_STREAM[..4]), 1);
    assert_eq!(ending, end, "its block has stopped");
    let tool = ("contentBlockStart", r#"{"contentBlockIndex":7,"start":{"toolUse":{"name":"f"}}}"#);
    let (_, ending) = cut_after(BedrockConverse, &frames(&[tool]), 1);
    assert_eq!(ending, [frame("event", "contentBlockStop", br#"{"contentBlockIndex":7}"#), end].concat());
}

#[test]
fn frames_that_cannot_be_read_pass_and_are_not_ended() {
    let mut stream = frames(BEDROCK_STREAM);
    stream[8] ^= 1;
    let mut cut = CutStream::new(BedrockConverse, AmazonEvents).unwrap();
    assert_eq!(cut.push(stream.clone().into()).map(|bytes| bytes.len()).sum::<usize>(), stream.len());
    assert!(!cut.can_end());
}

#[test]
fn outside_of_events_nothing_ends_inside_an_oversize_piece() {
    let text = "x".repeat(MAX_EVENT);
    let line = format!("{{\"response\":\"{text}\",\"done\":false}}\n").into_bytes();
    let element = format!("[{{\"x\":\"{text}\"}}").into_bytes();
    let large = frame("event", "x", text.as_bytes());
    for (format, kind, piece) in
        [(Ollama, JsonLines, line), (Gemini, Json, element), (BedrockConverse, AmazonEvents, large)]
    {
        let mut cut = CutStream::new(format, kind).unwrap();
        let (start, rest) = piece.split_at(piece.len() - 1);
        assert_eq!(cut.push(Bytes::copy_from_slice(start)).map(|bytes| bytes.len()).sum::<usize>(), start.len());
        assert!(!cut.can_end(), "{format:?}");
        assert_eq!(cut.push(Bytes::copy_from_slice(rest)).map(|bytes| bytes.len()).sum::<usize>(), 1);
        assert!(cut.can_end(), "{format:?}");
    }
}

#[test]
fn a_format_in_another_framing_is_not_cut() {
    for (format, kind) in [(Ollama, Sse), (BedrockConverse, Sse), (CohereChat, JsonLines), (OpenAiCompletions, Json)] {
        assert!(CutStream::new(format, kind).is_none(), "{format:?}");
    }
    assert!(CutStream::new(WireFormat::OpenAiEmbeddings, Sse).is_none());
}

#[test]
fn a_stream_that_is_ended_inside_an_oversize_event_ends_that_first() {
    let mut cut = CutStream::new(WireFormat::OpenAiChat, Sse).unwrap();
    let large = format!("data: {{\"x\":\"{}", "a".repeat(MAX_EVENT));
    assert_eq!(cut.push(Bytes::from(large.clone())).map(|passed| passed.len()).sum::<usize>(), large.len());
    assert!(cut.end_here(0).starts_with(b"\n\ndata: {"));
}

proptest! {
    #[test]
    fn what_passes_is_the_stream_up_to_the_end_of_an_event_however_it_is_split(
        format in prop_oneof![
            Just((WireFormat::OpenAiChat, CHAT_STREAM)),
            Just((WireFormat::AnthropicMessages, MESSAGES_STREAM)),
            Just((WireFormat::OpenAiResponses, RESPONSES_STREAM)),
            Just((WireFormat::OpenAiCompletions, COMPLETION_STREAM)),
            Just((WireFormat::Gemini, GEMINI_STREAM)),
            Just((WireFormat::CohereChat, COHERE_STREAM)),
        ],
        ends in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        splits in prop::collection::vec(1_usize..60, 1..80), up_to in 0_usize..2_000,
    ) {
        let (format, stream) = format;
        let stream = String::from_utf8(sse(stream)).unwrap().replace('\n', ends).into_bytes();
        let up_to = up_to.min(stream.len());
        let (mut cut, mut passed, mut at) = (CutStream::new(format, Sse).unwrap(), Vec::new(), 0);
        for split in splits.iter().cycle() {
            let end = (at + split).min(up_to);
            cut.push(Bytes::copy_from_slice(&stream[at..end])).for_each(|bytes| passed.extend_from_slice(&bytes));
            at = end;
            if at == up_to {
                break;
            }
        }
        prop_assert!(stream[..up_to].starts_with(&passed));
        let blank = ends.repeat(2);
        // Of a CRLF that is split, the LF passes when it comes.
        let split = ends == "\r\n" && passed.ends_with(b"\r\n\r");
        prop_assert!(passed.is_empty() || split || passed.ends_with(blank.as_bytes()));
        let unfinished = &stream[passed.len()..up_to];
        let has_an_end = unfinished.windows(blank.len()).any(|window| window == blank.as_bytes());
        prop_assert!(!has_an_end, "all whole events have passed");
        if up_to == stream.len() {
            prop_assert_eq!(cut.finish(), None);
        } else {
            let ending = cut.end_here(1);
            prop_assert!(ending.is_empty() || ending.ends_with(b"\n\n"));
            payloads(&ending);
        }
    }

    #[test]
    fn what_passes_are_whole_pieces_in_every_framing_however_it_is_split(
        (format, kind, ends, stream) in proptest::sample::select(framed()),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        up_to in any::<prop::sample::Index>(),
    ) {
        let up_to = up_to.index(stream.len() + 1);
        let mut cut = CutStream::new(format, kind).unwrap();
        let chunks = oracle::split(&stream[..up_to], &cuts);
        let passed: Vec<Bytes> = chunks.iter().flat_map(|chunk| cut.push(Bytes::copy_from_slice(chunk))).collect();
        let passed = passed.concat();
        let whole = ends.iter().copied().filter(|end| *end <= up_to).max().unwrap_or(0);
        let over = up_to > *ends.last().unwrap();
        prop_assert_eq!(&passed[..], &stream[..if over { passed.len().max(whole) } else { whole }]);
        let ended = [&passed[..], &cut.end_here(1)].concat();
        prop_assert!(cut.can_end() || over || up_to == 0 || kind == Json);
        match kind {
            Json if !over => drop(serde_json::from_slice::<Vec<Value>>(&ended).unwrap()),
            JsonLines => ended.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| {
                serde_json::from_slice::<Value>(line).unwrap();
            }),
            AmazonEvents => prop_assert!(frames_in(&ended) >= 1),
            _ => {}
        }
    }
}

/// Streams in framings that are no events, and where their pieces end.
fn framed() -> Vec<(WireFormat, BodyKind, Vec<usize>, Vec<u8>)> {
    let lines = |count| ndjson(&OLLAMA_STREAM[..count]).len();
    let elements = |count: usize| array(&GEMINI_STREAM[..count]).len() - "\n]\n".len();
    let all = |count| frames(&BEDROCK_STREAM[..count]).len();
    vec![
        (Ollama, JsonLines, (1..=OLLAMA_STREAM.len()).map(lines).collect(), ndjson(OLLAMA_STREAM)),
        (Gemini, Json, (1..=GEMINI_STREAM.len()).map(elements).collect(), array(GEMINI_STREAM)),
        (BedrockConverse, AmazonEvents, (1..=BEDROCK_STREAM.len()).map(all).collect(), frames(BEDROCK_STREAM)),
    ]
}

/// How many frames there are; all bytes must be in frames.
fn frames_in(mut stream: &[u8]) -> usize {
    let mut count = 0;
    while !stream.is_empty() {
        let length = u32::from_be_bytes(stream[..4].try_into().unwrap()) as usize;
        stream = &stream[length..];
        count += 1;
    }
    count
}
