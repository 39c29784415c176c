use std::borrow::Cow;
use std::sync::Arc;

use flashops_core::config::OnOver;
use flashops_core::limit::{RouteError, RoutePatterns};
use flashops_core::units::Tokens;
use http::{HeaderMap, Method};

use crate::inspect::WireFormat;
use crate::path::plain;
use crate::reject::Dialect;

/// A route that calls a model: how its requests are read, and what they may ask for.
#[derive(Clone, Debug)]
pub struct ModelRoute {
    patterns: RoutePatterns,
    label: Arc<str>,
    format: WireFormat,
    /// The format of a path that tells its own comes first.
    by_path: bool,
    /// Only paths whose end stands for the format are on the route.
    only_named: bool,
    dialect: Option<Dialect>,
    max_output: Option<Tokens>,
    on_over: OnOver,
    default_model: Option<Arc<str>>,
    fallback: Arc<[Arc<str>]>,
}

impl ModelRoute {
    /// A route by its path, or by a pattern of paths (see [`RoutePatterns`]), in a wire format.
    ///
    /// # Errors
    ///
    /// [`RouteError`] if the pattern is malformed.
    pub fn new(pattern: &str, format: WireFormat) -> Result<Self, RouteError> {
        Ok(Self {
            patterns: RoutePatterns::new([pattern])?,
            label: pattern.into(),
            format,
            by_path: false,
            only_named: false,
            dialect: None,
            max_output: None,
            on_over: OnOver::default(),
            default_model: None,
            fallback: Arc::default(),
        })
    }

    /// A route whose requests are each read in the format that their path stands for
    /// ([`WireFormat::from_path`]), and in this one where the path does not tell: for patterns such as `/v1/**`.
    ///
    /// # Errors
    ///
    /// As [`ModelRoute::new`].
    pub fn by_path(pattern: &str, otherwise: WireFormat) -> Result<Self, RouteError> {
        Ok(Self { by_path: true, ..Self::new(pattern, otherwise)? })
    }

    /// The paths under which providers serve the wire formats.
    ///
    /// | path | format |
    /// | --- | --- |
    /// | `/v1/chat/completions`, `/v1/completions`, `/v1/responses`, `/v1/embeddings` | `OpenAI`, and who speaks like it |
    /// | `/v1/messages` | Anthropic |
    /// | `/v1/models/*`, `/v1beta/models/*`, `/v1/projects/**` that end with `:generateContent` or `:streamGenerateContent` | Gemini |
    /// | `/model/**` that ends with `/converse` or `/converse-stream` | Bedrock |
    /// | `/v2/chat`, `/v2/embed` | Cohere |
    /// | `/api/chat`, `/api/generate`, `/api/embed` | Ollama |
    pub fn standard() -> Vec<Self> {
        let route = |path, format| Self::new(path, format).expect("these paths are well-formed");
        let named = |path, format| Self { only_named: true, ..route(path, format) };
        vec![
            route("/v1/chat/completions", WireFormat::OpenAiChat),
            route("/v1/completions", WireFormat::OpenAiCompletions),
            route("/v1/responses", WireFormat::OpenAiResponses),
            route("/v1/embeddings", WireFormat::OpenAiEmbeddings),
            route("/v1/messages", WireFormat::AnthropicMessages),
            named("/v1/models/*", WireFormat::Gemini),
            named("/v1beta/models/*", WireFormat::Gemini),
            named("/v1/projects/**", WireFormat::Gemini),
            named("/model/**", WireFormat::BedrockConverse),
            route("/v2/chat", WireFormat::CohereChat),
            route("/v2/embed", WireFormat::CohereEmbed),
            route("/api/chat", WireFormat::Ollama),
            route("/api/generate", WireFormat::Ollama),
            route("/api/embed", WireFormat::OllamaEmbed),
        ]
    }

    /// Answers refusals in this dialect, whatever the client accepts.
    #[must_use]
    pub const fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Allows so many output tokens a choice, and no more.
    #[must_use]
    pub const fn with_max_output(mut self, most: Tokens, on_over: OnOver) -> Self {
        self.max_output = Some(most);
        self.on_over = on_over;
        self
    }

    /// The model of requests that name none. The layer counts with it; writing it into the request is up to the
    /// service.
    #[must_use]
    pub fn with_default_model(mut self, model: &str) -> Self {
        self.default_model = Some(model.into());
        self
    }

    /// The same, with models that a [`FallbackLayer`](crate::fallback::FallbackLayer) tries instead, in this order.
    #[must_use]
    pub fn with_fallback<M: AsRef<str>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.fallback = models.into_iter().map(|model| Arc::from(model.as_ref())).collect();
        self
    }

    /// The first route that a request is on, if it calls a model: by POST. `path` is [plain].
    pub(crate) fn find(routes: &[Self], method: &Method, path: &str) -> Option<usize> {
        if method != Method::POST {
            return None;
        }
        routes.iter().position(|route| route.has(path))
    }

    /// The dialect in which a request of any method is answered: as [`Dialect::of`], where the first of the routes
    /// that has the path can say which.
    pub fn dialect_of(routes: &[Self], path: &str, headers: &HeaderMap) -> Dialect {
        let plain = if routes.is_empty() { Cow::Borrowed(path) } else { plain(path) };
        let route = routes.iter().find(|route| route.has(&plain));
        Dialect::of(path, headers, route.and_then(|route| route.dialect))
    }

    /// Whether one of the routes has a path, which is [plain].
    pub(crate) fn any_has(routes: &[Self], path: &str) -> bool {
        routes.iter().any(|route| route.has(path))
    }

    /// Whether a plain path is on this route.
    fn has(&self, path: &str) -> bool {
        self.patterns.contains(path) && (!self.only_named || WireFormat::from_path(path) == Some(self.format))
    }

    /// What the route is called in records and metrics: its path or pattern.
    pub const fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How requests on this path are read.
    pub(crate) fn format(&self, path: &str) -> WireFormat {
        WireFormat::from_path(path).filter(|_| self.by_path).unwrap_or(self.format)
    }

    pub(super) const fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    pub(super) const fn max_output(&self) -> Option<Tokens> {
        self.max_output
    }

    pub(super) const fn on_over(&self) -> OnOver {
        self.on_over
    }

    pub(crate) fn fallback(&self) -> &[Arc<str>] {
        &self.fallback
    }

    pub(crate) const fn default_model(&self) -> Option<&Arc<str>> {
        self.default_model.as_ref()
    }
}
