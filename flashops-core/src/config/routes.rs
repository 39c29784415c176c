//! `[[route]]`.

use toml::Spanned;

use super::schema::{RawRoute, Text};
use super::value::{bounded, choose};
use crate::limit::RoutePatterns;
use crate::place::{Mistake, shortened};
use crate::price::Name;
use crate::units::{MAX_AMOUNT, Tokens};

/// The most routes of one configuration.
pub const MAX_ROUTES: usize = 256;

/// The most models that one route falls back to.
pub const MAX_FALLBACK: usize = 8;

const DIALECTS: [(&str, Dialect); 3] =
    [("openai", Dialect::OpenAi), ("anthropic", Dialect::Anthropic), ("problem", Dialect::Problem)];

const FORMATS: [(&str, Format); 13] = [
    ("openai-chat", Format::OpenAiChat),
    ("openai-completions", Format::OpenAiCompletions),
    ("openai-responses", Format::OpenAiResponses),
    ("openai-embeddings", Format::OpenAiEmbeddings),
    ("anthropic-messages", Format::AnthropicMessages),
    ("gemini", Format::Gemini),
    ("bedrock-converse", Format::BedrockConverse),
    ("mistral-chat", Format::MistralChat),
    ("xai-chat", Format::XaiChat),
    ("cohere-chat", Format::CohereChat),
    ("cohere-embed", Format::CohereEmbed),
    ("ollama", Format::Ollama),
    ("ollama-embed", Format::OllamaEmbed),
];

const ON_OVER: [(&str, OnOver); 2] = [("clamp", OnOver::Clamp), ("refuse", OnOver::Refuse)];

/// The shape of a refusal's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// As OpenAI's.
    OpenAi,
    /// As Anthropic's.
    Anthropic,
    /// A problem document of RFC 9457.
    Problem,
}

/// How a provider's requests and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAI's chat completions, `"openai-chat"`.
    OpenAiChat,
    /// OpenAI's completions, the older ones with a prompt, `"openai-completions"`.
    OpenAiCompletions,
    /// OpenAI's responses, `"openai-responses"`.
    OpenAiResponses,
    /// OpenAI's embeddings, `"openai-embeddings"`.
    OpenAiEmbeddings,
    /// Anthropic's messages, `"anthropic-messages"`.
    AnthropicMessages,
    /// Google's Gemini, `"gemini"`.
    Gemini,
    /// Amazon Bedrock's Converse, `"bedrock-converse"`.
    BedrockConverse,
    /// Mistral's chat completions, `"mistral-chat"`.
    MistralChat,
    /// xAI's chat completions, `"xai-chat"`.
    XaiChat,
    /// Cohere's chat, version 2, `"cohere-chat"`.
    CohereChat,
    /// Cohere's embeddings, version 2, `"cohere-embed"`.
    CohereEmbed,
    /// Ollama's own chat and generate, `"ollama"`.
    Ollama,
    /// Ollama's own embeddings, `"ollama-embed"`.
    OllamaEmbed,
}

impl Format {
    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().map(|(_, format)| *format)
    }

    /// The word for it in a configuration.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// What happens to a request that asks for more output than its route allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnOver {
    /// It asks for what is allowed instead.
    #[default]
    Clamp,
    /// It is refused.
    Refuse,
}

/// How one route, or the routes of one pattern, are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    path: String,
    pattern: RoutePatterns,
    format: Option<Format>,
    dialect: Option<Dialect>,
    max_output: Option<Tokens>,
    on_over: OnOver,
    default_model: Option<String>,
    fallback: Vec<String>,
}

impl RouteConfig {
    /// The path or the pattern.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether a path is this route. A query is not part of it.
    pub fn contains(&self, path: &str) -> bool {
        self.pattern.contains(path)
    }

    /// The format of its requests and answers, on all of its paths; `None` where the path decides.
    pub const fn format(&self) -> Option<Format> {
        self.format
    }

    /// The shape of refusals; `None` where the path decides.
    pub const fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// The most output tokens of one request, at least 1; `None` where only the model bounds them.
    pub const fn max_output(&self) -> Option<Tokens> {
        self.max_output
    }

    /// What happens to a request for more.
    pub const fn on_over(&self) -> OnOver {
        self.on_over
    }

    /// The model of a request that names none.
    pub fn default_model(&self) -> Option<&str> {
        self.default_model.as_deref()
    }

    /// The models to try instead of one that fails or is too expensive, in this order.
    pub fn fallback(&self) -> &[String] {
        &self.fallback
    }

    /// Whether every path of another route is one of this: a pattern is matched as if it were a path.
    fn covers(&self, other: &Self) -> bool {
        match other.path.strip_suffix("/**") {
            Some(start) => self.path.ends_with("/**") && self.contains(start),
            None => self.contains(&other.path),
        }
    }
}

pub(super) fn read(raw: &[Spanned<RawRoute>]) -> Result<Vec<RouteConfig>, Mistake> {
    if let Some(beyond) = raw.get(MAX_ROUTES) {
        return Err((beyond.span(), format!("there are at most {MAX_ROUTES} routes")));
    }
    let mut routes: Vec<RouteConfig> = Vec::new();
    for raw in raw.iter().map(Spanned::get_ref) {
        let route = route(raw)?;
        if let Some(first) = routes.iter().find(|first| first.covers(&route)) {
            let message = format!("the route \"{}\" before it has all of its paths already", shortened(&first.path));
            return Err((raw.path.span(), message));
        }
        routes.push(route);
    }
    Ok(routes)
}

/// The models that a route names, with their places.
pub(super) fn models(raw: &[Spanned<RawRoute>]) -> impl Iterator<Item = &Text> {
    raw.iter().map(Spanned::get_ref).flat_map(|route| route.default_model.iter().chain(&route.fallback))
}

fn route(raw: &RawRoute) -> Result<RouteConfig, Mistake> {
    let most = |most| bounded(most, "max_output", 1..=MAX_AMOUNT).map(Tokens::saturating);
    Ok(RouteConfig {
        path: raw.path.get_ref().clone(),
        pattern: pattern(&raw.path)?,
        format: raw.format.as_ref().map(|format| choose(format, &FORMATS)).transpose()?,
        dialect: raw.dialect.as_ref().map(|dialect| choose(dialect, &DIALECTS)).transpose()?,
        max_output: raw.max_output.as_ref().map(most).transpose()?,
        on_over: raw.on_over.as_ref().map_or(Ok(OnOver::default()), |on_over| choose(on_over, &ON_OVER))?,
        default_model: raw.default_model.as_ref().map(model).transpose()?,
        fallback: fallback(&raw.fallback)?,
    })
}

fn pattern(path: &Text) -> Result<RoutePatterns, Mistake> {
    match RoutePatterns::new([path.get_ref()]) {
        Ok(pattern) if pattern.is_empty() => {
            Err((path.span(), "a route is what its `path` matches, so it has no `!`".to_owned()))
        }
        Ok(pattern) => Ok(pattern),
        Err(error) => Err((path.span(), error.to_string())),
    }
}

fn fallback(raw: &[Text]) -> Result<Vec<String>, Mistake> {
    if let Some(beyond) = raw.get(MAX_FALLBACK) {
        return Err((beyond.span(), format!("a route falls back to at most {MAX_FALLBACK} models")));
    }
    let mut names: Vec<String> = Vec::new();
    for raw in raw {
        let name = model(raw)?;
        if names.contains(&name) {
            return Err((raw.span(), "a model stands twice in `fallback`".to_owned()));
        }
        names.push(name);
    }
    Ok(names)
}

fn model(text: &Text) -> Result<String, Mistake> {
    Name::try_from(text.get_ref().clone())
        .map(|Name(name)| name)
        .map_err(|error| (text.span(), format!("not a model: {error}")))
}
