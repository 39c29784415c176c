use std::error::Error;
use std::fmt;
use std::sync::Arc;

use flashops_core::alert::AlertRules;
use flashops_core::config::{Config, Share};
use flashops_core::price::PriceError;
use flashops_core::store::{Store, Succeed};

use super::Controls;
use super::edge::address_rules;
use super::stack::Stack;

/// Why a configuration cannot take the place of the one in force. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadError {
    /// What it changes is decided when the service starts.
    NeedsRestart {
        /// The keys of the configuration, any of which may have changed.
        keys: &'static str,
    },
    /// Its prices cannot take the place of those in force.
    Prices(PriceError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsRestart { keys } => write!(f, "{keys} cannot change while the service runs: restart it"),
            Self::Prices(error) => error.fmt(f),
        }
    }
}

impl Error for ReloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NeedsRestart { .. } => None,
            Self::Prices(error) => Some(error),
        }
    }
}

impl<T: Store> Controls<T> {
    /// Whether [`Controls::reload`] would take a configuration, as far as that is known before.
    ///
    /// # Errors
    ///
    /// As [`Controls::reload`].
    pub fn check(&self, config: &Config) -> Result<(), ReloadError> {
        check_start(&self.in_force.lock(), config)
    }

    /// Whether a configuration says the same as the one in force.
    pub fn is_in_force(&self, config: &Config) -> bool {
        self.in_force.lock().is_unchanged_from(config)
    }
}

impl<T: Succeed> Controls<T> {
    /// Puts another configuration into force, while requests are under way.
    ///
    /// Those that have begun go on under the configuration that they began with, and their calls are settled in the
    /// accounts that are in force then. What was used and held stays, as
    /// [`MemoryStore::succeed`](flashops_core::store::MemoryStore::succeed) and those of other stores tell; where the
    /// limits are the same nothing happens to accounts. Addresses, prices and limits change one after the other, each
    /// at once.
    ///
    /// The store, its bounds and what happens where it does not answer, the threshold of the tally, where alerts go,
    /// and what is logged and measured, but for what is slow, are decided when the service starts.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; nothing has changed then.
    pub fn reload(&self, config: &Config) -> Result<(), ReloadError> {
        let mut in_force = self.in_force.lock();
        check_start(&in_force, config)?;
        let budget = self.parts.budget.load();
        budget.price_handle().replace(Arc::clone(config.prices())).map_err(ReloadError::Prices)?;
        if in_force.policy() != config.policy() {
            let policy = Arc::new(config.policy().clone());
            let store = budget.store().succeed(Arc::clone(&policy));
            self.parts.alerts.replace(policy, &config.alerts().rules, store.now());
            self.parts.budget.replace(budget.with_store(store));
        } else if in_force.alerts().rules != config.alerts().rules {
            self.parts.alerts.replace_rules(&config.alerts().rules, budget.store().now());
        }
        self.parts.addresses.replace(address_rules(config.http()));
        self.current.store(Arc::new(Stack::new(config, &self.parts)));
        *in_force = config.clone();
        Ok(())
    }
}

/// Refuses what cannot change.
fn check_start(before: &Config, after: &Config) -> Result<(), ReloadError> {
    let (old, new) = (before.options(), after.options());
    let threshold = |config: &Config| (config.options().threshold_tokens, config.options().threshold_window);
    let goes_to = |config: &Config| {
        let mut alerts = config.alerts().clone();
        alerts.rules = AlertRules::NONE;
        alerts
    };
    let mut observe = before.observe().clone();
    observe.slow = after.observe().slow;
    let unanswered = |config: &Config| (config.options().store_deadline, config.options().on_store_error);
    let leases = |config: &Config| config.policy().indexed().any(|(index, _)| config.share(index) == Share::Leased);
    let fixed = [
        (before.store() == after.store(), "[store]"),
        (unanswered(before) == unanswered(after), "[policy] store_deadline and on_store_error"),
        (after.store().is_none() || !leases(after), "share = \"leased\""),
        (old.bounds == new.bounds, "[policy] max_keys and max_reservations"),
        (threshold(before) == threshold(after), "[policy] threshold_tokens and threshold_window"),
        (goes_to(before) == goes_to(after), "[alerts] log, alertmanager, slack and link"),
        (observe == *after.observe(), "[observe] log, metrics, max_tenants and gen_ai"),
    ];
    match fixed.into_iter().find(|(same, _)| !same) {
        Some((_, keys)) => Err(ReloadError::NeedsRestart { keys }),
        None => Ok(()),
    }
}
