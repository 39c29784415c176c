//! What the environment says.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use flashops::core::alert::WebhookUrl;
use flashops::core::config::{
    ClientTrust, Config, NoSources, Origins, ProxyHeader, Sources, StoreConfig, SystemSources,
};
use flashops::core::network::Networks;

use super::health::Dependency;

pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

/// The line of the defaults that `RATE_LIMIT_PER_MINUTE` replaces.
const DEFAULT_AMOUNT: &str = "amount = 60";

pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) config: Config,
    pub(crate) openai: Upstream,
    pub(crate) anthropic: Upstream,
    pub(crate) audit: bool,
    pub(crate) log_format: Option<String>,
    pub(crate) log_filter: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) shutdown_grace: Duration,
}

/// The longest time for which a shutdown waits before it begins, in seconds.
const MAX_GRACE: u64 = 300;

/// A provider, if the environment names one.
pub(crate) struct Upstream {
    pub(crate) base_url: Option<String>,
    pub(crate) key: Option<String>,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, Box<dyn Error>> {
        let listen = variable("FLASHOPS_LISTEN")?.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        Ok(Self {
            listen: listen.parse().map_err(|_| format!("FLASHOPS_LISTEN: {listen:?} is no address with a port"))?,
            config: configuration()?,
            openai: Upstream::of("OPENAI")?,
            anthropic: Upstream::of("ANTHROPIC")?,
            audit: variable("FLASHOPS_AUDIT")?.is_some(),
            log_format: variable("LOG_FORMAT")?,
            log_filter: variable("RUST_LOG")?,
            dependencies: dependencies()?,
            shutdown_grace: shutdown_grace()?,
        })
    }
}

/// The configuration, with what the environment says beside it. It can be asked for again.
pub(crate) fn configuration() -> Result<Config, Box<dyn Error>> {
    with_environment(config()?)
}

impl Upstream {
    /// The one of this name. It can be asked for again.
    pub(crate) fn of(name: &str) -> Result<Self, Box<dyn Error>> {
        let base_url = variable(&format!("{name}_BASE_URL"))?;
        Ok(Self { base_url, key: secret(&format!("{name}_API_KEY"))? })
    }
}

fn variable(name: &str) -> Result<Option<String>, Box<dyn Error>> {
    match env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name}: it is not UTF-8").into()),
    }
}

/// A variable, or the file that the variable of the same name with `_FILE` names. No message shows what it holds.
fn secret(name: &str) -> Result<Option<String>, Box<dyn Error>> {
    let in_file = format!("{name}_FILE");
    match (variable(name)?, variable(&in_file)?) {
        (Some(_), Some(_)) => Err(format!("{name} and {in_file} are both set").into()),
        (key, None) => Ok(key),
        (None, Some(path)) => {
            let text = SystemSources::in_directory("").file(&path).map_err(|error| format!("{in_file}: {error}"))?;
            Ok(Some(text.trim().to_owned()))
        }
    }
}

fn config() -> Result<Config, Box<dyn Error>> {
    if let Some(file) = variable("FLASHOPS_CONFIG")? {
        return Config::from_file(&file).map_err(|error| format!("{file}: {error}").into());
    }
    let defaults = match variable("RATE_LIMIT_PER_MINUTE")? {
        None => DEFAULTS.to_owned(),
        Some(text) => {
            let amount: u32 =
                text.parse().map_err(|_| format!("RATE_LIMIT_PER_MINUTE: {text:?} is no whole number"))?;
            DEFAULTS.replace(DEFAULT_AMOUNT, &format!("amount = {amount}"))
        }
    };
    Ok(Config::from_toml(&defaults, &NoSources)?)
}

/// What the environment says of the way in and out, of webhooks, and of where accounts are, in place of what the
/// configuration says.
fn with_environment(config: Config) -> Result<Config, Box<dyn Error>> {
    let mut http = config.http().clone();
    if let Some(list) = networks("ADMIN_ALLOW")? {
        http.admin_allow = list;
    }
    if let Some(list) = networks("TRUSTED_PROXIES")? {
        http.trusted_proxies = list;
        // Proxies that nobody asks are of no use, and one way to ask is usual.
        if http.client == ClientTrust::Peer {
            http.client = ClientTrust::Proxies(ProxyHeader::XForwardedFor);
        }
    }
    if let Some(list) = variable("CORS_ORIGINS")? {
        http.cors_origins = Origins::new(list.split(',')).map_err(|message| format!("CORS_ORIGINS: {message}"))?;
    }
    let mut alerts = config.alerts().clone();
    for (name, url) in [("ALERTMANAGER_URL", &mut alerts.alertmanager), ("SLACK_WEBHOOK_URL", &mut alerts.slack)] {
        if let Some(text) = secret(name)? {
            *url = Some(WebhookUrl::new(&text).ok_or_else(|| format!("{name}: it is no URL of a webhook"))?);
        }
    }
    let config = config.with_http(http).with_alerts(alerts);
    Ok(match secret("REDIS_URL")? {
        None => config,
        Some(url) => {
            let mut store = StoreConfig::new(url);
            store.prefix = config.store().and_then(|store| store.prefix.clone());
            config.with_store(store)
        }
    })
}

fn networks(name: &str) -> Result<Option<Networks>, Box<dyn Error>> {
    let Some(list) = variable(name)? else { return Ok(None) };
    Ok(Some(list.parse().map_err(|error| format!("{name}: {error}"))?))
}

fn dependencies() -> Result<Vec<Dependency>, Box<dyn Error>> {
    let list = variable("HEALTH_CHECKS")?.unwrap_or_default();
    let read = |text: &str| text.parse().map_err(|error| format!("HEALTH_CHECKS: {error}").into());
    list.split(',').filter(|text| !text.trim().is_empty()).map(read).collect()
}

fn shutdown_grace() -> Result<Duration, Box<dyn Error>> {
    let Some(text) = variable("SHUTDOWN_GRACE")? else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_GRACE);
    let seconds =
        seconds.ok_or_else(|| format!("SHUTDOWN_GRACE: {text:?} is no number of seconds up to {MAX_GRACE}"))?;
    Ok(Duration::from_secs(seconds))
}
