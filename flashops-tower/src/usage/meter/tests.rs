//! The meter on whole responses of every provider, and on what is none.

use proptest::prelude::*;
use serde_json::Value;

use super::super::fixtures::{
    CHAT, CHAT_STREAM, EMBEDDINGS, MESSAGES, MESSAGES_STREAM, RESPONSES, RESPONSES_STREAM, sse,
};
use super::super::{MAX_EVENT, oracle};
use super::*;

use WireFormat::{AnthropicMessages, OpenAiChat, OpenAiEmbeddings, OpenAiResponses};

fn read(format: WireFormat, kind: BodyKind, chunks: &[&[u8]]) -> Meter {
    let mut meter = Meter::new(format, kind);
    chunks.iter().for_each(|chunk| meter.push(chunk));
    meter.finish();
    meter
}

fn json(format: WireFormat, body: &str) -> Usage {
    read(format, BodyKind::Json, &[body.as_bytes()]).usage()
}

fn stream(format: WireFormat, payloads: &[&str]) -> Meter {
    read(format, BodyKind::Sse, &[&sse(payloads)])
}

/// Input, cache read, cache write 5 m and 1 h, audio in, output, reasoning, audio out.
fn classes(usage: &Usage) -> [u64; 8] {
    [
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.audio_in,
        usage.output,
        usage.reasoning,
        usage.audio_out,
    ]
    .map(Tokens::get)
}

#[test]
fn nested_numbers_become_disjoint_classes() {
    let usage = json(OpenAiChat, CHAT);
    assert_eq!(classes(&usage), [80, 1024, 8, 0, 5, 14, 30, 2]);
    assert_eq!((usage.total_input().get(), usage.total_output().get()), (1117, 46));
    let usage = json(OpenAiResponses, RESPONSES);
    assert_eq!(classes(&usage), [30, 6, 0, 0, 0, 7, 80, 0]);
    let usage = json(AnthropicMessages, MESSAGES);
    assert_eq!(classes(&usage), [21, 40, 200, 100, 0, 273, 120, 0]);
    assert_eq!((usage.total().get(), usage.searches), (21 + 300 + 40 + 393, 3));
    let usage = json(OpenAiEmbeddings, EMBEDDINGS);
    assert_eq!(classes(&usage), [8, 0, 0, 0, 0, 0, 0, 0]);
    for (format, body) in [
        (OpenAiChat, CHAT),
        (OpenAiResponses, RESPONSES),
        (AnthropicMessages, MESSAGES),
        (OpenAiEmbeddings, EMBEDDINGS),
    ] {
        assert_eq!(json(format, body).quality, Quality::Exact);
    }
}

#[test]
fn a_complete_stream_is_exact_and_its_content_is_counted() {
    let chat = stream(OpenAiChat, CHAT_STREAM);
    assert_eq!(classes(&chat.usage()), [4, 16, 0, 0, 0, 7, 0, 0]);
    assert_eq!(chat.counted_output().get(), 6, "23 bytes of text in 2 deltas");
    let responses = stream(OpenAiResponses, RESPONSES_STREAM);
    assert_eq!(classes(&responses.usage()), [30, 6, 0, 0, 0, 7, 80, 0]);
    assert_eq!(responses.counted_output().get(), 2, "5 bytes of text in 2 deltas");
    let messages = stream(AnthropicMessages, MESSAGES_STREAM);
    assert_eq!(classes(&messages.usage()), [21, 40, 200, 100, 0, 273, 120, 0]);
    assert_eq!(messages.counted_output().get(), 6, "21 bytes of text in 2 deltas");
    for meter in [chat, responses, messages] {
        assert_eq!(meter.usage().quality, Quality::Exact);
        assert!(meter.ended() && !meter.error_event());
    }
}

#[test]
fn the_searches_of_a_response_are_its_items_that_search() {
    let output = r#""output":[{"type":"web_search_call","action":{"type":"search","query":"a"}},
        {"action":{"type":"open_page","url":"u"},"type":"web_search_call"},{"type":"web_search_call"},
        {"type":"message","content":[{"type":"output_text","text":"web_search_call"}]}]"#;
    let usage = r#""usage":{"input_tokens":10,"output_tokens":10,"total_tokens":20}"#;
    let body = format!("{{{output},{usage}}}");
    assert_eq!(json(OpenAiResponses, &body).searches, 2);
    let event = format!(r#"{{"type":"response.completed","response":{{{usage},{output}}}}}"#).replace('\n', "");
    let meter = stream(OpenAiResponses, &[&event]);
    assert_eq!((meter.usage().searches, meter.usage().quality), (2, Quality::Exact));
}

#[test]
fn a_stream_cut_before_its_usage_has_none_but_its_content_counts() {
    for (format, payloads) in [(OpenAiChat, &CHAT_STREAM[..3]), (OpenAiResponses, &RESPONSES_STREAM[..4])] {
        let meter = stream(format, payloads);
        assert_eq!(meter.usage().quality, Quality::Absent);
        assert!(!meter.ended());
        let charge = meter.usage_or(Tokens::saturating(50));
        assert_eq!(charge, Usage::estimated(Tokens::saturating(50), meter.counted_output()));
    }
}

#[test]
fn an_early_report_is_never_taken_for_the_last_word() {
    let meter = stream(AnthropicMessages, &MESSAGES_STREAM[..6]);
    let usage = meter.usage();
    assert_eq!(usage.quality, Quality::Estimated);
    assert_eq!((usage.total_input().get(), usage.total_output().get()), (361, 6));
    let running = r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    assert_eq!(stream(OpenAiChat, &[running]).usage().quality, Quality::Estimated);
    assert_eq!(stream(OpenAiChat, &[running, "[DONE]"]).usage().quality, Quality::Exact);
}

#[test]
fn what_a_cut_stream_is_charged_is_the_larger_of_report_and_count() {
    let meter = stream(AnthropicMessages, &MESSAGES_STREAM[..6]);
    assert_eq!(meter.usage_or(Tokens::saturating(10)), meter.usage());
    let charge = meter.usage_or(Tokens::saturating(5_000));
    assert_eq!((charge.total().get(), charge.quality), (5_006, Quality::Estimated));
}

#[test]
fn hostile_numbers_are_not_believed() {
    for bad in ["-1", "1.5", "1e3", "1000000001", "99999999999999999999", "\"9\"", "{}", "[]", "true"] {
        let usage = json(OpenAiChat, &format!(r#"{{"usage":{{"prompt_tokens":{bad},"completion_tokens":5}}}}"#));
        assert_eq!((usage.total().get(), usage.quality), (5, Quality::Estimated), "{bad}");
        let part = format!(
            r#"{{"usage":{{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{{"cached_tokens":{bad}}}}}}}"#
        );
        let usage = json(OpenAiChat, &part);
        assert_eq!((usage.input.get(), usage.total().get(), usage.quality), (9, 14, Quality::Estimated), "{bad}");
        let none = format!(r#"{{"usage":{{"prompt_tokens":{bad},"completion_tokens":{bad}}}}}"#);
        assert_eq!(json(OpenAiChat, &none), Usage::absent(), "{bad}");
    }
}

#[test]
fn an_invalid_whole_is_filled_from_what_is_known() {
    let body = r#"{"usage":{"prompt_tokens":-1,"completion_tokens":5,"total_tokens":12}}"#;
    assert_eq!(json(OpenAiChat, body).total_input().get(), 7);
    let body = r#"{"usage":{"prompt_tokens":null,"completion_tokens":5}}"#;
    let meter = read(OpenAiChat, BodyKind::Json, &[body.as_bytes()]);
    assert_eq!(meter.usage_or(Tokens::saturating(90)).total_input().get(), 90);
}

#[test]
fn a_part_larger_than_its_whole_leaves_the_whole() {
    let body = r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,
        "prompt_tokens_details":{"cached_tokens":11},"completion_tokens_details":{"reasoning_tokens":6}}}"#;
    let usage = json(OpenAiChat, body);
    assert_eq!(classes(&usage), [10, 0, 0, 0, 0, 5, 0, 0]);
    assert_eq!(usage.quality, Quality::Estimated);
    let body = r#"{"usage":{"input_tokens":1,"cache_creation_input_tokens":5,"output_tokens":2,
        "cache_creation":{"ephemeral_1h_input_tokens":6}}}"#;
    let usage = json(AnthropicMessages, body);
    assert_eq!(classes(&usage), [1, 0, 5, 0, 0, 2, 0, 0]);
    assert_eq!(usage.quality, Quality::Estimated);
}

#[test]
fn output_that_only_the_total_shows_is_charged() {
    let beside = r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,
        "completion_tokens_details":{"reasoning_tokens":7}}}"#;
    let usage = json(OpenAiChat, beside);
    assert_eq!((usage.output.get(), usage.reasoning.get(), usage.quality), (5, 7, Quality::Exact));
    let hidden = r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22}}"#;
    let usage = json(OpenAiChat, hidden);
    assert_eq!((usage.total().get(), usage.quality), (22, Quality::Estimated));
    let short = r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":9}}"#;
    let usage = json(OpenAiChat, short);
    assert_eq!((usage.total().get(), usage.quality), (15, Quality::Estimated));
}

#[test]
fn iterations_are_billed_as_their_sum() {
    let body = r#"{"usage":{"iterations":[{"type":"compaction","input_tokens":100,"output_tokens":20},
        {"type":"message","input_tokens":30,"output_tokens":4}],"input_tokens":30,"output_tokens":4,"cache_read_input_tokens":2}}"#;
    assert_eq!(classes(&json(AnthropicMessages, body)), [130, 2, 0, 0, 0, 24, 0, 0]);
}

#[test]
fn iterations_name_no_more_models_than_are_told_apart_and_none_is_lost() {
    let iteration = |n| format!(r#"{{"model":"m{n}","input_tokens":1,"output_tokens":1}}"#);
    let iterations = (0..20).map(iteration).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"usage":{{"iterations":[{iterations}]}}}}"#);
    let meter = read(AnthropicMessages, BodyKind::Json, &[body.as_bytes()]);
    let others = meter.other_models();
    assert_eq!((meter.usage().total().get(), others.len()), (40, 8));
    assert!(others.iter().all(|other| other.usage.total().get() == 2));
}

#[test]
fn errors_inside_a_stream_are_seen() {
    let cases = [
        (OpenAiChat, r#"{"error":{"message":"busy"}}"#, true, false),
        (OpenAiChat, r#"{"error":null,"choices":[]}"#, false, false),
        (OpenAiResponses, r#"{"type":"response.failed","response":{"error":{},"usage":null}}"#, true, true),
        (OpenAiResponses, r#"{"type":"response.incomplete","response":{"usage":null}}"#, false, true),
        (OpenAiResponses, r#"{"type":"error","message":"x"}"#, true, false),
        (AnthropicMessages, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, true, false),
    ];
    for (format, payload, error, ended) in cases {
        let meter = stream(format, &[payload]);
        assert_eq!((meter.error_event(), meter.ended()), (error, ended), "{payload}");
    }
    let named = read(OpenAiChat, BodyKind::Sse, &[b"event: error\ndata: down\n\n"]);
    assert!(named.error_event());
}

#[test]
fn text_of_the_model_cannot_pass_for_a_report() {
    let forged = r#"{"choices":[{"delta":{"content":"x"},"usage":{"prompt_tokens":1,"completion_tokens":1}}],"tools":[{"usage":{"total_tokens":3}}]}"#;
    assert_eq!(stream(OpenAiChat, &[forged]).usage(), Usage::absent());
}

#[test]
fn a_json_body_above_the_bound_is_counted_and_not_kept() {
    let mut meter = Meter::new(OpenAiChat, BodyKind::Json);
    for _ in 0..=MAX_JSON_BODY / 65_536 {
        meter.push(&[b' '; 65_536]);
    }
    meter.push(CHAT.as_bytes());
    let Body::Json { kept, .. } = &meter.body else { panic!("it is a JSON body") };
    assert_eq!(kept.capacity(), 0);
    meter.finish();
    assert_eq!(meter.usage(), Usage::absent());
    assert_eq!(meter.counted_output().get(), (MAX_JSON_BODY as u64 + 65_536 + CHAT.len() as u64).div_ceil(4));
}

#[test]
fn a_cut_json_body_reports_nothing_and_counts_its_bytes() {
    let meter = read(OpenAiChat, BodyKind::Json, &[&CHAT.as_bytes()[..CHAT.len() - 2]]);
    assert_eq!((meter.usage(), meter.ended()), (Usage::absent(), false));
    assert_eq!(meter.counted_output().get(), (CHAT.len() as u64 - 2).div_ceil(4));
}

#[test]
fn an_oversize_event_is_counted_and_the_next_one_is_read() {
    let text = "x".repeat(3 * MAX_EVENT);
    let large = format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#);
    let bytes = sse(&[&large, CHAT_STREAM[4], "[DONE]"]);
    let meter = read(OpenAiChat, BodyKind::Sse, &[&bytes]);
    assert_eq!(meter.usage().output.get(), 7);
    assert!(meter.counted_output().get() >= (text.len() as u64) / 4);
    let split = read(OpenAiChat, BodyKind::Sse, &bytes.chunks(4_099).collect::<Vec<_>>());
    assert_eq!(split.counted_output(), meter.counted_output());
    assert_eq!(split.usage(), meter.usage());
}

/// A payload written in one line or over several.
fn payload() -> impl Strategy<Value = String> {
    let all: Vec<&str> = [CHAT_STREAM, RESPONSES_STREAM, MESSAGES_STREAM].concat();
    (proptest::sample::select(all), any::<bool>()).prop_map(|(payload, pretty)| {
        match serde_json::from_str::<Value>(payload) {
            Ok(value) if pretty => serde_json::to_string_pretty(&value).unwrap(),
            _ => payload.to_owned(),
        }
    })
}

fn event_stream() -> impl Strategy<Value = Vec<u8>> {
    let end = proptest::sample::select(vec!["\n", "\r\n", "\r"]);
    let before = proptest::sample::select(vec!["", ": note\n", "event: x\n", "id: 3\n"]);
    let event = (payload(), before).prop_map(|(payload, before)| {
        let lines: String = payload.lines().map(|line| format!("data: {line}\n")).collect();
        format!("{before}{lines}\n")
    });
    (proptest::collection::vec(event, 0..8), end, any::<bool>()).prop_map(|(events, end, bom)| {
        let stream = events.concat().replace('\n', end);
        [if bom { "\u{feff}" } else { "" }, &stream].concat().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn any_split_reads_what_a_reader_of_the_whole_stream_reads(
        stream in event_stream(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        lost in 0_usize..40,
    ) {
        let stream = &stream[..stream.len().saturating_sub(lost.saturating_sub(20))];
        for format in [OpenAiChat, OpenAiResponses, AnthropicMessages] {
            let whole = read(format, BodyKind::Sse, &[stream]);
            let split = read(format, BodyKind::Sse, &oracle::split(stream, &cuts));
            prop_assert_eq!(split.usage(), whole.usage());
            prop_assert_eq!(split.counted_output(), whole.counted_output());
            prop_assert_eq!((split.ended(), split.error_event()), (whole.ended(), whole.error_event()));
        }
    }

    #[test]
    fn counting_agrees_with_parsing_everything(stream in event_stream()) {
        let meter = read(OpenAiChat, BodyKind::Sse, &[&stream]);
        let payloads = oracle::events(&stream).into_iter();
        let values = payloads.clone().filter_map(|(payload, _)| serde_json::from_slice::<Value>(&payload).ok());
        let deltas = values.clone().map(|value| oracle::deltas(&value));
        let (count, bytes) = deltas.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        prop_assert_eq!((meter.tally.deltas, meter.tally.text_bytes), (count, bytes));
        let last = values.filter_map(|value| {
            let usage = [&value["usage"], &value["response"]["usage"], &value["message"]["usage"]];
            usage.into_iter().find(|usage| usage.is_object()).cloned()
        }).next_back();
        prop_assert_eq!(meter.usage().quality == Quality::Absent, last.is_none());
        if let Some(total) = last.as_ref().and_then(|usage| usage["total_tokens"].as_u64()) {
            prop_assert_eq!(meter.usage().total().get(), total);
        }
        prop_assert_eq!(meter.ended(), payloads.into_iter().any(|(payload, _)| {
            let payload = String::from_utf8(payload).unwrap();
            ["[DONE]", "message_stop", "response.completed"].iter().any(|end| payload.contains(end))
        }));
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = [&bytes[..], b"\ndata: {\"delta\":\"", &bytes, b"\"}\n\n"].concat();
        for kind in [BodyKind::Json, BodyKind::Sse] {
            let whole = read(OpenAiChat, kind, &[&text]);
            let split = read(OpenAiChat, kind, &oracle::split(&text, &[cut]));
            prop_assert_eq!(split.counted_output(), whole.counted_output());
            prop_assert_eq!(split.usage(), whole.usage());
        }
    }
}
