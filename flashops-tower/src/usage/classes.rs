//! What the numbers of a report mean in disjoint classes.
//!
//! | provider | cached input | reasoning | a total is |
//! | --- | --- | --- | --- |
//! | `OpenAI`, Mistral | inside the prompt | inside the completion | both |
//! | xAI | inside the prompt | beside the completion | both and reasoning |
//! | Gemini | inside the prompt | beside the candidates | both, thoughts, and what tools brought in |
//! | Anthropic, Bedrock | beside the input | inside the output | both, with or without the cache |
//! | Cohere | beside what is billed | inside the output | not given |
//! | Ollama | not told | inside the output | not given |
//!
//! Edge cases: a part larger than what is left of its whole stays in the whole. A total above the sum hides output that
//! was not itemised, and is believed; one below it is not. Either way the usage is estimated and says that it is
//! inconsistent. A server of `OpenAI`'s format whose total shows that reasoning is beside the completion gets it added.

use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};

use super::count::Count;
use super::report::{Field, Report, Shape};
use crate::inspect::WireFormat;

/// How many ticks of a provider's cost are one billionth of a US dollar.
const TICKS_PER_NANO: u64 = 10;

/// What stands in for a whole that was not reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fallback {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// What is known against the numbers.
#[derive(Clone, Copy, Debug)]
struct Doubts {
    incomplete: bool,
    inconsistent: bool,
}

impl Shape {
    /// The format that a report has: the route's, unless the names are another provider's.
    pub(super) const fn format(shape: Option<Self>, route: WireFormat) -> WireFormat {
        match (shape, route) {
            (None, _)
            | (Some(Self::Cohere), WireFormat::CohereEmbed)
            | (Some(Self::Ollama), WireFormat::OllamaEmbed) => route,
            (Some(Self::Anthropic), _) => WireFormat::AnthropicMessages,
            (Some(Self::Gemini), _) => WireFormat::Gemini,
            (Some(Self::Bedrock), _) => WireFormat::BedrockConverse,
            (Some(Self::Cohere), _) => WireFormat::CohereChat,
            (Some(Self::Ollama), _) => WireFormat::Ollama,
            (Some(Self::Xai), _) => WireFormat::XaiChat,
            (
                Some(Self::OpenAi),
                WireFormat::OpenAiResponses
                | WireFormat::OpenAiEmbeddings
                | WireFormat::OpenAiCompletions
                | WireFormat::MistralChat
                | WireFormat::XaiChat,
            ) => route,
            (Some(Self::OpenAi), _) => WireFormat::OpenAiChat,
        }
    }
}

impl Report {
    /// The usage in disjoint classes, of a report in this format.
    pub(super) fn usage(&self, format: WireFormat, fallback: Fallback) -> Usage {
        let doubts = Doubts { incomplete: false, inconsistent: self.has_invalid() };
        let mut usage = match format {
            WireFormat::OpenAiChat
            | WireFormat::OpenAiCompletions
            | WireFormat::OpenAiResponses
            | WireFormat::MistralChat => self.nested(fallback, false, doubts),
            WireFormat::XaiChat => self.nested(fallback, true, doubts),
            WireFormat::OpenAiEmbeddings => self.without_output().nested(fallback, false, doubts),
            WireFormat::AnthropicMessages | WireFormat::BedrockConverse => self.beside(fallback, doubts),
            WireFormat::Gemini => self.gemini(fallback, doubts),
            WireFormat::CohereChat => self.cohere(fallback, doubts),
            WireFormat::CohereEmbed => self.without_output().cohere(fallback, doubts),
            WireFormat::Ollama => self.ollama(fallback, doubts),
            WireFormat::OllamaEmbed => self.without_output().ollama(fallback, doubts),
        };
        usage.searches = self.valid(Field::Searches).unwrap_or(0);
        usage.provider_nano_usd = self.ticks.map(|ticks| ticks.div_ceil(TICKS_PER_NANO));
        usage
    }

    /// What has no output has used none, also where the report does not say so.
    fn without_output(&self) -> Self {
        let output = Count::Valid(0).or_newer(self.get(Field::Output));
        self.with(Field::Output, output)
    }

    fn nested(&self, fallback: Fallback, reasoning_apart: bool, mut doubts: Doubts) -> Usage {
        let (input, output) = self.wholes(fallback, reasoning_apart, &mut doubts);
        let mut usage = Usage::exact();
        let mut rest = Whole { left: input, doubts };
        usage.cache_read = rest.take(self.valid(Field::CacheRead));
        usage.cache_write_5m = rest.take(self.valid(Field::CacheWrite));
        usage.audio_in = rest.take(self.valid(Field::AudioIn));
        usage.image_in = rest.take(self.valid(Field::ImageIn));
        usage.input = Tokens::saturating(rest.left);
        let mut rest = Whole { left: output, doubts: rest.doubts };
        usage.reasoning = rest.take(self.valid(Field::Reasoning));
        usage.audio_out = rest.take(self.valid(Field::AudioOut));
        usage.output = Tokens::saturating(rest.left);
        rest.doubts.note(usage)
    }

    /// Prompt and completion, each with everything that belongs to it.
    fn wholes(&self, fallback: Fallback, reasoning_apart: bool, doubts: &mut Doubts) -> (u64, u64) {
        let total = self.valid(Field::Total);
        let (input, output) = match (self.valid(Field::Input), self.valid(Field::Output)) {
            (Some(input), Some(output)) => (input, output),
            (input, output) => {
                doubts.incomplete = true;
                let remains = |known| total.and_then(|total| total.checked_sub(known));
                let input = input.or_else(|| remains(output?)).unwrap_or(fallback.input);
                (input, output.or_else(|| remains(input)).unwrap_or(fallback.output))
            }
        };
        let beside = self.valid(Field::Reasoning).unwrap_or(0);
        let Some(total) = total else {
            return (input, output + if reasoning_apart { beside } else { 0 });
        };
        if total == input + output + beside {
            return (input, output + beside);
        }
        if total == input + output {
            return (input, output);
        }
        doubts.inconsistent = true;
        let known = if reasoning_apart { output + beside } else { output };
        (input, known.max(total.saturating_sub(input)))
    }

    /// Anthropic's and Bedrock's: the cache is beside the input.
    fn beside(&self, fallback: Fallback, mut doubts: Doubts) -> Usage {
        let (input, output) = (self.valid(Field::Input), self.valid(Field::Output));
        doubts.incomplete |= input.is_none() || output.is_none();
        let (input, output) = (input.unwrap_or(fallback.input), output.unwrap_or(fallback.output));
        let cache_read = self.valid(Field::CacheRead).unwrap_or(0);
        let (short, long) = self.cache_writes(&mut doubts);
        let (plain, all) = (input + output, input + output + cache_read + short + long);
        let total = self.valid(Field::Total).filter(|&total| total != plain && total != all);
        doubts.inconsistent |= total.is_some();
        let mut usage = Usage::exact();
        usage.input = Tokens::saturating(input);
        usage.cache_read = Tokens::saturating(cache_read);
        usage.cache_write_5m = Tokens::saturating(short);
        usage.cache_write_1h = Tokens::saturating(long);
        let hidden = total.unwrap_or(0).saturating_sub(all);
        let mut rest = Whole { left: output + hidden, doubts };
        usage.reasoning = rest.take(self.valid(Field::Reasoning));
        usage.output = Tokens::saturating(rest.left);
        rest.doubts.note(usage)
    }

    /// The cache writes that live five minutes and one hour. A total without a split is all of the first kind.
    fn cache_writes(&self, doubts: &mut Doubts) -> (u64, u64) {
        let short = self.valid(Field::CacheWrite5m).unwrap_or(0);
        let long = self.valid(Field::CacheWrite1h).unwrap_or(0);
        let Some(total) = self.valid(Field::CacheWrite) else {
            return (short, long);
        };
        doubts.inconsistent |= short + long != total && short + long != 0;
        match total.checked_sub(long) {
            Some(rest) => (rest, long),
            None => (total, 0),
        }
    }

    fn gemini(&self, fallback: Fallback, mut doubts: Doubts) -> Usage {
        let (tools, thoughts) = (self.valid(Field::ToolInput).unwrap_or(0), self.valid(Field::Reasoning).unwrap_or(0));
        let total = self.valid(Field::Total);
        let prompt = self.valid(Field::Input).unwrap_or_else(|| {
            doubts.incomplete = true;
            fallback.input
        });
        // A number that is zero is left out, and only the total can tell it from one that is unknown.
        let candidates = self.valid(Field::Output).or_else(|| total?.checked_sub(prompt + tools + thoughts));
        let candidates = candidates.unwrap_or_else(|| {
            doubts.incomplete = true;
            fallback.output.saturating_sub(thoughts)
        });
        let sum = prompt + candidates + tools + thoughts;
        doubts.inconsistent |= total.is_some_and(|total| total != sum);
        let candidates = candidates + total.unwrap_or(0).saturating_sub(sum);
        let mut usage = Usage::exact();
        let mut rest = Whole { left: prompt, doubts };
        usage.cache_read = rest.take(self.valid(Field::CacheRead));
        usage.audio_in = rest.take_but(self.valid(Field::AudioIn), self.valid(Field::CachedAudio));
        usage.image_in = rest.take_but(self.valid(Field::ImageIn), self.valid(Field::CachedImage));
        usage.input = Tokens::saturating(rest.left + tools);
        let mut rest = Whole { left: candidates, doubts: rest.doubts };
        usage.audio_out = rest.take(self.valid(Field::AudioOut));
        usage.output = Tokens::saturating(rest.left);
        usage.reasoning = Tokens::saturating(thoughts);
        rest.doubts.note(usage)
    }

    /// What is billed; what was read and written stands in for it.
    fn cohere(&self, fallback: Fallback, mut doubts: Doubts) -> Usage {
        let mut whole = |billed, unbilled, otherwise| {
            self.valid(billed).unwrap_or_else(|| {
                doubts.incomplete = true;
                self.valid(unbilled).unwrap_or(otherwise)
            })
        };
        let mut usage = Usage::exact();
        usage.input = Tokens::saturating(whole(Field::Input, Field::UnbilledInput, fallback.input));
        usage.output = Tokens::saturating(whole(Field::Output, Field::UnbilledOutput, fallback.output));
        usage.cache_read = Tokens::saturating(self.valid(Field::CacheRead).unwrap_or(0));
        usage.image_in = Tokens::saturating(self.valid(Field::ImageIn).unwrap_or(0));
        doubts.note(usage)
    }

    /// A count that is not there was zero, or of a prompt that was in the cache: it is not known.
    fn ollama(&self, fallback: Fallback, mut doubts: Doubts) -> Usage {
        let (input, output) = (self.valid(Field::Input), self.valid(Field::Output));
        doubts.incomplete = input.is_none() || output.is_none();
        let mut usage = Usage::exact();
        usage.input = Tokens::saturating(input.unwrap_or(fallback.input));
        usage.output = Tokens::saturating(output.unwrap_or(fallback.output));
        doubts.note(usage)
    }
}

impl Doubts {
    const fn note(self, mut usage: Usage) -> Usage {
        usage.inconsistent = self.inconsistent;
        if self.incomplete || self.inconsistent {
            usage.quality = Quality::Estimated;
        }
        usage
    }
}

/// What is left of a whole while its parts are taken out.
struct Whole {
    left: u64,
    doubts: Doubts,
}

impl Whole {
    fn take(&mut self, part: Option<u64>) -> Tokens {
        let part = part.unwrap_or(0);
        match self.left.checked_sub(part) {
            Some(left) => {
                self.left = left;
                Tokens::saturating(part)
            }
            None => {
                self.doubts.inconsistent = true;
                Tokens::ZERO
            }
        }
    }

    /// Takes a part of which some is in another part already.
    fn take_but(&mut self, part: Option<u64>, elsewhere: Option<u64>) -> Tokens {
        let (part, elsewhere) = (part.unwrap_or(0), elsewhere.unwrap_or(0));
        self.doubts.inconsistent |= elsewhere > part;
        self.take(Some(part.saturating_sub(elsewhere)))
    }
}
