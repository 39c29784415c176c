//! The routes of models that a configuration names.

use flashops_core::config::{Dialect, Format, RouteConfig};
use flashops_tower::budget::ModelRoute;
use flashops_tower::inspect::WireFormat;
use flashops_tower::reject;

/// A route of a configuration, as the layers have it.
pub(super) fn model_route(route: &RouteConfig) -> ModelRoute {
    let (path, dialect) = (route.path(), route.dialect());
    let of_dialect = match dialect {
        Some(Dialect::Anthropic) => WireFormat::AnthropicMessages,
        Some(Dialect::OpenAi | Dialect::Problem) | None => WireFormat::OpenAiChat,
    };
    // A dialect that contradicts the end of the path says more of what is spoken there than the path does.
    let contradicts = |format: WireFormat| match dialect {
        Some(Dialect::OpenAi) => format == WireFormat::AnthropicMessages,
        Some(Dialect::Anthropic) => format != WireFormat::AnthropicMessages,
        Some(Dialect::Problem) | None => false,
    };
    let mut model_route = match (route.format(), WireFormat::from_path(path)) {
        (Some(format), _) => ModelRoute::new(path, wire_format(format)),
        (None, Some(format)) if contradicts(format) => ModelRoute::new(path, of_dialect),
        _ => ModelRoute::by_path(path, of_dialect),
    }
    .expect("a configuration has checked its paths")
    .with_fallback(route.fallback());
    if let Some(dialect) = route.dialect() {
        model_route = model_route.with_dialect(match dialect {
            Dialect::Anthropic => reject::Dialect::Anthropic,
            Dialect::OpenAi => reject::Dialect::OpenAi,
            Dialect::Problem => reject::Dialect::Problem,
        });
    }
    if let Some(most) = route.max_output() {
        model_route = model_route.with_max_output(most, route.on_over());
    }
    match route.default_model() {
        Some(model) => model_route.with_default_model(model),
        None => model_route,
    }
}

const fn wire_format(format: Format) -> WireFormat {
    match format {
        Format::OpenAiChat => WireFormat::OpenAiChat,
        Format::OpenAiCompletions => WireFormat::OpenAiCompletions,
        Format::OpenAiResponses => WireFormat::OpenAiResponses,
        Format::OpenAiEmbeddings => WireFormat::OpenAiEmbeddings,
        Format::AnthropicMessages => WireFormat::AnthropicMessages,
        Format::Gemini => WireFormat::Gemini,
        Format::BedrockConverse => WireFormat::BedrockConverse,
        Format::MistralChat => WireFormat::MistralChat,
        Format::XaiChat => WireFormat::XaiChat,
        Format::CohereChat => WireFormat::CohereChat,
        Format::CohereEmbed => WireFormat::CohereEmbed,
        Format::Ollama => WireFormat::Ollama,
        Format::OllamaEmbed => WireFormat::OllamaEmbed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_the_wire_format_of_its_name() {
        let named = Format::all().map(|format| format!("{format:?}"));
        let wire = Format::all().map(|format| format!("{:?}", wire_format(format)));
        assert!(named.eq(wire));
        assert!(Format::all().map(wire_format).eq(WireFormat::ALL));
    }
}
