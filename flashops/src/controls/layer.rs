use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flashops_core::store::Store;
use tower_layer::Layer;

use super::service::Controlled;
use super::stack::{Stack, Stacked};

/// All layers of a [`Controls`](super::Controls), in the order that the [module docs](super) tell.
pub struct ControlsLayer<T: Store> {
    current: Arc<ArcSwap<Stack<T>>>,
}

impl<T: Store> ControlsLayer<T> {
    pub(super) const fn new(current: Arc<ArcSwap<Stack<T>>>) -> Self {
        Self { current }
    }
}

impl<T: Store> Clone for ControlsLayer<T> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<T: Store> fmt::Debug for ControlsLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlsLayer").finish_non_exhaustive()
    }
}

impl<S: Clone, T: Store> Layer<S> for ControlsLayer<T> {
    type Service = Controlled<S, T, Stacked<S, T>>;

    fn layer(&self, inner: S) -> Self::Service {
        Controlled::new(inner, Arc::clone(&self.current))
    }
}
