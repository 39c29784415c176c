//! A usage object as the provider wrote it.
//!
//! The names differ, the numbers mean the same or nearly so. Which provider's names they are is remembered: where a
//! route says nothing better, the names say how the numbers are nested.

use flashops_core::usage::{ServiceTier, Surcharges};

use super::count::Count;
use super::others::Others;
use crate::json::{Cursor, Fault, Text};
use crate::tariff::{self, GEO, SPEED};

/// The numbers of a usage object, whichever provider's names they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    counts: [Count; Field::COUNT],
    /// What the call cost by the provider's account, in ticks: 10¹⁰ are one US dollar.
    pub(super) ticks: Option<u64>,
    pub(super) tariff: Option<ServiceTier>,
    pub(super) surcharges: Surcharges,
    pub(super) shape: Option<Shape>,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    AudioIn,
    ImageIn,
    Reasoning,
    AudioOut,
    Searches,
    /// Input that tools brought in, beside the prompt.
    ToolInput,
    /// What of the cached input is sound.
    CachedAudio,
    /// What of the cached input is images.
    CachedImage,
    /// Input that was read, billed or not.
    UnbilledInput,
    /// Output that was written, billed or not.
    UnbilledOutput,
}

/// Whose names a usage object has. Where it has those of two, the later one here counts: servers that speak `OpenAI`'s
/// format add names of others to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
    Ollama,
    OpenAi,
    Xai,
}

/// The most ticks that are believed of a provider: a million dollars.
const MAX_TICKS: u64 = 10_000_000_000_000_000;

impl Field {
    const COUNT: usize = 17;

    /// The field and the shape of a name at the top of a usage object.
    fn of(name: &[u8]) -> Option<(Self, Option<Shape>)> {
        Some(match name {
            b"prompt_tokens" => (Self::Input, Some(Shape::OpenAi)),
            b"completion_tokens" => (Self::Output, Some(Shape::OpenAi)),
            b"input_tokens" => (Self::Input, None),
            b"output_tokens" => (Self::Output, None),
            b"total_tokens" => (Self::Total, None),
            b"cache_read_input_tokens" => (Self::CacheRead, Some(Shape::Anthropic)),
            b"cache_creation_input_tokens" => (Self::CacheWrite, Some(Shape::Anthropic)),
            b"promptTokenCount" => (Self::Input, Some(Shape::Gemini)),
            b"candidatesTokenCount" | b"responseTokenCount" => (Self::Output, Some(Shape::Gemini)),
            b"totalTokenCount" => (Self::Total, Some(Shape::Gemini)),
            b"cachedContentTokenCount" => (Self::CacheRead, Some(Shape::Gemini)),
            b"thoughtsTokenCount" => (Self::Reasoning, Some(Shape::Gemini)),
            b"toolUsePromptTokenCount" => (Self::ToolInput, Some(Shape::Gemini)),
            b"inputTokens" => (Self::Input, Some(Shape::Bedrock)),
            b"outputTokens" => (Self::Output, Some(Shape::Bedrock)),
            b"totalTokens" => (Self::Total, Some(Shape::Bedrock)),
            b"cacheReadInputTokens" => (Self::CacheRead, Some(Shape::Bedrock)),
            b"cacheWriteInputTokens" => (Self::CacheWrite, Some(Shape::Bedrock)),
            b"prompt_eval_count" => (Self::Input, Some(Shape::Ollama)),
            b"eval_count" => (Self::Output, Some(Shape::Ollama)),
            b"num_sources_used" => (Self::Searches, Some(Shape::Xai)),
            _ => return None,
        })
    }

    /// The field of a name inside one of the objects of a usage object.
    fn of_part(whole: &[u8], part: &[u8]) -> Option<Self> {
        let of_input = matches!(whole, b"prompt_tokens_details" | b"input_tokens_details");
        Some(match (whole, part) {
            (_, b"cached_tokens") if of_input => Self::CacheRead,
            (_, b"cache_write_tokens") if of_input => Self::CacheWrite,
            (_, b"audio_tokens") if of_input => Self::AudioIn,
            (_, b"image_tokens") if of_input => Self::ImageIn,
            (b"billed_units", b"input_tokens") => Self::Input,
            (b"billed_units", b"output_tokens") => Self::Output,
            (b"billed_units", b"image_tokens") => Self::ImageIn,
            (b"billed_units", b"search_units") => Self::Searches,
            (b"tokens", b"input_tokens") => Self::UnbilledInput,
            (b"tokens", b"output_tokens") => Self::UnbilledOutput,
            (b"billed_units" | b"tokens", _) => return None,
            (_, b"audio_tokens") => Self::AudioOut,
            (_, b"reasoning_tokens" | b"thinking_tokens") => Self::Reasoning,
            (_, b"ephemeral_5m_input_tokens") => Self::CacheWrite5m,
            (_, b"ephemeral_1h_input_tokens") => Self::CacheWrite1h,
            (_, b"web_search_requests") => Self::Searches,
            _ => return None,
        })
    }

    /// The field of a modality in one of Gemini's lists.
    fn of_modality(list: &[u8], modality: &[u8]) -> Option<Self> {
        Some(match (list, modality) {
            (b"promptTokensDetails", b"AUDIO") => Self::AudioIn,
            (b"promptTokensDetails", b"IMAGE") => Self::ImageIn,
            (b"cacheTokensDetails", b"AUDIO") => Self::CachedAudio,
            (b"cacheTokensDetails", b"IMAGE") => Self::CachedImage,
            (b"candidatesTokensDetails" | b"responseTokensDetails", b"AUDIO") => Self::AudioOut,
            _ => return None,
        })
    }
}

impl Report {
    /// Reads a usage object, and what of it other models had; another value is a report without numbers.
    pub(super) fn read(cursor: &mut Cursor<'_>, others: &mut Others) -> Result<Self, Fault> {
        let (mut report, mut attempts) = (Self::default(), None::<Self>);
        if cursor.peek()? != b'{' {
            cursor.skip()?;
            return Ok(report);
        }
        cursor.object(|cursor, key| match key.raw() {
            b"iterations" if cursor.peek()? == b'[' => cursor.array(|cursor| {
                let one = others.iteration(cursor)?;
                let sum = attempts.get_or_insert_default();
                *sum = sum.plus(&one);
                Ok(())
            }),
            _ => report.member(cursor, key),
        })?;
        // Anthropic bills what its iterations sum up to, and shows only a part of it at the top.
        Ok(attempts.map_or(report, |sum| report.or_newer(&sum)))
    }

    /// The sum of two reports.
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.each(other, Count::plus)
    }

    pub(super) const fn get(&self, field: Field) -> Count {
        self.counts[field as usize]
    }

    /// A number that was reported and can be used.
    pub(super) const fn valid(&self, field: Field) -> Option<u64> {
        self.get(field).valid()
    }

    /// The same report, but for one number.
    pub(super) const fn with(mut self, field: Field, count: Count) -> Self {
        self.counts[field as usize] = count;
        self
    }

    /// Whether any whole was reported, so that the usage is not absent.
    pub(super) fn has_a_whole(&self) -> bool {
        let wholes = [Field::Input, Field::Output, Field::Total, Field::UnbilledInput, Field::UnbilledOutput];
        wholes.iter().any(|&field| self.valid(field).is_some())
    }

    pub(super) fn has_invalid(&self) -> bool {
        self.counts.contains(&Count::Invalid)
    }

    /// Field by field what a later report says, where it says something.
    pub(super) fn or_newer(&self, newer: &Self) -> Self {
        self.each(newer, Count::or_newer)
    }

    /// Reads one member of a usage object.
    pub(super) fn member(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Fault> {
        let first = cursor.peek()?;
        if let Some((field, shape)) = Field::of(key.raw()) {
            self.counts[field as usize] = Count::read(cursor)?;
            self.shape = self.shape.max(shape);
            return Ok(());
        }
        match (key.raw(), first) {
            (b"prompt_tokens_details" | b"input_tokens_details", b'{') => {
                self.shape = self.shape.max(Some(Shape::OpenAi));
                self.parts(cursor, key)
            }
            (
                b"completion_tokens_details" | b"output_tokens_details" | b"cache_creation" | b"server_tool_use",
                b'{',
            ) => self.parts(cursor, key),
            (b"server_side_tool_usage_details", b'{') => self.tool_usage(cursor),
            (b"billed_units" | b"tokens", b'{') => {
                self.shape = self.shape.max(Some(Shape::Cohere));
                self.parts(cursor, key)
            }
            (b"cached_tokens", _) => {
                self.counts[Field::CacheRead as usize] = Count::read_decimal(cursor)?;
                Ok(())
            }
            (b"cacheDetails", b'[') => cursor.array(|cursor| self.cache_detail(cursor)),
            (
                b"promptTokensDetails" | b"cacheTokensDetails" | b"candidatesTokensDetails" | b"responseTokensDetails",
                b'[',
            ) => cursor.array(|cursor| self.modality(cursor, key)),
            (b"service_tier" | b"serviceTier" | b"trafficType", _) => {
                self.tariff = tariff::read(cursor)?.or(self.tariff);
                Ok(())
            }
            (b"speed", b'"') => {
                self.surcharges.fast = tariff::surcharge(cursor, SPEED)?.or(self.surcharges.fast);
                Ok(())
            }
            (b"inference_geo", b'"') => {
                self.surcharges.us_only = tariff::surcharge(cursor, GEO)?.or(self.surcharges.us_only);
                Ok(())
            }
            (b"cost_in_usd_ticks", b'0'..=b'9') => {
                let ticks = std::str::from_utf8(cursor.number()?).unwrap_or_default().parse();
                self.ticks = ticks.ok().filter(|&ticks| ticks <= MAX_TICKS);
                self.shape = Some(Shape::Xai);
                Ok(())
            }
            _ => cursor.skip(),
        }
    }

    fn parts(&mut self, cursor: &mut Cursor<'_>, whole: Text<'_>) -> Result<(), Fault> {
        let decimal = matches!(whole.raw(), b"billed_units" | b"tokens");
        cursor.object(|cursor, part| {
            let Some(field) = Field::of_part(whole.raw(), part.raw()) else {
                return cursor.skip();
            };
            self.counts[field as usize] = match decimal {
                true => Count::read_decimal(cursor)?,
                false => Count::read(cursor)?,
            };
            Ok(())
        })
    }

    /// How often xAI called each of its tools; of those that search, all together.
    fn tool_usage(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object(|cursor, tool| match tool.raw() {
            b"web_search_calls" | b"x_search_calls" => {
                let calls = Count::read(cursor)?;
                self.counts[Field::Searches as usize] = self.get(Field::Searches).plus(calls);
                Ok(())
            }
            _ => cursor.skip(),
        })
    }

    /// One of Gemini's `{"modality", "tokenCount"}`.
    fn modality(&mut self, cursor: &mut Cursor<'_>, list: Text<'_>) -> Result<(), Fault> {
        let (mut field, mut count) = (None, Count::Missing);
        named_count(
            cursor,
            b"modality",
            b"tokenCount",
            |name| field = Field::of_modality(list.raw(), name),
            &mut count,
        )?;
        if let Some(field) = field {
            self.counts[field as usize] = self.get(field).plus(count);
        }
        Ok(())
    }

    /// One of Bedrock's `{"ttl", "inputTokens"}`.
    fn cache_detail(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let (mut field, mut count) = (Field::CacheWrite5m, Count::Missing);
        let mut named = |ttl: &[u8]| {
            if ttl == b"1h" {
                field = Field::CacheWrite1h;
            }
        };
        named_count(cursor, b"ttl", b"inputTokens", &mut named, &mut count)?;
        self.counts[field as usize] = self.get(field).plus(count);
        Ok(())
    }

    fn each(&self, other: &Self, with: impl Fn(Count, Count) -> Count) -> Self {
        Self {
            counts: std::array::from_fn(|field| with(self.counts[field], other.counts[field])),
            ticks: other.ticks.or(self.ticks),
            tariff: other.tariff.or(self.tariff),
            surcharges: other.surcharges.or(self.surcharges),
            shape: self.shape.max(other.shape),
        }
    }
}

/// Reads an object with a name and a number.
fn named_count(
    cursor: &mut Cursor<'_>,
    name_key: &[u8],
    count_key: &[u8],
    mut named: impl FnMut(&[u8]),
    count: &mut Count,
) -> Result<(), Fault> {
    if cursor.peek()? != b'{' {
        return cursor.skip();
    }
    cursor.object(|cursor, key| {
        if key.raw() == name_key && cursor.peek()? == b'"' {
            named(cursor.string()?.raw());
        } else if key.raw() == count_key {
            *count = Count::read(cursor)?;
        } else {
            cursor.skip()?;
        }
        Ok(())
    })
}
