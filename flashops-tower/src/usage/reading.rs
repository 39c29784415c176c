//! What was learnt of a response so far, from the payloads that may say something.

use flashops_core::units::Tokens;
use flashops_core::usage::{OtherModel, Quality, ServiceTier, Surcharges, Usage};

use super::classes::Fallback;
use super::count::Count;
use super::others::Others;
use super::report::{Field, Report, Shape};
use crate::inspect::WireFormat;
use crate::json::{Cursor, Fault, Text};
use crate::tariff;

/// The state of a reader between two payloads.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    report: Option<Report>,
    /// The models besides the one that was asked for, of which the last report that names any tells.
    others: Others,
    standing: Standing,
    /// The last tariff that was named. Anthropic's last report leaves it out, and the first one names it.
    tariff: Option<ServiceTier>,
    /// The last that were named.
    surcharges: Surcharges,
    /// The most searches that one payload tells of beside its usage.
    searches: u64,
    pub(super) ended: bool,
    pub(super) error: bool,
}

/// Whether the last report is the provider's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was sent before the output was complete (Anthropic's first event).
    Early,
    /// It came beside output, and is the last word if the stream then ends properly.
    Running,
    /// It is.
    Final,
}

/// One payload, read.
#[derive(Clone, Debug, Default)]
struct Payload {
    /// The usage at the top.
    outer: Option<Report>,
    /// The usage inside `response`, `message`, `delta` or `meta`.
    inner: Option<Report>,
    others: Others,
    /// The tariff beside the usage.
    tariff: Option<ServiceTier>,
    /// Searches of which the output tells.
    searches: u64,
    kind: Kind,
    has_choices: bool,
    /// A candidate of Gemini's has its reason to finish, or the prompt the reason why there is none.
    finished: bool,
    /// Ollama's `done`.
    done: bool,
    error: bool,
}

/// The `type` of a payload, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    Error,
    /// The last event of a stream.
    End,
    /// The last event of a stream that failed.
    FailedEnd,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self {
            report: None,
            others: Others::default(),
            standing: Standing::Early,
            tariff: None,
            surcharges: Surcharges { fast: None, us_only: None },
            searches: 0,
            ended: false,
            error: false,
        }
    }

    /// An event that is no plain content.
    pub(super) fn event(&mut self, route: WireFormat, payload: &[u8]) {
        let Ok(mut payload) = Payload::read(payload) else {
            return;
        };
        self.error |= payload.error || matches!(payload.kind, Kind::Error | Kind::FailedEnd);
        self.ended |= matches!(payload.kind, Kind::End | Kind::FailedEnd);
        let report = payload.report();
        self.others = std::mem::take(&mut payload.others).or(std::mem::take(&mut self.others));
        self.searches = self.searches.max(payload.searches);
        self.surcharges = report.unwrap_or_default().surcharges.or(self.surcharges);
        self.tariff = payload.tariff(report).or(self.tariff);
        let shape = |report: Option<Report>| report.and_then(|report| report.shape);
        let format = Shape::format(shape(self.report).max(shape(report)), route);
        match format {
            // With several candidates, others go on behind the first that finishes.
            WireFormat::Gemini => self.ended = payload.finished,
            WireFormat::Ollama => self.ended |= payload.done,
            WireFormat::BedrockConverse => self.ended |= report.is_some(),
            _ => {}
        }
        if let Some(report) = report {
            self.report(format, report, payload.standing(format));
        }
    }

    /// A whole JSON body.
    pub(super) fn body(&mut self, body: &[u8]) {
        let Ok(mut payload) = Payload::read(body) else {
            return;
        };
        self.ended = true;
        self.error = payload.error || payload.kind == Kind::Error;
        let report = payload.report();
        self.others = std::mem::take(&mut payload.others).or(std::mem::take(&mut self.others));
        self.searches = payload.searches;
        self.surcharges = report.unwrap_or_default().surcharges;
        self.tariff = payload.tariff(report);
        if report.is_some() {
            self.report = report;
            self.standing = Standing::Final;
        }
    }

    /// The usage; an output that the provider did not report is what was counted.
    pub(super) fn usage(&self, route: WireFormat, input: Tokens, counted: Tokens) -> Usage {
        let Some(report) = self.report.filter(Report::has_a_whole) else {
            return Usage { service_tier: self.tariff, surcharges: self.surcharges, ..Usage::absent() };
        };
        let fallback = Fallback { input: input.get(), output: counted.get() };
        let mut usage = report.usage(Shape::format(report.shape, route), fallback);
        if report.get(Field::Searches) == Count::Missing {
            usage.searches = self.searches;
        }
        (usage.service_tier, usage.surcharges) = (self.tariff, self.surcharges);
        if self.standing == Standing::Final || self.standing == Standing::Running && self.ended {
            return usage;
        }
        let unseen = counted.get().saturating_sub(usage.total_output().get());
        usage.output = usage.output.saturating_add(Tokens::saturating(unseen));
        usage.quality = Quality::Estimated;
        usage
    }

    /// What other models than the one that was asked for had of the usage.
    pub(super) fn others(&self) -> Vec<OtherModel> {
        self.others.usages()
    }

    fn report(&mut self, format: WireFormat, report: Report, standing: Standing) {
        // Anthropic's later events repeat only what changed; the others send the whole object again.
        self.report = Some(match self.report {
            Some(earlier) if format == WireFormat::AnthropicMessages => earlier.or_newer(&report),
            _ => report,
        });
        self.standing = standing;
    }
}

impl Payload {
    fn read(text: &[u8]) -> Result<Self, Fault> {
        let mut payload = Self::default();
        let mut cursor = Cursor::new(text);
        cursor.object(|cursor, key| payload.member(cursor, key))?;
        cursor.end()?;
        Ok(payload)
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Fault> {
        let first = cursor.peek()?;
        match (key.raw(), first) {
            (b"usage" | b"usageMetadata", b'{') => self.outer = Some(Report::read(cursor, &mut self.others)?),
            (b"prompt_eval_count" | b"eval_count", _) => self.outer.get_or_insert_default().member(cursor, key)?,
            (b"meta", b'{') => self.inner = Some(Report::read(cursor, &mut self.others)?).filter(Report::has_a_whole),
            (b"response" | b"message" | b"delta", b'{') => cursor.object(|cursor, key| match key.raw() {
                b"usage" | b"usageMetadata" if cursor.peek()? == b'{' => {
                    self.inner = Some(Report::read(cursor, &mut self.others)?);
                    Ok(())
                }
                b"service_tier" => self.name_tariff(cursor),
                b"output" if cursor.peek()? == b'[' => self.output(cursor),
                _ => cursor.skip(),
            })?,
            (b"output", b'[') => self.output(cursor)?,
            (b"service_tier" | b"serviceTier", _) => self.name_tariff(cursor)?,
            (b"type", b'"') => self.kind = Kind::of(cursor.string()?),
            (b"done", b't') => {
                self.done = true;
                cursor.skip()?;
            }
            (b"error", _) => {
                self.error = first != b'n';
                cursor.skip()?;
            }
            (b"choices", b'[') => cursor.array(|cursor| {
                self.has_choices = true;
                cursor.skip()
            })?,
            (b"candidates", b'[') => cursor.array(|cursor| self.candidate(cursor))?,
            (b"promptFeedback", b'{') => cursor.object(|cursor, key| self.reason(cursor, key, b"blockReason"))?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// Counts the searches among the items of an answer of `OpenAI`'s responses, whose usage does not name them.
    /// Opening a page that was found, and looking for words in it, are no searches.
    fn output(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.array(|cursor| {
            if cursor.peek()? != b'{' {
                return cursor.skip();
            }
            let (mut is_call, mut searches) = (false, true);
            cursor.object(|cursor, key| match (key.raw(), cursor.peek()?) {
                (b"type", b'"') => {
                    is_call = cursor.string()?.is("web_search_call");
                    Ok(())
                }
                (b"action", b'{') => cursor.object(|cursor, key| match (key.raw(), cursor.peek()?) {
                    (b"type", b'"') => {
                        searches = cursor.string()?.is("search");
                        Ok(())
                    }
                    _ => cursor.skip(),
                }),
                _ => cursor.skip(),
            })?;
            self.searches += u64::from(is_call && searches);
            Ok(())
        })
    }

    fn report(&self) -> Option<Report> {
        self.outer.or(self.inner)
    }

    fn name_tariff(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.tariff = tariff::read(cursor)?.or(self.tariff);
        Ok(())
    }

    /// The tariff that the call was served at, if this says one.
    fn tariff(&self, report: Option<Report>) -> Option<ServiceTier> {
        self.tariff.or_else(|| report?.tariff)
    }

    /// One of Gemini's candidates, which names what was searched for.
    fn candidate(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if cursor.peek()? != b'{' {
            return cursor.skip();
        }
        cursor.object(|cursor, key| match (key.raw(), cursor.peek()?) {
            (b"groundingMetadata", b'{') => cursor.object(|cursor, key| match (key.raw(), cursor.peek()?) {
                (b"webSearchQueries", b'[') => cursor.array(|cursor| {
                    self.searches += 1;
                    cursor.skip()
                }),
                _ => cursor.skip(),
            }),
            _ => self.reason(cursor, key, b"finishReason"),
        })
    }

    /// Notes that Gemini has finished, if this is the member that says why.
    fn reason(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>, reason: &[u8]) -> Result<(), Fault> {
        self.finished |= key.raw() == reason && cursor.peek()? == b'"';
        cursor.skip()
    }

    const fn standing(&self, format: WireFormat) -> Standing {
        match format {
            WireFormat::OpenAiChat | WireFormat::OpenAiCompletions | WireFormat::MistralChat | WireFormat::XaiChat
                if self.has_choices =>
            {
                Standing::Running
            }
            WireFormat::OpenAiResponses if matches!(self.kind, Kind::Other) => Standing::Running,
            WireFormat::AnthropicMessages if self.outer.is_none() => Standing::Early,
            WireFormat::Gemini if !self.finished => Standing::Running,
            WireFormat::Ollama if !self.done => Standing::Running,
            _ => Standing::Final,
        }
    }
}

impl Kind {
    fn of(name: Text<'_>) -> Self {
        match name.raw() {
            b"error" => Self::Error,
            b"message_stop" | b"message-end" | b"response.completed" | b"response.incomplete" => Self::End,
            b"response.failed" => Self::FailedEnd,
            _ => Self::Other,
        }
    }
}
