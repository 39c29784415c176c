//! The objects inside of which some formats have their output cap.

use std::ops::Range;

use super::caps::CapField;
use super::scan::{Insert, Scan, Stop};
use super::{InspectError, WireFormat, spelling};
use crate::json::{Cursor, Text};

/// Such an object, by its names. Gemini takes two for everything.
#[derive(Debug)]
pub(super) struct Holder {
    names: &'static [&'static str],
    cap: CapField,
    cap_names: &'static [&'static str],
    choices: &'static [&'static str],
}

/// Where the object stands in a request.
#[derive(Clone, Debug, Default)]
pub(super) enum Held {
    #[default]
    Absent,
    Null(Range<usize>),
    Object(Insert),
}

const GEMINI: Holder = Holder {
    names: &["generationConfig", "generation_config"],
    cap: CapField::GenerationConfig,
    cap_names: &["maxOutputTokens", "max_output_tokens"],
    choices: &["candidateCount", "candidate_count"],
};

const BEDROCK: Holder =
    Holder { names: &["inferenceConfig"], cap: CapField::InferenceConfig, cap_names: &["maxTokens"], choices: &[] };

const OLLAMA: Holder =
    Holder { names: &["options"], cap: CapField::NumPredict, cap_names: &["num_predict"], choices: &[] };

impl Holder {
    pub(super) const fn of(format: WireFormat) -> Option<&'static Self> {
        match format {
            WireFormat::Gemini => Some(&GEMINI),
            WireFormat::BedrockConverse => Some(&BEDROCK),
            WireFormat::Ollama => Some(&OLLAMA),
            _ => None,
        }
    }

    /// Whether a member of the request is this object.
    pub(super) fn is(&self, key: Text<'_>) -> bool {
        self.names.iter().any(|name| key.is(name))
    }

    /// The piece of a request that declares this cap, where it declares none.
    pub(super) fn declare(&self, held: &Held, members: Insert, most: u64) -> (Range<usize>, String) {
        let cap = self.cap_names[0];
        let object = || format!("{{\"{cap}\":{most}}}");
        match held {
            Held::Absent => members.member(self.names[0], &object()),
            Held::Null(span) => (span.clone(), object()),
            Held::Object(inside) => inside.member(cap, &most.to_string()),
        }
    }
}

impl Scan {
    /// Reads the object.
    pub(super) fn holder(&mut self, cursor: &mut Cursor<'_>, holder: &Holder) -> Result<(), Stop> {
        let field = holder.names[0];
        if !matches!(self.held, Held::Absent) {
            return Err(InspectError::Repeated { field }.into());
        }
        let start = cursor.position();
        match cursor.peek()? {
            b'{' => {}
            b'n' => {
                cursor.skip()?;
                self.held = Held::Null(start..cursor.position());
                return Ok(());
            }
            _ => return Err(InspectError::WrongType { field, expected: "an object" }.into()),
        }
        let mut inside = Insert::behind_brace(cursor);
        cursor.object::<Stop>(|cursor, key| {
            spelling::check(key)?;
            if holder.cap_names.iter().any(|name| key.is(name)) {
                self.caps.read(cursor, holder.cap)?;
            } else if holder.choices.iter().any(|name| key.is(name)) {
                self.choices(cursor, holder.choices[0])?;
            } else {
                cursor.skip()?;
            }
            inside = Insert::behind_member(cursor);
            Ok(())
        })?;
        self.held = Held::Object(inside);
        Ok(())
    }

    /// What Bedrock hands on to the model as it is: there, a cap can have any of the names that models give it.
    pub(super) fn additional_fields(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        const CAPS: [&str; 6] =
            ["max_tokens", "max_tokens_to_sample", "max_gen_len", "max_new_tokens", "maxTokens", "maxTokenCount"];
        if cursor.peek()? != b'{' {
            return Ok(cursor.skip()?);
        }
        cursor.object(|cursor, key| {
            spelling::check(key)?;
            if CAPS.iter().any(|name| key.is(name)) {
                self.caps.read(cursor, CapField::AdditionalFields)
            } else if key.is("thinking") {
                self.thinking(cursor)
            } else {
                Ok(cursor.skip()?)
            }
        })
    }
}
