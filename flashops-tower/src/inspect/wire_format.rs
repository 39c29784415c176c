//! The wire formats of providers.
//!
//! ```
//! use flashops_tower::inspect::WireFormat;
//!
//! assert_eq!(WireFormat::from_path("/v1/chat/completions"), Some(WireFormat::OpenAiChat));
//! assert_eq!(WireFormat::from_path("/proxy/v1/messages/"), Some(WireFormat::AnthropicMessages));
//! assert_eq!(WireFormat::from_path("/v1/messages/count_tokens"), None);
//! ```
//!
//! Edge cases: one trailing slash is ignored, letter case is not. Any prefix is accepted, since services mount these
//! paths where they like.
//!
//! What this module does not do: look into the body. A route that does not have one of these paths names its format.

/// The format of a request and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireFormat {
    /// `OpenAI` chat completions, spoken by most other providers too.
    OpenAiChat,
    /// `OpenAI` responses.
    OpenAiResponses,
    /// `OpenAI` embeddings, which have no output tokens.
    OpenAiEmbeddings,
    /// Anthropic messages.
    AnthropicMessages,
}

impl WireFormat {
    /// The format that a path stands for by its end; `path` is without the query.
    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let ends = [
            ("/chat/completions", Self::OpenAiChat),
            ("/responses", Self::OpenAiResponses),
            ("/embeddings", Self::OpenAiEmbeddings),
            ("/messages", Self::AnthropicMessages),
        ];
        ends.into_iter().find_map(|(end, format)| path.ends_with(end).then_some(format))
    }

    /// Whether a response has output tokens.
    pub const fn has_output(self) -> bool {
        !matches!(self, Self::OpenAiEmbeddings)
    }
}
