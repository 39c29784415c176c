use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flashops_core::clock::UnixSeconds;
use flashops_core::units::MoneyUnit;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response};

use super::advice::Advice;
use super::document::Document;
use super::headers::{Headers, REQUEST_ID, X_REQUEST_ID, insert};
use super::verdict::Verdict;
use super::{Dialect, Refusal, RejectBody, RequestId};
use crate::identify::IdentifyError;

/// What is known of a request that is refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusalContext<'a> {
    /// How the body is written.
    pub dialect: Dialect,
    /// The identity of the request, if it has one.
    pub request_id: Option<RequestId<'a>>,
    /// The time now, for headers that name an instant.
    pub now: UnixSeconds,
}

impl<'a> RefusalContext<'a> {
    /// A request without identity.
    pub const fn new(dialect: Dialect, now: UnixSeconds) -> Self {
        Self { dialect, request_id: None, now }
    }

    /// The same, with an identity, if there is one.
    #[must_use]
    pub const fn with_request_id(mut self, id: Option<RequestId<'a>>) -> Self {
        self.request_id = id;
        self
    }
}

/// Makes a response out of a refusal: the hook of the layers.
///
/// [`DefaultReject`] is what most services want. A closure does for another body, and can fall back to it. Whoever
/// implements it decides on status, body and `Retry-After` ([`Refusal::retry`]); the layers add rate-limit headers and
/// [`NotDispatched`] by themselves, so that no implementation can forget them.
///
/// ```
/// use flashops_tower::reject::{DefaultReject, Refusal, RefusalContext, Reject, RejectBody};
///
/// let usual = DefaultReject::new();
/// let hook = move |refusal: &Refusal<'_>, context: &RefusalContext<'_>| {
///     let mut response = usual.reject(refusal, context);
///     if let Refusal::Internal = refusal {
///         *response.body_mut() = RejectBody::new("Call 555-0100.");
///     }
///     response
/// };
/// # let context = RefusalContext::new(flashops_tower::reject::Dialect::Problem, Default::default());
/// assert_eq!(hook.reject(&Refusal::Internal, &context).body().clone().into_bytes(), "Call 555-0100.");
/// ```
pub trait Reject {
    /// The response.
    fn reject(&self, refusal: &Refusal<'_>, context: &RefusalContext<'_>) -> Response<RejectBody>;
}

impl<F> Reject for F
where
    F: Fn(&Refusal<'_>, &RefusalContext<'_>) -> Response<RejectBody>,
{
    fn reject(&self, refusal: &Refusal<'_>, context: &RefusalContext<'_>) -> Response<RejectBody> {
        self(refusal, context)
    }
}

/// The whole refusal: the response of the hook, with the rate-limit headers of the limits that refused, and marked as
/// [`NotDispatched`]. The denial itself is in its extensions, for layers that can do something about it.
pub fn refuse<R: Reject + ?Sized>(
    reject: &R,
    headers: &Headers,
    refusal: &Refusal<'_>,
    context: &RefusalContext<'_>,
) -> Response<RejectBody> {
    let mut response = reject.reject(refusal, context);
    if let Refusal::Denied { denied, .. } = refusal {
        headers.apply_denied(response.headers_mut(), denied, context.now);
        response.extensions_mut().insert(*denied);
    }
    response.extensions_mut().insert(NotDispatched);
    response
}

/// An extension of responses: the request was refused and the inner service never called.
///
/// An outer rate limit gives its count back when it sees this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotDispatched;

/// The status for a spent budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpentStatus {
    /// 429, like a rate. Clients retry it unless they are told not to.
    #[default]
    TooManyRequests,
    /// 402, which no client retries.
    PaymentRequired,
}

/// The refusals that real clients understand. See the [module docs](super) for the table.
#[derive(Clone, Debug)]
pub struct DefaultReject {
    max_wait: Duration,
    spent: SpentStatus,
    cost_unit: Option<MoneyUnit>,
    noise: Option<Arc<AtomicU64>>,
}

impl DefaultReject {
    /// The longest wait after which clients are asked to try again by themselves. The clients in the field ignore a
    /// longer one and come back at once.
    pub const MAX_WAIT: Duration = Duration::from_secs(60);

    /// With [`DefaultReject::MAX_WAIT`], 429 for spent budgets, exact waits, and no numbers of money.
    pub const fn new() -> Self {
        Self { max_wait: Self::MAX_WAIT, spent: SpentStatus::TooManyRequests, cost_unit: None, noise: None }
    }

    /// Changes the longest wait after which clients are asked to try again by themselves; beyond it they get
    /// `x-should-retry: false`.
    #[must_use]
    pub const fn with_max_wait(mut self, most: Duration) -> Self {
        self.max_wait = most;
        self
    }

    /// Changes the status for a spent budget.
    #[must_use]
    pub const fn with_spent_status(mut self, status: SpentStatus) -> Self {
        self.spent = status;
        self
    }

    /// Names the unit of cost limits, so that messages tell how much money was asked for and allowed.
    #[must_use]
    pub const fn with_cost_unit(mut self, unit: MoneyUnit) -> Self {
        self.cost_unit = Some(unit);
        self
    }

    /// Lengthens each wait by up to a tenth, so that clients who were refused together do not come back together. The
    /// same seed gives the same sequence; clones share it.
    #[must_use]
    pub fn with_jitter(mut self, seed: u64) -> Self {
        self.noise = Some(Arc::new(AtomicU64::new(seed)));
        self
    }

    fn advice(&self, refusal: &Refusal<'_>) -> Option<Advice> {
        let advice = Advice::new(refusal.retry()?, self.max_wait, self.next_noise());
        let gives_up = advice.gives_up || matches!(refusal, Refusal::AbnormalUsage { .. });
        Some(Advice { gives_up, ..advice })
    }

    /// The next number of the sequence, `SplitMix64`; 0 without jitter.
    fn next_noise(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let Some(state) = &self.noise else { return 0 };
        let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Default for DefaultReject {
    fn default() -> Self {
        Self::new()
    }
}

impl Reject for DefaultReject {
    fn reject(&self, refusal: &Refusal<'_>, context: &RefusalContext<'_>) -> Response<RejectBody> {
        let (verdict, advice) = (Verdict::of(refusal, self.spent), self.advice(refusal));
        let document = Document { refusal, context, verdict, advice, unit: self.cost_unit };
        let mut response = Response::new(RejectBody::new(document.write()));
        *response.status_mut() = verdict.status;
        let headers = response.headers_mut();
        headers.reserve(USUAL_HEADERS);
        insert(headers, CONTENT_TYPE, Some(HeaderValue::from_static(context.dialect.media_type())));
        insert(headers, CACHE_CONTROL, Some(HeaderValue::from_static("no-store")));
        if let Some(advice) = advice {
            advice.apply(headers);
        }
        if let Refusal::Unidentified(error) = refusal {
            insert(headers, WWW_AUTHENTICATE, Some(challenge(*error)));
        }
        identity(headers, context);
        response
    }
}

/// Room for the headers of most refusals, so that the map grows once.
const USUAL_HEADERS: usize = 10;

/// RFC 6750, section 3: no error code where no credentials came.
const fn challenge(error: IdentifyError) -> HeaderValue {
    HeaderValue::from_static(match error {
        IdentifyError::Missing => "Bearer",
        IdentifyError::Unknown => r#"Bearer error="invalid_token""#,
        IdentifyError::Ambiguous => r#"Bearer error="invalid_request""#,
    })
}

fn identity(headers: &mut HeaderMap, context: &RefusalContext<'_>) {
    let Some(id) = context.request_id else { return };
    let Ok(value) = HeaderValue::from_str(id.as_str()) else { return };
    if context.dialect == Dialect::Anthropic {
        insert(headers, REQUEST_ID, Some(value.clone()));
    }
    insert(headers, X_REQUEST_ID, Some(value));
}
