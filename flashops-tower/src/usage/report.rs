//! A usage object as the provider wrote it, and what it means in disjoint classes.
//!
//! `OpenAI` nests: cached, audio and image tokens are inside the prompt, reasoning is inside the completion. Anthropic
//! adds: both cache numbers are beside the input. The readers subtract, and nothing is counted twice.
//!
//! Edge cases: a part larger than what is left of its whole stays in the whole. A server whose `total_tokens` shows
//! that reasoning is outside the completion gets it added. A total above prompt and completion hides output that was
//! not itemised, and is believed.

use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};

use super::count::Count;
use crate::inspect::WireFormat;
use crate::json::{Cursor, Fault, Text};

/// The numbers of a usage object, whichever provider's names they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    input: Count,
    output: Count,
    total: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_5m: Count,
    cache_write_1h: Count,
    audio_in: Count,
    image_in: Count,
    reasoning: Count,
    audio_out: Count,
    searches: Count,
}

/// What stands in for a whole that was not reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fallback {
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Report {
    /// Reads a usage object; another value but null is a report without numbers.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let (mut report, mut attempts) = (Self::default(), None::<Self>);
        if cursor.peek()? != b'{' {
            cursor.skip()?;
            return Ok(report);
        }
        cursor.object(|cursor, key| match key.raw() {
            b"iterations" if cursor.peek()? == b'[' => cursor.array(|cursor| {
                let one = attempts.get_or_insert_default();
                one.add(&Self::read(cursor)?);
                Ok(())
            }),
            _ => report.member(cursor, key),
        })?;
        // Anthropic bills what its iterations sum up to, and shows only a part of it at the top.
        Ok(attempts.map_or(report, |sum| report.or_newer(&sum)))
    }

    /// Whether any whole was reported, so that the usage is not absent.
    pub(super) const fn has_a_whole(&self) -> bool {
        self.input.valid().is_some() || self.output.valid().is_some() || self.total.valid().is_some()
    }

    /// Field by field what a later report says, where it says something.
    pub(super) fn or_newer(&self, newer: &Self) -> Self {
        self.each(newer, Count::or_newer)
    }

    /// The usage in disjoint classes.
    pub(super) fn usage(&self, format: WireFormat, fallback: Fallback) -> Usage {
        match format {
            WireFormat::AnthropicMessages => self.anthropic(fallback),
            WireFormat::OpenAiChat | WireFormat::OpenAiResponses => self.openai(fallback),
            WireFormat::OpenAiEmbeddings => {
                let output = Count::Valid(0).or_newer(self.output);
                Self { output, ..*self }.openai(fallback)
            }
        }
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Fault> {
        let field = match key.raw() {
            b"prompt_tokens" | b"input_tokens" => &mut self.input,
            b"completion_tokens" | b"output_tokens" => &mut self.output,
            b"total_tokens" => &mut self.total,
            b"cache_read_input_tokens" => &mut self.cache_read,
            b"cache_creation_input_tokens" => &mut self.cache_write,
            b"prompt_tokens_details"
            | b"input_tokens_details"
            | b"completion_tokens_details"
            | b"output_tokens_details"
            | b"cache_creation"
            | b"server_tool_use" => {
                let inside = cursor.peek()? == b'{';
                return match inside {
                    true => cursor.object(|cursor, part| self.part(cursor, key, part)),
                    false => cursor.skip(),
                };
            }
            _ => return cursor.skip(),
        };
        *field = Count::read(cursor)?;
        Ok(())
    }

    fn part(&mut self, cursor: &mut Cursor<'_>, whole: Text<'_>, part: Text<'_>) -> Result<(), Fault> {
        let of_input = matches!(whole.raw(), b"prompt_tokens_details" | b"input_tokens_details");
        let field = match part.raw() {
            b"cached_tokens" if of_input => &mut self.cache_read,
            b"cache_write_tokens" if of_input => &mut self.cache_write,
            b"audio_tokens" if of_input => &mut self.audio_in,
            b"image_tokens" if of_input => &mut self.image_in,
            b"audio_tokens" => &mut self.audio_out,
            b"reasoning_tokens" | b"thinking_tokens" => &mut self.reasoning,
            b"ephemeral_5m_input_tokens" => &mut self.cache_write_5m,
            b"ephemeral_1h_input_tokens" => &mut self.cache_write_1h,
            b"web_search_requests" => &mut self.searches,
            _ => return cursor.skip(),
        };
        *field = Count::read(cursor)?;
        Ok(())
    }

    fn add(&mut self, other: &Self) {
        *self = self.each(other, Count::plus);
    }

    fn each(&self, other: &Self, with: impl Fn(Count, Count) -> Count) -> Self {
        Self {
            input: with(self.input, other.input),
            output: with(self.output, other.output),
            total: with(self.total, other.total),
            cache_read: with(self.cache_read, other.cache_read),
            cache_write: with(self.cache_write, other.cache_write),
            cache_write_5m: with(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: with(self.cache_write_1h, other.cache_write_1h),
            audio_in: with(self.audio_in, other.audio_in),
            image_in: with(self.image_in, other.image_in),
            reasoning: with(self.reasoning, other.reasoning),
            audio_out: with(self.audio_out, other.audio_out),
            searches: with(self.searches, other.searches),
        }
    }

    fn openai(&self, fallback: Fallback) -> Usage {
        let mut sound = !self.has_invalid();
        let (input, output) = self.wholes(fallback, &mut sound);
        let mut rest = Whole { left: input, sound };
        let mut usage = Usage::exact();
        usage.cache_read = rest.take(self.cache_read);
        usage.cache_write_5m = rest.take(self.cache_write);
        usage.audio_in = rest.take(self.audio_in);
        usage.image_in = rest.take(self.image_in);
        usage.input = Tokens::saturating(rest.left);
        let mut rest = Whole { left: output, sound: rest.sound };
        usage.reasoning = rest.take(self.reasoning);
        usage.audio_out = rest.take(self.audio_out);
        usage.output = Tokens::saturating(rest.left);
        usage.searches = self.searches.valid().unwrap_or(0);
        usage.quality = quality(rest.sound);
        usage
    }

    /// Prompt and completion, each with everything that belongs to it.
    fn wholes(&self, fallback: Fallback, sound: &mut bool) -> (u64, u64) {
        let total = self.total.valid();
        let (input, output) = match (self.input.valid(), self.output.valid()) {
            (Some(input), Some(output)) => (input, output),
            (input, output) => {
                *sound = false;
                let remains = |known| total.and_then(|total| total.checked_sub(known));
                let input = input.or_else(|| remains(output?)).unwrap_or(fallback.input);
                (input, output.or_else(|| remains(input)).unwrap_or(fallback.output))
            }
        };
        let Some(total) = total else {
            return (input, output);
        };
        let outside = self.reasoning.valid().unwrap_or(0);
        if total == input + output + outside {
            return (input, output + outside);
        }
        *sound &= total == input + output;
        (input, output.max(total.saturating_sub(input)))
    }

    fn anthropic(&self, fallback: Fallback) -> Usage {
        let known = |count: Count| count.valid().is_some();
        let mut sound = !self.has_invalid() && known(self.input) && known(self.output);
        let mut usage = Usage::exact();
        usage.input = Tokens::saturating(self.input.valid().unwrap_or(fallback.input));
        usage.cache_read = Tokens::saturating(self.cache_read.valid().unwrap_or(0));
        let (short, long) = self.cache_writes(&mut sound);
        usage.cache_write_5m = Tokens::saturating(short);
        usage.cache_write_1h = Tokens::saturating(long);
        let output = self.output.valid().unwrap_or(fallback.output);
        let mut rest = Whole { left: output, sound };
        usage.reasoning = rest.take(self.reasoning);
        usage.output = Tokens::saturating(rest.left);
        usage.searches = self.searches.valid().unwrap_or(0);
        usage.quality = quality(rest.sound);
        usage
    }

    /// The cache writes that live five minutes and one hour. A total without a split is all of the first kind.
    fn cache_writes(&self, sound: &mut bool) -> (u64, u64) {
        let short = self.cache_write_5m.valid().unwrap_or(0);
        let long = self.cache_write_1h.valid().unwrap_or(0);
        let Some(total) = self.cache_write.valid() else {
            return (short, long);
        };
        *sound &= short + long == total || short + long == 0;
        match total.checked_sub(long) {
            Some(rest) => (rest, long),
            None => (total, 0),
        }
    }

    fn has_invalid(&self) -> bool {
        [
            self.input,
            self.output,
            self.total,
            self.cache_read,
            self.cache_write,
            self.cache_write_5m,
            self.cache_write_1h,
            self.audio_in,
            self.image_in,
            self.reasoning,
            self.audio_out,
            self.searches,
        ]
        .contains(&Count::Invalid)
    }
}

/// What is left of a whole while its parts are taken out.
struct Whole {
    left: u64,
    sound: bool,
}

impl Whole {
    fn take(&mut self, part: Count) -> Tokens {
        let part = part.valid().unwrap_or(0);
        match self.left.checked_sub(part) {
            Some(left) => {
                self.left = left;
                Tokens::saturating(part)
            }
            None => {
                self.sound = false;
                Tokens::ZERO
            }
        }
    }
}

const fn quality(sound: bool) -> Quality {
    if sound { Quality::Exact } else { Quality::Estimated }
}
