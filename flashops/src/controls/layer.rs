use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flashops_core::clock::Clock;
use tower_layer::Layer;

use super::service::Controlled;
use super::stack::Stack;

/// All layers of a [`Controls`](super::Controls), in the order that the [module docs](super) tell.
pub struct ControlsLayer<C: Clock> {
    current: Arc<ArcSwap<Stack<C>>>,
}

impl<C: Clock> ControlsLayer<C> {
    pub(super) const fn new(current: Arc<ArcSwap<Stack<C>>>) -> Self {
        Self { current }
    }
}

impl<C: Clock> Clone for ControlsLayer<C> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<C: Clock> fmt::Debug for ControlsLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlsLayer").finish_non_exhaustive()
    }
}

impl<S: Clone, C: Clock> Layer<S> for ControlsLayer<C> {
    type Service = Controlled<S, C>;

    fn layer(&self, inner: S) -> Controlled<S, C> {
        Controlled::new(inner, Arc::clone(&self.current))
    }
}
