use std::sync::Arc;

use flashops_core::record::{Ending, SettledCall};
use flashops_core::units::Tokens;
use flashops_core::usage::Quality;
use metrics::{Counter, Histogram, Label, SharedString, Unit};

use super::bounded::Bounded;
use super::names::GenAiNames;
use crate::inspect::WireFormat;

/// The metrics of OpenTelemetry's conventions for one model and operation.
pub(super) struct GenAi {
    attributes: Vec<Label>,
    names: Arc<[GenAiNames]>,
    counters: Vec<Counters>,
    /// Of input and of output.
    tokens: [Vec<Histogram>; 2],
    durations: Bounded<Vec<Histogram>>,
    first_chunk: Vec<Histogram>,
    per_token: Vec<Histogram>,
}

/// Tokens by class and modality.
struct Counters {
    input_text: Counter,
    input_audio: Counter,
    input_image: Counter,
    output_text: Counter,
    output_audio: Counter,
    cache_read: Counter,
    cache_write: Counter,
    reasoning: Counter,
}

/// The most endings of a call, with room for those to come.
const ENDINGS: usize = 8;

impl GenAi {
    pub(super) fn new(names: &Arc<[GenAiNames]>, operation: &str, provider: &str, model: &str) -> Self {
        let attribute = |key: &'static str, value: &str| Label::new(key, value.to_owned());
        let attributes = vec![
            attribute("gen_ai_operation_name", operation),
            attribute("gen_ai_provider_name", provider_name(provider)),
            attribute("gen_ai_request_model", model),
        ];
        let histograms = |name: &dyn Fn(&GenAiNames) -> Option<&'static str>, labels: &[Label]| {
            // What two sets call the same is recorded once.
            let mut all: Vec<&'static str> = names.iter().filter_map(name).collect();
            all.sort_unstable();
            all.dedup();
            all.into_iter().map(|name| metrics::histogram!(name, labels.iter())).collect::<Vec<_>>()
        };
        let tokens = [0, 1].map(|direction: usize| {
            let with_type = [&*attributes, &[Label::new("gen_ai_token_type", TYPES[direction])]].concat();
            let mut all = histograms(&|names| names.token_usage, &with_type);
            all.extend(histograms(&|names| names.operation_tokens.map(|both| both[direction]), &attributes));
            all
        });
        Self {
            counters: names.iter().filter_map(|names| Counters::new(names, &attributes)).collect(),
            tokens,
            durations: Bounded::new(ENDINGS),
            first_chunk: histograms(&|names| Some(names.time_to_first_chunk), &attributes),
            per_token: histograms(&|names| Some(names.time_per_output_token), &attributes),
            names: Arc::clone(names),
            attributes,
        }
    }

    pub(super) fn count(&self, settled: &SettledCall<'_>) {
        let usage = settled.usage;
        for counters in &self.counters {
            counters.count(settled);
        }
        let durations = self.durations.get(settled.ending.name(), |ending| self.durations_of(ending));
        record(&durations, settled.duration().as_secs_f64());
        if let Some(first) = settled.time_to_first_output() {
            record(&self.first_chunk, first.as_secs_f64());
        }
        if settled.ending != Ending::Complete {
            return;
        }
        if usage.quality == Quality::Exact {
            record(&self.tokens[0], number(usage.total_input()));
            record(&self.tokens[1], number(usage.total_output()));
        }
        if let Some(each) = settled.time_per_output() {
            record(&self.per_token, each.as_secs_f64());
        }
    }

    fn durations_of(&self, ending: &Arc<str>) -> Vec<Histogram> {
        let mut labels = self.attributes.clone();
        if **ending != *Ending::Complete.name() {
            labels.push(Label::new("error_type", ending.to_string()));
        }
        self.names.iter().map(|names| metrics::histogram!(names.duration, labels.iter())).collect()
    }
}

const TYPES: [&str; 2] = ["input", "output"];

impl Counters {
    fn new(names: &GenAiNames, attributes: &[Label]) -> Option<Self> {
        let names = names.counters?;
        let counter = |name: &'static str, modality: &'static str| {
            let labels =
                [attributes, &[Label::new("gen_ai_token_modality", SharedString::const_str(modality))]].concat();
            metrics::counter!(name, labels.iter())
        };
        Some(Self {
            input_text: counter(names.input, "text"),
            input_audio: counter(names.input, "audio"),
            input_image: counter(names.input, "image"),
            output_text: counter(names.output, "text"),
            output_audio: counter(names.output, "audio"),
            cache_read: counter(names.cache_read, "text"),
            cache_write: counter(names.cache_write, "text"),
            reasoning: counter(names.reasoning, "text"),
        })
    }

    fn count(&self, settled: &SettledCall<'_>) {
        let usage = settled.usage;
        let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
        let input = usage.input.saturating_add(usage.cache_read).saturating_add(written);
        for (counter, tokens) in [
            (&self.input_text, input),
            (&self.input_audio, usage.audio_in),
            (&self.input_image, usage.image_in),
            (&self.output_text, usage.output.saturating_add(usage.reasoning)),
            (&self.output_audio, usage.audio_out),
            (&self.cache_read, usage.cache_read),
            (&self.cache_write, written),
            (&self.reasoning, usage.reasoning),
        ] {
            counter.increment(tokens.get());
        }
    }
}

fn record(histograms: &[Histogram], value: f64) {
    for histogram in histograms {
        histogram.record(value);
    }
}

/// The facade takes no integers here.
#[allow(clippy::cast_precision_loss, reason = "tokens are below 2^53")]
pub(super) fn number(tokens: Tokens) -> f64 {
    tokens.get() as f64
}

/// What the conventions call an operation, by the route on which it is called.
pub(super) fn operation(route: &str, provider: &str) -> &'static str {
    match WireFormat::from_path(route) {
        Some(format) if !format.has_output() => "embeddings",
        Some(WireFormat::OpenAiCompletions) => "text_completion",
        Some(WireFormat::Gemini) => "generate_content",
        None if provider == "google" => "generate_content",
        _ => "chat",
    }
}

/// What the conventions call a provider of the price book.
fn provider_name(provider: &str) -> &str {
    match provider {
        "bedrock" => "aws.bedrock",
        "google" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

/// Says what the metrics are.
pub(super) fn describe(names: &[GenAiNames]) {
    for names in names {
        let GenAiNames { token_usage, counters, operation_tokens, duration, .. } = *names;
        for name in token_usage.into_iter().chain(operation_tokens.into_iter().flatten()) {
            metrics::describe_histogram!(name, Unit::Count, "Tokens of one complete call.");
        }
        let counters = counters.map(|all| [all.input, all.output, all.cache_read, all.cache_write, all.reasoning]);
        for name in counters.into_iter().flatten() {
            metrics::describe_counter!(name, Unit::Count, "Tokens that calls of models were charged for.");
        }
        metrics::describe_histogram!(duration, Unit::Seconds, "Time from the reservation of a call to its end.");
        let (first, each) = (names.time_to_first_chunk, names.time_per_output_token);
        metrics::describe_histogram!(
            first,
            Unit::Seconds,
            "Time from the reservation of a stream to its first output."
        );
        metrics::describe_histogram!(each, Unit::Seconds, "Time for each output token of a stream after the first.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_told_by_its_route_and_a_template_of_google_by_its_provider() {
        for (route, provider, expected) in [
            ("/v1/chat/completions", "openai", "chat"),
            ("/v1/completions", "openai", "text_completion"),
            ("/v1/embeddings", "openai", "embeddings"),
            ("/v1/messages", "anthropic", "chat"),
            ("/v1beta/models/*", "google", "generate_content"),
            ("/api/v1/ai/chat", "openai", "chat"),
        ] {
            assert_eq!(operation(route, provider), expected, "{route}");
        }
    }
}
