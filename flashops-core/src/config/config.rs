use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::alerts::{self, AlertOptions};
use super::callers;
use super::digest::{Digest, Digesting};
use super::error::ConfigError;
use super::http::{self, HttpOptions};
use super::limits::{self, Share};
use super::observe::{self, Observe};
use super::options::Options;
use super::policy;
use super::prices;
use super::routes::{self, RouteConfig};
use super::schema::{RawConfig, Text};
use super::sources::{self, Sources, SystemSources};
use super::store::{self, StoreConfig};
use super::wording;
use crate::caller::CallerTable;
use crate::limit::{Limit, LimitIndex, Policy, Resource};
use crate::place::{self, Mistake};
use crate::price::{Import, PriceBook};

/// The longest text that is read as a configuration, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// What a configuration file says, checked.
///
/// See the [module docs](super) for its schema and an example.
#[derive(Clone)]
pub struct Config {
    policy: Policy,
    shares: Vec<Share>,
    callers: CallerTable,
    routes: Vec<RouteConfig>,
    prices: Arc<PriceBook>,
    imported: Option<Arc<Import>>,
    options: Options,
    http: HttpOptions,
    alerts: AlertOptions,
    observe: Observe,
    store: Option<StoreConfig>,
    text: Digest,
}

impl Config {
    /// Reads a configuration. What it names is looked up in `sources`, once.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with the first mistake found, and [`ConfigError::TooLong`] above [`MAX_TEXT_BYTES`].
    pub fn from_toml(text: &str, sources: &dyn Sources) -> Result<Self, ConfigError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(ConfigError::TooLong);
        }
        let sources = Digesting::new(sources, text);
        let config = Self::read(text, &sources).map_err(|mistake| ConfigError::at(text, &mistake))?;
        Ok(Self { text: sources.digest(), ..config })
    }

    /// Reads the configuration in a file, with files relative to its directory and the environment of this process.
    ///
    /// # Errors
    ///
    /// As [`Config::from_toml`], and [`ConfigError::Unreadable`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let unreadable = |error: io::Error| ConfigError::Unreadable {
            path: path.to_string_lossy().into_owned(),
            reason: error.to_string(),
        };
        let text = sources::read(path, MAX_TEXT_BYTES).map_err(unreadable)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::from_toml(&text, &SystemSources::in_directory(directory))
    }

    /// Whether this was read from the same text as another one, and from the same files and variables that it names.
    ///
    /// Texts are compared by 128 bits of SipHash under a fixed key: whoever writes configurations could make two that
    /// pass for the same.
    pub fn is_unchanged_from(&self, other: &Self) -> bool {
        let same = self.http == other.http && self.alerts == other.alerts && self.store == other.store;
        self.text == other.text && same
    }

    /// The limits, with the switches that decide how they count.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How a limit of the policy is shared.
    ///
    /// # Panics
    ///
    /// If the place is of a larger policy.
    pub fn share(&self, limit: LimitIndex) -> Share {
        self.shares[limit.get()]
    }

    /// Who has which key.
    pub const fn callers(&self) -> &CallerTable {
        &self.callers
    }

    /// The routes, in the order of the file; the first that has a path is its route.
    pub fn routes(&self) -> &[RouteConfig] {
        &self.routes
    }

    /// The route of a path: the first that has it.
    pub fn route(&self, path: &str) -> Option<&RouteConfig> {
        self.routes.iter().find(|route| route.contains(path))
    }

    /// The prices; cost limits of the policy are in their unit.
    pub const fn prices(&self) -> &Arc<PriceBook> {
        &self.prices
    }

    /// What was read of LiteLLM's price file, with all that was changed or left out, if the configuration names one.
    pub fn imported(&self) -> Option<&Import> {
        self.imported.as_deref()
    }

    /// How requests and responses are treated on the way in and out.
    pub const fn http(&self) -> &HttpOptions {
        &self.http
    }

    /// Takes these instead of what the file says, as a service does whose environment has a say.
    #[must_use]
    pub fn with_http(mut self, http: HttpOptions) -> Self {
        self.http = http;
        self
    }

    /// What an operator is told of, and where.
    pub const fn alerts(&self) -> &AlertOptions {
        &self.alerts
    }

    /// Takes these instead of what the file says. Thresholds of limits stay as they are.
    #[must_use]
    pub fn with_alerts(mut self, alerts: AlertOptions) -> Self {
        self.alerts = alerts;
        self
    }

    /// Everything else.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// What is told of requests and calls.
    pub const fn observe(&self) -> &Observe {
        &self.observe
    }

    /// Where accounts are that several instances share; `None` where they are in memory.
    pub const fn store(&self) -> Option<&StoreConfig> {
        self.store.as_ref()
    }

    /// Takes this store instead of what the file says, as a service does whose environment has a say.
    #[must_use]
    pub fn with_store(mut self, store: StoreConfig) -> Self {
        self.store = Some(store);
        self
    }

    fn read(text: &str, sources: &dyn Sources) -> Result<Self, Mistake> {
        let raw: RawConfig = place::parse(text).map_err(|(place, message)| (place, wording::plain(&message)))?;
        let prices::Read { book: prices, imported } = prices::read(&raw.prices, sources)?;
        let (limits, shares) = limits::read(&raw.limit, text, prices.unit())?;
        let limits = alerts::add_thresholds(limits, &raw.limit, &raw.alerts, text)?;
        let alerts = alerts::read(&raw.alerts, text, prices.unit(), sources)?;
        let routes = routes::read(&raw.route)?;
        check_models(routes::models(&raw.route), &limits, &prices)?;
        let switches = policy::switches(&raw.policy)?;
        let policy = Policy::new(limits).map_err(|error| (0..0, error.to_string()))?.with_switches(switches);
        let options = policy::options(&raw.policy)?;
        let http = http::read(&raw.http)?;
        let observe = observe::read(&raw.observe)?;
        let callers = callers::read(&raw.caller, sources)?;
        let store = store::read(raw.store.as_ref(), sources)?;
        let text = Digest::default();
        Ok(Self { policy, shares, callers, routes, prices, imported, options, http, alerts, observe, store, text })
    }
}

/// Leaves out the prices, which are many, and shows no key.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("policy", &self.policy)
            .field("shares", &self.shares)
            .field("callers", &self.callers)
            .field("routes", &self.routes)
            .field("options", &self.options)
            .field("http", &self.http)
            .field("alerts", &self.alerts)
            .field("observe", &self.observe)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A route may not name a model whose cost nobody could count.
fn check_models<'r>(
    models: impl Iterator<Item = &'r Text>,
    limits: &[Limit],
    prices: &PriceBook,
) -> Result<(), Mistake> {
    let Some(cost) = limits.iter().find(|limit| limit.resource() == Resource::Cost) else {
        return Ok(());
    };
    for model in models {
        if prices.model(model.get_ref()).is_none() {
            let (name, limit) = (model.get_ref(), cost.name());
            let message = format!("the limit \"{limit}\" is on cost, and the price book does not know `{name}`");
            return Err((model.span(), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
