//! What a refusal says, in English.

use flashops_core::estimate::{InputEstimate, OutputEstimate};
use flashops_core::key::Scope;
use flashops_core::limit::{Denied, Limit, Policy, Resource, Retry};
use flashops_core::store::StoreError;
use flashops_core::units::{Cost, MoneyUnit};

use super::advice::Advice;
use super::refusal::provider_limit;
use super::text::{Json, Text};
use super::verdict::Denial;
use super::{MAX_MESSAGE, Refusal};
use crate::identify::IdentifyError;

/// Appends the message of a refusal as the content of a JSON string.
pub(super) fn write(out: &mut Json, refusal: &Refusal<'_>, advice: Option<Advice>, unit: Option<MoneyUnit>) {
    match refusal {
        Refusal::Denied { policy, denied, least } => match policy.limits().get(denied.limit.get()) {
            Some(limit) => Sentence { policy, limit, denied, unit }.write(out, Denial::of(limit, denied, *least)),
            None => out.raw("Rate limit reached."),
        },
        Refusal::Store(StoreError::Full) | Refusal::Overloaded { .. } => out.raw("The service is overloaded."),
        Refusal::Store(_) => out.raw("The service cannot check its limits at the moment."),
        Refusal::AbnormalUsage { .. } => out.raw("Your requests show an unusual pattern and are held back."),
        Refusal::AddressNotAllowed => out.raw("Requests from your address are not allowed."),
        Refusal::UnmeteredRoute => out.raw("This route calls a model and is not metered here."),
        Refusal::Unidentified(error) => out.raw(unidentified(*error)),
        Refusal::Inspect(error) => {
            out.raw("The request cannot be read: ");
            out.quoted(&error.to_string(), MAX_MESSAGE);
            out.raw(".");
        }
        Refusal::BadRequest { message, .. } => out.quoted(message, MAX_MESSAGE),
        Refusal::UnknownModel { model } => {
            out.raw("The model `");
            out.quoted(model, MAX_MESSAGE);
            out.raw("` has no price here, and a cost limit applies to your requests.");
        }
        Refusal::OutputOverCap { asked, cap, param } => {
            out.raw("`");
            out.quoted(param, MAX_MESSAGE);
            out.raw("` is ");
            out.number(asked.get());
            out.raw(", and this route allows ");
            out.number(cap.get());
            out.raw(" output tokens.");
        }
        Refusal::StoredContent { param } => {
            out.raw("`");
            out.quoted(param, MAX_MESSAGE);
            out.raw("` refers to content that the provider keeps; send the content itself.");
        }
        Refusal::BodyTooLarge { most } => {
            out.raw("The request body is longer than ");
            out.number(*most);
            out.raw(" bytes.");
        }
        Refusal::ProviderLimited { resource, asked, remaining, .. } => provider(out, *resource, *asked, *remaining),
        Refusal::ProviderUnreachable => out.raw("The provider of the model cannot be reached."),
        Refusal::Internal => out.raw("The service failed to handle the request."),
    }
    if let Some(millis) = advice.and_then(|advice| advice.millis) {
        out.raw(" Please try again in ");
        out.go_duration(millis);
        out.raw(".");
    }
}

const fn unidentified(error: IdentifyError) -> &'static str {
    match error {
        IdentifyError::Missing => {
            "You didn't provide an API key. Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`."
        }
        IdentifyError::Unknown => "The API key that you provided is not known here.",
        IdentifyError::Ambiguous => "You provided two different API keys; send one.",
    }
}

/// The words for a provider that has too little left, or wants to be left alone.
fn provider(out: &mut Json, resource: Option<Resource>, asked: u64, remaining: u64) {
    let Some(resource) = resource else { return out.raw("The provider of the model asked to wait.") };
    out.raw("Rate limit reached for ");
    out.raw(provider_limit(Some(resource)));
    out.raw(" on ");
    out.raw(resource.name());
    out.raw(" per ");
    out.raw(Scope::Provider.name());
    out.raw(": Remaining ");
    out.number(remaining);
    out.raw(", Requested ");
    out.number(asked);
    out.raw(".");
}

/// The words for a denial by one limit.
struct Sentence<'a> {
    policy: &'a Policy,
    limit: &'a Limit,
    denied: &'a Denied,
    unit: Option<MoneyUnit>,
}

impl Sentence<'_> {
    fn write(&self, out: &mut Json, denial: Denial) {
        out.raw(match denial {
            Denial::Rate => "Rate limit reached for ",
            Denial::Spent => "You exceeded your current quota ",
            Denial::TooLarge | Denial::BoundTooWide => "Request too large for ",
            Denial::Crowded => "Too many requests in progress for ",
        });
        self.subject(out);
        self.numbers(out, denial);
        out.raw(match denial {
            Denial::Spent if self.denied.retry == Retry::Never => " It does not reset by itself.",
            Denial::Rate | Denial::Crowded if self.denied.retry == Retry::Never => " Waiting does not help.",
            Denial::TooLarge => " Waiting does not help: send less input, or ask for less output.",
            Denial::BoundTooWide => self.switch_that_helps(),
            Denial::Rate | Denial::Spent | Denial::Crowded => "",
        });
    }

    /// What the operator can do about a bound that is too wide, or else the client.
    const fn switch_that_helps(&self) -> &'static str {
        let switches = self.policy.switches();
        match (switches.input_estimate, switches.output_estimate) {
            (InputEstimate::Bytes, _) => {
                " Its input is counted as one token per byte, which is more than it needs: the switch that helps is \
                 the service's `input_estimate`. Otherwise send less input."
            }
            (InputEstimate::Calibrated, OutputEstimate::Cap) => {
                " Its output is counted as its whole cap, which may be more than it needs: the switch that helps is \
                 the service's `output_estimate`. Otherwise send less input, or ask for less output."
            }
            (InputEstimate::Calibrated, _) => " Send less input, or ask for less output.",
        }
    }

    /// `ai-rpm on requests per user`.
    fn subject(&self, out: &mut Json) {
        out.raw(self.limit.name());
        if self.limit.resource() != Resource::Concurrency {
            out.raw(" on ");
            out.raw(self.limit.resource().name());
        }
        match self.limit.scope() {
            Scope::Global => out.raw(" of the whole service"),
            scope => {
                out.raw(" per ");
                out.raw(scope.name());
            }
        }
    }

    /// `: Limit 5, Used 5, Requested 1.`, without numbers of money whose unit is not known.
    fn numbers(&self, out: &mut Json, denial: Denial) {
        let amount = self.limit.amount();
        if self.limit.resource() == Resource::Cost && self.unit.is_none() {
            return out.raw(".");
        }
        out.raw(": Limit ");
        self.number(out, amount);
        if !matches!(denial, Denial::TooLarge | Denial::BoundTooWide) {
            out.raw(", Used ");
            self.number(out, amount.saturating_sub(self.denied.remaining));
        }
        out.raw(", Requested ");
        self.number(out, self.denied.asked);
        out.raw(".");
    }

    fn number(&self, out: &mut Json, number: u64) {
        match self.unit {
            Some(unit) if self.limit.resource() == Resource::Cost => {
                out.raw(&unit.format(Cost::saturating(number)));
                out.raw(" ");
                out.raw(unit.currency());
            }
            _ => out.number(number),
        }
    }
}
