//! Changing a request body where the values stand.

use std::ops::Range;

use bytes::Bytes;
use flashops_core::units::Tokens;

use super::MAX_DECLARED;
use super::caps::CapField;
use super::holder::Holder;
use super::request::Inspected;
use super::scan::{Insert, Model, StreamOptions};

/// What shall be changed in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite<'m> {
    /// Another model, in place of the one that is named or where none is.
    pub model: Option<&'m str>,
    /// The most output tokens for each choice. A larger declared cap becomes this one; where none is declared, it is
    /// written.
    pub output_cap: Option<Tokens>,
    /// Ask a chat provider for usage at the end of a stream, where the client did not.
    pub include_usage: bool,
}

/// A piece of the body and what takes its place.
type Splice = (Range<usize>, String);

impl Inspected {
    /// Whether [`Rewrite::include_usage`] changes this request, so that the answer needs
    /// [`HideUsage`](crate::usage::HideUsage).
    pub fn lacks_usage(&self) -> bool {
        self.format().is_asked_for_usage() && self.stream() && self.include_usage() != Some(true)
    }

    /// The body with these changes and no other; the same bytes, not copied, if there is nothing to change.
    ///
    /// A thinking budget becomes one less than the cap, since it has to be below it. A cap above [`MAX_DECLARED`] is
    /// written as [`MAX_DECLARED`].
    pub fn rewrite(&self, wanted: Rewrite<'_>) -> Bytes {
        let mut splices = Vec::new();
        if let Some(model) = wanted.model {
            splices.push(self.splice_model(model));
        }
        if let Some(cap) = wanted.output_cap {
            self.splice_caps(cap.get().min(MAX_DECLARED), &mut splices);
        }
        if wanted.include_usage && self.lacks_usage() {
            splices.push(self.ask_for_usage());
        }
        if splices.is_empty() {
            return self.body.clone();
        }
        // The sort is stable, so that two members written at the end stay in this order.
        splices.sort_by_key(|(span, _)| span.start);
        spliced(&self.body, &splices)
    }

    fn splice_model(&self, model: &str) -> Splice {
        let quoted = quoted(model);
        match (&self.scan.model, &self.scan.null_model) {
            (Some(Model::Span(span) | Model::Decoded(span, _)), _) => (span.clone(), quoted),
            (None, Some(null)) => (null.clone(), format!("\"{quoted}\"")),
            (None, None) => self.scan.members.member("model", &format!("\"{quoted}\"")),
        }
    }

    fn splice_caps(&self, most: u64, splices: &mut Vec<Splice>) {
        let caps = &self.scan.caps;
        for cap in caps.iter() {
            let most = match cap.field {
                CapField::ThinkingBudget => most.saturating_sub(1),
                _ => most,
            };
            let changes = match cap.value {
                Some(value) => value > most,
                None => caps.lifted_by(cap, self.format),
            };
            if changes {
                splices.push((cap.span.clone(), most.to_string()));
            }
        }
        if caps.iter().any(|cap| cap.field.binds(self.format)) {
            return;
        }
        if let Some(holder) = Holder::of(self.format) {
            splices.push(holder.declare(&self.scan.held, self.scan.members, most));
        } else if let Some(field) = CapField::of(self.format, self.model()) {
            splices.push(self.scan.members.member(field.name(), &most.to_string()));
        }
    }

    fn ask_for_usage(&self) -> Splice {
        const ASKED: &str = r#"{"include_usage":true}"#;
        match &self.scan.stream_options {
            StreamOptions::Absent => self.scan.members.member("stream_options", ASKED),
            StreamOptions::Null(span) => (span.clone(), ASKED.to_owned()),
            StreamOptions::Object { members, include_usage } => match include_usage {
                Some((span, _)) => (span.clone(), "true".to_owned()),
                None => members.member("include_usage", "true"),
            },
        }
    }
}

/// A name as it stands between the quotes of a JSON string.
fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\0'..' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => quoted.push(char),
        }
    }
    quoted
}

impl Insert {
    pub(super) fn member(self, name: &str, value: &str) -> Splice {
        let comma = if self.is_first { "" } else { "," };
        (self.at..self.at, format!("{comma}\"{name}\":{value}"))
    }
}

/// The body with its pieces replaced; they are in order and do not overlap.
fn spliced(body: &[u8], splices: &[Splice]) -> Bytes {
    let added: usize = splices.iter().map(|(_, text)| text.len()).sum();
    let mut new = Vec::with_capacity(body.len() + added);
    let mut at = 0;
    for (span, text) in splices {
        new.extend_from_slice(&body[at..span.start]);
        new.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    new.extend_from_slice(&body[at..]);
    new.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    use super::super::WireFormat;
    use WireFormat::{
        AnthropicMessages, BedrockConverse, CohereChat, CohereEmbed, Gemini, MistralChat, Ollama, OpenAiChat,
        OpenAiCompletions, OpenAiEmbeddings, OpenAiResponses, XaiChat,
    };

    fn read(format: WireFormat, body: &str) -> Inspected {
        Inspected::read(format, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn capped(format: WireFormat, body: &str, most: u64) -> String {
        let wanted = Rewrite { output_cap: Some(Tokens::saturating(most)), ..Rewrite::default() };
        String::from_utf8(read(format, body).rewrite(wanted).to_vec()).unwrap()
    }

    #[test]
    fn every_declared_cap_is_brought_down_where_it_stands() {
        let cases = [
            (OpenAiChat, r#"{ "max_tokens" : 9000  }"#, r#"{ "max_tokens" : 500  }"#),
            (
                OpenAiChat,
                r#"{"max_tokens":9,"max_completion_tokens":900}"#,
                r#"{"max_tokens":9,"max_completion_tokens":500}"#,
            ),
            (
                OpenAiChat,
                r#"{"max_tokens":800,"x":1e2,"max_tokens":900}"#,
                r#"{"max_tokens":500,"x":1e2,"max_tokens":500}"#,
            ),
            (OpenAiChat, r#"{"max_tokens":7,"max_tokens":null}"#, r#"{"max_tokens":7,"max_tokens":500}"#),
            (
                OpenAiChat,
                r#"{"max_tokens":null,"max_completion_tokens":7}"#,
                r#"{"max_tokens":null,"max_completion_tokens":7}"#,
            ),
            (OpenAiChat, r#"{"max_\u0074okens":900}"#, r#"{"max_\u0074okens":500}"#),
            (
                AnthropicMessages,
                r#"{"max_tokens":900,"thinking":{"budget_tokens":800}}"#,
                r#"{"max_tokens":500,"thinking":{"budget_tokens":499}}"#,
            ),
            (
                Gemini,
                r#"{"generation_config":{"max_output_tokens":900,"maxOutputTokens":800}}"#,
                r#"{"generation_config":{"max_output_tokens":500,"maxOutputTokens":500}}"#,
            ),
            (
                BedrockConverse,
                r#"{"inferenceConfig":{"maxTokens":7},"additionalModelRequestFields":{"max_tokens":900,"thinking":{"budget_tokens":800}}}"#,
                r#"{"inferenceConfig":{"maxTokens":7},"additionalModelRequestFields":{"max_tokens":500,"thinking":{"budget_tokens":499}}}"#,
            ),
            (Ollama, r#"{"options":{"num_predict":900}}"#, r#"{"options":{"num_predict":500}}"#),
        ];
        for (format, body, expected) in cases {
            assert_eq!(capped(format, body, 500), expected);
        }
    }

    #[test]
    fn an_undeclared_cap_is_written_under_the_name_that_the_provider_follows() {
        let cases = [
            (OpenAiChat, "{}", r#"{"max_tokens":500}"#),
            (OpenAiChat, "{ }", r#"{"max_tokens":500 }"#),
            (OpenAiChat, "{\"a\": 1\n}", "{\"a\": 1,\"max_tokens\":500\n}"),
            (OpenAiChat, r#"{"max_tokens":null}"#, r#"{"max_tokens":500}"#),
            (OpenAiChat, r#"{"max_output_tokens":7}"#, r#"{"max_output_tokens":7,"max_tokens":500}"#),
            (OpenAiChat, r#"{"model":"o3-mini"}"#, r#"{"model":"o3-mini","max_completion_tokens":500}"#),
            (OpenAiChat, r#"{"model":"gpt-6-sol"}"#, r#"{"model":"gpt-6-sol","max_completion_tokens":500}"#),
            (OpenAiChat, r#"{"model":"gpt-35-turbo"}"#, r#"{"model":"gpt-35-turbo","max_tokens":500}"#),
            (OpenAiChat, r#"{"model":"openai/gpt-5"}"#, r#"{"model":"openai/gpt-5","max_completion_tokens":500}"#),
            (OpenAiResponses, r#"{"max_tokens":7}"#, r#"{"max_tokens":7,"max_output_tokens":500}"#),
            (AnthropicMessages, r#"{"thinking":{}}"#, r#"{"thinking":{},"max_tokens":500}"#),
            (OpenAiEmbeddings, r#"{"input":"a"}"#, r#"{"input":"a"}"#),
            (OpenAiCompletions, r#"{"prompt":"a"}"#, r#"{"prompt":"a","max_tokens":500}"#),
            (MistralChat, "{}", r#"{"max_tokens":500}"#),
            (XaiChat, "{}", r#"{"max_completion_tokens":500}"#),
            (CohereChat, "{}", r#"{"max_tokens":500}"#),
            (CohereEmbed, "{}", "{}"),
            (Gemini, r#"{"contents":[]}"#, r#"{"contents":[],"generationConfig":{"maxOutputTokens":500}}"#),
            (Gemini, r#"{"generationConfig":null}"#, r#"{"generationConfig":{"maxOutputTokens":500}}"#),
            (Gemini, r#"{"generation_config":{}}"#, r#"{"generation_config":{"maxOutputTokens":500}}"#),
            (
                Gemini,
                r#"{"generationConfig":{"topP":1},"x":1}"#,
                r#"{"generationConfig":{"topP":1,"maxOutputTokens":500},"x":1}"#,
            ),
            (Gemini, r#"{"max_tokens":7}"#, r#"{"max_tokens":7,"generationConfig":{"maxOutputTokens":500}}"#),
            (BedrockConverse, r#"{"inferenceConfig":{"maxTokens":null}}"#, r#"{"inferenceConfig":{"maxTokens":500}}"#),
            (BedrockConverse, "{}", r#"{"inferenceConfig":{"maxTokens":500}}"#),
            (Ollama, r#"{"options":{"num_predict":-1}}"#, r#"{"options":{"num_predict":500}}"#),
            (Ollama, r#"{"options":{"seed":1}}"#, r#"{"options":{"seed":1,"num_predict":500}}"#),
        ];
        for (format, body, expected) in cases {
            assert_eq!(capped(format, body, 500), expected);
        }
    }

    #[test]
    fn usage_is_asked_for_only_where_a_stream_lacks_it() {
        let cases = [
            (r#"{"stream":true}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (r#"{"stream":true,"stream_options":null}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (r#"{"stream_options":{},"stream":true}"#, r#"{"stream_options":{"include_usage":true},"stream":true}"#),
            (
                r#"{"stream_options":{"x":1 },"stream":true}"#,
                r#"{"stream_options":{"x":1,"include_usage":true },"stream":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage": false},"stream":true}"#,
                r#"{"stream_options":{"include_usage": true},"stream":true}"#,
            ),
        ];
        let wanted = Rewrite { output_cap: None, include_usage: true, ..Rewrite::default() };
        for (body, expected) in cases {
            assert_eq!(read(OpenAiChat, body).rewrite(wanted), expected);
        }
        for body in [r#"{"stream":false}"#, "{}", r#"{"stream":true,"stream_options":{"include_usage":true}}"#] {
            assert_eq!(read(OpenAiChat, body).rewrite(wanted), body);
        }
        for format in [OpenAiCompletions, XaiChat] {
            assert_eq!(read(format, cases[0].0).rewrite(wanted), cases[0].1);
        }
        for format in [OpenAiResponses, AnthropicMessages, MistralChat, CohereChat, Ollama] {
            assert_eq!(read(format, cases[0].0).rewrite(wanted), cases[0].0);
        }
    }

    #[test]
    fn a_model_that_is_null_is_replaced_and_not_written_beside() {
        let wanted = Rewrite { model: Some("m"), ..Rewrite::default() };
        let read = |body| read(OpenAiChat, body).rewrite(wanted);
        assert_eq!(read(r#"{"model": null,"n":1}"#), r#"{"model": "m","n":1}"#);
        assert_eq!(read(r#"{"n":1}"#), r#"{"n":1,"model":"m"}"#);
    }

    #[test]
    fn a_body_without_changes_is_the_same_memory() {
        let body = Bytes::from_static(br#"{"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}"#);
        let wanted = Rewrite { output_cap: Some(Tokens::saturating(5)), include_usage: true, ..Rewrite::default() };
        let new = Inspected::read(OpenAiChat, body.clone()).unwrap().rewrite(wanted);
        assert_eq!(new.as_ptr(), body.as_ptr());
    }

    fn request() -> impl Strategy<Value = Value> {
        let number = prop_oneof![Just(Value::Null), (0_u64..2_000).prop_map(Value::from)];
        let numbers = proptest::collection::vec(proptest::option::of(number), 4);
        let options = proptest::option::of(proptest::sample::select(vec![
            json!(null),
            json!({}),
            json!({"include_usage": true}),
            json!({"include_usage": false}),
            json!({"a": [1], "b": "}"}),
        ]));
        let model = proptest::sample::select(vec!["gpt-4o", "o1", "claude"]);
        (numbers, any::<bool>(), options, model).prop_map(|(numbers, stream, options, model)| {
            let mut body = json!({"messages": [{"role": "user", "content": "a \"max_tokens\": 5 {é"}], "model": model, "stream": stream});
            for (name, number) in ["max_tokens", "max_completion_tokens", "max_output_tokens"].iter().zip(&numbers) {
                if let Some(number) = number {
                    body[name] = number.clone();
                }
            }
            if let Some(budget) = &numbers[3] {
                body["thinking"] = json!({"type": "enabled", "budget_tokens": budget});
            }
            if let Some(options) = options {
                body["stream_options"] = options;
            }
            body
        })
    }

    /// What the rewritten request must say, made by changing its value.
    fn oracle(format: WireFormat, mut body: Value, cap: u64) -> Value {
        for name in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
            if body[name].as_u64().is_some_and(|value| value > cap) {
                body[name] = cap.into();
            }
        }
        if body["thinking"]["budget_tokens"].as_u64().is_some_and(|value| value >= cap) {
            body["thinking"]["budget_tokens"] = (cap - 1).into();
        }
        let names: &[&str] = match format {
            OpenAiChat => &["max_tokens", "max_completion_tokens"],
            OpenAiResponses => &["max_output_tokens"],
            _ => &["max_tokens"],
        };
        if names.iter().all(|name| body[name].is_null()) {
            let nulls: Vec<&&str> = names.iter().filter(|name| body.get(name).is_some()).collect();
            let fresh = if format == OpenAiChat && body["model"] == "o1" { &names[1] } else { &names[0] };
            for name in if nulls.is_empty() { vec![fresh] } else { nulls } {
                body[*name] = cap.into();
            }
        }
        if format == OpenAiChat && body["stream"] == true {
            if !body["stream_options"].is_object() {
                body["stream_options"] = json!({});
            }
            body["stream_options"]["include_usage"] = true.into();
        }
        body
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_rewritten_request_differs_only_in_what_was_wanted(
            body in request(), cap in 1_u64..2_500, pretty in any::<bool>()
        ) {
            let text = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
            for format in [OpenAiChat, OpenAiResponses, AnthropicMessages] {
                let cap_written = Some(Tokens::saturating(cap));
                let wanted = Rewrite { output_cap: cap_written, include_usage: true, ..Rewrite::default() };
                let request = read(format, &text);
                let new = request.rewrite(wanted);
                let value: Value = serde_json::from_slice(&new).unwrap();
                prop_assert_eq!(&value, &oracle(format, body.clone(), cap), "{}", text);
                let again = Inspected::read(format, new.clone()).unwrap();
                prop_assert!(again.output_cap().is_some_and(|largest| largest.get() <= cap));
                prop_assert_eq!(again.rewrite(wanted), new.clone());
                prop_assert_eq!(new == text, value == body);
            }
        }
    }
}
