//! The output caps that a request declares, and where.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::scan::Stop;
use super::{InspectError, WireFormat};
use crate::json::Cursor;

/// The largest number that a request may declare, of tokens or of choices.
pub const MAX_DECLARED: u64 = 1_000_000_000;

/// The most caps in one request: each of the fields of a format once, and some that are there twice.
const MAX_CAPS: usize = 8;

/// A field that caps the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CapField {
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    ThinkingBudget,
    GenerationConfig,
    InferenceConfig,
    AdditionalFields,
    NumPredict,
}

/// One declaration of a cap.
#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub(super) field: CapField,
    /// `None` is null.
    pub(super) value: Option<u64>,
    /// Where the value stands in the body.
    pub(super) span: Range<usize>,
}

/// All caps of a request, in the order of the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Caps(ArrayVec<Cap, MAX_CAPS>);

impl CapField {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::ThinkingBudget => "thinking.budget_tokens",
            Self::GenerationConfig => "generationConfig.maxOutputTokens",
            Self::InferenceConfig => "inferenceConfig.maxTokens",
            Self::AdditionalFields => "additionalModelRequestFields.max_tokens",
            Self::NumPredict => "options.num_predict",
        }
    }

    /// Whether a provider of this format caps the whole output by this field.
    pub(super) const fn binds(self, format: WireFormat) -> bool {
        use WireFormat::{
            AnthropicMessages, BedrockConverse, CohereChat, Gemini, MistralChat, Ollama, OpenAiChat, OpenAiCompletions,
            OpenAiResponses, XaiChat,
        };
        match self {
            Self::MaxTokens => matches!(
                format,
                OpenAiChat | OpenAiCompletions | AnthropicMessages | MistralChat | XaiChat | CohereChat
            ),
            Self::MaxCompletionTokens => matches!(format, OpenAiChat | XaiChat),
            Self::MaxOutputTokens => matches!(format, OpenAiResponses),
            Self::GenerationConfig => matches!(format, Gemini),
            Self::InferenceConfig => matches!(format, BedrockConverse),
            Self::NumPredict => matches!(format, Ollama),
            Self::ThinkingBudget | Self::AdditionalFields => false,
        }
    }

    /// The field to write at the top of a request that declares none.
    pub(super) fn of(format: WireFormat, model: Option<&str>) -> Option<Self> {
        match format {
            WireFormat::XaiChat => Some(Self::MaxCompletionTokens),
            WireFormat::OpenAiChat if model.is_some_and(reasons) => Some(Self::MaxCompletionTokens),
            WireFormat::OpenAiResponses => Some(Self::MaxOutputTokens),
            _ => Some(Self::MaxTokens).filter(|field| field.binds(format)),
        }
    }
}

impl Caps {
    /// Reads the value of a cap.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, field: CapField) -> Result<(), Stop> {
        let start = cursor.position();
        let value = match field {
            // To Ollama, a negative number is no cap.
            CapField::NumPredict if cursor.peek()? == b'-' => {
                cursor.skip()?;
                None
            }
            _ => whole_number(cursor, field.name())?,
        };
        let cap = Cap { field, value, span: start..cursor.position() };
        let repeated = InspectError::Repeated { field: field.name() };
        self.0.try_push(cap).map_err(|_| repeated.into())
    }

    pub(super) fn largest(&self) -> Option<u64> {
        self.0.iter().filter_map(|cap| cap.value).max()
    }

    /// Whether the output is capped for certain: by a field that this format follows, and that is not null elsewhere.
    pub(super) fn bind(&self, format: WireFormat) -> bool {
        let number = |cap: &Cap| cap.field.binds(format) && cap.value.is_some();
        self.0.iter().any(number) && !self.0.iter().any(|cap| cap.value.is_none() && self.lifted_by(cap, format))
    }

    /// Whether this cap, which is null, leaves the output without any: no field of another name caps it. One of the
    /// same name does not help, since the null may be the one that is followed.
    pub(super) fn lifted_by(&self, null: &Cap, format: WireFormat) -> bool {
        let mut others = self.0.iter().filter(|cap| cap.field != null.field);
        null.field.binds(format) && !others.any(|cap| cap.field.binds(format) && cap.value.is_some())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Cap> {
        self.0.iter()
    }
}

/// Reads a whole number or null.
pub(super) fn whole_number(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Option<u64>, Stop> {
    let first = cursor.peek()?;
    if first == b'n' {
        cursor.skip()?;
        return Ok(None);
    }
    if first != b'-' && !first.is_ascii_digit() {
        let expected = "a whole number";
        return Err(InspectError::WrongType { field, expected }.into());
    }
    let number = cursor.number()?;
    let bad = |what| InspectError::BadNumber { field, what }.into();
    if first == b'-' {
        return Err(bad("is negative"));
    }
    if !number.iter().all(u8::is_ascii_digit) {
        return Err(bad("has a fraction or an exponent"));
    }
    let digits = std::str::from_utf8(number).unwrap_or_default();
    match digits.parse() {
        Ok(value) if value <= MAX_DECLARED => Ok(Some(value)),
        _ => Err(bad("is too large")),
    }
}

/// Whether the model refuses `max_tokens` and wants `max_completion_tokens`. A provider's prefix is not looked at.
fn reasons(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = name.strip_prefix("gpt-").and_then(|rest| rest.split(['.', '-']).next()?.parse::<u8>().ok());
    // `gpt-35-turbo` is how Azure spells 3.5.
    ["o1", "o3", "o4"].iter().any(|start| name.starts_with(start)) || version.is_some_and(|n| (5..35).contains(&n))
}
