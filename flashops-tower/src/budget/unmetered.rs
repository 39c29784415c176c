//! Calls of a model that nobody can meter.

use std::sync::OnceLock;

use flashops_core::limit::RoutePatterns;
use http::Method;

use super::route::ModelRoute;

/// Where providers take calls of a model that no usage reader reads: images, speech and video, batches, tuning, older
/// and special interfaces. Names that a service may well have for something else, such as `/v1/chat` and `/v1/classify`
/// of Cohere's first version, are not among them. Sources: the API references of OpenAI, Anthropic, Mistral, Cohere and
/// Ollama, November 2026.
const UNREAD: [&str; 20] = [
    "/v1/images/**",
    "/v1/audio/**",
    "/v1/videos/**",
    "/v1/realtime/**",
    "/v1/batches",
    "/v1/batch/**",
    "/v1/fine_tuning/**",
    "/v1/evals/**",
    "/v1/threads/**",
    "/v1/conversations/**",
    "/v1/responses/compact",
    "/v1/messages/batches",
    "/v1/complete",
    "/v1/fim/**",
    "/v1/agents/**",
    "/v1/ocr",
    "/v1/embed-jobs",
    "/v1/rerank",
    "/v2/rerank",
    "/api/embeddings",
];

/// Below these, the end of a path says what is asked of a model, and counting tokens is free.
const BY_ENDING: [&str; 4] = ["/v1/models/*", "/v1beta/models/*", "/v1/projects/**", "/model/**"];
const FREE_ENDINGS: [&str; 3] = [":countTokens", ":computeTokens", "/count-tokens"];

struct Paths {
    standard: Vec<ModelRoute>,
    unread: RoutePatterns,
    by_ending: RoutePatterns,
}

/// Whether a provider would take a request on this [plain](crate::path::plain) path for a call of a model: by POST, on
/// a standard route or on one that no reader reads.
pub(super) fn calls_a_model(method: &Method, path: &str) -> bool {
    static PATHS: OnceLock<Paths> = OnceLock::new();
    if method != Method::POST {
        return false;
    }
    let patterns = |paths: &[&str]| RoutePatterns::new(paths).expect("these paths are well-formed");
    let paths = PATHS.get_or_init(|| Paths {
        standard: ModelRoute::standard(),
        unread: patterns(&UNREAD),
        by_ending: patterns(&BY_ENDING),
    });
    let acts = || path.rsplit('/').next().is_some_and(|last| last.contains(':')) || path.starts_with("/model/");
    ModelRoute::find(&paths.standard, method, path).is_some()
        || paths.unread.contains(path)
        || (paths.by_ending.contains(path) && acts() && !FREE_ENDINGS.iter().any(|end| path.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_providers_charge_for_is_a_call_and_what_is_free_is_none() {
        let post = |path: &str| calls_a_model(&Method::POST, path);
        for charged in [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/images/generations",
            "/v1/audio/speech",
            "/v1/messages/batches",
            "/v1beta/models/gemini-2.5-pro:generateContent",
            "/v1beta/models/gemini-2.5-pro:batchEmbedContents",
            "/v1/projects/p/locations/l/publishers/google/models/m:predict",
            "/model/anthropic.claude-3/invoke",
            "/v2/rerank",
        ] {
            assert!(post(charged), "{charged}");
            assert!(!calls_a_model(&Method::GET, charged), "{charged}");
        }
        for free in [
            "/",
            "/pets",
            "/v1/files",
            "/v1/models/gpt-4o",
            "/v1/messages/count_tokens",
            "/v1/messages/batches/b1/cancel",
            "/v1/chat/completions/c1",
            "/v1beta/models/gemini-2.5-pro:countTokens",
            "/model/anthropic.claude-3/count-tokens",
        ] {
            assert!(!post(free), "{free}");
        }
    }
}
