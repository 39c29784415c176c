use std::fmt;
use std::sync::Arc;

use flashops_core::clock::{Clock, CoarseClock};
use tower_layer::Layer;

use super::service::ProviderLimited;
use super::table::ProviderLimits;
use crate::reject::{DefaultReject, Reject};

/// Refuses calls that their provider would refuse, by what it said. See the [module docs](super).
pub struct ProviderLimitsLayer<C = CoarseClock> {
    limits: ProviderLimits<C>,
    reject: Arc<dyn Reject + Send + Sync>,
}

impl<C: Clock> ProviderLimitsLayer<C> {
    /// A layer that learns, and refuses by what all layers over these limits have learned.
    pub fn new(limits: ProviderLimits<C>) -> Self {
        Self { limits, reject: Arc::new(DefaultReject::new()) }
    }

    /// How refusals are written.
    #[must_use]
    pub fn with_reject(self, reject: impl Reject + Send + Sync + 'static) -> Self {
        Self { reject: Arc::new(reject), ..self }
    }
}

impl<C> Clone for ProviderLimitsLayer<C> {
    fn clone(&self) -> Self {
        Self { limits: self.limits.clone(), reject: Arc::clone(&self.reject) }
    }
}

impl<C: Clock> fmt::Debug for ProviderLimitsLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderLimitsLayer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for ProviderLimitsLayer<C> {
    type Service = ProviderLimited<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ProviderLimited::new(inner, self.limits.clone(), Arc::clone(&self.reject))
    }
}
