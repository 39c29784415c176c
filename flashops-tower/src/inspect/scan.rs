//! The one pass over a request body.

use std::ops::Range;

use flashops_core::usage::{ServiceTier, Surcharges};

use super::caps::{CapField, Caps, whole_number};
use super::holder::{Held, Holder};
use super::media::Naming;
use super::parts::Parts;
use super::request::MAX_MODEL_NAME;
use super::searches::{Searches, Uses};
use super::{InspectError, WireFormat, spelling};
use crate::json::{Cursor, Fault, Text};
use crate::tariff::{self, GEO, SPEED};

const KEYS: [&str; 20] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "thinking",
    "n",
    "best_of",
    "messages",
    "input",
    "system",
    "instructions",
    "tools",
    "previous_response_id",
    "conversation",
    "prompt",
    "budget_tokens",
    "include_usage",
    "service_tier",
];

/// Why the pass stops.
#[derive(Debug)]
pub(super) enum Stop {
    Json(Fault),
    Request(InspectError),
}

/// What the pass found.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) model: Option<Model>,
    /// The place of a model that is null.
    pub(super) null_model: Option<Range<usize>>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: StreamOptions,
    pub(super) caps: Caps,
    /// The object in which this format has its output cap.
    pub(super) held: Held,
    pub(super) choices: Option<u64>,
    /// Prompts of an older completion request, each of which is answered.
    pub(super) prompts: u64,
    pub(super) parts: Parts,
    pub(super) tools: Tools,
    pub(super) searches: Searches,
    pub(super) service_tier: ServiceTier,
    pub(super) surcharges: Surcharges,
    pub(super) members: Insert,
}

/// A model's name.
#[derive(Clone, Debug)]
pub(super) enum Model {
    /// As it stands in the body.
    Span(Range<usize>),
    /// It is written with escapes, in this place.
    Decoded(Range<usize>, Box<str>),
}

/// The tools that a request offers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tools {
    pub(super) all: u64,
    /// Tools that the provider runs itself.
    pub(super) hosted: u64,
}

/// The member `stream_options`.
#[derive(Clone, Debug, Default)]
pub(super) enum StreamOptions {
    #[default]
    Absent,
    Null(Range<usize>),
    Object {
        members: Insert,
        include_usage: Option<(Range<usize>, Option<bool>)>,
    },
}

/// Where a further member of an object can be written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Insert {
    /// Behind the last member, or behind the brace of an empty object.
    pub(super) at: usize,
    pub(super) is_first: bool,
}

impl Scan {
    pub(super) fn body(format: WireFormat, body: &[u8]) -> Result<Self, Stop> {
        if let Err(error) = std::str::from_utf8(body) {
            let at = error.valid_up_to();
            return Err(Stop::Json(Fault { at, what: "the text is not UTF-8" }));
        }
        let mut scan = Self::default();
        scan.parts.naming = Naming::of(format);
        let mut cursor = Cursor::new(body);
        if cursor.peek()? != b'{' {
            cursor.skip()?;
            cursor.end()?;
            return Err(InspectError::NotAnObject.into());
        }
        let mut members = Insert::behind_brace(&cursor);
        cursor.object::<Stop>(|cursor, key| {
            spelling::check(key)?;
            if !scan.member_of(format, cursor, key)? {
                scan.member(cursor, key)?;
            }
            members = Insert::behind_member(cursor);
            Ok(())
        })?;
        cursor.end()?;
        scan.members = members;
        Ok(scan)
    }

    /// Reads a member that means something in this format only; says whether it was one.
    fn member_of(&mut self, format: WireFormat, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<bool, Stop> {
        let is = |names: &[&str]| names.iter().any(|name| key.is(name));
        match format {
            _ if Holder::of(format).is_some_and(|holder| holder.is(key)) => {
                let holder = Holder::of(format).expect("it was found above");
                self.holder(cursor, holder)?;
            }
            WireFormat::OpenAiCompletions if is(&["prompt"]) => self.prompts(cursor)?,
            WireFormat::Gemini if is(&["contents", "systemInstruction", "system_instruction"]) => {
                self.parts.read(cursor)?;
            }
            WireFormat::Gemini if is(&["cachedContent", "cached_content"]) => self.reference(cursor)?,
            WireFormat::Gemini if is(&["tools"]) => {
                self.named_tools(cursor, &["functionDeclarations", "function_declarations"])?;
            }
            WireFormat::Gemini | WireFormat::BedrockConverse if is(&["serviceTier"]) => self.service_tier(cursor)?,
            WireFormat::BedrockConverse if is(&["toolConfig"]) => self.tool_config(cursor)?,
            WireFormat::BedrockConverse if is(&["additionalModelRequestFields"]) => self.additional_fields(cursor)?,
            WireFormat::XaiChat if is(&["search_parameters"]) => self.live_search(cursor)?,
            WireFormat::OpenAiChat if is(&["web_search_options"]) => self.web_search_options(cursor)?,
            WireFormat::OpenAiResponses if is(&["max_tool_calls"]) => self.max_tool_calls(cursor)?,
            WireFormat::OpenAiResponses if is(&["background"]) => unmetered(cursor, "background")?,
            WireFormat::AnthropicMessages if is(&[SPEED, GEO]) => self.surcharge(cursor, key)?,
            WireFormat::AnthropicMessages if is(&["fallbacks"]) => unmetered(cursor, "fallbacks")?,
            WireFormat::CohereEmbed if is(&["inputs"]) => self.parts.read(cursor)?,
            WireFormat::CohereEmbed | WireFormat::Ollama if is(&["images"]) => {
                self.parts.named(cursor, key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Stop> {
        match key.among(&KEYS) {
            b"model" => self.model(cursor)?,
            b"stream" => once(&mut self.stream, flag(cursor, "stream")?, "stream")?,
            b"stream_options" => self.stream_options(cursor)?,
            b"max_tokens" => self.caps.read(cursor, CapField::MaxTokens)?,
            b"max_completion_tokens" => self.caps.read(cursor, CapField::MaxCompletionTokens)?,
            b"max_output_tokens" => self.caps.read(cursor, CapField::MaxOutputTokens)?,
            b"thinking" => self.thinking(cursor)?,
            b"n" => self.choices(cursor, "n")?,
            b"best_of" => self.choices(cursor, "best_of")?,
            b"messages" | b"input" | b"system" | b"instructions" => self.parts.read(cursor)?,
            b"tools" => self.tools(cursor)?,
            b"service_tier" => self.service_tier(cursor)?,
            b"previous_response_id" | b"conversation" => self.reference(cursor)?,
            // As a string it is the text of an older completion request, as an object it names a stored prompt.
            b"prompt" if cursor.peek()? == b'{' => self.reference(cursor)?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn model(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        // Of two, who knows which one is followed; and of null and a name, too.
        if self.model.is_some() || self.null_model.is_some() {
            return Err(InspectError::Repeated { field: "model" }.into());
        }
        let start = cursor.position() + 1;
        let Some(name) = string(cursor, "model", "a string")? else {
            self.null_model = Some(start - 1..cursor.position());
            return Ok(());
        };
        let end = start + name.raw().len();
        let decoded = name.decode().ok_or(InspectError::WrongType { field: "model", expected: "a Unicode string" })?;
        if decoded.len() > MAX_MODEL_NAME {
            return Err(InspectError::ModelTooLong.into());
        }
        let model = match decoded {
            std::borrow::Cow::Borrowed(_) => Model::Span(start..end),
            std::borrow::Cow::Owned(name) => Model::Decoded(start..end, name.into()),
        };
        self.model = Some(model);
        Ok(())
    }

    pub(super) fn thinking(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' {
            return Ok(cursor.skip()?);
        }
        cursor.object(|cursor, key| {
            spelling::check(key)?;
            match key.among(&KEYS) {
                b"budget_tokens" => self.caps.read(cursor, CapField::ThinkingBudget),
                _ => Ok(cursor.skip()?),
            }
        })
    }

    pub(super) fn choices(&mut self, cursor: &mut Cursor<'_>, field: &'static str) -> Result<(), Stop> {
        match whole_number(cursor, field)? {
            Some(0) => Err(InspectError::BadNumber { field, what: "is zero" }.into()),
            number => {
                self.choices = self.choices.max(number);
                Ok(())
            }
        }
    }

    fn tools(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'[' {
            return Ok(cursor.skip()?);
        }
        let (tools, searches) = (&mut self.tools, &mut self.searches);
        cursor.array::<Stop>(|cursor| {
            tools.all += 1;
            if cursor.peek()? != b'{' {
                return Ok(cursor.skip()?);
            }
            let (mut uses, mut is_search) = (Uses::default(), false);
            cursor.object::<Stop>(|cursor, key| {
                spelling::check(key)?;
                if key.is("max_uses") {
                    return Ok(uses.read(cursor)?);
                }
                if !key.is("type") || cursor.peek()? != b'"' {
                    return Ok(cursor.skip()?);
                }
                let kind = cursor.string()?;
                tools.hosted += u64::from(!kind.is("function") && !kind.is("custom"));
                is_search |= Searches::is_search(kind);
                Ok(())
            })?;
            if is_search {
                searches.add(uses.get());
            }
            Ok(())
        })
    }

    /// Of several the dearest counts, since a provider may follow any of them.
    fn service_tier(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let tier = tariff::read(cursor)?.unwrap_or_default();
        self.service_tier = self.service_tier.max(tier);
        Ok(())
    }

    /// Of several the dearest counts. A value that nobody knows could have any price.
    fn surcharge(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Stop> {
        let (field, of) =
            if key.is(SPEED) { (SPEED, &mut self.surcharges.fast) } else { (GEO, &mut self.surcharges.us_only) };
        if cursor.peek()? == b'n' {
            return Ok(cursor.skip()?);
        }
        match tariff::surcharge(cursor, field)? {
            Some(applies) => *of = Some(applies || *of == Some(true)),
            None => return Err(InspectError::Unpriced { field }.into()),
        }
        Ok(())
    }

    /// The tools of a format that names their kind by a key: those of other names are run by the provider.
    fn named_tools(&mut self, cursor: &mut Cursor<'_>, own: &[&str]) -> Result<(), Stop> {
        if cursor.peek()? != b'[' {
            return Ok(cursor.skip()?);
        }
        let (tools, searches) = (&mut self.tools, &mut self.searches);
        Ok(cursor.array::<Fault>(|cursor| {
            tools.all += 1;
            if cursor.peek()? != b'{' {
                return cursor.skip();
            }
            cursor.object(|cursor, key| {
                tools.hosted += u64::from(!own.iter().any(|name| key.is(name)));
                if Searches::is_grounding(key) {
                    searches.add(None);
                }
                cursor.skip()
            })
        })?)
    }

    fn tool_config(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'{' {
            return Ok(cursor.skip()?);
        }
        cursor.object(|cursor, key| match key.is("tools") {
            true => self.named_tools(cursor, &["toolSpec", "cachePoint"]),
            false => Ok(cursor.skip()?),
        })
    }

    /// A list of texts, or of lists of tokens, is as many prompts; a list of tokens is one.
    fn prompts(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.peek()? != b'[' {
            return Ok(cursor.skip()?);
        }
        let mut prompts = 0;
        cursor.array::<Fault>(|cursor| {
            prompts += u64::from(matches!(cursor.peek()?, b'"' | b'['));
            cursor.skip()
        })?;
        self.prompts = self.prompts.max(prompts);
        Ok(())
    }

    fn reference(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.parts.references += u64::from(cursor.peek()? != b'n');
        Ok(cursor.skip()?)
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let field = "stream_options";
        if !matches!(self.stream_options, StreamOptions::Absent) {
            return Err(InspectError::Repeated { field }.into());
        }
        let start = cursor.position();
        self.stream_options = match cursor.peek()? {
            b'{' => StreamOptions::read(cursor)?,
            b'n' => {
                cursor.skip()?;
                StreamOptions::Null(start..cursor.position())
            }
            _ => {
                let expected = "an object";
                return Err(InspectError::WrongType { field, expected }.into());
            }
        };
        Ok(())
    }
}

impl StreamOptions {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        let field = "stream_options.include_usage";
        let (mut members, mut include_usage) = (Insert::behind_brace(cursor), None);
        cursor.object::<Stop>(|cursor, key| {
            spelling::check(key)?;
            let start = cursor.position();
            if key.is("include_usage") {
                let value = flag(cursor, field)?;
                once(&mut include_usage, Some((start..cursor.position(), value)), field)?;
            } else {
                cursor.skip()?;
            }
            members = Insert::behind_member(cursor);
            Ok(())
        })?;
        Ok(Self::Object { members, include_usage })
    }
}

impl Insert {
    /// The cursor is at the brace.
    pub(super) const fn behind_brace(cursor: &Cursor<'_>) -> Self {
        Self { at: cursor.position() + 1, is_first: true }
    }

    /// The cursor is behind the value of a member.
    pub(super) const fn behind_member(cursor: &Cursor<'_>) -> Self {
        Self { at: cursor.position(), is_first: false }
    }
}

impl Stop {
    pub(super) fn into_error(self, body: &[u8]) -> InspectError {
        match self {
            Self::Json(fault) => InspectError::invalid(body, fault),
            Self::Request(error) => error,
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Json(fault)
    }
}

impl From<InspectError> for Stop {
    fn from(error: InspectError) -> Self {
        Self::Request(error)
    }
}

/// A member that lets the provider answer later, or by another model and cap, which no reservation covers.
fn unmetered(cursor: &mut Cursor<'_>, field: &'static str) -> Result<(), Stop> {
    if matches!(cursor.peek()?, b'n' | b'f') {
        return Ok(cursor.skip()?);
    }
    Err(InspectError::Unmetered { field }.into())
}

/// Reads true, false or null.
fn flag(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Option<bool>, Stop> {
    let value = match cursor.peek()? {
        b't' => Some(true),
        b'f' => Some(false),
        b'n' => None,
        _ => {
            let expected = "true or false";
            return Err(InspectError::WrongType { field, expected }.into());
        }
    };
    cursor.skip()?;
    Ok(value)
}

/// Reads a string or null.
fn string<'a>(cursor: &mut Cursor<'a>, field: &'static str, expected: &'static str) -> Result<Option<Text<'a>>, Stop> {
    match cursor.peek()? {
        b'"' => Ok(Some(cursor.string()?)),
        b'n' => {
            cursor.skip()?;
            Ok(None)
        }
        _ => Err(InspectError::WrongType { field, expected }.into()),
    }
}

/// Fills a slot that may be filled only once; null does not fill it.
fn once<T>(slot: &mut Option<T>, value: Option<T>, field: &'static str) -> Result<(), Stop> {
    match value {
        Some(_) if slot.is_some() => Err(InspectError::Repeated { field }.into()),
        Some(_) => {
            *slot = value;
            Ok(())
        }
        None => Ok(()),
    }
}
