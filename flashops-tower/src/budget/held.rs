use std::sync::Arc;

use flashops_core::units::Amounts;

/// An extension of requests: what a token budget holds for the call, for whoever is further inside, where
/// [`with_held_extension`](super::TokenBudgetLayer::with_held_extension) asks for it.
///
/// A [`ProviderLimitsLayer`](crate::provider_limits::ProviderLimitsLayer) counts the call by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The model as the request names it, or the route's own where it names none.
    pub model: Arc<str>,
    /// One request, with the tokens that are expected of it; its cost is not told.
    pub amounts: Amounts,
}
