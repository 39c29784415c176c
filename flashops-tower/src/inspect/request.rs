//! An inspected request.

use bytes::Bytes;
use flashops_core::estimate::{InputBound, OutputCap};
use flashops_core::units::Tokens;
use flashops_core::usage::{ServiceTier, Surcharges};

use super::scan::{Model, Scan, StreamOptions};
use super::{InspectError, WireFormat};

/// The most bytes of a body that a layer collects to inspect it, if it is not told another number: 8 MiB.
pub const DEFAULT_LIMIT: usize = 8 << 20;

/// The longest name of a model, in bytes.
pub const MAX_MODEL_NAME: usize = 256;

/// What Anthropic writes before a request with tools, in tokens, rounded up; and what a tool of its own adds.
const ANTHROPIC_TOOL_PROMPT: u64 = 1_024;

/// A request body and what it asks for.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub(super) format: WireFormat,
    pub(super) body: Bytes,
    pub(super) scan: Scan,
}

impl Inspected {
    /// Reads a whole request body in this format.
    ///
    /// # Errors
    ///
    /// [`InspectError`] when the body is no JSON object, or says something about its model, caps or stream that cannot
    /// be followed.
    pub fn read(format: WireFormat, body: Bytes) -> Result<Self, InspectError> {
        match Scan::body(format, &body) {
            Ok(scan) => Ok(Self { format, body, scan }),
            Err(stop) => Err(stop.into_error(&body)),
        }
    }

    /// The format that it was read in.
    pub const fn format(&self) -> WireFormat {
        self.format
    }

    /// The body as it came.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The model, at most [`MAX_MODEL_NAME`] bytes long.
    pub fn model(&self) -> Option<&str> {
        match self.scan.model.as_ref()? {
            Model::Span(span) => std::str::from_utf8(&self.body[span.clone()]).ok(),
            Model::Decoded(_, name) => Some(name),
        }
    }

    /// Whether the answer shall be a stream, as far as the body says: of Gemini and Bedrock the path does.
    pub fn stream(&self) -> bool {
        match self.format {
            WireFormat::Ollama => self.scan.stream != Some(false),
            _ => self.scan.stream == Some(true),
        }
    }

    /// The largest output cap that is declared, for each choice; `None` if the output is not capped.
    ///
    /// The output is capped when a field that this format follows has a number. Then every field that caps output in
    /// any format counts, since a provider may follow any of them.
    pub fn output_cap(&self) -> Option<Tokens> {
        let largest = self.scan.caps.largest().map(Tokens::saturating);
        largest.filter(|_| self.scan.caps.bind(self.format))
    }

    /// The field that declares [`Inspected::output_cap`].
    pub fn output_cap_field(&self) -> Option<&'static str> {
        let largest = self.output_cap()?.get();
        self.scan.caps.iter().find(|cap| cap.value == Some(largest)).map(|cap| cap.field.name())
    }

    /// How many answers are asked for: the larger of `n`, `best_of` and `candidateCount`, at least 1, for each
    /// prompt of an older completion request.
    pub fn choices(&self) -> u64 {
        self.scan.choices.unwrap_or(1).saturating_mul(self.scan.prompts.max(1))
    }

    /// The declared output cap for all choices together; `None` if the output is not capped.
    pub fn declared_output(&self) -> Option<OutputCap> {
        let cap = OutputCap::new(self.output_cap()?);
        Some(cap.with_choices(self.choices()))
    }

    /// A bound for the input that is text: one token for each byte of the body, except the bytes of images and sounds
    /// that are in it, whose tokens [`Inspected::media_parts`] stands for. Of a sound, a sixteenth of its bytes stays
    /// counted, since its tokens grow with its length.
    ///
    /// Since the whole body counts, its keys and quotes cover what a provider writes around each message. What
    /// Anthropic adds for tools is in the bound.
    pub fn text_bound(&self) -> InputBound {
        let bytes = self.body.len() as u64 - self.scan.parts.media_bytes;
        let tools = self.scan.tools;
        let prompts = match self.format {
            WireFormat::AnthropicMessages | WireFormat::BedrockConverse => tools.hosted + u64::from(tools.all > 0),
            _ => 0,
        };
        InputBound::bytes(bytes).with_referenced(Tokens::saturating(prompts * ANTHROPIC_TOOL_PROMPT))
    }

    /// How many images, sounds and documents the messages have. A document's bytes are in [`Inspected::text_bound`] as
    /// well, for it can be text.
    pub const fn media_parts(&self) -> u64 {
        self.scan.parts.media
    }

    /// How many things the request only names while the provider keeps them: earlier responses, conversations, stored
    /// prompts, files, sounds; and documents that it fetches. Nothing in the request bounds their tokens.
    pub const fn references(&self) -> u64 {
        self.scan.parts.references
    }

    /// How many tools the provider runs itself, such as a web search; their results are input that nothing here
    /// bounds.
    pub const fn hosted_tools(&self) -> u64 {
        self.scan.tools.hosted
    }

    /// The tariff that is asked for by `service_tier`, or `serviceTier` of Gemini and Bedrock: the standard one where
    /// it is absent, or is `auto` or another word that names no tariff.
    pub const fn service_tier(&self) -> ServiceTier {
        self.scan.service_tier
    }

    /// What is asked for that makes tokens dearer: Anthropic's `speed` and `inference_geo`.
    pub const fn surcharges(&self) -> Surcharges {
        self.scan.surcharges
    }

    /// What the client says about `stream_options.include_usage`; `None` if nothing.
    pub const fn include_usage(&self) -> Option<bool> {
        match &self.scan.stream_options {
            StreamOptions::Object { include_usage: Some((_, value)), .. } => *value,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use WireFormat::{
        AnthropicMessages, BedrockConverse, Gemini, Ollama, OpenAiChat, OpenAiCompletions, OpenAiEmbeddings,
        OpenAiResponses, XaiChat,
    };

    fn read(format: WireFormat, body: &str) -> Result<Inspected, InspectError> {
        Inspected::read(format, Bytes::copy_from_slice(body.as_bytes()))
    }

    fn cap(format: WireFormat, body: &str) -> Option<u64> {
        read(format, body).unwrap().output_cap().map(Tokens::get)
    }

    #[test]
    fn the_tariff_that_is_asked_for_is_read() {
        for (member, tier) in [
            ("", ServiceTier::Standard),
            (r#""service_tier":"priority","#, ServiceTier::Priority),
            (r#""service_tier":"fle\u0078","#, ServiceTier::Flex),
            (r#""service_tier":"auto","#, ServiceTier::Standard),
            (r#""service_tier":"default","#, ServiceTier::Standard),
            (r#""service_tier":null,"#, ServiceTier::Standard),
            (r#""service_tier":["priority"],"#, ServiceTier::Standard),
            (r#""service_tier":"priority","service_tier":"flex","#, ServiceTier::Priority),
        ] {
            let body = format!(r#"{{{member}"model":"m"}}"#);
            let inspected = Inspected::read(OpenAiChat, body.into()).unwrap();
            assert_eq!(inspected.service_tier(), tier, "{member}");
        }
        for (format, body) in [
            (Gemini, r#"{"serviceTier":"PRIORITY"}"#),
            (Gemini, r#"{"service_tier":"priority"}"#),
            (BedrockConverse, r#"{"serviceTier":{"ty\u0070e":"priority"}}"#),
        ] {
            assert_eq!(read(format, body).unwrap().service_tier(), ServiceTier::Priority, "{body}");
        }
    }

    #[test]
    fn the_largest_declared_cap_counts_whatever_hides_it() {
        let cases = [
            (OpenAiChat, r#"{"max_tokens":1,"max_completion_tokens":900}"#, Some(900)),
            (OpenAiChat, r#"{"max_tokens":1,"max_output_tokens":900}"#, Some(900)),
            (OpenAiChat, r#"{"max_tokens":900,"max_tokens":1}"#, Some(900)),
            (OpenAiChat, r#"{"max_tokens":1,"max_tokens":900}"#, Some(900)),
            (OpenAiChat, r#"{"max_\u0074okens":900,"max_tokens":1}"#, Some(900)),
            (OpenAiChat, r#"{"max_tokens":0}"#, Some(0)),
            (OpenAiResponses, r#"{"max_output_tokens":900}"#, Some(900)),
            (AnthropicMessages, r#"{"max_tokens":5,"thinking":{"type":"enabled","budget_tokens":900}}"#, Some(900)),
            (OpenAiCompletions, r#"{"max_tokens":9}"#, Some(9)),
            (Gemini, r#"{"generationConfig":{"maxOutputTokens":5,"max_output_\u0074okens":900}}"#, Some(900)),
            (Gemini, r#"{"generation_\u0063onfig":{"maxOutputTokens":900}}"#, Some(900)),
            (BedrockConverse, r#"{"inferenceConfig":{"maxTokens":900}}"#, Some(900)),
            (
                BedrockConverse,
                r#"{"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"max_gen_len":900}}"#,
                Some(900),
            ),
            (Ollama, r#"{"options":{"num_predict":900}}"#, Some(900)),
        ];
        for (format, body, expected) in cases {
            assert_eq!(cap(format, body), expected, "{body}");
        }
    }

    #[test]
    fn a_cap_that_the_format_does_not_follow_is_none() {
        let cases = [
            (OpenAiChat, "{}"),
            (OpenAiChat, r#"{"max_tokens":null}"#),
            (OpenAiChat, r#"{"max_output_tokens":5}"#),
            (OpenAiChat, r#"{"max_tokens":5,"max_tokens":null}"#),
            (OpenAiChat, r#"{"x":{"max_tokens":5}}"#),
            (OpenAiResponses, r#"{"max_tokens":5}"#),
            (AnthropicMessages, r#"{"thinking":{"budget_tokens":5}}"#),
            (OpenAiEmbeddings, r#"{"max_tokens":5}"#),
            (Gemini, r#"{"maxOutputTokens":5,"max_tokens":5}"#),
            (Gemini, r#"{"generationConfig":null}"#),
            (BedrockConverse, r#"{"additionalModelRequestFields":{"max_tokens":5}}"#),
            (Ollama, r#"{"options":{"num_predict":-2}}"#),
            (OpenAiChat, r#"{"options":{"num_predict":5},"generationConfig":7}"#),
        ];
        for (format, body) in cases {
            assert_eq!(cap(format, body), None, "{body}");
        }
        assert_eq!(cap(OpenAiChat, r#"{"max_tokens":null,"max_completion_tokens":5}"#), Some(5));
    }

    #[test]
    fn choices_multiply_the_cap() {
        let request = read(OpenAiChat, r#"{"max_tokens":10,"n":2,"best_of":3,"n":1}"#).unwrap();
        assert_eq!(request.choices(), 3);
        assert_eq!(request.declared_output().unwrap().tokens().get(), 30);
        for (body, choices) in [
            (r#"{"prompt":"a","n":2}"#, 2),
            (r#"{"prompt":["a","b","c"],"best_of":2}"#, 6),
            (r#"{"prompt":[[1,2],[3]]}"#, 2),
            (r#"{"prompt":[1,2,3]}"#, 1),
        ] {
            assert_eq!(read(OpenAiCompletions, body).unwrap().choices(), choices, "{body}");
        }
        assert_eq!(read(Gemini, r#"{"generationConfig":{"candidateCount":4}}"#).unwrap().choices(), 4);
    }

    #[test]
    fn what_the_provider_adds_by_itself_is_seen_in_every_format() {
        for (format, body, hosted, references) in [
            (Gemini, r#"{"tools":[{"functionDeclarations":[{"name":"f"}]},{"googleSearch":{}}]}"#, 1, 0),
            (Gemini, r#"{"cachedContent":"cachedContents/1"}"#, 0, 1),
            (Gemini, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"gs://a"}}]}]}"#, 0, 1),
            (BedrockConverse, r#"{"toolConfig":{"tools":[{"toolSpec":{}},{"systemTool":{"name":"g"}}]}}"#, 1, 0),
            (XaiChat, r#"{"search_parameters":{"mode":"auto"}}"#, 1, 0),
        ] {
            let request = read(format, body).unwrap();
            assert_eq!((request.hosted_tools(), request.references()), (hosted, references), "{body}");
        }
    }

    #[test]
    fn a_key_that_a_provider_could_take_for_one_that_decides_money_is_refused() {
        for (format, body, field) in [
            (Ollama, r#"{"Model":"m"}"#, "model"),
            (Ollama, r#"{"model":"m","options":{"NUM_PREDICT":9}}"#, "num_predict"),
            (Ollama, r#"{"Options":{"num_predict":9}}"#, "options"),
            (Ollama, r#"{"options":{"num_predict":9},"OPTIONS":{"num_predict":900}}"#, "options"),
            (Ollama, r#"{"\u0053tream":false}"#, "stream"),
            // What Go takes for an s and a k.
            (Ollama, "{\"\u{17f}tream\":false}", "stream"),
            (Ollama, r#"{"\u017ftream":false}"#, "stream"),
            (OpenAiChat, "{\"max_to\u{212a}ens\":9}", "max_tokens"),
            (OpenAiChat, r#"{"MAX_TOKENS":900,"max_tokens":1}"#, "max_tokens"),
            (OpenAiChat, r#"{"N":9}"#, "n"),
            (OpenAiChat, r#"{"stream_options":{"Include_Usage":true}}"#, "include_usage"),
            (OpenAiResponses, r#"{"Tools":[]}"#, "tools"),
            (OpenAiResponses, r#"{"tools":[{"Type":"web_search"}]}"#, "type"),
            (AnthropicMessages, r#"{"thinking":{"BUDGET_tokens":9}}"#, "budget_tokens"),
            (AnthropicMessages, r#"{"Speed":"fast"}"#, "speed"),
            (Gemini, r#"{"generationconfig":{}}"#, "generationConfig"),
            (Gemini, r#"{"generationConfig":{"maxoutputtokens":9}}"#, "maxOutputTokens"),
            (BedrockConverse, r#"{"inferenceConfig":{"MaxTokens":9}}"#, "maxTokens"),
        ] {
            assert_eq!(read(format, body).unwrap_err(), InspectError::Misspelled { field }, "{body}");
        }
        for (format, body) in [
            (OpenAiChat, r#"{"metadata":{"Model":"m"},"X-Model":1,"Models":2,"user":"N"}"#),
            (OpenAiChat, r#"{"tools":[{"type":"function","function":{"parameters":{"Type":"object"}}}]}"#),
            (Gemini, r#"{"generationConfig":{"maxOutputTokens":9,"topP":1},"safetySettings":[]}"#),
            (BedrockConverse, r#"{"inferenceConfig":{"maxTokens":9},"toolConfig":{},"guardrailConfig":{}}"#),
        ] {
            assert!(read(format, body).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_request_of_ollama_streams_unless_it_says_otherwise() {
        for (body, streams) in [("{}", true), (r#"{"stream":true}"#, true), (r#"{"stream":false}"#, false)] {
            assert_eq!(read(Ollama, body).unwrap().stream(), streams, "{body}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_refused_by_name() {
        for number in ["-1", "-0", "1.0", "1e3", "1E0", "1000000001", "99999999999999999999999"] {
            for (field, body) in [
                ("max_tokens", format!(r#"{{"max_tokens":{number}}}"#)),
                ("max_completion_tokens", format!(r#"{{"max_completion_tokens": {number} }}"#)),
                ("max_output_tokens", format!(r#"{{"max_output_tokens":{number}}}"#)),
                ("n", format!(r#"{{"n":{number}}}"#)),
                ("thinking.budget_tokens", format!(r#"{{"thinking":{{"budget_tokens":{number}}}}}"#)),
            ] {
                let error = read(OpenAiChat, &body).unwrap_err();
                assert!(matches!(error, InspectError::BadNumber { .. }), "{body}: {error}");
                assert_eq!(error.field(), Some(field), "{body}");
            }
        }
        assert_eq!(
            read(OpenAiChat, r#"{"max_tokens":-5}"#).unwrap_err().to_string(),
            "max_tokens is negative; it must be a whole number from 0 to 1000000000"
        );
        assert_eq!(read(OpenAiChat, r#"{"n":0}"#).unwrap_err().field(), Some("n"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        let cases = [
            (r#"{"model":"a","model":"b"}"#, "model is given more than once"),
            (r#"{"model":"a","model":null}"#, "model is given more than once"),
            (r#"{"model":null,"model":"a"}"#, "model is given more than once"),
            (r#"{"model":1}"#, "model must be a string"),
            (r#"{"model":"\ud800"}"#, "model must be a Unicode string"),
            (r#"{"stream":"yes"}"#, "stream must be true or false"),
            (r#"{"stream":true,"stream":false}"#, "stream is given more than once"),
            (r#"{"stream_options":1}"#, "stream_options must be an object"),
            (r#"{"stream_options":{},"stream_options":{}}"#, "stream_options is given more than once"),
            (r#"{"stream_options":{"include_usage":1}}"#, "stream_options.include_usage must be true or false"),
            (r#"{"max_tokens":"5"}"#, "max_tokens must be a whole number"),
            ("[]", "the body must be a JSON object"),
            ("\"text\"", "the body must be a JSON object"),
            ("", "the body is not valid JSON: the text ends too early at line 1, column 1"),
            ("{\n \"a\": }", "the body is not valid JSON: a value is expected at line 2, column 7"),
            ("{} {}", "the body is not valid JSON: something follows the value at line 1, column 4"),
        ];
        for (body, text) in cases {
            assert_eq!(read(OpenAiChat, body).unwrap_err().to_string(), text, "{body}");
        }
        let many = format!("{{{}\"n\":1}}", r#""max_tokens":1,"#.repeat(9));
        assert_eq!(read(OpenAiChat, &many).unwrap_err(), InspectError::Repeated { field: "max_tokens" });
    }

    #[test]
    fn an_answer_that_would_come_later_or_from_another_model_is_refused() {
        let text = "background is not served here, since what it leads to is not metered";
        let error = read(OpenAiResponses, r#"{"model":"m","background":true}"#).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.field()), (text, Some("background")));
        let fallbacks = r#"{"model":"m","fallbacks":[{"model":"n","max_tokens":64000}]}"#;
        assert_eq!(read(AnthropicMessages, fallbacks).unwrap_err().field(), Some("fallbacks"));
        for body in [r#"{"background":false,"fallbacks":[]}"#, r#"{"background":null}"#] {
            assert!(read(OpenAiResponses, body).is_ok(), "{body}");
        }
        assert!(read(AnthropicMessages, r#"{"fallbacks":null}"#).is_ok());
    }

    #[test]
    fn an_object_with_the_cap_that_cannot_be_followed_is_refused_by_name() {
        let cases = [
            (Gemini, r#"{"generationConfig":{},"generation_config":{}}"#, "generationConfig is given more than once"),
            (Gemini, r#"{"generationConfig":1}"#, "generationConfig must be an object"),
            (
                Gemini,
                r#"{"generationConfig":{"maxOutputTokens":"5"}}"#,
                "generationConfig.maxOutputTokens must be a whole number",
            ),
            (BedrockConverse, r#"{"inferenceConfig":[]}"#, "inferenceConfig must be an object"),
        ];
        for (format, body, text) in cases {
            assert_eq!(read(format, body).unwrap_err().to_string(), text, "{body}");
        }
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_refused() {
        let error = Inspected::read(OpenAiChat, Bytes::from_static(b"{\"a\":\"\xFF\"}")).unwrap_err();
        assert_eq!(error, InspectError::InvalidJson { line: 1, column: 7, what: "the text is not UTF-8" });
    }

    #[test]
    fn a_model_name_is_read_with_its_escapes_and_bounded() {
        let model = |name: &str| read(OpenAiChat, &format!(r#"{{"model":"{name}"}}"#));
        assert_eq!(model(r"gpt\u002d4o").unwrap().model(), Some("gpt-4o"));
        assert_eq!(model("").unwrap().model(), Some(""));
        assert!(model(&"m".repeat(MAX_MODEL_NAME)).is_ok());
        assert_eq!(model(&"m".repeat(MAX_MODEL_NAME + 1)).unwrap_err(), InspectError::ModelTooLong);
        assert_eq!(read(OpenAiChat, r#"{"model":null}"#).unwrap().model(), None);
    }

    #[test]
    fn the_bound_for_text_is_the_whole_body() {
        let body = r#"{"messages":[{"role":"user","content":"hello"}]}"#;
        let tokens = |format, body: &str| read(format, body).unwrap().text_bound().tokens().get();
        assert_eq!(tokens(OpenAiChat, body), body.len() as u64);
        let tools = r#"{"tools":[{"name":"f"},{"type":"web_search_20250305"}]}"#;
        assert_eq!(tokens(OpenAiChat, tools), tools.len() as u64);
        assert_eq!(tokens(AnthropicMessages, tools), tools.len() as u64 + 2 * ANTHROPIC_TOOL_PROMPT);
    }

    #[test]
    fn the_stream_options_of_the_client_are_told() {
        let asked = |body| read(OpenAiChat, body).unwrap().include_usage();
        assert_eq!(asked("{}"), None);
        assert_eq!(asked(r#"{"stream_options":null}"#), None);
        assert_eq!(asked(r#"{"stream_options":{"include_usage":null}}"#), None);
        assert_eq!(asked(r#"{"stream_options":{"x":1,"include_usage":false}}"#), Some(false));
        assert_eq!(asked(r#"{"stream_options":{"include_usage":true}}"#), Some(true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let body = [b"{\"model\":", &bytes[..], b"}"].concat();
            let _ = Inspected::read(OpenAiChat, Bytes::from(bytes));
            let _ = Inspected::read(AnthropicMessages, Bytes::from(body));
        }
    }
}
