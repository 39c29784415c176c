//! What a refusal is: its status, and its name in each dialect.

use flashops_core::limit::{Denied, Limit, Policy, Resource};
use flashops_core::store::StoreError;
use flashops_core::units::Amounts;
use http::StatusCode;

use super::{Refusal, SpentStatus};
use crate::identify::IdentifyError;

/// A problem type of the rate-limit draft, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    QuotaExceeded,
    ReducedCapacity,
    AbnormalUsage,
    Blank,
}

impl Problem {
    pub(super) const fn uri(self) -> &'static str {
        match self {
            Self::QuotaExceeded => "https://iana.org/assignments/http-problem-types#quota-exceeded",
            Self::ReducedCapacity => "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            Self::AbnormalUsage => "https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
            Self::Blank => "about:blank",
        }
    }

    /// The title of the type; `None` for the reason phrase of the status.
    pub(super) const fn title(self) -> Option<&'static str> {
        match self {
            Self::QuotaExceeded => Some("Request cannot be satisfied as assigned quota has been exceeded"),
            Self::ReducedCapacity => Some("Request cannot be satisfied due to temporary server capacity constraints"),
            Self::AbnormalUsage => Some("Request not satisfied due to detection of abnormal request pattern"),
            Self::Blank => None,
        }
    }
}

/// What a refusal is, in every dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: StatusCode,
    /// `OpenAI`'s type.
    pub(super) kind: &'static str,
    /// `OpenAI`'s code.
    pub(super) code: &'static str,
    /// Anthropic's type.
    pub(super) anthropic: &'static str,
    pub(super) problem: Problem,
}

/// What a denial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// There will be room soon.
    Rate,
    /// A budget is spent.
    Spent,
    /// Even the smallest reading of the request is larger than the limit.
    TooLarge,
    /// The bound of the request is larger than the limit, but the request need not be.
    BoundTooWide,
    /// Too many requests are in progress.
    Crowded,
}

impl Denial {
    pub(super) fn of(limit: &Limit, denied: &Denied, least: Option<Amounts>) -> Self {
        let amount = limit.amount();
        if limit.resource() == Resource::Concurrency {
            Self::Crowded
        } else if amount > 0 && denied.asked > amount {
            let smallest = least.map_or(denied.asked, |least| limit.resource().of(&least));
            if smallest > amount { Self::TooLarge } else { Self::BoundTooWide }
        } else if limit.is_budget() {
            Self::Spent
        } else {
            Self::Rate
        }
    }
}

/// `OpenAI`'s type of a rate.
const fn kind(resource: Resource) -> &'static str {
    match resource {
        Resource::Requests | Resource::Concurrency => "requests",
        Resource::Tokens | Resource::InputTokens | Resource::OutputTokens => "tokens",
        Resource::Cost => "cost",
    }
}

impl Verdict {
    pub(super) fn of(refusal: &Refusal<'_>, spent: SpentStatus) -> Self {
        const INVALID: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        let invalid = |code| Self::blank(StatusCode::BAD_REQUEST, INVALID, code, INVALID);
        match refusal {
            Refusal::Denied { policy, denied, least } => Self::denied(policy, denied, *least, spent),
            Refusal::Store(StoreError::Full) | Refusal::Overloaded { .. } => Self::crowded(),
            Refusal::Store(_) => {
                Self::blank(StatusCode::SERVICE_UNAVAILABLE, SERVER, "limiter_unavailable", "api_error")
            }
            Refusal::AbnormalUsage { .. } => {
                Self { problem: Problem::AbnormalUsage, ..Self::rate("requests", "rate_limit_exceeded") }
            }
            Refusal::AddressNotAllowed => {
                Self::blank(StatusCode::FORBIDDEN, INVALID, "ip_not_authorized", "permission_error")
            }
            Refusal::UnmeteredRoute => {
                Self::blank(StatusCode::FORBIDDEN, INVALID, "unmetered_route", "permission_error")
            }
            Refusal::Unidentified(error) => {
                let code = match error {
                    IdentifyError::Missing => "missing_api_key",
                    IdentifyError::Unknown | IdentifyError::Ambiguous => "invalid_api_key",
                };
                Self::blank(StatusCode::UNAUTHORIZED, INVALID, code, "authentication_error")
            }
            Refusal::Inspect(_) | Refusal::BadRequest { .. } => invalid("invalid_request"),
            Refusal::UnknownModel { .. } => invalid("model_not_priced"),
            Refusal::OutputOverCap { .. } => invalid("output_cap_exceeded"),
            Refusal::StoredContent { .. } => invalid("stored_content_not_supported"),
            Refusal::BodyTooLarge { .. } => Self { problem: Problem::Blank, ..Self::too_large() },
            Refusal::ProviderLimited { resource, .. } => {
                Self::rate(kind(resource.unwrap_or(Resource::Requests)), "rate_limit_exceeded")
            }
            Refusal::ProviderUnreachable => {
                Self::blank(StatusCode::BAD_GATEWAY, SERVER, "provider_unreachable", "api_error")
            }
            Refusal::Internal => Self::blank(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "internal_error", "api_error"),
        }
    }

    fn denied(policy: &Policy, denied: &Denied, least: Option<Amounts>, spent: SpentStatus) -> Self {
        let Some(limit) = policy.limits().get(denied.limit.get()) else {
            return Self::rate("requests", "rate_limit_exceeded");
        };
        match Denial::of(limit, denied, least) {
            Denial::Crowded => Self::crowded(),
            Denial::TooLarge => Self::too_large(),
            Denial::Spent => Self::spent(spent),
            Denial::Rate | Denial::BoundTooWide => Self::rate(kind(limit.resource()), "rate_limit_exceeded"),
        }
    }

    const fn blank(status: StatusCode, kind: &'static str, code: &'static str, anthropic: &'static str) -> Self {
        Self { status, kind, code, anthropic, problem: Problem::Blank }
    }

    const fn rate(kind: &'static str, code: &'static str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, kind, code, anthropic: "rate_limit_error", problem: Problem::QuotaExceeded }
    }

    const fn spent(status: SpentStatus) -> Self {
        let rate = Self::rate("insufficient_quota", "insufficient_quota");
        match status {
            SpentStatus::TooManyRequests => rate,
            SpentStatus::PaymentRequired => {
                Self { status: StatusCode::PAYMENT_REQUIRED, anthropic: "billing_error", ..rate }
            }
        }
    }

    const fn too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            kind: "invalid_request_error",
            code: "request_too_large",
            anthropic: "request_too_large",
            problem: Problem::QuotaExceeded,
        }
    }

    const fn crowded() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "server_error",
            code: "overloaded",
            anthropic: "overloaded_error",
            problem: Problem::ReducedCapacity,
        }
    }
}
