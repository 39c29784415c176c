//! The wire formats of providers.
//!
//! ```
//! use flashops_tower::inspect::WireFormat;
//!
//! assert_eq!(WireFormat::from_path("/v1/chat/completions"), Some(WireFormat::OpenAiChat));
//! assert_eq!(WireFormat::from_path("/proxy/v1/messages/"), Some(WireFormat::AnthropicMessages));
//! assert_eq!(WireFormat::from_path("/v1/messages/count_tokens"), None);
//!
//! let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
//! assert_eq!(WireFormat::from_path(path), Some(WireFormat::Gemini));
//! assert_eq!(WireFormat::Gemini.model_in_path(path).as_deref(), Some("gemini-2.5-flash"));
//! ```
//!
//! Edge cases: one trailing slash is ignored, letter case is not. Any prefix is accepted, since services mount these
//! paths where they like. Mistral and xAI have the paths of `OpenAI`: a route names their formats, in a configuration
//! by `format`. Their answers are read right under [`WireFormat::OpenAiChat`] too, as far as a total or a name tells
//! what their numbers are.
//!
//! What this module does not do: look into the body. A route that does not have one of these paths names its format.

use std::borrow::Cow;

use crate::path::decoded_bytes;

/// The format of a request and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireFormat {
    /// `OpenAI` chat completions, spoken by most other providers too.
    OpenAiChat,
    /// `OpenAI` completions, the older ones with a prompt.
    OpenAiCompletions,
    /// `OpenAI` responses.
    OpenAiResponses,
    /// `OpenAI` embeddings, which have no output tokens.
    OpenAiEmbeddings,
    /// Anthropic messages.
    AnthropicMessages,
    /// Google's `generateContent` and `streamGenerateContent`, as Gemini and Vertex AI have them. The model is in
    /// the path.
    Gemini,
    /// Amazon Bedrock's `Converse` and `ConverseStream`. The model is in the path.
    BedrockConverse,
    /// Mistral's chat completions. They report usage in a stream without being asked, and are not asked.
    MistralChat,
    /// xAI's chat completions. Reasoning is beside the completion.
    XaiChat,
    /// Cohere's chat, version 2.
    CohereChat,
    /// Cohere's embeddings, version 2, which have no output tokens.
    CohereEmbed,
    /// Ollama's own chat and generate.
    Ollama,
    /// Ollama's own embeddings, which have no output tokens.
    OllamaEmbed,
}

impl WireFormat {
    /// Every format.
    pub const ALL: [Self; 13] = [
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::OpenAiEmbeddings,
        Self::AnthropicMessages,
        Self::Gemini,
        Self::BedrockConverse,
        Self::MistralChat,
        Self::XaiChat,
        Self::CohereChat,
        Self::CohereEmbed,
        Self::Ollama,
        Self::OllamaEmbed,
    ];

    /// The format that a path stands for by its end; `path` is without the query.
    pub fn from_path(path: &str) -> Option<Self> {
        const ENDS: [(&str, WireFormat); 14] = [
            ("/chat/completions", WireFormat::OpenAiChat),
            ("/completions", WireFormat::OpenAiCompletions),
            ("/responses", WireFormat::OpenAiResponses),
            ("/embeddings", WireFormat::OpenAiEmbeddings),
            ("/messages", WireFormat::AnthropicMessages),
            (":generateContent", WireFormat::Gemini),
            (":streamGenerateContent", WireFormat::Gemini),
            ("/converse", WireFormat::BedrockConverse),
            ("/converse-stream", WireFormat::BedrockConverse),
            ("/v2/chat", WireFormat::CohereChat),
            ("/v2/embed", WireFormat::CohereEmbed),
            ("/api/chat", WireFormat::Ollama),
            ("/api/generate", WireFormat::Ollama),
            ("/api/embed", WireFormat::OllamaEmbed),
        ];
        let path = path.strip_suffix('/').unwrap_or(path);
        ENDS.iter().find_map(|&(end, format)| path.ends_with(end).then_some(format))
    }

    /// The model that a path names, where this format has it there: of Gemini behind the last `/`, of Bedrock behind
    /// `/model/`, with its percent signs decoded.
    pub fn model_in_path(self, path: &str) -> Option<Cow<'_, str>> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let name = match self {
            Self::Gemini => path.rsplit_once(':')?.0.rsplit('/').next()?,
            Self::BedrockConverse => {
                let (before, _) = path.rsplit_once('/')?;
                let at = before.find("/model/")?;
                &before[at + "/model/".len()..]
            }
            _ => return None,
        };
        Some(decoded_bytes(name)).filter(|name| !name.is_empty())
    }

    /// Whether a response has output tokens.
    pub const fn has_output(self) -> bool {
        !matches!(self, Self::OpenAiEmbeddings | Self::CohereEmbed | Self::OllamaEmbed)
    }

    /// Whether a stream reports usage only if the request has `stream_options.include_usage`.
    pub(crate) const fn is_asked_for_usage(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletions | Self::XaiChat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_says_its_format() {
        for (path, format) in [
            ("/v1/completions", Some(WireFormat::OpenAiCompletions)),
            ("/v1beta/models/gemini-2.5-pro:generateContent", Some(WireFormat::Gemini)),
            ("/model/amazon.nova-lite-v1:0/converse-stream", Some(WireFormat::BedrockConverse)),
            ("/v2/chat", Some(WireFormat::CohereChat)),
            ("/ollama/api/generate/", Some(WireFormat::Ollama)),
            ("/v1beta/models/gemini-2.5-pro:countTokens", None),
            ("/api/v1/ai/chat", None),
        ] {
            assert_eq!(WireFormat::from_path(path), format, "{path}");
        }
    }

    #[test]
    fn the_model_of_a_path_is_read_as_the_provider_reads_it() {
        for (format, path, model) in [
            (WireFormat::Gemini, "/v1beta/models/gemini-2.5-pro:generateContent", Some("gemini-2.5-pro")),
            (WireFormat::Gemini, "/v1/projects/p/publishers/google/models/g%2D1:streamGenerateContent", Some("g-1")),
            (WireFormat::Gemini, "/v1beta/models/:generateContent", None),
            (WireFormat::BedrockConverse, "/model/amazon.nova-lite-v1:0/converse", Some("amazon.nova-lite-v1:0")),
            (WireFormat::BedrockConverse, "/model/arn%3Aaws%3Ax%2Fus.n/converse-stream/", Some("arn:aws:x/us.n")),
            (WireFormat::BedrockConverse, "/model/a%/converse", Some("a%")),
            (WireFormat::BedrockConverse, "/converse", None),
            (WireFormat::OpenAiChat, "/v1/models/a:generateContent", None),
        ] {
            assert_eq!(format.model_in_path(path).as_deref(), model, "{path}");
        }
    }
}
