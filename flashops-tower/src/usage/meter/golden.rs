//! One response of every provider, streamed and not, with what it means worked out by hand.

use proptest::prelude::*;

use super::super::fixtures::*;
use super::super::oracle;
use super::*;

use flashops_core::usage::ServiceTier;

use BodyKind::{AmazonEvents, Json, JsonLines, Sse};
use ServiceTier::{Batch, Flex, Priority, Standard};
use WireFormat::{
    AnthropicMessages, BedrockConverse, CohereChat, CohereEmbed, Gemini, MistralChat, Ollama, OllamaEmbed, OpenAiChat,
    OpenAiCompletions, OpenAiEmbeddings, OpenAiResponses, XaiChat,
};

/// A response, and its input, cache read, cache write 5 m and 1 h, audio in, output, reasoning, audio out.
#[derive(Debug)]
struct Golden {
    name: &'static str,
    format: WireFormat,
    kind: BodyKind,
    body: Vec<u8>,
    classes: [u64; 8],
    searches: u64,
    nano_usd: Option<u64>,
    tariff: Option<ServiceTier>,
    /// What counting makes of a stream's content.
    counted: Option<u64>,
}

fn body(name: &'static str, format: WireFormat, body: &str, classes: [u64; 8]) -> Golden {
    let body = body.as_bytes().to_vec();
    Golden { name, format, kind: Json, body, classes, searches: 0, nano_usd: None, tariff: None, counted: None }
}

fn stream(
    name: &'static str,
    format: WireFormat,
    kind: BodyKind,
    body: Vec<u8>,
    classes: [u64; 8],
    counted: u64,
) -> Golden {
    Golden { name, format, kind, body, classes, searches: 0, nano_usd: None, tariff: None, counted: Some(counted) }
}

impl Golden {
    fn at(self, tariff: ServiceTier) -> Self {
        Self { tariff: Some(tariff), ..self }
    }
}

fn all() -> Vec<Golden> {
    vec![
        body("chat", OpenAiChat, CHAT, [80, 1024, 8, 0, 5, 14, 30, 2]).at(Flex),
        stream("chat stream", OpenAiChat, Sse, sse(CHAT_STREAM), [4, 16, 0, 0, 0, 7, 0, 0], 6).at(Priority),
        body("completions", OpenAiCompletions, COMPLETION, [5, 0, 0, 0, 0, 16, 0, 0]),
        stream("completions stream", OpenAiCompletions, Sse, sse(COMPLETION_STREAM), [5, 0, 0, 0, 0, 16, 0, 0], 2),
        body("responses", OpenAiResponses, RESPONSES, [30, 6, 0, 0, 0, 7, 80, 0]).at(Priority),
        stream("responses stream", OpenAiResponses, Sse, sse(RESPONSES_STREAM), [30, 6, 0, 0, 0, 7, 80, 0], 2).at(Flex),
        body("embeddings", OpenAiEmbeddings, EMBEDDINGS, [8, 0, 0, 0, 0, 0, 0, 0]),
        Golden { searches: 3, ..body("messages", AnthropicMessages, MESSAGES, [21, 40, 200, 100, 0, 273, 120, 0]) }
            .at(Batch),
        stream("messages stream", AnthropicMessages, Sse, sse(MESSAGES_STREAM), [21, 40, 200, 100, 0, 273, 120, 0], 6)
            .at(Priority),
        body("gemini", Gemini, GEMINI, [230, 800, 0, 0, 20, 160, 300, 40]).at(Standard),
        stream("gemini events", Gemini, Sse, sse(GEMINI_STREAM), [10, 0, 0, 0, 0, 9, 7, 0], 6).at(Flex),
        stream("gemini array", Gemini, Json, array(GEMINI_STREAM), [10, 0, 0, 0, 0, 9, 7, 0], 6).at(Flex),
        body("bedrock", BedrockConverse, BEDROCK, [30, 250, 50, 100, 0, 628, 0, 0]).at(Standard),
        stream("bedrock stream", BedrockConverse, AmazonEvents, frames(BEDROCK_STREAM), [30, 0, 0, 0, 0, 12, 0, 0], 4)
            .at(Priority),
        body("mistral", MistralChat, MISTRAL, [3, 16, 0, 0, 0, 15, 25, 0]),
        stream("mistral stream", MistralChat, Sse, sse(MISTRAL_STREAM), [19, 0, 0, 0, 0, 4, 0, 0], 2),
        Golden { searches: 2, nano_usd: Some(1_594_051), ..body("xai", XaiChat, XAI, [24, 8, 0, 0, 0, 9, 94, 0]) },
        Golden {
            nano_usd: Some(10),
            ..stream("xai stream", XaiChat, Sse, sse(XAI_STREAM), [32, 0, 0, 0, 0, 9, 94, 0], 2)
        },
        Golden { searches: 2, ..body("cohere", CohereChat, COHERE, [5, 16, 0, 0, 0, 418, 0, 0]) },
        stream("cohere stream", CohereChat, Sse, sse(COHERE_STREAM), [5, 0, 0, 0, 0, 3, 0, 0], 2),
        body("cohere embed", CohereEmbed, COHERE_EMBED, [7, 0, 0, 0, 0, 0, 0, 0]),
        body("ollama", Ollama, OLLAMA, [26, 0, 0, 0, 0, 298, 0, 0]),
        stream("ollama stream", Ollama, JsonLines, ndjson(OLLAMA_STREAM), [26, 0, 0, 0, 0, 298, 0, 0], 5),
        body("ollama embed", OllamaEmbed, OLLAMA_EMBED, [8, 0, 0, 0, 0, 0, 0, 0]),
    ]
}

fn classes(usage: &Usage) -> [u64; 8] {
    let Usage { input, cache_read, cache_write_5m, cache_write_1h, audio_in, output, reasoning, audio_out, .. } =
        *usage;
    [input, cache_read, cache_write_5m, cache_write_1h, audio_in, output, reasoning, audio_out].map(Tokens::get)
}

fn read(format: WireFormat, kind: BodyKind, chunks: &[&[u8]]) -> Meter {
    let mut meter = Meter::new(format, kind);
    chunks.iter().for_each(|chunk| meter.push(chunk));
    meter.finish();
    meter
}

fn usage(format: WireFormat, text: &str) -> Usage {
    read(format, Json, &[text.as_bytes()]).usage()
}

#[test]
fn every_provider_is_read_exactly() {
    for golden in all() {
        let Golden { name, format, kind, body, searches, nano_usd, counted, .. } = golden;
        let meter = read(format, kind, &[&body]);
        let usage = meter.usage();
        assert_eq!(classes(&usage), golden.classes, "{name}");
        assert_eq!((usage.searches, usage.provider_nano_usd), (searches, nano_usd), "{name}");
        assert_eq!(usage.service_tier, golden.tariff, "{name}");
        assert_eq!((usage.quality, usage.inconsistent), (Quality::Exact, false), "{name}");
        assert!(meter.ended() && !meter.error_event(), "{name}");
        assert_eq!(meter.is_stream(), counted.is_some(), "{name}");
        if let Some(counted) = counted {
            assert_eq!(meter.counted_output().get(), counted, "{name}");
        }
    }
}

#[test]
fn the_shape_tells_the_provider_where_the_route_does_not() {
    for golden in all() {
        // Nothing in these two says that there can be no output.
        if matches!(golden.format, CohereEmbed | OllamaEmbed) {
            continue;
        }
        for route in [OpenAiChat, AnthropicMessages] {
            let apart = golden.kind == Json && golden.body.starts_with(b"[");
            // The number of an embedding's output is the only one that is not there.
            if apart || golden.format == OpenAiEmbeddings {
                continue;
            }
            let usage = read(route, golden.kind, &[&golden.body]).usage();
            assert_eq!(classes(&usage), golden.classes, "{} by {route:?}", golden.name);
            assert_eq!(usage.quality, Quality::Exact, "{} by {route:?}", golden.name);
        }
    }
}

#[test]
fn a_stream_cut_before_its_last_report_is_estimated_or_absent_and_never_exact() {
    for golden in all().into_iter().filter(|golden| golden.counted.is_some()) {
        let Golden { name, format, kind, body, .. } = golden;
        // The last event of each of these streams has the usage, or comes behind it.
        let marks: [&[u8]; 6] = [
            b"\"usage\":{\"p",
            b"\"usage\":{\"b",
            b"\"usage\":{\"i",
            b"\"usage\":{\"o",
            b"\"finishReason\"",
            b"\"done\":true,",
        ];
        let last = marks.iter().filter_map(|mark| memchr::memmem::rfind(&body, mark)).max().unwrap();
        for end in 0..last {
            let meter = read(format, kind, &[&body[..end]]);
            assert_ne!(meter.usage().quality, Quality::Exact, "{name} at {end}");
            assert!(!meter.ended(), "{name} at {end}");
        }
    }
}

#[test]
fn a_report_that_contradicts_itself_keeps_its_wholes_and_says_so() {
    let cases = [
        // A part larger than its whole.
        (
            OpenAiChat,
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":11}}}"#,
            15,
        ),
        (
            MistralChat,
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":6}}}"#,
            14,
        ),
        (
            Gemini,
            r#"{"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":11,"candidatesTokenCount":5}}"#,
            15,
        ),
        (
            Gemini,
            r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":1}]}}"#,
            15,
        ),
        (
            AnthropicMessages,
            r#"{"usage":{"input_tokens":1,"cache_creation_input_tokens":5,"output_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":6}}}"#,
            8,
        ),
        (
            BedrockConverse,
            r#"{"usage":{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":5,"cacheDetails":[{"ttl":"5m","inputTokens":6}]}}"#,
            8,
        ),
        // A total that does not add up: above, it hides output; below, it is not believed.
        (OpenAiCompletions, r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22}}"#, 22),
        (OpenAiResponses, r#"{"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":9}}"#, 15),
        (
            XaiChat,
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":16,"completion_tokens_details":{"reasoning_tokens":7}}}"#,
            22,
        ),
        (
            Gemini,
            r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":30}}"#,
            30,
        ),
        (Gemini, r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":14}}"#, 15),
        (
            BedrockConverse,
            r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":9,"cacheReadInputTokens":4}}"#,
            9,
        ),
        (OpenAiEmbeddings, r#"{"usage":{"prompt_tokens":8,"total_tokens":9}}"#, 9),
        // Numbers that are none.
        (
            CohereChat,
            r#"{"usage":{"billed_units":{"input_tokens":-1.0,"output_tokens":2.0},"tokens":{"input_tokens":7.0}}}"#,
            9,
        ),
        (Ollama, r#"{"done":true,"prompt_eval_count":1e3,"eval_count":2}"#, 2),
    ];
    for (format, text, total) in cases {
        let usage = usage(format, text);
        assert_eq!(
            (usage.total().get(), usage.quality, usage.inconsistent),
            (total, Quality::Estimated, true),
            "{text}"
        );
    }
}

#[test]
fn the_last_tariff_that_is_named_counts_also_where_the_usage_never_comes() {
    let chunk = |tariff: &str| format!(r#"{{"service_tier":{tariff},"choices":[{{"delta":{{"content":""}}}}]}}"#);
    let chunks = ["\"default\"", "\"priority\"", "null", "\"auto\""].map(chunk);
    let meter = read(OpenAiChat, Sse, &[&sse(&chunks.each_ref().map(String::as_str))]);
    assert_eq!(meter.usage(), Usage { service_tier: Some(Priority), ..Usage::absent() });
    let charged = meter.usage_or(Tokens::saturating(9));
    assert_eq!((charged.total_input().get(), charged.service_tier), (9, Some(Priority)));
}

#[test]
fn a_total_with_and_without_the_cache_adds_up() {
    for total in [3, 12] {
        let text = format!(
            r#"{{"usage":{{"inputTokens":1,"outputTokens":2,"totalTokens":{total},"cacheReadInputTokens":4,"cacheWriteInputTokens":5}}}}"#
        );
        let usage = usage(BedrockConverse, &text);
        assert_eq!((usage.total().get(), usage.quality), (12, Quality::Exact));
    }
}

#[test]
fn a_prompt_that_was_blocked_has_no_output() {
    let text =
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":12,"totalTokenCount":12}}"#;
    let whole = usage(Gemini, text);
    assert_eq!((whole.total().get(), whole.quality), (12, Quality::Exact));
    let stream = read(Gemini, Sse, &[&sse(&[text])]);
    assert_eq!((stream.usage(), stream.ended()), (whole, true));
    // Without a total nobody knows, and what was counted stands in.
    let text = r#"{"usageMetadata":{"promptTokenCount":12}}"#;
    assert_eq!(usage(Gemini, text).quality, Quality::Estimated);
}

#[test]
fn one_candidate_that_finishes_is_not_the_end_of_the_others() {
    let chunk = |finish: &str, output: u64| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"a"}}]}}{finish}}}],"usageMetadata":{{"promptTokenCount":1,"candidatesTokenCount":{output},"totalTokenCount":{}}}}}"#,
            output + 1
        )
    };
    let (first, second) = (chunk(r#","finishReason":"STOP","index":0"#, 3), chunk(r#","index":1"#, 5));
    let meter = read(Gemini, Sse, &[&sse(&[&first, &second])]);
    assert_eq!((meter.ended(), meter.usage().quality), (false, Quality::Estimated));
    let last = chunk(r#","finishReason":"STOP","index":1"#, 6);
    let meter = read(Gemini, Sse, &[&sse(&[&first, &second, &last])]);
    assert_eq!((meter.ended(), meter.usage().total().get(), meter.usage().quality), (true, 7, Quality::Exact));
}

#[test]
fn a_count_that_ollama_leaves_out_is_not_zero() {
    let cached = r#"{"message":{"content":"Hi"},"done":true,"eval_count":298}"#;
    let meter = read(Ollama, Json, &[cached.as_bytes()]);
    assert_eq!((meter.usage().output.get(), meter.usage().quality), (298, Quality::Estimated));
    assert_eq!(meter.usage_or(Tokens::saturating(700)).total_input().get(), 700);
    let none = r#"{"message":{"content":"Hi"},"done":true}"#;
    assert_eq!(usage(Ollama, none), Usage::absent());
}

#[test]
fn what_is_billed_comes_before_what_was_read() {
    let text = r#"{"usage":{"tokens":{"input_tokens":71.0,"output_tokens":418.0}}}"#;
    let usage = usage(CohereChat, text);
    assert_eq!((usage.total().get(), usage.quality, usage.inconsistent), (489, Quality::Estimated, false));
}

#[test]
fn every_later_report_of_messages_replaces_what_it_names_and_adds_nothing() {
    let start = MESSAGES_STREAM[0];
    let delta = |usage: &str| format!(r#"{{"type":"message_delta","delta":{{}},"usage":{{{usage}}}}}"#);
    let (first, second) = (delta(r#""output_tokens":7"#), delta(r#""output_tokens":9,"cache_read_input_tokens":44"#));
    let meter = read(AnthropicMessages, Sse, &[&sse(&[start, &first, &second, r#"{"type":"message_stop"}"#])]);
    assert_eq!(classes(&meter.usage()), [21, 44, 200, 100, 0, 9, 0, 0]);
    assert_eq!(meter.usage().quality, Quality::Exact);
}

#[test]
fn an_error_inside_a_stream_of_any_framing_is_seen() {
    let frame = frame("exception", "throttlingException", br#"{"message":"slow down"}"#);
    let gemini = r#"{"error":{"code":503,"message":"overloaded"}}"#;
    for (format, kind, body) in [
        (BedrockConverse, AmazonEvents, frame),
        (Gemini, Sse, sse(&[gemini])),
        (Gemini, Json, array(&[gemini])),
        (Ollama, JsonLines, ndjson(&[r#"{"error":"out of memory"}"#])),
    ] {
        let meter = read(format, kind, &[&body]);
        assert_eq!((meter.error_event(), meter.usage()), (true, Usage::absent()), "{format:?}");
    }
}

#[test]
fn arguments_of_a_model_cannot_pass_for_a_report() {
    for (format, text) in [
        (
            Gemini,
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"promptTokenCount":1}}}}]}}]}"#,
        ),
        (BedrockConverse, r#"{"output":{"message":{"content":[{"toolUse":{"input":{"usage":{"inputTokens":1}}}}]}}}"#),
        (
            Ollama,
            r#"{"message":{"tool_calls":[{"function":{"arguments":{"eval_count":1,"usage":{"input_tokens":1}}}}]},"done":true}"#,
        ),
    ] {
        assert_eq!(usage(format, text), Usage::absent(), "{text}");
    }
}

#[test]
fn a_content_type_says_how_a_body_is_read() {
    for (name, kind) in [
        ("application/json", Some(Json)),
        ("Application/JSON; charset=utf-8", Some(Json)),
        ("text/event-stream", Some(Sse)),
        ("application/x-ndjson", Some(JsonLines)),
        ("application/vnd.amazon.eventstream", Some(AmazonEvents)),
        ("application/problem+json", None),
        ("text/html", None),
        ("", None),
    ] {
        assert_eq!(BodyKind::of(name), kind, "{name}");
    }
}

/// Events with text and usage: two, one that is no JSON, one without text, one that is too large to be put off, one
/// with an error, one that finishes, and the end of a stream.
fn running(format: WireFormat) -> Vec<String> {
    let (text, output) = match format {
        Gemini => (
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#,
            "candidatesTokenCount\":",
        ),
        _ => (
            r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            "completion_tokens\":",
        ),
    };
    let more = text.replace(&format!("{output}2"), &format!("{output}40"));
    vec![
        text.to_owned(),
        more.clone(),
        more.replace("}}]", "}})]"),
        text.replace("\"a\"", "\"\""),
        text.replace("\"a\"", &format!("\"{}\"", "a".repeat(MAX_PUT_OFF))),
        text.replacen('{', "{\"error\":{},", 1),
        more.replace("}}]", "},\"finishReason\":\"STOP\"}]"),
        "[DONE]".to_owned(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn any_split_of_any_providers_bytes_gives_the_same_usage(
        golden in (0..all().len()).prop_map(|index| all().swap_remove(index)),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        lost in any::<prop::sample::Index>(), whole in any::<bool>(), route in 0..WireFormat::ALL.len(),
        by_shape in any::<bool>(),
    ) {
        let end = if whole { golden.body.len() } else { lost.index(golden.body.len()) };
        let format = if by_shape { WireFormat::ALL[route] } else { golden.format };
        let body = &golden.body[..end];
        let one = read(format, golden.kind, &[body]);
        let many = read(format, golden.kind, &oracle::split(body, &cuts));
        prop_assert_eq!(many.usage(), one.usage());
        prop_assert_eq!(many.counted_output(), one.counted_output());
        prop_assert_eq!((many.ended(), many.error_event()), (one.ended(), one.error_event()));
        if whole && !by_shape {
            prop_assert_eq!(classes(&many.usage()), golden.classes);
        }
    }

    #[test]
    fn events_that_are_put_off_are_read_as_if_they_were_not(
        (format, payloads) in proptest::sample::select(vec![Gemini, XaiChat]).prop_flat_map(|format| {
            (Just(format), proptest::collection::vec(proptest::sample::select(running(format)), 1..8))
        }),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let is_broken = |payload: &String| payload.contains(')');
        prop_assume!(!payloads.windows(2).any(|pair| pair.iter().all(is_broken)));
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let body = sse(&payloads);
        let meter = read(format, Sse, &oracle::split(&body, &cuts));
        let mut at_once = Reading::new();
        for payload in &payloads {
            match *payload {
                "[DONE]" => at_once.ended = true,
                payload => at_once.event(format, payload.as_bytes()),
            }
        }
        prop_assert_eq!(meter.usage(), at_once.usage(format, Tokens::ZERO, meter.counted_output()));
        prop_assert_eq!((meter.ended(), meter.error_event()), (at_once.ended, at_once.error));
    }

    #[test]
    fn any_bytes_are_survived_in_every_format_and_framing(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(), which in 0..all().len(),
        cut in any::<prop::sample::Index>(),
    ) {
        let golden = all().swap_remove(which);
        let at = at.index(golden.body.len());
        let body = [&golden.body[..at], &bytes, &golden.body[at..]].concat();
        for kind in [Json, Sse, JsonLines, AmazonEvents] {
            let one = read(golden.format, kind, &[&body]);
            let two = read(golden.format, kind, &oracle::split(&body, &[cut]));
            prop_assert_eq!(two.usage(), one.usage());
            prop_assert_eq!(two.counted_output(), one.counted_output());
        }
    }
}
