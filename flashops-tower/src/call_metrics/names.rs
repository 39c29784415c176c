use flashops_core::units::MoneyUnit;

/// What OpenTelemetry's conventions for generative models call their metrics, as Prometheus spells them.
///
/// They are in development, and renamed what dashboards have. Both sets can be exported at once; what they share is
/// recorded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenAiNames {
    /// The histogram of tokens, where input and output are told apart by `gen_ai_token_type`.
    pub token_usage: Option<&'static str>,
    /// The counters of tokens.
    pub counters: Option<GenAiCounters>,
    /// The histograms of the input and output tokens of a call.
    pub operation_tokens: Option<[&'static str; 2]>,
    /// The histogram of the durations of calls.
    pub duration: &'static str,
    /// The histogram of the times to the first output of streams.
    pub time_to_first_chunk: &'static str,
    /// The histogram of the times for each output token after the first.
    pub time_per_output_token: &'static str,
}

/// The counters of tokens, each with the label `gen_ai_token_modality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenAiCounters {
    /// All input.
    pub input: &'static str,
    /// All output.
    pub output: &'static str,
    /// What of the input was read from a cache.
    pub cache_read: &'static str,
    /// What of the input was written to a cache.
    pub cache_write: &'static str,
    /// What of the output was reasoning.
    pub reasoning: &'static str,
}

impl GenAiNames {
    /// The names of version 1.41, which dashboards have.
    pub const V1_41: Self = Self {
        token_usage: Some("gen_ai_client_token_usage"),
        counters: None,
        operation_tokens: None,
        duration: "gen_ai_client_operation_duration_seconds",
        time_to_first_chunk: "gen_ai_client_operation_time_to_first_chunk_seconds",
        time_per_output_token: "gen_ai_server_time_per_output_token_seconds",
    };

    /// The names as of November 2026, schema 1.42.
    pub const LATEST: Self = Self {
        token_usage: None,
        counters: Some(GenAiCounters {
            input: "gen_ai_client_inference_usage_input_tokens_total",
            output: "gen_ai_client_inference_usage_output_tokens_total",
            cache_read: "gen_ai_client_inference_usage_cache_read_input_tokens_total",
            cache_write: "gen_ai_client_inference_usage_cache_write_input_tokens_total",
            reasoning: "gen_ai_client_inference_usage_reasoning_output_tokens_total",
        }),
        operation_tokens: Some([
            "gen_ai_client_inference_operation_input_tokens",
            "gen_ai_client_inference_operation_output_tokens",
        ]),
        duration: "gen_ai_client_inference_duration_seconds",
        time_to_first_chunk: "gen_ai_client_inference_time_to_first_chunk_seconds",
        time_per_output_token: "gen_ai_server_time_per_output_token_seconds",
    };
}

/// Upper bounds of buckets for tokens of one call, as the conventions have them.
pub const COUNT_BUCKETS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Upper bounds of buckets for the duration of a call and the time to its first output, in seconds.
pub const TIME_BUCKETS: [f64; 16] = crate::http_metrics::DURATION_BUCKETS;

/// Upper bounds of buckets for the time of one output token, in seconds, as the conventions have them.
pub const PER_TOKEN_BUCKETS: [f64; 13] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// Upper bounds of buckets for what was used as a share of what was held.
pub const RATIO_BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0];

/// The metrics that are always there, with what they say.
pub(super) const COUNTERS: [(&str, &str); 6] = [
    (TOKENS, "Tokens that calls of models were charged for."),
    (REQUESTS, "Calls of models that ended, every attempt."),
    (FALLBACKS, "Calls that went on to another model."),
    (DECISIONS, "Requests that a limit refused, or would have refused."),
    (RESERVED, "Tokens that were held at first for calls that were settled."),
    (SETTLED, "Tokens that the same calls were settled with."),
];

pub(super) const TOKENS: &str = "openai_tokens_total";
pub(super) const REQUESTS: &str = "openai_request_total";
pub(super) const FALLBACKS: &str = "ml_fallback_total";
pub(super) const DECISIONS: &str = "flashops_ratelimit_requests_total";
pub(super) const RESERVED: &str = "flashops_tokens_reserved_total";
pub(super) const SETTLED: &str = "flashops_tokens_settled_total";
pub(super) const USED_RATIO: &str = "flashops_estimate_used_ratio";

/// The counter of costs in a unit, such as `flashops_cost_nanousd_total`.
pub(super) fn cost(unit: MoneyUnit) -> String {
    let currency = unit.currency().to_ascii_lowercase();
    let part = match unit.scale() {
        0 => "",
        3 => "milli",
        6 => "micro",
        9 => "nano",
        12 => "pico",
        scale => return format!("flashops_cost_{currency}_e{scale}_total"),
    };
    format!("flashops_cost_{part}{currency}_total")
}

/// The direction of tokens, as a label.
pub(super) const DIRECTIONS: [&str; 2] = ["input", "output"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cost_says_its_unit() {
        let name = |currency: &str, scale| cost(MoneyUnit::new(currency, scale).unwrap());
        assert_eq!(cost(MoneyUnit::NANO_USD), "flashops_cost_nanousd_total");
        assert_eq!([name("EUR", 0), name("IRR", 6)], ["flashops_cost_eur_total", "flashops_cost_microirr_total"]);
        assert_eq!(name("IRT", 2), "flashops_cost_irt_e2_total");
    }
}
