//! Responses in the shapes that providers document, written for these tests.

/// Server-sent events with these payloads.
pub(super) fn sse(payloads: &[&str]) -> Vec<u8> {
    payloads.iter().map(|payload| format!("data: {payload}\n\n")).collect::<String>().into_bytes()
}

pub(super) const CHAT: &str = r#"{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "service_tier": "flex",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello \"usage\": 7", "usage": {"prompt_tokens": 1}},
    "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 1117, "completion_tokens": 46, "total_tokens": 1163,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 5, "cache_write_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2, "rejected_prediction_tokens": 4}}
}"#;

pub(super) const CHAT_STREAM: &[&str] = &[
    r#"{"service_tier":"auto","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{"content":" there, \"usage\":{}"}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
    r#"{"choices":[],"service_tier":"priority","usage":{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":16}}}"#,
    "[DONE]",
];

pub(super) const RESPONSES: &str = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"service_tier":"priority",
  "output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],
  "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,
    "output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}"#;

pub(super) const RESPONSES_STREAM: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","service_tier":"auto","usage":null,"error":null}}"#,
    r#"{"type":"response.output_text.delta","delta":"Hel"}"#,
    r#"{"type":"response.output_text.delta","delta":"lo"}"#,
    r#"{"type":"response.output_text.done","text":"Hello"}"#,
    r#"{"type":"response.completed","response":{"status":"completed","service_tier":"flex","output":[{"content":[{"text":"Hello"}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}}"#,
];

pub(super) const MESSAGES: &str = r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],
  "usage":{"input_tokens":21,"cache_creation_input_tokens":300,"cache_read_input_tokens":40,
    "cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},
    "output_tokens":393,"output_tokens_details":{"thinking_tokens":120},"server_tool_use":{"web_search_requests":3},"service_tier":"batch"}}"#;

pub(super) const MESSAGES_STREAM: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","usage":{"input_tokens":21,"cache_creation_input_tokens":300,"cache_read_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":1,"service_tier":"priority"}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" world of tokens"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":393,"input_tokens":null,"output_tokens_details":{"thinking_tokens":120}}}"#,
    r#"{"type":"message_stop"}"#,
];

pub(super) const EMBEDDINGS: &str =
    r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;

pub(super) const COMPLETION: &str = r#"{"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct",
  "choices":[{"text":" world","index":0,"logprobs":null,"finish_reason":"length"}],
  "usage":{"prompt_tokens":5,"completion_tokens":16,"total_tokens":21}}"#;

pub(super) const COMPLETION_STREAM: &[&str] = &[
    r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":" wor","index":0,"finish_reason":null}],"usage":null}"#,
    r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":"ld","index":0,"finish_reason":"length"}],"usage":null}"#,
    r#"{"id":"cmpl-1","object":"text_completion","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":16,"total_tokens":21}}"#,
    "[DONE]",
];

pub(super) const GEMINI: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP","index":0}],
  "usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":800,"candidatesTokenCount":200,"thoughtsTokenCount":300,
    "toolUsePromptTokenCount":50,"totalTokenCount":1550,
    "promptTokensDetails":[{"modality":"TEXT","tokenCount":880},{"modality":"AUDIO","tokenCount":120}],
    "cacheTokensDetails":[{"modality":"TEXT","tokenCount":700},{"modality":"AUDIO","tokenCount":100}],
    "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":40},{"modality":"TEXT","tokenCount":160}],"trafficType":"ON_DEMAND"},
  "modelVersion":"gemini-2.5-flash"}"#;

pub(super) const GEMINI_STREAM: &[&str] = &[
    r#"{"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10}}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"lo \"usageMetadata\""}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,"thoughtsTokenCount":7,"totalTokenCount":21}}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"!"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":9,"thoughtsTokenCount":7,"totalTokenCount":26,"serviceTier":"FLEX"}}"#,
];

pub(super) const BEDROCK: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn",
  "usage":{"inputTokens":30,"outputTokens":628,"totalTokens":1058,"cacheReadInputTokens":250,"cacheWriteInputTokens":150,
    "cacheDetails":[{"ttl":"5m","inputTokens":50},{"ttl":"1h","inputTokens":100}]},"metrics":{"latencyMs":1275},"serviceTier":{"type":"default"}}"#;

/// The name and payload of each frame.
pub(super) const BEDROCK_STREAM: &[(&str, &str)] = &[
    ("messageStart", r#"{"p":"abcdefgh","role":"assistant"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hello"},"p":"abcd"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":" \"usage\":{}"},"p":"ab"}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0,"p":"abc"}"#),
    ("messageStop", r#"{"p":"abcde","stopReason":"end_turn"}"#),
    (
        "metadata",
        r#"{"metrics":{"latencyMs":900},"p":"a","serviceTier":{"type":"priority"},"usage":{"inputTokens":30,"outputTokens":12,"totalTokens":42}}"#,
    ),
];

pub(super) const MISTRAL: &str = r#"{"id":"1","object":"chat.completion","model":"mistral-small-latest","choices":[{"index":0,
  "message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
  "usage":{"prompt_tokens":19,"completion_tokens":40,"total_tokens":59,"prompt_audio_seconds":null,
    "prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":25}}}"#;

pub(super) const MISTRAL_STREAM: &[&str] = &[
    r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
    r#"{"id":"1","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#,
    r#"{"id":"1","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":4,"total_tokens":23}}"#,
    "[DONE]",
];

pub(super) const XAI: &str = r#"{"id":"1","object":"chat.completion","model":"grok-4","choices":[{"index":0,
  "message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],
  "usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"prompt_tokens_details":{"text_tokens":32,"cached_tokens":8},
    "completion_tokens_details":{"reasoning_tokens":94},"num_sources_used":2,"cost_in_usd_ticks":15940501}}"#;

pub(super) const XAI_STREAM: &[&str] = &[
    r#"{"id":"1","choices":[{"index":0,"delta":{"reasoning_content":"Hm","role":"assistant"}}],"usage":{"prompt_tokens":32,"completion_tokens":0,"total_tokens":33,"completion_tokens_details":{"reasoning_tokens":1}}}"#,
    r#"{"id":"1","choices":[{"index":0,"delta":{"content":"Hello"}}],"usage":{"prompt_tokens":32,"completion_tokens":1,"total_tokens":127,"completion_tokens_details":{"reasoning_tokens":94}}}"#,
    r#"{"id":"1","choices":[],"usage":{"prompt_tokens":32,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":94},"cost_in_usd_ticks":100}}"#,
    "[DONE]",
];

pub(super) const COHERE: &str = r#"{"id":"1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Hi"}]},
  "usage":{"billed_units":{"input_tokens":5.0,"output_tokens":418.0,"search_units":2,"classifications":0},
    "tokens":{"input_tokens":71.0,"output_tokens":418.0},"cached_tokens":16.0}}"#;

pub(super) const COHERE_STREAM: &[&str] = &[
    r#"{"type":"message-start","id":"1","delta":{"message":{"role":"assistant","content":[],"tool_plan":""}}}"#,
    r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
    r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hello"}}}}"#,
    r#"{"type":"content-end","index":0}"#,
    r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5.0,"output_tokens":3.0},"tokens":{"input_tokens":71.0,"output_tokens":3.0}}}}"#,
];

pub(super) const COHERE_EMBED: &str = r#"{"id":"1","embeddings":{"float":[[0.1,-2e-3]]},"texts":["a"],"response_type":"embeddings_by_type",
  "meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":7.0}}}"#;

pub(super) const OLLAMA: &str = r#"{"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"Hi"},"done_reason":"stop","done":true,
  "total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":298,"eval_duration":4535599000}"#;

pub(super) const OLLAMA_STREAM: &[&str] = &[
    r#"{"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"Hel"},"done":false}"#,
    r#"{"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"lo \"done\":true"},"done":false}"#,
    r#"{"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":1,"prompt_eval_count":26,"eval_count":298}"#,
];

pub(super) const OLLAMA_EMBED: &str =
    r#"{"model":"all-minilm","embeddings":[[0.1,-0.2]],"total_duration":1,"load_duration":1,"prompt_eval_count":8}"#;

/// Lines of JSON.
pub(super) fn ndjson(payloads: &[&str]) -> Vec<u8> {
    payloads.iter().map(|payload| format!("{payload}\n")).collect::<String>().into_bytes()
}

/// An array as Gemini streams it.
pub(super) fn array(payloads: &[&str]) -> Vec<u8> {
    format!("[{}\n]\n", payloads.join("\n,\r\n")).into_bytes()
}

/// A stream of these events as Amazon frames it.
pub(super) fn frames(events: &[(&str, &str)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| frame("event", name, payload.as_bytes())).collect()
}

/// One frame, with the headers that Bedrock sends.
pub(super) fn frame(message_type: &str, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", message_type)]
    {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut frame = Vec::new();
    frame.extend_from_slice(&((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload);
    let sum = crc32(&frame);
    frame.extend_from_slice(&sum.to_be_bytes());
    frame
}

/// The checksum of Ethernet and gzip, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}
