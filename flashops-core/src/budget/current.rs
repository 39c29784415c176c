use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Budget;
use super::budget::Shared;
use crate::store::Store;

/// The budget in force: a handle through which another one takes its place while calls run. Clones are the same handle.
///
/// A call keeps the budget that it began with. Whoever is asked for more than one call keeps this and not a [`Budget`],
/// which would go on asking for the limits of its own time.
///
/// ```
/// use std::sync::Arc;
/// use flashops_core::budget::{Budget, CurrentBudget};
/// use flashops_core::clock::ManualClock;
/// use flashops_core::limit::Policy;
///
/// let budget = Budget::in_memory(Policy::new(vec![])?, ManualClock::new());
/// let current = CurrentBudget::from(budget.clone());
/// let policy = Arc::new(Policy::new(vec![])?);
/// current.replace(budget.with_store(budget.store().succeed(policy)));
/// assert!(!Arc::ptr_eq(current.load().store(), budget.store()));
/// # Ok::<(), flashops_core::limit::LimitError>(())
/// ```
pub struct CurrentBudget<S: Store>(Arc<ArcSwap<Shared<S>>>);

impl<S: Store> CurrentBudget<S> {
    /// The budget at this moment.
    pub fn load(&self) -> Budget<S> {
        Budget { shared: self.0.load_full() }
    }

    /// Puts another budget in the place of the present one.
    pub fn replace(&self, budget: Budget<S>) {
        self.0.store(budget.shared);
    }
}

impl<S: Store> From<Budget<S>> for CurrentBudget<S> {
    fn from(budget: Budget<S>) -> Self {
        Self(Arc::new(ArcSwap::new(budget.shared)))
    }
}

impl<S: Store> Clone for CurrentBudget<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Store> fmt::Debug for CurrentBudget<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentBudget").finish_non_exhaustive()
    }
}
