//! The error bodies.

use flashops_core::units::MoneyUnit;

use super::advice::Advice;
use super::refusal::provider_limit;
use super::text::{Json, Text};
use super::verdict::Verdict;
use super::{Dialect, MAX_MESSAGE, Refusal, RefusalContext, message};

/// Room for most bodies, so that they are allocated once.
const USUAL_LENGTH: usize = 512;

/// Everything that a body is made of.
pub(super) struct Document<'a> {
    pub(super) refusal: &'a Refusal<'a>,
    pub(super) context: &'a RefusalContext<'a>,
    pub(super) verdict: Verdict,
    pub(super) advice: Option<Advice>,
    pub(super) unit: Option<MoneyUnit>,
}

impl Document<'_> {
    /// The body in the dialect of the context.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Json::with_capacity(USUAL_LENGTH);
        match self.context.dialect {
            Dialect::OpenAi => self.open_ai(&mut out),
            Dialect::Anthropic => self.anthropic(&mut out),
            Dialect::Problem => self.problem(&mut out),
        }
        out.into_bytes()
    }

    fn open_ai(&self, out: &mut Json) {
        out.raw(r#"{"error":{"message":""#);
        self.message(out);
        member(out, r#"","type":""#, self.verdict.kind);
        match param(self.refusal) {
            Some(param) => {
                out.raw(r#"","param":""#);
                out.quoted(param, MAX_MESSAGE);
                member(out, r#"","code":""#, self.verdict.code);
            }
            None => member(out, r#"","param":null,"code":""#, self.verdict.code),
        }
        if let Some(id) = self.context.request_id {
            member(out, r#"","request_id":""#, id.as_str());
        }
        out.raw(r#""}}"#);
    }

    fn anthropic(&self, out: &mut Json) {
        member(out, r#"{"type":"error","error":{"type":""#, self.verdict.anthropic);
        out.raw(r#"","message":""#);
        self.message(out);
        out.raw(r#""}"#);
        if let Some(id) = self.context.request_id {
            member(out, r#","request_id":""#, id.as_str());
            out.raw("\"");
        }
        out.raw("}");
    }

    fn problem(&self, out: &mut Json) {
        let Verdict { status, problem, code, .. } = self.verdict;
        member(out, r#"{"type":""#, problem.uri());
        member(out, r#"","title":""#, problem.title().or(status.canonical_reason()).unwrap_or_default());
        out.raw(r#"","status":"#);
        out.raw(status.as_str());
        out.raw(r#","detail":""#);
        self.message(out);
        if let Some(id) = self.context.request_id {
            member(out, r#"","instance":"urn:flashops:request:"#, id.as_str());
        }
        member(out, r#"","code":""#, code);
        out.raw("\"");
        self.violated(out);
        out.raw("}");
    }

    fn violated(&self, out: &mut Json) {
        let (policy, denied) = match self.refusal {
            Refusal::Denied { policy, denied, .. } => (policy, denied),
            Refusal::ProviderLimited { resource, .. } => {
                member(out, r#","violated-policies":[""#, provider_limit(*resource));
                return out.raw("\"]");
            }
            _ => return,
        };
        let mut before = r#","violated-policies":[""#;
        for index in denied.violated.iter() {
            if let Some(limit) = policy.limits().get(index.get()) {
                member(out, before, limit.name());
                before = r#"",""#;
            }
        }
        if before == r#"",""# {
            out.raw("\"]");
        }
    }

    fn message(&self, out: &mut Json) {
        message::write(out, self.refusal, self.advice, self.unit);
    }
}

/// Appends what leads to a string, and the string, which needs no escape.
fn member(out: &mut Json, lead: &str, text: &str) {
    out.raw(lead);
    out.raw(text);
}

/// The field of the request's body that is at fault.
const fn param<'a>(refusal: &Refusal<'a>) -> Option<&'a str> {
    match refusal {
        Refusal::Inspect(error) => error.field(),
        Refusal::BadRequest { param, .. } => *param,
        Refusal::UnknownModel { .. } => Some("model"),
        Refusal::OutputOverCap { param, .. } | Refusal::StoredContent { param } => Some(param),
        _ => None,
    }
}
