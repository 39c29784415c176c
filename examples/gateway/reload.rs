//! Another configuration, and other keys, without a restart.

use std::sync::Arc;
use std::time::Duration;

use flashops::controls::ConfiguredStore;
use flashops::core::config::Config;
use flashops::reload::{LoadError, Reloader};

use super::app::Controls;
use super::provider::Providers;
use super::settings::{Upstream, configuration};

/// How often files are looked at.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// What reads the configuration and the keys of providers again.
pub(crate) fn reloader(controls: Arc<Controls>, providers: Providers) -> Reloader<ConfiguredStore> {
    let known = Arc::clone(&controls);
    Reloader::new(controls, move || read(&known, &providers).map_err(|message| -> LoadError { message.into() }))
}

/// An error of the settings stays on its thread, and its message does not have to. Keys change with a configuration that
/// will be taken, and not with one that is refused.
fn read(controls: &Controls, providers: &Providers) -> Result<Config, String> {
    let message = |error: Box<dyn std::error::Error>| error.to_string();
    let config = configuration().map_err(message)?;
    let keys = (Upstream::of("OPENAI").map_err(message)?, Upstream::of("ANTHROPIC").map_err(message)?);
    controls.check(&config).map_err(|error| error.to_string())?;
    providers.rotate(&keys.0, &keys.1)?;
    Ok(config)
}
