use std::sync::Arc;

use bytes::Bytes;
use flashops_core::clock::UnixSeconds;
use flashops_core::config::{OnOver, StoredContent};
use flashops_core::estimate::{Estimate, InputBound, OutputCap};
use flashops_core::price::{Model, Price, PriceBook};
use flashops_core::units::Tokens;
use flashops_core::usage::Surcharges;

use super::layer::Options;
use super::route::ModelRoute;
use crate::inspect::{InspectError, Inspected, MAX_MODEL_NAME, Rewrite, WireFormat};
use crate::reject::Refusal;
use crate::tariff::{GEO, SPEED};

/// The output cap that is written into a request that declares none, on a route without one, for a model whose maximum
/// is not in the price book.
const CAP_OF_UNKNOWN_MODEL: Tokens = Tokens::saturating(4_096);

/// What an older completion request without a cap is capped at by its provider.
const CAP_OF_COMPLETIONS: Tokens = Tokens::saturating(16);

/// The most tokens of one media part besides what is in its bytes, of a model whose entry in the price book states
/// none: more than any of those makes of an image.
const TOKENS_PER_MEDIA_PART: Tokens = Tokens::saturating(8_192);

/// The same of a model that nobody knows: more than any known one makes of an image.
const MOST_TOKENS_PER_MEDIA_PART: Tokens = Tokens::saturating(49_152);

/// The context window that is assumed for a model whose own is not in the price book.
const UNKNOWN_CONTEXT_WINDOW: Tokens = Tokens::saturating(1_048_576);

/// What is done with a request: decided from its body, its route and the price book alone.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) model: Arc<str>,
    pub(super) estimate: Estimate,
    /// The body to send, with a length that may differ.
    pub(super) body: Bytes,
    /// The cap that was written into the body.
    pub(super) cap_written: Option<Tokens>,
    /// Usage was asked for by us, so the client does not expect it.
    pub(super) hides_usage: bool,
}

/// Why a request cannot be planned: the client's fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unplanned {
    Inspect(InspectError),
    NoModel,
    OverCap { declared: Tokens, most: Tokens, param: &'static str },
    StoredContent { param: &'static str },
}

impl Unplanned {
    pub(super) const fn refusal(&self) -> Refusal<'static> {
        match *self {
            Self::Inspect(error) => Refusal::Inspect(error),
            Self::NoModel => Refusal::BadRequest { message: "the request names no model", param: Some("model") },
            Self::OverCap { declared, most, param } => Refusal::OutputOverCap { asked: declared, cap: most, param },
            Self::StoredContent { param } => Refusal::StoredContent { param },
        }
    }
}

impl Plan {
    pub(super) fn new(
        route: &ModelRoute,
        (format, in_path): (WireFormat, Option<&str>),
        body: Bytes,
        (prices, now): (&PriceBook, UnixSeconds),
        options: &Options,
    ) -> Result<Self, Unplanned> {
        let inspected = Inspected::read(format, body).map_err(Unplanned::Inspect)?;
        let in_path = in_path.map(bounded).transpose().map_err(Unplanned::Inspect)?;
        let model = match in_path.or(inspected.model()) {
            Some(name) => Arc::from(name),
            None => Arc::clone(route.default_model().ok_or(Unplanned::NoModel)?),
        };
        let known = prices.model(&model);
        let input = input_bound(&inspected, known, options.stored)?;
        let cap = if format.has_output() { Some(output_cap(&inspected, route, known)?) } else { None };
        let estimate = match cap {
            Some(cap) => Estimate::new(input, OutputCap::new(cap).with_choices(inspected.choices())),
            None => Estimate::input_only(input),
        };
        let price = known.and_then(|known| known.price(now));
        price.map_or(Ok(()), |price| priced(price, inspected.surcharges())).map_err(Unplanned::Inspect)?;
        let unreported = inspected.unreported_searches(&model);
        let searches = inspected.searches(options.searches_per_call).saturating_add(unreported);
        let estimate = estimate.with_service_tier(inspected.service_tier()).with_surcharges(inspected.surcharges());
        let estimate = estimate.with_searches(searches, unreported);
        let cap_written = cap.filter(|&cap| inspected.output_cap() != Some(cap));
        let rewrite = Rewrite { output_cap: cap_written, include_usage: true, ..Rewrite::default() };
        let hides_usage = inspected.lacks_usage();
        Ok(Self { model, estimate, body: inspected.rewrite(rewrite), cap_written, hides_usage })
    }
}

/// Whether a price has what makes a call dearer.
fn priced(price: &Price, asked: Surcharges) -> Result<(), InspectError> {
    let lacks = |asked: Option<bool>, price: Option<u64>| asked == Some(true) && price.is_none();
    match () {
        () if lacks(asked.fast, price.fast()) => Err(InspectError::Unpriced { field: SPEED }),
        () if lacks(asked.us_only, price.us()) => Err(InspectError::Unpriced { field: GEO }),
        () => Ok(()),
    }
}

/// A model's name that does not stand in the body.
fn bounded(name: &str) -> Result<&str, InspectError> {
    if name.len() > MAX_MODEL_NAME { Err(InspectError::ModelTooLong) } else { Ok(name) }
}

fn input_bound(inspected: &Inspected, known: Option<&Model>, stored: StoredContent) -> Result<InputBound, Unplanned> {
    let bound = inspected.text_bound().with_media(inspected.media_parts(), tokens_per_media_part(known));
    if inspected.references() == 0 && inspected.hosted_tools() == 0 {
        return Ok(bound);
    }
    if stored == StoredContent::Refuse && inspected.references() > 0 {
        return Err(Unplanned::StoredContent { param: content_field(inspected.format()) });
    }
    let window = known.and_then(Model::context_window).unwrap_or(UNKNOWN_CONTEXT_WINDOW);
    Ok(bound.with_referenced(window))
}

fn tokens_per_media_part(known: Option<&Model>) -> Tokens {
    known.map_or(MOST_TOKENS_PER_MEDIA_PART, |model| model.max_media_tokens().unwrap_or(TOKENS_PER_MEDIA_PART))
}

/// The field that has the content of a request.
const fn content_field(format: WireFormat) -> &'static str {
    match format {
        WireFormat::OpenAiResponses | WireFormat::OpenAiEmbeddings | WireFormat::OllamaEmbed => "input",
        WireFormat::OpenAiCompletions => "prompt",
        WireFormat::Gemini => "contents",
        WireFormat::CohereEmbed => "inputs",
        _ => "messages",
    }
}

/// The cap for each choice: the declared one within the route's; where none is declared, the route's or the model's.
fn output_cap(inspected: &Inspected, route: &ModelRoute, known: Option<&Model>) -> Result<Tokens, Unplanned> {
    match (inspected.output_cap(), route.max_output()) {
        (Some(declared), Some(most)) if declared > most => match route.on_over() {
            OnOver::Clamp => Ok(most),
            OnOver::Refuse => {
                let param = inspected.output_cap_field().unwrap_or("max_tokens");
                Err(Unplanned::OverCap { declared, most, param })
            }
        },
        (Some(declared), _) => Ok(declared),
        (None, Some(most)) => Ok(most),
        (None, None) if inspected.format() == WireFormat::OpenAiCompletions => Ok(CAP_OF_COMPLETIONS),
        (None, None) => Ok(known.and_then(Model::max_output).unwrap_or(CAP_OF_UNKNOWN_MODEL)),
    }
}
