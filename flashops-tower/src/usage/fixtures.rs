//! Responses in the shapes that providers document, written for these tests.

/// Server-sent events with these payloads.
pub(super) fn sse(payloads: &[&str]) -> Vec<u8> {
    payloads.iter().map(|payload| format!("data: {payload}\n\n")).collect::<String>().into_bytes()
}

pub(super) const CHAT: &str = r#"{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello \"usage\": 7", "usage": {"prompt_tokens": 1}},
    "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 1117, "completion_tokens": 46, "total_tokens": 1163,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 5, "cache_write_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2, "rejected_prediction_tokens": 4}}
}"#;

pub(super) const CHAT_STREAM: &[&str] = &[
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{"content":" there, \"usage\":{}"}}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":16}}}"#,
    "[DONE]",
];

pub(super) const RESPONSES: &str = r#"{"id":"resp_1","object":"response","status":"completed","error":null,
  "output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],
  "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,
    "output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}"#;

pub(super) const RESPONSES_STREAM: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","usage":null,"error":null}}"#,
    r#"{"type":"response.output_text.delta","delta":"Hel"}"#,
    r#"{"type":"response.output_text.delta","delta":"lo"}"#,
    r#"{"type":"response.output_text.done","text":"Hello"}"#,
    r#"{"type":"response.completed","response":{"status":"completed","output":[{"content":[{"text":"Hello"}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}}"#,
];

pub(super) const MESSAGES: &str = r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],
  "usage":{"input_tokens":21,"cache_creation_input_tokens":300,"cache_read_input_tokens":40,
    "cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},
    "output_tokens":393,"output_tokens_details":{"thinking_tokens":120},"server_tool_use":{"web_search_requests":3}}}"#;

pub(super) const MESSAGES_STREAM: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","usage":{"input_tokens":21,"cache_creation_input_tokens":300,"cache_read_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":1}}}"#,
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
