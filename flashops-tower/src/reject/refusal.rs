use std::time::Duration;

use flashops_core::budget::BeginError;
use flashops_core::estimate::Estimate;
use flashops_core::limit::{Denied, Policy, Resource, Retry};
use flashops_core::price::Price;
use flashops_core::store::StoreError;
use flashops_core::units::{Amounts, Cost, Tokens};
use http::StatusCode;

use crate::identify::IdentifyError;
use crate::inspect::InspectError;

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// A limit has no room.
    Denied {
        /// The policy whose limits these are.
        policy: &'a Policy,
        /// The decision.
        denied: Denied,
        /// What the request asks for if it is as small as it may be, from [`least`]; it tells a request that can never
        /// fit from one that only its generous bound keeps out. `None` if the bound is exact.
        least: Option<Amounts>,
    },
    /// The store cannot say yes or no.
    Store(&'a StoreError),
    /// The service takes no more work at the moment.
    Overloaded {
        /// How long to stay away.
        retry: Duration,
    },
    /// The traffic of this caller looks like abuse.
    AbnormalUsage {
        /// When it may come back.
        retry: Retry,
    },
    /// The route calls a model, and nobody meters it.
    UnmeteredRoute,
    /// Nobody may come from this address.
    AddressNotAllowed,
    /// Nobody knows who is asking.
    Unidentified(IdentifyError),
    /// The body cannot be read.
    Inspect(InspectError),
    /// Something else is wrong with the request.
    BadRequest {
        /// What, for the client; [`MAX_MESSAGE`] bytes of it are sent.
        message: &'a str,
        /// The field of the body, where there is one.
        param: Option<&'a str>,
    },
    /// The model has no price, and a cost limit applies.
    UnknownModel {
        /// The name as the client wrote it.
        model: &'a str,
    },
    /// The declared output cap is above that of the route.
    OutputOverCap {
        /// What is declared.
        asked: Tokens,
        /// What the route allows.
        cap: Tokens,
        /// The field that declares it.
        param: &'a str,
    },
    /// The request refers to content that the provider keeps, and whose size is unknown here.
    StoredContent {
        /// The field that refers to it.
        param: &'a str,
    },
    /// The body is longer than what is inspected.
    BodyTooLarge {
        /// The bound in bytes.
        most: u64,
    },
    /// The provider of the model would refuse the call, by what it said before.
    ProviderLimited {
        /// What it has too little of; `None` if it asked to be left alone.
        resource: Option<Resource>,
        /// How much of it the call needs.
        asked: u64,
        /// How much of it remains.
        remaining: u64,
        /// When to come back.
        retry: Duration,
    },
    /// The call was not answered by the provider of the model.
    ProviderUnreachable,
    /// An error of which no more is known than its status, and what was said with it.
    Status {
        /// The status.
        status: StatusCode,
        /// What it says to the client; [`MAX_MESSAGE`] bytes of it are sent. `None` for what the status means.
        message: Option<&'a str>,
    },
    /// Something else that is not the client's fault.
    Internal,
}

/// The most bytes of a message, model or field name of the client that a refusal repeats.
pub const MAX_MESSAGE: usize = 512;

/// What an estimated request asks for if four bytes of its input are one token: a quarter of the bound, and the whole
/// output cap.
pub fn least(estimate: Estimate, price: Option<&Price>) -> Amounts {
    let (input, output) = (Tokens::saturating(estimate.input.get() / 4), estimate.output);
    let cost = price.map_or(Cost::ZERO, |price| price.most(&Estimate { input, output, ..estimate }));
    Amounts { requests: 1, input, output, cost }
}

/// The name of a provider's limit, as that of a limit of ours.
pub(super) const fn provider_limit(resource: Option<Resource>) -> &'static str {
    match resource {
        Some(Resource::Tokens) => "provider-tokens",
        Some(Resource::InputTokens) => "provider-input-tokens",
        Some(Resource::OutputTokens) => "provider-output-tokens",
        Some(Resource::Cost) => "provider-cost",
        Some(Resource::Requests | Resource::Concurrency) | None => "provider-requests",
    }
}

impl<'a> Refusal<'a> {
    /// A limit of this policy has no room for a request whose amounts are exact.
    pub const fn denied(policy: &'a Policy, denied: Denied) -> Self {
        Self::Denied { policy, denied, least: None }
    }

    /// Why a call of a model may not begin. `least` is as in [`Refusal::Denied`].
    pub const fn begin(error: &'a BeginError, policy: &'a Policy, least: Option<Amounts>, model: &'a str) -> Self {
        match error {
            BeginError::Denied(denied) => Self::Denied { policy, denied: *denied, least },
            BeginError::Store(error) => Self::Store(error),
            BeginError::UnknownModel => Self::UnknownModel { model },
            _ => Self::Internal,
        }
    }

    /// When the same request can succeed; `None` where that is not a matter of time.
    pub const fn retry(&self) -> Option<Retry> {
        match self {
            Self::Denied { denied, .. } => Some(denied.retry),
            Self::Store(_) => Some(Retry::WHILE_HELD),
            Self::Overloaded { retry } | Self::ProviderLimited { retry, .. } => Some(Retry::After(*retry)),
            Self::AbnormalUsage { retry } => Some(*retry),
            _ => None,
        }
    }
}
